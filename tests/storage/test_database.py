import json
import os
import sqlite3
import threading
import weakref
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, cast

import pytest

from jd.errors import StorageError
from jd.files import filesystems
from jd.server.store.schema import MIGRATIONS
from jd.storage import database
from jd.storage.database import Answer, Database, add_json, at_once, extracted
from tests.support import PATIENCE


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "jobs.db", MIGRATIONS)
    yield opened
    opened.close()


def put(key: str, value: str) -> Callable[[sqlite3.Connection], sqlite3.Cursor]:
    return lambda db: db.execute("INSERT INTO settings VALUES (?, ?)", (key, value))


def get_all(db: sqlite3.Connection) -> Dict[str, str]:
    return dict(db.execute("SELECT name, value FROM settings"))


@contextmanager
def writer_held(db: Database) -> Iterator[None]:
    """What is queued meanwhile is done afterwards, in one transaction."""
    started, gate = threading.Event(), threading.Event()

    def block(_connection: sqlite3.Connection) -> None:
        started.set()
        gate.wait(60)

    blocker = db.write(block)
    assert started.wait(60)
    try:
        yield
    finally:
        gate.set()
    blocker.result(10)


def test_what_was_answered_is_on_disk(db: Database, tmp_path: Path) -> None:
    db.write(put("a", "1")).result(10)
    with closing(sqlite3.connect(str(tmp_path / "jobs.db"))) as other:
        assert get_all(other) == {"a": "1"}
    assert db.read(get_all).result(10) == {"a": "1"}


def test_a_failed_operation_is_undone_and_its_neighbours_stay(db: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        put("half", "1")(connection)
        raise ValueError("no")

    with writer_held(db):
        first, bad, last = db.write(put("a", "1")), db.write(half), db.write(put("b", "2"))
    first.result(10), last.result(10)
    with pytest.raises(ValueError):
        bad.result(10)
    assert db.read(get_all).result(10) == {"a": "1", "b": "2"}


def test_operations_queued_together_share_one_commit(db: Database) -> None:
    statements: List[str] = []
    db._writer_connection.set_trace_callback(statements.append)
    with writer_held(db):
        futures = [db.write(put(str(i), "x")) for i in range(50)]
    for future in futures:
        future.result(10)
    assert statements.count("COMMIT") == 2


def test_nobody_is_told_of_success_when_the_commit_fails(db: Database) -> None:
    class Failing:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def execute(self, statement: str, *arguments: Tuple[str, ...]) -> sqlite3.Cursor:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("database or disk is full")
            return self._connection.execute(statement, *arguments)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    real = db._writer_connection
    db._writer_connection = cast(sqlite3.Connection, Failing(real))
    with pytest.raises(StorageError, match="disk is full"):
        db.write(put("a", "1")).result(10)
    db._writer_connection = real
    assert db.read(get_all).result(10) == {}
    db.write(put("b", "1")).result(10)
    assert db.read(get_all).result(10) == {"b": "1"}


@pytest.mark.parametrize("said", ["database or disk is full", "disk I/O error"])
def test_a_disk_that_fails_in_the_middle_of_an_operation_is_told_as_that(db: Database, said: str) -> None:
    """SQLite may end the statement alone, and the operation is no more to blame than at the commit."""
    def fail(connection: sqlite3.Connection) -> None:
        put("a", "1")(connection)
        raise sqlite3.OperationalError(said)

    with pytest.raises(StorageError, match="^database .*jobs.db: %s" % said):
        db.write(fail).result(10)
    assert db.read(get_all).result(10) == {}


@pytest.mark.parametrize("fails", ["BEGIN IMMEDIATE", "COMMIT", "SAVEPOINT operation"])
@pytest.mark.parametrize("error", [MemoryError(), SystemError("error return without exception set")])
def test_the_writer_goes_on_whatever_it_meets(db: Database, fails: str, error: Exception) -> None:
    """A thread that ended would leave all who write waiting for ever."""
    class Short:
        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection

        def execute(self, statement: str, *arguments: Tuple[str, ...]) -> sqlite3.Cursor:
            if statement == fails:
                raise error
            return self._connection.execute(statement, *arguments)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._connection, name)

    real = db._writer_connection
    with writer_held(db):
        db._writer_connection = cast(sqlite3.Connection, Short(real))
        doomed = [db.write(put(name, "1")) for name in ("a", "c")]
    for future in doomed:
        with pytest.raises(StorageError, match="not enough memory"):
            future.result(10)
    db._writer_connection = real
    db.write(put("b", "1")).result(10)
    assert db.read(get_all).result(10) == {"b": "1"}


