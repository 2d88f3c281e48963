"""What a reader of `data/<job_id>/<name>` gets, and that every row keeps its own file meanwhile."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

from jd.files import filesystems
from jd.server.experiment import Experiment
from jd.server.store.files import files, names
from jd.server.store.operators import bulk
from jd.server.store.policy import Policy
from jd.server.store.schema import MIGRATIONS
from tests.server.store_support import Desk
from tests.server.test_files_store import checkpoint, put


@pytest.fixture
def busy(desk: Desk) -> Desk:
    """A store with a job that runs."""
    desk.create(1)
    desk.beat(session="s")
    return desk


def shown(desk: Desk, name: str = "result.json") -> Optional[bytes]:
    """What stands under a name in the job's directory."""
    path = desk.data_dir / "1" / name
    return path.read_bytes() if path.exists() else None


def by_rows(desk: Desk) -> Dict[str, bytes]:
    """Each upload by the name that it is stored as, through its row."""
    return {row: desk.read(lambda db: files.find(db, desk.data_dir, number)).path.read_bytes()
            for number, row in desk.read(lambda db: db.execute(
                "SELECT id, stored_name FROM files WHERE kind = 'upload' ORDER BY id").fetchall())}


def put_right(desk: Desk) -> None:
    while desk.read(names.is_due):
        desk.write(lambda t: names.show_due(t, desk.data_dir))


def test_a_name_is_that_of_the_newest(busy: Desk) -> None:
    for number in range(3):
        put(busy, "result.json", b"%d" % number)
        assert shown(busy) == b"%d" % number
    assert by_rows(busy) == {"result.json": b"0", "result_v1.json": b"1", "result_v2.json": b"2"}
    assert (busy.data_dir / "1" / "result_v1.json").read_bytes() == b"1"  # where it always was
    assert busy.read(lambda db: files.latest_upload(db, busy.data_dir, 1, "result.json")).read_bytes() == b"2"


def test_what_came_once_lies_where_it_always_did_and_nothing_is_made_beside_it(busy: Desk) -> None:
    put(busy, "result.json", b"0")
    put(busy, "other.txt")
    assert sorted(os.listdir(str(busy.data_dir / "1"))) == ["other.txt", "result.json"]
    assert os.listdir(str(busy.data_dir)) in ([".incoming", "1"], ["1", ".incoming"])


def test_a_failed_attempt_does_not_keep_the_name(busy: Desk) -> None:
    put(busy, "result.json", b"stale")
    busy.finish(1, "ABORTED", attempt=1)
    busy.write(lambda t: bulk.act(t, bulk.RETRY, [1], ""))
    put_right(busy)
    assert shown(busy) == b"stale"  # it goes on from its checkpoint: what it had counts
    busy.beat(session="s")
    put(busy, "result.json", b"right")
    busy.finish(1, attempt=2)
    assert shown(busy) == b"right"


def test_from_scratch_nothing_has_the_name_until_it_comes_again(busy: Desk) -> None:
    put(busy, "result.json", b"0")
    put(busy, "result.json", b"1")
    put(busy, "once.txt", b"once")
    checkpoint(busy, b"checkpoint")
    busy.finish(1, attempt=1)
    busy.write(lambda t: bulk.act(t, bulk.RETRY, [1], ""))
    put_right(busy)
    assert shown(busy) is None and shown(busy, "once.txt") is None
    assert by_rows(busy) == {"result.json": b"0", "result_v1.json": b"1", "once.txt": b"once"}
    busy.beat(session="s")
    put(busy, "result.json", b"new")
    put(busy, "once.txt", b"again")
    assert (shown(busy), shown(busy, "once.txt")) == (b"new", b"again")
    assert by_rows(busy) == {"result.json": b"0", "result_v1.json": b"1", "once.txt": b"once",
                             "result_v2.json": b"new", "once_v1.txt": b"again"}
    held = [path.read_bytes() for path in (busy.data_dir / "1").glob("checkpoint*")]
    assert held == [b"checkpoint"]


def test_names_that_look_like_versions_of_each_other(busy: Desk) -> None:
    for name, content in [("a.txt", b"a0"), ("a.txt", b"a1"), ("a_v1.txt", b"v1"), ("a.txt", b"a2")]:
        put(busy, name, content)
    assert (shown(busy, "a.txt"), shown(busy, "a_v1.txt")) == (b"a2", b"v1")
    assert sorted(by_rows(busy).values()) == [b"a0", b"a1", b"a2", b"v1"]


def test_names_that_differ_in_case(busy: Desk) -> None:
    put(busy, "A.txt", b"upper")
    put(busy, "a.txt", b"lower")
    assert by_rows(busy) == {"A.txt": b"upper", "a_v1.txt": b"lower"}
    assert (shown(busy, "A.txt"), shown(busy, "a.txt")) == (b"upper", b"lower")


