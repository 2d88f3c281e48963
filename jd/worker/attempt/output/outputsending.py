"""Sends what a job has printed to the server while it runs, and what is left when it has ended.

Nothing is sent of output that goes with the result as it is.
"""

import io
from typing import Callable, List, Optional

from jd import protocol
from jd.errors import JdError, ServerRefused
from jd.net.retry import RETRIED_STATUSES
from jd.script.context import JobContext
from jd.worker.attempt.output.keptoutput import KeptOutput
from jd.worker.uplink import outputpieces
from jd.worker.uplink.outputpieces import Piece
from jd.worker.uplink.waitingfiles import Item, WaitingFiles

FIRST = 10.0  # seconds after the start; what a shorter job prints goes at its end
NAME = "output.log"


class OutputSending:
    """The output of one attempt on its way. Times are seconds on one monotonic clock."""

    def __init__(self, kept: KeptOutput, context: Callable[[], JobContext],
                 log: Callable[[str], None]) -> None:
        self._kept = kept
        self._context = context
        self._log = log
        self._sent = 0  # how far the server has it
        self._due: Optional[float] = None
        self._refused = False

    def look(self, now: float, watched: bool) -> None:
        """Send what is new, if it is time: that comes more often while somebody has `watched` it."""
        if self._due is None:
            self._due = now + FIRST
        if self._refused or not self._kept.is_long or self._kept.size <= self._sent:
            return
        if now < self._due and not watched:
            return
        every = protocol.OUTPUT_INTERVAL
        try:
            every = self._send()
        except ServerRefused as error:
            self._refuse(error)
        except (JdError, OSError):
            pass  # the heartbeats tell of a server that is away; the next look comes
        self._due = now + every

    def finish(self) -> None:
        """Send the rest. Raises ServerUnreachable, and ServerRefused where it may be taken later."""
        if self._refused or not self._kept.is_long:
            return
        try:
            self._send(final=True)
        except ServerRefused as error:
            self._refuse(error)
            if not self._refused:
                raise
        except OSError as error:
            self._log("the job's output cannot be read: %s" % error.strerror)

    def keep(self, waiting: WaitingFiles) -> List[Item]:
        """Put the rest where it waits with the result. Raises StorageError."""
        items: List[Item] = []
        if self._refused or not self._kept.is_long:
            return items
        try:
            for offset, parts in self._kept.runs(self._sent):
                items.append(waiting.add(protocol.OUTPUT, NAME, io.BytesIO(b"".join(parts)), offset=offset))
        except OSError as error:
            self._log("the job's output cannot be read: %s" % error.strerror)
        return items

    def _send(self, final: bool = False) -> float:
        """Send what there is by now. Returns how often the server wants more, in seconds.

        Where the server has less than was thought (its machine lost its power), that goes again, once.
        """
        until, every = self._kept.size, protocol.OUTPUT_INTERVAL
        again = False
        if final and self._sent >= until:
            outputpieces.send(self._context(), Piece(until, b""), final)
        while self._sent < until:
            piece = self._kept.piece(self._sent)
            if piece is None:
                break
            size, every = outputpieces.send(self._context(), piece, final and piece.end >= until)
            goes_again, again = size < piece.end and not again, again or size < piece.end
            self._sent = size if goes_again else piece.end
        return every

    def _refuse(self, error: ServerRefused) -> None:
        """Give it up, unless the refusal may pass."""
        if error.status in RETRIED_STATUSES or error.status in (401, 403):
            return
        self._refused = True
        self._log("the server takes no more of the job's output: %s" % error)