def test_an_operation_that_is_alone_needs_no_savepoint_to_be_undone(db: Database) -> None:
    seen: List[str] = []
    db.write(lambda connection: connection.set_trace_callback(seen.append)).result(10)
    seen.clear()

    def half(connection: sqlite3.Connection) -> None:
        put("half", "1")(connection)
        raise ValueError("no")

    with pytest.raises(ValueError):
        db.write(half).result(10)
    db.write(lambda connection: None).result(10)
    assert [text for text in seen if "half" not in text] == [
        "BEGIN IMMEDIATE", "ROLLBACK", "BEGIN IMMEDIATE", "COMMIT"]
    assert db.read(get_all).result(10) == {}


def test_operations_that_repeat_have_no_savepoint_until_one_of_them_fails(db: Database) -> None:
    seen: List[str] = []
    undone: List[str] = []
    db.write(lambda connection: connection.set_trace_callback(seen.append)).result(10)

    def queue(name: str, fails: bool = False) -> "Future[None]":
        def operation(connection: sqlite3.Connection) -> None:
            put(name, "1")(connection)
            if fails:
                raise ValueError("no")
        return db.write(operation, undone=lambda connection: undone.append(name), repeats=True)

    with writer_held(db):
        together = [queue("a"), queue("b")]
    assert [future.result(10) for future in together] == [None, None]
    assert not any("SAVEPOINT" in text for text in seen) and undone == []
    with writer_held(db):
        together = [queue("c"), queue("d", fails=True), queue("e")]
    assert isinstance(together[1].exception(10), ValueError)
    assert [together[0].result(10), together[2].result(10)] == [None, None]
    assert sorted(db.read(get_all).result(10)) == ["a", "b", "c", "e"]
    assert undone == ["d", "c", "d"]  # all that had begun, and the one of them that failed again
    assert sum("SAVEPOINT" in text for text in seen) == 3


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_nothing_is_written_into_the_directory_for_temporary_files(db: Database) -> None:
    """A small /var/tmp would fail a server whose own disk is fine."""
    def change_much(connection: sqlite3.Connection) -> List[str]:
        connection.execute("UPDATE settings SET value = value || 'y'")
        opened = []
        for number in os.listdir("/proc/self/fd"):
            try:
                opened.append(os.readlink("/proc/self/fd/" + number))
            except FileNotFoundError:
                pass  # that of the list itself
        return [name for name in opened if "etilqs" in name]

    db.write(lambda connection: connection.executemany(
        "INSERT INTO settings VALUES (?, ?)", ((str(n), "x" * 3000) for n in range(300)))).result(10)
    with writer_held(db):
        changes = [db.write(change_much), db.write(change_much)]
    assert [change.result(10) for change in changes] == [[], []]
    in_memory = 2
    assert db.read(lambda connection: connection.execute("PRAGMA temp_store").fetchone()[0]
                   ).result(10) == in_memory


def test_what_was_committed_together_is_delivered_together(db: Database) -> None:
    given: List[List[Answer]] = []
    deliver = given.append
    with writer_held(db):
        several = [db.write(put(str(number), "1"), deliver=deliver) for number in range(3)]
        clash = db.write(put("0", "2"), deliver=deliver)
        last = db.write(put("last", "1"))
    last.result(10)
    assert len(given) == 1 and not any(future.done() for future in (*several, clash))
    at_once(given[0])
    assert all(future.done() for future in several)
    assert isinstance(clash.exception(0), sqlite3.IntegrityError)


