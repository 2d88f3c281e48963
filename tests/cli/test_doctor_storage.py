"""Directories and locks, as `doctor` tries them out."""

import errno
import fcntl
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List

import pytest

from jd.cli.checkup import locks, storage
from jd.cli.checkup.finding import OK, PROBLEM, WARNING, Finding
from jd.cli.checkup.storage import Directory, gib, write_through
from jd.errors import UsageError
from tests.cli.test_doctor_checks import expect_only
from tests.support import MALLORY, needs_root

GIB = 1024 ** 3


def looked_at(directory: Directory) -> List[Finding]:
    return [finding for check in directory.checks() for finding in check.find()]


def cache(path: Path, table: str = "") -> Directory:
    mounts = path.parent / "mounts"
    mounts.write_text("root / ext4 rw 0 0\n" + table)
    return Directory("cache", "JD_CACHE_PATH", lambda: path, True, mounts)


def test_a_good_directory_is_left_as_it_was(tmp_path: Path) -> None:
    place = tmp_path / "cache"
    place.mkdir()
    assert {f.level for f in looked_at(cache(place))} == {OK}
    assert list(place.iterdir()) == []


def test_one_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    found = looked_at(cache(tmp_path / "cache"))
    assert [f.level for f in found] == [OK, OK]
    assert "%s: ext4, " % (tmp_path / "cache") in found[0].what and "free" in found[0].what
    assert [path.name for path in tmp_path.iterdir()] == ["mounts"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file/cache"):
        finding, = looked_at(Directory("workspace", "JD_WORKSPACE_PATH", lambda: path))
        assert finding.level == PROBLEM and "Not a directory" in finding.what
        assert finding.advice == "set JD_WORKSPACE_PATH to a directory that can be"


@pytest.mark.parametrize("number, hint", [
    (errno.EACCES, "somebody else"), (errno.EROFS, "read-only"), (errno.EDQUOT, "quota"),
    (errno.ENOSPC, "no space"), (errno.ESTALE, "file server"),
])
def test_what_a_file_system_refuses_is_explained(
        number: int, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(os, "fsync", refuse)
    failure = write_through(tmp_path)
    assert failure is not None and os.strerror(number) in failure and hint in failure
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_directory_of_somebody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in (write_through(tmp_path) or "")
    finally:
        tmp_path.chmod(0o700)


def test_no_home_directory() -> None:
    def nowhere() -> Path:
        raise UsageError("no home directory", "set HOME")
    finding, = looked_at(Directory("cache", "JD_CACHE_PATH", nowhere, True))
    assert (finding.level, finding.what, finding.advice) == (
        PROBLEM, "cache: no home directory", "set HOME")


def room(tmp_path: Path, **told: int) -> List[Finding]:
    numbers = dict({"f_bavail": 2 * GIB // 4096, "f_frsize": 4096, "f_files": 10 ** 6, "f_favail": 10 ** 5},
                   **told)
    directory = cache(tmp_path / "cache")
    assert directory.writing() == []
    told_by: Any = SimpleNamespace(**numbers)
    return directory.room(lambda _path: told_by)


def test_room(tmp_path: Path) -> None:
    expect_only(room(tmp_path), OK, "2.0 GiB free")
    expect_only(room(tmp_path, f_bavail=1000), WARNING, "3 MiB free", "JD_CACHE_PATH")
    expect_only(room(tmp_path, f_favail=999), WARNING, "room for 999 more files")
    expect_only(room(tmp_path, f_favail=0, f_files=0), OK)  # btrfs counts no inodes


def test_free_space_that_is_not_told(tmp_path: Path) -> None:
    def ask(_path: str) -> Any:
        raise OSError(errno.EIO, "Input/output error")
    directory = cache(tmp_path / "cache")
    directory.writing()
    found = directory.room(ask)
    assert [f.level for f in found] == [WARNING] and "Input/output error" in found[0].what


def test_a_cache_on_a_network_file_system(tmp_path: Path) -> None:
    table = "srv:/home %s nfs4 rw 0 0\n" % tmp_path
    finding = looked_at(cache(tmp_path / "cache", table))[0]
    assert finding.level == WARNING and "network file system (nfs4)" in finding.what
    assert "JD_CACHE_PATH" in finding.advice
    # What jobs write is at home there.
    mounts = tmp_path / "mounts"
    workspace = Directory("workspace", "JD_WORKSPACE_PATH", lambda: tmp_path, False, mounts)
    assert [f.level for f in looked_at(workspace)] == [OK]


class Waiting:
    """A home and the mount tables, for what doctor says of where results wait."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.home.mkdir()
        self.environ = {"HOME": str(self.home), "JD_CACHE_PATH": str(directory / "cache")}
        self.table, self.info = directory / "mounts", directory / "mountinfo"
        self.table.write_text("root / ext4 rw 0 0\n")
        self.info.write_text("")

    def found(self) -> List[Finding]:
        return storage.waiting_results(self.environ, "exp", self.table, self.info)


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    return Waiting(tmp_path)


def test_where_results_wait(waiting: Waiting) -> None:
    expect_only(waiting.found(), OK, "results wait in %s/.jd/outbox/exp" % waiting.home)
    assert os.listdir(str(waiting.home)) == []  # nothing is made


def test_results_that_would_end_with_a_container(waiting: Waiting) -> None:
    waiting.table.write_text("overlay / overlay rw 0 0\n")
    expect_only(waiting.found(), WARNING, "ends with this container", "JD_ACCESS_DIR")


def test_results_that_have_the_cache_alone(waiting: Waiting) -> None:
    waiting.home.rmdir()
    expect_only(waiting.found(), WARNING, waiting.environ["JD_CACHE_PATH"], "JD_ACCESS_DIR")


def test_a_home_in_which_results_cannot_wait(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "write_through", lambda path: "Disk quota exceeded")
    first, second = waiting.found()
    assert "cannot wait in %s/.jd/outbox/exp: Disk quota" % waiting.home in first.what
    assert (first.level, second.level) == (WARNING, WARNING) and "JD_ACCESS_DIR" in second.advice


def test_an_access_directory_that_is_not_there(waiting: Waiting, tmp_path: Path) -> None:
    waiting.environ["JD_ACCESS_DIR"] = str(tmp_path / "shared")
    first, second = waiting.found()
    assert (first.level, second.level) == (WARNING, OK) and "JD_ACCESS_DIR is not there" in first.what
    (tmp_path / "shared").mkdir()
    expect_only(waiting.found(), OK, "results wait in %s/outbox/exp" % (tmp_path / "shared"))


def test_sizes() -> None:
    assert [gib(n) for n in (0, 1024 ** 2, GIB, 1.5 * GIB, 2 * 1024 ** 4)] == [
        "0 MiB", "1 MiB", "1.0 GiB", "1.5 GiB", "2.0 TiB"]


# ---- locks

def test_locks_work_here(tmp_path: Path) -> None:
    assert locks.failures(tmp_path) == []


def test_locks_that_keep_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "lockf", lambda *_: None)
    monkeypatch.setattr(locks, "hold_database", lambda path: sqlite3.connect(str(path)))
    found = locks.failures(tmp_path)
    assert found == ["file locks (fcntl) do not work: two processes had the same one",
                     "SQLite's locks do not work: two processes had the same one"]


def test_locks_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(fcntl, "lockf", refuse)
    assert locks.failures(tmp_path) == ["file locks (fcntl) do not work: No locks available"]


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "locks.db").mkdir()
    assert locks.failures(tmp_path) == ["SQLite's locks do not work: unable to open database file"]


def test_the_other_process_may_be_the_one_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_path: Path) -> None:
        raise sqlite3.OperationalError("disk I/O error")
    monkeypatch.setattr(locks, "hold_database", fail)
    assert locks.failures(tmp_path) == ["SQLite's locks do not work: disk I/O error"]


def test_a_failure_names_the_way_out(tmp_path: Path) -> None:
    directory = cache(tmp_path / "cache")
    directory.writing()
    places: List[Path] = []

    def fail(place: Path) -> List[str]:
        places.append(place)
        return ["file locks (fcntl) do not work: No locks available"]
    expect_only(directory.locking(fail), PROBLEM, "cache: file locks", "JD_CACHE_PATH", storage.LOCAL_EXAMPLE)
    assert places[0].parent == tmp_path and not places[0].exists()


@needs_root
@pytest.mark.parametrize("label, variable, registry", [
    ("cache", "JD_CACHE_PATH", True), ("workspace", "JD_WORKSPACE_PATH", False),
    ("logs", "JD_LOG_DIR", False),
])
def test_what_somebody_else_planted_is_a_problem(
        label: str, variable: str, registry: bool, tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    planted = shared / "x"
    planted.mkdir()
    planted.chmod(0o777)
    os.chown(str(planted), MALLORY, MALLORY)
    finding, = looked_at(Directory(label, variable, lambda: planted, registry))
    assert finding.level == PROBLEM and "%s belongs to somebody else" % planted in finding.what
    assert "%s to %s-0" % (variable, planted) in finding.advice
