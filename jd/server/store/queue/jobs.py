"""Jobs and their attempts: claim, renew, end, retry, count.

Where a function takes `reach`, it is the user of the Hub whose attempts may be touched; None: all.
"""

import json
import sqlite3
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from jd import messages
from jd import protocol as p
from jd.server.store.queue import timeleft, transitions
from jd.server.store.queue.timeleft import Waiting
from jd.server.store.transaction import Ended, Transaction


class NoSuchJob(Exception):
    """404: the id is unknown."""

    def __init__(self, job_id: int) -> None:
        super().__init__("there is no job %d" % job_id)


class NotServed(Exception):
    """400: a result for a job that is not being worked on, from a client without attempts."""


class StaleAttempt(Exception):
    """409: the attempt is no longer the job's current one (fencing)."""


class AnothersAttempt(StaleAttempt):
    """409: a worker of another user of the Hub has it."""

    def __init__(self, job_id: int) -> None:
        super().__init__("job %d is run by a worker of another user: only that user's workers and the owner "
                         "of the experiment may report or store anything for it" % job_id)


class _Job(NamedTuple):
    id: int
    status: str
    attempt: int
    failures: int
    interruptions: int
    worker_id: Optional[str]
    lease: Optional[float]
    retry_pause: Optional[float]
    request_timestamp: Optional[float]


def _job(db: sqlite3.Connection, job_id: int) -> _Job:
    row = db.execute(
        "SELECT id, status, attempt, failures, interruptions, worker_id, lease, retry_pause,"
        " request_timestamp FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(job_id)
    return _Job(*row)


def add_history_line(t: Transaction, job_ids: Sequence[int], reason: str) -> None:
    """Add a line to the history of each of these jobs."""
    t.db.executemany("INSERT INTO job_history (job_id, timestamp, reason) VALUES (?, ?, ?)",
                     ((job_id, t.now, reason) for job_id in job_ids))


# ---- the way of a job

NEXT_JOB = ("SELECT %s FROM jobs INDEXED BY jobs_queue WHERE"
            " status = 'PENDING' ORDER BY priority DESC, id LIMIT 1" % timeleft.WAITING)


def next_job(db: sqlite3.Connection) -> Optional[Waiting]:
    """The PENDING job that goes out next.

    Jobs of a batch that is being written (see `batches`) do not go out yet. They have the highest
    ids and no priority, so when one of them is first nothing else waits.
    """
    row = db.execute(NEXT_JOB).fetchone()
    return None if row is None or row[0] >= creating_from(db) else Waiting(*row)


def creating_from(db: sqlite3.Connection) -> int:
    """The first id of the batch that is being written; above all ids if there is none."""
    row = db.execute("SELECT value FROM settings WHERE name = 'creating_from'").fetchone()
    return 2 ** 62 if row is None else int(row[0])


def last_id(db: sqlite3.Connection) -> int:
    """The highest id of a job that is whole; 0 if there is none."""
    last = db.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0]
    return min(int(last), creating_from(db) - 1)


def claim(t: Transaction, worker_id: str, session: Optional[str],
          limit: Optional[timeleft.Limit] = None) -> Optional[messages.Assignment]:
    """Start an attempt of the first PENDING job; None if there is none, or the server is paused.

    With a limit it is the first that fits. Raises timeleft.NothingFits.
    """
    if t.policy.paused:
        return None
    job = next_job(t.db)
    if job is None:
        return None
    if limit is not None:
        job = timeleft.first(t.db, limit, job, creating_from(t.db), t.now)
    job_id, parameters, attempt, lease, min_time = job
    t.db.execute(
        "UPDATE jobs SET status = ?, attempt = ?, worker_id = ?, session = ?, lease_until = ?,"
        " request_timestamp = ?, last_ping_timestamp = ?, completion_timestamp = NULL,"
        " required_time = NULL WHERE id = ?",
        (transitions.after(p.PENDING, transitions.CLAIM), attempt + 1, worker_id, session,
         t.now + (lease or t.policy.lease), t.now, t.now, job_id))
    t.db.execute("INSERT INTO attempts (job_id, number, worker_id, session, started_at, hub_user)"
                 " VALUES (?, ?, ?, ?, ?, (SELECT hub_user FROM workers WHERE worker_id = ?))",
                 (job_id, attempt + 1, worker_id, session, t.now, worker_id))
    return messages.Assignment(job_id, json.loads(parameters), attempt + 1, min_time)


def held_by(db: sqlite3.Connection, worker_id: str, session: str) -> Optional[Tuple[int, int]]:
    """The job and attempt that a session has been given and not ended, if any."""
    row = db.execute("SELECT id, attempt FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED'"
                     " AND worker_id = ? AND session = ? ORDER BY id LIMIT 1",
                     (worker_id, session)).fetchone()
    return None if row is None else (row[0], row[1])


