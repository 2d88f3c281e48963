"""Interactive mode: as a script, and on a terminal."""

import fcntl
import os
import pty
import select
import stat
import subprocess
import termios
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

import pytest

import jd
from jd import paths
from jd.cli import main
from jd.cli.commandline import CommandLine
from jd.cli.shell import history
from jd.cli.shell.history import MAX_LINES, History, may_hold_secret
from jd.cli.shell.repl import Leave, Repl, split, statements
from jd.errors import StorageError, UsageError
from jd.node.identity import Here, process_identity
from jd.worker.local.cleanup import CleanUp
from jd.worker.local.registry import Registry
from tests.support import PATIENCE, free_env, python

BANNER = "jd_worker_cli %s \u2014 interactive mode" % jd.__version__
HINT = "Type help for commands, exit or Ctrl-D to quit."


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path, JD_SERVER="127.0.0.1:9")


# ---- lines

@pytest.mark.parametrize("line, expected", [
    ("worker-list;", ["worker-list", ""]),
    ("a; b ;c", ["a", "b", "c"]),
    ("a ';' \"b;c\" d\\;e", ["a ';' \"b;c\" d\\;e"]),
    ("a # b; c", ["a"]), ("# all of it", [""]), ("x=a#b", ["x=a#b"]),
    ("a 'it''s # fine'", ["a 'it''s # fine'"]), ("a;#b", ["a", ""]), ("", [""]),
    ("\\q;", ["\\q", ""]), ("a \\", ["a \\"]),
])
def test_a_line_is_taken_apart(line: str, expected: List[str]) -> None:
    assert list(statements(line)) == expected


def test_quotes_are_those_of_a_shell() -> None:
    assert split("entry_script='my train.py' a\\ b") == ["entry_script=my train.py", "a b"]
    assert split("\\h stop") == ["\\h", "stop"]
    for bad in ("a 'b", "a \\"):
        with pytest.raises(UsageError, match="quote is not closed"):
            split(bad)


# ---- commands

class Recorder:
    """Stands for the commands: notes what is run, and raises what it is told to."""

    def __init__(self) -> None:
        self.lines: List[CommandLine] = []
        self.experiments: List[Optional[str]] = []
        self.error: Optional[BaseException] = None

    def __call__(self, line: CommandLine, environ: Mapping[str, str]) -> int:
        self.lines.append(line)
        self.experiments.append(environ.get("JD_EXP_ID"))
        if self.error is not None:
            raise self.error
        return 0


@pytest.fixture
def ran() -> Recorder:
    return Recorder()


@pytest.fixture
def session(environ: Dict[str, str], ran: Recorder) -> Repl:
    return Repl(environ, run=ran)


def test_the_experiment_of_the_session(session: Repl, ran: Recorder, environ: Dict[str, str],
                                       capsys: pytest.CaptureFixture[str]) -> None:
    assert session.prompt == "jd> "
    for line in ("use", "use digits-tune", "use", "worker-list", "worker-list expId=other",
                 "use expId=Third;"):
        session.line(line)
    assert capsys.readouterr().out.splitlines() == [
        "No experiment is set; use <name> sets one, exp-list shows those here.",
        "Using experiment 'digits-tune'.", "Experiment 'digits-tune'.",
        "Using experiment 'third'."]
    assert session.prompt == "jd[third]> "
    assert ran.experiments == ["digits-tune"] * 2
    assert ran.lines[1].arguments == {"expId": "other"}
    assert "JD_EXP_ID" not in environ


def test_jd_exp_id_is_honoured_at_the_start(environ: Dict[str, str]) -> None:
    assert Repl(dict(environ, JD_EXP_ID="digits-tune")).prompt == "jd[digits-tune]> "


