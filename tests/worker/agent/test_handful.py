"""Several short jobs with one claim: asked for, run one after the other, told together, given back."""

from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd import protocol
from jd.messages import Result
from jd.protocol import MAX_PREFETCH
from jd.worker.agent.agent import SEVERAL
from jd.worker.agent.handful import AT_ONCE, LAST_JOBS, PATIENCE, Handful
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.limits import Limits
from jd.worker.uplink.delivery import MAX_TOGETHER, SYNC_AFTER
from jd.worker.uplink.outbox import Outbox, in_directory
from jd.worker.verdict import Ended
from tests.worker.bench import ALL, SERVER, Bench, job

SHORT = 0.01  # seconds that a job takes here


def end(bench: Bench, exit_code: int = 0, tail: str = "", took: float = SHORT) -> None:
    bench.step(took)
    bench.end_job(exit_code, tail)


def seasoned(tmp_path: Path, **given: Any) -> Bench:
    """A worker that has done some short jobs, and asks for the next ones."""
    bench = Bench(tmp_path, **given)
    for number in range(1, LAST_JOBS + 1):
        bench.reply(ALL, job(number))
        end(bench)
    return bench


def with_three(tmp_path: Path, **given: Any) -> Bench:
    """One that has got jobs 5, 6 and 7, and runs the first."""
    bench = seasoned(tmp_path, **given)
    bench.reply(ALL, job(5), prefetched=[job(6), job(7)])
    return bench


def numbers(results: List[Dict[str, Any]]) -> List[int]:
    return [told["job_id"] for told in results]


def given_back(bench: Bench) -> List[int]:
    return numbers(bench.call.body.get("unstarted", []))


def ran(bench: Bench) -> List[int]:
    return [fake.assignment.job_id for fake in bench.jobs]


# ---- how many it asks for

