"""How long the script of a job may run: whose limit counts, and what the agent makes of it."""

from pathlib import Path
from typing import Any, Optional

import pytest

from jd import protocol
from jd.messages import Assignment, Result
from jd.worker import verdict
from jd.worker.attempt.process.jobprocess import STOPPED_LOST, STOPPED_TIMEOUT
from jd.worker.limits import JobTimeout, Limits
from jd.worker.verdict import Ended
from tests.worker.bench import ALL, Bench, job


@pytest.mark.parametrize("own, by_sweep, seconds, whose", [
    (None, None, None, ""),
    (60.0, None, 60.0, "job_timeout of the worker"),
    (None, 60.0, 60.0, "timeout of its sweep"),
    (60.0, 50.0, 50.0, "timeout of its sweep"),
    (50.0, 60.0, 50.0, "job_timeout of the worker")])
def test_the_shorter_limit_counts(own: Optional[float], by_sweep: Optional[float],
                                  seconds: Optional[float], whose: str) -> None:
    found = Limits(job_timeout=own).timeout_of(by_sweep)
    assert found == (None if seconds is None else JobTimeout(seconds, whose))


def test_the_wire_carries_it() -> None:
    assert Assignment.from_json({"job_id": 5, "timeout": 60}).timeout == 60.0
    assert Assignment(5, {}, timeout=60.0).to_json()["timeout"] == 60.0
    assert "timeout" not in Assignment(5, {}).to_json()


def running(tmp_path: Path, own: Optional[float] = None, **fields: Any) -> Bench:
    """A worker that has just begun job 5."""
    bench = Bench(tmp_path, limits=Limits(job_timeout=own))
    bench.reply(ALL, dict(job(5), **fields))
    return bench


@pytest.mark.parametrize("own, fields, whose", [
    (30.0, {}, "job_timeout of the worker"), (None, {"timeout": 30}, "timeout of its sweep")])
def test_a_script_that_runs_for_too_long_is_stopped_and_has_failed(
        tmp_path: Path, own: Optional[float], fields: Any, whose: str) -> None:
    bench = running(tmp_path, own, **fields)
    bench.step(29.9)
    assert bench.jobs[0].stopped_with == [] and bench.deadline == pytest.approx(bench.jobs[0].began + 30.0)
    bench.step(0.2)
    assert (bench.jobs[0].stop_reason, bench.jobs[0].stopped_with) == (STOPPED_TIMEOUT, [20.0])
    assert bench.said("30s (%s): it has 20s to stop" % whose)
    bench.step(5.0)
    assert bench.jobs[0].stopped_with == [20.0]  # once
    bench.calls.abandon()
    bench.end_job(0, "saved\n")  # it saved what it had and left in good order: that is not done
    finished = bench.call.body["finished"]
    assert (finished["status"], finished["verdict"]) == ("ABORTED", "timeout")
    assert finished["message"] == "ran for 1.5s, and its limit is 30s (%s): stopped\nsaved" % whose
    assert bench.agent.exit_status is None


def test_the_time_counts_from_the_start_of_the_script(tmp_path: Path) -> None:
    bench = running(tmp_path, 30.0)
    bench.jobs[0].script_began = None  # its checkpoint is being restored
    bench.step(100.0)
    assert bench.jobs[0].stop_reason is None
    bench.jobs[0].script_began = bench.now
    bench.step(29.0)
    assert bench.jobs[0].stop_reason is None
    bench.step(1.0)
    assert bench.jobs[0].stop_reason == STOPPED_TIMEOUT


def test_the_server_is_told_until_when_it_will_have_ended(tmp_path: Path) -> None:
    bench = running(tmp_path, None, timeout=300)
    bench.step(3.0)
    assert bench.call.body["ends_in"] == pytest.approx(300.0 - 3.0 + 20.0)
    bench.jobs[0].script_began = None  # as long as its checkpoint is being restored
    bench.reply(ALL, None)
    bench.step(57.0)
    assert bench.call.body["ends_in"] == 320.0
    bench = running(tmp_path)
    bench.step(3.0)
    assert "ends_in" not in bench.call.body


def test_one_that_ended_in_time_is_reported_as_it_ended(tmp_path: Path) -> None:
    bench = running(tmp_path, 30.0)
    bench.jobs[0].has_ended_unseen = True
    bench.step(31.0)
    bench.calls.abandon()
    bench.end_job(0)
    assert bench.call.body["finished"]["status"] == "DONE"


def test_one_that_is_stopped_already_keeps_its_reason(tmp_path: Path) -> None:
    bench = running(tmp_path, 30.0)
    bench.jobs[0].stop_reason = STOPPED_LOST
    bench.step(31.0)
    assert bench.jobs[0].stop_reason == STOPPED_LOST and not bench.said("it has 20s to stop")


@pytest.mark.parametrize("exit_code, how", [
    (0, "stopped"), (-15, "stopped"), (1, "stopped"), (-9, "killed, not having stopped in time")])
def test_the_result_says_how_long_it_ran_and_whose_limit_that_was(exit_code: int, how: str) -> None:
    limit = JobTimeout(3600.0, "timeout of its sweep")
    result = verdict.judge(Assignment(5, {}, 1), Ended(exit_code, 3725.0), limit)
    assert (result.status, result.verdict) == (protocol.ABORTED, protocol.VERDICT_TIMEOUT)
    assert result.message == "ran for 1h 02m, and its limit is 1h 00m (timeout of its sweep): " + how
    assert Result.from_json(result.to_json()) == result
