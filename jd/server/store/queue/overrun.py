"""Attempts that run on after their job's timeout.

A worker ends a script that runs longer than the `timeout` of its job. Clients of the base protocol, which
send no `session`, do not know of it, and a worker may hang: so the server ends the attempt itself some time
later. When that is stands in the job (`ends_by`), so that only what is due is looked at.

A worker that minds the timeout says in its heartbeats how long it will take to end the script (`ends_in`): it
may have had to restore a checkpoint first, and gives the script a time to stop that only it knows.
"""

from typing import Optional

from jd import protocol as p
from jd.server.store.queue import ending
from jd.server.store.transaction import Transaction

# Seconds after the timeout: a worker lets the script end, saves its checkpoint and reports, or tries to.
UNTOLD = 60.0  # where the worker knows no timeouts
MARGIN = 600.0

DUE = "SELECT id, timeout FROM jobs WHERE ends_by <= ? ORDER BY ends_by LIMIT ?"


def ends_by(t: Transaction, timeout: Optional[float], session: Optional[str]) -> Optional[float]:
    """When the server ends an attempt that begins now; None: never."""
    return None if timeout is None else t.now + timeout + (UNTOLD if session is None else MARGIN)


def put_off(t: Transaction, job_id: int, ends_in: float) -> None:
    """The worker of a running attempt will have ended its script in so many seconds."""
    t.db.execute("UPDATE jobs SET ends_by = max(ends_by, ?) WHERE id = ? AND ends_by IS NOT NULL",
                 (t.now + ends_in + MARGIN, job_id))


def end_due(t: Transaction, limit: int) -> bool:
    """End attempts that have run for too long, `limit` at most. Returns whether there may be more."""
    due = t.db.execute(DUE, (t.now, limit)).fetchall()
    for job_id, timeout in due:
        ending.take_away(t, job_id, p.VERDICT_TIMEOUT, "it runs for longer than its timeout of %g s, and its"
                                                       " worker has not ended it" % timeout)
    return len(due) == limit


def extend(t: Transaction, by: float) -> None:
    """Give every running attempt so many seconds more, since nobody could report for so long."""
    t.db.execute("UPDATE jobs SET ends_by = ends_by + ? WHERE ends_by IS NOT NULL", (by,))


def restart(t: Transaction) -> None:
    """Give every running attempt time to report: while the server was down nobody could. None has longer
    than one that begins now: the clock may have been set meanwhile."""
    t.db.execute("UPDATE jobs SET ends_by = min(max(ends_by, ?), ? + timeout) WHERE ends_by IS NOT NULL",
                 (t.now + MARGIN, t.now + MARGIN))
