"""Look-ups of one turn of the loop are one operation, and none is the worse for the others."""

import asyncio
import sqlite3
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, Iterator, List, Sequence

import pytest

from jd.errors import StorageError
from jd.server.lookups import LookUps
from jd.storage.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "x.db", ["CREATE TABLE t (x);"])
    yield database
    database.close()


@pytest.fixture
def begun(database: Database, monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """What the database was asked for."""
    asked: List[Any] = []
    real = database.look_up

    def counted(operation: Callable[[sqlite3.Connection], Any]) -> Any:
        asked.append(operation)
        return real(operation)
    monkeypatch.setattr(database, "look_up", counted)
    return asked


def squared(number: int) -> Callable[[sqlite3.Connection], int]:
    return lambda db: int(db.execute("SELECT ? * ?", (number, number)).fetchone()[0])


def test_those_of_one_turn_are_one_operation(database: Database, begun: List[Any]) -> None:
    async def ask() -> List[int]:
        look_ups = LookUps(database)
        first = list(await asyncio.gather(*[look_ups.ask(squared(number)) for number in range(100)]))
        return first + [await look_ups.ask(squared(100))]
    assert asyncio.run(ask()) == [number * number for number in range(101)]
    assert len(begun) == 2


def test_an_operation_is_called_once_for_all_about_which_it_is_asked_in_a_turn(database: Database,
                                                                              begun: List[Any]) -> None:
    asked: List[List[int]] = []

    def doubled(_db: sqlite3.Connection, numbers: Sequence[int]) -> List[int]:
        asked.append(list(numbers))
        return [2 * number for number in numbers]

    def negated(_db: sqlite3.Connection, numbers: Sequence[int]) -> List[int]:
        if 3 in numbers:
            raise KeyError("no such row")
        return [-number for number in numbers]

    async def ask() -> List[Any]:
        look_ups = LookUps(database)
        kinds = (doubled, negated)
        some = await asyncio.gather(*[look_ups.ask_together(kind, number)
                                      for number in (1, 2) for kind in kinds])
        return list(some) + list(await asyncio.gather(
            *[look_ups.ask_together(kind, number) for number in (3, 4) for kind in kinds],
            return_exceptions=True))
    *found, double_three, failed, eight, minus_four = asyncio.run(ask())
    assert found == [2, -1, 4, -2] and asked[0] == [1, 2]
    assert (double_three, type(failed), eight, minus_four) == (6, KeyError, 8, -4)  # it failed alone
    assert len(begun) == 2 + 4


@pytest.mark.parametrize("failure", [KeyError, sqlite3.OperationalError])
def test_one_that_fails_fails_alone(database: Database, failure: Any) -> None:
    def fail(db: sqlite3.Connection) -> int:
        raise failure("no such row")

    async def ask() -> List[Any]:
        look_ups = LookUps(database)
        asked = [look_ups.ask(operation) for operation in (squared(2), fail, squared(3))]
        return list(await asyncio.gather(*asked, return_exceptions=True))
    two, failed, three = asyncio.run(ask())
    assert (two, three) == (4, 9)
    assert type(failed) is (KeyError if failure is KeyError else StorageError)


def test_who_gives_up_takes_nobody_along(database: Database, begun: List[Any]) -> None:
    """In the same turn, and while the others are looked up."""
    async def ask() -> List[Any]:
        look_ups = LookUps(database)
        asked = [look_ups.ask(squared(number)) for number in range(4)]
        asked[0].cancel()
        await asyncio.sleep(0)
        asked[1].cancel()
        return list(await asyncio.gather(*asked, return_exceptions=True))
    answers = asyncio.run(ask())
    assert [type(one) for one in answers[:2]] == [asyncio.CancelledError] * 2 and answers[2:] == [4, 9]
    assert len(begun) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_database_that_is_closed(database: Database, count: int) -> None:
    async def ask() -> List[Any]:
        look_ups = LookUps(database)
        return list(await asyncio.gather(*[look_ups.ask(squared(2)) for _ in range(count)],
                                         return_exceptions=True))
    database.close()
    assert [type(one) for one in asyncio.run(ask())] == [StorageError] * count


def test_what_a_loop_has_left_keeps_nobody_of_the_next_one_waiting(database: Database) -> None:
    look_ups = LookUps(database)

    async def ask() -> int:
        return await look_ups.ask(squared(3))

    def leave() -> None:
        look_ups.ask(squared(2))
        loop.stop()  # before its next turn
    loop = asyncio.new_event_loop()
    loop.call_soon(leave)
    loop.run_forever()
    loop.close()
    assert asyncio.run(ask()) == 9


def test_those_of_several_turns_are_answered_in_several(monkeypatch: pytest.MonkeyPatch,
                                                        database: Database) -> None:
    """However long the loop was busy meanwhile."""
    found: List["Future[Any]"] = []

    def look_up(_operation: Callable[[sqlite3.Connection], Any]) -> "Future[Any]":
        found.append(Future())
        return found[-1]
    monkeypatch.setattr(database, "look_up", look_up)

    async def ask() -> List[int]:
        look_ups, turn = LookUps(database), 0
        answered: List[int] = []
        for _ in range(3):
            for _ in range(2):
                look_ups.ask(squared(2)).add_done_callback(lambda _: answered.append(turn))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert len(found) == 3
        for one in found:
            one.set_result([4, 4])
        while len(answered) < 6:
            await asyncio.sleep(0)
            turn += 1
        return answered
    answered = asyncio.run(asyncio.wait_for(ask(), 20))
    assert [answered.count(turn) for turn in sorted(set(answered))] == [2, 2, 2]
