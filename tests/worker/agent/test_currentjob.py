"""The job of a worker: begun, stopped, reported; without a server and without a process."""

from pathlib import Path
from typing import List, Optional, cast

import pytest

from jd import protocol
from jd.messages import Assignment
from jd.net.retry import Backoff
from jd.worker.agent.currentjob import CurrentJob
from jd.worker.attempt.attempt import Attempt
from jd.worker.attempt.process.jobprocess import STOPPED_LOST
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.limits import Limits
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outbox import Outbox, in_directory
from jd.worker.verdict import Ended
from tests.worker.bench import SERVER, FakeJob, longest

GRACE = 20.0


class Desk:
    """A current job whose attempts the test plays."""

    def __init__(self, tmp_path: Path, left: Optional[float] = None) -> None:
        self.logged: List[str] = []
        self.failure: Optional[StartFailure] = None
        self.attempts: List[FakeJob] = []
        link = Link(SERVER, "n_egg_0", "cpu", dict)
        self.delivery = Delivery(Outbox(in_directory(tmp_path / "outbox"), self.logged.append), link,
                                 self.logged.append)
        self.job = CurrentJob(self._start, self.delivery, Limits(left=lambda: left), GRACE,
                              Backoff(1.0, 60.0, longest), self.logged.append)

    def _start(self, assignment: Assignment, now: float) -> Attempt:
        if self.failure is not None:
            raise self.failure
        self.attempts.append(FakeJob(assignment, now))
        return cast(Attempt, self.attempts[-1])

    def begin(self, now: float = 100.0, estimate: Optional[float] = None) -> float:
        return self.job.begin(Assignment(5, {}, 1), now, estimate)

    @property
    def verdict(self) -> Optional[str]:
        return self.delivery.own[-1].result.verdict if self.delivery.own else None


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_its_end_is_reported(desk: Desk) -> None:
    assert desk.begin() == 0.0 and desk.job.attempt is not None
    assert desk.job.step(101.0, "") is None
    desk.attempts[0].ended = Ended(3, 1.5)
    assert desk.job.step(102.0, "") == 0.0
    assert desk.job.attempt is None and (desk.job.idle_since, desk.job.last_verdict) == (102.0, "failed")
    assert desk.verdict == protocol.VERDICT_FAILED


def test_after_one_that_does_not_start_there_is_a_pause_that_grows(desk: Desk) -> None:
    desk.failure = StartFailure("no script")
    assert (desk.begin(), desk.begin()) == (1.0, 2.0)
    assert desk.job.attempt is None and desk.job.last_verdict == protocol.VERDICT_FAILED
    assert desk.verdict == protocol.VERDICT_FAILED and desk.delivery.alone
    desk.failure = None
    desk.begin()
    desk.failure = StartFailure("no script")
    assert desk.begin() == 1.0


def test_one_that_fails_to_start_after_its_files_were_restored(desk: Desk) -> None:
    desk.begin()
    desk.attempts[0].start_failure = StartFailure("no checkpoint")
    assert desk.job.step(101.0, "") == 1.0
    assert desk.job.attempt is None and desk.verdict == protocol.VERDICT_FAILED


def test_one_that_comes_while_the_worker_leaves_goes_back(desk: Desk) -> None:
    desk.job.give_back(Assignment(5, {}, 1))
    assert desk.verdict == protocol.VERDICT_PREEMPTED and desk.job.attempt is None


def test_a_preempted_one_is_given_back_with_the_reason(desk: Desk) -> None:
    desk.begin()
    desk.job.preempt(101.0, "SIGTERM")
    assert desk.attempts[0].stopped_with == [GRACE]
    desk.attempts[0].ended = Ended(-15, 1.0)
    desk.job.step(102.0, "stopped by SIGTERM")
    assert desk.verdict == protocol.VERDICT_PREEMPTED
    assert desk.job.last_verdict == protocol.VERDICT_PREEMPTED
    assert desk.delivery.own[0].result.message == "the worker was stopped by SIGTERM"


def test_of_a_lost_one_nothing_is_reported(desk: Desk) -> None:
    desk.begin()
    desk.job.lose(101.0, "409")
    assert desk.job.is_lost and desk.attempts[0].stop_reason == STOPPED_LOST
    desk.attempts[0].ended = Ended(-15, 1.0)
    assert desk.job.step(102.0, "") == 0.0
    assert desk.verdict is None and not desk.job.is_lost
    assert desk.job.last_verdict == protocol.VERDICT_LOST


def test_a_drain_stops_what_cannot_be_finished_in_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path, left=1000.0)
    assert desk.job.drain(100.0) is None  # there is no job
    desk.begin(estimate=2000.0)
    why = desk.job.drain(100.0)
    assert why is not None and "needs about" in why
    (_, at, _) = desk.job.deadlines()
    assert at is not None and 100.0 <= at < 1100.0
    desk.job.step(at - 1.0, "")
    assert desk.attempts[0].stopped_with == []
    desk.job.step(at, "")
    assert len(desk.attempts[0].stopped_with) == 1


def test_a_drain_lets_a_job_end_where_nothing_limits_it(desk: Desk) -> None:
    desk.begin()
    assert desk.job.drain(100.0) == "its job goes on to its end"
    assert desk.job.deadlines() == [None, None, None]
