"""The file that says which workers there are: who may read it, and what happens when it is odd."""

import fcntl
import os
import sqlite3
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd.errors import DamagedFile, StorageError
from jd.files import safedirs
from jd.node.identity import Here
from jd.storage import damage
from jd.worker.local import registry as module
from jd.worker.local import registrylock
from jd.worker.local.caches import experiments
from jd.worker.local.registry import Registry
from jd.worker.local.rows import BUSY, IDLE, STARTING
from jd.workername import split_worker_id
from tests.support import ROOT, python
from tests.worker.legacy_registry import legacy_file

CONFIG = {"entry_script": "/x/train.py", "machine_type": "gpu", "server": "http://h:5000"}


def ids(registry: Registry) -> List[str]:
    return [row.worker_id for row in registry.rows()]


# ---- what it keeps

def test_an_empty_registry_makes_no_file(registry: Registry, tmp_path: Path) -> None:
    assert (registry.rows(), registry.row("x"), registry.draining()) == ([], None, False)
    registry.remove(["x"])
    assert not (tmp_path / "cache").exists()


def test_workers_of_one_launch_share_an_instance(registry: Registry, here: Here) -> None:
    names = registry.reserve(range(3), CONFIG, here, 100.0)
    parts = [part for part in map(split_worker_id, names) if part is not None]
    assert [part.slot for part in parts] == [0, 1, 2]
    assert {(part.host, part.instance) for part in parts} == {("gpunode", parts[0].instance)}
    row = registry.row(names[1])
    assert row is not None
    assert (row.status, row.slot, row.process_id, row.started_at) == (STARTING, 1, 1, 100.0)
    assert (row.entry_script, row.machine_type, row.config) == ("/x/train.py", "gpu", CONFIG)
    assert (row.identity, row.host, row.pid_namespace) == (here.own, "gpunode", here.pid_namespace)


def test_a_worker_from_start_to_end(registry: Registry, here: Here) -> None:
    (name,) = registry.reserve([0], CONFIG, here, 100.0)
    registry.settle(name, 7, Path("/logs/a.log"), here, 101.0)
    registry.update(name, BUSY, 42, 102.5)
    registry.update(name, IDLE, None, None)
    row = registry.row(name)
    assert row is not None
    assert (row.status, row.current_job_id, row.last_ping_at) == (IDLE, None, 102.5)
    assert (row.process_id, row.log_path, row.started_at) == (7, "/logs/a.log", 101.0)
    registry.rename(name, "gpunode_other_0", Path("/logs/b.log"))
    assert ids(registry) == ["gpunode_other_0"]
    registry.remove(["gpunode_other_0", "never_was_0"])
    assert registry.rows() == []


def test_rows_come_in_the_order_of_their_slots(registry: Registry, here: Here) -> None:
    names = registry.reserve([10, 2, 0], CONFIG, here, 0.0)
    assert ids(registry) == [names[2], names[1], names[0]]


def test_more_slots_of_a_launch_that_runs(registry: Registry, here: Here) -> None:
    (first,) = registry.reserve([0], CONFIG, here, 0.0)
    instance = first.split("_")[1]
    assert registry.reserve([1, 2], CONFIG, here, 0.0, instance=instance) == [
        "gpunode_%s_1" % instance, "gpunode_%s_2" % instance]


def test_draining_lasts_until_the_next_launch(registry: Registry, here: Here) -> None:
    registry.set_draining()
    assert registry.draining()
    registry.reserve([0], CONFIG, here, 0.0)
    assert not registry.draining()


def test_paths_that_are_not_utf_8(registry: Registry, here: Here) -> None:
    script = os.fsdecode(b"/data/\xff\xfe.py")
    (name,) = registry.reserve([0], {"entry_script": script}, here, 0.0)
    registry.settle(name, 0, Path(os.fsdecode(b"/logs/\xff.log")), here, 0.0)
    row = registry.row(name)
    assert row is not None
    assert (row.entry_script, row.config["entry_script"]) == (script, script)
    assert row.log_path == os.fsdecode(b"/logs/\xff.log")


def test_a_row_does_not_show_its_configuration(registry: Registry, here: Here) -> None:
    registry.reserve([0], {"api_key": "jd_secretsecret"}, here, 0.0)
    assert "secretsecret" not in repr(registry.rows())


def test_experiments_are_directories_with_the_name_of_one(registry: Registry, here: Here,
                                                          environ: Dict[str, str]) -> None:
    assert experiments(environ) == []
    registry.reserve([0], CONFIG, here, 0.0)
    cache = registry.path.parent.parent
    (cache / "jd_worker_history").write_text("")
    (cache / ".hidden").mkdir()
    (cache / "other").mkdir()
    assert experiments(environ) == ["exp", "other"]


