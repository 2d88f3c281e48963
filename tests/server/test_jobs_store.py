"""The way of a job through the store: claim, heartbeat, result, lease, retry."""

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any, Callable
from unittest.mock import Mock

import pytest

from jd import messages
from jd.messages import Retry
from jd.server import sweeper
from jd.server.creation.batch import from_grid, from_list
from jd.server.store.fleet import presence, workers
from jd.server.store.operators import batches, bulk
from jd.server.store.pages import joblist
from jd.server.store.policy import Policy
from jd.server.store.queue import attempts, claim, ending, jobs, lease, retry
from jd.server.store.transaction import Transaction
from tests.server.store_support import Desk, put


def sweep(desk: Desk) -> int:
    """How many jobs became PENDING by it."""
    desk.write(sweeper.step)
    return desk.happened.pending


HEARTBEAT = messages.Heartbeat.from_json({"worker_id": "w", "session": "s"})


def test_jobs_go_out_in_order_once_each(desk: Desk) -> None:
    desk.create(3)
    given = [desk.claim("w%d" % i) for i in range(3)]
    assert [(job.job_id, job.parameters, job.attempt) for job in given] == [
        (1, {"x": 0}, 1), (2, {"x": 1}, 1), (3, {"x": 2}, 1)]
    assert desk.beat("w3").reply.job is None
    assert desk.counts() == {"SERVED": 3}


def test_a_result_and_the_next_claim_in_one_round_trip(desk: Desk) -> None:
    desk.create(2)
    first = desk.claim(session="s")
    done = {"job_id": first.job_id, "attempt": 1, "status": "DONE", "runtime": 2.5, "exit_code": 0}
    assert desk.claim(session="s", finished=done).job_id == 2
    assert desk.counts() == {"DONE": 1, "SERVED": 1}
    assert desk.job(1)["required_time"] == 2.5


def test_an_identical_result_is_recorded_once(desk: Desk) -> None:
    desk.create(1)
    desk.beat()
    for _ in range(3):
        desk.finish(1, "ABORTED", message="exit status 1")
    assert desk.counts() == {"ABORTED": 1}
    assert len(desk.job(1)["message"]) == 1


def test_a_different_second_result_is_refused(desk: Desk) -> None:
    desk.create(1)
    desk.beat()
    desk.finish(1, "DONE")
    with pytest.raises(ending.NotServed):
        desk.finish(1, "ABORTED")
    with pytest.raises(attempts.StaleAttempt):
        desk.finish(1, "ABORTED", attempt=1)
    assert desk.counts() == {"DONE": 1}


def test_a_result_for_a_job_that_was_never_given_out(desk: Desk) -> None:
    desk.create(1)
    with pytest.raises(ending.NotServed, match="PENDING"):
        desk.finish(1)
    with pytest.raises(jobs.NoSuchJob):
        desk.finish(7)


def test_a_silent_attempt_is_lost_and_its_late_result_refused(desk: Desk) -> None:
    desk.create(1)
    desk.beat("a", session="a")
    desk.now += desk.policy.lease - 1
    assert sweep(desk) == 0
    desk.now += 1
    assert sweep(desk) == 1
    assert desk.status(1) == "PENDING"
    with pytest.raises(attempts.StaleAttempt, match="has ended"):
        desk.finish(1, attempt=1)
    assert desk.claim("b", session="b").attempt == 2
    with pytest.raises(attempts.StaleAttempt, match="not the current one, which is 2"):
        desk.finish(1, attempt=1)
    with pytest.raises(attempts.StaleAttempt):
        desk.beat("a", session="a", reported_status="busy", current_job_id=1, attempt=1)
    assert desk.status(1) == "SERVED"
    assert "no heartbeat for 600 s" in desk.job(1)["message"][0]["reason"]


def test_heartbeats_renew_the_lease(desk: Desk) -> None:
    desk.create(1)
    desk.beat(session="s")
    for _ in range(5):
        desk.now += desk.policy.lease - 1
        desk.beat(session="s", reported_status="busy", current_job_id=1, attempt=1)
        assert sweep(desk) == 0
    assert desk.status(1) == "SERVED"


def test_a_base_client_renews_by_its_name_only(desk: Desk) -> None:
    desk.create(1)
    desk.beat("mine")
    desk.now += desk.policy.lease - 1
    desk.beat("other", reported_status="busy", current_job_id=1)
    desk.now += 1
    assert sweep(desk) == 1


