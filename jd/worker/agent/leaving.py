"""Why a worker leaves, and how long it may take over it.

A worker leaves for one reason, the first that there is. From then on it takes no job, makes its last calls,
and ends when these are made or at a deadline. It has no clock: times are seconds on one monotonic clock.
"""

import math
from dataclasses import dataclass
from typing import Callable, List, Optional

from jd import protocol, terminal
from jd.errors import EXIT_FAILURE, EXIT_OK, EXIT_TERMINATED
from jd.messages import HeartbeatReply
from jd.worker.limits import RESERVE, Limits

LEAVE_TIME = 5.0  # for the last words after a signal: schedulers kill soon
BOUNDED_TIME = 60.0  # for a worker that is to be gone, while the server is away
PATIENCE = 2.0  # for a call in flight that may matter, when leaving
CLOCK_SLACK = 0.5  # seconds by which the clock of a limit may lag behind ours


@dataclass
class Departure:
    """Why the worker exits and with what status. `limit` bounds it once there is no job, from then on until
    `deadline`. A call in flight is waited for until `patience`. `may_stay`: nobody waits for the worker to be
    gone, so it need not go while a result waits for the server."""

    why: str
    status: int = EXIT_OK
    limit: float = LEAVE_TIME
    may_stay: bool = False
    deadline: Optional[float] = None
    patience: float = 0.0
    said_goodbye: bool = False


