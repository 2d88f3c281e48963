"""The event loop of a server: like that of `asyncio.run`, but no turn of it is long.

asyncio looks at all that is ready before anything else happens, which takes a second when thousands of
workers connect in the same moment. And Python's collector of garbage looks at all objects again and again,
which takes half a second where thousands of heartbeats are held.
"""

import asyncio
import gc
import selectors
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Callable, Coroutine, Dict, List, Optional, Tuple, TypeVar

T = TypeVar("T")

AT_ONCE = 16  # descriptors that are looked at in one turn: fewer than answers that go out in one
# Of the collector: it leaves alone what requests that are under way have made, which is gone a moment later.
# A collection is one of what is new, and takes ten milliseconds.
THRESHOLD = 20_000
WHOLE = 100  # collections
GROWN = 1.25  # times as many blocks of memory as before, and
GROWN_BY = 500_000  # more, are not for what the server does: there may be garbage among them


class FewAtOnce(selectors.DefaultSelector):
    """Tells AT_ONCE of those that are ready, and the others when it is asked again: each in its turn.

    `give_way` is called before something is told, and may wait a moment for what is more urgent."""

    def __init__(self, give_way: Optional[Callable[[], None]] = None) -> None:
        super().__init__()
        self._give_way = give_way
        self._left: Dict[int, int] = {}  # events by descriptor

    def select(self, timeout: Optional[float] = None) -> List[Tuple[selectors.SelectorKey, int]]:
        """As that of the standard library."""
        ready = [] if self._left else super().select(timeout)
        if self._give_way is not None:
            self._give_way()
        if not self._left:
            if len(ready) <= AT_ONCE:
                return ready
            self._left = {key.fd: events for key, events in ready}
        some = [self.get_key(descriptor) for descriptor in islice(self._left, AT_ONCE)]
        return [(key, self._left.pop(key.fd) & key.events) for key in some]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """The descriptor may be that of another connection soon, about which nothing is known."""
        key = super().unregister(fileobj)
        self._left.pop(key.fd, None)
        return key


def run(main: "Coroutine[Any, Any, T]", give_way: Optional[Callable[[], None]] = None) -> T:
    """`asyncio.run` with such a loop, which calls `give_way` in each turn before it goes on."""
    loop = asyncio.SelectorEventLoop(FewAtOnce(give_way))
    threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop.set_default_executor(threads)
    asyncio.set_event_loop(loop)
    sparing, before = _Sparing(loop), gc.get_threshold()
    gc.freeze()  # what was imported stays
    gc.callbacks.append(sparing)
    gc.set_threshold(THRESHOLD)
    try:
        return loop.run_until_complete(main)
    finally:
        try:
            _end_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            threads.shutdown()  # asyncio waits for them since Python 3.9 only
        finally:
            gc.callbacks.remove(sparing)
            gc.set_threshold(*before)
            asyncio.set_event_loop(None)
            loop.close()


class _Sparing:
    """Called by the collector: what has survived a collection is not looked at again. It goes when
    nothing refers to it any more, which needs no collector. What only refers to itself, such as a closed TLS
    connection, stays until there is much more than WHOLE collections before: then all is looked at. That
    takes half a second with thousands of workers, and does not come while these are as many.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._spared = 0
        self._before: Optional[int] = None  # blocks, since all were looked at

    def __call__(self, phase: str, about: Dict[str, int]) -> None:
        if phase != "stop":
            return
        gc.freeze()
        self._spared += 1
        if self._spared == WHOLE:
            self._spared = 0
            now, before = sys.getallocatedblocks(), self._before
            if before is None:
                self._before = now
            elif now > GROWN * before + GROWN_BY:
                self._before = None
                self._loop.call_soon_threadsafe(_look_at_all)  # not while it is at it


def _look_at_all() -> None:
    gc.unfreeze()
    gc.collect()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
