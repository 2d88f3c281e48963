"""The loop of one worker process, as a state machine without a clock or I/O of its own.

    agent.stop(…), agent.drain(…)    what signals asked for
    agent.step(now) → deadline       everything that is due; call it again then, or when an answer of the
                                     server, the job's output or a dead child wakes the loop

At most one job runs (currentjob.py), and one call is in flight (calls.py), until there is a reason to leave
(leaving.py). Short jobs come several at once (handful.py): the next one begins when one is done, and then all
results go together. What goes next is decided in `_next_call` alone: a running job's heartbeat, then our own
results, then what waited on disk, then the next claim. A heartbeat that the server holds while the job runs
is abandoned when the job ends. Times are seconds on one monotonic clock.
"""

import math
from typing import Callable, List, Optional, Sequence

from jd import protocol
from jd.errors import EXIT_FAILURE, EXIT_TERMINATED, ServerRefused
from jd.messages import Assignment
from jd.worker.agent.calls import Calls, Heard
from jd.worker.agent.currentjob import CurrentJob
from jd.worker.agent.handful import Handful
from jd.worker.agent.leaving import Departure, Leaving
from jd.worker.attempt.attempt import Attempt
from jd.worker.uplink.callthread import BEAT, CLAIM, LEAVE, REPORT, Call
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outbox import Entry

# What a server must know for a worker to ask it for several jobs at once.
SEVERAL = (protocol.EXT_PREFETCH, protocol.EXT_SESSION, protocol.EXT_ATTEMPT, protocol.EXT_FINISH,
           protocol.EXT_RELEASE, protocol.EXT_LEAVE)


