"""JdError and its kinds. Each carries the exit status a command ends with.

Raise the specific kind where the fact is known; `run_command` is the one place that turns it into
a line on stderr and an exit status.
"""

from __future__ import annotations

import errno
import os
import sys

from jd import shortage
from jd.terminal import silence_stdout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_TERMINATED = 143  # 128 + SIGTERM, as shells tell of a program that died of it


class JdError(Exception):
    """Something went wrong that the user can understand: `what` did, and `advice` says what to do about it.

    As text it is both, "what; advice". The advice may be given in several parts, of which empty ones do not
    count; it may be missing. What was typed may stand in either, but no key or token that was typed.
    """

    exit_status = EXIT_FAILURE

    def __init__(self, what: str, *advice: str) -> None:
        from jd.redaction import hidden  # regular expressions, which most commands do without
        self.what = hidden(what)
        self.advice = hidden("; ".join(part for part in advice if part))
        super().__init__("%s; %s" % (self.what, self.advice) if self.advice else self.what)


class UsageError(JdError):
    """What was typed or set cannot be used: wrong argument, variable, name or value."""

    exit_status = EXIT_USAGE


class OutsideJobError(JdError, RuntimeError):
    """A function that needs a running job was called from a script that no worker started. Published clients
    raise a RuntimeError, which scripts may catch."""


class LimitError(JdError, ValueError):
    """Something is larger than what is allowed. Published clients raise a ValueError."""


class ServerUnreachable(JdError):
    """No answer from the server: refused, reset, timed out, or its name is unknown."""


class ServerRefused(JdError):
    """The server answered, and the answer is an error. `status` is the HTTP status."""

    def __init__(self, status: int, what: str, *advice: str) -> None:
        super().__init__(what, *advice)
        self.status = status

    def __reduce__(self) -> tuple[Any, ...]:
        # multiprocessing pickles what a script raises; Exception alone would forget the status.
        return _restored, (type(self), str(self), self.__dict__)


def _restored(kind: type[ServerRefused], message: str, state: dict[str, Any]) -> ServerRefused:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class StorageError(JdError):
    """A file or database could not be read or written; the message names its path."""


class DamagedFile(StorageError):
    """A file of this program holds something else than it should. `what` is wrong with it, and the advice
    says how to go on without it, or with another one: the file itself stays as it is."""

    def __init__(self, path: object, what: str, *advice: str) -> None:
        super().__init__("%s is damaged: %s" % (path, what), *advice)


class NoFileError(StorageError, FileNotFoundError):
    """A path is none of a file. Published clients raise a FileNotFoundError, for directories too."""

    def __init__(self, what: str, *advice: str) -> None:
        super().__init__(what, *advice)
        self.errno = errno.ENOENT

    def __str__(self) -> str:
        return str(self.args[0])


def reason(error: BaseException) -> str:
    """Why something failed, in a few words for people, whether anybody foresaw it or not."""
    if isinstance(error, JdError):
        return str(error)
    short = shortage.told(error)
    if short is not None:
        return short
    if isinstance(error, OSError) and error.strerror:
        return "%s: %s" % (error.filename, error.strerror) if error.filename else error.strerror
    return "%s: %s" % (type(error).__name__, error)


def debugging() -> bool:
    """Whether `JD_DEBUG=1` asks for tracebacks."""
    return os.environ.get("JD_DEBUG", "") == "1"


def run_command(main: Callable[[list[str]], int], argv: list[str] | None = None) -> int:
    """Run `main(argv)` and return its exit status; a JdError becomes one or two lines on stderr.

    So does an OSError that nobody foresaw, such as a full disk below stdout, and what `shortage` knows.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        status = main(arguments)
        sys.stdout.flush()
        return status
    except JdError as error:
        if debugging():
            raise
        print("error: %s" % error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_FAILURE
    except BrokenPipeError:
        silence_stdout()
        return EXIT_FAILURE
    except (OSError, MemoryError, RuntimeError, ImportError, SystemError) as error:
        short = shortage.told(error)
        if debugging() or short is None and not isinstance(error, OSError):
            raise
        silence_stdout()
        if short is not None:
            print("error: %s" % short, file=sys.stderr)
            return EXIT_FAILURE
        assert isinstance(error, OSError)
        where = "%s: " % error.filename if error.filename else ""
        print("error: %s%s; JD_DEBUG=1 shows where" % (where, error.strerror or error),
              file=sys.stderr)
        return EXIT_FAILURE
