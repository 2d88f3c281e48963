"""The agent on its way out: signals, drain and stop, once=true."""

from pathlib import Path
from typing import List, Optional

import pytest

from jd import protocol
from jd.worker.attempt.process.jobprocess import STOPPED_PREEMPTED
from jd.worker.limits import RESERVE, Limits
from tests.worker.bench import ALL, Bench, job


def without(*names: str) -> List[str]:
    return [name for name in ALL if name not in names]


def test_an_idle_worker_takes_its_leave(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL)
    held = bench.call
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step()
    assert bench.calls.abandoned == [held]
    assert bench.call.body["leave"] is True
    assert bench.call.body["reported_status"] == "busy"  # so that it gets no job
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


def test_a_stopped_job_is_released(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step()
    assert bench.jobs[0].stop_reason == STOPPED_PREEMPTED
    bench.end_job(0)  # it wrote its checkpoint and left in good order: that is not done
    body = bench.call.body
    assert body["leave"] is True
    assert "finished" not in body
    assert (body["released"]["job_id"], body["released"]["attempt"]) == (5, 1)
    assert body["released"]["reason"] == "the worker was stopped by SIGTERM"
    bench.reply(ALL)
    assert bench.agent.exit_status == 0
    assert bench.waiting() == []


def test_a_base_server_hears_of_a_preempted_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(None, job(5, None))
    bench.agent.stop(bench.now, "SIGINT")
    bench.end_job(-2)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    assert bench.call.body["status"] == "ABORTED"
    assert bench.call.body["message"] == "preempted: the worker was stopped by SIGINT"
    bench.answer({})
    assert bench.agent.exit_status == 0


def test_a_job_that_ended_before_the_signal_is_reported_as_it_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.jobs[0].has_ended_unseen = True
    bench.agent.stop(bench.now, "SIGTERM")
    bench.end_job(0)
    assert bench.call.body["finished"]["status"] == "DONE"
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step(1.0)
    bench.agent.stop(bench.now, "SIGINT")
    bench.step(1.0)
    bench.end_job(0)
    assert "SIGTERM" in bench.call.body["released"]["reason"]


def test_the_last_words_are_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.agent.stop(bench.now, "SIGTERM")
    bench.end_job(0)
    began = bench.now
    while bench.agent.exit_status is None:
        if bench.calls.in_flight is not None:
            bench.unreachable()
        bench.step_to_deadline()
    assert bench.now - began <= 5.1
    assert bench.agent.exit_status == 0
    assert len(bench.waiting()) == 1
    assert bench.said(str(bench.waiting()[0]))


def test_a_hanging_server_does_not_hold_up_the_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    assert bench.busy  # a heartbeat that is never answered
    bench.agent.stop(bench.now, "SIGTERM")
    bench.end_job(0)
    began = bench.now
    steps = 0
    while bench.agent.exit_status is None:
        bench.step_to_deadline()
        steps += 1
        assert steps < 20, "the agent spins"
    assert bench.now - began <= 5.1
    assert "released" in bench.calls.sent[-1].body


def test_a_base_servers_claim_in_flight_is_awaited_a_little(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step(0.5)
    assert bench.calls.abandoned == []
    bench.reply(None, job(5, None))
    assert bench.jobs == []
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    assert bench.call.body["status"] == "ABORTED"
    assert "before it began" in bench.call.body["message"]
    bench.answer({})
    assert bench.agent.exit_status == 0


def test_a_result_on_its_way_is_awaited_a_little(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job()
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step()
    assert bench.calls.abandoned == []
    bench.reply(ALL)
    assert "finished" not in bench.call.body
    assert bench.call.body["leave"] is True


def test_a_job_that_comes_too_late_is_released(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step()
    bench.reply(ALL, job(5))
    assert bench.call.body["released"]["job_id"] == 5


def test_a_base_server_that_does_not_answer_is_left_after_two_seconds(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    began = bench.now
    bench.agent.stop(bench.now, "SIGTERM")
    bench.step()
    while bench.agent.exit_status is None:
        bench.step_to_deadline()
    assert bench.now - began == pytest.approx(2.0)
    assert bench.agent.exit_status == 0


def test_a_refused_release_is_told_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.agent.stop(bench.now, "SIGTERM")
    bench.end_job(0)
    bench.refuse(400)
    assert bench.call.route == protocol.UPDATE_JOB_STATUS
    assert bench.call.body["verdict"] == "preempted"
    bench.refuse(409)
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


# ---- drain and stop

@pytest.mark.parametrize("state", ["drain", "stop"])
def test_an_idle_worker_acknowledges_and_exits(tmp_path: Path, state: str) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL)
    bench.reply(ALL, desired_state=state, desired_version=2)
    assert bench.call.body["applied_version"] == 2
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


@pytest.mark.parametrize("state", ["drain", "stop"])
def test_a_base_server_gets_its_acknowledgement_without_being_asked_for_a_job(
        tmp_path: Path, state: str) -> None:
    bench = Bench(tmp_path)
    bench.reply(None, desired_state=state, desired_version=2)
    assert bench.call.body["applied_version"] == 2
    assert bench.call.body["reported_status"] == "busy"
    assert "leave" not in bench.call.body
    bench.reply(None, desired_state=state, desired_version=2)
    assert bench.agent.exit_status == 0


def test_drain_finishes_the_job_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    bench.reply(ALL, desired_state="drain", desired_version=1)
    bench.reply(ALL, desired_state="drain", desired_version=1)
    assert bench.jobs[0].stop_reason is None
    bench.end_job()
    assert bench.call.body["finished"]["job_id"] == 5
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


def test_a_drain_that_is_cancelled_in_time_has_no_effect(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    bench.reply(ALL, desired_state="drain", desired_version=1)
    bench.reply(ALL, desired_state="run", desired_version=2)
    bench.reply(ALL, desired_state="run", desired_version=2)
    bench.end_job()
    bench.reply(ALL)
    assert bench.agent.exit_status is None
    assert bench.call.body["wait"] == 180.0


def test_a_drain_signal_lets_the_job_finish(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.agent.drain(bench.now, "SIGUSR2")
    bench.step()
    assert bench.jobs[0].stop_reason is None
    bench.end_job()
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


# ---- once=true

def test_once_ends_when_there_is_no_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, once=True)
    assert "wait" not in bench.call.body
    bench.reply(ALL)
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


def test_once_does_not_wait_for_the_end_of_a_pause(tmp_path: Path) -> None:
    bench = Bench(tmp_path, once=True)
    bench.reply(ALL, desired_state="pause", desired_version=1)
    assert "wait" not in bench.call.body
    bench.reply(ALL, desired_state="pause", desired_version=1)
    assert bench.call.body["leave"] is True


@pytest.mark.parametrize("extensions", [None, without("finish", "leave"), without("leave"), ALL])
def test_once_ends_after_one_job(tmp_path: Path, extensions: Optional[List[str]]) -> None:
    bench = Bench(tmp_path, once=True)
    bench.reply(extensions, job(5, 1 if extensions else None))
    bench.end_job(1)
    delivered = 0
    while bench.agent.exit_status is None:
        assert bench.call.body.get("reported_status") != "idle", "it asks for another job"
        delivered += "finished" in bench.call.body or bench.call.route == protocol.UPDATE_JOB_STATUS
        if bench.call.route == protocol.HEARTBEAT:
            bench.reply(extensions)
        else:
            bench.answer({})
    assert bench.agent.exit_status == 0
    assert delivered == 1
    assert bench.waiting() == []


def until_it_ends(bench: Bench, most: float) -> float:
    """The server stays away. How long the worker tries, `most` seconds at most."""
    began = bench.now
    while bench.agent.exit_status is None and bench.now - began < most:
        if bench.calls.in_flight is not None:
            bench.unreachable()
        bench.step_to_deadline()
    return bench.now - began


@pytest.mark.parametrize("once", [True, False])
def test_no_worker_leaves_for_want_of_a_job_while_its_result_waits(tmp_path: Path, once: bool) -> None:
    bench = Bench(tmp_path, once=once, limits=Limits(idle_exit=30.0))
    bench.reply(ALL, job(5))
    bench.end_job()
    assert until_it_ends(bench, 7200.0) >= 7200.0
    assert bench.times_said("the worker stays until it is delivered") == 1
    if bench.calls.in_flight is None:
        bench.step_to_deadline()
    assert bench.call.body["finished"]["job_id"] == 5
    bench.reply(ALL)
    if once:
        assert bench.agent.exit_status == 0 and bench.waiting() == []
    else:
        assert bench.agent.exit_status is None or bench.said("idle_timeout")
        assert bench.waiting() == []


def test_it_tries_for_as_long_as_its_time_limit_allows(tmp_path: Path) -> None:
    now = [1000.0]
    bench = Bench(tmp_path, once=True, limits=Limits(left=lambda: 1000.0 + 3600.0 - now[0]))
    bench.reply(ALL, job(5))
    bench.end_job()
    now[0] = bench.now
    assert until_it_ends(bench, 7200.0) == pytest.approx(3600.0 - RESERVE, abs=1.0)
    assert bench.said("the worker stays until it is delivered, for 1h 00m at most")
    assert bench.agent.exit_status == 1
    assert bench.said(str(bench.waiting()[0]))


def test_who_wants_it_gone_waits_for_a_minute(tmp_path: Path) -> None:
    bench = Bench(tmp_path, once=True)
    bench.reply(ALL, job(5))
    bench.end_job()
    until_it_ends(bench, 600.0)
    bench.agent.drain(bench.now, "SIGUSR2")
    assert until_it_ends(bench, 600.0) <= 65.0 + 60.0
    assert bench.agent.exit_status == 1


def test_once_gives_up_on_a_server_that_never_answers(tmp_path: Path) -> None:
    bench = Bench(tmp_path, once=True)
    began = bench.now
    while bench.agent.exit_status is None:
        if bench.calls.in_flight is not None:
            bench.unreachable()
        bench.step_to_deadline()
    assert bench.now - began <= 65.0
    assert bench.agent.exit_status == 1


def test_a_signal_while_a_result_waits_does_not_wait_for_the_server(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reply(ALL, job(5))
    bench.end_job()
    bench.unreachable()
    bench.agent.stop(bench.now, "SIGTERM")
    began = bench.now
    bench.step()
    while bench.agent.exit_status is None:
        if bench.calls.in_flight is not None:
            bench.unreachable()
        bench.step_to_deadline()
    assert bench.now - began <= 5.1
    assert bench.agent.exit_status == 0
    assert len(bench.waiting()) == 1
