"""Files that wait with a result."""

import errno
import io
import os
import time
from pathlib import Path
from typing import Any, List, Optional

import pytest

from jd import protocol
from jd.errors import ServerRefused, ServerUnreachable, StorageError
from jd.messages import Result
from jd.script.context import JobContext
from jd.worker.uplink import waitingfiles
from jd.worker.uplink.outbox import Outbox, in_directory
from jd.worker.uplink.waitingfiles import FORGOTTEN, WaitingFiles, forget_old

JOB = JobContext("e", 5, "http://127.0.0.1:9", lambda: None, 1)


def filled(tmp_path: Path) -> WaitingFiles:
    made = WaitingFiles.new(tmp_path, 5, 1)
    made.add(protocol.UPLOAD, "a.csv", io.BytesIO(b"aaa"))
    made.add(protocol.CHECKPOINT, "checkpoint.tar", io.BytesIO(b"tar"))
    return made


class Sent:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Any) -> None:
        self.files: List[Any] = []
        self.places: List[Optional[str]] = []
        self.errors = list(errors)
        monkeypatch.setattr(waitingfiles, "send", self)

    def __call__(self, context: JobContext, patience: Any, route: str, part: str, file: Any, name: str,
                 size: int, failed: str, comfort: str, place: Optional[str] = None) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.places.append(place)
        self.files.append((route, part, name, file.read(), size))


def test_items_go_in_order_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    assert os.stat(str(made.path)).st_mode & 0o777 == 0o700
    sent = Sent(monkeypatch)
    WaitingFiles(made.path).send(JOB, lambda text: None)
    assert sent.files == [("/upload", "file", "a.csv", b"aaa", 3),
                          ("/checkpoint", "checkpoint", "checkpoint.tar", b"tar", 3)]
    assert made.items() == []


class BrokenDisk:
    """Does not give the bytes of what waits, as a file server that is away for a moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(path: str, *arguments: Any, **options: Any) -> Any:
            if str(path).endswith(".bin"):
                raise OSError(errno.EIO, "Input/output error")
            return open(path, *arguments, **options)
        monkeypatch.setattr(waitingfiles, "open", broken, raising=False)


def test_a_disk_that_is_away_for_a_moment_loses_nothing(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    sent = Sent(monkeypatch)
    with monkeypatch.context() as moment:
        BrokenDisk(moment)
        with pytest.raises(StorageError, match="cannot be read now: Input/output error"):
            made.send(JOB, lambda text: None)
    made.send(JOB, lambda text: None)
    assert [name for _, _, name, _, _ in sent.files] == ["a.csv", "checkpoint.tar"]
    assert made.losses() == [] and list(made.path.iterdir()) == []


def test_what_it_never_gives_is_told_and_keeps_nothing_from_going(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(tmp_path)
    BrokenDisk(monkeypatch)
    for _ in range(2 * waitingfiles.MAX_TRIES):
        with pytest.raises(StorageError):
            made.send(JOB, lambda text: None)
    made.send(JOB, lambda text: None)
    assert made.items() == []
    assert made.losses() == ["not uploaded: a.csv (Input/output error); checkpoint.tar (Input/output error)"]


def test_what_is_half_there_when_the_disk_is_full_does_not_stay(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    made = WaitingFiles.new(tmp_path, 5, 1)
    with pytest.raises(StorageError, match="No space left"):
        made.add(protocol.UPLOAD, "a.csv", io.BytesIO(b"aaa"))
    assert list(made.path.iterdir()) == []


@pytest.mark.parametrize("with_paths, place", [(True, "ckpt/a.pt"), (False, None)])
def test_only_a_server_that_takes_paths_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                  with_paths: bool, place: Optional[str]) -> None:
    made = WaitingFiles.new(tmp_path, 5, 1)
    made.add(protocol.UPLOAD, "ckpt__a.pt", io.BytesIO(b"a"), "ckpt/a.pt")
    sent = Sent(monkeypatch)
    WaitingFiles(made.path).send(JOB, lambda text: None, with_paths)
    assert sent.places == [place]


@pytest.mark.parametrize("error", [ServerUnreachable("away"), ServerRefused(503, "x"),
                                   ServerRefused(404, "x"), ServerRefused(409, "x")])
def test_what_has_arrived_does_not_go_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            error: Exception) -> None:
    made = filled(tmp_path)
    sent = Sent(monkeypatch, None, error)
    with pytest.raises(type(error)):
        made.send(JOB, lambda text: None)
    made.send(JOB, lambda text: None)
    assert [name for _, _, name, _, _ in sent.files] == ["a.csv", "checkpoint.tar"]


def test_what_another_worker_has_delivered_meanwhile_is_not_told_to_be_lost(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, logged = filled(tmp_path), []  # type: ignore[var-annotated]
    first = made.items()[0]
    sent = Sent(monkeypatch)
    made.send(JOB, logged.append, between=lambda: made.remove(first))
    assert [name for _, _, name, _, _ in sent.files] == ["checkpoint.tar"]
    assert made.losses() == [] and len(logged) == 1 and list(made.path.iterdir()) == []


def test_what_is_nested_without_end_tells_of_no_loss(tmp_path: Path) -> None:
    made = filled(tmp_path)
    (made.path / "0002-beef.json").write_text("[" * 20_000)
    assert made.losses() == [] and len(made.items()) == 2


def test_a_file_that_is_refused_is_dropped_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, logged = filled(tmp_path), []  # type: ignore[var-annotated]
    sent = Sent(monkeypatch, ServerRefused(413, "too large"))
    made.send(JOB, logged.append)
    assert len(sent.files) == 1 and "too large; dropped" in logged[0] and made.items() == []


def test_half_an_item_is_none(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made.items()[0].description.unlink()
    (made.path / "x.json").write_text("{")
    (made.path / "y.json").write_text('{"route": "/etc", "name": "x"}')
    assert [item.name for item in made.items()] == ["checkpoint.tar"]


def test_the_outbox_knows_and_removes_the_parcel_of_a_result(tmp_path: Path) -> None:
    logged: List[str] = []
    box = Outbox(in_directory(tmp_path), logged.append)
    box.put(Result(5, "DONE"), "s", "d", "w_0", filled(tmp_path).path)
    entry = box.waiting("s", "d")[0]
    assert entry.waiting_files is not None and len(WaitingFiles(entry.waiting_files).items()) == 2
    box.remove(entry)
    assert os.listdir(str(tmp_path)) == [] and logged == []


def test_an_entry_cannot_name_a_directory_elsewhere(tmp_path: Path) -> None:
    box = Outbox(in_directory(tmp_path / "box"), lambda text: None)
    entry = box.put(Result(5, "DONE"), "s", "d", "w_0", tmp_path / "box" / "a.files")
    assert entry.path is not None
    entry.path.write_text(entry.path.read_text().replace("a.files", "../a.files"))
    assert box.waiting("s", "d") == []


def test_parcels_of_nobody_are_forgotten_after_a_day(tmp_path: Path) -> None:
    old, wanted, young = filled(tmp_path), filled(tmp_path), filled(tmp_path)
    past = time.time() - FORGOTTEN - 10
    for made in (old, wanted):
        os.utime(str(made.path), (past, past))
    forget_old(tmp_path, lambda: None)
    assert old.path.exists()  # where it is not known which are wanted
    forget_old(tmp_path, lambda: [wanted.path])
    assert sorted(tmp_path.iterdir()) == sorted([wanted.path, young.path])
