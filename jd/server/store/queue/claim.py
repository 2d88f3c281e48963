"""Claims: which job a worker gets next, and the attempt that begins with it."""

import json
import sqlite3
from typing import Optional

from jd import messages
from jd import protocol as p
from jd.killpoint import killpoint
from jd.server.store.queue import elsewhere, lease, needs, overrun, timeleft, transitions
from jd.server.store.queue.jobs import add_history_line, creating_from
from jd.server.store.queue.timeleft import Waiting
from jd.server.store.transaction import Transaction

# In `settings`: what the numbers of attempts begin at, of data that was restored from a backup. The server
# that went on meanwhile may have given out some, and they are nobody's here (`jd/server/keeping/restore.py`).
ATTEMPTS_FROM = "attempts_from"

IN_ORDER = ("SELECT %s FROM jobs INDEXED BY jobs_queue WHERE"
            " status = 'PENDING' AND needs_id IS ? AND priority < ?"
            " ORDER BY priority DESC, id" % timeleft.WAITING)


def next_job(db: sqlite3.Connection, kinds: needs.Kinds = (None,),
             others: Optional[elsewhere.Elsewhere] = None) -> Optional[Waiting]:
    """The PENDING job of these kinds that goes out next; not one that is for others."""
    before = creating_from(db)
    heads = [job for job in (_head(db, kind, before, others) for kind in kinds) if job is not None]
    return min(heads, key=lambda job: (-job.priority, job.id), default=None)


def _head(db: sqlite3.Connection, kind: Optional[int], before: int,
          others: Optional[elsewhere.Elsewhere]) -> Optional[Waiting]:
    """The PENDING job of a kind that goes out next.

    Jobs of a batch that is being written do not go out yet. They have the highest ids and one priority, so
    when one of them is first nothing else waits that has this priority or a higher one.
    """
    jobs = map(Waiting._make, db.execute(IN_ORDER, (kind, p.MAX_PRIORITY + 1)))
    while True:
        job = next(jobs, None)
        if job is None:
            return None
        if job.id >= before:
            jobs = map(Waiting._make, db.execute(IN_ORDER, (kind, job.priority)))
        elif others is None or not others.passes_over(job):
            return job


def claim(t: Transaction, worker_id: str, session: Optional[str],
          limit: Optional[timeleft.Limit] = None) -> Optional[messages.Assignment]:
    """Start an attempt of the first PENDING job whose needs the worker has, and which is not for others
    since it failed here; None if there is none, or the server is paused.

    With a limit it is the first that fits. Raises timeleft.NothingFits.
    """
    if t.policy.paused:
        return None
    job = _chosen(t, worker_id, limit)
    while job is not None and not _is_readable(t.db, job.id):
        _set_aside(t, job.id)
        job = _chosen(t, worker_id, limit)
    if job is None:
        return None
    job_id, own_lease, timeout = job.id, job.lease, job.timeout
    number = _next_number(t.db, job.attempt)
    seconds = lease.seconds(own_lease, session, t.policy)
    t.db.execute(
        "UPDATE jobs SET status = ?, attempt = ?, worker_id = ?, session = ?, lease_until = ?,"
        " ends_by = ?, request_timestamp = ?, last_ping_timestamp = ?, completion_timestamp = NULL,"
        " required_time = NULL, code = NULL WHERE id = ?",
        (transitions.after(p.PENDING, transitions.CLAIM), number, worker_id, session,
         t.now + seconds, overrun.ends_by(t, timeout, session), t.now, t.now, job_id))
    t.db.execute("INSERT INTO attempts (job_id, number, worker_id, session, started_at, hub_user)"
                 " VALUES (?, ?, ?, ?, ?, (SELECT hub_user FROM workers WHERE worker_id = ?))",
                 (job_id, number, worker_id, session, t.now, worker_id))
    killpoint("store.claim.before-commit")
    asked = t.policy.lease if own_lease is None else own_lease
    if session is None and seconds > asked:
        t.happened.untold = True
        add_history_line(t, [job_id], "its lease is %g s, not %g s: its worker cannot be told how often it "
                                      "has to be heard of" % (seconds, asked))
    return _assignment(t.db, job_id, number)


def _next_number(db: sqlite3.Connection, latest: int) -> int:
    """The number of the attempt after `latest`."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (ATTEMPTS_FROM,)).fetchone()
    return latest + 1 if row is None else max(latest + 1, int(row[0]))


def _chosen(t: Transaction, worker_id: str, limit: Optional[timeleft.Limit]) -> Optional[Waiting]:
    kinds = needs.kinds(t.db, worker_id)
    others = elsewhere.Elsewhere(t.db, worker_id, t.now)
    try:
        job = next_job(t.db, kinds, others)
        if job is not None and limit is not None:
            job = timeleft.first(t.db, limit, job, kinds, creating_from(t.db), t.now, others.passes_over)
        return job
    except elsewhere.GivenUp:
        return None


def _is_readable(db: sqlite3.Connection, job_id: int) -> bool:
    """Whether a worker can be told of a job: SQLite does not notice that a byte of a text is another one."""
    try:
        return isinstance(json.loads(db.execute("SELECT parameters FROM jobs WHERE id = ?",
                                                (job_id,)).fetchone()[0]), dict)
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        return False
    except (ValueError, TypeError, RecursionError):
        return False


def _set_aside(t: Transaction, job_id: int) -> None:
    """Take a job out of the queue that nobody can run, so that it does not keep the others from workers."""
    t.db.execute("UPDATE jobs SET status = ?, completion_timestamp = ? WHERE id = ?",
                 (transitions.after(p.PENDING, transitions.ABORT), t.now, job_id))
    said = "its parameters cannot be read: the database is damaged there"
    add_history_line(t, [job_id], said)
    t.happened.said.append("job %d is aborted, %s; restore a backup, or create the job again" % (
        job_id, said))


def redeliver(t: Transaction, job_id: int, attempt: int) -> messages.Assignment:
    """The same attempt again, its lease renewed: the answer that gave it was lost."""
    lease.renew(t, job_id, attempt, None)
    return _assignment(t.db, job_id, attempt)


def _assignment(db: sqlite3.Connection, job_id: int, attempt: int) -> messages.Assignment:
    """An attempt of a job, as its worker is told of it."""
    parameters, min_time, timeout, scratch, flags = db.execute(
        "SELECT parameters, min_time, timeout, scratch, flags FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return messages.Assignment(job_id, json.loads(parameters), attempt, min_time, timeout,
                               scratch + 1 if scratch else None, flags)
