"""Interactive mode: commands typed one after the other, without repeating `expId=`.

Reference, section 2, "Interactive mode". A line may hold several commands with `;` between them;
`#` begins a comment; quotes are those of a shell. Nothing that goes wrong in a command leaves the
shell. With standard input that is no terminal it reads lines silently, as a script.
"""

import shlex
import sys
import traceback
from typing import Callable, Dict, Iterator, List, Mapping, Optional

import jd
from jd import settings
from jd.cli.catalog import INTERACTIVE, PROGRAM, argument
from jd.cli.commandline import CommandLine
from jd.cli.main import execute, parse
from jd.cli.shell.history import History
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError, UsageError, debugging
from jd.terminal import is_terminal


class Leave(Exception):
    """The user wants to leave."""


def statements(line: str) -> Iterator[str]:
    """The commands of a line, without `;` and comments; quotes and backslashes are as typed."""
    quote = ""
    start = index = 0
    while index < len(line):
        char = line[index]
        if char == "\\" and quote != "'":
            index += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == ";":
            yield line[start:index].strip()
            start = index + 1
        elif char == "#" and (index == start or line[index - 1].isspace()):
            break
        index += 1
    yield line[start:index].strip()


def split(statement: str) -> List[str]:
    """Tokens of one command. Raises UsageError for a quote that is not closed."""
    if statement.startswith("\\") and statement[:2] in ("\\h", "\\q"):
        return [statement[:2]] + split(statement[2:])
    try:
        return shlex.split(statement)
    except ValueError:
        raise UsageError("a quote is not closed, or a backslash stands at the end",
                         "close it, or quote the word") from None


class Repl:
    """One session. `environ` is a copy of the variables, in which `use` sets JD_EXP_ID."""

    def __init__(self, environ: Mapping[str, str], history: Optional[History] = None,
                 run: Callable[[CommandLine, Mapping[str, str]], int] = execute) -> None:
        self.environ: Dict[str, str] = dict(environ)
        self._history = history
        self._run = run
        self._failed = False

    @property
    def experiment(self) -> Optional[str]:
        """The experiment of the session."""
        return self.environ.get("JD_EXP_ID", "").strip() or None

    @property
    def prompt(self) -> str:
        """`jd> `, or with the experiment `jd[digits-tune]> `."""
        return "jd[%s]> " % self.experiment if self.experiment else "jd> "

    # ---- reading

    def talk(self) -> int:
        """Read from a terminal until the user leaves; returns the exit status."""
        say("%s %s \u2014 interactive mode" % (PROGRAM, jd.__version__))
        say("Type help for commands, exit or Ctrl-D to quit.")
        while True:
            try:
                line = input(self.prompt)
                if self._history is not None:
                    self._history.add(line)
                self.line(line)
            except KeyboardInterrupt:
                print()
            except UnicodeError as error:
                self._complain("what was typed is not text: %s" % error)
            except EOFError:
                print()
                return EXIT_OK
            except Leave:
                return EXIT_OK

    def script(self) -> int:
        """Run the lines of standard input; returns 1 if any command failed. Raises UsageError if
        there is no input at all, which is nobody's intention."""
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="surrogateescape")  # paths need not be UTF-8
        first = True
        # readline, not iteration: a command that asks for confirmation reads the next line.
        for line in iter(sys.stdin.readline if sys.stdin else str, ""):
            first = False
            try:
                self.line(line)
            except Leave:
                break
        if first:
            raise UsageError("no arguments, and nothing on standard input", "see jd_worker_cli help")
        return EXIT_FAILURE if self._failed else EXIT_OK

    # ---- running

    def line(self, line: str) -> None:
        """Run the commands of a line. Raises Leave, and nothing else that a command may raise."""
        for statement in statements(line):
            if not statement:
                continue
            if self._contained(statement) != EXIT_OK:
                self._failed = True
        if sys.stdout is not None:
            sys.stdout.flush()

    def _contained(self, statement: str) -> int:
        try:
            return self._statement(statement)
        except JdError as error:
            self._complain(str(error))
            return error.exit_status
        except KeyboardInterrupt:
            if not is_terminal(sys.stdin):
                raise
            self._complain("interrupted", "")
        except SystemExit as end:
            if isinstance(end.code, str):
                self._complain(end.code)
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        except (Leave, BrokenPipeError):
            raise
        except Exception as error:  # a fault of ours must not end somebody's session
            self._complain("%s failed: %s: %s; JD_DEBUG=1 shows where" % (
                statement.split()[0], type(error).__name__, error))
        return EXIT_FAILURE

    def _statement(self, statement: str) -> int:
        tokens = split(statement)
        if tokens[:1] == [PROGRAM]:
            del tokens[0]  # pasted from a shell
        if not tokens:
            return EXIT_OK
        if tokens[0] == "use":
            return self._use(tokens[1:])
        line = parse(tokens, inside=True)
        if line.command == INTERACTIVE:
            raise UsageError("this is interactive mode already", "exit leaves it")
        if line.command == "exit":
            if line.words:
                raise UsageError("exit takes no words")
            raise Leave
        return self._run(line, self.environ)

    def _use(self, words: List[str]) -> int:
        if len(words) > 1:
            raise UsageError("usage: use [<name>]", "one experiment at a time")
        if not words:
            say("Experiment '%s'." % self.experiment if self.experiment
                else "No experiment is set; use <name> sets one, exp-list shows those here.")
            return EXIT_OK
        name = words[0][len("expId="):] if words[0].startswith("expId=") else words[0]
        setting = argument("expId")
        name = settings.parse_given(setting, settings.Given(name, "use"))
        self.environ["JD_EXP_ID"] = name
        say("Using experiment '%s'." % name)
        return EXIT_OK

    def _complain(self, text: str, mark: str = "error: ") -> None:
        if debugging() and sys.exc_info()[0] is not None:
            traceback.print_exc()
        if sys.stdout is not None:
            sys.stdout.flush()
        print(mark + text, file=sys.stderr)


def say(text: str) -> None:
    """Print a line; a dash that the terminal's encoding lacks becomes a hyphen."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.replace("\u2014", "-").encode(encoding, "replace").decode(encoding)
    print(text)