def test_failures_are_spaced_and_counted(desk: Desk) -> None:
    desk.create(1)
    for failure in range(1, 4):
        assert desk.claim(session="s").attempt == failure
        desk.finish(1, "ABORTED", attempt=failure, exit_code=1)
        assert desk.status(1) == "ABORTED"
        desk.now += (30.0 if failure == 1 else desk.policy.retry_pause) - 1
        assert sweep(desk) == 0
        desk.now += 1
        assert sweep(desk) == (1 if failure < 3 else 0)
    assert desk.status(1) == "ABORTED"


@pytest.mark.parametrize("failures, pause, waits", [
    (1, 1200.0, 30.0), (1, 5.0, 5.0), (1, 0.0, 0.0), (2, 1200.0, 1200.0), (3, 1200.0, 2400.0),
    (4, 1200.0, 4800.0), (5, 1200.0, 4800.0), (1000, 1200.0, 4800.0), (2, 0.0, 0.0)])
def test_the_first_retry_is_soon_and_later_ones_are_spaced(failures: int, pause: float, waits: float) -> None:
    assert retry.pause_after(failures, pause) == waits


def report(desk: Desk, job_id: int, attempt: int, **fields: Any) -> workers.Answer:
    """What a worker is answered that reports a failure."""
    finished = dict({"job_id": job_id, "attempt": attempt, "status": "ABORTED", "exit_code": 1}, **fields)
    return desk.beat(session="s", reported_status="busy", finished=finished)


def test_who_reports_a_failure_hears_when_it_is_tried_again(desk: Desk) -> None:
    desk.create(1)
    told = []
    for attempt in range(1, 4):
        assert desk.claim(session="s").attempt == attempt
        answer = report(desk, 1, attempt)
        assert not answer.may_wait
        told.append(answer.reply.finished_retry)
        assert report(desk, 1, attempt).reply.finished_retry is None  # a repeat
        desk.now += 2 * desk.policy.retry_pause
        sweep(desk)
    assert told == [Retry(30.0), Retry(1200.0), Retry(None)]


def test_a_final_failure_is_not_tried_again_unless_the_attempt_has_stored_something(desk: Desk) -> None:
    desk.create(2)
    for job in (1, 2):
        assert desk.claim(session="s").job_id == job
        if job == 2:
            desk.write(lambda t: t.db.execute(
                "INSERT INTO files (job_id, kind, name, version, stored_name, size_bytes, uploaded_at)"
                " VALUES (2, 'upload', 'a', 0, 'a', 1, ?)", (t.now,)))
        answer = report(desk, job, 1, exit_code=2, final=True)
        assert answer.reply.finished_retry == Retry(None if job == 1 else 30.0)
    assert "failed on w, not tried again" in desk.job(1)["message"][-1]["reason"]
    desk.now += 100 * desk.policy.retry_pause
    sweep(desk)
    assert (desk.status(1), desk.status(2)) == ("ABORTED", "PENDING")


def test_released_jobs_come_back_at_once_and_are_no_failures(desk: Desk) -> None:
    desk.create(1)
    for attempt in range(1, 6):
        assert desk.claim(session="s").attempt == attempt
        outcome = desk.beat(session="s", reported_status="busy",
                            released={"job_id": 1, "attempt": attempt, "reason": "SIGTERM"})
        assert desk.happened.pending == 1 and outcome.reply.job is None
        assert desk.status(1) == "PENDING"
    desk.beat(session="s", reported_status="busy",
                               released={"job_id": 1, "attempt": 5, "reason": "SIGTERM"})
    assert desk.happened.pending == 0


def test_interruptions_end_some_day(tmp_path: Path) -> None:
    desk = Desk(tmp_path, Policy(max_interruptions=2))
    try:
        desk.create(1)
        for attempt in (1, 2):
            desk.beat(session="s")
            desk.beat(session="s", reported_status="busy",
                      released={"job_id": 1, "attempt": attempt})
        assert desk.status(1) == "ABORTED"
        assert [line["reason"] for line in desk.job(1)["message"]] == [
            "attempt 1 preempted on w, back to the queue",
            "attempt 2 preempted on w (interruption 2 of at most 2), not tried again"]
    finally:
        desk.database.close()