# ---- burying

def test_only_rows_that_are_still_the_same_are_buried(registry: Registry, here: Here) -> None:
    """A worker that settles after its row was read is about another process, which lives."""
    settled = registry.reserve([0, 1], CONFIG, here, 0.0)[1]
    read = registry.rows()
    other = type(here.own)(here.own.boot_id, here.own.pid + 1, "1")
    registry.settle_all([(settled, 1, Path("/l"), other)], 1.0)
    assert registry.bury(read) == 1
    assert ids(registry) == [settled]


# ---- who may read it

@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_read_it(registry: Registry, here: Here, tmp_path: Path,
                                 umask: int) -> None:
    before = os.umask(umask)
    try:
        registry.reserve([0], CONFIG, here, 0.0)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(os.stat(str(path)).st_mode) for path in (
        registry.path, registry.path.parent, registry.path.parent.parent, tmp_path / "cache")]
    assert modes == [0o600, 0o700, 0o700, 0o700]


def test_a_file_that_others_could_read_is_closed_to_them(registry: Registry, here: Here) -> None:
    registry.reserve([0], CONFIG, here, 0.0)
    os.chmod(str(registry.path), 0o664)
    registry.reserve([0], CONFIG, here, 0.0)
    assert stat.S_IMODE(os.stat(str(registry.path)).st_mode) == 0o600


# ---- several processes

RESERVE = """
import sys
from jd.node.identity import Here
from jd.worker.local.registry import Registry
registry, here = Registry("exp"), Here("gpunode")
print("ready", flush=True)
sys.stdin.readline()
for _ in range(15):
    print(*registry.reserve([0, 1], {}, here, 0.0), flush=True)
"""


