"""Makes results of what jobs report while they run: soon, and for a twentieth of the time at most, as each
number is in an index."""

import time
from functools import partial
from typing import Callable, Optional

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
        """Write those of all jobs that have reported something, each once, unless too much time went into
        that of late. Raises StorageError."""
        if self._clock() < self._due or not await self._experiment.look_up(columns.is_due):
            return
        portion = Portion(SLICE, first=FIRST)
        self._spent = 0.0
        after: Optional[int] = 0
        # Upwards only: where many report much, jobs that are done are due again before the last one is.
        while after is not None:
            after = await self._experiment.write(portion.timed(
                partial(self._write, limit=portion.size, after=after)))
        self._due = self._clock() + self._spent / SHARE

    def _write(self, t: Transaction, limit: int, after: int) -> Optional[int]:
        began = self._clock()
        then = columns.write_due(t, limit, after)
        self._spent += self._clock() - began
        return then
