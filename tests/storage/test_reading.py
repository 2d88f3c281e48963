"""Readings end: at their deadline, when nobody waits, and none for people is in the way of another kind."""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from jd.errors import StorageError
from jd.storage import backup, reading
from jd.storage.database import READERS, Database
from jd.storage.reading import TookTooLong

SCHEMA = ("CREATE TABLE numbers (n INTEGER PRIMARY KEY);",)
FOREVER = "WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count) SELECT sum(n) FROM count"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "test.db", SCHEMA)
    yield opened
    opened.close()


class Endless:
    """A reading that only its end can end."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> Any:
        self.begun.set()
        try:
            return connection.execute(FOREVER).fetchone()
        finally:
            self.ended.set()


def many_small_ones(connection: sqlite3.Connection) -> None:
    while True:
        connection.execute("SELECT 1").fetchone()


@pytest.mark.parametrize("operation", [Endless(), many_small_ones])
def test_a_reading_ends_at_its_deadline(db: Database, operation: Callable[[sqlite3.Connection], Any]) -> None:
    with pytest.raises(TookTooLong, match="longer than the 0.05 s.*ask for less"):
        db.read(operation, 0.05).result(20)
    assert db.read(lambda c: c.execute("SELECT 1").fetchone()).result(20) == (1,)


def test_a_reading_that_nobody_waits_for_ends(db: Database) -> None:
    async def main() -> None:
        endless = Endless()
        task = asyncio.ensure_future(asyncio.wrap_future(db.read(endless, 30.0)))
        await asyncio.get_running_loop().run_in_executor(None, endless.begun.wait, 20)
        task.cancel()
        assert await asyncio.get_running_loop().run_in_executor(None, endless.ended.wait, 20)
    asyncio.run(main())


def test_one_that_is_given_up_while_it_waits_never_begins(db: Database) -> None:
    busy = [Endless() for _ in range(READERS)]
    held = [db.read(endless, 30.0) for endless in busy]
    assert all(endless.begun.wait(60) for endless in busy)
    doomed = Endless()
    assert db.read(doomed).cancel()
    for one in held:
        one.cancel()
    assert db.read(lambda c: c.execute("SELECT 1").fetchone()).result(20) == (1,)
    assert not doomed.begun.is_set()


def test_lookups_and_backups_need_none_of_the_readers_for_people(db: Database, tmp_path: Path) -> None:
    busy = [Endless() for _ in range(READERS)]
    held = [db.read(endless, 30.0) for endless in busy]
    assert all(endless.begun.wait(60) for endless in busy)
    assert db.look_up(lambda c: c.execute("SELECT 1").fetchone()).result(20) == (1,)
    assert backup.write(db, tmp_path / "copy.db") > 0
    for one in held:
        one.cancel()


def test_who_is_stopped_leaves_nothing_to_the_next(db: Database) -> None:
    """The clock and the wish of one reading are not those of another on the same connection."""
    with pytest.raises(TookTooLong):
        db.read(Endless(), 0.01).result(20)
    for _ in range(READERS + 1):
        long = ("WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count LIMIT %d)"
                " SELECT max(n) FROM count" % reading.PORTION)
        assert db.read(lambda c: c.execute(long).fetchone()).result(20) == (reading.PORTION,)


def test_a_failure_of_its_own_is_told_as_such(db: Database) -> None:
    with pytest.raises(StorageError, match="test.db.*no such table"):
        db.read(lambda c: c.execute("SELECT * FROM missing")).result(20)
    with pytest.raises(ZeroDivisionError):
        db.read(lambda c: 1 // 0).result(20)


def test_a_closed_database_reads_nothing(tmp_path: Path) -> None:
    opened = Database(tmp_path / "test.db", SCHEMA)
    opened.close()
    with pytest.raises(StorageError, match="closed"):
        opened.read(lambda c: None)
