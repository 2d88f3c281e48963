"""Which attempt of a job is the current one, and who runs it.

A heartbeat, a result and an upload name their attempt, and one that is no longer the current one is refused.
Where a function takes `reach`, it is the user of the Hub whose attempts may be touched; None: all.
"""

import sqlite3
from typing import Optional, Tuple

from jd import protocol as p
from jd.server.store.queue import jobs


class StaleAttempt(Exception):
    """409: the attempt is no longer the job's current one (fencing)."""


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


def held_by(db: sqlite3.Connection, worker_id: str, session: str) -> Optional[Tuple[int, int]]:
    """The job and attempt that a session has been given and not ended, if any."""
    row = db.execute("SELECT id, attempt FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED'"
                     " AND worker_id = ? AND session = ? ORDER BY id LIMIT 1",
                     (worker_id, session)).fetchone()
    return None if row is None else (row[0], row[1])


def served_to(db: sqlite3.Connection, worker_id: str, reach: Optional[str] = None) -> Optional[int]:
    """The job a worker is running, if any. Another user's worker may have had the same name, and
    have been forgotten with its job still running: that is out of reach."""
    row = db.execute("SELECT id FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED' AND worker_id = ?"
                     " AND (? IS NULL OR ? = (SELECT hub_user FROM attempts WHERE job_id = jobs.id"
                     " AND number = jobs.attempt)) ORDER BY id LIMIT 1", (worker_id, reach, reach)).fetchone()
    return None if row is None else int(row[0])
