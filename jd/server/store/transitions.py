"""The one table of what may happen to a job.

A job is PENDING until a claim makes it SERVED and starts an attempt. An attempt ends in exactly
one verdict:

    done                            the job is DONE
    failed, killed, oom, timeout    ABORTED; tried again after a pause while failures < max-attempts
    preempted, lost                 PENDING at once; ABORTED after a much larger number of them
    stopped                         ABORTED, and it never comes back by itself

Anything that the table does not have raises IllegalTransition.
"""

from typing import Dict, NamedTuple, Tuple

from jd import protocol as p

CLAIM = "claim"
RETRY = "retry"
REPLACE = "replace"

FAILURES = (p.VERDICT_FAILED, p.VERDICT_KILLED, p.VERDICT_OOM, p.VERDICT_TIMEOUT)
INTERRUPTIONS = (p.VERDICT_PREEMPTED, p.VERDICT_LOST)

_TABLE: Dict[Tuple[str, str], str] = {
    (p.PENDING, CLAIM): p.SERVED,
    (p.PENDING, REPLACE): p.DELETED,
    (p.ABORTED, RETRY): p.PENDING,
    (p.SERVED, p.VERDICT_DONE): p.DONE,
    (p.SERVED, p.VERDICT_STOPPED): p.ABORTED,
}
_TABLE.update({(p.SERVED, verdict): p.ABORTED for verdict in FAILURES})
_TABLE.update({(p.SERVED, verdict): p.PENDING for verdict in INTERRUPTIONS})


class IllegalTransition(Exception):
    """The table has no such step. `status` is where the job is."""

    def __init__(self, status: str, event: str) -> None:
        super().__init__("a job that is %s cannot be %s" % (status, event))
        self.status = status


class Policy(NamedTuple):
    """The server's settings that decide about jobs; durations in seconds."""

    lease: float = 600.0
    retry_pause: float = 1200.0
    max_attempts: int = 3
    max_interruptions: int = 100


class Ending(NamedTuple):
    """What the end of an attempt does to its job."""

    status: str
    failures: int
    interruptions: int
    comes_back: bool  # ABORTED now, PENDING again after the pause


def after(status: str, event: str) -> str:
    """The status after `event`. Raises IllegalTransition."""
    try:
        return _TABLE[status, event]
    except KeyError:
        raise IllegalTransition(status, event) from None


def ending(status: str, verdict: str, failures: int, interruptions: int, policy: Policy) -> Ending:
    """What a verdict makes of a job that has failed and been interrupted so often before."""
    following = after(status, verdict)
    if verdict in FAILURES:
        failures += 1
        return Ending(following, failures, interruptions, failures < policy.max_attempts)
    if verdict in INTERRUPTIONS:
        interruptions += 1
        if interruptions >= policy.max_interruptions:
            following = p.ABORTED
    return Ending(following, failures, interruptions, False)
