"""Makes results of what jobs report while they run: soon, and for a twentieth of the time at most, as each
number is in an index."""

import time
from typing import Callable

from jd.server.experiment import Experiment
from jd.server.portion import Portion
from jd.server.store.reports import columns
from jd.server.store.transaction import Transaction

SHARE = 0.05
SLICE = 100  # jobs in one operation at most; how many it is says the time that they take
FIRST = 10


class ReportedResults:
    """Those of one experiment."""

    def __init__(self, experiment: Experiment, clock: Callable[[], float] = time.monotonic) -> None:
        self._experiment = experiment
        self._clock = clock
        self._due = 0.0
        self._spent = 0.0

    async def look(self) -> None:
        """Write those of all jobs that have reported something, unless too much time went into that of late.
        Raises StorageError."""
        if self._clock() < self._due or not await self._experiment.look_up(columns.is_due):
            return
        portion = Portion(SLICE, first=FIRST)
        self._spent = 0.0
        while await self._experiment.write(portion.timed(lambda t: self._write(t, portion.size))):
            pass
        self._due = self._clock() + self._spent / SHARE

    def _write(self, t: Transaction, limit: int) -> bool:
        began = self._clock()
        more = columns.write_due(t, limit)
        self._spent += self._clock() - began
        return more
