"""One answer for all who ask the same at the same time: a hundred viewers cost as one."""

import asyncio
import time
from collections import OrderedDict
from typing import Awaitable, Callable, Hashable, Optional

from jd.net.serving.routing import Response

MAX_ANSWERS = 64
MAX_BYTES = 16 * 2 ** 20  # of all answers that are kept
MAX_AGE = 5.0  # seconds: what an answer says of the time, such as "in the last hour", grows old


class _Kept:
    """An answer and how many wait for it."""

    def __init__(self, version: Hashable, made_at: float, answer: "asyncio.Task[Response]") -> None:
        self.version = version
        self.made_at = made_at
        self.answer = answer
        self.waiting = 0


class Shared:
    """Answers by what was asked, each good as long as its version is the one that is asked for.

    Only answers with a body can be shared, no file and no stream.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: "OrderedDict[Hashable, _Kept]" = OrderedDict()

    async def get(self, key: Hashable, version: Hashable,
                  make: Callable[[], Awaitable[Response]], max_age: float = MAX_AGE) -> Response:
        """What `make` gave for this key and version, at most `max_age` seconds ago; it is asked once for all
        who come meanwhile.

        Raises what `make` raises, to each who waited for it; that is not kept. When the last one who
        waits is cancelled, so is `make`.
        """
        now = self._clock()
        kept = self._kept.get(key)
        if kept is None or kept.version != version or now - kept.made_at > max_age:
            kept = _Kept(version, now, asyncio.ensure_future(_made(make)))
            new = kept
            kept.answer.add_done_callback(lambda _: self._settle(key, new))
            self._kept[key] = kept
        self._kept.move_to_end(key)
        self._trim()
        kept.waiting += 1
        try:
            # Whoever asked first may go away; the others still wait for it.
            return await asyncio.shield(kept.answer)
        finally:
            kept.waiting -= 1
            if not kept.waiting and not kept.answer.done():
                kept.answer.cancel()
                self._forget(key, kept)

    def _settle(self, key: Hashable, kept: _Kept) -> None:
        if _size(kept.answer) is None:
            self._forget(key, kept)
        self._trim()

    def _forget(self, key: Hashable, kept: _Kept) -> None:
        if self._kept.get(key) is kept:
            del self._kept[key]

    def _trim(self) -> None:
        """Let go of what was not asked for the longest time."""
        total = sum(_size(kept.answer) or 0 for kept in self._kept.values())
        while self._kept and (len(self._kept) > MAX_ANSWERS or total > MAX_BYTES):
            _, kept = self._kept.popitem(last=False)
            total -= _size(kept.answer) or 0


async def _made(make: Callable[[], Awaitable[Response]]) -> Response:
    return await make()


def _size(answer: "asyncio.Task[Response]") -> Optional[int]:
    """Bytes of an answer; None if it failed, or is still being made."""
    if not answer.done() or answer.cancelled() or answer.exception() is not None:
        return None
    return len(answer.result().body)