def redeliver(t: Transaction, job_id: int, attempt: int) -> messages.Assignment:
    """The same attempt again, its lease renewed: the answer that gave it was lost."""
    renew(t, job_id, attempt, None)
    parameters, min_time = t.db.execute("SELECT parameters, min_time FROM jobs WHERE id = ?",
                                        (job_id,)).fetchone()
    return messages.Assignment(job_id, json.loads(parameters), attempt, min_time)


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
        _check_reach(t.db, job_id, number, reach)
    else:
        job = _running(t.db, job_id, attempt, reach)
        number, lease = attempt, job.lease
    t.db.execute("UPDATE jobs SET lease_until = ?, last_ping_timestamp = ? WHERE id = ?",
                 (t.now + (lease or t.policy.lease), t.now, job_id))
    if tail is not None or metrics is not None:
        t.db.execute("UPDATE attempts SET output_tail = coalesce(?, output_tail),"
                     " system_metrics = coalesce(?, system_metrics)"
                     " WHERE job_id = ? AND number = ?", (tail, metrics, job_id, number))


def finish(t: Transaction, result: messages.Result, reach: Optional[str] = None) -> None:
    """Record a result.

    An identical repeat is accepted and changes nothing. Raises NoSuchJob; StaleAttempt for an
    attempt that is not the current one or has ended otherwise; NotServed for the same from a
    client that does not name its attempt; AnothersAttempt for one out of reach.
    """
    job = _job(t.db, result.job_id)
    attempt = job.attempt if result.attempt is None else result.attempt
    verdict = result.settled_verdict()
    _check_reach(t.db, job.id, attempt, reach)
    if job.status == p.SERVED and attempt == job.attempt:
        end(t, job.id, verdict, message=result.message, exit_code=result.exit_code,
            runtime=result.runtime, tail=result.output_tail)
        return
    row = t.db.execute("SELECT verdict FROM attempts WHERE job_id = ? AND number = ?",
                       (job.id, attempt)).fetchone()
    if row is not None and row[0] == verdict:
        return
    if result.attempt is None:
        raise NotServed("job %d is %s: a result is taken only while it is SERVED"
                        % (job.id, job.status))
    raise StaleAttempt(_stale(job, attempt))


def _stale(job: _Job, attempt: int) -> str:
    if attempt == job.attempt:
        return "attempt %d of job %d has ended: the job is %s" % (attempt, job.id, job.status)
    return "attempt %d of job %d is not the current one, which is %d" % (
        attempt, job.id, job.attempt)


def release(t: Transaction, given: messages.Release, reach: Optional[str] = None) -> None:
    """Give an attempt back unfinished.

    Nothing happens where the attempt has ended already: there is nothing to give back. Raises
    NoSuchJob, and AnothersAttempt for one out of reach.
    """
    job = _job(t.db, given.job_id)
    _check_reach(t.db, job.id, given.attempt, reach)
    if job.status == p.SERVED and job.attempt == given.attempt:
        end(t, job.id, p.VERDICT_PREEMPTED, message=given.reason)


def check_running(db: sqlite3.Connection, job_id: int, attempt: Optional[int] = None,
                  reach: Optional[str] = None) -> None:
    """Raise NoSuchJob; StaleAttempt where nobody runs the job, or not this attempt of it;
    AnothersAttempt where it is out of reach."""
    _running(db, job_id, attempt, reach)


def _running(db: sqlite3.Connection, job_id: int, attempt: Optional[int], reach: Optional[str]) -> _Job:
    job = _job(db, job_id)
    if attempt is not None and (job.status != p.SERVED or job.attempt != attempt):
        raise StaleAttempt(_stale(job, attempt))
    if job.status != p.SERVED:
        raise StaleAttempt("job %d is %s: nobody runs it" % (job.id, job.status))
    _check_reach(db, job.id, job.attempt, reach)
    return job


def _check_reach(db: sqlite3.Connection, job_id: int, attempt: int, reach: Optional[str]) -> None:
    """Raise AnothersAttempt for an attempt of another user; one that never was is nobody's."""
    if reach is None:
        return
    row = db.execute("SELECT hub_user FROM attempts WHERE job_id = ? AND number = ?",
                     (job_id, attempt)).fetchone()
    if row is not None and row[0] != reach:
        raise AnothersAttempt(job_id)


