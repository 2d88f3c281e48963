"""What a server does with its data before it serves it: what a crash left, what cannot be its database."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Callable, List

import pytest

from jd import killpoint
from jd.errors import DamagedFile, JdError, StorageError
from jd.protocol import DIRECTORY_MARK
from jd.server.dashboard.operations import copy_of
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.policy import Policy
from jd.server.store.transaction import Transaction
from jd.storage import database


def opened(workspace: Path, anew: bool = False) -> Experiment:
    return Experiment(workspace, "exp", Policy(), anew=anew)


def killed_at(point: str, work: Callable[[], object]) -> None:
    """Have a child process do `work`, and be killed at a point of it."""
    pid = os.fork()
    if pid == 0:
        killpoint._chosen = point
        try:
            work()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def add_running_job(t: Transaction) -> None:
    t.db.execute("INSERT INTO jobs (status, parameters, attempt, worker_id, lease_until)"
                 " VALUES ('SERVED', '{}', 1, 'w', 9e9)")
    t.db.execute("INSERT INTO attempts (job_id, number, worker_id, started_at) VALUES (1, 1, 'w', 1)")


def with_job(workspace: Path) -> None:
    experiment = opened(workspace)
    experiment.write_now(add_running_job)
    experiment.close()


def upload(experiment: Experiment, name: str = "a.txt") -> None:
    store(experiment, lambda t, incoming: files.add_upload(t, experiment.data_dir, 1, 1, name, incoming))


def save(experiment: Experiment, content: bytes = DIRECTORY_MARK) -> None:
    store(experiment, lambda t, incoming: files.add_checkpoint(t, experiment.data_dir, 1, 1, incoming),
          content)


def store(experiment: Experiment, placed: Callable[[Transaction, files.Incoming], object],
          content: bytes = b"x") -> None:
    incoming = files.Incoming(experiment.data_dir)
    try:
        incoming.write(content)
        incoming.settle()
        experiment.write_now(lambda t: placed(t, incoming))
    finally:
        incoming.discard()


def rows(workspace: Path) -> List[str]:
    with closing(sqlite3.connect(str(workspace / "exp" / "meta" / "jobs.db"))) as db:
        return sorted(row[0] for row in db.execute("SELECT stored_name FROM files"))


def on_disk(workspace: Path) -> List[str]:
    return sorted(path.name for path in (workspace / "exp" / "data" / "1").iterdir())


# ---- what a crash has left

def test_what_was_being_made_is_removed(tmp_path: Path) -> None:
    opened(tmp_path).close()
    meta = tmp_path / "exp" / "meta"
    for name in (".backup-0123.db", ".backup-0123.db-journal", ".server.json.ab12.tmp"):
        (meta / name).write_bytes(b"half")
    (meta / ".tls-xyz").mkdir()
    (meta / ".tls-xyz" / "tls-key.pem").write_bytes(b"half")
    (meta / "notes.tmp").write_bytes(b"a person's")
    opened(tmp_path).close()
    assert sorted(path.name for path in meta.iterdir()) == ["jobs.db", "notes.tmp", "server.lock"]


@pytest.mark.parametrize("point", ["backup.before-rename", "backup.after-rename"])
def test_a_server_killed_in_a_backup_leaves_nothing(point: str, tmp_path: Path) -> None:
    def work() -> None:
        experiment = opened(tmp_path)
        copy_of(experiment.database, experiment.meta_dir)

    killed_at(point, work)
    assert list((tmp_path / "exp" / "meta").glob(".backup-*"))
    opened(tmp_path).close()
    assert not list((tmp_path / "exp" / "meta").glob(".backup-*"))


@pytest.mark.parametrize("point", ["files.place.before-rename", "files.place.after-rename"])
def test_an_upload_whose_row_was_not_written_is_set_aside(point: str, tmp_path: Path) -> None:
    with_job(tmp_path)
    killed_at(point, lambda: upload(opened(tmp_path)))
    assert rows(tmp_path) == []
    opened(tmp_path).close()
    assert on_disk(tmp_path) == [] if (tmp_path / "exp" / "data" / "1").exists() else True
    assert not list((tmp_path / "exp" / "data" / ".incoming").iterdir())
    aside = [path.name for path in (tmp_path / "exp" / "quarantine").rglob("*") if path.is_file()]
    assert aside == (["a.txt"] if point.endswith("after-rename") else [])


@pytest.mark.parametrize("point", ["files.place.before-rename", "files.place.after-rename",
                                   "files.superseded.before-unlink"])
def test_rows_and_checkpoints_agree_after_a_crash(point: str, tmp_path: Path) -> None:
    with_job(tmp_path)

    def work() -> None:
        killpoint._left = files.KEPT + 1 if "place" in point else 1
        experiment = opened(tmp_path)
        for _ in range(files.KEPT + 1):
            save(experiment)

    killed_at(point, work)
    opened(tmp_path).close()
    assert rows(tmp_path) == on_disk(tmp_path) and len(rows(tmp_path)) == files.KEPT


def test_checkpoints_that_an_earlier_database_does_not_know_are_set_aside(tmp_path: Path) -> None:
    """It was put in the place of theirs, and they are all that the job has."""
    with_job(tmp_path)
    database_file = tmp_path / "exp" / "meta" / "jobs.db"
    experiment = opened(tmp_path)
    save(experiment)
    experiment.close()
    earlier = database_file.read_bytes()
    experiment = opened(tmp_path)
    for number in range(files.KEPT + 1):
        save(experiment, DIRECTORY_MARK + b"%d" % number)
    experiment.close()
    before = on_disk(tmp_path)
    database_file.write_bytes(earlier)
    opened(tmp_path).close()
    assert sorted(path.name for path in (tmp_path / "exp" / "quarantine").rglob("*.pt")) == before


def test_a_superseded_checkpoint_stays_until_the_commit(tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that is undone takes no file with it."""
    with_job(tmp_path)
    experiment = opened(tmp_path)
    try:
        for _ in range(files.KEPT):
            save(experiment)

        def undone(t: Transaction, incoming: files.Incoming) -> None:
            files.add_checkpoint(t, experiment.data_dir, 1, 1, incoming)
            raise JdError("no")

        with pytest.raises(JdError):
            store(experiment, undone, DIRECTORY_MARK)
        assert set(rows(tmp_path)) <= set(on_disk(tmp_path)) and len(rows(tmp_path)) == files.KEPT
        save(experiment)
        assert len(rows(tmp_path)) == files.KEPT
    finally:
        experiment.close()


