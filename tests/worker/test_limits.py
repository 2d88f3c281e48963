"""Workers that know their limits: what they take, when they leave, what USR2 does to a job."""

import threading
from pathlib import Path
from typing import Any, List, Optional, Sequence

import pytest

from jd.clock import Clock
from jd.errors import UsageError
from jd.node.timelimit import ASK_AGAIN, ASK_EVERY, TimeLimit
from jd.worker import limits as bounds
from jd.worker.attempt.process.jobprocess import STOPPED_PREEMPTED
from jd.worker.limits import Limits
from tests.worker.bench import ALL, Bench, job


class Left:
    """Time left, as the test says."""

    def __init__(self, seconds: Optional[float]) -> None:
        self.seconds = seconds

    def __call__(self) -> Optional[float]:
        return self.seconds


def bench_with(tmp_path: Path, left: Optional[float] = None, **fields: Any) -> Bench:
    return Bench(tmp_path, limits=Limits(left=Left(left), **fields))


def pass_time(bench: Bench, seconds: float) -> None:
    left = bench.limits.left
    assert isinstance(left, Left)
    if left.seconds is not None:
        left.seconds -= seconds
    bench.step(seconds)


# ---- claims

def test_every_claim_says_what_is_left(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, 500.0, min_time=60.0)
    assert (bench.call.body["time_left"], bench.call.body["min_time"]) == (500.0, 60.0)
    bench.reply(ALL, job(5))
    bench.step_to_deadline()
    assert "time_left" not in bench.call.body  # a job that runs fits or not


def test_without_a_limit_nothing_is_said_of_one(tmp_path: Path) -> None:
    body = bench_with(tmp_path, None, min_time=60.0).call.body
    assert not {"time_left", "min_time", "exit_when_empty"} & set(body)


def test_an_estimate_keeps_no_job_from_a_fresh_allocation(tmp_path: Path) -> None:
    fresh = Limits(left=Left(500.0), is_fresh=lambda: True)
    assert Bench(tmp_path, limits=fresh).call.body["min_time"] == 0.0
    assert Limits(min_time=9.0, is_fresh=lambda: True).usual_time == 9.0


def test_no_job_is_asked_for_when_less_than_min_time_is_left(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, 59.0, min_time=60.0)
    assert bench.calls.sent == []
    assert bench.agent.exit_status == 0
    assert bench.said("worker ends: 59s left until the limit, and min_time is 1m 00s")


def test_a_held_claim_ends_when_the_time_for_a_job_has_passed(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, 100.0, min_time=60.0)
    bench.reply(ALL)
    held = bench.call
    assert bench.deadline is not None and 39.0 < bench.deadline - bench.now < 42.0
    pass_time(bench, 41.0)
    assert bench.calls.abandoned == [held]
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0


def test_a_worker_to_which_nothing_fits_ends(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, 90.0)
    bench.reply(ALL, needs=600.0)
    bench.reply(ALL)
    assert bench.agent.exit_status == 0
    assert bench.said("worker ends: no job fits: 1m 30s left until the limit, and the shortest needs "
                      "10m 00s")


def test_the_result_is_delivered_before_a_worker_ends_for_want_of_time(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, 90.0, min_time=60.0)
    bench.reply(ALL, job(5))
    pass_time(bench, 40.0)
    bench.reply(ALL)
    bench.end_job()
    assert bench.call.body["finished"]["job_id"] == 5
    assert bench.call.body["leave"] is True


# ---- idle and empty

def test_an_idle_worker_ends(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, idle_exit=100.0)
    bench.reply(ALL, job(5))
    bench.step(500.0)
    bench.reply(ALL, took=0.0)
    bench.end_job()
    bench.reply(ALL, took=0.0)  # 500 s with a job were no idling
    held = bench.call
    bench.step(99.0)
    assert bench.agent.status == "idle"
    assert bench.step_to_deadline() == pytest.approx(1.0)
    assert bench.calls.abandoned == [held]
    bench.reply(ALL)
    assert bench.agent.exit_status == 0
    assert bench.said("worker ends: no job for 1m 40s (idle_timeout)")


def test_an_idle_worker_ends_also_while_the_server_is_away(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, idle_exit=10.0)
    while bench.agent.exit_status is None:
        if bench.calls.in_flight is not None:
            bench.unreachable()
        else:
            bench.step_to_deadline()
    assert bench.now < 1000.0 + 10.0 + 6.0


def test_a_worker_ends_when_nothing_is_left(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, exit_when_empty=True)
    bench.reply(ALL, empty=False)
    assert (bench.call.body["wait"], bench.call.body["exit_when_empty"]) == (30.0, True)
    bench.reply(ALL, empty=True)
    assert bench.call.body["leave"] is True
    bench.reply(ALL)
    assert bench.agent.exit_status == 0
    assert bench.said("worker ends: no job is left that could still come (exit_when_empty)")


def test_others_stay_when_nothing_is_left(tmp_path: Path) -> None:
    bench = bench_with(tmp_path)
    bench.reply(ALL, empty=True)
    assert bench.call.body["wait"] == 180.0