class Agent:
    """Decides what a worker does next. `exit_status` is None until the worker is finished.

    `hold_claims` is whether the server may hold a claim until there is a job; `advice` is what people can do
    when the server does not accept this worker.
    """

    def __init__(self, link: Link, calls: Calls, job: CurrentJob, delivery: Delivery, leaving: Leaving,
                 log: Callable[[str], None], hold_claims: bool = True,
                 advice: str = "check JD_SERVER_TOKEN or JD_SERVER_TOKEN_FILE") -> None:
        self.exit_status: Optional[int] = None
        self._link = link
        self._calls = calls
        self._job = job
        self._delivery = delivery
        self._leaving = leaving
        self._handful = Handful()
        self._log = log
        self._hold_claims = hold_claims
        self._advice = advice

    @property
    def job(self) -> Optional[Attempt]:
        """The attempt of a job that is under way."""
        return self._job.attempt

    @property
    def heard_at(self) -> Optional[float]:
        """When a heartbeat was answered last."""
        return self._calls.heard_at

    @property
    def status(self) -> str:
        """The worker in one word, for people: idle, busy, paused, draining or stopping."""
        desired = self._calls.desired_state
        if self._leaving.signalled:
            return "stopping"
        if self._leaving.is_asked or desired in (protocol.DRAIN, protocol.STOP):
            return "draining"
        if self.job is not None:
            return protocol.BUSY
        return "paused" if desired == protocol.PAUSE else protocol.IDLE

    @property
    def paused_because(self) -> str:
        """Why the server has paused this worker by itself; empty while it has not."""
        return self._calls.paused_because

    # ---- what the outside asks for

    def stop(self, now: float, signal_name: str) -> None:
        """A scheduler or a person stops this worker: preempt its job and leave. Twice is once."""
        if not self._leaving.signalled:
            self._leaving.signal(signal_name)
            self._job.preempt(now, signal_name)

    def drain(self, now: float, signal_name: str) -> None:
        """Take no other job, exit. The current one is finished if it can be before the limit, else
        it is stopped while there is time to save what it has done."""
        if self._leaving.drained_by is not None or self._leaving.signalled:
            return
        self._leaving.drain(signal_name)
        fate = self._job.drain(now)
        self._log("%s: draining%s" % (signal_name, "" if fate is None else "; " + fate))

    def give_up(self, why: str) -> None:
        """Finish the current job, take no other, exit with status 1."""
        self._leaving.give_up(why)

    # ---- one step

    def step(self, now: float) -> Optional[float]:
        """Do everything that is due. Returns when to be called again if nothing happens."""
        if self._job.idle_since is None:
            self._job.idle_since = now
        running = self.job
        for heard in self._calls.collect(now):
            self._act_on(heard, now)
        # To start one takes time: what has begun in this step, and ended, would seem to have taken none.
        pause = None if self.job is not running else self._job.step(now, self._leaving.why_stopped)
        if pause is not None:
            self._calls.job_ended(now, pause)
            self._handful.ended(self._job.last_verdict, now)
        self._mind_exit(now)
        self._mind_handful(now)
        if self.exit_status is None and self._calls.in_flight is None and now >= self._calls.not_before:
            call = self._next_call(now)
            if call is not None:
                self._calls.send(call, now)
        self._delivery.sync_in_time(now, unasked=self._goes_on(now))
        return self._deadline(now)

    def _next_call(self, now: float) -> Optional[Call]:
        away = self._calls.away_since is not None
        if self.job is not None:
            return self._call_beside_job(away, now)
        if self._leaving.departure is not None:
            return self._last_call(self._leaving.departure, now)
        call = self._delivery.own_call(away, now, self._prefetch()) or self._spare_call(now)
        if call is None and now >= self._calls.claim_at:
            call = self._link.claim(hold=self._hold_claims, prefetch=self._prefetch())
        return call

    def _call_beside_job(self, away: bool, now: float) -> Optional[Call]:
        if self._job.is_lost:
            call = self._delivery.aside_call(now)
        elif now >= self._beat_due(now):
            # What waits on disk goes while no heartbeat stands in its way.
            hold = not (away or self._delivery.backlog or self._delivery.has_news)
            return self._beat(now, hold, self._delivery.joining())
        else:
            call = None
        if call is None and not self._goes_on(now):
            call = self._delivery.refused_call(away, now) or self._spare_call(now)
        return call

    def _beat(self, now: float, hold: bool = False, entries: Sequence[Entry] = ()) -> Optional[Call]:
        """A heartbeat of the job that runs."""
        if self.job is None or self._job.is_lost:
            return None
        return self._link.beat(self.job.assignment, self.job.tail(), hold, self._job.ends_in(now),
                               self.job.code(), self.job.output_size, entries, now)

    def _beat_due(self, now: float) -> float:
        """When the heartbeat of the job that runs is due: soon, where there is something that others wait
        for."""
        if self._link.unstarted:
            return now
        due = self._calls.beat_at
        return min(due, self._handful.until) if self._delivery.joining() else due

    def _spare_call(self, now: float) -> Optional[Call]:
        """Something from the backlog, while the server is known to be there.

        Who was told to stop has little time: what others left waits for the next worker.
        """
        if not self._calls.met or self._calls.away_since is not None or self._leaving.signalled:
            return None
        return self._delivery.backlog_call(lambda: self._beat(now))

    def _prefetch(self) -> int:
        """How many jobs to ask for beside the next one."""
        if (self._delivery.backlog or self._calls.desired_state != protocol.RUN
                or not self._link.offers(*SEVERAL) or not self._leaving.may_take_several):
            return 0
        return self._handful.wanted

    def _last_call(self, departure: Departure, now: float) -> Optional[Call]:
        assert departure.deadline is not None
        left = min(30.0, max(0.5, departure.deadline - now))
        call = self._spare_call(now)
        if call is None:
            call = self._delivery.leaving_call(self._calls.away_since is not None, left, now)
        if call is None and not departure.said_goodbye and self._calls.met and (
                self._link.offers(protocol.EXT_LEAVE) or self._link.owes_acknowledgement):
            call = self._link.leave(left)
        if call is None:
            self._end(departure)
        elif call.kind == LEAVE and call.entry is None:
            departure.said_goodbye = True  # tried once: there is nothing in it that must arrive
        return call

    def _deadline(self, now: float) -> Optional[float]:
        if self.exit_status is not None:
            return now
        calls, departure = self._calls, self._leaving.departure
        times: List[Optional[float]] = [*self._job.deadlines(), self._delivery.sync_at]
        if calls.in_flight is not None:
            times.append(calls.overdue_at)
        elif self.job is None:
            waiting = departure is not None or self._delivery.own
            times.append(calls.not_before if waiting else max(calls.not_before, calls.claim_at))
        elif not self._job.is_lost:
            times.append(max(calls.not_before, self._beat_due(now)))
        elif self._delivery.has_news:
            times.append(calls.not_before)
        if self._handful.left:
            times.append(self._handful.until)
        if self.job is None and departure is not None:
            times.append(None if departure.deadline == math.inf else departure.deadline)
            if self._may_abandon():
                times.append(departure.patience)
        elif self.job is None:
            times += self._leaving.next_look(now, self._idle_since(now), calls.away_since,
                                             bool(self._delivery.own))
        return min((time for time in times if time is not None), default=None)

    def _idle_since(self, now: float) -> float:
        return now if self._job.idle_since is None else self._job.idle_since

    # ---- answers

    def _act_on(self, heard: Heard, now: float) -> None:
        if heard.denied is not None:
            self._denied(heard.denied, now)
        elif heard.lost is not None:
            self._lost(heard.lost, heard.call, now)
        elif heard.reply is not None and heard.call.kind == CLAIM:
            self._leaving.heard(heard.reply)
            if heard.reply.job is not None:
                self._take_jobs(heard.reply.job, heard.reply.prefetched, now)
            elif not self._link.owes_acknowledgement and not self._delivery.backlog:
                self._leaving.after(heard.reply, self._link.offers(protocol.EXT_EMPTY))
        elif heard.reply is not None and heard.call.kind == BEAT and self.job is not None:
            if heard.reply.interval <= protocol.WATCHED_INTERVAL:
                self.job.watched()
        elif heard.call.kind == LEAVE and self._leaving.departure is not None:
            self._leaving.departure.said_goodbye = True

    def _take_jobs(self, assignment: Assignment, further: Sequence[Assignment], now: float) -> None:
        self._handful.came(further, now, self._link.at_most(math.inf))
        if self._leaving.departure is not None:
            self._job.give_back(assignment)
        else:
            self._begin(assignment, now)

    def _begin(self, assignment: Assignment, now: float) -> None:
        self._handful.began(now)
        pause = self._job.begin(assignment, now, self._link.runtime_p90)
        self._calls.claim_at = now + pause
        if self.job is None:
            self._handful.ended(self._job.last_verdict, now)

    # ---- several short jobs

    def _goes_on(self, now: float) -> bool:
        """Whether a job runs after which the next one begins, or results go together with its own: no call
        that may take long is to stand in the way."""
        return self.job is not None and now < self._handful.until and bool(
            self._handful.left or self._delivery.joining())

    def _mind_handful(self, now: float) -> None:
        """Begin the next job that came with the last one, or give back what is not begun any more."""
        while self._handful.left:
            why = self._why_no_further(now)
            if why is not None:
                left = self._handful.give_up()
                self._link.give_back(left, "not begun, as %s" % why)
                self._log("gave back jobs that were not begun, as %s: %s" % (
                    why, ", ".join(str(assignment.job_id) for assignment in left)))
            elif self.job is None:
                self._begin(self._handful.left.popleft(), now)
            else:
                return

    def _why_no_further(self, now: float) -> Optional[str]:
        """Why none of the jobs that came with the last one is begun any more; None if they are."""
        if self._leaving.is_asked:
            return "the worker is leaving"
        if self._calls.desired_state != protocol.RUN:
            return "the worker was asked to %s" % self._calls.desired_state
        if now >= self._handful.until:
            return "the jobs before took longer than usual"
        if self._job.is_lost or self.job is None and self._job.last_verdict != protocol.VERDICT_DONE:
            return "the job before was not done"
        if self.job is None and not self._delivery.has_room:
            return "results of the jobs before are to arrive first"
        return None

    def _denied(self, error: ServerRefused, now: float) -> None:
        if self.job is not None:
            self._calls.pause_denied(error, now)
            return
        # Our own servers say themselves which token they want.
        advice = "" if "JD_SERVER_TOKEN" in str(error) else "; " + self._advice
        self._log("the server does not accept this worker: %s%s" % (error, advice))
        self._end(self._leaving.departure or Departure("not authorised", EXIT_FAILURE))

    def _lost(self, error: ServerRefused, call: Call, now: float) -> None:
        if self.job is None or self.job.assignment.job_id != call.body["current_job_id"]:
            self._calls.server_is_there(now)  # and has its own view of our last job
        else:
            self._job.lose(now, str(error))

    # ---- leaving

    def _mind_exit(self, now: float) -> None:
        if self.exit_status is not None or self.job is not None:
            return
        self._leaving.look(now, self._idle_since(now), self._calls.away_since, self._calls.desired_state,
                           self._job.last_verdict, bool(self._delivery.own))
        departure = self._leaving.departure
        if departure is None:
            return
        if departure.deadline is None:
            self._begin_leaving(departure, now)
        assert departure.deadline is not None
        if self._may_abandon() and now >= departure.patience:
            self._calls.abandon()
        if now >= departure.deadline:
            self._end(departure)

    def _begin_leaving(self, departure: Departure, now: float) -> None:
        # A held claim may bring a job any moment. A server that knows of leaving gives that job
        # back; any other has to be told, so its answer is awaited a little.
        call = self._calls.in_flight
        may_abandon = call is not None and call.held > 0 and self._link.offers(protocol.EXT_LEAVE)
        if self._calls.met and self._calls.away_since is None and not self._leaving.signalled:
            self._delivery.look_on_disk()  # there may be nobody else to deliver what is there
        has_result = bool(self._delivery.own or self._delivery.backlog)
        self._leaving.begin(departure, now, has_result, may_abandon)
        self._calls.hurry(now)

    def _may_abandon(self) -> bool:
        """Whether the call in flight only stands in the way of the last ones."""
        call = self._calls.in_flight
        return call is not None and call.kind not in (LEAVE, REPORT)

    def _end(self, departure: Departure) -> None:
        status, why = self._leaving.exit_status(departure, self._job.last_verdict), departure.why
        if status == EXIT_TERMINATED:
            why += "; as jobs are left, exit status %d asks for another worker" % status
        left = self._delivery.leave()
        for line in left:
            self._log(line)
        if left:
            if not self._leaving.signalled:
                status = EXIT_FAILURE
        elif self._calls.away_since is not None:
            for line in self._delivery.left_by_others():
                self._log(line)
        self._log("worker ends: %s" % why)
        self.exit_status = status
