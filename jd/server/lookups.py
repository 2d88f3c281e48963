"""Look-ups of workers: those that are asked for in one turn of the loop are one operation.

To hand something to a thread and back takes longer than to find a few rows, and when all workers are given a
command thousands of heartbeats look up what they are told: the same for most, and found with one statement.
"""

import asyncio
import sqlite3
from concurrent.futures import Future
from functools import partial
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, TypeVar

from jd.errors import StorageError
from jd.net.serving import inloop
from jd.storage.database import Database

T = TypeVar("T")
A = TypeVar("A")


class _Asked(NamedTuple):
    operation: Callable[[sqlite3.Connection, Sequence[Any]], Sequence[Any]]
    about: Any
    answer: "asyncio.Future[Any]"


class LookUps:
    """Operations that find a few rows by an index. If one of a turn fails, each is run by itself: the others
    have their values. Those of one turn are answered in one turn, and no more of them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._deliver: Optional[inloop.InTurn] = None
        self._asked: List[_Asked] = []

    def ask(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Run an operation after this turn of the loop. Who gives up cancels the Future."""
        return self.ask_together(_each, operation)

    def ask_together(self, operation: Callable[[sqlite3.Connection, Sequence[A]], Sequence[T]],
                     about: A) -> "asyncio.Future[T]":
        """`ask`, with an operation that is called once for all about which it is asked in a turn, and gives
        a value for each of them in their order."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._deliver, self._asked = loop, inloop.InTurn(loop), []
        if not self._asked:
            loop.call_soon(self._begin)
        answer: "asyncio.Future[T]" = loop.create_future()
        self._asked.append(_Asked(operation, about, answer))
        return answer

    def _begin(self) -> None:
        asked, self._asked = self._asked, []
        self._run([one for one in asked if not one.answer.done()])

    def _run(self, asked: List[_Asked]) -> None:
        if not asked:
            return
        try:
            found = self._database.look_up(lambda db: _found(db, asked))
        except StorageError as error:
            for one in asked:
                one.answer.set_exception(error)
            return
        deliver = self._deliver
        assert deliver is not None
        found.add_done_callback(lambda done: deliver(partial(self._give, asked, done)))

    def _give(self, asked: List[_Asked], found: "Future[List[Any]]") -> None:
        problem = found.exception()
        if problem is not None and len(asked) > 1:
            for one in asked:
                if not one.answer.done():
                    self._run([one])
            return
        for number, one in enumerate(asked):
            if one.answer.done():
                continue
            if problem is None:
                one.answer.set_result(found.result()[number])
            else:
                one.answer.set_exception(problem)


def _each(db: sqlite3.Connection, operations: Sequence[Callable[[sqlite3.Connection], T]]) -> List[T]:
    return [operation(db) for operation in operations]


def _found(db: sqlite3.Connection, asked: List[_Asked]) -> List[Any]:
    together: Dict[Any, List[int]] = {}
    for number, one in enumerate(asked):
        together.setdefault(one.operation, []).append(number)
    found: Dict[int, Any] = {}
    for operation, numbers in together.items():
        found.update(zip(numbers, operation(db, [asked[number].about for number in numbers])))
    return [found[number] for number in range(len(asked))]