def test_a_server_that_does_not_tell_whether_it_is_empty(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, exit_when_empty=True)
    for _ in range(3):
        bench.reply()
        bench.step_to_deadline()
    assert bench.agent.exit_status is None
    assert bench.times_said("exit_when_empty has no effect") == 1


# ---- drain

def drained(tmp_path: Path, left: Optional[float], after: float = 0.0, grace: float = 20.0,
            p90: Optional[float] = None, min_time: Optional[float] = None,
            **assigned: Any) -> Bench:
    """A worker that was told to drain when its job had run for `after` seconds."""
    bench = bench_with(tmp_path, None if left is None else left + after, min_time=min_time)
    fields = {} if p90 is None else {"runtime_p90": p90}
    bench.reply(ALL, dict(job(5), **assigned), took=0.0, **fields)
    pass_time(bench, after)
    bench.agent.drain(bench.now, "SIGUSR2")
    bench.step()
    return bench


@pytest.mark.parametrize("left, after, fields, stopped", [
    (None, 0.0, {}, False),  # no limit: it is finished
    (300.0, 50.0, {"p90": 100.0}, False),
    (300.0, 50.0, {"p90": 400.0}, True),
    (300.0, 50.0, {"p90": 400.0, "min_time": 100.0}, False),  # what this worker was told of its jobs
    (300.0, 50.0, {"p90": 100.0, "min_time": 100.0, "job_min_time": 400.0}, True),  # and of this one
    (300.0, 120.0, {"p90": 100.0}, True),  # it should have ended: nobody knows
    (300.0, 0.0, {}, True),
    (5.0, 99.0, {"p90": 100.0}, True),  # not even the time to report it
])
def test_a_drain_finishes_what_can_be_finished(tmp_path: Path, left: Optional[float], after: float,
                                               fields: Any, stopped: bool) -> None:
    assigned = {"min_time": fields["job_min_time"]} if "job_min_time" in fields else {}
    known = {name: value for name, value in fields.items() if name != "job_min_time"}
    bench = bench_with(tmp_path, None if left is None else left + after,
                       min_time=known.get("min_time"))
    more = {"runtime_p90": known["p90"]} if "p90" in known else {}
    bench.reply(ALL, dict(job(5), **assigned), took=0.0, **more)
    pass_time(bench, after)
    bench.agent.drain(bench.now, "SIGUSR2")
    bench.step()
    assert (bench.jobs[0].stop_reason == STOPPED_PREEMPTED) is stopped
    assert bench.said("SIGUSR2: draining; ")
    assert bench.agent.status == "draining"


def test_a_job_that_a_drain_stops_goes_back(tmp_path: Path) -> None:
    bench = drained(tmp_path, 300.0)
    assert bench.jobs[0].stopped_with == [285.0]  # all that is left, but for what comes after
    assert bench.said("job 5 (attempt 1) cannot be finished before the limit: it has 4m 45s to stop")
    bench.end_job(0)
    body = bench.call.body
    assert body["leave"] is True and "finished" not in body
    assert body["released"]["reason"] == "the worker was drained by SIGUSR2, for want of time"
    bench.reply(ALL)
    assert bench.agent.exit_status == 0
    assert bench.said("worker ends: drained by SIGUSR2")


def test_a_job_that_does_not_end_as_expected_is_stopped_in_time(tmp_path: Path) -> None:
    bench = drained(tmp_path, 300.0, p90=100.0)
    assert bench.jobs[0].stop_reason is None
    bench.step_to_deadline()  # its first heartbeat
    bench.reply(ALL, took=0.0)
    pass_time(bench, 261.0)
    assert bench.jobs[0].stop_reason is None
    pass_time(bench, 1.0)
    assert bench.jobs[0].stop_reason == STOPPED_PREEMPTED
    assert bench.jobs[0].stopped_with[-1] >= 20.0


def test_the_end_of_the_time_wakes_a_worker_that_waits_for_an_answer(tmp_path: Path) -> None:
    bench = drained(tmp_path, 100.0, p90=30.0)
    bench.step_to_deadline()
    assert bench.call.held == 57.0
    assert bench.step_to_deadline() == pytest.approx(62.0)
    assert bench.jobs[0].stop_reason == STOPPED_PREEMPTED


def test_hours_before_the_limit_a_job_of_unknown_length_goes_on(tmp_path: Path) -> None:
    bench = drained(tmp_path, 7200.0)
    assert bench.jobs[0].stop_reason is None
    pass_time(bench, 6899.0)
    assert bench.jobs[0].stop_reason is None
    pass_time(bench, 1.0)
    assert bench.jobs[0].stop_reason == STOPPED_PREEMPTED


def test_a_job_that_ends_after_a_drain_is_done(tmp_path: Path) -> None:
    bench = drained(tmp_path, 300.0, p90=100.0)
    bench.end_job(0)
    assert bench.call.body["finished"]["status"] == "DONE"
    assert bench.call.body["leave"] is True


def test_term_shortens_the_time_that_a_drain_gave_and_its_repetition_does_nothing(
        tmp_path: Path) -> None:
    bench = drained(tmp_path, 300.0)
    for _ in range(2):
        bench.agent.stop(bench.now, "SIGTERM")
        bench.step()
    assert bench.jobs[0].stopped_with == [285.0, 20.0]
    bench.end_job(0)
    assert bench.call.body["released"]["reason"] == "the worker was stopped by SIGTERM"


