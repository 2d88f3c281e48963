"""Looks whether the sweep is to end by its rule: when something has changed, and for a twentieth of the time
at most, as a target may take long to look up among a million jobs."""

import sqlite3
import time
from typing import Callable, Hashable, Optional

from jd.server.experiment import Experiment
from jd.server.store.operators import endrule
from jd.server.store.pages import summary

SHARE = 0.05
SECONDS = 30.0  # that one look may take


class EndRule:
    """The rule of one experiment, whatever it is at the time."""

    def __init__(self, experiment: Experiment, clock: Callable[[], float] = time.monotonic) -> None:
        self._experiment = experiment
        self._clock = clock
        self._due = 0.0
        self._seen: Hashable = None

    async def look(self) -> None:
        """End the sweep if its rule is met. Raises StorageError."""
        experiment, policy = self._experiment, self._experiment.policy
        if not endrule.is_set(policy) or self._clock() < self._due:
            return
        changes = await experiment.look_up(summary.changes)
        seen = (policy, changes["jobs"], changes["settings"])
        if seen == self._seen and not policy.max_hours:
            return
        began, now = self._clock(), experiment.clock()

        def met(db: sqlite3.Connection) -> Optional[endrule.Met]:
            return endrule.met(db, policy, now)

        try:
            why = await experiment.read(met, seconds=SECONDS)
        finally:  # one that takes too long takes all of its time
            self._due = self._clock() + (self._clock() - began) / SHARE
        if why is not None:
            await experiment.write(lambda t: endrule.end(t, policy, why))
        self._seen = seen
