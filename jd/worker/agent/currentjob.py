"""The job of a worker: one at a time. It is begun, stopped when it must be, and its end is put where results
wait for the server.

It has no clock: times are seconds on one monotonic clock.
"""

from dataclasses import replace
from typing import Callable, List, Optional

from jd import terminal
from jd.messages import Assignment
from jd.net.retry import Backoff
from jd.protocol import DONE, VERDICT_LOST, YEAR
from jd.worker import limits as bounds
from jd.worker import verdict
from jd.worker.attempt.attempt import Attempt
from jd.worker.attempt.process.jobprocess import STOPPED_LOST, STOPPED_PREEMPTED, STOPPED_TIMEOUT
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.limits import JobTimeout, Limits
from jd.worker.uplink.delivery import Delivery
from jd.worker.verdict import Ended

# For what has run to be known, of a job that was done at once; the worker does nothing else meanwhile.
CODE_TIME = 2.0  # seconds

StartJob = Callable[[Assignment, float], Attempt]


class CurrentJob:
    """`attempt` is the job's attempt under way, None while there is no job; `idle_since` is when that began.

    A job has `grace` seconds from SIGTERM to SIGKILL. After a job that could not be started the worker makes
    a pause of `start_pause`: a node on which nothing starts must not run through the whole queue in a minute.
    """

    def __init__(self, start_job: StartJob, delivery: Delivery, limits: Limits, grace: float,
                 start_pause: Backoff, log: Callable[[str], None]) -> None:
        self.attempt: Optional[Attempt] = None
        self.last_verdict: Optional[str] = None  # of the last job; None where there was none yet
        self.idle_since: Optional[float] = None  # None before the worker's first step
        self._start_job = start_job
        self._delivery = delivery
        self._limits = limits
        self._grace = grace
        self._start_pause = start_pause
        self._log = log
        self._since = 0.0
        self._expected: Optional[float] = None  # seconds that it takes, as far as known
        self._stop_at: Optional[float] = None
        self._timeout: Optional[JobTimeout] = None
        self._timed_out = False  # the timeout has passed and was acted on

    @property
    def is_lost(self) -> bool:
        """Whether the server has given the job to somebody else: nothing is reported of it."""
        return self.attempt is not None and self.attempt.stop_reason == STOPPED_LOST

    def begin(self, assignment: Assignment, now: float, estimate: Optional[float]) -> float:
        """Start a job; `estimate` is how long one takes, in seconds, where it does not say itself.

        Returns how long to wait before the next claim: more than 0 where it could not be started.
        """
        try:
            self.attempt = self._start_job(assignment, now)
        except StartFailure as failure:
            return self._did_not_start(assignment, failure, now)
        self._start_pause.reset()
        self._since = now
        self._expected = next((seconds for seconds in (
            assignment.min_time, self._limits.min_time, estimate) if seconds is not None), None)
        self._timeout, self._timed_out = self._limits.timeout_of(assignment.timeout), False
        self._log("claimed %s" % _label(assignment))
        return 0.0

    def give_back(self, assignment: Assignment) -> None:
        """The worker is leaving, and a job has come all the same."""
        self._log("gave back %s: the worker is leaving" % _label(assignment))
        self._delivery.hold(verdict.given_back(
            assignment, "the worker was stopped before it began this job"))

    def step(self, now: float, why_stopped: str) -> Optional[float]:
        """Do what is due. None while it runs; once it has ended, how long to wait before the next claim.

        `why_stopped` is told to the server of a job that is given back.
        """
        attempt = self.attempt
        if attempt is None:
            return None
        if self._stop_at is not None and now >= self._stop_at:
            self._stop_at = None
            self._stop_in_time(attempt, now)
        over_at = self._over_at()
        if over_at is not None and now >= over_at:
            self._time_out(attempt, now)
        try:
            ended = attempt.step(now)
        except StartFailure as failure:
            return self._did_not_start(attempt.assignment, failure, now)
        if ended is None:
            return None
        self._over(now, self._report(attempt, ended, why_stopped, now))
        return 0.0

    def ends_in(self, now: float) -> Optional[float]:
        """How long it takes at most until its script has ended, in seconds; None where it has no timeout."""
        if self.attempt is None or self._timeout is None:
            return None
        began = self.attempt.script_began
        left = self._timeout.seconds if began is None else max(0.0, began + self._timeout.seconds - now)
        return min(left + self._grace, YEAR)

    def deadlines(self) -> List[Optional[float]]:
        """When `step` has something to do although nothing happens."""
        return [] if self.attempt is None else [self.attempt.deadline(), self._stop_at, self._over_at()]

    # ---- stopping it

    def preempt(self, now: float, signal_name: str) -> None:
        """The worker is stopped, and its job with it."""
        if self.attempt is None:
            return
        self.attempt.stop(now, self._grace, STOPPED_PREEMPTED)
        if self.attempt.stop_reason == STOPPED_PREEMPTED:
            self._log("%s: %s has %s to stop" % (
                signal_name, _label(self.attempt.assignment), terminal.duration(self._grace)))

    def lose(self, now: float, why: str) -> None:
        """Somebody else has the job now: what runs here is stopped."""
        if self.attempt is not None:
            self._log("%s is no longer ours: %s; stopping it" % (_label(self.attempt.assignment), why))
            self.attempt.stop(now, self._grace, STOPPED_LOST)

    def drain(self, now: float) -> Optional[str]:
        """The worker takes no other job. This one is finished if it can be before the limit, else it is
        stopped while there is time to save what it has done. Which of the two, for the log."""
        if self.attempt is None:
            return None
        fate = bounds.drain(self._limits.left(), self._expected, now - self._since, self._grace)
        self._stop_at = None if fate.stop_in is None else now + fate.stop_in
        return fate.why

    def _stop_in_time(self, attempt: Attempt, now: float) -> None:
        window = bounds.window(self._limits.left(), self._grace)
        attempt.stop(now, window, STOPPED_PREEMPTED)
        if attempt.stop_reason == STOPPED_PREEMPTED:
            self._log("%s cannot be finished before the limit: it has %s to stop" % (
                _label(attempt.assignment), terminal.duration(window)))

    def _over_at(self) -> Optional[float]:
        """When its script will have run for as long as it may; None where that is unlimited or over."""
        if self.attempt is None or self._timeout is None or self._timed_out:
            return None
        began = self.attempt.script_began
        return None if began is None else began + self._timeout.seconds

    def _time_out(self, attempt: Attempt, now: float) -> None:
        assert self._timeout is not None
        self._timed_out = True
        attempt.stop(now, self._grace, STOPPED_TIMEOUT)
        if attempt.stop_reason == STOPPED_TIMEOUT:
            self._log("%s has run for its limit of %s: it has %s to stop" % (
                _label(attempt.assignment), self._timeout.shown, terminal.duration(self._grace)))

    # ---- its end

    def _over(self, now: float, how: Optional[str]) -> None:
        self.attempt, self._stop_at = None, None
        self.idle_since = now
        self.last_verdict = how

    def _did_not_start(self, assignment: Assignment, failure: StartFailure, now: float) -> float:
        pause = self._start_pause.next()
        self._log("%s did not start: %s; next claim in %s" % (
            _label(assignment), failure, terminal.duration(pause)))
        result = verdict.never_started(assignment, str(failure))
        self._delivery.hold(result, alone=True, ended=now)
        self._over(now, result.verdict)
        return pause

    def _report(self, attempt: Attempt, ended: Ended, why_stopped: str, now: float) -> Optional[str]:
        """Report how it ended, and return the verdict."""
        label, took = _label(attempt.assignment), _took(ended.runtime)
        if attempt.stop_reason == STOPPED_LOST:
            self._log("%s ended after %s; it was no longer ours: nothing is reported" % (label, took))
            return VERDICT_LOST
        if attempt.stop_reason == STOPPED_PREEMPTED:
            self._log("%s stopped after %s, is given back to the server" % (label, took))
            result = verdict.given_back(attempt.assignment, "the worker was %s" % why_stopped, ended)
        else:
            timeout = self._timeout if attempt.stop_reason == STOPPED_TIMEOUT else None
            result = verdict.judge(attempt.assignment, ended, timeout)
            how = "done" if result.status == DONE else "failed: " + verdict.verdict_line(ended, timeout)
            self._log("%s %s, after %s" % (label, how, took))
        began = attempt.script_began  # its files may have been on their way since it ended
        self._delivery.hold(replace(result, code=attempt.code(CODE_TIME)), waiting_files=ended.waiting_files,
                            ended=now if began is None else min(now, began + ended.runtime))
        return result.verdict


def _label(assignment: Assignment) -> str:
    if assignment.attempt is None:
        return "job %d" % assignment.job_id
    return "job %d (attempt %d)" % (assignment.job_id, assignment.attempt)


def _took(seconds: float) -> str:
    return "%.2fs" % seconds if seconds < 10.0 else terminal.duration(seconds)
