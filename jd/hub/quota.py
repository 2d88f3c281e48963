"""How often one API key may ask for a token."""

import math
import time
from collections import deque
from typing import Callable, Deque, Dict

# 5,000 workers of one key renew within four minutes of each other.
TOKENS_PER_MINUTE = 2000
_CROWD = 1000  # keys; beyond it those that have been quiet are forgotten


class Quota:
    """At most `limit` within any `period` seconds, for each key by itself."""

    def __init__(self, limit: int = TOKENS_PER_MINUTE, period: float = 60.0,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.period = period
        self._clock = clock
        self._taken: Dict[int, Deque[float]] = {}

    def take(self, key_id: int) -> int:
        """0 if it may go on, which is then counted; else the whole seconds to wait."""
        now = self._clock()
        if len(self._taken) >= _CROWD and key_id not in self._taken:
            self._forget_quiet(now)
        times = self._taken.setdefault(key_id, deque())
        while times and times[0] <= now - self.period:
            times.popleft()
        if len(times) >= self.limit:
            return max(1, math.ceil(times[0] + self.period - now))
        times.append(now)
        return 0

    def _forget_quiet(self, now: float) -> None:
        self._taken = {key_id: times for key_id, times in self._taken.items()
                       if times and times[-1] > now - self.period}
