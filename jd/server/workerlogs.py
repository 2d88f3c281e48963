"""The ends of workers' logs, of workers whose log somebody looks at. They are in memory only.

A worker sends the end of its log with its heartbeats as long as somebody looks (the extension `worker_log`).
"""

import time
from typing import Callable, Dict, NamedTuple, Optional

from jd.server.watching import LOOK_LASTS

NUDGE_EVERY = 30.0  # seconds between two nudges of a worker that sends none: it may be of another make
MOST = 200  # logs that are looked at at once


class Log(NamedTuple):
    """The end of a log, and when it came, in seconds of the clock."""

    text: str
    came: float


class _Look:
    def __init__(self) -> None:
        self.looked = 0.0
        self.nudged: Optional[float] = None
        self.log: Optional[Log] = None


class WorkerLogs:
    """Whose logs are looked at. `nudge` has a heartbeat of a worker that is held be answered."""

    def __init__(self, nudge: Callable[[str], None],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._nudge = nudge
        self._clock = clock
        self._looks: Dict[str, _Look] = {}

    def look(self, worker_id: str) -> Optional[Log]:
        """Somebody looks at the log of a worker now. Returns what there is of it."""
        now = self._clock()
        look = self._looks.get(worker_id)
        if look is None:
            self._forget(now)
            look = self._looks[worker_id] = _Look()
        look.looked = now
        fresh = look.log is not None and now - look.log.came < LOOK_LASTS
        if not fresh and (look.nudged is None or now - look.nudged >= NUDGE_EVERY):
            look.nudged = now
            self._nudge(worker_id)
        return look.log

    def watched(self, worker_id: str) -> bool:
        """Whether somebody looks."""
        look = self._looks.get(worker_id)
        return look is not None and self._clock() - look.looked < LOOK_LASTS

    def take(self, worker_id: str, text: str) -> None:
        """Keep what a worker has sent, if somebody looks."""
        if self.watched(worker_id):
            self._looks[worker_id].log = Log(text, self._clock())

    def age(self, log: Log) -> float:
        """How many seconds ago it came."""
        return self._clock() - log.came

    def _forget(self, now: float) -> None:
        """Make room: those that nobody looks at any more go, or the one that was looked at longest ago."""
        self._looks = {worker: look for worker, look in self._looks.items()
                       if now - look.looked < LOOK_LASTS}
        if len(self._looks) >= MOST:
            del self._looks[min(self._looks, key=lambda worker: self._looks[worker].looked)]