def test_an_upload_never_takes_the_place_of_a_checkpoint(busy: Desk) -> None:
    name = checkpoint(busy, b"checkpoint").filename
    put(busy, name, b"upload")
    assert shown(busy, name) == b"checkpoint"
    assert list(by_rows(busy).values()) == [b"upload"]


def test_odd_names(busy: Desk) -> None:
    for name in (names.EARLIER, ".incoming", "..."):
        for content in (b"0", b"1"):
            put(busy, name, content)
        assert shown(busy, name) == b"1"
    assert sorted(by_rows(busy).values()) == 3 * [b"0"] + 3 * [b"1"]


class Killed(Exception):
    """The server is killed before the n-th change of the disk."""


def killed_at(change: int, monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """From now on the disk takes so many changes; returns those that were tried."""
    done: List[str] = []

    def guarded(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            done.append(name)
            if len(done) > change:
                raise Killed(name)
            return real(*arguments)
        return call

    for name in ("link", "replace", "rename", "unlink", "symlink"):
        monkeypatch.setattr(os, name, guarded(name, getattr(os, name)))
    monkeypatch.setattr(filesystems, "sync", guarded("sync", filesystems.sync))
    return done


@pytest.mark.parametrize("hard_links", [True, False])
@pytest.mark.parametrize("change", range(9))
def test_killed_at_any_moment_every_row_has_its_own_file(busy: Desk, change: int, hard_links: bool,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    put(busy, "result.json", b"0")
    if not hard_links:
        def refuse(*_: Any) -> None:
            raise PermissionError(1, "Operation not permitted")
        monkeypatch.setattr(os, "link", refuse)
    with monkeypatch.context() as patched:
        done = killed_at(change, patched)
        try:
            put(busy, "result.json", b"1")
        except Killed:
            pass
    rows = by_rows(busy)
    whole = len(rows) == 2  # it was killed after the commit, if at all
    assert whole or len(done) > change
    assert rows == ({"result.json": b"0", "result_v1.json": b"1"} if whole else {"result.json": b"0"}), done
    assert shown(busy) in ((b"1",) if whole else (b"0", b"1") if hard_links else (b"0", b"1", None))
    put(busy, "result.json", b"again")  # its worker tries again
    assert shown(busy) == b"again" and by_rows(busy)["result.json"] == b"0"
    files.prepare(busy.data_dir)
    assert os.listdir(str(busy.data_dir / ".incoming")) == []


def test_data_of_a_version_before_are_put_right_while_the_server_runs(tmp_path: Path) -> None:
    directory = tmp_path / "exp"
    (directory / "meta").mkdir(parents=True)
    before = next(at for at, text in enumerate(MIGRATIONS) if "CREATE TABLE names_due" in text)
    with closing(sqlite3.connect(str(directory / "meta" / "jobs.db"))) as old:
        old.executescript("".join(MIGRATIONS[:before]) + "PRAGMA user_version = %d;" % before)
        for job_id in (1, 2):
            old.execute("INSERT INTO jobs (status, parameters, attempt) VALUES ('DONE', '{}', 1)")
            (directory / "data" / str(job_id)).mkdir(parents=True)
            for version, stored in enumerate(["result.json", "result_v1.json"][:job_id]):
                (directory / "data" / str(job_id) / stored).write_bytes(b"%d" % version)
                old.execute("INSERT INTO files (job_id, kind, name, version, stored_name, size_bytes,"
                            " uploaded_at) VALUES (?, 'upload', 'result.json', ?, ?, 1, 1)",
                            (job_id, version, stored))
        old.commit()
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    experiment = Experiment(tmp_path, "exp", Policy())
    try:
        read = [(directory / "data" / str(job_id) / "result.json") for job_id in (1, 2)]
        assert [path.read_bytes() for path in read] == [b"0", b"0"]
        assert experiment.read_now(names.is_due)
        experiment.write_now(lambda t: names.show_due(t, experiment.data_dir))
        assert not experiment.read_now(names.is_due)
        assert [path.read_bytes() for path in read] == [b"0", b"1"]
        assert experiment.read_now(
            lambda db: files.find(db, experiment.data_dir, 2)).path.read_bytes() == b"0"
    finally:
        experiment.close()


def test_a_directory_that_cannot_be_put_right_is_told_once(busy: Desk) -> None:
    put(busy, "result.json", b"0")
    busy.finish(1, attempt=1)
    busy.write(lambda t: bulk.act(t, bulk.RETRY, [1], ""))
    (busy.data_dir / names.EARLIER).write_text("in the way")
    busy.write(lambda t: names.show_due(t, busy.data_dir))
    said, = busy.happened.said
    assert "job 1" in said and names.EARLIER in said
    assert not busy.read(names.is_due) and by_rows(busy) == {"result.json": b"0"}


def test_a_link_is_as_private_as_the_file(busy: Desk) -> None:
    for content in (b"0", b"1"):
        put(busy, "result.json", content)
    for path in busy.data_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