@pytest.mark.parametrize("order", [("stop", "drain"), ("drain", "drain")])
def test_a_drain_after_a_signal_changes_nothing(tmp_path: Path, order: Sequence[str]) -> None:
    bench = bench_with(tmp_path, 300.0)
    bench.reply(ALL, job(5))
    for name in order:
        getattr(bench.agent, name)(bench.now, "SIG")
        bench.step()
    assert len(bench.jobs[0].stopped_with) == 1


def test_a_drain_that_waits_for_the_limit_is_bounded_by_grace() -> None:
    assert bounds.window(300.0, 20.0) == 285.0
    assert bounds.window(10.0, 20.0) == 20.0
    assert bounds.window(None, 20.0) == 20.0
    assert bounds.drain(300.0, 100.0, 0.0, 60.0).stop_in == 225.0


# ---- the clock

class Squeue:
    """Answers like squeue; `asked` is set whenever it was."""

    def __init__(self, *outputs: str) -> None:
        self.outputs = list(outputs)
        self.commands: List[Sequence[str]] = []
        self.asked = threading.Semaphore(0)

    def __call__(self, command: Sequence[str]) -> str:
        self.commands.append(command)
        output = self.outputs.pop(0) if self.outputs else ""
        self.asked.release()
        return output


SLURM = {"SLURM_JOB_ID": "4711"}


def at(now: List[float]) -> Clock:
    """A clock that nobody sets."""
    return Clock(lambda: now[0], lambda: now[0])


def never(command: Sequence[str]) -> str:
    raise AssertionError("squeue was asked")


def test_without_a_scheduler_nothing_is_asked_and_nothing_known() -> None:
    assert TimeLimit({}, never).left() is None
    assert TimeLimit({"PBS_JOBID": "1"}, never).left() is None


@pytest.mark.parametrize("environ", [
    {"JD_END_TIME": "1500"}, {"JD_END_TIME": "1500", **SLURM},
    {"SLURM_JOB_END_TIME": "1500", **SLURM},
    {"JD_END_TIME": "1500", "SLURM_JOB_END_TIME": "9999", **SLURM}])
def test_a_variable_tells_the_end(environ: Any) -> None:
    now = [1000.0]
    limit = TimeLimit(environ, never, at(now))
    assert limit.left() == 500.0
    now[0] = 2000.0
    assert limit.left() == 0.0


def test_an_end_time_that_is_no_number_is_refused() -> None:
    with pytest.raises(UsageError, match="JD_END_TIME: 'tomorrow' is not allowed"):
        TimeLimit({"JD_END_TIME": "tomorrow"})


def test_slurm_is_asked_once_and_seldom_again() -> None:
    now = [1000.0]
    squeue = Squeue("10:00", "30:00")
    limit = TimeLimit(SLURM, squeue, at(now))
    now[0] += ASK_EVERY - 1.0
    assert limit.left() == 600.0 - (ASK_EVERY - 1.0)
    assert len(squeue.commands) == 1
    assert squeue.asked.acquire(timeout=60)
    now[0] += 1.0
    limit.left()
    assert squeue.asked.acquire(timeout=60)
    assert limit._asking is not None
    limit._asking.join(60)
    assert limit.left() == 1800.0


def test_an_answer_that_does_not_come_is_asked_for_again() -> None:
    now = [1000.0]
    squeue = Squeue("", "10:00", "")
    limit = TimeLimit(SLURM, squeue, at(now))
    assert limit.left() is None
    for pause in (ASK_AGAIN, ASK_EVERY):
        now[0] += pause
        limit.left()
        assert limit._asking is not None
        limit._asking.join(60)
    assert len(squeue.commands) == 3
    assert limit.left() == 0.0  # what was known stays


@pytest.mark.parametrize("by", [3600.0, -86400.0])
def test_what_slurm_says_is_left_does_not_change_with_the_clock(by: float) -> None:
    passed, squeue = [1000.0], Squeue("20:00", "5:00")
    limit = TimeLimit(SLURM, squeue, Clock(lambda: passed[0] + (by if passed[0] > 1000.0 else 0.0),
                                           lambda: passed[0]))
    passed[0] += 60.0
    assert limit.left() == 1140.0
    passed[0] += ASK_EVERY  # it is asked again, not a day later
    limit.left()
    assert limit._asking is not None
    limit._asking.join(60)
    assert limit.left() == 300.0


def test_without_a_limit_in_slurm_there_is_none() -> None:
    assert TimeLimit(SLURM, Squeue("UNLIMITED")).left() is None


def test_a_fresh_allocation_has_most_of_its_time_left() -> None:
    environ = {"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "2000", **SLURM}
    assert TimeLimit(environ, never, at([1050.0])).is_fresh()
    assert not TimeLimit(environ, never, at([1150.0])).is_fresh()
    assert not TimeLimit({"JD_END_TIME": "2000"}, never, at([1050.0])).is_fresh()
