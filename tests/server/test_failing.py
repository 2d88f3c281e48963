"""Workers that fail while others succeed."""

from typing import Any, Callable, Dict

import pytest

from jd.server.store.fleet import commands, failing
from jd.server.store.pages import workerlist
from tests.server.store_support import Desk

Row = Callable[..., Dict[str, Any]]
End = Callable[..., int]


@pytest.fixture
def end(desk: Desk) -> End:
    """Let a worker have the next job and end it."""
    desk.create(200)

    def attempt(worker_id: str, status: str = "ABORTED", **fields: Any) -> int:
        version = desk.sql("SELECT coalesce(max(applied_version), 0) FROM workers WHERE worker_id = ?",
                           worker_id)
        desk.now += 1
        job = desk.claim(worker_id, session=worker_id, applied_version=version)
        desk.finish(job.job_id, status, attempt=job.attempt, **fields)
        return job.job_id
    return attempt


@pytest.fixture
def row(desk: Desk) -> Row:
    return lambda worker_id: desk.read(lambda db: workerlist.one(db, worker_id))


def test_jobs_are_counted_by_how_they_ended(end: End, row: Row) -> None:
    end("bad")
    end("bad", verdict="oom")
    end("bad", verdict="preempted")
    assert (row("bad")["jobs_failed"], row("bad")["failures_in_row"], row("bad")["jobs_done"]) == (2, 2, 0)
    end("bad", "DONE")
    assert (row("bad")["jobs_failed"], row("bad")["failures_in_row"], row("bad")["jobs_done"]) == (2, 0, 1)


def test_a_worker_that_fails_while_another_succeeds_is_marked(desk: Desk, end: End, row: Row) -> None:
    desk.policy = desk.policy._replace(pause_failing=False)
    end("bad")
    end("good", "DONE")
    for _ in range(3):
        end("bad")
    assert not row("bad")["failing"]
    end("bad")
    assert row("bad")["failing"] and not row("good")["failing"]
    assert row("bad")["history"][0]["event"].startswith("failing: 5 jobs in a row")
    end("bad", "DONE")
    assert not row("bad")["failing"]
    assert row("bad")["history"][0]["event"] == "no longer failing"


def test_a_script_that_fails_everywhere_marks_nobody(end: End, row: Row) -> None:
    end("a", "DONE")  # before the row of failures began
    for _ in range(8):
        end("a")
        end("b")
    assert not row("a")["failing"] and not row("b")["failing"]
    end("a", "DONE")  # the success that b was measured against in vain
    assert row("b")["failing"] and not row("a")["failing"]


def test_a_success_of_its_own_is_not_that_of_another(desk: Desk, end: End, row: Row) -> None:
    end("bad", "DONE")
    desk.now -= 1  # its first failure comes in the same moment
    for _ in range(6):
        end("bad")
    assert not row("bad")["failing"]


def test_how_many_failures_it_takes_can_be_set(desk: Desk, end: End, row: Row) -> None:
    desk.policy = desk.policy._replace(failing_after=2, pause_failing=False)
    end("bad")
    end("good", "DONE")
    end("bad")
    assert row("bad")["failing"]
    assert row("bad")["queued"] is None


def test_a_failing_worker_is_paused_once(desk: Desk, end: End, row: Row) -> None:
    desk.policy = desk.policy._replace(failing_after=2)
    end("bad")
    end("good", "DONE")
    end("bad")
    assert (row("bad")["queued"], row("bad")["requested_by"]) == ("pause", "server")
    assert desk.beat("bad", session="bad").reply.desired_state == "pause"
    desk.beat("bad", session="bad", applied_version=1)
    desk.write(lambda t: commands.tell(t, "run", ["bad"], "dashboard"))
    assert not row("bad")["failing"]  # somebody wants to see it try again
    desk.beat("bad", session="bad", applied_version=2)
    end("bad")
    assert row("bad")["desired_state"] == "run"
    end("good", "DONE")
    end("bad")
    assert row("bad")["queued"] == "pause"


def test_a_new_process_begins_without_a_row(desk: Desk, end: End, row: Row) -> None:
    desk.policy = desk.policy._replace(failing_after=1)
    end("good", "DONE")
    desk.now -= 1
    end("bad")
    assert row("bad")["failing"]
    desk.beat("bad", session="bad", leave=True)
    desk.beat("bad", session="another")
    assert (row("bad")["failing"], row("bad")["failures_in_row"]) == (False, 0)
    assert row("bad")["jobs_failed"] == 1


def test_jobs_that_failed_on_a_worker_are_found(desk: Desk, end: End) -> None:
    failed = [end("bad"), end("bad", verdict="timeout")]
    end("bad", "DONE")
    end("bad", verdict="preempted")
    end("good")
    assert desk.read(lambda db: failing.failed_on(db, "bad", 0, 10)) == failed
    assert desk.read(lambda db: failing.failed_on(db, "bad", failed[0], 10)) == failed[1:]
    assert desk.read(lambda db: failing.failed_on(db, "bad", 0, 1)) == failed[:1]
    assert desk.read(lambda db: failing.count_failed_on(db, "bad")) == 2


def test_marking_walks_over_no_table(desk: Desk) -> None:
    for question in (
            ("SELECT worker_id FROM workers WHERE failures_in_row >= 5 AND failures_in_row > 0"
             " AND failing = 0"),
            "SELECT 1 FROM workers WHERE last_done_at >= 5.0 AND worker_id <> 'w'"):
        plan = desk.read(lambda db: db.execute("EXPLAIN QUERY PLAN " + question).fetchall())
        assert all("SEARCH" in step[-1] for step in plan), plan