def test_what_is_common_to_a_commit_is_written_once_in_front_of_it(db: Database) -> None:
    def settle(connection: sqlite3.Connection, names: List[str]) -> None:
        connection.execute("INSERT INTO settings VALUES ('together', ?)", (" ".join(names),))

    def named(name: str) -> Callable[[sqlite3.Connection], str]:
        def run(connection: sqlite3.Connection) -> str:
            put(name, "1")(connection)
            return name
        return run

    with writer_held(db):
        several = [db.write(named(name), settle=settle) for name in ("a", "b", "a")]
        other = db.write(named("c"))
    assert other.result(10) == "c" and [several[0].result(10), several[1].result(10)] == ["a", "b"]
    assert isinstance(several[2].exception(10), sqlite3.IntegrityError)
    assert db.read(get_all).result(10) == {"a": "1", "b": "1", "c": "1", "together": "a b"}
    again = db.write(named("d"), settle=settle)  # there is such a row already
    assert isinstance(again.exception(10), StorageError)
    assert "d" not in db.read(get_all).result(10)


def test_a_cancelled_operation_is_not_done(db: Database) -> None:
    with writer_held(db):
        doomed = db.write(put("doomed", "1"))
        assert doomed.cancel()
    db.write(put("after", "1")).result(10)
    assert db.read(get_all).result(10) == {"after": "1"}


@contextmanager
def writing_until(db: Database, gate: threading.Event, repeats: bool) -> Iterator[None]:
    """An operation has begun; it goes on until `gate` is set, which happens a moment later."""
    started = threading.Event()

    def operation(_connection: sqlite3.Connection) -> None:
        started.set()
        gate.wait(60)

    written = db.write(operation, repeats=repeats)
    assert started.wait(60)
    later = threading.Timer(0.2, gate.set)
    later.start()
    try:
        yield
    finally:
        gate.set()
        written.result(10)
        later.cancel()
        later.join(60)


@pytest.mark.parametrize("repeats", [True, False])
def test_who_gives_way_waits_for_small_operations_only(db: Database, repeats: bool,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 60.0)
    db.give_way()  # nothing is being done
    gate = threading.Event()
    with writing_until(db, gate, repeats):
        db.give_way()
        assert gate.is_set() == repeats


def test_who_has_given_way_for_long_enough_does_not_again_for_the_same(
        db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    with writing_until(db, gate, True):
        monkeypatch.setattr(database, "PATIENCE", 0.001)
        db.give_way()
        monkeypatch.setattr(database, "PATIENCE", 60.0)
        db.give_way()
        assert not gate.is_set()
    db.give_way()
    gate = threading.Event()
    with writing_until(db, gate, True):
        db.give_way()
        assert gate.is_set()


def test_close_finishes_what_is_queued(tmp_path: Path) -> None:
    opened = Database(tmp_path / "jobs.db", MIGRATIONS)
    futures = [opened.write(put(str(i), "x")) for i in range(20)]
    opened.close()
    assert all(future.done() for future in futures)
    with pytest.raises(StorageError, match="closed"):
        opened.write(put("late", "x"))


def test_readers_cannot_write(db: Database) -> None:
    with pytest.raises(StorageError, match="readonly"):
        db.read(put("a", "1")).result(10)


def test_wal_locally_and_not_on_network_file_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = Database(tmp_path / "local.db", MIGRATIONS)
    assert local.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()[0]).result(10) == "wal"
    local.close()
    monkeypatch.setattr(filesystems, "is_network", lambda path: True)
    remote = Database(tmp_path / "remote.db", MIGRATIONS)
    assert remote.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()[0]).result(10) == "delete"
    remote.close()


def test_commits_are_synchronous(db: Database) -> None:
    full = db.write(lambda c: c.execute("PRAGMA synchronous").fetchone()[0]).result(10)
    assert full == 2


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with closing(sqlite3.connect(str(path))) as other:
        other.execute("PRAGMA user_version = %d" % (len(MIGRATIONS) + 1))
    with pytest.raises(StorageError, match="newer version"):
        Database(path, MIGRATIONS)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(b"this is not a database, " * 100)
    with pytest.raises(StorageError, match="jobs.db.*not a database"):
        Database(path, MIGRATIONS)


def test_an_old_sqlite_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 25, 0))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.25.0")
    with pytest.raises(StorageError, match="3.25.0.*needs 3.26"):
        Database(tmp_path / "jobs.db", MIGRATIONS)


def test_schema_stays_within_sqlite_3_26() -> None:
    text = "\n".join(MIGRATIONS).upper()
    for newer in ("RETURNING", "STRICT", "->>", "DROP COLUMN", "GENERATED ALWAYS"):
        assert newer not in text


