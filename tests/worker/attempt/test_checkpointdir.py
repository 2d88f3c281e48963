"""The checkpoint directory: packed, unpacked, saved at the right moment."""

import errno
import io
import os
import subprocess
import tarfile
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, List, Optional, cast

import pytest

from jd import protocol
from jd.errors import JdError, LimitError, ServerRefused, ServerUnreachable, StorageError
from jd.script import signature
from jd.script.context import JobContext
from jd.script.signature import Signer, UntrustedCheckpoint
from jd.worker.attempt.files import checkpointdir, checkpointtar
from jd.worker.attempt.files.checkpointdir import QUIET, Saver
from jd.worker.attempt.files.checkpointtar import UnsafeArchive, pack, unpack
from tests.script.signing import KEY, OTHER, signed

MARK = protocol.DIRECTORY_MARK.decode()


def tree(directory: Path) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        found[name] = os.readlink(str(path)) if path.is_symlink() else (
            None if path.is_dir() else path.read_bytes())
    return found


def fill(directory: Path) -> None:
    (directory / "deep" / "empty").mkdir(parents=True)
    (directory / "deep" / ("ü " + "x" * 150)).write_bytes(b"data")
    (directory / "model.pt").write_bytes(os.urandom(100_000))
    (directory / "run.sh").write_text("#!/bin/sh\n")
    (directory / "run.sh").chmod(0o755)
    os.symlink("model.pt", str(directory / "latest"))


def test_what_was_packed_comes_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    fill(source)
    expected = tree(source)
    os.symlink("/etc/passwd", str(source / "absolute"))
    os.symlink("../..", str(source / "deep" / "out"))
    os.mkfifo(str(source / "pipe"))
    file = io.BytesIO()
    assert pack(source, file) == len(file.getvalue())
    assert checkpointtar.is_ours(file.getvalue()[:512])
    assert unpack(file, target) == 3
    assert tree(target) == expected
    assert os.access(str(target / "run.sh"), os.X_OK)


def test_nobody_else_gets_into_it_whatever_the_umask(tmp_path: Path) -> None:
    fill(tmp_path / "source")
    file = io.BytesIO()
    pack(tmp_path / "source", file)
    before = os.umask(0)
    try:
        unpack(file, tmp_path / "target")
        checkpointdir.make(tmp_path / "new")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("target", "new")] == [0o700, 0o700]


def archive(*members: tarfile.TarInfo, mark: str = MARK) -> BinaryIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        for member in (tarfile.TarInfo(mark),) + members:
            made.addfile(member, io.BytesIO(b"x" * member.size))
    return file


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


SYM, DIR = tarfile.SYMTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize("members", [
    [member("/etc/evil")], [member("../evil")], [member("a/../../evil")], [member("a//evil")],
    [member("link", SYM, "/etc")], [member("link", SYM, "../out")], [member("a/link", SYM, "../../out")],
    [member("up", SYM, "."), member("b", SYM, "up/../../out")],
    [member("out", SYM, ".."), member("out/evil")], [member("out", SYM, "x"), member("out/l", SYM, "y")],
    [member("hard", tarfile.LNKTYPE, "/etc/passwd")], [member("dev", tarfile.CHRTYPE)],
    [member("pipe", tarfile.FIFOTYPE)], [member("twice"), member("twice")],
    [member("file", size=1), member("file/below")],
], ids=lambda members: members[-1].name)
def test_unsafe_members_refuse_the_whole_archive(tmp_path: Path, members: List[tarfile.TarInfo]) -> None:
    with pytest.raises(UnsafeArchive):
        unpack(archive(member("good", size=3), *members), tmp_path / "in" / "target")
    assert tree(tmp_path) in ({}, {"in": None})


def odd(records: Optional[Dict[str, str]] = None, **fields: Any) -> BinaryIO:
    """An archive whose file "a" has odd fields, or extended headers as no tar writes them."""
    entry = tarfile.TarInfo("a")
    for name, value in fields.items():
        setattr(entry, name, value)
    if records is not None:
        entry.pax_headers = records
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as made:
        made.addfile(tarfile.TarInfo(MARK))
        made.addfile(entry)
    return file


def with_mode(field: bytes) -> BinaryIO:
    """An archive whose file "a" has these bytes for a mode."""
    content = bytearray(cast(io.BytesIO, odd()).getvalue())
    header = content[512:1024]
    header[100:108], header[148:156] = field, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[512:1024] = header
    return io.BytesIO(bytes(content))


