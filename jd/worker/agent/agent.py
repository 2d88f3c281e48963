"""The loop of one worker process, as a state machine without a clock or I/O of its own.

    agent.stop(…), agent.drain(…)    what signals asked for
    agent.step(now) → deadline       everything that is due; call it again then, or when the
                                     calls, the job's output or a dead child wakes the loop

There is at most one job and one call in flight. What goes next is decided in `_next_call` alone:
a running job's heartbeat, then our last result, then what waited on disk, then the next claim.
A heartbeat that the server holds while the job runs is abandoned when the job ends.
Times are seconds on one monotonic clock. `exit_status` is None until the worker is finished.
"""

from dataclasses import dataclass
from typing import Callable, List, Optional

from jd import protocol, terminal
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError, ServerRefused
from jd.messages import Assignment, HeartbeatReply
from jd.net.retry import Backoff
from jd.worker import limits as bounds
from jd.worker import verdict
from jd.worker.attempt.attempt import Attempt
from jd.worker.attempt.jobprocess import STOPPED_LOST, STOPPED_PREEMPTED, StartFailure
from jd.worker.limits import Limits
from jd.worker.uplink.callthread import BEAT, CLAIM, LEAVE, REPORT, Answer, Call, CallThread
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outage import Outage

LEAVE_TIME = 5.0  # for the last words after a signal: schedulers kill soon
BOUNDED_TIME = 60.0  # for a worker that is to exit, while the server is away
PATIENCE = 2.0  # for a call in flight that may matter, when leaving
OVERDUE = 60.0  # beyond a call's timeout, which bounds each wait on the network but not their sum
DENIED_PAUSE = 60.0  # between heartbeats of a running job that the server does not authorise
MAX_RENAMES = 5
SWIFT = 1.0  # a held heartbeat that comes back empty sooner was not held
FULLY_HELD = 0.9  # of the time asked for: then the hold was the pause between two heartbeats
CLOCK_SLACK = 0.5  # seconds by which the clock of a limit may lag behind ours
FIRST_BEAT = 3.0  # after a job's start, where beats are held: a shorter job costs none

StartJob = Callable[[Assignment, float], Attempt]


@dataclass
class Leaving:
    """Why the worker exits and with what status. `limit` bounds it once there is no job."""

    why: str
    status: int
    limit: float
    deadline: Optional[float] = None
    patience: float = 0.0
    said_goodbye: bool = False