def test_who_has_done_short_jobs_asks_for_more_than_one(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    for number in range(1, LAST_JOBS + 1):
        assert "prefetch" not in bench.call.body
        bench.reply(ALL, job(number))
        end(bench)
    assert bench.call.body["prefetch"] == MAX_PREFETCH
    bench.reply(ALL)
    assert (bench.call.body["prefetch"], bench.call.body["wait"]) == (MAX_PREFETCH, 180.0)


@pytest.mark.parametrize("took, wanted", [
    (0.0, MAX_PREFETCH), (0.02, 11), (0.05, 4), (0.125, 1), (0.13, 0), (30.0, 0)])
def test_together_they_are_to_take_a_moment(took: float, wanted: int) -> None:
    handful = Handful()
    for number in range(LAST_JOBS):
        handful.began(100.0)
        handful.ended("done", 100.0 + (took if number == 1 else 0.001))
    assert handful.wanted == wanted and (wanted + 1) * took <= AT_ONCE or wanted == 0


@pytest.mark.parametrize("verdict", ["failed", "lost", "preempted"])
def test_after_one_that_was_not_done_it_is_seen_anew_how_long_they_take(verdict: str) -> None:
    handful = Handful()
    for verdicts, wanted in (("done",) * LAST_JOBS, MAX_PREFETCH), ((verdict,), 0), (
            ("done",) * (LAST_JOBS - 1), 0), (("done",), MAX_PREFETCH):
        for one in verdicts:
            handful.began(100.0)
            handful.ended(one, 100.01)
        assert handful.wanted == wanted


@pytest.mark.parametrize("missing", SEVERAL)
def test_a_server_that_does_not_know_all_of_it_is_not_asked(tmp_path: Path, missing: str) -> None:
    bench, offered = Bench(tmp_path), [name for name in ALL if name != missing]
    for number in range(1, LAST_JOBS + 3):
        bench.reply(offered, job(number))
        end(bench)
        while bench.call.route == protocol.UPDATE_JOB_STATUS:
            bench.answer({})
        assert "prefetch" not in bench.call.body


def test_a_worker_whose_time_is_limited_does_not_ask(tmp_path: Path) -> None:
    bench = seasoned(tmp_path, limits=Limits(left=lambda: 3600.0))
    assert "time_left" in bench.call.body and "prefetch" not in bench.call.body


def test_a_worker_that_is_paused_does_not_ask(tmp_path: Path) -> None:
    bench = seasoned(tmp_path)
    bench.reply(ALL, desired_state="pause", desired_version=1)
    assert bench.call.body["applied_version"] == 1 and "prefetch" not in bench.call.body


# ---- they run, and are told together

def test_they_run_one_after_the_other_without_a_call(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    for number in (5, 6):
        assert ran(bench)[-1] == number and bench.agent.job is not None
        end(bench, tail="output of %d\n" % number)
        assert bench.calls.in_flight is None, "the next one has begun in the same step"
        assert len(bench.waiting()) == number - 4
    assert bench.said("claimed job 7 (attempt 1)")
    end(bench, tail="output of 7\n")
    assert len(bench.waiting()) == 3
    body = bench.call.body
    assert (body["reported_status"], body["prefetch"]) == ("idle", MAX_PREFETCH)
    assert numbers(body["finished_before"]) == [5, 6] and body["finished"]["job_id"] == 7
    assert [told["ended_ago"] for told in body["finished_before"]] == [0.02, 0.01]
    assert body["finished_before"][0]["output_tail"] == "output of 5\n" and "unstarted" not in body
    bench.reply(ALL, job(8))
    assert bench.waiting() == [] and ran(bench)[LAST_JOBS:] == [5, 6, 7, 8]


def test_how_long_ago_they_ended_is_said_of_the_moment_of_the_call(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    for _ in range(3):
        end(bench)
    bench.unreachable(took=2.0)
    bench.step_to_deadline()
    assert [told["ended_ago"] for told in bench.call.body["finished_before"]] == [3.02, 3.01]
    assert bench.call.body["finished"]["ended_ago"] == 3.0


def test_how_long_ago_a_script_ended_is_more_than_its_files_have_taken_since(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    bench.step(0.4)
    bench.jobs[-1].ended = Ended(0, 0.1)
    bench.step()
    end(bench)
    end(bench)
    assert [told["ended_ago"] for told in bench.call.body["finished_before"]] == [0.32, 0.01]


def test_they_are_not_synced_while_the_others_run(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    end(bench, took=2 * SYNC_AFTER)
    (first, second) = bench.agent._delivery.own
    bench.step(2 * SYNC_AFTER)
    assert not first.is_synced and not second.is_synced
    end(bench)
    bench.step_to_deadline()
    bench.step(SYNC_AFTER)
    assert [entry.is_synced for entry in bench.agent._delivery.own] == [True] * 3


def test_nothing_that_may_take_long_stands_between_them(tmp_path: Path) -> None:
    bench = seasoned(tmp_path)
    bench.reply(ALL)
    Outbox(in_directory(tmp_path / "outbox"), print).put(Result(90, "DONE"), SERVER, "data-1", "old_worker_0")
    bench.reply(ALL, job(5), took=400.0, prefetched=[job(6)])
    assert bench.agent._delivery.backlog and bench.calls.in_flight is None
    end(bench)
    assert bench.calls.in_flight is None
    end(bench)
    assert "prefetch" not in bench.call.body, "there is something to deliver first"
    bench.reply(ALL, job(7))
    assert bench.call.body["job_id"] == 90


# ---- they take longer than was expected

def test_after_a_second_results_go_and_the_rest_goes_back_while_a_job_runs(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    assert bench.step_to_deadline() == pytest.approx(PATIENCE - SHORT)
    body = bench.call.body
    assert (body["reported_status"], body["current_job_id"], body["attempt"]) == ("busy", 6, 1)
    assert body["finished"]["job_id"] == 5 and body["finished"]["ended_ago"] == 0.99 and "wait" not in body
    assert body["unstarted"] == [{
        "job_id": 7, "attempt": 1,
        "reason": "not begun, as the jobs before took longer than usual"}]
    bench.reply(ALL)
    assert bench.waiting() == []
    assert bench.step_to_deadline() == pytest.approx(3.0)
    assert bench.call.body["wait"] == 57.0 and given_back(bench) == [], "the next one is held again"
    bench.end_job()
    assert bench.call.body["finished"]["job_id"] == 6 and "finished_before" not in bench.call.body
    bench.reply(ALL, job(8))
    assert ran(bench)[LAST_JOBS:] == [5, 6, 8]


def test_the_first_of_them_runs_longer(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    assert bench.step_to_deadline() == pytest.approx(PATIENCE)
    assert bench.busy and given_back(bench) == [6, 7] and "finished" not in bench.call.body


def test_the_last_of_them_runs_longer(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    end(bench)
    assert bench.step_to_deadline() == pytest.approx(PATIENCE - 2 * SHORT)
    assert bench.busy and bench.call.body["current_job_id"] == 7
    assert numbers(bench.call.body["finished_before"]) == [5] and given_back(bench) == []


def test_a_job_alone_runs_on_without_that(tmp_path: Path) -> None:
    bench = seasoned(tmp_path)
    bench.reply(ALL, job(5))
    assert bench.step_to_deadline() == pytest.approx(3.0)


def test_under_a_short_lease_they_wait_for_less(tmp_path: Path) -> None:
    bench = seasoned(tmp_path)
    bench.reply(ALL, job(5), prefetched=[job(6)], lease=1.5, heartbeat_interval=0.5)
    assert bench.step_to_deadline() == pytest.approx(0.5) and given_back(bench) == [6]


def test_one_that_ends_right_after_its_time_is_the_last(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    bench.now += PATIENCE
    bench.end_job()
    assert bench.call.body["finished"]["job_id"] == 5 and given_back(bench) == [6, 7]
    assert bench.call.body["reported_status"] == "idle"


def test_what_is_given_back_is_told_until_it_has_arrived(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    bench.step_to_deadline()
    bench.unreachable(took=0.1)
    assert bench.step_to_deadline() == pytest.approx(1.0)
    assert given_back(bench) == [7] and bench.call.body["finished"]["job_id"] == 5
    end(bench)  # the answer to that one is still awaited
    bench.reply(ALL)
    assert given_back(bench) == [] and bench.call.body["finished"]["job_id"] == 6
    assert "finished_before" not in bench.call.body


def test_a_busy_heartbeat_that_is_refused_leaves_its_results_to_calls_of_their_own(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    bench.step_to_deadline()
    bench.refuse(409)
    assert bench.busy and given_back(bench) == [7] and "finished" not in bench.call.body
    bench.reply(ALL)
    assert bench.agent.job is not None and bench.jobs[-1].stop_reason is None
    assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.body["job_id"] == 5
    bench.answer({})
    assert bench.waiting() == [] and bench.calls.in_flight is None


def test_a_404_for_one_of_these_is_believed_only_from_a_server_that_is_there(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    bench.step_to_deadline()
    bench.refuse(404)
    bench.reply(ALL)
    assert bench.call.body["job_id"] == 5
    bench.refuse(404)
    bench.step(2.0)
    assert bench.calls.in_flight is None, "it waits for the next heartbeat"
    bench.step_to_deadline()
    assert bench.busy and bench.call.body["current_job_id"] == 6 and len(bench.waiting()) == 1
    bench.reply(ALL)
    assert bench.call.body["job_id"] == 5
    bench.refuse(404)
    assert bench.waiting() == [] and bench.said("dropped")


def test_jobs_that_the_server_will_not_have_back_are_its_own_affair(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    bench.step_to_deadline()
    bench.refuse(404)
    assert bench.calls.in_flight is None and not bench.said("is away")
    assert bench.said("the server will not take back jobs that were not begun: refused with 404")
    bench.step_to_deadline()
    assert bench.busy and given_back(bench) == []
    assert ran(bench)[LAST_JOBS:] == [5]


# ---- one of them is not done

def test_after_a_failure_the_rest_goes_back_with_the_results(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    end(bench, exit_code=3)
    body = bench.call.body
    assert body["reported_status"] == "idle" and given_back(bench) == [7] and "prefetch" not in body
    assert numbers(body["finished_before"]) == [5] and body["finished"]["verdict"] == "failed"
    assert body["unstarted"][0]["reason"] == "not begun, as the job before was not done"
    assert bench.said("gave back jobs that were not begun, as the job before was not done: 7")
    bench.reply(ALL, job(8), finished_retry_in=0)
    assert bench.said("job 6 is tried again at once") and not bench.said("job 5 is")


def test_where_one_does_not_start_the_rest_goes_back_before_its_result(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    bench.start_failure = StartFailure("the script has gone")
    end(bench)
    body = bench.call.body
    assert (body["reported_status"], body["current_job_id"]) == ("busy", None) and "leave" not in body
    assert given_back(bench) == [7] and body["finished"]["job_id"] == 5
    bench.reply(ALL)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.body["job_id"] == 6
    bench.answer({})
    assert bench.step_to_deadline() == pytest.approx(1.0, abs=0.05), "a claim waits after such a job"
    assert bench.call.body["reported_status"] == "idle" and given_back(bench) == []
    assert "prefetch" not in bench.call.body


def test_where_the_first_does_not_start_none_is_begun(tmp_path: Path) -> None:
    bench = seasoned(tmp_path)
    bench.start_failure = StartFailure("the script has gone")
    bench.reply(ALL, job(5), prefetched=[job(6)])
    assert bench.call.body["reported_status"] == "busy" and given_back(bench) == [6]


def test_where_files_wait_the_rest_goes_back_before_they_go(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    bench.step(SHORT)
    bench.jobs[-1].ended = Ended(0, 0.1, waiting_files=tmp_path / "outbox" / "6-1-aa.files")
    bench.step()
    assert bench.call.body["reported_status"] == "busy" and given_back(bench) == [7]
    assert bench.call.body["finished"]["job_id"] == 5
    bench.unreachable()
    bench.step_to_deadline()
    assert given_back(bench) == [7], "until it has arrived"
    bench.reply(ALL)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.body["job_id"] == 6
    bench.answer({})
    assert bench.call.body["reported_status"] == "idle"


def test_heartbeats_go_on_beside_those_files(tmp_path: Path) -> None:
    bench = seasoned(tmp_path)
    bench.reply(ALL, job(5), prefetched=[job(6)], lease=30.0)
    bench.step(SHORT)
    bench.jobs[-1].ended = Ended(0, 0.1, waiting_files=tmp_path / "outbox" / "5-1-aa.files")
    bench.step()
    bench.reply(ALL)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.meanwhile is not None


def test_much_output_does_not_wait_for_more(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench, tail="x" * MAX_TOGETHER)
    assert ran(bench)[-1] == 6
    end(bench, tail="x")
    assert given_back(bench) == [7] and numbers(bench.call.body["finished_before"]) == [5]


def test_of_a_lost_job_nothing_is_told_but_of_the_others_at_once(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    bench.agent._job.lose(bench.now, "409")
    bench.step()
    body = bench.call.body
    assert (body["reported_status"], body["current_job_id"]) == ("busy", None)
    assert given_back(bench) == [7] and body["finished"]["job_id"] == 5
    bench.unreachable()
    assert bench.step_to_deadline() == pytest.approx(1.0) and given_back(bench) == [7]
    bench.reply(ALL)
    end(bench, exit_code=-15)
    assert bench.call.body["reported_status"] == "idle" and "finished" not in bench.call.body


def test_the_answer_about_the_job_before_does_not_end_the_next(tmp_path: Path) -> None:
    bench = with_heartbeat_of_the_first(tmp_path)
    bench.refuse(409)
    assert bench.jobs[-1].stop_reason is None


def with_heartbeat_of_the_first(tmp_path: Path) -> Bench:
    """One that runs the second of two jobs, and whose heartbeat of the first was not answered yet."""
    bench = seasoned(tmp_path)
    bench.reply([name for name in ALL if name != protocol.EXT_WATCH], job(5), prefetched=[job(6)],
                desired_state="run", desired_version=3)
    assert bench.busy and bench.call.body["applied_version"] == 3
    end(bench)
    assert ran(bench)[-1] == 6 and bench.call.body["current_job_id"] == 5
    return bench


# ---- calls fail

def test_a_joint_call_that_is_refused_is_followed_by_each_result_alone_in_order(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    for _ in range(3):
        end(bench)
    bench.refuse(409)
    for number, status in (5, 200), (6, 409), (7, 200):
        assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.body["job_id"] == number
        assert bench.call.body["ended_ago"] == 0.03, "or it seems to have run beside the others"
        if status == 200:
            bench.answer({})
        else:
            bench.refuse(status)
    assert bench.said("the server will not take the result of job 6") and bench.waiting() == []
    assert bench.agent._delivery.has_room, "for those of the next ones"
    assert bench.call.body["reported_status"] == "idle" and "finished" not in bench.call.body


def test_one_that_is_too_large_goes_in_parts(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    for _ in range(3):
        end(bench)
    bench.refuse(413)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.body["job_id"] == 5


def test_no_claim_goes_before_they_have_arrived_and_none_runs_again(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    for _ in range(3):
        end(bench)
    for _ in range(4):
        bench.unreachable()
        bench.step_to_deadline()
        assert numbers(bench.call.body["finished_before"]) == [5, 6]
        assert bench.call.body["finished"]["job_id"] == 7
        assert all(entry.is_synced for entry in bench.agent._delivery.own)
    bench.reply(ALL, job(8), prefetched=[job(9)])
    assert bench.waiting() == [] and ran(bench)[LAST_JOBS:] == [5, 6, 7, 8]


def test_an_answer_that_was_lost_brings_them_all_again(tmp_path: Path) -> None:
    """To a server that holds the same for a session again, whatever was asked for."""
    bench = seasoned(tmp_path)
    bench.unreachable()
    bench.step_to_deadline()
    assert bench.call.body["finished"]["job_id"] == LAST_JOBS
    bench.reply(ALL, job(5), prefetched=[job(6)])
    end(bench)
    assert ran(bench)[LAST_JOBS:] == [5, 6]


def test_an_older_server_that_has_taken_over_gets_each_result(tmp_path: Path) -> None:
    older = [name for name in ALL if name != protocol.EXT_PREFETCH]
    bench = with_three(tmp_path)
    for _ in range(3):
        end(bench)
    bench.unreachable()
    bench.step_to_deadline()
    bench.reply(older)
    for number in (5, 6):
        assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.body["job_id"] == number
        bench.answer({})
    assert bench.waiting() == [] and bench.call.body["reported_status"] == "idle"


def test_one_that_has_taken_over_while_they_ran_gets_one_after_the_other(tmp_path: Path) -> None:
    bench = with_heartbeat_of_the_first(tmp_path)
    bench.reply([name for name in ALL if name != protocol.EXT_PREFETCH])
    end(bench)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS and bench.call.body["job_id"] == 5
    bench.answer({})
    assert bench.call.body["finished"]["job_id"] == 6 and "finished_before" not in bench.call.body


def test_the_process_ends_while_they_wait(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    for _ in range(3):
        end(bench)
    bench.agent.stop(bench.now, "SIGTERM")
    while bench.agent.exit_status is None:
        if bench.calls.in_flight is not None:
            bench.unreachable()
        bench.step_to_deadline()
    assert bench.times_said("waits in") == 3 and len(bench.waiting()) == 3


# ---- it is to stop

def test_a_signal_gives_all_back_with_the_job_that_it_ends(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step()
    assert bench.busy and bench.call.body["current_job_id"] == 6 and given_back(bench) == [7]
    bench.unreachable()
    bench.end_job(-15)
    body = bench.call.body
    assert body["leave"] is True and given_back(bench) == [7]
    assert body["finished"]["job_id"] == 5 and body["released"]["job_id"] == 6
    bench.reply(ALL)
    assert bench.agent.exit_status == 0 and bench.waiting() == [] and ran(bench)[LAST_JOBS:] == [5, 6]


def test_several_results_go_with_the_leave(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    end(bench)
    bench.jobs[-1].has_ended_unseen = True
    bench.agent.stop(bench.now, "SIGTERM")
    bench.jobs[-1].ended = Ended(0, 0.1)
    bench.step()
    body = bench.call.body
    assert body["leave"] is True and given_back(bench) == [7]
    assert numbers(body["finished_before"]) == [5] and body["finished"]["job_id"] == 6
    bench.refuse(400)
    assert bench.call.body["reported_status"] == "busy" and given_back(bench) == [7]
    bench.reply(ALL)
    for number in (5, 6):
        assert bench.call.body["job_id"] == number
        bench.answer({})
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


def test_a_drain_gives_back_what_was_not_begun(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    bench.agent.drain(bench.now, "SIGUSR1")
    bench.step()
    assert bench.busy and given_back(bench) == [6, 7]
    assert bench.call.body["unstarted"][0]["reason"] == "not begun, as the worker is leaving"
    bench.reply(ALL)
    end(bench)
    assert bench.call.body["finished"]["job_id"] == 5 and bench.call.body["leave"] is True


def test_so_does_a_worker_that_gives_up(tmp_path: Path) -> None:
    bench = with_three(tmp_path)
    bench.agent.give_up("the Hub gives it no further token")
    bench.step()
    assert bench.busy and given_back(bench) == [6, 7]


@pytest.mark.parametrize("state", ["pause", "drain", "stop"])
def test_so_does_one_that_the_server_asks(tmp_path: Path, state: str) -> None:
    bench = seasoned(tmp_path)
    bench.reply(ALL, job(5), prefetched=[job(6), job(7)], desired_state=state, desired_version=1)
    assert bench.busy and given_back(bench) == [6, 7]
    assert bench.call.body["unstarted"][0]["reason"] == "not begun, as the worker was asked to %s" % state
    bench.reply(ALL, desired_state=state, desired_version=1)
    end(bench)
    assert ran(bench)[LAST_JOBS:] == [5] and bench.call.body["finished"]["job_id"] == 5


def test_those_that_come_when_it_leaves_are_not_begun(tmp_path: Path) -> None:
    bench = seasoned(tmp_path)
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step()
    bench.reply(ALL, job(5), prefetched=[job(6), job(7)])
    assert bench.call.body["released"]["job_id"] == 5 and given_back(bench) == [6, 7]
    assert bench.call.body["leave"] is True and len(bench.jobs) == LAST_JOBS


def test_a_time_limit_that_is_reached_ends_them(tmp_path: Path) -> None:
    left: List[Any] = [None]
    bench = with_three(tmp_path, limits=Limits(left=lambda: left[0]))
    left[0] = 0.0
    end(bench)
    assert bench.call.body["leave"] is True and given_back(bench) == [6, 7]
