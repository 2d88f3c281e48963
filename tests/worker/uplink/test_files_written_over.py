"""The file of a result that is over, which becomes that of a next one: what else must not happen to files."""

import errno
import os
import time
from pathlib import Path
from typing import Any, List

import pytest

from jd.files import plainfile
from jd.messages import Result
from jd.node.identity import Here
from jd.worker.uplink.holding import Holder
from jd.worker.uplink.outbox import Entry, Outbox, in_directory
from tests.support import directory_of, needs_root, public_directory
from tests.users import OTHER

LONG_AGO = time.time() - 30 * 24 * 3600


class Bench:
    """An outbox in a directory, with what it logs."""

    def __init__(self, directory: Path) -> None:
        self.path = directory
        self.logged: List[str] = []
        self.box = Outbox(in_directory(directory), self.logged.append, holder=Holder(Here()))

    def put(self, job_id: int) -> Path:
        path = self.entry(job_id).path
        assert path is not None
        return path

    def entry(self, job_id: int) -> Entry:
        return self.box.put(Result(job_id, "DONE", attempt=1), "http://s", None, "w_0")

    def waiting(self) -> List[int]:
        return [entry.result.job_id for entry in self.box.waiting("http://s", None)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "box")


@needs_root
def test_nothing_is_removed_from_a_place_of_somebody_else() -> None:
    """A worker is told of a cache, and another user may have put a directory in the way to it."""
    with public_directory() as above:
        theirs = directory_of(above / "box", OTHER, 0o777)
        for name in (".5-1-00000000@00000000.1.1.json", ".settings.json", ".a.00000000.tmp"):
            (theirs / name).write_text("{}")
        (theirs / "page.files").mkdir()
        for path in theirs.iterdir():
            os.utime(str(path), (LONG_AGO, LONG_AGO))
        there = sorted(os.listdir(str(theirs)))
        bench = Bench(theirs)
        assert bench.waiting() == [] and "belongs to somebody else" in bench.logged[0]
        assert sorted(os.listdir(str(theirs))) == there


def test_what_is_no_file_of_a_result_stays(bench: Bench) -> None:
    bench.box.remove(bench.entry(5))
    (bench.path / ".settings.json").write_text("{}")
    (bench.path / ".5-1-00000000@00000000.1.1.json").write_text("{}")
    os.utime(str(bench.path / ".5-1-00000000@00000000.1.1.json"), (LONG_AGO, LONG_AGO))
    bench.box.leave()
    assert bench.waiting() == [] and os.listdir(str(bench.path)) == [".settings.json"]


def test_what_was_in_a_file_before_a_crash_of_the_machine_is_delivered_for_no_other_job(bench: Bench) -> None:
    """The new name of a file may be on disk before its new content. Base servers know no attempts, so that a
    result that they take twice may end a job that has begun again."""
    for next_job in (6, 5):
        over = bench.entry(5)
        assert over.path is not None
        content = over.path.read_bytes()
        bench.box.remove(over)
        entry = bench.entry(next_job)
        assert entry.path is not None
        entry.path.write_bytes(content)
        free = bench.box.release(entry).path
        assert free is not None and bench.waiting() == []
        assert Path(str(free) + ".bad").read_bytes() == content
    assert len(bench.logged) == 2 and "what was in its file before" in bench.logged[0]


def test_one_that_is_over_while_another_worker_reads_it_is_not_told_as_damaged(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.put(5)
    os.rename(str(path), str(path.with_name("5-1-00000000.json")))
    read = plainfile.read

    def read_late(of: Path, limit: int) -> bytes:
        content = read(of, limit)
        of.unlink()
        return content[:20]
    monkeypatch.setattr(plainfile, "read", read_late)
    assert bench.waiting() == [] and bench.logged == []


def test_of_one_that_the_disk_does_not_remove_the_server_hears_nothing(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.box.remove(bench.entry(5))

    def refuse(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        bench.box.leave()
    assert bench.logged == [] and len(os.listdir(str(bench.path))) == 1
    bench.box.leave()
    assert os.listdir(str(bench.path)) == []