@pytest.mark.parametrize("moment", ["-1", "-1e300", "1e300", "1e19", "nan", "inf", "-inf", str(2 ** 33)])
def test_odd_times_refuse_the_whole_archive(tmp_path: Path, moment: str) -> None:
    with pytest.raises(UnsafeArchive, match="its time is out of range"):
        unpack(odd({"mtime": moment}), tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("made", [
    with_mode(b"7777777\0"), with_mode(b"\xff" * 8), with_mode(b"\x80" + b"\xff" * 7),
    odd({"size": "-1"}), odd({"size": "-100000"}), odd({"size": str(10 ** 30)}),
    odd({"GNU.sparse.map": "0,1", "GNU.sparse.size": "10"}),
    odd({"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99999999999"}),
    odd({"GNU.sparse.name": "../../b", "GNU.sparse.map": "0,1"}),
    odd({"path": "b" * 256}), odd({"path": "b/" * 2100 + "c"}),
    odd({"path": "../b"}), odd({"path": "/b"}), odd({"path": "b\0c"}), odd({"comment": "x" * 100_000}),
    odd(type=tarfile.SYMTYPE, linkname="b" * 5000), odd(type=tarfile.DIRTYPE, size=10),
    odd(type=tarfile.CHRTYPE, devmajor=1), odd(type=b"Z"),
])
def test_so_do_other_oddities(tmp_path: Path, made: BinaryIO) -> None:
    with pytest.raises(UnsafeArchive):
        unpack(made, tmp_path / "target")


@pytest.mark.parametrize("size", ["-1", "-100000"])
def test_so_does_a_size_that_pythons_tarfile_takes_for_the_end(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    """Since a security update of its versions, of which this one may be older."""
    block = tarfile.TarInfo._block  # type: ignore[attr-defined]

    def checked(self: tarfile.TarInfo, count: int) -> int:
        if count < 0:
            raise tarfile.InvalidHeaderError("invalid offset")  # type: ignore[attr-defined]
        return cast(int, block(self, count))
    monkeypatch.setattr(tarfile.TarInfo, "_block", checked)
    with pytest.raises(UnsafeArchive, match="it has members that cannot be read"):
        unpack(odd({"size": size}), tmp_path / "target")
    assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    """tarfile calls itself for each."""
    header = tarfile.TarInfo("x")
    header.type = tarfile.XHDTYPE
    block = header.tobuf(tarfile.USTAR_FORMAT)
    mark = tarfile.TarInfo(MARK).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(UnsafeArchive, match="headers"):
        unpack(io.BytesIO(mark + block * 5000), tmp_path / "target")


def test_what_is_packed_can_be_unpacked_whatever_its_times_and_names_are(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    names = [b"old", b"new", b"no utf-8 \xff", b"line\nbreak", b"n" * 255]
    for name in names:
        open(os.path.join(os.fsencode(str(source)), name), "wb").close()
    os.utime(str(source / "old"), (-10 ** 9, -10 ** 9))
    os.utime(str(source / "new"), (2 ** 33 + 1000, 2 ** 33 + 1000))
    (source / "new").chmod(0o7777)
    file = io.BytesIO()
    pack(source, file)
    assert unpack(file, tmp_path / "target") == len(names)
    assert sorted(os.listdir(os.fsencode(str(tmp_path / "target")))) == sorted(names)
    assert (tmp_path / "target" / "old").stat().st_mtime == 0.0


def test_what_is_no_archive_of_ours_is_refused(tmp_path: Path) -> None:
    whole = archive(member("a", size=5000))
    whole.seek(0)
    cut = io.BytesIO(whole.read(3000))
    for file in (archive(mark="other"), cut, io.BytesIO(b"not a tar"), io.BytesIO(b"")):
        with pytest.raises(UnsafeArchive):
            unpack(file, tmp_path / "target")
    assert list(tmp_path.iterdir()) == []


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    fill(source)
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", 50_000)
    with pytest.raises(LimitError, match="keep only what is needed"):
        pack(source, io.BytesIO())
    with pytest.raises(UnsafeArchive, match="more than"):
        unpack(archive(member("a", size=50_001)), tmp_path / "target")
    monkeypatch.setattr(checkpointtar, "MAX_ENTRIES", 3)
    with pytest.raises(LimitError, match="3 files"):
        checkpointtar.snapshot(source)


class Bench:
    """A saver whose uploads are kept."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "jd_checkpoint-1"
        self.directory.mkdir(parents=True)
        self.uploads: List[bytes] = []
        self.logged: List[str] = []
        self.failure: Optional[Exception] = None
        self.saver = Saver(self.directory, lambda: Signer([KEY], "e", 1), self.upload, self.logged.append,
                           interval=100.0)

    def upload(self, file: BinaryIO) -> None:
        if self.failure is not None:
            raise self.failure
        file.seek(0)
        self.uploads.append(file.read())

    def write(self, text: str) -> None:
        (self.directory / "state").write_text(text)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_is_saved_when_quiet_and_not_too_often(bench: Bench) -> None:
    saver = bench.saver
    saver.look(1000.0)
    bench.write("1")
    saver.look(1001.0)
    saver.look(1001.0 + QUIET / 2)
    assert bench.uploads == []  # not quiet yet
    bench.write("22")
    saver.look(1001.0 + QUIET)
    assert bench.uploads == []  # changed again
    saver.look(1001.0 + QUIET * 2)
    assert len(bench.uploads) == 1 and not saver.unsaved
    bench.write("333")
    for now in range(1010, 1100):
        saver.look(float(now))
    assert len(bench.uploads) == 1
    for now in range(1100, 1110):
        saver.look(float(now))
    assert len(bench.uploads) == 2


def test_what_changes_while_it_is_packed_is_not_saved(bench: Bench,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpointtar.pack

    def meddling(directory: Path, to: BinaryIO) -> int:
        size = real(directory, to)
        bench.write("other")
        return size
    monkeypatch.setattr(checkpointtar, "pack", meddling)
    bench.write("1")
    bench.saver.look(1000.0)
    bench.saver.look(1000.0 + QUIET)
    assert bench.uploads == [] and bench.saver.unsaved


def test_an_empty_directory_never_replaces_a_checkpoint(bench: Bench) -> None:
    bench.write("1")
    bench.saver.final(bench.upload)
    (bench.directory / "state").unlink()
    bench.saver.final(bench.upload)
    bench.directory.rmdir()
    bench.saver.final(bench.upload)
    assert len(bench.uploads) == 1 and bench.saver.problem is None


def test_what_is_too_large_is_said_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", 10)
    bench.write("more than ten bytes")
    for now in range(1000, 1300):
        bench.saver.look(float(now))
    bench.saver.final(bench.upload)
    assert len(bench.logged) == 1 and "keep only what is needed" in bench.logged[0]
    assert bench.saver.problem == bench.logged[0]


def test_a_failed_upload_is_tried_again(bench: Bench) -> None:
    bench.failure = ServerUnreachable("away")
    bench.write("1")
    bench.saver.final(bench.upload)
    assert bench.saver.problem is not None and bench.saver.unsaved
    bench.failure = None
    bench.saver.final(bench.upload)
    assert len(bench.uploads) == 1 and bench.saver.problem is None


class FullDisk:
    """Gives temporary files on a disk without room, which says so at each write, also that of closing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = True
        real = tempfile.TemporaryFile
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: (
            open("/dev/full", "r+b") if self.is_full else real(**options)))


def test_a_full_disk_is_no_end_of_saving(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    bench.write("1")
    for now in range(1000, 1250):
        bench.saver.look(float(now))
    assert bench.saver.problem == bench.logged[0] and "No space left" in bench.logged[0]
    assert len(bench.logged) == 1 and bench.uploads == []
    disk.is_full = False
    for now in range(1250, 1350):
        bench.saver.look(float(now))
    assert len(bench.uploads) == 1 and bench.saver.problem is None


def test_what_a_full_disk_kept_back_is_tried_again_at_the_end(bench: Bench,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch)
    bench.write("1")
    for now in range(1000, 1010):
        bench.saver.look(float(now))
    bench.saver.final(bench.upload)
    assert "No space left" in str(bench.saver.problem)
    disk.is_full = False
    bench.saver.final(bench.upload)
    assert len(bench.uploads) == 1 and bench.saver.problem is None


def test_a_directory_that_cannot_be_read_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("1")

    def unreadable(directory: Path) -> Any:
        raise OSError(errno.EIO, "Input/output error")
    with monkeypatch.context() as broken:
        broken.setattr(checkpointtar, "snapshot", unreadable)
        bench.saver.look(1000.0)
        bench.saver.look(1200.0)
        assert not bench.saver.unsaved  # as far as it is known
        assert bench.logged == ["the checkpoint directory was not saved: Input/output error"]
        assert bench.saver.problem == bench.logged[0]
    for now in range(1400, 1410):
        bench.saver.look(float(now))
    assert len(bench.uploads) == 1 and bench.saver.problem is None


def test_what_was_written_just_now_may_be_torn(bench: Bench) -> None:
    bench.write("1")
    written = os.stat(str(bench.directory / "state")).st_mtime
    assert bench.saver.may_be_torn(written + QUIET / 2)
    assert not bench.saver.may_be_torn(written + QUIET + 1)


# ---- restoring

def restore(tmp_path: Path, fetch: Callable[..., bool], monkeypatch: pytest.MonkeyPatch,
            cancelled: Optional[threading.Event] = None) -> Path:
    monkeypatch.setattr(checkpointdir, "fetch_latest", fetch)
    target = tmp_path / "jd_checkpoint-2"
    context = JobContext("e", 1, "http://127.0.0.1:9", lambda: None, keys=lambda: [KEY])
    checkpointdir.restore(target, tmp_path, lambda: context, lambda text: None,
                          cancelled or threading.Event())
    return target


TAR = archive(member("state", size=2)).getvalue()  # type: ignore[attr-defined]
SAVED = signed(TAR, experiment="e", job_id=1)


def test_restoring_waits_for_a_server_that_is_away(tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    failures: List[Exception] = [ServerUnreachable("away"), ServerRefused(503, "soon"),
                                 ServerRefused(401, "token")]

    def fetch(context: JobContext, file: BinaryIO, kind: str) -> bool:
        if failures:
            raise failures.pop()
        file.write(SAVED)
        return True

    class NeverWaits(threading.Event):
        def wait(self, timeout: Optional[float] = None) -> bool:
            return False
    assert tree(restore(tmp_path, fetch, monkeypatch, NeverWaits())) == {"state": b"xx"}


@pytest.mark.parametrize("content, why", [
    (TAR, "it is not signed"), (signed(TAR, OTHER, experiment="e", job_id=1), "no key at hand"),
    (signed(TAR, experiment="e", job_id=2), "signed for job 2 of 'e'"),
    (signed(TAR, experiment="f", job_id=1), "signed for job 1 of 'f'"),
    (SAVED[:1600] + b"!" + SAVED[1601:], "or it was changed"), (SAVED[:-1], "it is not signed")])
def test_what_no_worker_of_the_owner_signed_is_not_unpacked(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, why: str) -> None:
    def fetch(context: JobContext, file: BinaryIO, kind: str) -> bool:
        file.write(content)
        return True
    monkeypatch.setattr(checkpointtar, "unpack", None)  # not even begun
    with pytest.raises(UntrustedCheckpoint, match="directory of job 1 is not unpacked.*%s" % why):
        restore(tmp_path, fetch, monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_unless_that_is_what_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(context: JobContext, file: BinaryIO, kind: str) -> bool:
        file.write(TAR)
        return True
    monkeypatch.setenv("JD_CHECKPOINTS", "unsigned")
    assert tree(restore(tmp_path, fetch, monkeypatch)) == {"state": b"xx"}


def test_what_is_saved_is_signed_and_still_an_archive(bench: Bench) -> None:
    bench.write("1")
    bench.saver.final(bench.upload)
    file = io.BytesIO(bench.uploads[0])
    trailer = signature.read(file)
    assert trailer is not None and signature.fits(file, trailer, [KEY])
    assert (trailer.experiment, trailer.job_id) == ("e", 1)
    assert unpack(file, bench.directory.parent / "again") == 1
    listed = subprocess.run(["tar", "-tf", "-"], input=bench.uploads[0], capture_output=True,
                            check=True)
    assert listed.stdout.decode().split() == [MARK, "state"] and listed.stderr == b""


def test_with_its_signature_it_must_not_be_too_large(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("1")
    monkeypatch.setattr(protocol, "MAX_FILE_BYTES", 10240)  # what the archive has
    bench.saver.final(bench.upload)
    assert bench.uploads == [] and "with its signature" in str(bench.saver.problem)


def test_without_a_key_it_is_not_saved_and_the_job_goes_on(bench: Bench,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def no_key() -> Signer:
        raise JdError("there is no key for it")
    bench.saver = Saver(bench.directory, no_key, bench.upload, bench.logged.append, interval=100.0)
    bench.write("1")
    bench.saver.final(bench.upload)
    assert bench.uploads == [] and "no key" in str(bench.saver.problem)


def test_without_a_checkpoint_the_directory_is_empty(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(context: JobContext, file: BinaryIO, kind: str) -> bool:
        raise ServerRefused(501, "no such route")
    assert tree(restore(tmp_path, fetch, monkeypatch)) == {}


def test_each_attempt_has_a_place_of_its_own(tmp_path: Path) -> None:
    first = checkpointdir.place(tmp_path, 2)
    first.mkdir(parents=True)
    assert first.name == "jd_checkpoint-2"
    assert checkpointdir.place(tmp_path, 2).name == "jd_checkpoint-2-1"
    assert checkpointdir.place(tmp_path, None).name == "jd_checkpoint-1"


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        checkpointdir.make(tmp_path / "file" / "1")
