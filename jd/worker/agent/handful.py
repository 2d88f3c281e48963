"""Several short jobs that come with one claim: how many a worker asks for, and those that it has not begun.

Between two jobs of no length a worker waits for its server, and both have work with each claim. Who has seen
that its jobs are short asks for more than one. What waits here another worker could run, so all of them
together are to take a moment only. It has no clock: times are seconds on one monotonic clock.
"""

from collections import deque
from typing import Deque, List, Optional, Sequence

from jd.messages import Assignment
from jd.protocol import MAX_PREFETCH, VERDICT_DONE

# Seconds that the jobs of one claim are to take. A claim and what comes with it take a few milliseconds: more
# jobs would save little, and keep them from others, and their results from who waits for them, for longer.
AT_ONCE = 0.25
# Seconds after which results go although a job runs, and what was not begun goes back: not all are alike.
PATIENCE = 1.0
LAST_JOBS = 4  # that were done, one after the other, before the next are taken to be as short


class Handful:
    """`left` are jobs that came with the one that runs, or has just ended, in the order in which they are
    begun. They are to be told of at `until`."""

    def __init__(self) -> None:
        self.left: Deque[Assignment] = deque()
        self.until = 0.0
        self._began = 0.0
        self._took: Deque[float] = deque(maxlen=LAST_JOBS)

    @property
    def wanted(self) -> int:
        """How many jobs to ask for beside one, as far as the last ones tell."""
        if len(self._took) < LAST_JOBS:
            return 0
        longest = max(*self._took, AT_ONCE / (MAX_PREFETCH + 1))
        return max(0, int(AT_ONCE / longest) - 1)

    def came(self, further: Sequence[Assignment], now: float, at_most: float) -> None:
        """A claim has brought a job, and these. They are to be told of within `at_most` seconds."""
        self.left = deque(further)
        self.until = now + min(PATIENCE, at_most)

    def began(self, now: float) -> None:
        """A job is begun."""
        self._began = now

    def ended(self, verdict: Optional[str], now: float) -> None:
        """It has ended. One that was not done tells nothing of how long the next ones take."""
        if verdict == VERDICT_DONE:
            self._took.append(now - self._began)
        else:
            self._took.clear()

    def give_up(self) -> List[Assignment]:
        """None of these is begun any more."""
        left, self.left = list(self.left), deque()
        return left