MOUNTS = r"""/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/local\040disk xfs rw 0 0
sshfs /mnt/s fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize("path, kind, network", [
    ("/var/x", "ext4", False),
    ("/home/ann/x", "nfs4", True),
    ("/homes/x", "ext4", False),
    ("/home/local disk/x", "xfs", False),
    ("/mnt/s", "fuse.sshfs", True),
])
def test_file_system_types_from_the_mount_table(tmp_path: Path, path: str, kind: str, network: bool) -> None:
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    assert filesystems.type_of(Path(path), table) == kind
    assert filesystems.is_network(Path(path), table) is network


@pytest.mark.parametrize("path, said", [
    ("/home/ann/.jd", None), ("/data/x", "overlay, which ends with this container"),
    ("/run/x", "tmpfs, in this machine's memory"),
    ("/scratch/x", "a volume that ends with this pod (emptyDir)"), ("/scratch/kept/x", None),
    ("/scratchy", "overlay, which ends with this container")])
def test_what_ends_before_a_home_does(tmp_path: Path, path: str, said: Optional[str]) -> None:
    table, info = tmp_path / "mounts", tmp_path / "mountinfo"
    table.write_text("overlay / overlay rw 0 0\nfs:/home /home nfs4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n"
                     "/dev/a /scratch ext4 rw 0 0\n/dev/b /scratch/kept ext4 rw 0 0\n")
    info.write_text("1 0 0:1 / / rw - overlay overlay rw\n2 1 0:2 / /home rw - nfs4 fs:/home rw\n"
                    "3 1 8:1 /var/lib/kubelet/pods/1-2/volumes/kubernetes.io~empty-dir/scratch /scratch rw - "
                    "ext4 /dev/a rw\n4 3 8:2 / /scratch/kept rw - ext4 /dev/b rw\nodd line\n")
    assert filesystems.passing(Path(path), table, info) == said


def test_no_mount_table_means_unknown(tmp_path: Path) -> None:
    assert filesystems.type_of(tmp_path, tmp_path / "none") is None
    assert filesystems.is_network(tmp_path, tmp_path / "none") is False


@pytest.mark.parametrize("value", [
    None, True, False, 0, -1.5, 1e300, 2 ** 62, 2 ** 70, "", "text", "ünï \" \\",
    [1, [None, "é"]], {"k": {"z": 0.1}}])
def test_json_without_the_help_of_sqlite(value: Any) -> None:
    text = json.dumps({"a.b-c": value, "other": 1}, ensure_ascii=False)
    db = sqlite3.connect(":memory:")
    try:
        theirs = db.execute("""SELECT json_extract(?, '$."a.b-c"')""", (text,)).fetchone()[0]
        ours = extracted(text, '$."a.b-c"')
        assert ours == theirs and type(ours) is type(theirs)
        assert extracted(text, '$."nope"') is None and extracted(None, '$."a"') is None
        assert extracted("[1]", '$."a"') is None
        db.create_function("json_extract", 2, extracted, deterministic=True)
        assert db.execute("""SELECT json_extract(?, '$."a.b-c"')""", (text,)).fetchone()[0] == theirs
    finally:
        db.close()
    with pytest.raises(ValueError):
        extracted(text, "$.a")


def test_json_is_added_where_sqlite_has_none() -> None:
    class Bare:
        def __init__(self, has_json: bool) -> None:
            self.has_json = has_json
            self.added: List[Tuple[str, bool]] = []

        def execute(self, _sql: str) -> None:
            if not self.has_json:
                raise sqlite3.OperationalError("no such function: json_extract")

        def create_function(self, name: str, *_: object, deterministic: bool) -> None:
            self.added.append((name, deterministic))

    for has_json in (True, False):
        bare = Bare(has_json)
        add_json(cast(sqlite3.Connection, bare))
        assert bare.added == ([] if has_json else [("json_extract", True)])


def test_nothing_is_kept_of_what_was_written_last(db: Database) -> None:
    class Large:
        """What an operation returns."""

    gone = threading.Event()
    weakref.finalize(db.write(lambda _db: Large()).result(10), gone.set)
    assert gone.wait(PATIENCE)
