"""That each invariant is found to be broken when it is: what a good run has left is spoilt in one way."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Callable, Iterator

import pytest

from jd.server.store.reports import points
from tests.faults import invariants
from tests.faults.plan import Job, Plan
from tests.faults.play import Played, play
from tests.support import python

pytestmark = pytest.mark.slow

JOBS = tuple(Job(act, 0.0, 0, False) for act in ("result", "uploads", "saves", "directory", "collects",
                                                   "plain"))
RESULT, UPLOADS, SAVES, DIRECTORY, COLLECTS, PLAIN = range(1, 7)  # their ids
PLAN = Plan(1, JOBS, (1,), False, False, False, "", "", False, ())


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A run without any fault."""
    return play(PLAN, tmp_path_factory.mktemp("good"), False)


@pytest.fixture
def left(good: Played, tmp_path: Path) -> Iterator[Played]:
    """What it has left, to be spoilt."""
    copy = tmp_path / "run"
    shutil.copytree(str(good.directory), str(copy), symlinks=True)
    yield good._replace(directory=copy, data=copy / good.data.relative_to(good.directory),
                        homes=tuple(copy / home.name for home in good.homes), log=copy / good.log.name)


def test_a_good_run_has_no_violations(left: Played) -> None:
    assert invariants.violations(left) == []


def changed(statement: str) -> Callable[[Played], None]:
    """The database is another."""
    def change(left: Played) -> None:
        with closing(sqlite3.connect(str(left.data / "meta" / "jobs.db"))) as db, db:
            db.execute(statement)
    return change


def noted(job: int, what: str, **more: object) -> Callable[[Played], None]:
    """The scripts have noted something else as well."""
    def note(left: Played) -> None:
        with open(str(left.log), "a") as log:
            log.write(json.dumps(dict(more, what=what, job=job, attempt=more.get("attempt", 1))) + "\n")
    return note


def placed(*parts: str) -> Callable[[Played], None]:
    """There is a file that should not be there."""
    def place(left: Played) -> None:
        path = left.directory.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Traceback (most recent call last):")
    return place


def one_byte_less(left: Played) -> None:
    """A stored file is not what was uploaded."""
    for path in (left.data / "data" / str(UPLOADS)).glob("piece*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")


def without_files_of(job: int) -> Callable[[Played], None]:
    """Its files are gone, and their rows with them."""
    def remove(left: Played) -> None:
        changed("DELETE FROM files WHERE job_id = %d" % job)(left)
        shutil.rmtree(str(left.data / "data" / str(job)))
    return remove


def twice_reported(left: Played) -> None:
    """What an attempt has reported is there twice."""
    with closing(sqlite3.connect(str(left.data / "meta" / "jobs.db"))) as db, db:
        (body,) = db.execute("SELECT body FROM report_chunks").fetchone()
        kept = points.unpack(body)
        db.execute("UPDATE report_chunks SET body = ?", (points.pack(points.joined([kept, kept])),))


@pytest.mark.parametrize("spoil, told", [
    (changed("UPDATE jobs SET status = 'PENDING' WHERE id = 1"), "job 1 is PENDING"),
    (changed("UPDATE job_counts SET n = n + 1 WHERE status = 'DONE'"), "counted are"),
    (changed("UPDATE attempts SET verdict = 'lost' WHERE job_id = 1"), "job 1 is DONE with the verdicts"),
    (changed("UPDATE attempts SET verdict = 'lost' WHERE job_id = 1"), "is lost, and its worker lives"),
    (changed("UPDATE attempts SET ended_at = NULL WHERE job_id = 1"), "has not ended"),
    (changed("DELETE FROM attempts WHERE job_id = 1"), "job 1 is at attempt 1 and has []"),
    (changed("UPDATE jobs SET failures = 1 WHERE id = 1"), "job 1 says 1 failures"),
    (changed("DELETE FROM job_history WHERE job_id = 1"), "the history says []"),
    (changed("UPDATE jobs SET results = NULL WHERE id = 1"), "job 1 has the result None"),
    (changed("UPDATE files SET size_bytes = 1 WHERE job_id = 2"), "and its row says 1"),
    (noted(1, "began"), "attempt 1 of job 1 ran 2 times"),
    (changed("UPDATE job_history SET reason = 'attempt 1 preempted on w_0, back to the queue: not begun, as"
             " it leaves' WHERE job_id = 1"), "attempt 1 of job 1 ran, and was given back"),
    (noted(1, "began", attempt=2), "attempt 2 of job 1 ran, and is not in the database"),
    (noted(SAVES, "loaded", step=1), "began at step 1, and 3 was stored"),
    (one_byte_less, "was told that this is stored"),
    (without_files_of(SAVES), "was told that this is stored"),
    (without_files_of(DIRECTORY), "its directory is not there"),
    (without_files_of(COLLECTS), "its collect is not there"),
    (noted(PLAIN, "reported", number=7), "of the reports [0, 1, 2, 7] there are [0.0, 1.0, 2.0]"),
    (twice_reported, "of job 6 has reported [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]"),
    (placed("server", "workspace", "faults", "data", "1", "stray"), "no row is about 1/stray"),
    (placed("server", "workspace", "faults", "data", ".incoming", "0a"), ".incoming/0a was left"),
    (placed("server", "workspace", "faults", "meta", ".backup-0.db"), "meta/.backup-0.db was left"),
    (placed("node0", "home", ".jd", "outbox", "faults", "1-1-0a.json"), "waits for ever"),
    (placed("node0", "cache", "python", ".x.0a0a0a0a.tmp"), "was left"),
    (placed("server.err"), "server.err: Traceback"),
])
def test_what_is_broken_is_found(left: Played, spoil: Callable[[Played], None], told: str) -> None:
    spoil(left)
    found = invariants.violations(left)
    assert [line for line in found if told in line], found


def test_a_process_that_was_left_is_found(left: Played) -> None:
    command = python("-c", "input()", left.directory / "anything")
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            assert "still running" in str(invariants.violations(left))
        finally:
            process.kill()
