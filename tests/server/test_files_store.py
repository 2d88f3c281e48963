import errno
import os
from pathlib import Path
from typing import BinaryIO, List, Optional, Tuple, cast

import pytest

from jd import protocol as p
from jd.errors import StorageError
from jd.protocol import ProtocolError
from jd.server.store.files import files
from jd.server.store.queue import attempts, jobs
from tests.server.store_support import Desk


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """A store with two jobs, the first of them running."""
    desk.create(2)
    desk.beat(session="s")
    return desk


def put(desk: Desk, name: str, content: bytes = b"x", job_id: int = 1,
        attempt: Optional[int] = None) -> files.Stored:
    incoming = files.Incoming(desk.data_dir)
    try:
        incoming.write(content)
        incoming.settle()
        return desk.write(lambda t: files.add_upload(t, desk.data_dir, job_id, attempt, name, incoming))
    finally:
        incoming.discard()


def checkpoint(desk: Desk, content: bytes, attempt: Optional[int] = None) -> files.Stored:
    incoming = files.Incoming(desk.data_dir)
    try:
        incoming.write(content)
        incoming.settle()
        return desk.write(lambda t: files.add_checkpoint(t, desk.data_dir, 1, attempt, incoming))
    finally:
        incoming.discard()


def test_the_first_keeps_its_name_and_repeats_are_numbered(busy: Desk) -> None:
    stored = [put(busy, "metrics.csv", b"%d" % i) for i in range(3)]
    assert [(s.filename, s.version, s.size_bytes) for s in stored] == [
        ("metrics.csv", 0, 1), ("metrics_v1.csv", 1, 1), ("metrics_v2.csv", 2, 1)]
    assert (busy.data_dir / "1" / "metrics_v1.csv").read_bytes() == b"1"
    newest = busy.read(lambda db: files.latest_upload(db, busy.data_dir, 1, "metrics.csv"))
    assert newest.read_bytes() == b"2"
    exactly = busy.read(lambda db: files.latest_upload(db, busy.data_dir, 1, "metrics_v1.csv"))
    assert exactly.read_bytes() == b"1"


@pytest.mark.parametrize("system", ["takes it", "takes none", "has none"])
def test_a_large_file_goes_to_the_disk_while_it_comes(busy: Desk, monkeypatch: pytest.MonkeyPatch,
                                                      system: str) -> None:
    advised: List[Tuple[int, int]] = []

    def advise(descriptor: int, at: int, size: int, advice: int) -> None:
        advised.append((at, size))
        if system == "takes none":
            raise OSError(errno.ENOSYS, "there is no such call")
    if system == "has none":
        monkeypatch.delattr(os, "posix_fadvise")
    else:
        monkeypatch.setattr(os, "posix_fadvise", advise)
    content, piece = os.urandom(2 * files.WRITTEN_BACK + 5), files.WRITTEN_BACK // 2
    incoming = files.Incoming(busy.data_dir)
    for at in range(0, len(content), piece):
        incoming.write(content[at:at + piece])
    assert advised == ([] if system == "has none" else [
        (0, files.WRITTEN_BACK), (files.WRITTEN_BACK, files.WRITTEN_BACK)])
    incoming.settle()
    assert incoming.path.read_bytes() == content
    incoming.discard()


def test_a_name_that_looks_like_a_version_is_not_overwritten(busy: Desk) -> None:
    put(busy, "a_v1.txt", b"mine")
    put(busy, "a.txt")
    assert put(busy, "a.txt").filename == "a_v2.txt"
    assert (busy.data_dir / "1" / "a_v1.txt").read_bytes() == b"mine"


def test_names_that_differ_in_case_do_not_share_a_file(busy: Desk) -> None:
    put(busy, "A.txt", b"upper")
    assert put(busy, "a.txt", b"lower").filename == "a_v1.txt"


def test_uploads_newest_first(busy: Desk) -> None:
    put(busy, "a.txt")
    put(busy, "noext")
    listed = busy.read(lambda db: files.uploads(db, 1))
    assert [(u["filename"], u["format"], u["job_id"]) for u in listed] == [
        ("noext", "", 1), ("a.txt", "txt", 1)]
    with pytest.raises(jobs.NoSuchJob):
        busy.read(lambda db: files.uploads(db, 99))


def test_checkpoints_count_from_0_and_the_highest_is_the_latest(busy: Desk) -> None:
    names = [checkpoint(busy, b"%d" % i).filename for i in range(2)]
    assert names == ["checkpoint_v0_1000000.pt", "checkpoint_v1_1000000.pt"]
    assert busy.read(lambda db: files.latest_checkpoint(db, busy.data_dir, 1, p.OBJECT)).read_bytes() == b"1"
    with pytest.raises(files.NoSuchFile, match="no checkpoint of kind object yet"):
        busy.read(lambda db: files.latest_checkpoint(db, busy.data_dir, 2, p.OBJECT))
    assert busy.read(lambda db: files.uploads(db, 1)) == []


