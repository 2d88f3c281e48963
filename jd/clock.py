"""Two clocks: the time that people and machines set, and the time that passes.

The first tells when something was, and is shown. The second measures: it neither jumps nor goes back.
"""

import sys
import time
from typing import Callable


def elapsed() -> float:
    """Seconds since some moment of the past, counted on while the machine sleeps, where the system can tell
    (Linux); a clock that is set does not change them."""
    if sys.platform == "linux":
        try:
            return time.clock_gettime(time.CLOCK_BOOTTIME)
        except OSError:
            pass  # a sandbox that does not have it has never slept either
    return time.monotonic()


class Clock:
    """Called, it gives Unix seconds; `elapsed` gives seconds that only pass."""

    def __init__(self, now: Callable[[], float] = time.time,
                 elapsed: Callable[[], float] = elapsed) -> None:
        self._now = now
        self.elapsed = elapsed

    def __call__(self) -> float:
        return self._now()

    def offset(self) -> float:
        """How far the first is ahead of the second; another value means that the clock was set."""
        return self._now() - self.elapsed()
