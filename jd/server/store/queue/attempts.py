"""Which attempt of a job is the current one, and who runs it.

A heartbeat, a result and an upload name their attempt, and one that is no longer the current one is refused.
Where a function takes `reach`, it is the user of the Hub whose attempts may be touched; None: all.
"""

import sqlite3
from typing import List, NamedTuple, Optional

from jd import messages
from jd import protocol as p
from jd.server.store.queue import jobs
from jd.server.store.transaction import Transaction


class StaleAttempt(Exception):
    """409: the attempt is no longer the job's current one (fencing)."""


class Held(NamedTuple):
    """An attempt that a session was given and that has not ended; `heard` is when its worker last spoke of
    it, Unix seconds."""

    job_id: int
    number: int
    heard: float


class AnothersAttempt(StaleAttempt):
    """409: a worker of another user of the Hub has it."""

    def __init__(self, job_id: int) -> None:
        super().__init__("job %d is run by a worker of another user: only that user's workers and the owner "
                         "of the experiment may report or store anything for it" % job_id)


def check_running(db: sqlite3.Connection, job_id: int, attempt: Optional[int] = None,
                  reach: Optional[str] = None) -> jobs.Job:
    """The job, of which this attempt runs, or any if none is named.

    Raises jobs.NoSuchJob; StaleAttempt where nobody runs the job, or not this attempt of it; AnothersAttempt
    where it is out of reach.
    """
    job = jobs.find(db, job_id)
    if attempt is not None and (job.status != p.SERVED or job.attempt != attempt):
        raise stale(job, attempt)
    if job.status != p.SERVED:
        raise StaleAttempt("job %d is %s: nobody runs it" % (job.id, job.status))
    check_reach(db, job.id, job.attempt, reach)
    return job


def check_reach(db: sqlite3.Connection, job_id: int, attempt: int, reach: Optional[str]) -> None:
    """Raise AnothersAttempt for an attempt of another user; one that never was is nobody's."""
    if reach is None:
        return
    row = db.execute("SELECT hub_user FROM attempts WHERE job_id = ? AND number = ?",
                     (job_id, attempt)).fetchone()
    if row is not None and row[0] != reach:
        raise AnothersAttempt(job_id)


def stale(job: jobs.Job, attempt: int) -> StaleAttempt:
    """The error about an attempt that has ended, or that another one has taken the place of."""
    if attempt == job.attempt:
        return StaleAttempt("attempt %d of job %d has ended: the job is %s" % (attempt, job.id, job.status))
    return StaleAttempt("attempt %d of job %d is not the current one, which is %d" % (
        attempt, job.id, job.attempt))


def held_by(db: sqlite3.Connection, worker_id: str, session: str) -> List[Held]:
    """What a session has been given and not ended, in the order in which it was given."""
    rows = db.execute("SELECT id, attempt, last_ping_timestamp, request_timestamp, priority"
                      " FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED'"
                      " AND worker_id = ? AND session = ?", (worker_id, session)).fetchall()
    return [Held(*row[:3]) for row in sorted(rows, key=lambda row: (row[3], -row[4], row[0]))]


def follow(t: Transaction, job_id: int, number: int, before: messages.Result) -> None:
    """The worker of an attempt had another one before it, and was given both together if it says how long ago
    that has ended: this one did not begin earlier."""
    if before.ended_ago is None:
        return
    row = t.db.execute("SELECT ended_at FROM attempts WHERE job_id = ? AND number = ?"
                       " AND ended_at > (SELECT request_timestamp FROM jobs WHERE id = ?)",
                       (before.job_id, before.attempt, job_id)).fetchone()
    if row is not None:
        t.db.execute("UPDATE jobs SET request_timestamp = ? WHERE id = ?", (row[0], job_id))
        t.db.execute("UPDATE attempts SET started_at = ? WHERE job_id = ? AND number = ?",
                     (row[0], job_id, number))


def served_to(db: sqlite3.Connection, worker_id: str, reach: Optional[str] = None) -> List[int]:
    """The jobs that a worker has, in the order in which it was given them: it runs one of them. Another
    user's worker may have had the same name, and have been forgotten with its job still running: that is out
    of reach."""
    return [row[0] for row in db.execute(
        "SELECT id FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED' AND worker_id = ?"
        " AND (? IS NULL OR ? = (SELECT hub_user FROM attempts WHERE job_id = jobs.id"
        " AND number = jobs.attempt)) ORDER BY request_timestamp, priority DESC, id",
        (worker_id, reach, reach))]