def test_the_history_says_how_often_a_job_has_failed_and_what_follows(desk: Desk) -> None:
    desk.create(1, max_attempts=2)
    desk.claim(session="s")
    report(desk, 1, 1, verdict="oom", message="killed by SIGKILL")
    desk.now += 30
    sweep(desk)
    desk.claim(session="s")
    report(desk, 1, 2, verdict="timeout", message="ran for 2s")
    assert [line["reason"] for line in desk.job(1)["message"]] == [
        "attempt 1 ran out of memory on w (failure 1 of at most 2), tried again in 30 s: killed by SIGKILL",
        "its pause is over, back to the queue",
        "attempt 2 timed out on w (failure 2 of at most 2), not tried again: ran for 2s"]


def test_a_lost_answer_is_given_again_to_its_session_only(desk: Desk) -> None:
    desk.create(2)
    desk.beat("a", session="a")
    again = desk.claim("a", session="a")
    assert (again.job_id, again.attempt) == (1, 1)
    assert desk.claim("b", session="b").job_id == 2


def test_a_second_live_process_of_one_name_is_refused(desk: Desk) -> None:
    desk.create(2)
    desk.beat("w", session="first")
    with pytest.raises(workers.NameTaken):
        desk.beat("w", session="second")
    desk.now += workers.SESSION_LIVE
    assert desk.claim("w", session="second").job_id == 2


def test_leaving_gives_back_what_the_session_holds(desk: Desk) -> None:
    desk.create(1)
    desk.beat("w", session="s")
    outcome = desk.beat("w", session="s", reported_status="busy", leave=True)
    assert desk.happened.pending == 1 and outcome.reply.job is None and not outcome.may_wait
    assert desk.status(1) == "PENDING"
    # The heartbeat that was held open for the session that left gets nothing.
    late = desk.write(lambda t: workers.assign(t, "w", "s"))
    assert late.reply.job is None and not late.may_wait
    assert desk.claim("w", session="next").job_id == 1


def test_leases_start_anew_when_the_server_was_down(desk: Desk) -> None:
    desk.create(1)
    desk.beat(session="s")
    desk.now += 10 * desk.policy.lease
    desk.write(lease.restart)
    assert sweep(desk) == 0
    desk.finish(1, attempt=1)
    assert desk.counts() == {"DONE": 1}


def test_a_batch_can_have_a_lease_and_a_pause_of_its_own(desk: Desk) -> None:
    desk.create(1, idle_timeout=5, aborted_job_reset_timeout=7)
    desk.beat(session="s")
    desk.now += 5
    assert sweep(desk) == 1
    desk.beat(session="s")
    desk.finish(1, "ABORTED", attempt=2)
    desk.now += 6
    assert sweep(desk) == 0
    desk.now += 1
    assert sweep(desk) == 1


@pytest.mark.parametrize("state, gets_job, waits", [
    ("run", True, False), ("pause", False, True), ("drain", False, False), ("stop", False, False)])
def test_commands_hold_jobs_back(desk: Desk, state: str, gets_job: bool, waits: bool) -> None:
    desk.beat("w", session="s")
    desk.write(lambda t: t.db.execute(
        "UPDATE workers SET desired_state = ?, desired_version = 1", (state,)))
    desk.create(1)
    told = desk.beat("w", session="s")
    assert told.reply.pending and told.reply.job is None and not told.may_wait
    assert (told.reply.desired_state, told.reply.desired_version) == (state, 1)
    acknowledged = desk.beat("w", session="s", applied_version=1)
    assert not acknowledged.reply.pending
    assert (acknowledged.reply.job is not None) == gets_job
    assert acknowledged.may_wait == waits


def test_commands_for_a_process_before_do_not_bind_the_next(desk: Desk) -> None:
    desk.beat("w")
    desk.write(lambda t: t.db.execute(
        "UPDATE workers SET desired_state = 'stop', desired_version = 3"))
    desk.beat("w", applied_version=3)
    desk.create(1)
    assert desk.beat("w", applied_version=0).reply.job is not None


def test_silent_workers_are_gone_until_heard_of(desk: Desk) -> None:
    reason = "SELECT left_reason FROM workers"
    desk.beat("w")
    desk.now += presence.SILENCE
    sweep(desk)
    assert desk.sql(reason) is None
    desk.now += 1
    sweep(desk)
    assert desk.sql(reason) == "heartbeat lost"
    desk.beat("w")
    assert desk.sql(reason) is None