class Leaving:
    """What asks one worker to leave, and its exit once there is a reason for one.

    `status_tells` is whether the exit status tells of a job that failed (once=true); `may_have_successor`,
    whether it asks for another worker where this one was stopped while jobs are left.
    """

    def __init__(self, limits: Limits, once: bool, log: Callable[[str], None], status_tells: bool = False,
                 may_have_successor: bool = False) -> None:
        self.departure: Optional[Departure] = None
        self.signalled = False
        self._status_tells = status_tells
        self._may_have_successor = may_have_successor
        self._terminated = False
        self._jobs_left = True  # as far as this worker knows
        self.drained_by: Optional[str] = None
        self._given_up: Optional[str] = None
        self._limits = limits
        self._once = once
        self._log = log
        self._complained = False
        self._said_of: Optional[float] = None  # an outage

    # ---- what asks for it

    def signal(self, name: str) -> None:
        """A scheduler or a person stops the worker: it leaves, whatever it is doing."""
        self.signalled = True
        self._terminated = name == "SIGTERM" and self.departure is None
        status = EXIT_OK if self.departure is None else self.departure.status
        self.departure = Departure("stopped by %s" % name, status)

    def drain(self, name: str) -> None:
        """It leaves after its job."""
        self.drained_by = name

    def give_up(self, why: str) -> None:
        """It leaves after its job, with status 1."""
        self._given_up = why

    def heard(self, reply: HeartbeatReply) -> None:
        """What the server says when it is asked for a job: perhaps that none is left."""
        self._jobs_left = reply.job is not None or not reply.empty

    def after(self, reply: HeartbeatReply, tells_empty: bool) -> None:
        """It has no job, and an answer has brought none: perhaps it leaves. `tells_empty` is whether the
        server says when no job is left."""
        if self.departure is None:
            why = self._reason_in(reply, tells_empty)
            if why is not None:
                self.departure = Departure(why, may_stay=True)

    def look(self, now: float, idle_since: float, away_since: Optional[float], desired_state: str,
             last_verdict: Optional[str], has_result: bool = False) -> None:
        """It has no job: perhaps it leaves. `away_since` is None while the server answers;
        `desired_state` is what the server asks for; `last_verdict` is that of its last job; `has_result` is
        whether the server has not taken that one's result yet."""
        if self.departure is not None:
            self._hurry(self.departure, now)
            if has_result:
                self._say_it_stays(self.departure, now, away_since)
            return
        if desired_state in (protocol.DRAIN, protocol.STOP):
            self.departure = Departure("the server asked it to %s" % desired_state)
        elif self._given_up is not None:
            self.departure = Departure(self._given_up, EXIT_FAILURE)
        elif self.drained_by is not None:
            self.departure = Departure("drained by %s" % self.drained_by)
        elif self._once and last_verdict is not None:
            self.departure = Departure("one job is finished (once=true)", may_stay=True)
        elif self._once and away_since is not None and now - away_since >= BOUNDED_TIME:
            self.departure = Departure("no answer from the server for %s (once=true)" % terminal.duration(
                now - away_since), EXIT_FAILURE, limit=0.0)
        else:
            idle = self._limits.idle_too_long(now - idle_since)
            if has_result and idle is not None:
                self._say_it_stays(Departure(idle), now, away_since)
                idle = None
            why = self._limits.too_late() or idle
            if why is not None:
                self.departure = Departure(why, may_stay=True)

    def next_look(self, now: float, idle_since: float, away_since: Optional[float],
                  has_result: bool = False) -> List[float]:
        """When there may be a reason to leave although nothing happens."""
        times: List[float] = []
        if self._once and away_since is not None:
            times.append(away_since + BOUNDED_TIME)
        if self._limits.idle_exit is not None and not has_result:
            times.append(idle_since + self._limits.idle_exit)
        until = self._limits.until_too_late()
        if until is not None:
            times.append(now + until + CLOCK_SLACK)
        return times

    # ---- how it goes on

    @property
    def is_asked(self) -> bool:
        """Whether it takes no other job."""
        return self.departure is not None or self.drained_by is not None or self._given_up is not None

    @property
    def may_take_several(self) -> bool:
        """Whether nothing is known that limits how many jobs it takes."""
        return not (self._once or self.is_asked) and self._limits.left() is None

    @property
    def why_stopped(self) -> str:
        """Why a job that cannot be finished is given back to the server."""
        if self.departure is not None:
            return self.departure.why
        return "drained by %s, for want of time" % self.drained_by

    def exit_status(self, departure: Departure, last_verdict: Optional[str]) -> int:
        """What the worker ends with; `last_verdict` is that of its last job, None if it has had none."""
        if departure.status != EXIT_OK:
            return departure.status
        if self._once and last_verdict not in (None, protocol.VERDICT_PREEMPTED):
            failed = self._status_tells and last_verdict != protocol.VERDICT_DONE
            return EXIT_FAILURE if failed else EXIT_OK
        wanted = self._terminated and self._may_have_successor and self._jobs_left
        return EXIT_TERMINATED if wanted else EXIT_OK

    def begin(self, departure: Departure, now: float, has_result: bool, may_abandon: bool) -> None:
        """There is no job any more: the deadline is set. A result is worth more time, except after a
        signal. `may_abandon`: nothing is lost with the call in flight."""
        if has_result and not self.signalled:
            departure.limit = self._time_for_result(departure)
        departure.deadline = now + departure.limit
        departure.patience = now if may_abandon else now + PATIENCE

    def _time_for_result(self, departure: Departure) -> float:
        """All the time that is left; where that is not limited, for ever, if nobody wants the worker gone."""
        left = self._limits.left()
        if departure.status != EXIT_OK:
            return BOUNDED_TIME
        if left is None or math.isinf(left):
            return math.inf if departure.may_stay else BOUNDED_TIME
        return max(BOUNDED_TIME, left - RESERVE)

    def _say_it_stays(self, departure: Departure, now: float, away_since: Optional[float]) -> None:
        """Once in an outage, if it does."""
        gone_soon = departure.deadline is not None and departure.deadline - now <= BOUNDED_TIME
        if away_since is None or away_since == self._said_of or gone_soon:
            return
        self._said_of = away_since
        left = self._limits.left()
        bound = "" if left is None or math.isinf(left) else ", for %s at most" % terminal.duration(left)
        self._log("%s, but the result of the last job waits for the server: the worker stays until it is "
                  "delivered%s" % (departure.why, bound))

    def _hurry(self, departure: Departure, now: float) -> None:
        """Somebody wants the worker to be gone after all."""
        if self.drained_by is not None and departure.may_stay and departure.deadline is not None:
            departure.may_stay = False
            departure.deadline = min(departure.deadline, now + self._time_for_result(departure))

    def _reason_in(self, reply: HeartbeatReply, tells_empty: bool) -> Optional[str]:
        if reply.needs is not None:
            return self._limits.nothing_fits(reply.needs)
        if self._limits.exit_when_empty and reply.empty:
            return "no job is left that could still come (exit_when_empty)"
        if self._once:
            return "no job is waiting (once=true)"
        if self._limits.exit_when_empty and not tells_empty and not self._complained:
            self._complained = True
            self._log("the server does not tell whether jobs are left: exit_when_empty has no effect")
        return None
