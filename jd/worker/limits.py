"""What bounds a worker: its scheduler's limit, and how long it may be without a job.

Durations are in seconds. What is decided here is carried out by the agent.
"""

from dataclasses import dataclass
from typing import Callable, Optional

from jd import terminal

RESERVE = 15.0  # before the limit, for uploads and the last words after a job has ended
# Before the limit, when nobody can say how long the job takes: such is the lead that batch scripts
# ask their drain signal to have.
CHECKPOINT_LEAD = 300.0


def _unknown() -> Optional[float]:
    return None


def _never() -> bool:
    return False


def seconds(number: float) -> str:
    """A duration for people, who set limits of seconds for short jobs."""
    return "%gs" % round(number, 2) if number < 60.0 else terminal.duration(number)


@dataclass(frozen=True)
class JobTimeout:
    """How long a job's script may run, in seconds, and whose word that is."""

    seconds: float
    whose: str

    @property
    def shown(self) -> str:
        """For people."""
        return "%s (%s)" % (seconds(self.seconds), self.whose)


@dataclass(frozen=True)
class Limits:
    """What a launch asked for. `left` tells how long the worker has; `is_fresh` whether that is all
    that an allocation here has."""

    min_time: Optional[float] = None
    idle_exit: Optional[float] = None
    exit_when_empty: bool = False
    left: Callable[[], Optional[float]] = _unknown
    is_fresh: Callable[[], bool] = _never
    job_timeout: Optional[float] = None

    def timeout_of(self, by_sweep: Optional[float]) -> Optional[JobTimeout]:
        """The limit of a job, whose sweep allows `by_sweep` seconds: the shorter one counts."""
        own = None if self.job_timeout is None else JobTimeout(self.job_timeout, "job_timeout of the worker")
        if by_sweep is None or own is not None and own.seconds <= by_sweep:
            return own
        return JobTimeout(by_sweep, "timeout of its sweep")

    @property
    def usual_time(self) -> Optional[float]:
        """What a job needs whose sweep does not say; None: the server's estimate.

        An estimate keeps no job from a fresh allocation: it would wait for ever for a longer one.
        """
        return 0.0 if self.min_time is None and self.is_fresh() else self.min_time

    def too_late(self) -> Optional[str]:
        """Why there is no time for another job; None if there may be."""
        left = self.left()
        if left is None:
            return None
        if self.min_time is not None and left < self.min_time:
            return "%s left until the limit, and min_time is %s" % (
                terminal.duration(left), terminal.duration(self.min_time))
        return None if left > 0 else "its time limit is reached"

    def until_too_late(self) -> Optional[float]:
        """Seconds until `too_late` says so."""
        left = self.left()
        return None if left is None else max(0.0, left - (self.min_time or 0.0))

    def nothing_fits(self, needs: float) -> str:
        """Why the worker leaves although jobs wait."""
        left = self.left()
        return "no job fits: %s left until the limit, and the shortest needs %s" % (
            "little" if left is None else terminal.duration(left), terminal.duration(needs))

    def idle_too_long(self, idle: float) -> Optional[str]:
        """Why to leave after so long without a job."""
        if self.idle_exit is None or idle < self.idle_exit:
            return None
        return "no job for %s (idle_timeout)" % terminal.duration(idle)


@dataclass(frozen=True)
class Draining:
    """What becomes of a running job when the worker is to go.

    `stop_in` is when it is stopped if it has not ended: 0 for now, None for never. `why` is for
    the log.
    """

    stop_in: Optional[float]
    why: str


def drain(left: Optional[float], expected: Optional[float], elapsed: float,
          grace: float) -> Draining:
    """Whether a job that runs for `elapsed` and is `expected` to take so long can end in time."""
    if left is None:
        return Draining(None, "its job goes on to its end")
    spare = max(0.0, left - grace - RESERVE)
    if expected is None or expected < elapsed:
        stop_in = max(0.0, left - max(CHECKPOINT_LEAD, grace + RESERVE))
        known = "it is not known how long its job takes"
        if stop_in > 0:
            return Draining(stop_in, "%s; it has %s" % (known, terminal.duration(stop_in)))
        return Draining(0.0, "%s, and %s are left" % (known, terminal.duration(left)))
    text = "its job needs about %s more, and %s are left" % (
        terminal.duration(expected - elapsed), terminal.duration(left))
    return Draining(spare if expected - elapsed <= left - RESERVE else 0.0, text)


def window(left: Optional[float], grace: float) -> float:
    """How long a job that is stopped by a drain has to save itself: all that is left, but for what
    comes after; `grace` at least."""
    return grace if left is None else max(grace, left - RESERVE)
