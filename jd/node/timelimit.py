"""How long the worker has until its scheduler ends it, as variables or the scheduler itself say.

Where a variable tells the end, that counts. Else Slurm is asked: once before the worker begins, and again
from time to time by a thread, since a limit can be changed and an overloaded squeue may take long to
answer. A variable says it in Unix seconds; what squeue says is left, a clock that is set does not change.
"""

import logging
import math
import threading
from typing import Callable, Mapping, Optional

from jd import settings
from jd.clock import Clock
from jd.node import scheduler
from jd.node.scheduler import Runner
from jd.threads import Reported

ASK_EVERY = 600.0  # seconds
ASK_AGAIN = 60.0  # seconds, while it is not known
FRESH = 0.9  # of an allocation: who has so much left will not get more elsewhere


class TimeLimit:
    """When the scheduler ends the worker."""

    def __init__(self, environ: Mapping[str, str], run: Optional[Runner] = None,
                 clock: Clock = Clock(),
                 log: Callable[[str], None] = logging.getLogger("jd.worker").warning) -> None:
        """Raises UsageError for a JD_END_TIME that cannot be used."""
        self._reported = Reported("how much time the allocation has left is not known anew", log)
        self._utc = clock
        self._run = run
        self._asking: Optional[threading.Thread] = None
        self._asked_at = 0.0
        self._allocation = scheduler.detect(environ)
        ends_at = settings.value_of(settings.WORKER, "JD_END_TIME", environ)
        self._ends_at: Optional[float] = None if ends_at is None else float(ends_at)
        if self._ends_at is None and self._allocation is not None:
            self._ends_at = self._allocation.ends_at
        # Only who has no such variable is to be asked.
        self._asks = self._ends_at is None and self._allocation is not None and bool(
            self._allocation.query)
        self._clock: Callable[[], float] = clock.elapsed if self._asks else clock  # of `_ends_at`
        if self._asks:
            self._ask()

    def left(self) -> Optional[float]:
        """Seconds until the end, at least 0; None without a limit, or where it is not known."""
        now = self._clock()
        if self._asks:
            self._ask_if_due(now)
        if self._ends_at is None or math.isinf(self._ends_at):
            return None
        return max(0.0, self._ends_at - now)

    def is_fresh(self) -> bool:
        """Whether the allocation has hardly begun, as far as the scheduler says."""
        begun = None if self._allocation is None else self._allocation.began_at
        left = self.left()
        if begun is None or left is None:
            return False
        return left >= FRESH * (left + self._utc() - begun)

    def _ask_if_due(self, now: float) -> None:
        pause = ASK_AGAIN if self._ends_at is None else ASK_EVERY
        if now - self._asked_at >= pause and (self._asking is None or not self._asking.is_alive()):
            self._asked_at = now
            self._asking = self._reported.start(self._ask, "jd-squeue")

    def _ask(self) -> None:
        assert self._allocation is not None
        self._asked_at = now = self._clock()
        left = scheduler.time_left(self._allocation, self._utc(), self._run)
        if left is not None:  # an answer that did not come leaves what was known
            self._ends_at = now + left
