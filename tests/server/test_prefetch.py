"""Several short jobs in one claim (docs/protocol.md, "Several short jobs at once")."""

from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd import messages
from jd import protocol as p
from jd.server.creation.batch import from_grid
from jd.server.store.fleet import workers
from jd.server.store.operators import bulk
from jd.server.store.pages.history import cost, worktime
from jd.server.store.policy import Policy
from jd.server.store.queue import attempts, claim, jobs, lease, tookdown
from tests.server.scenes import play
from tests.server.store_support import Desk
from tests.server.test_held_claims import held
from tests.server.test_watching import Bench

FOR_EACH = 64  # of the PENDING jobs, for one that goes out beside the first
MANY = FOR_EACH * 2 + 20  # jobs of which two go out beside the first
PART = claim.part


@pytest.fixture(autouse=True)
def as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many workers there are."""
    of_one(monkeypatch, FOR_EACH)


def of_one(monkeypatch: pytest.MonkeyPatch, for_each: int) -> None:
    monkeypatch.setattr(claim, "part", lambda db: (
        jobs.counts(db)["PENDING"] * claim.FRACTION // for_each))


@pytest.fixture
def policy() -> Policy:
    return Policy(lease=30.0)


def given(desk: Desk, worker: str = "w", prefetch: int = 3, **fields: Any) -> List[int]:
    """The jobs that an idle worker gets which would take so many more."""
    reply = desk.beat(worker, session="of " + worker, prefetch=prefetch, **fields).reply
    return [] if reply.job is None else [reply.job.job_id, *(job.job_id for job in reply.prefetched)]


def result(job_id: int, ended_ago: float, runtime: float = 1.0, **fields: Any) -> Dict[str, Any]:
    return {"job_id": job_id, "attempt": 1, "status": "DONE", "runtime": runtime, "ended_ago": ended_ago,
            **fields}


def returned(job_id: int, attempt: int = 1) -> Dict[str, Any]:
    return {"job_id": job_id, "attempt": attempt, "reason": "not begun"}


def span(desk: Desk, job_id: int, number: int = 1) -> Any:
    """When an attempt began and ended."""
    return desk.read(lambda db: db.execute("SELECT started_at, ended_at FROM attempts WHERE job_id = ?"
                                           " AND number = ?", (job_id, number)).fetchone())


# ---- which jobs are given

def test_as_many_go_out_as_were_asked_for_in_the_order_of_the_queue(desk: Desk) -> None:
    desk.create(MANY + 1)
    desk.write(lambda t: bulk.act(t, bulk.PRIORITISE, [7], bulk.ON_DASHBOARD))
    assert given(desk, "a", prefetch=2) == [7, 1, 2]
    assert given(desk, "b", prefetch=0) == [3]
    assert given(desk, "c", prefetch=15) == [4, 5, 6]
    assert desk.counts() == {"PENDING": MANY + 1 - 7, "SERVED": 7}


def test_of_few_jobs_each_worker_gets_one(desk: Desk) -> None:
    desk.create(FOR_EACH)
    assert given(desk, "a") == [1, 2]
    assert given(desk, "b") == [3]


def test_beside_the_first_there_is_a_fraction_of_each_workers_part_of_all_jobs(
        desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "part", PART)
    for worker in "abcd":
        desk.beat(worker, session="of " + worker)
    desk.beat("gone", session="of gone", leave=True)
    desk.create(4 * claim.FRACTION * 3)
    assert given(desk, "a", prefetch=15) == [1, 2, 3, 4]
    assert given(desk, "b", prefetch=15) == [5, 6, 7]
    desk.create(1000)
    assert len(given(desk, "c", prefetch=15)) == 16


@pytest.mark.parametrize("fields", [{"time_left": 1000.0}, {"session": None}])
def test_who_ends_soon_or_has_no_session_gets_one(desk: Desk, fields: Dict[str, Any]) -> None:
    desk.create(MANY)
    reply = desk.beat(**{"session": "s", "prefetch": 3, **fields}).reply
    assert reply.job is not None and not reply.prefetched


def test_a_short_lease_is_for_one_job(desk: Desk) -> None:
    desk.create(2, idle_timeout=claim.LEAST_LEASE - 1)
    desk.create(1)
    desk.create(2, idle_timeout=claim.LEAST_LEASE)
    desk.create(MANY)
    assert given(desk, "a") == [1]
    assert given(desk, "b") == [2]
    reply = desk.beat("c", session="of c", prefetch=3).reply
    assert [job.job_id for job in reply.prefetched] == [4, 5]
    assert (reply.lease, reply.interval) == (claim.LEAST_LEASE, claim.LEAST_LEASE / 3)  # the shortest


def test_a_job_that_was_tried_is_given_alone_and_ends_a_row(desk: Desk) -> None:
    desk.create(MANY + 5)
    assert given(desk, "a", prefetch=0) == [1]
    assert given(desk, "b", prefetch=0) == [2]
    desk.beat("b", session="of b", leave=True)  # it is first in the queue again
    assert given(desk, "c") == [2]
    desk.beat("a", session="of a", leave=True)
    desk.write(lambda t: bulk.act(t, bulk.PRIORITISE, [4, 5], bulk.ON_DASHBOARD))
    assert given(desk, "d") == [4, 5]  # job 1 is next
    assert desk.status(1) == p.PENDING


def test_needs_are_heeded_and_damaged_jobs_set_aside(desk: Desk) -> None:
    desk.create(2)
    desk.create(2, needs=["gpu"])
    desk.create(MANY)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET parameters = '{' WHERE id IN (1, 2)"))
    assert given(desk, "a") == [5]  # those two were chosen with it
    assert desk.status(1) == desk.status(2) == p.ABORTED
    desk.write(lambda t: t.db.execute("UPDATE jobs SET parameters = '{' WHERE id = 3"))
    assert given(desk, "b", tags=["gpu"]) == [4, 6]


def test_nothing_is_given_while_the_server_is_paused(desk: Desk) -> None:
    desk.create(MANY)
    desk.policy = desk.policy._replace(paused=True)
    assert given(desk) == []


def test_data_of_a_backup_counts_first_attempts_as_such(desk: Desk) -> None:
    desk.create(MANY)
    desk.write(lambda t: t.db.execute("INSERT INTO settings VALUES ('attempts_from', '1000')"))
    reply = desk.beat("a", session="s", prefetch=3).reply
    assert [job.attempt for job in reply.prefetched] == [1000, 1000]


# ---- what becomes of them

def test_a_session_gets_all_again_that_it_holds(desk: Desk) -> None:
    desk.create(MANY)
    first = given(desk)
    desk.now += 10
    assert given(desk, prefetch=0) == first == [1, 2, 3]
    desk.now += 25
    desk.write(lambda t: lease.expire(t, 100))  # their leases were renewed
    assert desk.counts()["SERVED"] == 3
    reply = desk.beat("w", session="of w", prefetch=3, finished=result(1, 0.0)).reply
    assert reply.job is not None and reply.job.job_id == 2
    assert [job.job_id for job in reply.prefetched] == [3]


def test_results_come_together_and_each_is_taken_as_if_it_came_by_itself(desk: Desk) -> None:
    desk.now += 53 - desk.now % 60
    desk.create(MANY)
    assert given(desk) == [1, 2, 3]
    desk.now += 10
    fields: Dict[str, Any] = {
        "finished_before": [result(1, 5.0, 2.0, output_tail="one\n"),
                            result(2, 1.0, 4.0, status="ABORTED", exit_code=1)],
        "finished": result(3, 0.5, 0.5)}
    assert given(desk, **fields) == [4, 5, 6]
    assert [desk.status(job_id) for job_id in (1, 2, 3)] == [p.DONE, p.ABORTED, p.DONE]
    assert desk.sql("SELECT output_tail FROM attempts WHERE job_id = 1") == "one\n"
    assert [span(desk, job_id) for job_id in (1, 2, 3)] == [
        (desk.now - 7, desk.now - 5), (desk.now - 5, desk.now - 1), (desk.now - 1, desk.now - 0.5)]
    job = desk.job(1)
    assert (job["request_timestamp"], job["completion_timestamp"], job["required_time"]) == (
        desk.now - 7, desk.now - 5, 2.0)
    assert desk.sql("SELECT retry_at FROM jobs WHERE id = 2") > desk.now  # its pause begins now
    minute = (desk.now - 5) // 60 * 60
    assert desk.sql("SELECT n FROM completions WHERE unit = 'minute' AND host = '' AND verdict = 'done'"
                    " AND start = ?", minute) == 1 and desk.now // 60 * 60 > minute  # as the chart has it
    # The answer was lost: the same again changes nothing, and gives the same jobs.
    before = desk.sql("SELECT count(*) FROM job_history")
    desk.now += 10
    assert given(desk, **fields) == [4, 5, 6]
    assert desk.sql("SELECT count(*) FROM job_history") == before
    assert span(desk, 1) == (desk.now - 17, desk.now - 15)


def test_an_end_is_within_the_time_in_which_the_worker_had_the_job(desk: Desk) -> None:
    desk.create(MANY)
    at = desk.now
    assert given(desk) == [1, 2, 3]
    desk.now += 10
    desk.finish(1, attempt=1, ended_ago=1e9, runtime=5.0)
    desk.finish(2, attempt=1, ended_ago=4.0, runtime=1e9)
    desk.finish(3, attempt=1, ended_ago=3.0)
    assert [span(desk, job_id) for job_id in (1, 2, 3)] == [(at, at), (at, at + 6), (at, at + 7)]
    assert desk.sql("SELECT runtime FROM attempts WHERE job_id = 3") == 7.0


def test_attempts_of_a_worker_do_not_overlap_and_cost_what_they_took(desk: Desk) -> None:
    desk.create(MANY)
    at = desk.now
    assert given(desk) == [1, 2, 3]
    desk.now += 4
    desk.beat("w", session="of w", reported_status="busy", current_job_id=2, attempt=1,
              finished_before=[result(1, 2.0, 2.0)], unstarted=[returned(3)])
    assert span(desk, 3) == (desk.now, desk.now) and desk.status(3) == p.PENDING
    assert desk.sql("SELECT current_job_id FROM workers") == 2
    assert span(desk, 2) == (at + 2, None)
    desk.now += 4
    # Its second attempt; and nobody says how long ago the other one has ended, which came by itself.
    assert given(desk, finished=dict(result(2, 0.0, 6.0), ended_ago=None)) == [3]
    assert [span(desk, job_id) for job_id in (1, 2)] == [(at, at + 2), (at + 2, at + 8)]
    total = desk.read(lambda db: cost.find(db, cost.SWEEP, desk.now)).total
    assert sum(total.wall) * 3600 == pytest.approx(8.0)
    assert total.attempts[worktime.KINDS.index(worktime.RETURNED)] == 1


def test_one_part_that_is_refused_refuses_the_whole_heartbeat(desk: Desk) -> None:
    desk.create(MANY)
    assert given(desk) == [1, 2, 3]
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [2], bulk.ON_DASHBOARD))
    with pytest.raises(attempts.StaleAttempt):
        given(desk, finished_before=[result(1, 2.0), result(2, 1.0)], finished=result(3, 0.0))
    assert desk.status(1) == desk.status(3) == p.SERVED
    with pytest.raises(jobs.NoSuchJob):
        given(desk, finished=result(1, 0.0), unstarted=[returned(9999)])
    assert desk.status(1) == p.SERVED
    # To give back what has ended otherwise is nothing.
    assert given(desk, finished=result(1, 0.0), unstarted=[returned(2), returned(3)]) == [3]
    assert [desk.status(job_id) for job_id in (1, 2)] == [p.DONE, p.ABORTED]
    assert desk.sql("SELECT verdict FROM attempts WHERE job_id = 3 AND number = 1") == "preempted"


def test_of_jobs_that_are_taken_from_a_worker_only_the_first_has_taken_time(desk: Desk) -> None:
    desk.create(MANY)
    at = desk.now
    assert given(desk) == [1, 2, 3]
    desk.now += 4
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [2], bulk.ON_DASHBOARD))
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [1], bulk.ON_DASHBOARD))
    assert (span(desk, 2), span(desk, 1)) == ((desk.now, desk.now), (at, desk.now))
    desk.now += 1
    assert given(desk, finished=result(3, 0.5, 0.25)) == [4, 5, 6]
    assert span(desk, 3) == (desk.now - 0.75, desk.now - 0.5)
    desk.now += 2
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [4, 5, 6], bulk.ON_DASHBOARD))
    assert [span(desk, job_id) for job_id in (4, 5, 6)] == [
        (desk.now - 2, desk.now), (desk.now, desk.now), (desk.now, desk.now)]


def test_each_part_is_within_reach_or_refused(desk: Desk) -> None:
    desk.create(MANY)

    def beat(worker: str, user: str, **fields: Any) -> workers.Answer:
        heard = messages.Heartbeat.from_json(dict(
            {"worker_id": worker, "session": worker, "prefetch": 2}, **fields))
        return desk.write(lambda t: workers.heartbeat(t, heard, user, user))

    assert len(beat("a", "ann").reply.prefetched) == 2
    for fields in ({"finished_before": [result(2, 0.0)]}, {"unstarted": [returned(3)]}):
        with pytest.raises(attempts.AnothersAttempt):
            beat("b", "bob", **fields)
    beat("a", "ann", finished_before=[result(1, 1.0)], finished=result(2, 0.0), unstarted=[returned(3)])
    assert [desk.status(job_id) for job_id in (1, 2)] == [p.DONE, p.DONE]
    assert desk.sql("SELECT verdict FROM attempts WHERE job_id = 3 AND number = 1") == "preempted"


def test_leaving_gives_all_back(desk: Desk) -> None:
    desk.create(MANY)
    assert given(desk) == [1, 2, 3]
    desk.beat("w", session="of w", leave=True)
    assert desk.happened.pending == 3 and desk.counts() == {"PENDING": MANY}


@pytest.mark.parametrize("requeue", [True, False])
@pytest.mark.parametrize("named, running", [(None, 1), (2, 2)])
def test_a_stop_from_the_command_line_ends_one_and_gives_the_others_back(
        desk: Desk, requeue: bool, named: Any, running: int) -> None:
    desk.create(MANY)
    assert given(desk) == [1, 2, 3]
    stopped = desk.write(lambda t: workers.stopped_by_cli(t, "w", named, "stop", "h", requeue=requeue))
    assert stopped == (workers.StoppedJob(requeued=running) if requeue else workers.StoppedJob(aborted=True))
    expected = {1: p.PENDING, 2: p.PENDING, 3: p.PENDING}
    if not requeue:
        expected[running] = p.ABORTED
    assert {job_id: desk.status(job_id) for job_id in expected} == expected


def test_a_stop_that_names_another_job_ends_none(desk: Desk) -> None:
    desk.create(MANY)
    assert given(desk) == [1, 2, 3]
    assert desk.write(lambda t: workers.stopped_by_cli(t, "w", 9, "stop", "h")) == workers.StoppedJob()
    assert desk.counts()["SERVED"] == 3


# ---- workers that die

def test_all_that_a_worker_held_is_lost_at_once_and_none_of_it_is_what_took_it_down(desk: Desk) -> None:
    desk.create(1, idle_timeout=60)
    desk.create(1, idle_timeout=20)
    desk.create(MANY)
    assert given(desk) == [1, 2, 3]
    desk.now += 20
    desk.write(lambda t: lease.expire(t, 1))  # the shortest of the leases, which the worker was told
    assert desk.counts() == {"PENDING": MANY + 2} and sorted(desk.happened.taken_away) == [1, 2, 3]
    assert desk.sql("SELECT count(*) FROM attempts WHERE verdict = 'lost' AND took_down IS NULL") == 3
    # It was at one of them.
    total = desk.read(lambda db: cost.find(db, cost.SWEEP, desk.now)).total
    assert sum(total.wall) * 3600 == pytest.approx(20.0)


def test_one_that_goes_on_loses_only_what_it_does_not_speak_of(desk: Desk) -> None:
    desk.create(MANY)
    assert given(desk) == [1, 2, 3]
    for _ in range(4):
        desk.now += 10
        desk.beat("w", session="of w", reported_status="busy", current_job_id=2, attempt=1)
        desk.write(lambda t: lease.expire(t, 100))
    assert [desk.status(job_id) for job_id in (1, 2, 3)] == [p.PENDING, p.SERVED, p.PENDING]


@pytest.mark.parametrize("found", ["silent", "dead"])
def test_a_job_that_kills_workers_is_found_although_it_was_given_with_others(desk: Desk, found: str) -> None:
    """It dies with those beside it once, and by itself from then on; what was beside it is not blamed."""
    desk.create(MANY)
    desk.write(lambda t: bulk.act(t, bulk.PRIORITISE, [2, 3], bulk.ON_DASHBOARD))

    def die(worker: str) -> None:
        if found == "dead":
            desk.now += 1
            desk.beat(worker, session="of " + worker, leave=True, died=1)
        else:
            desk.now += 31
            desk.write(lambda t: lease.expire(t, 100))

    assert given(desk, "a") == [2, 3, 1]
    die("a")
    assert desk.counts() == {"PENDING": MANY}
    for worker in ("b", "c", "d"):
        assert desk.status(2) == p.PENDING
        assert given(desk, worker) == [2]
        die(worker)
    assert desk.status(2) == p.ABORTED
    assert "it took down %d workers: b, c, d" % tookdown.MOST in desk.job(2)["message"][-1]["reason"]
    for job_id in (3, 1):
        assert given(desk, "e") == [job_id]  # alone as well, and well
        desk.beat("e", session="of e", finished=result(job_id, 0.0, attempt=2), reported_status="busy")
    assert desk.sql("SELECT count(*) FROM attempts WHERE took_down = 1") == tookdown.MOST


def test_workers_are_counted_not_the_jobs_that_they_hold(desk: Desk) -> None:
    """A worker that is silent with three is one, and fewer than the two that go on."""
    desk.create(MANY)
    assert given(desk, "bad", prefetch=0) == [1]
    desk.now += 1
    assert given(desk, "silent") == [2, 3, 4]
    assert given(desk, "c", prefetch=0) == [5] and given(desk, "d", prefetch=0) == [6]
    desk.now += 28
    for worker, job_id in (("c", 5), ("d", 6)):
        desk.beat(worker, session="of " + worker, reported_status="busy", current_job_id=job_id, attempt=1)
    desk.now += 1
    desk.write(lambda t: lease.expire(t, 1))
    assert desk.sql("SELECT took_down FROM attempts WHERE job_id = 1") == 1


# ---- heartbeats that are held

def test_those_who_wait_go_on_waiting_where_one_has_taken_what_there_is(tmp_path: Path) -> None:
    """Four are called for four jobs, of which the first takes three; what is given back calls others."""
    async def scenario(bench: Bench) -> None:
        ahead = await held(bench, "a", prefetch=2)
        others = [await held(bench, worker) for worker in ("b", "c", "d")]
        await bench.server.creation.create(from_grid({"x": list(range(4))}))
        reply = (await ahead)[1]
        assert [reply["job"]["job_id"], *(job["job_id"] for job in reply["prefetched"])] == [1, 2, 3]
        assert (await others[0])[1]["job"]["job_id"] == 4
        assert not others[1].done() and not others[2].done()
        status, _ = await bench.beat(
            worker_id="a", session="a", reported_status="busy", current_job_id=2, attempt=1,
            finished_before=[result(1, 0.5)], unstarted=[returned(3)])
        assert status == 200 and (await others[1])[1]["job"]["job_id"] == 3
        assert not others[2].done()
        await bench.beat(worker_id="a", session="a", leave=True)
        assert (await others[2])[1]["job"]["job_id"] == 2

    with pytest.MonkeyPatch.context() as patch:
        of_one(patch, 1)
        play(lambda: Bench(tmp_path), scenario)


def test_as_much_as_sixteen_jobs_have_printed_is_taken_with_one_heartbeat(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.server.creation.create(from_grid({"x": list(range(p.MAX_PREFETCH + 1))}))
        reply = (await bench.beat(session="s", prefetch=p.MAX_PREFETCH))[1]
        told = [result(job["job_id"], 0.1, output_tail="\x07" * p.MAX_TAIL_CHARS)  # each is sent as \u0007
                for job in [reply["job"], *reply["prefetched"]]]
        assert len(told) == 1 + p.MAX_PREFETCH
        status, _ = await bench.beat(session="s", finished_before=told[:-1], finished=told[-1])
        assert status == 200
        assert (await bench.experiment.read(jobs.counts))["DONE"] == 1 + p.MAX_PREFETCH

    with pytest.MonkeyPatch.context() as patch:
        of_one(patch, 1)
        play(lambda: Bench(tmp_path), scenario)