def test_a_stop_by_the_cli_of_published_clients_aborts_until_the_retry_pause_is_over(desk: Desk) -> None:
    desk.create(1)
    desk.beat("w", session="s")
    stopped = desk.write(lambda t: workers.stopped_by_cli(t, "w", 1, "stop", "login1"))
    assert stopped == (True, None)
    assert desk.status(1) == "ABORTED"
    assert "stopped from the CLI on login1" in desk.job(1)["message"][-1]["reason"]
    # What the worker gives back while it stops changes nothing any more.
    desk.beat("w", session="s", reported_status="busy", leave=True,
              released={"job_id": 1, "attempt": 1})
    assert desk.status(1) == "ABORTED"
    desk.now += desk.policy.retry_pause - 1
    assert sweep(desk) == 0
    desk.now += 1
    assert sweep(desk) == 1 and desk.status(1) == "PENDING"
    assert desk.sql("SELECT failures FROM jobs") == 0


def test_a_stop_by_our_cli_puts_the_job_back_into_the_queue(desk: Desk) -> None:
    desk.create(1)
    desk.beat("w", session="s")
    stopped = desk.write(lambda t: workers.stopped_by_cli(t, "w", None, "scale", "login1", requeue=True))
    assert stopped == (False, 1) and desk.happened.pending == 1
    assert desk.status(1) == "PENDING"
    assert desk.sql("SELECT failures FROM jobs") == 0
    assert "back to the queue: its worker was stopped from the CLI on login1 (scale)" in (
        desk.job(1)["message"][-1]["reason"])


def test_a_stop_of_a_process_that_has_ended_touches_none_that_has_its_name_by_now(desk: Desk) -> None:
    desk.create(1)
    desk.beat("w", session="s")
    stop = partial(workers.stopped_by_cli, worker_id="w", job_id=None, action="stop", source="h",
                   requeue=True)
    assert desk.write(lambda t: stop(t, session="before")) == (False, None)
    assert desk.status(1) == "SERVED" and desk.sql("SELECT left_at FROM workers") is None
    assert desk.write(lambda t: stop(t, session="s")) == (False, 1)


def test_a_stop_from_the_cli_touches_no_other_workers_job(desk: Desk) -> None:
    desk.create(1)
    desk.beat("w", session="s")
    assert desk.write(lambda t: workers.stopped_by_cli(t, "v", 1, "stop", "h")) == (False, None)
    assert desk.write(lambda t: workers.stopped_by_cli(t, "w", 2, "stop", "h")) == (False, None)
    assert desk.status(1) == "SERVED"


def test_counts_agree_with_the_table(desk: Desk) -> None:
    desk.create(5)
    for _ in range(3):
        desk.beat()
    desk.finish(1)
    desk.finish(2, "ABORTED")
    desk.add(from_grid({"y": [1]}), replace=batches.REPLACE_PENDING)
    counted = desk.read(lambda db: dict(db.execute(
        "SELECT status, count(*) FROM jobs GROUP BY status")))
    assert desk.counts() == counted == {
        "DONE": 1, "ABORTED": 1, "SERVED": 1, "DELETED": 2, "PENDING": 1}


def test_pages_filters_and_search(desk: Desk) -> None:
    desk.create(25)
    desk.add(from_list([{"name": "50%_off"}]))
    page = desk.read(lambda db: joblist.select(db, joblist.JobQuery(page=2, per_page=10)))
    assert [job["id"] for job in page.jobs] == list(range(11, 21)) and page.total == 26
    assert desk.read(lambda db: joblist.select(db, joblist.JobQuery(page=9))).jobs == []
    desk.beat()
    served = desk.read(lambda db: joblist.select(db, joblist.JobQuery(status="SERVED")))
    assert [job["id"] for job in served.jobs] == [1] and served.total == 1
    assert desk.read(lambda db: joblist.select(db, joblist.JobQuery(search="26"))).jobs[0]["parameters"] == {
        "name": "50%_off"}
    assert desk.read(lambda db: joblist.search(db, joblist.JobQuery(search="0%_o"), 0, 0)).ids == [26]
    assert desk.read(lambda db: joblist.search(db, joblist.JobQuery(search="0x_o"), 0, 0)).ids == []
    assert desk.read(lambda db: joblist.select(db, joblist.JobQuery(search="9" * 30))).total == 0
    some = desk.read(lambda db: joblist.select(db, joblist.JobQuery(ids=[3, 99, 5])))
    assert [job["id"] for job in some.jobs] == [3, 5] and some.total == 2


def work(desk: Desk, operation: Callable[[sqlite3.Connection], Any]) -> int:
    """Instructions of SQLite's machine, in tens, that an operation takes."""
    def counted(t: Transaction) -> int:
        steps = Mock(return_value=0)  # go on
        t.db.set_progress_handler(steps, 10)
        try:
            operation(t.db)
        finally:
            t.db.set_progress_handler(None, 0)
        return steps.call_count
    return desk.write(counted)


