"""Claims: which job a worker gets next, and the attempt that begins with it.

A worker whose jobs take a moment each may get several in one claim, which it runs one after the other: first
attempts only. So a job with which a worker has died is given out alone from then on, and it is known of which
job the next one dies.
"""

import heapq
import json
import sqlite3
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from jd import messages
from jd import protocol as p
from jd.killpoint import killpoint
from jd.server.store.queue import elsewhere, lease, needs, overrun, timeleft, transitions
from jd.server.store.queue.jobs import CHANGED, add_history_line, creating_from, moved
from jd.server.store.queue.timeleft import Waiting
from jd.server.store.transaction import Transaction

IN_ORDER = ("SELECT %s FROM jobs INDEXED BY jobs_queue WHERE"
            " status = 'PENDING' AND needs_id IS ? AND priority < ?"
            " ORDER BY priority DESC, id" % timeleft.WAITING)


# Of several jobs in one claim: if each worker has its part of those that are PENDING, those beside the first
# are this fraction of it at most, lest few workers have all that are left; and how long a worker may at least
# keep silent, as it does while it runs them.
FRACTION = 4
LEAST_LEASE = 15.0  # seconds


def next_job(db: sqlite3.Connection, kinds: needs.Kinds = (None,),
             others: Optional[elsewhere.Elsewhere] = None) -> Optional[Waiting]:
    """The PENDING job of these kinds that goes out next; not one that is for others."""
    return next(_in_order(db, kinds, others), None)


def _in_order(db: sqlite3.Connection, kinds: needs.Kinds,
              others: Optional[elsewhere.Elsewhere]) -> Iterator[Waiting]:
    """The PENDING jobs of these kinds in the order in which they go out, without those for others."""
    several = [_of_kind(db, kind, others) for kind in kinds]
    return several[0] if len(several) == 1 else heapq.merge(
        *several, key=lambda job: (-job.priority, job.id))


def _of_kind(db: sqlite3.Connection, kind: Optional[int],
             others: Optional[elsewhere.Elsewhere]) -> Iterator[Waiting]:
    """Those of one kind.

    Jobs of a batch that is being written do not go out yet. They have the highest ids and one priority, so
    behind the first of them nothing else waits that has this priority.
    """
    jobs = map(Waiting._make, db.execute(IN_ORDER, (kind, p.MAX_PRIORITY + 1)))
    while True:
        job = next(jobs, None)
        if job is None:
            return
        if not job.whole:
            jobs = map(Waiting._make, db.execute(IN_ORDER, (kind, job.priority)))
        elif others is None or not others.passes_over(job):
            yield job


class Claimed(NamedTuple):
    """What a worker is given, and the lease of its attempt in seconds."""

    assignment: messages.Assignment
    lease: float


def claim(t: Transaction, worker_id: str, session: Optional[str],
          limit: Optional[timeleft.Limit] = None) -> Optional[Claimed]:
    """Start an attempt of the first PENDING job whose needs the worker has, and which is not for others
    since it failed here; None if there is none, or the server is paused.

    With a limit it is the first that fits. Raises timeleft.NothingFits.
    """
    return next(iter(several(t, worker_id, session, limit)), None)


def several(t: Transaction, worker_id: str, session: Optional[str], limit: Optional[timeleft.Limit] = None,
            further: int = 0) -> List[Claimed]:
    """`claim`, and up to `further` jobs more for a session that has no limit, as many as may be given at
    once; in the order in which they are to run."""
    if t.policy.paused:
        return []
    if session is None or limit is not None:
        further = 0
    while True:
        chosen = _chosen(t, worker_id, session, limit, further)
        given: List[Claimed] = []
        for job in chosen:
            parameters = _readable(job.parameters)
            if parameters is None:
                _set_aside(t, job.id)
            else:
                given.append(_begin(t, job, parameters, worker_id, session))
        if given or not chosen:
            return given


