"""Jobs, as all of the queue knows them: one by its id, how many there are, the lines of their histories."""

import sqlite3
from typing import Dict, NamedTuple, Optional, Sequence

from jd import protocol as p
from jd.server.store.transaction import Happened, Transaction

NO_BATCH = 2 ** 62  # above all ids

_LINE = "INSERT INTO job_history (job_id, timestamp, reason) VALUES (?, ?, ?)"


# What an UPDATE of jobs sets whose caller counts itself what it moves (see `moved`), as each does that sets
# status or code: no trigger does it then. It gives these rows a number above all that was committed, and
# above that which they have.
CHANGED = "changed = max(coalesce(changed, 0), (SELECT n FROM changes WHERE topic = 'jobs')) + 1"
_LAST_CHANGE = "SELECT changed FROM jobs WHERE changed IS NOT NULL ORDER BY changed DESC LIMIT 1"


class NoSuchJob(Exception):
    """404: the id is unknown."""

    def __init__(self, job_id: int) -> None:
        super().__init__("there is no job %d" % job_id)


class Job(NamedTuple):
    """What the queue has to know of a job. `attempt` is the latest; `lease` and `retry_pause` are seconds,
    None where the policy tells them, and so is `max_attempts`; `host` is that of the worker."""

    id: int
    status: str
    attempt: int
    failures: int
    interruptions: int
    worker_id: Optional[str]
    lease: Optional[float]
    retry_pause: Optional[float]
    max_attempts: Optional[int]
    request_timestamp: Optional[float]
    host: Optional[str]


def find(db: sqlite3.Connection, job_id: int) -> Job:
    """A job by its id. Raises NoSuchJob."""
    row = db.execute(
        "SELECT id, status, attempt, failures, interruptions, worker_id, lease, retry_pause,"
        " max_attempts, request_timestamp,"
        " (SELECT host FROM workers WHERE workers.worker_id = jobs.worker_id)"
        " FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(job_id)
    return Job(*row)


def add_history_line(t: Transaction, job_ids: Sequence[int], reason: str) -> None:
    """Add a line to the history of each of these jobs."""
    if len(job_ids) == 1:
        t.db.execute(_LINE, (job_ids[0], t.now, reason))
    else:
        t.db.executemany(_LINE, ((job_id, t.now, reason) for job_id in job_ids))


def moved(t: Transaction, before: str, after: str, count: int = 1) -> None:
    """So many jobs have gone from a status to another one, or stay there but look otherwise, in an UPDATE
    that sets CHANGED: they are counted in front of the commit."""
    t.happened.jobs_changed = True
    counted = t.happened.moved
    counted[before] = counted.get(before, 0) - count
    counted[after] = counted.get(after, 0) + count


def settle(db: sqlite3.Connection, happened: Sequence[Happened]) -> None:
    """Count what operations have moved."""
    if not any(one.jobs_changed for one in happened):
        return
    total: Dict[str, int] = {}
    for one in happened:
        for status, n in one.moved.items():
            total[status] = total.get(status, 0) + n
    db.executemany("UPDATE job_counts SET n = n + ? WHERE status = ?",
                   [(n, status) for status, n in total.items() if n])
    db.execute("UPDATE changes SET n = max(n + 1, coalesce((%s), 0)) WHERE topic = 'jobs'" % _LAST_CHANGE)
    over = [one for one in happened if one.over]
    if over and not work_is_left(db):
        over[0].nothing_left = True


def creating_from(db: sqlite3.Connection) -> int:
    """The first id of the batch that is being written; above all ids if there is none."""
    row = db.execute("SELECT value FROM settings WHERE name = 'creating_from'").fetchone()
    return NO_BATCH if row is None else int(row[0])


def last_id(db: sqlite3.Connection) -> int:
    """The highest id of a job that is whole; 0 if there is none."""
    last = db.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0]
    return min(int(last), creating_from(db) - 1)


def counts(db: sqlite3.Connection) -> Dict[str, int]:
    """Jobs by status, as of the last commit: they are kept, so this costs the same for any number of jobs.
    Those of a batch count when it is whole."""
    kept = dict(db.execute("SELECT status, n FROM job_counts"))
    return {status: kept[status] for status in p.JOB_STATUSES_ALL}


# By indexes of which the first entry tells.
_WORK_IS_LEFT = ("SELECT 1 FROM jobs INDEXED BY jobs_by_status WHERE status = 'PENDING'"
                 " UNION ALL SELECT 1 FROM jobs INDEXED BY jobs_by_status WHERE status = 'SERVED'"
                 " UNION ALL SELECT 1 FROM jobs INDEXED BY jobs_retry WHERE retry_at IS NOT NULL"
                 " UNION ALL SELECT 1 FROM settings WHERE name IN ('creating_from', 'loading')"
                 " LIMIT 1")


def waits(db: sqlite3.Connection) -> bool:
    """Whether a job is PENDING, of a batch that is whole."""
    return db.execute("SELECT 1 FROM jobs INDEXED BY jobs_by_status WHERE status = 'PENDING' AND id < ?"
                      " LIMIT 1", (creating_from(db),)).fetchone() is not None


def some_ended(db: sqlite3.Connection) -> bool:
    """Whether a job is DONE or ABORTED."""
    return any(db.execute("SELECT 1 FROM jobs INDEXED BY jobs_by_status WHERE status = ? LIMIT 1",
                          (status,)).fetchone() is not None for status in (p.DONE, p.ABORTED))


def work_is_left(db: sqlite3.Connection) -> bool:
    """Whether a job is PENDING or SERVED, waits for its retry, or is being made; and whether a jobs file is
    being loaded."""
    return db.execute(_WORK_IS_LEFT).fetchone() is not None


def are_being_loaded(db: sqlite3.Connection) -> bool:
    """Whether a jobs file is being loaded, of which no job can be seen yet."""
    return db.execute("SELECT 1 FROM settings WHERE name = 'loading'").fetchone() is not None


def exists(db: sqlite3.Connection, job_id: int) -> bool:
    """Whether there is such a job, of a batch that is whole."""
    return db.execute("SELECT 1 FROM jobs WHERE id = ? AND id < ?",
                      (job_id, creating_from(db))).fetchone() is not None