def test_no_name_is_given_twice(registry: Registry, environ: Dict[str, str]) -> None:
    children = [subprocess.Popen(python("-c", RESERVE), env=environ, cwd=str(ROOT),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        given = []
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
        for child in children:
            output, _ = child.communicate(timeout=60)
            assert child.returncode == 0
            given += output.decode().split()
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
    assert len(given) == len(set(given)) == 90
    assert sorted(given) == sorted(ids(registry))


def test_a_registry_that_is_taken_away_while_a_worker_enters(
        registry: Registry, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = registry._connect
    taken: List[Any] = []

    def after_a_clean_up() -> Any:
        if len(taken) < 2:
            taken.append(registry.path)
            registry.path.unlink()
            registry.path.parent.rmdir()
        return connect()

    monkeypatch.setattr(registry, "_connect", after_a_clean_up)
    names = registry.reserve([0], CONFIG, here, 0.0)
    assert len(taken) == 2 and ids(registry) == names


def test_a_worker_that_waits_for_a_registry_that_goes_enters_the_next_one(
        registry: Registry, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a connection to a file that somebody deletes who does not know our lock."""
    registry.remove(registry.reserve([0], CONFIG, here, 0.0))
    connect = registry._connect
    opened: List[str] = []

    def then_it_is_deleted() -> Any:
        db = connect()
        if not opened:
            opened.append("first")
            registry.path.unlink()
        return db

    monkeypatch.setattr(registry, "_connect", then_it_is_deleted)
    names = registry.reserve([0], CONFIG, here, 0.0)
    assert opened and ids(registry) == names


def test_nothing_is_removed_while_anybody_is_at_work(
        registry: Registry, here: Here, environ: Dict[str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite would take the journal of a new file for one of the file that was deleted."""
    registry.remove(registry.reserve([0], CONFIG, here, 0.0))
    connect = registry._connect
    discarded: List[bool] = []

    def while_somebody_cleans_up() -> Any:
        db = connect()
        discarded.append(Registry("exp", environ).discard())
        return db

    monkeypatch.setattr(registry, "_connect", while_somebody_cleans_up)
    registry.rows()
    registry.set_draining()
    assert discarded == [False, False]


def test_whoever_removes_is_waited_for(registry: Registry, here: Here,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    registry.reserve([0], CONFIG, here, 0.0)
    root = registry.path.parent.parent
    with registrylock.removing(root) as alone:
        assert alone
        monkeypatch.setattr(module, "BUSY_TIMEOUT", 0.05)
        with pytest.raises(StorageError, match="locked by a clean-up"):
            registry.rows()
        with registrylock.removing(root) as second:
            assert not second
    assert len(registry.rows()) == 1


def test_where_there_are_no_locks_nothing_is_removed(registry: Registry, here: Here,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(fd: int, kind: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    registry.remove(registry.reserve([0], CONFIG, here, 0.0))
    assert registry.rows() == [] and not registry.discard() and registry.exists


def test_a_directory_that_goes_before_the_file_is_in_it(
        registry: Registry, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    make = safedirs.make
    taken: List[Path] = []

    def then_it_goes(path: Path, *rest: Any) -> None:
        make(path, *rest)
        if path == registry.path.parent and not taken:
            taken.append(path)
            path.rmdir()

    monkeypatch.setattr(safedirs, "make", then_it_goes)
    names = registry.reserve([0], CONFIG, here, 0.0)
    assert taken and ids(registry) == names


def test_a_registry_is_not_discarded_while_a_worker_enters(
        registry: Registry, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.remove(registry.reserve([0], CONFIG, here, 0.0))
    monkeypatch.setattr(module, "BUSY_TIMEOUT", 0.05)
    with holding(registry.path, "IMMEDIATE"):
        with pytest.raises(StorageError):
            registry.discard()
    assert registry.exists
    assert registry.discard() and not registry.exists


def test_a_question_does_not_wait_for_a_writer_that_has_not_committed(
        registry: Registry, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    names = registry.reserve([0], CONFIG, here, 0.0)
    monkeypatch.setattr(module, "BUSY_TIMEOUT", 0.05)
    with holding(registry.path, "IMMEDIATE"):
        assert ids(registry) == names


def test_a_question_to_a_legacy_file_changes_nothing(registry: Registry) -> None:
    legacy_file(registry.path)
    before = registry.path.read_bytes()
    assert len(registry.rows()) == 2
    assert registry.row("host_Ab3xY9_0") is not None
    assert registry.path.read_bytes() == before


def test_a_locked_file_is_an_error_soon(registry: Registry, here: Here,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = registry.reserve([0], CONFIG, here, 0.0)
    monkeypatch.setattr(module, "BUSY_TIMEOUT", 0.05)
    with holding(registry.path, "EXCLUSIVE"):
        for use in (registry.rows, lambda: registry.update(name, IDLE, None, None),
                    lambda: registry.reserve([0], CONFIG, here, 0.0), registry.discard):
            with pytest.raises(StorageError) as caught:
                use()
            assert str(registry.path) in str(caught.value)
            assert "locked" in str(caught.value) and "0.05 s" in str(caught.value)


def test_threads_of_one_process_do_not_lose_each_others_locks(registry: Registry,
                                                              here: Here) -> None:
    """POSIX locks of a process go when any descriptor of the file is closed in it."""
    registry.reserve([0], CONFIG, here, 0.0)
    entered = threading.Event()
    with registry._change() as db:
        db.execute("UPDATE workers SET status = 'busy'")

        def enter() -> None:
            registry._make_file()
            entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert entered.wait(60)
        thread.join()
        probe = ("import sqlite3, sys; db = sqlite3.connect(sys.argv[1], timeout=0.01)\n"
                 "try: db.execute('BEGIN IMMEDIATE'); print('free')\n"
                 "except sqlite3.OperationalError: print('locked')")
        said = subprocess.run(python("-c", probe, registry.path), stdout=subprocess.PIPE,
                              check=True, timeout=60).stdout
    assert said == b"locked\n"


class holding:
    """Another connection that has a lock; of this process, which SQLite tells apart as well."""

    def __init__(self, path: Path, kind: str) -> None:
        self.db = sqlite3.connect(str(path), isolation_level=None)
        self.kind = kind

    def __enter__(self) -> None:
        self.db.execute("BEGIN " + self.kind)

    def __exit__(self, *_: object) -> None:
        self.db.close()


# ---- files of others, and broken ones

def test_a_registry_of_a_published_client(registry: Registry, here: Here) -> None:
    legacy_file(registry.path)
    first, second = registry.rows()
    assert [first.worker_id, second.worker_id] == ["host_Ab3xY9_0", "host_egg_1"]
    assert (first.identity, first.host, first.pid) == (None, "", 4001)
    assert (first.current_job_id, first.status) == (7, "busy")
    assert first.config == {"entry_script": "train.py"} and second.config == {}
    names = registry.reserve([0], CONFIG, here, 0.0)
    registry.settle(names[0], 0, Path("/log"), here, 1.0)
    registry.update("host_egg_1", IDLE, None, 5.0)
    assert set(ids(registry)) == {"host_Ab3xY9_0", "host_egg_1", names[0]}
    assert registry.bury([first]) == 1
    assert "host_Ab3xY9_0" not in ids(registry)


@pytest.mark.parametrize("odd", [float("inf"), -float("inf"), 1e300, -1.0])
def test_a_time_that_no_calendar_has_is_none(registry: Registry, here: Here, odd: float) -> None:
    (name,) = registry.reserve([0], CONFIG, here, odd)
    registry.update(name, "idle", None, odd)
    (row,) = registry.rows()
    assert (row.started_at, row.last_ping_at) == (0.0, None)


def test_a_row_of_odd_types_is_read(registry: Registry) -> None:
    legacy_file(registry.path)
    db = sqlite3.connect(str(registry.path))
    db.execute("UPDATE workers SET started_at = 'yesterday', log_path = x'ff', config_json = '[1'")
    db.commit()
    db.close()
    row = registry.rows()[0]
    assert (row.started_at, row.config, row.log_path) == (0.0, {}, os.fsdecode(b"\xff"))


@pytest.mark.parametrize("content", [b"this is no database, and long enough to be looked at" * 90,
                                     b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_corrupt_file_is_named(registry: Registry, here: Here, content: bytes) -> None:
    registry.path.parent.mkdir(parents=True)
    registry.path.write_bytes(content)
    for use in (registry.rows, lambda: registry.reserve([0], CONFIG, here, 0.0), registry.discard):
        with pytest.raises(StorageError) as caught:
            use()
        assert str(registry.path) in str(caught.value) and "move the file away" in str(caught.value)
    assert registry.path.read_bytes() == content


def test_a_schema_that_is_no_text_is_damage_of_one_registry(registry: Registry, here: Here) -> None:
    """SQLite repeats the schema in its message, so Python's sqlite3 raises a UnicodeDecodeError; before 3.11
    it was a DatabaseError that says nothing."""
    registry.reserve([0], CONFIG, here, 0.0)
    content = registry.path.read_bytes()
    at = content.index(b"CREATE TABLE") + 3
    registry.path.write_bytes(content[:at] + b"\xff" + content[at + 1:])
    for use in (registry.rows, registry.draining, registry.set_draining, registry.discard):
        with pytest.raises(DamagedFile) as caught:
            use()
        said = str(caught.value)
        assert str(registry.path) in said and "its schema is no text" in said and "\n" not in said
    assert damage.is_damage(sqlite3.DatabaseError()) and not damage.is_damage(sqlite3.OperationalError())


def test_what_a_later_version_has_changed_is_not_used(registry: Registry, here: Here) -> None:
    registry.reserve([0], CONFIG, here, 0.0)
    db = sqlite3.connect(str(registry.path))
    db.executescript("CREATE TABLE schema_versions (schema INTEGER PRIMARY KEY, program TEXT, since REAL);"
                     "INSERT INTO schema_versions VALUES (1, '9.8.7', 0); PRAGMA user_version = 1")
    db.close()
    content = registry.path.read_bytes()
    for use in (registry.rows, registry.set_draining, lambda: registry.reserve([1], CONFIG, here, 0.0)):
        with pytest.raises(StorageError, match="9.8.7 or newer"):
            use()
    assert registry.path.read_bytes() == content


def test_a_file_without_tables_is_an_empty_registry(registry: Registry, here: Here) -> None:
    """What is left of a process that was killed while it made it."""
    registry.path.parent.mkdir(parents=True)
    registry.path.touch()
    assert registry.rows() == [] and not registry.draining()
    assert len(registry.reserve([0], CONFIG, here, 0.0)) == 1


def test_a_place_where_nothing_can_be_made(here: Here) -> None:
    registry = Registry("exp", {"JD_CACHE_PATH": "/proc/jd"})
    assert registry.rows() == []
    with pytest.raises(StorageError, match="/proc/jd.*JD_CACHE_PATH"):
        registry.reserve([0], CONFIG, here, 0.0)


def test_a_file_where_the_directory_should_be(tmp_path: Path, here: Here) -> None:
    (tmp_path / "cache").write_text("")
    registry = Registry("exp", {"JD_CACHE_PATH": str(tmp_path / "cache")})
    assert registry.rows() == []
    with pytest.raises(StorageError, match="JD_CACHE_PATH"):
        registry.reserve([0], CONFIG, here, 0.0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_only_be_read(registry: Registry, here: Here) -> None:
    names = registry.reserve([0], CONFIG, here, 0.0)
    os.chmod(str(registry.path), 0o400)
    os.chmod(str(registry.path.parent), 0o500)
    try:
        assert ids(registry) == names
        with pytest.raises(StorageError, match="JD_CACHE_PATH"):
            registry.update(names[0], IDLE, None, None)
    finally:
        os.chmod(str(registry.path.parent), 0o700)


def test_a_registry_that_was_wiped_is_not_made_anew_by_an_update(registry: Registry,
                                                                 here: Here) -> None:
    (name,) = registry.reserve([0], CONFIG, here, 0.0)
    registry.path.unlink()
    with pytest.raises(StorageError):
        registry.update(name, IDLE, None, None)
    assert not registry.path.exists()
