"""Leases: how long a worker may be silent before its attempt is taken for lost.

A claim begins one, each heartbeat renews it, and the sweeper ends the attempts whose lease has run out.
"""

from typing import Optional

from jd import protocol as p
from jd.server.store.queue import attempts, ending
from jd.server.store.transaction import Transaction


def renew(t: Transaction, job_id: int, attempt: Optional[int], worker_id: Optional[str],
          tail: Optional[str] = None, metrics: Optional[str] = None, reach: Optional[str] = None) -> None:
    """Renew the lease of a running attempt, and keep its latest output and metrics.

    With `attempt`, raises NoSuchJob or StaleAttempt where it is not the current one. Without (a
    client of the base protocol), it is the worker that must match, and nothing is raised of that.
    Raises AnothersAttempt for one out of reach.
    """
    if attempt is None:
        row = t.db.execute("SELECT attempt, lease FROM jobs WHERE id = ? AND status = 'SERVED'"
                           " AND worker_id = ?", (job_id, worker_id)).fetchone()
        if row is None:
            return
        number, lease = row
        attempts.check_reach(t.db, job_id, number, reach)
    else:
        job = attempts.check_running(t.db, job_id, attempt, reach)
        number, lease = attempt, job.lease
    t.db.execute("UPDATE jobs SET lease_until = ?, last_ping_timestamp = ? WHERE id = ?",
                 (t.now + (lease or t.policy.lease), t.now, job_id))
    if tail is not None or metrics is not None:
        t.db.execute("UPDATE attempts SET output_tail = coalesce(?, output_tail),"
                     " system_metrics = coalesce(?, system_metrics)"
                     " WHERE job_id = ? AND number = ?", (tail, metrics, job_id, number))


def expire(t: Transaction, limit: int) -> None:
    """End attempts that were not heard of in time."""
    rows = t.db.execute(
        "SELECT id, coalesce(lease, ?) FROM jobs WHERE status = 'SERVED' AND lease_until <= ?"
        " ORDER BY lease_until LIMIT ?", (t.policy.lease, t.now, limit)).fetchall()
    for job_id, lease in rows:
        ending.take_away(t, job_id, p.VERDICT_LOST, "no heartbeat for %g s" % lease)


def extend(t: Transaction) -> None:
    """Give every running attempt a full lease: while the server was down nobody could renew."""
    t.db.execute("UPDATE jobs SET lease_until = ? + coalesce(lease, ?)"
                 " WHERE status = 'SERVED' AND lease_until < ? + coalesce(lease, ?)",
                 (t.now, t.policy.lease, t.now, t.policy.lease))
