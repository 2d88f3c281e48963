"""`jd_server backup` and `restore`: under load too, all of it or nothing, and a server goes on."""

import io
import os
import shutil
import sqlite3
import stat
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, Optional
from unittest.mock import Mock

import pytest

from jd.errors import JdError, StorageError
from jd.protocol import OBJECT
from jd.server.experiment import Experiment
from jd.server.keeping import backup, check, reading, restore, tarfiles
from jd.server.store.files import files, names
from jd.server.store.pages import curves
from jd.server.store.policy import Policy
from jd.server.store.queue import attempts
from jd.storage import schema
from tests.server.keeping_support import DIRECTORY, EXPERIMENT, Data, Shell, served
from tests.server.store_support import Desk
from tests.support import free_env, python


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    opened = Data(tmp_path / "ws")
    yield opened
    opened.close()


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path / "ws", capsys)


def restored(data: Data, tmp_path: Path, told: Callable[[int], None] = tarfiles.nobody) -> Data:
    """The experiment from a backup of it, in another workspace, after its server has started and ended."""
    file = tmp_path / "b.tar"
    backup.make(data.place, file, data.desk.now, told)
    other = tmp_path / "other"
    restore.restore(file, other, EXPERIMENT)
    experiment = Experiment(other, EXPERIMENT, Policy())
    while experiment.read_now(names.is_due):
        experiment.write_now(lambda t: names.show_due(t, experiment.data_dir))
    experiment.close()
    again = Data(other)
    again.desk.now = data.desk.now
    return again


def test_all_of_an_experiment_comes_back(data: Data, tmp_path: Path) -> None:
    data.desk.create(4)
    for number in range(2):
        data.run(number / 2)
    data.prints(1, 1, "printed")
    data.reports(2, 1, 3)
    (data.place.meta / "token").write_text("secret\n")
    (data.place.meta / "server.json").write_text("{}")
    before = data.contents()
    again = restored(data, tmp_path)
    try:
        assert again.contents() == before and again.desk.counts() == {"PENDING": 2, "DONE": 2}
        assert again.desk.sql("SELECT results FROM jobs WHERE id = 1") == '{"loss": 0.0}'
        assert (again.place.data / "2" / "result.json").read_bytes() == b'{"loss": 0.5}'
        (curve,) = again.desk.read(lambda db: curves.metric_of(db, curves.of_job(db, 2, None), "acc"))
        assert list(curve.points.values) == [0, 1 / 7, 2 / 7]
        assert (again.place.data / ".output" / "1" / "1" / ("0" * 16)).read_text() == "printed"
        assert (again.place.meta / "token").read_text() == "secret\n"
        assert not (again.place.meta / "server.json").exists()
        for path in again.place.directory.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        assert check.check(again.place).faults == []
    finally:
        again.close()


def test_a_backup_under_load_is_of_one_moment_and_its_server_goes_on(data: Data, tmp_path: Path) -> None:
    data.desk.create(12)
    running = data.desk.claim("runs on").job_id
    data.checkpoint(running, DIRECTORY + b"old")
    for number in range(2):
        data.run(number)
    mine = data.desk.claim("mine").job_id
    data.upload(mine, "result.json", b'{"loss": 1}')
    done: List[int] = []

    def meanwhile(_taken: int) -> None:
        """Between any two files of the backup everything goes on."""
        if len(done) < 6:
            done.append(data.run(7))
            data.upload(mine, "result.json", b'{"loss": %d}' % len(done))
            data.checkpoint(running, DIRECTORY + b"%d" % len(done))

    again = restored(data, tmp_path, meanwhile)
    try:
        assert len(done) == 6
        assert again.desk.counts() == {"PENDING": 8, "SERVED": 2, "DONE": 2}
        assert check.check(again.place).faults == []
        # A row of the moment has the bytes of that moment, whatever its name is by now.
        assert again.contents()[mine, "result.json"] == b'{"loss": 1}'
        # The old checkpoint made room for newer ones meanwhile, which are not of this moment.
        assert not [name for job_id, name in again.contents() if job_id == running]
        # The worker that was at a job delivers, and the others are run to the end.
        again.desk.finish(mine, attempt=1)
        for _ in range(8):
            again.run(3)
        assert again.desk.counts() == {"SERVED": 1, "DONE": 11}
        assert check.check(again.place).faults == []
    finally:
        again.close()