def test_what_was_not_committed_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its name stands for what it stood for before."""
    with_job(tmp_path)
    experiment = opened(tmp_path)
    try:
        upload(experiment)
        save(experiment)
        before = on_disk(tmp_path)

        def upload_again(t: Transaction, incoming: files.Incoming) -> None:
            files.add_upload(t, experiment.data_dir, 1, 1, "a.txt", incoming)

        def save_again(t: Transaction, incoming: files.Incoming) -> None:
            files.add_checkpoint(t, experiment.data_dir, 1, 1, incoming)

        def sign(t: Transaction, incoming: files.Incoming) -> None:
            files.replace(t, files.newest_checkpoints(t.db, experiment.data_dir, 1)[0], incoming)

        placed = (upload_again, save_again, sign)

        def full(name: str) -> None:
            if name == "database.before-commit":
                raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as failing:
            failing.setattr(database, "killpoint", full)
            for place in placed:
                with pytest.raises(StorageError, match="disk is full"):
                    store(experiment, place, b"new")
        assert on_disk(tmp_path) == before
        assert (tmp_path / "exp" / "data" / "1" / "a.txt").read_bytes() == b"x"
        for place in placed:
            store(experiment, place, b"new")
        assert (tmp_path / "exp" / "data" / "1" / "a.txt").read_bytes() == b"new"
    finally:
        experiment.close()


@pytest.mark.parametrize("point", ["files.replace.before-rename", "files.replace.after-rename",
                                   "database.before-commit", "database.after-commit"])
def test_the_row_of_a_checkpoint_that_is_signed_has_the_size_of_its_file(point: str, tmp_path: Path) -> None:
    with_job(tmp_path)

    def work() -> None:
        killpoint._left = 99
        experiment = opened(tmp_path)
        save(experiment)
        killpoint._left = 1
        store(experiment, lambda t, incoming: files.replace(
            t, files.newest_checkpoints(t.db, experiment.data_dir, 1)[0], incoming), b"longer")

    killed_at(point, work)
    opened(tmp_path).close()
    with closing(sqlite3.connect(str(tmp_path / "exp" / "meta" / "jobs.db"))) as db:
        (row,) = db.execute("SELECT stored_name, size_bytes FROM files").fetchall()
    assert [row[0]] == on_disk(tmp_path)
    assert (tmp_path / "exp" / "data" / "1" / row[0]).stat().st_size == row[1]


def test_what_a_person_put_beside_files_of_jobs_that_are_over_stays(tmp_path: Path) -> None:
    with_job(tmp_path)
    experiment = opened(tmp_path)
    upload(experiment)
    experiment.write_now(lambda t: t.db.execute("UPDATE jobs SET status = 'DONE'") and None)
    experiment.close()
    (tmp_path / "exp" / "data" / "1" / "notes").write_text("mine")
    opened(tmp_path).close()
    assert on_disk(tmp_path) == ["a.txt", "notes"]


# ---- what cannot be its database

def emptied(path: Path) -> None:
    path.write_bytes(b"")


def gone(path: Path) -> None:
    path.unlink()


def a_fresh_one(path: Path) -> None:
    path.unlink()
    other = Experiment(path.parent / "elsewhere", "exp", Policy())
    other.close()
    (path.parent / "elsewhere" / "exp" / "meta" / "jobs.db").rename(path)


def another_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(str(path))) as db:
        db.execute("CREATE TABLE notes (a)")


@pytest.mark.parametrize("change", [emptied, gone, a_fresh_one, another_database])
def test_a_database_without_jobs_beside_files_of_jobs_is_refused(
        change: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with_job(tmp_path)
    experiment = opened(tmp_path)
    upload(experiment)
    experiment.close()
    database = tmp_path / "exp" / "meta" / "jobs.db"
    change(database)
    content = database.read_bytes() if database.exists() else None
    with pytest.raises(DamagedFile) as caught:
        opened(tmp_path)
    assert str(database) in str(caught.value) and "files of job 1" in str(caught.value)
    assert "--begin-anew" in str(caught.value) and "backup" in str(caught.value)
    assert (database.read_bytes() if database.exists() else None) == content
    opened(tmp_path, anew=True).close()
    (kept,) = (tmp_path / "exp" / "quarantine").rglob("a.txt")
    assert kept.read_bytes() == b"x" and str(kept.parents[2]) in caplog.text
    assert not (tmp_path / "exp" / "data" / "1").exists()
    opened(tmp_path).close()


def test_a_database_that_is_whole_is_not_set_aside(tmp_path: Path) -> None:
    opened(tmp_path, anew=True).close()
    with_job(tmp_path)
    with pytest.raises(JdError, match="is whole"):
        opened(tmp_path, anew=True)
    assert not (tmp_path / "exp" / "quarantine").exists()
    opened(tmp_path).close()


def test_a_damaged_database_can_be_set_aside(tmp_path: Path) -> None:
    with_job(tmp_path)
    database = tmp_path / "exp" / "meta" / "jobs.db"
    content = bytearray(database.read_bytes())
    at = content.index(b"CREATE TABLE settings")
    content[at:at + 4] = b"\xff\xfe\xfd\xfc"
    database.write_bytes(content)
    with pytest.raises(DamagedFile) as caught:
        opened(tmp_path)
    assert str(database) in str(caught.value) and "\n" not in str(caught.value)
    assert database.read_bytes() == content
    opened(tmp_path, anew=True).close()
    (aside,) = (tmp_path / "exp" / "quarantine").rglob("jobs.db")
    assert aside.read_bytes() == content


def test_a_row_that_cannot_be_read_is_damage(tmp_path: Path) -> None:
    experiment = opened(tmp_path)
    experiment.write_now(lambda t: t.db.execute(
        "INSERT INTO settings VALUES ('creating_from', 'x')") and None)
    experiment.close()
    with pytest.raises(DamagedFile) as caught:
        opened(tmp_path)
    assert "a row of it cannot be read" in str(caught.value)
