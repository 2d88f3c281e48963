"""What other threads have done comes into the event loop, also while that ends.

`asyncio.wrap_future` looks whether its loop is closed and calls it then: a thread that is done between the
two raises, and its traceback is printed although nobody waits any more.
"""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Any, Callable, Deque, TypeVar

T = TypeVar("T")


def call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Have something called in a loop, from any thread; a closed one calls nothing more."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        pass  # it is closed: nobody waits any more


class InTurn:
    """Given a callback, from any thread, has it called in a loop: one in each turn of it, in their order.
    Each may wake many, and after a turn that was long there are several."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callbacks: "Deque[Callable[[], None]]" = deque()
        self._lock = threading.Lock()
        self._goes_on = False  # the next turn calls one

    def __call__(self, callback: Callable[[], None]) -> None:
        with self._lock:
            self._callbacks.append(callback)
            begins, self._goes_on = not self._goes_on, True
        if begins:
            call(self._loop, self._next)

    def _next(self) -> None:
        with self._lock:
            callback = self._callbacks.popleft()
            goes_on = self._goes_on = bool(self._callbacks)
        if goes_on:
            self._loop.call_soon(self._next)
        callback()


def awaited(work: "Future[T]") -> "asyncio.Future[T]":
    """What comes of work in another thread, for who awaits it in this loop; to cancel it cancels the work."""
    loop = asyncio.get_running_loop()
    answer: "asyncio.Future[T]" = loop.create_future()
    answer.add_done_callback(partial(_give_up, work))
    work.add_done_callback(partial(_done, loop, answer))
    return answer


def _give_up(work: "Future[Any]", answer: "asyncio.Future[Any]") -> None:
    if answer.cancelled():
        work.cancel()


def _done(loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[Any]", work: "Future[Any]") -> None:
    call(loop, partial(_pass_on, work, answer))


def _pass_on(work: "Future[Any]", answer: "asyncio.Future[Any]") -> None:
    if answer.done():
        return
    if work.cancelled():
        answer.cancel()
        return
    problem = work.exception()
    if problem is None:
        answer.set_result(work.result())
    else:
        answer.set_exception(problem)