def _begin(t: Transaction, job: Waiting, parameters: Dict[str, Any], worker_id: str,
           session: Optional[str]) -> Claimed:
    job_id, number = job.id, job.number
    seconds = lease.seconds(job.lease, session, t.policy)
    t.db.execute(
        "UPDATE jobs SET status = ?, attempt = ?, worker_id = ?, session = ?, lease_until = ?,"
        " ends_by = ?, request_timestamp = ?, last_ping_timestamp = ?, completion_timestamp = NULL,"
        " required_time = NULL, code = NULL, " + CHANGED + " WHERE id = ?",
        (transitions.after(p.PENDING, transitions.CLAIM), number, worker_id, session,
         t.now + seconds, overrun.ends_by(t, job.timeout, session), t.now, t.now, job_id))
    moved(t, p.PENDING, p.SERVED)
    t.db.execute("INSERT INTO attempts (job_id, number, worker_id, session, started_at,"
                 " hub_user, job_cpus, job_gpus)"
                 " SELECT ?, ?, ?, ?, ?, w.hub_user, w.job_cpus, w.job_gpus"
                 " FROM (SELECT 1) LEFT JOIN workers w ON w.worker_id = ?",
                 (job_id, number, worker_id, session, t.now, worker_id))
    killpoint("store.claim.before-commit")
    asked = t.policy.lease if job.lease is None else job.lease
    if session is None and seconds > asked:
        t.happened.untold = True
        add_history_line(t, [job_id], "its lease is %g s, not %g s: its worker cannot be told how often it "
                                      "has to be heard of" % (seconds, asked))
    return Claimed(_assignment(job_id, number, parameters, job.min_time, job.timeout, job.scratch, job.flags),
                   seconds)


def _chosen(t: Transaction, worker_id: str, session: Optional[str], limit: Optional[timeleft.Limit],
            further: int) -> List[Waiting]:
    """The jobs that a worker gets, none of which has begun."""
    kinds = needs.kinds(t.db, worker_id)
    others = elsewhere.Elsewhere(t.db, worker_id, t.now)
    chosen: List[Waiting] = []
    try:
        for job in _in_order(t.db, kinds, others):
            if limit is not None:
                job = timeleft.first(t.db, limit, job, kinds, creating_from(t.db), t.now, others.passes_over)
            alone = further == 0 or not _may_be_one_of_several(t, job, session)
            if chosen and alone:
                break
            if not chosen and not alone:
                further = min(further, part(t.db) // FRACTION)
            chosen.append(job)
            if alone or len(chosen) > further:
                break
    except elsewhere.GivenUp:
        pass
    return chosen


def _may_be_one_of_several(t: Transaction, job: Waiting, session: Optional[str]) -> bool:
    return job.untried and lease.seconds(job.lease, session, t.policy) >= LEAST_LEASE


def part(db: sqlite3.Connection) -> int:
    """How many jobs each worker would have of those that were PENDING with the last commit."""
    pending, workers = db.execute(
        "SELECT n, (SELECT count(*) FROM workers WHERE left_at IS NULL) FROM job_counts WHERE status = ?",
        (p.PENDING,)).fetchone()
    return int(pending // max(1, workers))


def _readable(parameters: bytes) -> Optional[Dict[str, Any]]:
    """The parameters of a job, None where a worker cannot be told of them."""
    try:
        found = json.loads(str(parameters, "utf-8"))
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _set_aside(t: Transaction, job_id: int) -> None:
    """Take a job out of the queue that nobody can run, so that it does not keep the others from workers."""
    status = transitions.after(p.PENDING, transitions.ABORT)
    t.db.execute("UPDATE jobs SET status = ?, completion_timestamp = ?, %s WHERE id = ?" % CHANGED,
                 (status, t.now, job_id))
    moved(t, p.PENDING, status)
    said = "its parameters cannot be read: the database is damaged there"
    add_history_line(t, [job_id], said)
    t.happened.said.append("job %d is aborted, %s; restore a backup, or create the job again" % (
        job_id, said))


def redeliver(t: Transaction, job_id: int, attempt: int) -> Claimed:
    """The same attempt again, its lease renewed: the answer that gave it was lost."""
    lease.renew(t, job_id, attempt, None)
    parameters, min_time, timeout, scratch, flags, own_lease, session = t.db.execute(
        "SELECT parameters, min_time, timeout, scratch, flags, lease, session FROM jobs WHERE id = ?",
        (job_id,)).fetchone()
    return Claimed(_assignment(job_id, attempt, json.loads(parameters), min_time, timeout, scratch, flags),
                   lease.seconds(own_lease, session, t.policy))


def _assignment(job_id: int, number: int, parameters: Dict[str, Any], min_time: Optional[float],
                timeout: Optional[float], scratch: int, flags: Optional[str]) -> messages.Assignment:
    """An attempt of a job, as its worker is told of it."""
    return messages.Assignment(job_id, parameters, number, min_time, timeout,
                               scratch + 1 if scratch else None, flags)