def end(t: Transaction, job_id: int, verdict: str, *, message: str = "", exit_code: Optional[int] = None,
        runtime: Optional[float] = None, tail: str = "") -> None:
    """End the running attempt of a job, with what follows from that."""
    job = _job(t.db, job_id)
    outcome = transitions.ending(job.status, verdict, job.failures, job.interruptions, t.policy)
    pause = t.policy.retry_pause if job.retry_pause is None else job.retry_pause
    if runtime is None and job.request_timestamp is not None:
        runtime = max(0.0, t.now - job.request_timestamp)
    t.db.execute(
        "UPDATE jobs SET status = ?, failures = ?, interruptions = ?, lease_until = NULL,"
        " retry_at = ?, completion_timestamp = ?, required_time = ? WHERE id = ?",
        (outcome.status, outcome.failures, outcome.interruptions,
         t.now + pause if outcome.comes_back else None,
         None if outcome.status == p.PENDING else t.now, runtime, job_id))
    t.db.execute(
        "UPDATE attempts SET ended_at = ?, verdict = ?, message = ?, exit_code = ?, runtime = ?,"
        " output_tail = CASE WHEN ? <> '' THEN ? ELSE output_tail END"
        " WHERE job_id = ? AND number = ?",
        (t.now, verdict, message, exit_code, runtime, tail, tail, job_id, job.attempt))
    reason = _ending_line(job, verdict, outcome, pause)
    add_history_line(t, [job_id], "%s: %s" % (reason, message) if message else reason)
    if outcome.status == p.PENDING:
        t.happened.pending += 1
    if job.worker_id is not None:
        t.ended(Ended(job_id, job.worker_id, verdict, runtime))


def take_away(t: Transaction, job_id: int, verdict: str, message: str) -> None:
    """End an attempt that its worker goes on with: it is told, and then kills the script."""
    end(t, job_id, verdict, message=message)
    t.happened.taken_away.append(job_id)


def _ending_line(job: _Job, verdict: str, outcome: transitions.Ending, pause: float) -> str:
    line = "attempt %d %s on %s" % (job.attempt, verdict, job.worker_id)
    if outcome.comes_back:
        return "%s, tried again in %g s" % (line, pause)
    if verdict in transitions.FAILURES:
        return "%s, failure %d and the last" % (line, outcome.failures)
    if outcome.status == p.PENDING:
        return "%s, back to the queue" % line
    return line


# ---- what the sweeper does

def expire_leases(t: Transaction, limit: int) -> None:
    """End attempts that were not heard of in time."""
    rows = t.db.execute(
        "SELECT id, coalesce(lease, ?) FROM jobs WHERE status = 'SERVED' AND lease_until <= ?"
        " ORDER BY lease_until LIMIT ?", (t.policy.lease, t.now, limit)).fetchall()
    for job_id, lease in rows:
        take_away(t, job_id, p.VERDICT_LOST, "no heartbeat for %g s" % lease)


def retry_due(t: Transaction, limit: int) -> None:
    """Bring back failed jobs whose pause is over."""
    rows = t.db.execute("SELECT id, status, failures FROM jobs WHERE retry_at <= ? LIMIT ?",
                        (t.now, limit)).fetchall()
    for job_id, status, failures in rows:
        t.db.execute("UPDATE jobs SET status = ?, retry_at = NULL WHERE id = ?",
                     (transitions.after(status, transitions.RETRY), job_id))
        add_history_line(t, [job_id], "tried again after %d failed" % failures)
    t.happened.pending += len(rows)


def extend_leases(t: Transaction) -> None:
    """Give every running attempt a full lease: while the server was down nobody could renew."""
    t.db.execute("UPDATE jobs SET lease_until = ? + coalesce(lease, ?)"
                 " WHERE status = 'SERVED' AND lease_until < ? + coalesce(lease, ?)",
                 (t.now, t.policy.lease, t.now, t.policy.lease))


# ---- questions

def counts(db: sqlite3.Connection) -> Dict[str, int]:
    """Jobs by status: kept by triggers, so this costs the same for any number of jobs."""
    kept = dict(db.execute("SELECT status, n FROM job_counts"))
    return {status: kept[status] for status in p.JOB_STATUSES_ALL}


def work_is_left(db: sqlite3.Connection) -> bool:
    """Whether a job is PENDING or SERVED, waits for its retry, or is being made."""
    counted = counts(db)
    if counted[p.PENDING] or counted[p.SERVED]:
        return True
    return db.execute("SELECT 1 FROM jobs WHERE retry_at IS NOT NULL"
                      " UNION ALL SELECT 1 FROM settings WHERE name = 'creating_from'"
                      " LIMIT 1").fetchone() is not None


def exists(db: sqlite3.Connection, job_id: int) -> bool:
    """Whether there is such a job."""
    return db.execute("SELECT 1 FROM jobs WHERE id = ?", (job_id,)).fetchone() is not None


def served_to(db: sqlite3.Connection, worker_id: str, reach: Optional[str] = None) -> Optional[int]:
    """The job a worker is running, if any. Another user's worker may have had the same name, and
    have been forgotten with its job still running: that is out of reach."""
    row = db.execute("SELECT id FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED' AND worker_id = ?"
                     " AND (? IS NULL OR ? = (SELECT hub_user FROM attempts WHERE job_id = jobs.id"
                     " AND number = jobs.attempt)) ORDER BY id LIMIT 1", (worker_id, reach, reach)).fetchone()
    return None if row is None else int(row[0])
