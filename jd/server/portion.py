"""How much of a long piece of work one operation does: what can be written in SECONDS, or other ones.

Workers are served between two operations. How long some jobs take to write differs a hundredfold, with their
parameters, their number and the disk, so what bounds the wait is the time and not a number.
"""

import time
from typing import Callable, TypeVar

from jd.server.store.transaction import Transaction

T = TypeVar("T")

SECONDS = 0.02  # of writing
FIRST = 200  # as long as it is not known how long they take


class Portion:
    """`size` is how many rows, jobs or workers the next operation takes, never more than `most`, and `first`
    before it is known how long they take."""

    def __init__(self, most: int, seconds: float = SECONDS, first: int = FIRST,
                 clock: Callable[[], float] = time.perf_counter) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self.size = min(first, most)

    def timed(self, operation: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        """An operation on `size` of them, from whose time the next size is learned."""
        def run(t: Transaction) -> T:
            began = self._clock()
            result = operation(t)
            self._took(self._clock() - began)
            return result
        return run

    def _took(self, seconds: float) -> None:
        # By doubles at most: how long one took also depends on what else the machine did.
        if seconds > self._seconds:
            self.size = max(1, int(self.size * self._seconds / seconds))
        elif seconds < self._seconds / 2:
            self.size = min(self._most, self.size * 2)
