"""A job that takes its workers down with it is set aside after MOST of them, which are named.

A worker may die of what its job does: the machine has no memory left, a driver hangs. One loss does not
tell that from a scheduler that kills without a word, or from a network that is away. So a loss counts
against a job if

* its worker fell silent and was not heard of again, or was found dead, and no other with it;
* that worker held no other job (after a first attempt a job is given out alone: `queue.claim`);
* it did not go with many others: fewer workers were lost or are silent at that time than go on;
* the attempt had saved no checkpoint: a job that goes on from where it was gets somewhere.

Who has a job tried again by hand has them counted anew, as `interruptions` are.
"""

import sqlite3
from typing import List

from jd import protocol as p
from jd.server.store.queue import jobs
from jd.server.store.transaction import Transaction

MOST = 3  # different workers
FOUND_DEAD = "found dead"  # why a worker has left of which a command on its machine tells


def counts(t: Transaction, job: jobs.Job, lease: float) -> bool:
    """Whether the loss of a job that runs, whose lease of so many seconds is over, counts against it."""
    if t.db.execute("SELECT 1 FROM files WHERE job_id = ? AND kind = 'checkpoint' AND attempt = ? LIMIT 1",
                    (job.id, job.attempt)).fetchone() is not None:
        return False
    # At its end a lease was not renewed for all of it; who is well was heard of in half of it.
    since = t.now - lease / 2
    silent, well = t.db.execute(
        "SELECT count(CASE WHEN heard <= ? THEN 1 END), count(CASE WHEN heard > ? THEN 1 END)"
        " FROM (SELECT max(last_ping_timestamp) AS heard FROM jobs INDEXED BY jobs_held"
        " WHERE status = 'SERVED' AND worker_id <> ? GROUP BY worker_id)",
        (since, since, job.worker_id)).fetchone()
    idle = t.db.execute(
        "SELECT count(*) FROM workers WHERE left_at IS NULL AND worker_id <> ? AND current_job_id IS NULL"
        " AND last_seen > ?", (job.worker_id, t.now - max(lease / 2, p.IDLE_INTERVAL + 20.0))).fetchone()[0]
    lost = t.db.execute("SELECT coalesce(sum(n), 0) FROM completions WHERE unit = 'minute' AND start >= ?"
                        " AND host = '' AND verdict = ?", (since - since % 60, p.VERDICT_LOST)).fetchone()[0]
    # What was lost with this job before, but for the first of them, has taken no time (see `queue.lease`).
    own = t.db.execute(
        "SELECT coalesce(sum(1 + (SELECT count(*) FROM attempts AS o INDEXED BY attempts_by_time"
        " WHERE o.started_at = a.ended_at AND o.worker_id = a.worker_id AND o.verdict = a.verdict)), 0)"
        " FROM attempts AS a WHERE a.job_id = ? AND a.verdict = ? AND a.ended_at >= ?",
        (job.id, p.VERDICT_LOST, since - since % 60)).fetchone()[0]
    others = silent + max(0, lost - own)
    return bool(others == 0 or others < well + idle)


def workers(db: sqlite3.Connection, job: jobs.Job) -> List[str]:
    """The workers that went down with this job before, in order, since somebody had it tried again by hand.

    One that was heard of again was only out of reach. That it was found dead is not heard of itself.
    """
    rows = db.execute(
        "SELECT a.worker_id, a.took_down = 1 AND NOT EXISTS (SELECT 1 FROM workers AS w"
        " WHERE w.worker_id = a.worker_id AND w.session IS a.session AND w.last_seen > a.ended_at"
        " AND w.left_reason IS NOT '%s')"
        " FROM attempts AS a WHERE a.job_id = ? AND a.verdict IN (?, ?) ORDER BY a.number DESC LIMIT ?"
        % FOUND_DEAD,
        (job.id, p.VERDICT_LOST, p.VERDICT_PREEMPTED, job.interruptions)).fetchall()
    found: List[str] = []
    for worker_id, counted in reversed(rows):
        if counted and worker_id not in found:
            found.append(worker_id)
    return found