def test_a_claim_looks_at_one_job(desk: Desk) -> None:
    plan = desk.read(lambda db: [step[-1] for step in db.execute(
        "EXPLAIN QUERY PLAN " + claim.IN_ORDER, (None, 1))])
    assert "USING INDEX jobs_queue" in plan[0] and not any(step.startswith("SCAN ") for step in plan)
    desk.create(500)
    assert work(desk, claim.next_job) < 20


def test_a_claim_does_not_look_through_a_batch_that_is_being_written(desk: Desk) -> None:
    start_id = desk.write(batches.begin)
    texts = ['{"x": %d}' % number for number in range(500)]
    desk.write(lambda t: batches.add(t, start_id, texts, batches.Terms(priority=5)))
    assert desk.beat().reply.job is None
    assert work(desk, claim.next_job) < 20


def test_what_a_worker_did_before_costs_its_heartbeats_nothing(desk: Desk) -> None:
    desk.create(300)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET status = 'DONE', worker_id = 'w', session = 's'"))
    assert work(desk, lambda db: attempts.held_by(db, "w", "s")) < 10
    assert work(desk, lambda db: attempts.served_to(db, "w")) < 10


def test_what_waits_goes_out_while_a_batch_is_being_written(desk: Desk) -> None:
    desk.create(3)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET priority = 1 WHERE id = 2"))
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}'], batches.Terms(priority=5)))
    given = [desk.beat("w%d" % number).reply.job for number in range(4)]
    assert [job and job.job_id for job in given] == [2, 1, 3, None]


def test_what_moves_within_one_commit_is_counted_once(desk: Desk) -> None:
    desk.create(4)
    first = desk.sql("SELECT n FROM changes WHERE topic = 'jobs'")

    def several(t: Transaction) -> None:
        for _ in range(3):  # the same job, back in the queue each time
            assert workers.heartbeat(t, HEARTBEAT).reply.job is not None
            ending.end(t, 1, "preempted")
        assert workers.heartbeat(t, HEARTBEAT).reply.job is not None
        t.db.execute("UPDATE jobs SET results = '{}' WHERE id = 4")  # as a trigger counts it
        put(t, "DONE", 4)
        bulk.act(t, bulk.ABORT, [2], "")

    desk.write(several)
    assert desk.counts() == {"PENDING": 1, "SERVED": 1, "DONE": 1, "ABORTED": 1}
    # Whoever has seen the number of before finds each of them behind it, and none behind that of now.
    now = desk.sql("SELECT n FROM changes WHERE topic = 'jobs'")
    assert desk.read(lambda db: db.execute(
        "SELECT id FROM jobs WHERE changed > ? AND changed <= ? ORDER BY id", (first, now)).fetchall()
    ) == [(1,), (2,), (4,)]


def test_deep_pages_of_all_jobs(desk: Desk) -> None:
    desk.create(50)
    page = joblist.JobQuery(page=10, per_page=5)
    assert [job["id"] for job in desk.read(lambda db: joblist.select(db, page)).jobs] == list(range(46, 51))
    assert work(desk, lambda db: joblist.select(db, page)) <= work(
        desk, lambda db: joblist.select(db, page._replace(page=1)))
    # Those that are DELETED are left out: as after a replacement, and with gaps.
    desk.write(lambda t: bulk.act(t, bulk.DELETE, range(1, 21), ""))
    found = desk.read(lambda db: joblist.select(db, page._replace(page=6)))
    assert [job["id"] for job in found.jobs] == list(range(46, 51)) and found.total == 30
    assert work(desk, lambda db: joblist.select(db, page._replace(page=6))) <= work(
        desk, lambda db: joblist.select(db, page._replace(page=1)))
    desk.write(lambda t: bulk.act(t, bulk.RESTORE, range(1, 20), ""))
    found = desk.read(lambda db: joblist.select(db, page))
    assert [job["id"] for job in found.jobs] == list(range(47, 51)) and found.total == 49


def test_verdicts_are_worked_out_for_base_clients() -> None:
    assert messages.Result(1, "DONE").settled_verdict() == "done"
    assert messages.Result(1, "ABORTED").settled_verdict() == "failed"
    assert messages.Result(1, "ABORTED", exit_code=-9).settled_verdict() == "killed"
    assert messages.Result(1, "ABORTED", exit_code=-9, verdict="oom").settled_verdict() == "oom"
