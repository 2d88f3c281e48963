"""Who waits to be answered goes before the next request of who was.

When thousands of held requests are answered at once, each client asks again as soon as it has its answer. To
serve that takes longer than to answer one that waits, and those that wait would be told between the two. In
such a rush a connection whose client was answered is not read from for a while. All others are, and do not
stand in one line with the thousands.
"""

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import Callable, Deque, Iterator, Optional, Tuple

from jd.net.serving import turns

FEW = 64  # who wait to be answered are no rush: the loop has told so many in a turn
# That are read from again in one turn: half of those at which the loop looks in one. With as many as that,
# hundreds stood in front of whoever else asks something.
AT_ONCE = turns.AT_ONCE // 2
LONGEST = 2.0  # seconds that one is put off: a rush may last, and nobody starves


class Rush:
    """How many are to be answered at once, and whose next request waits for them. For the loop's thread."""

    def __init__(self) -> None:
        self._to_answer = 0
        self._put_off: Deque[Tuple[float, Callable[[], None]]] = deque()
        self._handle: Optional[asyncio.Handle] = None  # of the next look at them

    @property
    def is_on(self) -> bool:
        """Whether many are still to be answered."""
        return self._to_answer > FEW

    def begin(self, count: int = 1) -> None:
        """So many more are to be answered."""
        self._to_answer += count

    def end(self, count: int = 1) -> None:
        """So many fewer: they were answered, or have gone."""
        was_on = self.is_on
        self._to_answer -= count
        if was_on and not self.is_on and self._put_off:
            self._look_soon()

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """It is not over in this context: many are told one after the other, and none comes in between."""
        self.begin(FEW + 1)
        try:
            yield
        finally:
            self.end(FEW + 1)

    def put_off(self, go_on: Callable[[], None]) -> None:
        """Have `go_on` called when the rush is over, or lasts too long; in the order in which they came."""
        loop = asyncio.get_running_loop()
        self._put_off.append((loop.time() + LONGEST, go_on))
        if self._handle is None:
            self._handle = loop.call_later(LONGEST, self._let_in)

    def _look_soon(self) -> None:
        if isinstance(self._handle, asyncio.TimerHandle):
            self._handle.cancel()
            self._handle = None
        if self._handle is None:  # one that is due in the next turn must not be put off with each that ends
            self._handle = asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        loop = asyncio.get_running_loop()
        self._handle = None
        for _ in range(AT_ONCE):
            if not self._put_off or self._is_to_wait(loop):
                break
            loop.call_soon(self._put_off.popleft()[1])
        if self._put_off and self._is_to_wait(loop):
            self._handle = loop.call_at(self._put_off[0][0], self._let_in)
        elif self._put_off:
            self._look_soon()

    def _is_to_wait(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether the first of those that are put off still waits."""
        return self.is_on and loop.time() < self._put_off[0][0]
