"""Leases: how long a worker may be silent before its attempt is taken for lost.

A claim begins one, each heartbeat renews it, and the sweeper ends the attempts whose lease has run out.

How long it is says the batch of the job, else the server. A busy worker is told to be heard of three times
in it, so that a heartbeat may be late or lost. Who sends no `session` is a client of the base protocol. A
published one that got its job while it waited for one is heard of only after the IDLE_INTERVAL that it was
told before, and then every BUSY_INTERVAL: its attempts have UNTOLD seconds or more.
"""

import json
import math
import sqlite3
from typing import Optional, Sequence

from jd import protocol as p
from jd.server.store.policy import Policy
from jd.server.store.queue import attempts, ending, jobs, tookdown
from jd.server.store.transaction import Transaction

HEARTBEATS = 3  # in a lease
SHORT_OF_MEMORY = 90.0  # percent
UNTOLD = p.IDLE_INTERVAL + p.BUSY_INTERVAL  # seconds

# What `seconds` gives, of a row of jobs; it takes the server's lease.
_SECONDS = "max(coalesce(lease, ?), CASE WHEN session IS NULL THEN %g ELSE %g END)" % (UNTOLD, p.MIN_LEASE)


def seconds(own: Optional[float], session: Optional[str], policy: Policy) -> float:
    """The lease of an attempt: `own` is what its batch says, `session` that of its worker."""
    return max(policy.lease if own is None else own, UNTOLD if session is None else p.MIN_LEASE)


def of_job(db: sqlite3.Connection, job_id: Optional[int], policy: Policy) -> Optional[float]:
    """The lease of a job's latest attempt, in seconds; None where there is no such job."""
    row = db.execute("SELECT lease, session FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return None if row is None else seconds(row[0], row[1], policy)


def interval(lease: Optional[float]) -> float:
    """Seconds from one heartbeat of a busy worker to the next; None: its job is not known."""
    return p.BUSY_INTERVAL if lease is None else min(p.BUSY_INTERVAL, lease / HEARTBEATS)


def renew(t: Transaction, job_id: int, attempt: Optional[int], worker_id: Optional[str],
          printed: Optional[ending.Printed] = None, metrics: Optional[str] = None,
          reach: Optional[str] = None) -> None:
    """Renew the lease of a running attempt, and keep its latest output and metrics.

    With `attempt`, raises NoSuchJob or StaleAttempt where it is not the current one. Without (a
    client of the base protocol), it is the worker that must match, and nothing is raised of that.
    Raises AnothersAttempt for one out of reach.
    """
    if attempt is None:
        row = t.db.execute("SELECT attempt FROM jobs WHERE id = ? AND status = 'SERVED'"
                           " AND worker_id = ?", (job_id, worker_id)).fetchone()
        if row is None:
            return
        number = row[0]
        attempts.check_reach(t.db, job_id, number, reach)
    else:
        number = attempts.check_running(t.db, job_id, attempt, reach).attempt
    # What was promised before holds: a worker that was told of a longer lease may be silent for as long.
    t.db.execute("UPDATE jobs SET lease_until = max(lease_until, ? + %s), last_ping_timestamp = ?"
                 " WHERE id = ?" % _SECONDS, (t.now, t.policy.lease, t.now, job_id))
    if printed is not None or metrics is not None:
        t.happened.printed = True
        tail, size = (None, None) if printed is None else printed
        t.db.execute("UPDATE attempts SET output_tail = coalesce(?, output_tail),"
                     " output_size = coalesce(?, output_size), system_metrics = coalesce(?, system_metrics)"
                     " WHERE job_id = ? AND number = ?", (tail, size, metrics, job_id, number))


def expire(t: Transaction, limit: int) -> bool:
    """End attempts that were not heard of in time: `limit` at most, and those that their workers held beside
    them and were not heard of since either. Returns whether there may be more."""
    rows = t.db.execute(
        "SELECT id, worker_id, session, last_ping_timestamp, %s FROM jobs WHERE status = 'SERVED'"
        " AND lease_until <= ? ORDER BY lease_until LIMIT ?" % _SECONDS,
        (t.policy.lease, t.now, limit)).fetchall()
    ended = set()
    for job_id, worker_id, session, heard, lease in rows:
        if job_id in ended:
            continue
        together = [job_id] if session is None else [
            held.job_id for held in attempts.held_by(t.db, worker_id, session) if held.heard <= heard]
        _lose(t, together, lease, "no heartbeat for %g s" % lease)
        t.happened.taken_away += together
        ended.update(together)
    return len(rows) == limit


def found_dead(t: Transaction, job_ids: Sequence[int], alone: bool) -> None:
    """End the attempts of a worker whose process has ended without a word, as a command on its machine has
    found; `alone` if no other worker was found so. Many at once die of something else than one job."""
    seconds_of_lease = of_job(t.db, job_ids[0], t.policy)
    assert seconds_of_lease is not None
    _lose(t, job_ids, seconds_of_lease, "its worker was found dead on its machine", alone)


def _lose(t: Transaction, job_ids: Sequence[int], lease: float, message: str, alone: bool = True) -> None:
    """End what a worker held, in the order in which it was given. Of several nobody knows which one it was
    at: none of them counts as having taken it down, and only the first has taken time."""
    for place, job_id in enumerate(job_ids):
        counts = alone and len(job_ids) == 1 and tookdown.counts(t, jobs.find(t.db, job_id), lease)
        ending.end(t, job_id, p.VERDICT_LOST, message=message + _memory_was_short(t.db, job_id),
                   took_down=counts, begun=place == 0)


def _memory_was_short(db: sqlite3.Connection, job_id: int) -> str:
    """What the last heartbeat said of the memory, where that may be why there was no other."""
    row = db.execute("SELECT CAST(a.system_metrics AS BLOB) FROM attempts AS a JOIN jobs AS j"
                     " ON j.id = a.job_id AND j.attempt = a.number WHERE j.id = ?", (job_id,)).fetchone()
    try:
        used = json.loads(row[0]).get("ram_util") if row is not None and row[0] else None
    except ValueError:
        return ""  # damaged: a lease ends all the same
    if not isinstance(used, (int, float)) or used < SHORT_OF_MEMORY:
        return ""
    return "; with the last one %.0f %% of the memory there was used" % used


def extend(t: Transaction, by: float = math.inf) -> None:
    """Make every lease longer by so many seconds in which nobody could renew; none beyond a full one."""
    t.db.execute("UPDATE jobs SET lease_until = max(lease_until, min(lease_until + ?, ? + %s))"
                 " WHERE status = 'SERVED'" % _SECONDS, (by, t.now, t.policy.lease))


def restart(t: Transaction) -> None:
    """Give every running attempt a full lease: while the server was down nobody could renew.

    None may be longer than any worker was told to wait, since the clock may have been set meanwhile.
    """
    extend(t)
    t.db.execute("UPDATE jobs SET lease_until = min(lease_until, ? + max(%s, ?)) WHERE status = 'SERVED'"
                 % _SECONDS, (t.now, t.policy.lease, UNTOLD))