@pytest.mark.parametrize("line", ["use a b", "use ../x", "use ''"])
def test_an_experiment_that_cannot_be(session: Repl, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    session.line(line)
    assert capsys.readouterr().err.startswith("error: ")
    assert session.experiment is None


def test_what_is_typed_reaches_the_commands(session: Repl, ran: Recorder) -> None:
    session.line("entry_script='my train.py' num_workers=4; stop all;  # that is all")
    session.line("jd_worker_cli worker-list")
    session.line("")
    session.line(" ;; # nothing")
    assert ran.lines == [
        CommandLine(None, (), {"entry_script": "my train.py", "num_workers": "4"}),
        CommandLine("stop", ("all",), {}), CommandLine("worker-list", (), {})]


@pytest.mark.parametrize("word", ["help", "\\h", "?", "-h"])
def test_ways_to_help(session: Repl, ran: Recorder, word: str) -> None:
    session.line(word + " stop")
    session.line(word + ";")
    assert ran.lines == [CommandLine("help", ("stop",), {}), CommandLine("help", (), {})]


@pytest.mark.parametrize("line", ["exit", "quit", "\\q", "exit;", " quit ; worker-list", "\\q;"])
def test_ways_to_leave(session: Repl, ran: Recorder, line: str) -> None:
    with pytest.raises(Leave):
        session.line(line)
    assert ran.lines == []


@pytest.mark.parametrize("line, said", [
    ("interactive", "interactive mode already"), ("-i", "interactive mode already"),
    ("exit now", "exit takes no words"), ("exot", "did you mean exit?"),
    ("workerlist", "did you mean worker-list?"), ("worker-list lines=3", "does not take lines="),
])
def test_mistakes_are_one_line(session: Repl, ran: Recorder, line: str, said: str,
                               capsys: pytest.CaptureFixture[str]) -> None:
    session.line(line)
    errors = capsys.readouterr().err
    assert errors.startswith("error: ") and said in errors and errors.count("\n") == 1
    assert ran.lines == []


@pytest.mark.parametrize("error, said", [
    (StorageError("the disk is full"), "error: the disk is full\n"),
    (KeyError("x"), "error: stop failed: KeyError: 'x'; JD_DEBUG=1 shows where\n"),
    (SystemExit(3), ""), (SystemExit("no"), "error: no\n"), (SystemExit(), ""),
])
def test_nothing_that_a_command_raises_leaves_the_shell(
        session: Repl, ran: Recorder, error: BaseException, said: str,
        capsys: pytest.CaptureFixture[str]) -> None:
    ran.error = error
    session.line("stop all; drain")
    assert [line.command for line in ran.lines] == ["stop", "drain"]
    assert capsys.readouterr().err.replace("drain", "stop") == said * 2


def test_debugging_shows_where(session: Repl, ran: Recorder, capsys: pytest.CaptureFixture[str],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JD_DEBUG", "1")
    ran.error = KeyError("x")
    session.line("stop all")
    assert "Traceback" in capsys.readouterr().err


def test_the_clean_up_runs_once(environ: Dict[str, str], monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    swept: List[int] = []
    monkeypatch.setattr(main, "_swept", False)

    def sweep(*_: Any) -> CleanUp:
        swept.append(1)
        return CleanUp(0, 0)
    monkeypatch.setattr("jd.worker.local.cleanup.clean_up", sweep)
    paths.experiment_cache("e", environ).mkdir(parents=True)
    session = Repl(environ)
    for line in ("use e", "where", "where", "help"):
        session.line(line)
    assert swept == [1] and capsys.readouterr().err == ""
    session.line("scale num_workers=2")
    assert swept == [1, 1], "what has died since the session was opened is looked for anew"


# ---- as a script

def script(environ: Dict[str, str], tmp_path: Path, text: bytes,
           *words: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(python("-m", "jd.cli", *words), input=text, capture_output=True,
                          env=environ, cwd=str(tmp_path), timeout=60)


def test_lines_from_a_file(environ: Dict[str, str], tmp_path: Path) -> None:
    done = script(environ, tmp_path, b"use digits-tune\n# comment\n\nuse; version json=true\n")
    lines = done.stdout.decode().splitlines()
    assert (done.returncode, done.stderr) == (0, b"")
    assert lines[:2] == ["Using experiment 'digits-tune'.", "Experiment 'digits-tune'."]
    assert lines[2].startswith("{") and len(lines) == 3
    assert not (tmp_path / "cache").exists()  # no history of scripts


def test_a_failure_in_a_script(environ: Dict[str, str], tmp_path: Path) -> None:
    done = script(environ, tmp_path, b"nonsense\nversion\n")
    assert done.returncode == 1
    assert b"unknown command" in done.stderr and jd.__version__.encode() in done.stdout
    assert script(environ, tmp_path, b"version\nexit\nnonsense\n").returncode == 0


def test_bytes_that_are_no_text_do_not_end_a_script(environ: Dict[str, str],
                                                    tmp_path: Path) -> None:
    done = script(environ, tmp_path, b"\xff\xfe\nversion\n")
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert jd.__version__.encode() in done.stdout


def test_no_arguments_and_no_input(environ: Dict[str, str], tmp_path: Path) -> None:
    done = script(environ, tmp_path, b"")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"nothing on standard input" in done.stderr


def test_arguments_stand_for_the_session(environ: Dict[str, str], tmp_path: Path) -> None:
    done = script(environ, tmp_path, b"use\n", "-i", "expId=digits-tune")
    assert done.stdout == b"Experiment 'digits-tune'.\n"
    assert script(environ, tmp_path, b"use\n", "-i", "expId=../x").returncode == 2
    assert script(environ, tmp_path, b"use\n", "-i", "word").returncode == 2


def test_an_api_key_alone_opens_a_shell(environ: Dict[str, str], tmp_path: Path) -> None:
    done = script(environ, tmp_path, b"use\n", "api_key=jd_secretsecretsecret")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"secret" not in done.stdout


# ---- history

@pytest.mark.parametrize("line, secret", [
    ("api_key=jd_abc", True), ("-i api_key jd_abcdefghijklmnop", True), ("apikey=x", True),
    ("foo jd_0123456789abcdef01", True), ("JD_SERVER_TOKEN=abc", True),
    ("server=http://me:pw@host", True), ("x=eyJhbGciOiJIUzI1NiJ9.e30.x", True),
    ("expId=a entry_script=train.py", False), ("jd_worker_cli worker-list", False),
    ("server=http://host:5000", False),
])
def test_lines_that_may_hold_a_secret(line: str, secret: bool) -> None:
    assert may_hold_secret(line) is secret


def test_history_is_private_and_survives(environ: Dict[str, str]) -> None:
    before = os.umask(0)
    try:
        kept = History(environ)
        for line in ("use a", "use a", "  worker-list ", "api_key=jd_secretsecretsecret", ""):
            kept.add(line)
    finally:
        os.umask(before)
    path = Path(environ["JD_CACHE_PATH"]) / ".cache" / "jd_worker_history"
    assert path.read_text() == "use a\nworker-list\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_history_holds_so_many_lines(environ: Dict[str, str]) -> None:
    path = Path(environ["JD_CACHE_PATH"]) / ".cache" / "jd_worker_history"
    path.parent.mkdir(parents=True)
    path.write_text("".join("line %d\n" % n for n in range(3000)) + "api_key=jd_x\n")
    kept = History(environ)
    assert len(path.read_text().splitlines()) == MAX_LINES
    kept.add("newest")
    lines = path.read_text().splitlines()
    assert (len(lines), lines[0], lines[-1]) == (MAX_LINES, "line 2001", "newest")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_history_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for cache in (tmp_path / "file", Path("/proc/jd")):
        kept = History({"JD_CACHE_PATH": str(cache)})
        kept.add("use a")
    assert capsys.readouterr() == ("", "")


class FakeReadline:
    """What the shell uses of readline."""

    __doc__ = "GNU readline"

    def __init__(self) -> None:
        self.added: List[str] = []
        self.bound: List[str] = []
        self.buffer = ""
        self.completer: Any = None

    def set_auto_history(self, on: bool) -> None:
        self.auto = on

    def add_history(self, line: str) -> None:
        self.added.append(line)

    def set_completer(self, completer: Any) -> None:
        self.completer = completer

    def set_completer_delims(self, delims: str) -> None:
        self.delims = delims

    def parse_and_bind(self, line: str) -> None:
        self.bound.append(line)

    def get_line_buffer(self) -> str:
        return self.buffer

    def get_endidx(self) -> int:
        return len(self.buffer)


def test_readline_knows_earlier_lines_and_no_secrets(environ: Dict[str, str]) -> None:
    History(environ).add("use a")
    readline: Any = FakeReadline()
    kept = History(environ, readline)
    kept.add("api_key=jd_secretsecretsecret")
    kept.add("worker-list")
    assert readline.added == ["use a", "worker-list"] and readline.auto is False


def test_tab_completes_the_last_word_of_the_last_command() -> None:
    readline: Any = FakeReadline()
    asked: List[List[str]] = []

    def candidates(words: List[str]) -> List[str]:
        asked.append(words)
        return ["expId=", "exit"]
    history.complete_with(readline, candidates)
    readline.buffer = "use a; stop  ex"
    assert [readline.completer("ex", n) for n in range(3)] == ["expId=", "exit ", None]
    assert asked == [["stop", "ex"]]
    assert "=" not in readline.delims and readline.bound == ["tab: complete"]


def test_tab_with_libedit() -> None:
    readline: Any = FakeReadline()
    readline.__doc__ = "Importing this module enables command line editing using libedit readline."
    history.complete_with(readline, lambda words: [])
    assert readline.bound == ["bind ^I rl_complete"]


# ---- on a terminal

class Terminal:
    """A process on a terminal of its own; gone when the `with` block ends."""

    def __init__(self, environ: Dict[str, str], cwd: Path, *words: str, echo: bool = False) -> None:
        self.main, side = pty.openpty()
        if not echo:
            attributes = termios.tcgetattr(side)
            attributes[3] &= ~termios.ECHO
            termios.tcsetattr(side, termios.TCSANOW, attributes)
        self.popen = subprocess.Popen(
            python(*words), stdin=side, stdout=side, stderr=side, env=dict(environ, TERM="dumb"),
            cwd=str(cwd), start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None)
        os.close(side)
        self.seen = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(60)
        os.close(self.main)

    def type(self, text: str) -> None:
        os.write(self.main, text.encode())

    def until(self, text: str, timeout: float = PATIENCE) -> str:
        """What it printed up to and with `text`."""
        deadline = time.monotonic() + timeout
        while text not in self.seen:
            ready, _, _ = select.select([self.main], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "not within %g s: %r in %r" % (timeout, text, self.seen)
            try:
                chunk = os.read(self.main, 4096)
            except OSError:  # the last process of the terminal has ended
                chunk = b""
            assert chunk, "ended before %r: %r" % (text, self.seen)
            self.seen += chunk.decode("utf-8", "replace").replace("\r\n", "\n")
        found, _, self.seen = self.seen.partition(text)
        return found + text

    def interrupt(self, text: str) -> None:
        """Ctrl-C until it prints `text`: Python does not see one that comes just before it waits."""
        for _ in range(10):
            self.type("\x03")
            try:
                self.until(text, 1.0)
                return
            except AssertionError:
                continue
        self.until(text)

    def end(self) -> int:
        return self.popen.wait(60)


@pytest.fixture
def shell(environ: Dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    with Terminal(environ, tmp_path, "-m", "jd.cli") as terminal:
        yield terminal


def test_a_session_as_in_the_reference(shell: Terminal, environ: Dict[str, str]) -> None:
    greeting = shell.until("jd> ")
    assert greeting.splitlines() == [BANNER, HINT, "jd> "]
    shell.type("use digits-tune\n")
    assert "Using experiment 'digits-tune'.\n" in shell.until("jd[digits-tune]> ")
    shell.type("nonsense;\n")
    assert "error: unknown command" in shell.until("jd[digits-tune]> ")
    shell.type("exit\n")
    assert shell.end() == 0
    path = Path(environ["JD_CACHE_PATH"]) / ".cache" / "jd_worker_history"
    assert path.read_text() == "use digits-tune\nnonsense;\nexit\n"


def test_ctrl_c_cancels_the_line_and_ctrl_d_leaves(environ: Dict[str, str],
                                                   tmp_path: Path) -> None:
    with Terminal(environ, tmp_path, "-m", "jd.cli", echo=True) as shell:
        shell.until("jd> ")
        shell.type("stop all")
        shell.until("stop all")  # read: Ctrl-C would take it out of readline's hands
        shell.interrupt("jd> ")
        shell.type("\x04")
        assert shell.end() == 0


def test_tab_on_a_terminal(environ: Dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("readline")
    Registry("digits-tune", environ).reserve([0], {}, Here(), time.time() + 1)
    Path(environ["JD_CACHE_PATH"], ".cache", "digits-tune", "keep").write_text("")
    with Terminal(environ, tmp_path, "-m", "jd.cli") as shell:
        shell.until("jd> ")
        shell.type("use dig\t\n")
        shell.until("Using experiment 'digits-tune'.")


def test_a_server_that_is_named_needs_no_key(environ: Dict[str, str], tmp_path: Path) -> None:
    del environ["JD_SERVER"]
    with Terminal(environ, tmp_path, "-m", "jd.cli", "-i", "server=h", "expId=e") as shell:
        assert shell.until("jd[e]> ").splitlines() == [BANNER, HINT, "jd[e]> "]


SLOW = """
import os, sys
from jd.cli.shell import repl
def run(line, environ):
    print("running", flush=True)
    os.read(r, 1)
r, w = os.pipe()
sys.exit(repl.Repl(dict(os.environ), run=run).talk())
"""


def test_ctrl_c_interrupts_a_command_and_stays(environ: Dict[str, str], tmp_path: Path) -> None:
    with Terminal(environ, tmp_path, "-c", SLOW) as shell:
        shell.until("jd> ")
        shell.type("stop all\n")
        shell.until("running")
        shell.interrupt("interrupted")
        shell.until("jd> ")
        shell.type("\x04")
        assert shell.end() == 0


def test_a_dash_that_the_terminal_lacks(environ: Dict[str, str], tmp_path: Path) -> None:
    plain = dict(environ, LANG="C", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0",
                 PYTHONIOENCODING="ascii")
    with Terminal(plain, tmp_path, "-m", "jd.cli") as shell:
        greeting = shell.until("jd> ")
    assert greeting.splitlines()[0] == BANNER.replace("\u2014", "-")


NO_READLINE = "import sys; sys.modules['readline'] = None\n" \
              "from jd.cli.main import main; sys.exit(main(['-i']))"


def test_without_readline(environ: Dict[str, str], tmp_path: Path) -> None:
    with Terminal(environ, tmp_path, "-c", NO_READLINE) as shell:
        shell.until("jd> ")
        shell.type("use a\nexit\n")
        shell.until("Using experiment 'a'.")
        assert shell.end() == 0


def test_a_confirmation_inside_the_shell(environ: Dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(python("-c", "input()"), stdin=subprocess.PIPE) as worker:
        try:
            identity = process_identity(worker.pid)
            assert identity is not None
            registry, here = Registry("exp", environ), Here()
            (name,) = registry.reserve([0], {}, here, 0.0)
            registry.settle_all([(name, 0, tmp_path / "log", identity)], 0.0)
            with Terminal(environ, tmp_path, "-m", "jd.cli", "-i", "expId=exp") as shell:
                shell.until("jd[exp]> ")
                shell.type("stop all confirm-stop=true\n")
                shell.until("exp")
                shell.type("something else\n")
                shell.until("jd[exp]> ")
                assert worker.poll() is None
                shell.type("stop all confirm-stop=true\n")
                shell.until("exp")
                shell.type("exp\n")
                shell.until("jd[exp]> ")
                worker.wait(60)
        finally:
            worker.kill()