class Agent:
    """Decides what a worker does next. `rename` finds another worker id and returns it."""

    def __init__(self, link: Link, calls: CallThread, delivery: Delivery, start_job: StartJob,
                 log: Callable[[str], None], outage: Outage, start_pause: Backoff,
                 rename: Callable[[], str], once: bool = False, grace: float = 20.0,
                 advice: str = "check JD_SERVER_TOKEN or JD_SERVER_TOKEN_FILE",
                 limits: Limits = Limits()) -> None:
        self.job: Optional[Attempt] = None
        self.exit_status: Optional[int] = None
        self.heard_at: Optional[float] = None  # the last answer to a heartbeat
        self._link = link
        self._calls = calls
        self._delivery = delivery
        self._start_job = start_job
        self._log = log
        self._outage = outage
        self._start_pause = start_pause
        self._rename = rename
        self._once = once
        self._grace = grace
        self._advice = advice
        self._limits = limits
        self._state = protocol.RUN
        self._drained_by: Optional[str] = None
        self._given_up: Optional[str] = None
        self._signalled = False
        self._leaving: Optional[Leaving] = None
        self._finished_one = False
        self._met = False
        self._renames = 0
        self._swift_replies = 0
        self._not_before = 0.0  # no call sooner: the server is away
        self._beat_at = 0.0
        self._claim_at = 0.0
        self._overdue_at = 0.0
        self._idle_since: Optional[float] = None  # from the start on, or the end of the last job
        self._job_since = 0.0
        self._job_expected: Optional[float] = None  # seconds that the job takes, as far as known
        self._stop_job_at: Optional[float] = None
        self._complained = False

    # ---- what the outside asks for

    def stop(self, now: float, signal_name: str) -> None:
        """A scheduler or a person stops this worker: preempt its job and leave. Twice is once."""
        if self._signalled:
            return
        self._signalled = True
        self._leaving = Leaving("stopped by %s" % signal_name, EXIT_OK, LEAVE_TIME)
        if self.job is not None:
            self.job.stop(now, self._grace, STOPPED_PREEMPTED)
            if self.job.stop_reason == STOPPED_PREEMPTED:
                self._log("%s: %s has %s to stop" % (
                    signal_name, _label(self.job.assignment), terminal.duration(self._grace)))

    def drain(self, now: float, signal_name: str) -> None:
        """Take no other job, exit. The current one is finished if it can be before the limit, else
        it is stopped while there is time to save what it has done."""
        if self._drained_by is not None or self._signalled:
            return
        self._drained_by = signal_name
        why = ""
        if self.job is not None:
            fate = bounds.drain(self._limits.left(), self._job_expected, now - self._job_since,
                                self._grace)
            self._stop_job_at = None if fate.stop_in is None else now + fate.stop_in
            why = "; " + fate.why
        self._log("%s: draining%s" % (signal_name, why))

    def give_up(self, why: str) -> None:
        """Finish the current job, take no other, exit with status 1."""
        self._given_up = why

    @property
    def status(self) -> str:
        """The worker in one word, for people: idle, busy, paused, draining or stopping."""
        if self._signalled:
            return "stopping"
        if (self._leaving is not None or self._drained_by is not None or self._given_up is not None
                or self._state in (protocol.DRAIN, protocol.STOP)):
            return "draining"
        if self.job is not None:
            return protocol.BUSY
        return "paused" if self._state == protocol.PAUSE else protocol.IDLE

    # ---- one step

    def step(self, now: float) -> Optional[float]:
        """Do everything that is due. Returns when to be called again if nothing happens."""
        if self._idle_since is None:
            self._idle_since = now
        self._mind_call_in_flight(now)
        self._mind_job(now)
        self._mind_exit(now)
        if self.exit_status is None and self._calls.in_flight is None and now >= self._not_before:
            call = self._next_call(now)
            if call is not None:
                self._overdue_at = now + call.timeout + OVERDUE
                self._calls.send(call)
        return self._deadline(now)

    def _next_call(self, now: float) -> Optional[Call]:
        if self.job is not None:
            if self.job.stop_reason != STOPPED_LOST and now >= self._beat_at:
                # What waits on disk goes while no heartbeat stands in its way.
                hold = self._outage.since is None and not self._delivery.backlog
                return self._link.beat(self.job.assignment, self.job.tail(), hold)
            return self._spare_call()
        if self._leaving is not None:
            return self._last_call(self._leaving, now)
        call = self._delivery.own_call(self._outage.since is not None) or self._spare_call()
        if call is None and now >= self._claim_at:
            call = self._link.claim(hold=not self._once)
        return call

    def _spare_call(self) -> Optional[Call]:
        """Something from the backlog, while the server is known to be there.

        Who was told to stop has little time: what others left waits for the next worker.
        """
        if not self._met or self._outage.since is not None or self._signalled:
            return None
        return self._delivery.backlog_call()

    def _last_call(self, leaving: Leaving, now: float) -> Optional[Call]:
        assert leaving.deadline is not None
        left = min(30.0, max(0.5, leaving.deadline - now))
        call = self._spare_call()
        if call is None:
            call = self._delivery.leaving_call(self._outage.since is not None, left)
        if call is None and not leaving.said_goodbye and self._met and (
                self._link.offers(protocol.EXT_LEAVE) or self._link.owes_acknowledgement):
            call = self._link.leave(None, left)
        if call is None:
            self._end(leaving.status, leaving.why)
        elif call.kind == LEAVE and call.entry is None:
            leaving.said_goodbye = True  # tried once: there is nothing in it that must arrive
        return call

    def _deadline(self, now: float) -> Optional[float]:
        if self.exit_status is not None:
            return now
        times: List[Optional[float]] = []
        if self._calls.in_flight is not None:
            times.append(self._overdue_at)
        elif self.job is None:
            waiting = self._leaving is not None or self._delivery.own is not None
            times.append(self._not_before if waiting else max(self._not_before, self._claim_at))
        elif self.job.stop_reason != STOPPED_LOST:
            times.append(max(self._not_before, self._beat_at))
        if self.job is not None:
            times += [self.job.deadline(), self._stop_job_at]
        elif self._leaving is not None:
            times.append(self._leaving.deadline)
            if self._may_abandon():
                times.append(self._leaving.patience)
        else:
            times += self._ends_of_idling(now)
        return min((time for time in times if time is not None), default=None)

    def _ends_of_idling(self, now: float) -> List[Optional[float]]:
        """When there may be a reason to leave although nothing happens."""
        times: List[Optional[float]] = []
        if self._once and self._outage.since is not None:
            times.append(self._outage.since + BOUNDED_TIME)
        if self._limits.idle_exit is not None and self._idle_since is not None:
            times.append(self._idle_since + self._limits.idle_exit)
        until = self._limits.until_too_late()
        if until is not None:
            times.append(now + until + CLOCK_SLACK)
        return times

    # ---- the job

    def _start(self, assignment: Assignment, now: float) -> None:
        label = _label(assignment)
        if self._leaving is not None:
            self._log("gave back %s: the worker is leaving" % label)
            self._delivery.hold(verdict.given_back(
                assignment, "the worker was stopped before it began this job"))
            return
        try:
            self.job = self._start_job(assignment, now)
        except StartFailure as failure:
            self._did_not_start(assignment, failure, now)
            return
        self._start_pause.reset()
        self._job_since = now
        self._job_expected = next((seconds for seconds in (
            assignment.min_time, self._limits.min_time, self._link.runtime_p90)
            if seconds is not None), None)
        self._log("claimed %s" % label)

    def _did_not_start(self, assignment: Assignment, failure: StartFailure, now: float) -> None:
        # A node on which nothing starts must not run through the whole queue in a minute.
        pause = self._start_pause.next()
        self._log("%s did not start: %s; next claim in %s" % (
            _label(assignment), failure, terminal.duration(pause)))
        self._delivery.hold(verdict.never_started(assignment, str(failure)), alone=True)
        self._claim_at = now + pause
        self._idle_since, self._stop_job_at = now, None
        self._finished_one = True

    def _mind_job(self, now: float) -> None:
        if self.job is None:
            return
        if self._stop_job_at is not None and now >= self._stop_job_at:
            self._stop_job_at = None
            self._stop_drained(self.job, now)
        try:
            ended = self.job.step(now)
        except StartFailure as failure:
            assignment, self.job = self.job.assignment, None
            self._did_not_start(assignment, failure, now)
            return
        if ended is None:
            return
        job, self.job = self.job, None
        self._idle_since, self._stop_job_at = now, None
        call = self._calls.in_flight
        if call is not None and call.kind == BEAT and call.held:
            self._calls.abandon()
        self._finished_one = True
        self._claim_at = now
        label, took = _label(job.assignment), _took(ended.runtime)
        if job.stop_reason == STOPPED_LOST:
            self._log("%s ended after %s; it was no longer ours: nothing is reported"
                      % (label, took))
        elif job.stop_reason == STOPPED_PREEMPTED:
            why = (self._leaving.why if self._leaving is not None
                   else "drained by %s, for want of time" % self._drained_by)
            self._log("%s stopped after %s, is given back to the server" % (label, took))
            self._delivery.hold(verdict.given_back(
                job.assignment, "the worker was %s" % why, ended.note), waiting_files=ended.waiting_files)
        else:
            result = verdict.judge(job.assignment, ended)
            how = "done" if ended.exit_code == 0 else "failed: " + verdict.verdict_line(ended)
            self._log("%s %s, after %s" % (label, how, took))
            self._delivery.hold(result, waiting_files=ended.waiting_files)

    def _stop_drained(self, job: Attempt, now: float) -> None:
        window = bounds.window(self._limits.left(), self._grace)
        job.stop(now, window, STOPPED_PREEMPTED)
        if job.stop_reason == STOPPED_PREEMPTED:
            self._log("%s cannot be finished before the limit: it has %s to stop" % (
                _label(job.assignment), terminal.duration(window)))

    # ---- answers

    def _mind_call_in_flight(self, now: float) -> None:
        for answer in self._calls.collect():
            self._take(answer, now)
        call = self._calls.in_flight
        if call is not None and now >= self._overdue_at:
            self._calls.abandon()
            self._away("a call to %s did not end" % self._link.server, now)

    def _take(self, answer: Answer, now: float) -> None:
        error = answer.error
        reply: Optional[HeartbeatReply] = None
        if error is None and answer.call.kind != REPORT:
            try:
                reply = self._link.absorb(answer)
            except JdError as malformed:
                error = malformed
        if error is not None:
            self._take_error(answer, error, now)
            return
        recovered = self._outage.over(now)
        if answer.call.entry is not None:
            self._delivery.accepted(answer.call.entry)
        if reply is None:
            return
        self.heard_at = now
        if recovered or not self._met:
            self._met = True
            self._delivery.look_on_disk()
        self._obey(reply)
        if answer.call.kind == CLAIM:
            self._after_claim(answer, reply, now)
        elif answer.call.kind == BEAT:
            self._after_beat(answer, reply, now)
        elif self._leaving is not None:
            self._leaving.said_goodbye = True

    def _after_beat(self, answer: Answer, reply: HeartbeatReply, now: float) -> None:
        held = answer.call.held
        if self._link.owes_acknowledgement or held and answer.took >= held * FULLY_HELD:
            self._beat_at = now
        elif held:
            self._beat_at = max(now, now - answer.took + reply.interval)
        else:
            self._beat_at = now + reply.interval

    def _after_claim(self, answer: Answer, reply: HeartbeatReply, now: float) -> None:
        swift = answer.call.held > 0 and answer.took < SWIFT
        self._claim_at = now
        self._renames = 0
        if reply.job is not None:
            self._swift_replies = 0
            first = min(reply.interval, FIRST_BEAT if self._link.offers(protocol.EXT_WATCH)
                        else protocol.BUSY_INTERVAL)
            self._beat_at = now if self._link.owes_acknowledgement else now + first
            self._start(reply.job, now)
        elif self._link.owes_acknowledgement:
            return
        elif self._leaving is None and self._reason_in(reply) is not None:
            self._leave(str(self._reason_in(reply)))
        elif not self._link.offers(protocol.EXT_WAIT):
            self._claim_at = now + reply.interval
        else:
            self._swift_replies = min(self._swift_replies + 1, 16) if swift else 0
            if swift:
                self._claim_at = now + min(reply.interval, 0.5 * 2.0 ** self._swift_replies)

    def _reason_in(self, reply: HeartbeatReply) -> Optional[str]:
        """Why to leave after an answer that brought no job."""
        if reply.needs is not None:
            return self._limits.nothing_fits(reply.needs)
        if self._limits.exit_when_empty and reply.empty:
            return "no job is left that could still come (exit_when_empty)"
        if self._once:
            return "no job is waiting (once=true)"
        if (self._limits.exit_when_empty and not self._link.offers(protocol.EXT_EMPTY)
                and not self._complained):
            self._complained = True
            self._log("the server does not tell whether jobs are left: exit_when_empty has no effect")
        return None

    def _obey(self, reply: HeartbeatReply) -> None:
        if reply.desired_version <= self._link.applied_version:
            return
        self._link.applied_version = reply.desired_version
        if reply.desired_state != self._state:
            self._log("the server asks to %s" % reply.desired_state)
        self._state = reply.desired_state

    def _take_error(self, answer: Answer, error: JdError, now: float) -> None:
        call = answer.call
        if isinstance(error, ServerRefused):
            if error.status in (401, 403):
                self._denied(error, now)
                return
            if self._delivery.refused(call, error):
                self._outage.over(now)
                return
            if error.status == 409 and call.kind == BEAT:
                self._lost(error, now)
                return
            if error.status == 409 and call.kind == CLAIM and self._renames < MAX_RENAMES:
                self._take_new_name(error)
                return
        if self._link.held_call_broke(answer):
            return
        self._away(str(error), now)

    def _away(self, reason: str, now: float) -> None:
        self._link.outage_began()
        self._not_before = now + self._outage.failed(now, reason)

    def _denied(self, error: ServerRefused, now: float) -> None:
        if self.job is None:
            # Our own servers say themselves which token they want.
            advice = "" if "JD_SERVER_TOKEN" in str(error) else "; " + self._advice
            self._log("the server does not accept this worker: %s%s" % (error, advice))
            leaving = self._leaving
            if leaving is not None:
                self._end(leaving.status, leaving.why)
            else:
                self._end(EXIT_FAILURE, "not authorised")
            return
        self._outage.failed(now, str(error))
        self._not_before = now + DENIED_PAUSE

    def _lost(self, error: ServerRefused, now: float) -> None:
        if self.job is None:
            self._outage.over(now)  # the server is there, and has its own view of our last job
            return
        self._log("%s is no longer ours: %s; stopping it" % (_label(self.job.assignment), error))
        self.job.stop(now, self._grace, STOPPED_LOST)

    def _take_new_name(self, error: ServerRefused) -> None:
        self._renames += 1
        before, self._link.worker_id = self._link.worker_id, self._rename()
        self._log("%s is taken (%s); this worker is now %s" % (
            before, error, self._link.worker_id))

    # ---- leaving

    def _leave(self, why: str) -> None:
        self._leaving = Leaving(why, EXIT_OK, LEAVE_TIME)

    def _mind_exit(self, now: float) -> None:
        if self.exit_status is not None or self.job is not None:
            return
        if self._leaving is None:
            self._look_for_a_reason_to_leave(now)
        leaving = self._leaving
        if leaving is None or self.exit_status is not None:
            return
        if leaving.deadline is None:
            self._begin_leaving(leaving, now)
        assert leaving.deadline is not None
        if self._may_abandon() and now >= leaving.patience:
            self._calls.abandon()
        if now >= leaving.deadline:
            self._end(leaving.status, leaving.why)

    def _look_for_a_reason_to_leave(self, now: float) -> None:
        since = self._outage.since
        if self._state in (protocol.DRAIN, protocol.STOP):
            self._leave("the server asked it to %s" % self._state)
        elif self._given_up is not None:
            self._leaving = Leaving(self._given_up, EXIT_FAILURE, LEAVE_TIME)
        elif self._drained_by is not None:
            self._leave("drained by %s" % self._drained_by)
        elif self._once and self._finished_one:
            self._leave("one job is finished (once=true)")
        elif self._once and since is not None and now - since >= BOUNDED_TIME:
            self._end(EXIT_FAILURE, "no answer from the server for %s (once=true)"
                      % terminal.duration(now - since))
        else:
            why = self._limits.too_late() or self._limits.idle_too_long(
                now - (now if self._idle_since is None else self._idle_since))
            if why is not None:
                self._leave(why)

    def _may_abandon(self) -> bool:
        """Whether the call in flight only stands in the way of the last ones."""
        call = self._calls.in_flight
        return call is not None and call.kind not in (LEAVE, REPORT)

    def _begin_leaving(self, leaving: Leaving, now: float) -> None:
        if self._delivery.own is not None and not self._signalled:
            leaving.limit = BOUNDED_TIME
        leaving.deadline = now + leaving.limit
        self._outage.hurry()
        self._not_before = min(self._not_before, now)
        call = self._calls.in_flight
        # A held claim may bring a job any moment. A server that knows of leaving gives that job
        # back; any other has to be told, so its answer is awaited a little.
        abandon = call is not None and call.held > 0 and self._link.offers(protocol.EXT_LEAVE)
        leaving.patience = now if abandon else now + PATIENCE

    def _end(self, status: int, why: str) -> None:
        left = self._delivery.left_behind()
        if left is not None:
            self._log(left)
            if not self._signalled:
                status = EXIT_FAILURE
        self._log("worker ends: %s" % why)
        self.exit_status = status


def _label(assignment: Assignment) -> str:
    if assignment.attempt is None:
        return "job %d" % assignment.job_id
    return "job %d (attempt %d)" % (assignment.job_id, assignment.attempt)


def _took(seconds: float) -> str:
    return "%.2fs" % seconds if seconds < 10.0 else terminal.duration(seconds)