def test_the_latest_checkpoint_of_a_kind(busy: Desk) -> None:
    for content in (b"object", p.DIRECTORY_MARK + b"\0 archive", b"newer object"):
        checkpoint(busy, content)

    def latest(kind: str) -> bytes:
        return busy.read(lambda db: files.latest_checkpoint(db, busy.data_dir, 1, kind)).read_bytes()
    assert latest(p.OBJECT) == b"newer object"
    assert latest(p.DIRECTORY).startswith(p.DIRECTORY_MARK)
    with pytest.raises(files.NoSuchFile, match="directory"):
        busy.read(lambda db: files.latest_checkpoint(db, busy.data_dir, 2, p.DIRECTORY))


def test_of_a_directory_the_newest_checkpoints_are_kept_and_of_objects_all(busy: Desk) -> None:
    for at in range(5):
        checkpoint(busy, b"object %d" % at)
        checkpoint(busy, p.DIRECTORY_MARK + b"\0 archive %d" % at)
    held = sorted(path.read_bytes() for path in (busy.data_dir / "1").iterdir())
    assert held == [p.DIRECTORY_MARK + b"\0 archive %d" % at for at in (2, 3, 4)] + [
        b"object %d" % at for at in range(5)]
    assert checkpoint(busy, b"next").version == 10
    latest = busy.read(lambda db: files.latest_checkpoint(db, busy.data_dir, 1, p.DIRECTORY))
    assert latest.read_bytes().endswith(b"archive 4")


def test_files_of_an_attempt_that_was_overtaken_are_refused(busy: Desk) -> None:
    busy.beat(session="s", reported_status="busy", released={"job_id": 1, "attempt": 1})
    busy.beat(session="s")
    with pytest.raises(attempts.StaleAttempt):
        put(busy, "a.txt", attempt=1)
    with pytest.raises(attempts.StaleAttempt):
        checkpoint(busy, b"old", attempt=1)
    assert put(busy, "a.txt", attempt=2).version == 0


def test_nothing_is_left_behind_by_a_refused_upload(busy: Desk) -> None:
    with pytest.raises(jobs.NoSuchJob):
        put(busy, "a.txt", job_id=99)
    assert os.listdir(str(busy.data_dir)) == [".incoming"]
    assert os.listdir(str(busy.data_dir / ".incoming")) == []


def test_what_an_interrupted_upload_left_is_cleared(busy: Desk) -> None:
    incoming = files.Incoming(busy.data_dir)
    incoming.write(b"half")
    files.prepare(busy.data_dir)
    assert os.listdir(str(busy.data_dir / ".incoming")) == []
    incoming.discard()


def test_what_cannot_be_removed_hides_no_answer_and_goes_at_the_next_start(
        busy: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    incoming = files.Incoming(busy.data_dir)
    with monkeypatch.context() as read_only:
        def refuse(path: str) -> None:
            raise OSError(30, "Read-only file system")
        read_only.setattr(os, "unlink", refuse)
        read_only.setattr(Path, "unlink", lambda self: refuse(str(self)))
        incoming.discard()
    assert incoming.path.exists()
    files.prepare(busy.data_dir)
    assert not incoming.path.exists()


def test_a_file_without_a_row_does_not_block_its_name(busy: Desk) -> None:
    (busy.data_dir / "1").mkdir()
    (busy.data_dir / "1" / "a.txt").write_bytes(b"from a crash")
    assert put(busy, "a.txt", b"new").filename == "a.txt"
    assert (busy.data_dir / "1" / "a.txt").read_bytes() == b"new"


def test_a_full_disk_is_an_error_that_names_the_path(busy: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    incoming = files.Incoming(busy.data_dir)

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    incoming._file.close()
    incoming._file = cast(BinaryIO, Full())
    with pytest.raises(StorageError, match=r"\.incoming.*No space left"):
        incoming.write(b"x")
    incoming.discard()


@pytest.mark.parametrize("name", [
    None, "", ".", "..", "a/b", "../x", "a\\b", "a\nb", "a\0b", "a\x7f", "ü" * 101, "\ud800"])
def test_names_that_are_no_plain_file_are_refused(name: Optional[str]) -> None:
    with pytest.raises(ProtocolError):
        files.check_file_name(name)


@pytest.mark.parametrize("name", ["a.txt", ".env", "a b'\"$.csv", "ünï.json", "...", "x" * 200])
def test_ordinary_and_odd_names_are_taken(busy: Desk, name: str) -> None:
    assert files.check_file_name(name) == name
    assert put(busy, name, b"1").filename == name
