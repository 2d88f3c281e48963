"""Look-ups of workers: those that are asked for in one turn of the loop are one operation.

To hand something to a thread and back takes longer than to find a few rows, and when all workers are given a
command thousands of heartbeats look up what they are told.
"""

import asyncio
import sqlite3
from functools import partial
from typing import Any, Callable, List, Optional, Tuple, TypeVar

from jd.net.serving import inloop
from jd.storage.database import Database

T = TypeVar("T")
_Asked = Tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class LookUps:
    """Operations that find a few rows by an index. If one of a turn fails, each is run by itself: the others
    have their values."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._asked: List[_Asked] = []

    def ask(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Run an operation after this turn of the loop. Who gives up cancels the Future."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop or not self._asked:
            self._loop, self._asked = loop, []
            loop.call_soon(self._begin)
        answer: "asyncio.Future[T]" = loop.create_future()
        self._asked.append((operation, answer))
        return answer

    def _begin(self) -> None:
        asked = [one for one in self._asked if not one[1].done()]
        self._asked = []
        if len(asked) <= 1:
            for operation, answer in asked:
                self._run(operation, answer)
            return
        together: "asyncio.Future[List[Any]]" = asyncio.get_running_loop().create_future()
        together.add_done_callback(partial(self._give, asked))
        self._run(lambda db: [operation(db) for operation, _ in asked], together)

    def _give(self, asked: List[_Asked], together: "asyncio.Future[List[Any]]") -> None:
        if together.exception() is not None:
            for operation, answer in asked:
                self._run(operation, answer)
            return
        for (_, answer), value in zip(asked, together.result()):
            if not answer.done():
                answer.set_result(value)

    def _run(self, operation: Callable[[sqlite3.Connection], Any], answer: "asyncio.Future[Any]") -> None:
        try:
            reading = inloop.awaited(self._database.look_up(operation))
        except Exception as error:
            if not answer.done():
                answer.set_exception(error)
            return
        reading.add_done_callback(partial(_pass_on, answer))


def _pass_on(answer: "asyncio.Future[Any]", reading: "asyncio.Future[Any]") -> None:
    problem = reading.exception()
    if answer.done():
        return
    if problem is None:
        answer.set_result(reading.result())
    else:
        answer.set_exception(problem)
