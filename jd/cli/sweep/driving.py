"""What the commands that drive a sweep share: the session in which they call what `import jd` offers."""

import sys
from typing import Callable, List, Optional, TypeVar

from jd.auth.jobserver import Source
from jd.cli import target
from jd.cli.context import Context
from jd.errors import JdError, UsageError
from jd.net.client import Client
from jd.net.finding import probe
from jd.protocol import shown
from jd.sweep import session
from jd.sweep.errors import of_their_kinds
from jd.sweep.session import PATIENCE, Session

T = TypeVar("T")
_MOST_ID = 2 ** 53


class CommandSession(Session):
    """The session of one command line: the server is found as by every command, and one that does not answer
    the first time is not waited for."""

    def __init__(self, context: Context) -> None:
        assert context.experiment is not None
        super().__init__(context.experiment, context.arguments, context.environ)
        self._line = context
        self._met = False

    def source(self) -> Source:
        """As every command finds it; inside a job, as the job does."""
        return super().source() if self._in_job else target.source(self._line)

    def tried(self, call: Callable[[Client], T], again: bool = True, patience: float = PATIENCE,
              waits: Optional[Callable[[JdError], None]] = None) -> T:
        """As any session; whoever waits is told so."""
        if not self._met:
            with of_their_kinds():
                probe.check(self._reached(), self.exp_id)
        found = super().tried(call, again, patience if self._met else 0.0, waits or _say_away)
        self._met = True
        return found


def begin(context: Context) -> Session:
    """The session of a command; the functions of jd/sweep/ use it from now on."""
    begun = CommandSession(context)
    session.use(begun)
    return begun


def job_ids(context: Context) -> List[int]:
    """The words of a command as numbers of jobs. Raises UsageError."""
    for word in context.words:
        # Python refuses to read numbers of some thousand digits.
        if not (word.isascii() and word.isdecimal() and len(word) < 17) or not 1 <= int(word) < _MOST_ID:
            raise UsageError("%s needs the number of a job, not %s" % (context.command.name, shown(word)),
                             "jd_worker_cli jobs lists them")
    return [int(word) for word in context.words]


def note(text: str) -> None:
    """A line for people; stdout is for facts."""
    print(text, file=sys.stderr, flush=True)


def _say_away(error: JdError) -> None:
    note("%s; trying again for a while" % error)
