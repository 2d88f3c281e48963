"""Why a worker leaves, and how long it may take over it.

A worker leaves for one reason, the first that there is. From then on it takes no job, makes its last calls,
and ends when these are made or at a deadline. It has no clock: times are seconds on one monotonic clock.
"""

from dataclasses import dataclass
from typing import Callable, List, Optional

from jd import protocol, terminal
from jd.errors import EXIT_FAILURE, EXIT_OK, EXIT_TERMINATED
from jd.messages import HeartbeatReply
from jd.worker.limits import Limits

LEAVE_TIME = 5.0  # for the last words after a signal: schedulers kill soon
BOUNDED_TIME = 60.0  # for a worker that is to exit, while the server is away
PATIENCE = 2.0  # for a call in flight that may matter, when leaving
CLOCK_SLACK = 0.5  # seconds by which the clock of a limit may lag behind ours


@dataclass
class Departure:
    """Why the worker exits and with what status. `limit` bounds it once there is no job, from then on until
    `deadline`. A call in flight is waited for until `patience`."""

    why: str
    status: int = EXIT_OK
    limit: float = LEAVE_TIME
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
                self.departure = Departure(why)

    def look(self, now: float, idle_since: float, away_since: Optional[float], desired_state: str,
             last_verdict: Optional[str]) -> None:
        """It has no job: perhaps it leaves. `away_since` is None while the server answers;
        `desired_state` is what the server asks for; `last_verdict` is that of its last job."""
        if self.departure is not None:
            return
        if desired_state in (protocol.DRAIN, protocol.STOP):
            self.departure = Departure("the server asked it to %s" % desired_state)
        elif self._given_up is not None:
            self.departure = Departure(self._given_up, EXIT_FAILURE)
        elif self.drained_by is not None:
            self.departure = Departure("drained by %s" % self.drained_by)
        elif self._once and last_verdict is not None:
            self.departure = Departure("one job is finished (once=true)")
        elif self._once and away_since is not None and now - away_since >= BOUNDED_TIME:
            self.departure = Departure("no answer from the server for %s (once=true)" % terminal.duration(
                now - away_since), EXIT_FAILURE, limit=0.0)
        else:
            why = self._limits.too_late() or self._limits.idle_too_long(now - idle_since)
            if why is not None:
                self.departure = Departure(why)

    def next_look(self, now: float, idle_since: float, away_since: Optional[float]) -> List[float]:
        """When there may be a reason to leave although nothing happens."""
        times: List[float] = []
        if self._once and away_since is not None:
            times.append(away_since + BOUNDED_TIME)
        if self._limits.idle_exit is not None:
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
            departure.limit = BOUNDED_TIME
        departure.deadline = now + departure.limit
        departure.patience = now if may_abandon else now + PATIENCE

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
