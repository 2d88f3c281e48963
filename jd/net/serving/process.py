"""What every server process does around its HTTP servers: signals, limits, and what it says.

stdout has lines for people or, with `--json`, one object a line; stderr has warnings. Both may be
closed or full while the server goes on.
"""

import asyncio
import json
import resource
import signal
import sys
from typing import Any, Mapping

import jd.redaction  # noqa: F401  for the first error: the package may have been replaced by then
from jd.errors import JdError
from jd.terminal import is_terminal, paint, silence_stdout

LEAST_FILES = 24  # of its own a server has about 20 open


def allow_many_connections() -> None:
    """Raise the limit of open files: each held request is one, and the usual limit is 1,024.

    Raises JdError where hardly anything could be served.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        pass  # macOS: a hard limit of infinity is not what it takes
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and allowed < LEAST_FILES:
        raise JdError("a process may have %d open files here (ulimit -n), and a server needs %d at least" % (
            allowed, LEAST_FILES), "raise ulimit -n where it is started")


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGINT, SIGTERM and SIGHUP. For the running loop of the main thread."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup and its like have SIGHUP ignored, and mean it.
        if signal.getsignal(number) == signal.SIG_IGN and number == signal.SIGHUP:
            continue
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def warning(text: str) -> None:
    """Say on stderr what works and is still not wise."""
    try:
        # Before Python 3.9 stderr is buffered where it is no terminal.
        print("%s: %s" % (paint("warning", "yellow", sys.stderr), text), file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody reads any more, or the disk of a log file is full


class Voice:
    """Says what happens on stdout, to people or to programs."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        # Secrets are for who sees them now; what is not a terminal is somebody's log.
        self.shows_secrets = not as_json and is_terminal(sys.stdout)

    def event(self, name: str, facts: Mapping[str, Any]) -> None:
        """One JSON object on a line."""
        self.line(json.dumps(dict({"event": name}, **facts)))

    def line(self, text: str) -> None:
        """One line."""
        try:
            print(text, flush=True)
        except OSError:
            silence_stdout()
