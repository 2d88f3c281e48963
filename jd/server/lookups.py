"""Look-ups of workers: those that are asked for in one turn of the loop are one operation.

To hand something to a thread and back takes longer than to find a few rows, and when all workers are given a
command thousands of heartbeats look up what they are told.
"""

import asyncio
import sqlite3
from concurrent.futures import Future
from functools import partial
from typing import Any, Callable, List, Optional, Tuple, TypeVar

from jd.errors import StorageError
from jd.net.serving import inloop
from jd.storage.database import Database, Deliver, at_once

T = TypeVar("T")
_Asked = Tuple[Callable[[sqlite3.Connection], Any], "asyncio.Future[Any]"]


class LookUps:
    """Operations that find a few rows by an index. If one of a turn fails, each is run by itself: the others
    have their values. Those of one turn are answered in one turn, and no more of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._deliver: Deliver = at_once
        self._asked: List[_Asked] = []

    def ask(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Run an operation after this turn of the loop. Who gives up cancels the Future."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._deliver, self._asked = loop, inloop.InTurn(loop), []
        if not self._asked:
            loop.call_soon(self._begin)
        answer: "asyncio.Future[T]" = loop.create_future()
        self._asked.append((operation, answer))
        return answer

    def _begin(self) -> None:
        asked, self._asked = self._asked, []
        self._run([one for one in asked if not one[1].done()])

    def _run(self, asked: List[_Asked]) -> None:
        if not asked:
            return
        try:
            found = self._database.look_up(lambda db: [operation(db) for operation, _ in asked])
        except StorageError as error:
            for _, answer in asked:
                answer.set_exception(error)
            return
        deliver = self._deliver
        found.add_done_callback(lambda done: deliver(partial(self._give, asked, done)))

    def _give(self, asked: List[_Asked], found: "Future[List[Any]]") -> None:
        problem = found.exception()
        if problem is not None and len(asked) > 1:
            for one in asked:
                if not one[1].done():
                    self._run([one])
            return
        for number, (_, answer) in enumerate(asked):
            if answer.done():
                continue
            if problem is None:
                answer.set_result(found.result()[number])
            else:
                answer.set_exception(problem)
