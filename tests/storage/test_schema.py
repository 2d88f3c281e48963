"""A schema that is brought up to date: what is kept of the old file, and who is refused."""

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, List, NamedTuple, Sequence, Tuple

import pytest

import jd
from jd import killpoint
from jd.errors import DamagedFile, StorageError
from jd.hub.store.schema import MIGRATIONS as OF_THE_HUB
from jd.server.store.schema import MIGRATIONS as OF_JOBS
from jd.storage import schema
from jd.storage.database import Database
from jd.storage.filemodes import Modes

EARLIER = [("jobs.db", OF_JOBS, number) for number in (1, 8, len(OF_JOBS) - 1)] + [
    ("hub.db", OF_THE_HUB, number) for number in (1, len(OF_THE_HUB) - 1)]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def an_old_one(path: Path, migrations: Sequence[str], number: int) -> None:
    """A database as a version that knew so many migrations has left it."""
    with closing(sqlite3.connect(str(path))) as old:
        old.executescript("".join(migrations[:number]) + "PRAGMA user_version = %d;" % number)
        old.execute("INSERT INTO settings VALUES ('a', 'b')")
        old.commit()


def dump(path: Path) -> Tuple[int, List[str]]:
    with closing(sqlite3.connect(str(path))) as db:
        return db.execute("PRAGMA user_version").fetchone()[0], list(db.iterdump())


def used(path: Path, migrations: Sequence[str]) -> None:
    Database(path, migrations).close()


@pytest.mark.parametrize("name, migrations, number", EARLIER, ids=lambda value: str(value)[:8])
def test_a_database_of_an_earlier_schema_is_kept_as_it_was(name: str, migrations: Sequence[str], number: int,
                                               tmp_path: Path) -> None:
    path = tmp_path / name
    an_old_one(path, migrations, number)
    before = dump(path)
    used(path, migrations)
    assert dump(schema.copy_of(path, number)) == before
    assert dump(path)[0] == len(migrations)
    used(path, migrations)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [name, "%s.schema-%d" % (name, number)]


def test_a_copy_is_as_private_as_the_database(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    an_old_one(path, OF_JOBS, 3)
    Database(path, OF_JOBS, Modes(0o2750, 0o640, os.getgid())).close()
    assert os.stat(str(schema.copy_of(path, 3))).st_mode & 0o777 == 0o640
    an_old_one(tmp_path / "hub.db", OF_THE_HUB, 1)
    used(tmp_path / "hub.db", OF_THE_HUB)
    assert os.stat(str(schema.copy_of(tmp_path / "hub.db", 1))).st_mode & 0o777 == 0o600


def test_a_new_database_has_no_copy(tmp_path: Path) -> None:
    used(tmp_path / "jobs.db", OF_JOBS)
    assert [entry.name for entry in tmp_path.iterdir()] == ["jobs.db"]


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    an_old_one(path, OF_JOBS, 4)
    before = dump(path)
    wrong = [*OF_JOBS[:4], "CREATE TABLE first (a);", "INSERT INTO missing VALUES (1);"]
    with pytest.raises(StorageError):
        Database(path, wrong)
    assert dump(path) == before
    used(path, OF_JOBS)


def test_a_file_that_does_not_hold_together_is_not_migrated(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    an_old_one(path, OF_JOBS, 1)
    with closing(sqlite3.connect(str(path))) as db:
        page, size = db.execute("SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master"
                                " WHERE name = 'worker_history'").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size] = 0x77
    path.write_bytes(content)
    with pytest.raises(DamagedFile) as caught:
        Database(path, OF_JOBS)
    assert str(path) in str(caught.value) and "nothing was changed" in str(caught.value)
    with closing(sqlite3.connect(str(path))) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


def test_without_room_for_a_copy_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jobs.db"
    an_old_one(path, OF_JOBS, 2)
    before = dump(path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(1 << 30, 1 << 30, 1 << 20))
    with pytest.raises(StorageError) as caught:
        Database(path, OF_JOBS)
    assert "make room" in str(caught.value) and "1 MiB are free" in str(caught.value)
    assert dump(path) == before and not schema.copy_of(path, 2).exists()


def test_old_copies_go_and_half_ones_at_once(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    an_old_one(path, OF_JOBS, 5)
    used(path, OF_JOBS)
    copy, half = schema.copy_of(path, 5), tmp_path / "jobs.db.schema-4.tmp"
    half.write_bytes(b"half")
    (tmp_path / "jobs.db.schema-mine").write_bytes(b"a person's")
    used(path, OF_JOBS)
    assert copy.exists() and not half.exists()
    long_ago = time.time() - schema.KEPT_FOR - 60
    for file in tmp_path.iterdir():
        os.utime(str(file), (long_ago, long_ago))
    used(path, OF_JOBS)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["jobs.db", "jobs.db.schema-mine"]


def test_a_newer_file_names_the_version_that_it_takes(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jobs.db"
    monkeypatch.setattr(jd, "__version__", "7.3.1")
    used(path, [*OF_JOBS, "CREATE TABLE later (a);"])
    monkeypatch.undo()
    content = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        Database(path, OF_JOBS)
    assert "7.3.1 or newer" in str(caught.value) and jd.__version__ in str(caught.value)
    assert path.read_bytes() == content


@pytest.mark.parametrize("told", [None, b"\xff\xfe", "x" * 100, "\x1b[31m", 7.5])
def test_what_it_takes_is_told_only_if_it_is_a_version(told: Any, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    used(path, [*OF_JOBS, "CREATE TABLE later (a);"])
    with closing(sqlite3.connect(str(path))) as db:
        if told is None:
            db.execute("DROP TABLE schema_versions")
        else:
            db.execute("UPDATE schema_versions SET program = CAST(? AS TEXT)", (told,))
        db.commit()
    with pytest.raises(StorageError) as caught:
        Database(path, OF_JOBS)
    assert "newer version" in str(caught.value) and str(caught.value).isprintable()


def test_a_number_below_zero_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    used(path, OF_JOBS)
    with closing(sqlite3.connect(str(path))) as db:
        db.execute("PRAGMA user_version = -3")
    with pytest.raises(DamagedFile):
        Database(path, OF_JOBS)


@pytest.mark.parametrize("point", ["database.copy.before-rename", "database.copy.after-rename",
                                   "database.migrate.before-commit", "database.migrate.after-commit"])
def test_a_crash_in_a_migration_leaves_one_schema_or_the_other(point: str, tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    an_old_one(path, OF_JOBS, 2)
    before = dump(path)
    pid = os.fork()
    if pid == 0:
        killpoint._chosen = point
        try:
            used(path, OF_JOBS)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
    assert dump(path) == before or point == "database.migrate.after-commit"
    used(path, OF_JOBS)
    assert dump(path)[0] == len(OF_JOBS) and dump(schema.copy_of(path, 2)) == before
    assert len(list(tmp_path.iterdir())) == 2