def test_a_file_that_moves_while_it_is_opened_is_still_the_one_of_its_row(
        data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later upload of its name comes between looking where it is and opening it."""
    data.desk.create(1)
    job = data.desk.claim("w").job_id
    data.upload(job, "a.txt", b"first")
    opened, later = backup._opened, [b"second"]

    def just_then(path: Path) -> Optional[BinaryIO]:
        if later:
            data.upload(job, "a.txt", later.pop())
        return opened(path)

    monkeypatch.setattr(backup, "_opened", just_then)
    source = backup.own(data.place.data / str(job) / "a.txt")
    assert source is not None
    with source:
        assert source.read() == b"first"
    assert (data.place.data / str(job) / "a.txt").read_bytes() == b"second"


def test_no_result_of_an_attempt_that_the_old_server_began_later_counts(
        data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: data.desk.now)
    data.desk.create(1)
    again = restored(data, tmp_path)
    try:
        assert data.desk.claim("began after the backup").attempt == 1
        job = again.desk.claim("new")
        assert job.attempt == restore.FAR
        with pytest.raises(attempts.StaleAttempt):
            again.desk.finish(1, attempt=1)
        again.desk.finish(1, "ABORTED", attempt=job.attempt)
        again.desk.now += 1e6
        assert again.desk.sql("SELECT attempt FROM jobs") == restore.FAR
    finally:
        again.close()


def test_nor_one_of_another_server_that_was_restored_before(data: Data, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """From the same backup, or where the backup is of that server before its first attempt."""
    data.desk.create(1)
    made, own = tmp_path / "b.tar", tmp_path / "own.tar"
    backup.make(data.place, made, 1000.0)

    def first_attempt(file: Path, workspace: str, now: float) -> Optional[int]:
        monkeypatch.setattr(time, "time", lambda: now)
        restore.restore(file, tmp_path / workspace, EXPERIMENT)
        again = Data(tmp_path / workspace)
        if not own.exists():
            backup.make(again.place, own, now)
        try:
            return again.desk.claim("w").attempt
        finally:
            again.close()

    assert first_attempt(made, "one", 1060.0) == restore.FAR + 60
    assert first_attempt(made, "two", 1120.0) == restore.FAR + 120
    assert first_attempt(own, "three", 1120.0) == 2 * restore.FAR + 60 + 60


def test_the_commands_say_what_they_did_and_what_to_do(data: Data, shell: Shell, tmp_path: Path) -> None:
    data.desk.create(3)
    data.run(0.5)
    file = tmp_path / "b.tar"
    with served(data.place):
        told = shell.done("backup", file, "--expId", EXPERIMENT)
    assert told.splitlines()[0].startswith("backup of exp: 3 jobs, 5 files, ")
    assert told.splitlines()[1] == "to go back to it: jd_server restore %s" % file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    status, _, err = shell.run("backup", file, "--expId", EXPERIMENT)
    assert status == 1 and "is there already and is not overwritten" in err and file.read_bytes() == before
    status, _, err = shell.run("restore", file)
    assert status == 1 and "not overwritten" in err and "jd_server remove exp" in err
    assert data.desk.counts() == {"PENDING": 2, "DONE": 1}
    told = shell.done("restore", file, "--expId", "copy")
    assert "2 PENDING, 1 DONE; 5 files in %s" % (shell.workspace / "copy") in told
    assert "checkpoints are signed for exp" in told
    assert sorted(os.listdir(str(tmp_path))) == ["b.tar", "ws"]
    assert sorted(os.listdir(str(shell.workspace))) == ["copy", "exp"]


def test_an_experiment_without_jobs_and_one_that_is_not_there(shell: Shell, tmp_path: Path) -> None:
    status, _, err = shell.run("backup", tmp_path / "b.tar", "--expId", "none")
    assert status == 1 and "no experiment none" in err and not (tmp_path / "b.tar").exists()
    Data(shell.workspace).close()
    assert "0 jobs, 0 files" in shell.done("backup", tmp_path / "b.tar", "--expId", EXPERIMENT)
    assert "no jobs" in shell.done("restore", tmp_path / "b.tar", "--expId", "again")


def test_where_something_lies_nothing_is_restored(data: Data, tmp_path: Path) -> None:
    file = tmp_path / "b.tar"
    backup.make(data.place, file, 1.0)
    place = tmp_path / "other" / EXPERIMENT
    (place / "data" / "1").mkdir(parents=True)
    with pytest.raises(JdError, match="is not empty, and nothing in it is overwritten"):
        restore.restore(file, tmp_path / "other", EXPERIMENT)
    assert os.listdir(str(place)) == ["data"] and os.listdir(str(tmp_path / "other")) == [EXPERIMENT]


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1:]


def test_a_damaged_backup_changes_nothing_and_says_so(data: Data, tmp_path: Path) -> None:
    data.desk.create(2)
    data.run(1.0)
    file, other = tmp_path / "b.tar", tmp_path / "other"
    backup.make(data.place, file, 1.0)
    whole = file.read_bytes()
    offsets = [0, 200, 600, len(whole) // 2, len(whole) - 10241]
    damaged = [changed(whole, at) for at in offsets]
    damaged += [whole[:at] for at in (0, 511, 512, 5000, len(whole) // 2)] + [b"no tar at all" * 100]
    for number, content in enumerate(damaged):
        bad = tmp_path / ("bad%d.tar" % number)
        bad.write_bytes(content)
        try:
            restore.restore(bad, other, EXPERIMENT)
        except StorageError as error:
            assert str(bad) in str(error) and "nothing of it was used" in str(error)
        else:
            raise AssertionError("damage %d was taken" % number)
        assert not other.exists() or os.listdir(str(other)) == []


def test_a_damaged_database_makes_no_backup_that_would_not_be_taken(data: Data, shell: Shell) -> None:
    data.desk.create(2)
    page, root = data.desk.read(lambda db: (
        db.execute("PRAGMA page_size").fetchone()[0],
        db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'attempts'").fetchone()[0]))
    data.close()
    with open(str(data.place.database), "r+b") as file:
        file.seek((root - 1) * page)
        file.write(bytes(page))
    for word in ("backup", "archive"):
        status, _, err = shell.run(word, shell.workspace / "b.tar", "--expId", EXPERIMENT)
        assert status == 1 and "error: database %s is damaged: " % data.place.database in err
        assert err.endswith("; jd_server check tells more\n") and err.count("\n") == 1
    assert os.listdir(str(shell.workspace)) == [EXPERIMENT]


def test_a_full_disk_is_that_of_the_backup(data: Data, tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: object, _path: Path) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema, "copy", full)
    with pytest.raises(StorageError) as caught:
        backup.make(data.place, tmp_path / "b.tar", 1.0)
    assert str(caught.value).startswith("cannot write %s: its disk is full; make room" % (tmp_path / "b.tar"))


@pytest.mark.parametrize("name, content", [
    (backup.ABOUT, b"[" * 50_000), (backup.GONE, b"[" * 50_000), (backup.GONE, b"[9223372036854775808]"),
    (backup.GONE, b"[0]"),
], ids=["deep", "deep-too", "large", "zero"])
def test_parts_that_no_backup_has_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    file, desk = tmp_path / "b.tar", Desk(tmp_path)
    desk.database.close()
    about = b'{"format": 1, "schema": 1, "experiment": "exp", "made_at": 1, "jobs": {}}'
    parts = {backup.ABOUT: about, backup.DATABASE: (tmp_path / "jobs.db").read_bytes(), backup.GONE: b"[]"}
    with tarfiles.writing(file, "", 1.0) as packer:
        for part, told in dict(parts, **{name: content}).items():
            packer.add_bytes(part, told, 1.0)
    with pytest.raises(StorageError, match="%s in it cannot be read" % name):
        restore.restore(file, tmp_path / "other", EXPERIMENT)
    assert not (tmp_path / "other").exists() or os.listdir(str(tmp_path / "other")) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "data/1/../../../evil", "meta/../evil", "data/x/evil",
                                  "meta/.evil", "data/.output/1/1/evil", "data/0/evil"])
def test_names_that_lead_elsewhere_are_refused(data: Data, tmp_path: Path, name: str) -> None:
    file = tmp_path / "evil.tar"
    with tarfiles.writing(file, "", 1.0) as packer:
        packer.add_bytes(backup.ABOUT, b'{"format": 1, "schema": 1, "experiment": "exp", "made_at": 1,'
                                       b' "jobs": {}}', 1.0)
        packer.add_bytes(name, b"evil", 1.0)
    with pytest.raises(StorageError, match="is none of a backup's"):
        restore.restore(file, tmp_path / "other", EXPERIMENT)
    assert not list(tmp_path.rglob("evil"))


def test_links_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "link.tar"
    with tarfile.open(str(file), "w") as made:
        info = tarfile.TarInfo(backup.ABOUT)
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(info, io.BytesIO())
    with pytest.raises(StorageError, match="no file of ours"):
        restore.read_about(file)


def test_holes_are_refused(data: Data, tmp_path: Path) -> None:
    """However much they are said to be."""
    file, other = tmp_path / "holes.tar", tmp_path / "other"
    backup.make(data.place, file, 1.0)
    with tarfile.open(str(file)) as whole:
        about = whole.next()
        assert about is not None
        content = whole.extractfile(about)
        assert content is not None
        told = content.read()
    with tarfile.open(str(file), "w", format=tarfile.PAX_FORMAT) as made:
        info = tarfile.TarInfo(backup.ABOUT)
        info.size = len(told)
        made.addfile(info, io.BytesIO(told))
        info = tarfile.TarInfo("meta/jobs.db")
        info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2 ** 40)}
        info.size = 1
        made.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(StorageError, match="'meta/jobs.db' in it is no file of ours"):
        restore.restore(file, other, EXPERIMENT)
    assert os.listdir(str(other)) == []


def test_a_backup_for_which_there_is_no_room_is_not_begun(data: Data, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = tmp_path / "large.tar", tmp_path / "other"
    backup.make(data.place, file, 1.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Mock(free=file.stat().st_size - 1))
    with pytest.raises(StorageError, match=r"large.tar has [0-9]+ MB, and only [0-9]+ MB are free"):
        restore.restore(file, other, EXPERIMENT)
    assert os.listdir(str(other)) == []


@pytest.mark.parametrize("field, value", [("format", 99), ("schema", 9999)])
def test_one_of_a_newer_version_says_what_is_needed(tmp_path: Path, field: str, value: int) -> None:
    about: Dict[str, Any] = {"format": 1, "schema": 1, "experiment": "exp", "made_at": 1.0, "jobs": {},
                             "version": "9.1.0"}
    about[field] = value
    file = tmp_path / "new.tar"
    with tarfiles.writing(file, "", 1.0) as packer:
        packer.add_bytes(backup.ABOUT, str(about).replace("'", '"').encode(), 1.0)
    with pytest.raises(StorageError, match="made by JobDistributor 9.1.0, and this one is older"):
        restore.restore(file, tmp_path / "other", EXPERIMENT)


def test_a_checkpoint_that_is_signed_meanwhile_is_in_it(data: Data, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    data.desk.create(1)
    job, rows = data.run(1), backup._rows
    incoming = data._incoming(b"object and signature")

    def signed_meanwhile(db: Any) -> Iterator[Any]:
        found = data.desk.read(lambda now: files.newest_checkpoints(now, data.place.data, job))
        (old,) = [one for one in found if one.kind == OBJECT]
        data.desk.write(lambda t: files.replace(t, old, incoming))
        return rows(db)

    monkeypatch.setattr(backup, "_rows", signed_meanwhile)
    made = backup.make(data.place, tmp_path / "backup", 1.0)
    assert made.gone == 0
    restore.restore(tmp_path / "backup", tmp_path / "other", EXPERIMENT)
    again = Data(tmp_path / "other")
    assert b"object and signature" in again.contents().values()
    again.close()


def test_a_file_that_has_gone_is_told_and_its_row_is_not_restored(data: Data, tmp_path: Path) -> None:
    data.desk.create(1)
    data.run(1.0)
    (data.place.data / "1" / "a.txt").unlink()
    file = tmp_path / "b.tar"
    made = backup.make(data.place, file, 1.0)
    assert (made.files, made.gone) == (4, 1)
    assert restore.restore(file, tmp_path / "other", EXPERIMENT).forgotten == 1
    assert check.check(reading.Place(tmp_path / "other" / EXPERIMENT)).faults == []


@pytest.mark.parametrize("point, words, after", [
    ("keeping.file.before-link", ["backup", "b.tar"], []),
    ("keeping.restore.before-rename", ["restore", "made.tar", "--expId", "copy"], ["exp"]),
    ("keeping.restore.after-rename", ["restore", "made.tar", "--expId", "copy"], ["copy", "exp"])])
def test_killed_at_any_point_it_is_whole_or_not_there_and_can_be_done_again(
        data: Data, shell: Shell, tmp_path: Path, point: str, words: List[str], after: List[str]) -> None:
    data.desk.create(1)
    data.run(1.0)
    words = [words[0], str(tmp_path / words[1]), *words[2:]]
    if words[0] == "backup":
        words += ["--expId", EXPERIMENT]
    else:
        shell.done("backup", tmp_path / "made.tar", "--expId", EXPERIMENT)
    ended = subprocess.run(python("-m", "jd.server", *words, "--workspace_path", shell.workspace),
                           env=free_env(tmp_path, JD_KILL_POINT=point), timeout=60)
    assert ended.returncode == -9
    seen = sorted(name for name in os.listdir(str(shell.workspace)) if not name.startswith("."))
    assert seen == (after or ["exp"]) and not (tmp_path / "b.tar").exists()
    if words[-1] != "copy" or "copy" not in seen:
        shell.done(*words)
    left = [path.name for path in [*tmp_path.iterdir(), *shell.workspace.iterdir()]]
    assert [name for name in left if name.startswith(".")] == []
