"""The one table of what may happen to a job.

A job is PENDING until a claim makes it SERVED and starts an attempt. An attempt ends in exactly
one verdict:

    done                            the job is DONE
    failed, killed, oom, timeout    ABORTED; tried again after a pause while failures < max-attempts, the
                                    server's or its batch's, but not if another try would fail
                                    likewise (`final`)
    preempted, lost                 PENDING at once; ABORTED after a much larger number of them, or
                                    where the job takes its workers down (`queue.tookdown`)
    stopped                         ABORTED, and it never comes back by itself

A person may delete a job that is not SERVED and restore it to what it was, abort one that waits, and
have one that is over tried again. A batch may replace jobs: to those it is as if they were deleted.
(Aborting or replacing a SERVED job ends its attempt: stopped.)

Anything that the table does not have raises IllegalTransition.
"""

from typing import Dict, NamedTuple, Tuple

from jd import protocol as p
from jd.server.store.policy import Policy

CLAIM = "claim"
RETRY = "retry"
REPLACE = "replace"
DELETE = "delete"
ABORT = "abort"
_RESTORE = "restore to %s"

FAILURES = (p.VERDICT_FAILED, p.VERDICT_KILLED, p.VERDICT_OOM, p.VERDICT_TIMEOUT)
INTERRUPTIONS = (p.VERDICT_PREEMPTED, p.VERDICT_LOST)

_TABLE: Dict[Tuple[str, str], str] = {
    (p.PENDING, CLAIM): p.SERVED,
    (p.PENDING, REPLACE): p.DELETED,
    (p.PENDING, DELETE): p.DELETED,
    (p.PENDING, ABORT): p.ABORTED,
    (p.ABORTED, RETRY): p.PENDING,
    (p.ABORTED, REPLACE): p.DELETED,
    (p.ABORTED, DELETE): p.DELETED,
    (p.DONE, RETRY): p.PENDING,
    (p.DONE, REPLACE): p.DELETED,
    (p.DONE, DELETE): p.DELETED,
    (p.SERVED, p.VERDICT_DONE): p.DONE,
    (p.SERVED, p.VERDICT_STOPPED): p.ABORTED,
}
_TABLE.update({(p.SERVED, verdict): p.ABORTED for verdict in FAILURES})
_TABLE.update({(p.SERVED, verdict): p.PENDING for verdict in INTERRUPTIONS})
_TABLE.update({(p.DELETED, _RESTORE % status): status
               for (status, event) in list(_TABLE) if event == DELETE})


class IllegalTransition(Exception):
    """The table has no such step. `status` is where the job is."""

    def __init__(self, status: str, event: str) -> None:
        super().__init__("a job that is %s cannot be %s" % (status, event))
        self.status = status


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


def restore(deleted_from: str) -> str:
    """The event that restores a job to the status in which it was deleted."""
    return _RESTORE % deleted_from


def allowing(event: str) -> Tuple[str, ...]:
    """The statuses in which a job can take this event."""
    return tuple(status for status in p.JOB_STATUSES_ALL if (status, event) in _TABLE)


def ending(status: str, verdict: str, failures: int, interruptions: int, policy: Policy,
           final: bool = False, set_aside: bool = False) -> Ending:
    """What a verdict makes of a job that has failed and been interrupted so often before. After one that
    is `final` it does not come back, nor after an interruption by which it is `set_aside`."""
    following = after(status, verdict)
    if verdict in FAILURES:
        failures += 1
        return Ending(following, failures, interruptions, failures < policy.max_attempts and not final)
    if verdict in INTERRUPTIONS:
        interruptions += 1
        if set_aside or interruptions >= policy.max_interruptions:
            following = p.ABORTED
    return Ending(following, failures, interruptions, False)
