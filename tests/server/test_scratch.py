"""A job that is retried from scratch: what earlier attempts left is kept for people, and counts no more."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from jd import protocol as p
from jd.server.store.files import files, resultfile, results
from jd.server.store.operators import bulk
from jd.server.store.pages import jobdetails
from jd.server.store.schema import MIGRATIONS
from tests.server.dashboard_bench import Dashboard, Run
from tests.server.scenes import play
from tests.server.store_support import Desk
from tests.server.test_files_store import checkpoint, put

DIRECTORY = p.DIRECTORY_MARK + b"\0 archive"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: play(lambda: Dashboard(tmp_path), scenario)


def attempt(desk: Desk, status: str, loss: Optional[float] = None) -> None:
    """Job 1 is claimed, saves both kinds of checkpoint and maybe a result, and ends."""
    claimed = desk.claim(session="s")
    number = str(claimed.attempt).encode()
    checkpoint(desk, b"object " + number)
    checkpoint(desk, DIRECTORY + number)
    if loss is not None:
        put(desk, "result.json", b'{"loss": %g}' % loss)
        desk.write(lambda t: results.take(t, 1, "result.json", resultfile.Numbers({"loss": loss})))
    desk.finish(1, status, attempt=claimed.attempt)


def retry(desk: Desk, keep_checkpoint: Optional[bool] = None) -> None:
    assert desk.write(lambda t: bulk.act(t, bulk.RETRY, [1], "", keep_checkpoint)) == 1


def offered(desk: Desk) -> List[bytes]:
    """The checkpoints that a next attempt would be given: that of each kind."""
    found = []
    for kind in (p.OBJECT, p.DIRECTORY):
        try:
            found.append(desk.read(
                lambda db: files.latest_checkpoint(db, desk.data_dir, 1, kind)).read_bytes())
        except files.NoSuchFile:
            pass
    assert len(desk.read(lambda db: files.newest_checkpoints(db, desk.data_dir, 1))) == len(set(found))
    return found


@pytest.mark.parametrize("status, keep_checkpoint, from_scratch", [
    ("DONE", None, 2), ("DONE", False, 2), ("DONE", True, None),
    ("ABORTED", None, None), ("ABORTED", False, 2), ("ABORTED", True, None)])
def test_what_is_done_begins_from_scratch_and_what_failed_goes_on(
        desk: Desk, status: str, keep_checkpoint: Optional[bool], from_scratch: Optional[int]) -> None:
    desk.create(1)
    attempt(desk, status, loss=0.5)
    retry(desk, keep_checkpoint)
    line = desk.job(1)["message"][-1]["reason"]
    assert line == "sent back to the queue by hand" + (", from scratch" if from_scratch else "")
    claimed = desk.claim(session="s")
    assert (claimed.attempt, claimed.from_scratch) == (2, from_scratch)
    assert ("from_scratch" in claimed.to_json()) == (from_scratch is not None)
    assert offered(desk) == ([] if from_scratch else [b"object 1", DIRECTORY + b"1"])
    assert desk.sql("SELECT results FROM jobs") == (None if from_scratch else '{"loss": 0.5}')
    again = desk.claim(session="s")  # the answer was lost
    assert again.from_scratch == from_scratch


def test_later_attempts_go_on_from_what_came_after_that_and_know_it(desk: Desk) -> None:
    desk.create(1)
    attempt(desk, "DONE", loss=0.5)
    retry(desk)
    attempt(desk, "ABORTED")
    retry(desk)
    claimed = desk.claim(session="s")
    assert (claimed.attempt, claimed.from_scratch) == (3, 2)
    assert offered(desk) == [b"object 2", DIRECTORY + b"2"]
    desk.finish(1, attempt=3)
    retry(desk, keep_checkpoint=True)
    assert offered(desk) == [b"object 2", DIRECTORY + b"2"]
    retried = desk.claim(session="s")
    assert (retried.attempt, retried.from_scratch) == (4, 2)


def test_a_job_that_never_ran_has_nothing_to_begin_anew(desk: Desk) -> None:
    desk.create(1)
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [1], ""))
    retry(desk, keep_checkpoint=False)
    assert desk.job(1)["message"][-1]["reason"] == "sent back to the queue by hand"
    assert desk.claim().from_scratch is None


def test_checkpoints_from_before_are_kept_whatever_comes_after(desk: Desk) -> None:
    desk.create(1)
    attempt(desk, "DONE")
    retry(desk)
    for _ in range(2):
        attempt(desk, "ABORTED")
        retry(desk)
    desk.claim(session="s")
    for _ in range(2 * files.KEPT):
        checkpoint(desk, DIRECTORY + b"new")
    held = [path.read_bytes() for path in (desk.data_dir / "1").iterdir()]
    assert held.count(DIRECTORY + b"1") == 1 and held.count(DIRECTORY + b"new") == files.KEPT


def test_uploads_from_before_are_not_downloaded_by_name(desk: Desk) -> None:
    desk.create(1)
    attempt(desk, "DONE", loss=0.5)
    retry(desk)
    assert desk.read(lambda db: files.uploads(db, 1)) == []
    with pytest.raises(files.NoSuchFile, match=r"result\.json"):
        desk.read(lambda db: files.latest_upload(db, desk.data_dir, 1, "result.json"))
    attempt(desk, "DONE", loss=0.7)
    newest = desk.read(lambda db: files.latest_upload(db, desk.data_dir, 1, "result.json"))
    assert newest.read_bytes() == b'{"loss": 0.7}'
    listed, = desk.read(lambda db: files.uploads(db, 1))
    assert (listed["filename"], listed["attempt"]) == ("result_v1.json", 2)


def test_the_page_of_a_job_tells_what_each_file_is(desk: Desk) -> None:
    desk.create(1)
    attempt(desk, "DONE", loss=0.5)
    retry(desk)
    desk.claim(session="s")
    for content in (b"first", b"second"):
        put(desk, "result.json", content)
    told = [(file["stored_name"], file["attempt"], file["state"])
            for file in desk.read(lambda db: jobdetails.job(db, 1))["files"] if file["kind"] == "upload"]
    assert told == [("result_v2.json", 2, "latest"), ("result_v1.json", 2, "earlier"),
                    ("result.json", 1, "set aside")]


def test_files_from_a_version_before_get_their_attempts(tmp_path: Path) -> None:
    before = len(MIGRATIONS) - next(
        at for at, text in enumerate(reversed(MIGRATIONS)) if "jobs ADD COLUMN scratch" in text) - 1
    with closing(sqlite3.connect(str(tmp_path / "jobs.db"))) as old:
        old.executescript("".join(MIGRATIONS[:before]) + "PRAGMA user_version = %d;" % before)
        old.execute("INSERT INTO jobs (status, parameters, attempt) VALUES ('DONE', '{}', 2)")
        old.executemany("INSERT INTO attempts (job_id, number, worker_id, started_at) VALUES (1, ?, 'w', ?)",
                        [(1, 100.0), (2, 200.0)])
        old.executemany("INSERT INTO files (job_id, kind, name, version, stored_name, size_bytes,"
                        " uploaded_at) VALUES (1, 'upload', 'a', ?, ?, 1, ?)",
                        [(0, "a", 150.0), (1, "a_v1", 200.0), (2, "a_v2", 50.0)])
        old.commit()
    desk = Desk(tmp_path)
    try:
        assert desk.read(lambda db: db.execute("SELECT attempt FROM files ORDER BY id").fetchall()) == [
            (1,), (2,), (None,)]
        assert len(desk.read(lambda db: files.uploads(db, 1))) == 3
        retry(desk)
        assert desk.read(lambda db: files.uploads(db, 1)) == []
    finally:
        desk.database.close()


@pytest.mark.parametrize("body, status", [
    ({"action": "retry", "ids": [1], "keep_checkpoint": True}, 200),
    ({"action": "retry", "ids": [1], "keep_checkpoint": False}, 200),
    ({"action": "retry", "ids": [1], "keep_checkpoint": None}, 200),
    ({"action": "retry", "ids": [1], "keep_checkpoint": "yes"}, 400),
    ({"action": "abort", "ids": [1], "keep_checkpoint": True}, 400)])
def test_the_route_takes_the_choice(run: Run, body: Dict[str, object], status: int) -> None:
    async def scenario(dashboard: Dashboard) -> None:
        cookie = dashboard.signed_in()
        await dashboard.send("POST", "/web/create", {"jobs": [{"x": 1}]}, cookie)
        await dashboard.experiment.write(
            lambda t: t.db.execute("UPDATE jobs SET status = 'DONE', attempt = 1"))
        assert (await dashboard.send("POST", "/web/jobs/act", body, cookie)).status == status
        if status == 200:
            scratch = await dashboard.experiment.read(
                lambda db: db.execute("SELECT status, scratch FROM jobs").fetchone())
            assert scratch == ("PENDING", 0 if body["keep_checkpoint"] else 1)
    run(scenario)
