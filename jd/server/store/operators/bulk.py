"""What people do to jobs on the dashboard: delete, restore, retry, abort, put first.

Which job may take which action is in `transitions`; a job that may not is skipped. An operation here
changes the jobs of one slice. Jobs of a batch that is being written are not touched.
"""

import sqlite3
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from jd import protocol as p
from jd.server.store.queue import jobs, transitions
from jd.server.store.queue.transitions import Policy
from jd.server.store.search import scanning, values
from jd.server.store.search.conditions import Filter

DELETE = "delete"
RESTORE = "restore"
RETRY = "retry"
ABORT = "abort"
PRIORITISE = "prioritise"
NORMAL = "normal"
ACTIONS = (DELETE, RESTORE, RETRY, ABORT, PRIORITISE, NORMAL)

SLICE = 2000  # jobs in one operation
SERVED_SLICE = 200  # to end an attempt is several steps
FIRST = 1  # the priority of what is served first

# In which statuses a job takes an action.
ELIGIBLE: Dict[str, Tuple[str, ...]] = {
    DELETE: transitions.allowing(transitions.DELETE),
    RESTORE: (p.DELETED,),
    RETRY: transitions.allowing(transitions.RETRY),
    ABORT: (*transitions.allowing(transitions.ABORT), *transitions.allowing(p.VERDICT_STOPPED)),
    PRIORITISE: (p.PENDING,),
    NORMAL: (p.PENDING,),
}


class NotPending(Exception):
    """409: the parameters of a job that was given out already stay as they are."""


class Changed(NamedTuple):
    """Jobs that were changed, and how many are PENDING now that were not before."""

    changed: int
    freed: int


class Pass(NamedTuple):
    """The jobs of one go through a filter, and how many of them one operation takes."""

    statuses: Tuple[str, ...]
    slice: int


def passes(action: str) -> List[Pass]:
    """How an action goes through jobs; what waits first, so that it is not given out meanwhile."""
    fast = tuple(status for status in ELIGIBLE[action] if status != p.SERVED)
    slow = tuple(status for status in ELIGIBLE[action] if status == p.SERVED)
    return [one for one in (Pass(fast, SLICE), Pass(slow, SERVED_SLICE)) if one.statuses]


def act(db: sqlite3.Connection, action: str, ids: Sequence[int], reason: str, now: float,
        policy: Policy) -> Changed:
    """Do an action to the jobs of a slice that are eligible; the reason goes into their history."""
    chosen = _eligible(db, action, ids)
    return _STEPS[action](db, chosen, reason, now, policy) if chosen else Changed(0, 0)


def _eligible(db: sqlite3.Connection, action: str, ids: Sequence[int]) -> List[int]:
    statuses = ELIGIBLE[action]
    return [row[0] for row in db.execute(
        "SELECT id FROM jobs WHERE id IN (%s) AND id < ? AND status IN (%s) AND %s ORDER BY id" % (
            _list(ids), _words(statuses), _CHANGES.get(action, "1")), (jobs.creating_from(db),))]


# Of the jobs in an eligible status, those that an action changes at all.
_CHANGES = {PRIORITISE: "priority <> %d" % FIRST, NORMAL: "priority <> 0"}


def _list(ids: Sequence[int]) -> str:
    # Whole numbers written out: there may be more than SQLite takes as bound values.
    return ",".join("%d" % job_id for job_id in ids)


def _words(statuses: Sequence[str]) -> str:
    return ",".join("'%s'" % status for status in statuses)


def _note(db: sqlite3.Connection, ids: Sequence[int], line: str, reason: str, now: float) -> None:
    text = "%s: %s" % (line, reason) if reason else line
    db.executemany("INSERT INTO job_history (job_id, timestamp, reason) VALUES (?, ?, ?)",
                   ((job_id, now, text) for job_id in ids))


def _move(db: sqlite3.Connection, ids: Sequence[int], event: str, also: str,
          values_of: Tuple[object, ...] = ()) -> int:
    """Send jobs along the table of transitions, from each status that has the event."""
    moved = 0
    for status in transitions.allowing(event):
        moved += db.execute(
            "UPDATE jobs SET status = ?, %s WHERE id IN (%s) AND status = ?" % (also, _list(ids)),
            (transitions.after(status, event), *values_of, status)).rowcount
    return moved


# ---- the actions

def _delete(db: sqlite3.Connection, ids: Sequence[int], reason: str, now: float,
            _policy: Policy) -> Changed:
    _note(db, ids, "deleted", reason, now)
    return Changed(_move(db, ids, transitions.DELETE, "deleted_from = status, retry_at = NULL"), 0)


def _restore(db: sqlite3.Connection, ids: Sequence[int], reason: str, now: float,
             _policy: Policy) -> Changed:
    _note(db, ids, "restored", reason, now)
    befores = [row[0] for row in db.execute(
        "SELECT DISTINCT deleted_from FROM jobs WHERE id IN (%s)" % _list(ids))]
    changed = freed = 0
    for before in befores:
        status = transitions.after(p.DELETED, transitions.restore(before))
        moved = db.execute(
            "UPDATE jobs SET status = ?, deleted_from = NULL WHERE id IN (%s)"
            " AND status = 'DELETED' AND deleted_from IS ?" % _list(ids), (status, before)).rowcount
        changed += moved
        freed += moved if status == p.PENDING else 0
    return Changed(changed, freed)


def _retry(db: sqlite3.Connection, ids: Sequence[int], reason: str, now: float,
           _policy: Policy) -> Changed:
    _note(db, ids, "sent back to the queue by hand", reason, now)
    moved = _move(db, ids, transitions.RETRY, "failures = 0, interruptions = 0, retry_at = NULL,"
                                              " completion_timestamp = NULL")
    return Changed(moved, moved)


def _abort(db: sqlite3.Connection, ids: Sequence[int], reason: str, now: float,
           policy: Policy) -> Changed:
    served = [row[0] for row in db.execute(
        "SELECT id FROM jobs WHERE id IN (%s) AND status = 'SERVED'" % _list(ids))]
    message = "aborted on the dashboard"
    for job_id in served:
        # Its worker learns of it by a heartbeat that is refused, and kills the script.
        jobs.end(db, job_id, p.VERDICT_STOPPED, now, policy,
                 message="%s: %s" % (message, reason) if reason else message)
    running = set(served)
    waiting = [job_id for job_id in ids if job_id not in running]
    _note(db, waiting, "aborted before it ran", reason, now)
    return Changed(len(served) + _move(db, waiting, transitions.ABORT, "completion_timestamp = ?",
                                       (now,)), 0)


def _prioritise(db: sqlite3.Connection, ids: Sequence[int], reason: str, now: float,
                _policy: Policy) -> Changed:
    _note(db, ids, "put first", reason, now)
    return Changed(_set_priority(db, ids, FIRST), 0)


def _normal(db: sqlite3.Connection, ids: Sequence[int], reason: str, now: float,
            _policy: Policy) -> Changed:
    _note(db, ids, "put back in line", reason, now)
    return Changed(_set_priority(db, ids, 0), 0)


def _set_priority(db: sqlite3.Connection, ids: Sequence[int], priority: int) -> int:
    return db.execute("UPDATE jobs SET priority = ? WHERE id IN (%s)" % _list(ids),
                      (priority,)).rowcount


_Step = Callable[[sqlite3.Connection, Sequence[int], str, float, Policy], Changed]
_STEPS: Dict[str, _Step] = {
    DELETE: _delete, RESTORE: _restore, RETRY: _retry, ABORT: _abort, PRIORITISE: _prioritise,
    NORMAL: _normal}


# ---- which jobs

def statuses_of(db: sqlite3.Connection, ids: Sequence[int]) -> Dict[str, int]:
    """How many of these jobs exist, by status."""
    return dict(db.execute("SELECT status, count(*) FROM jobs WHERE id IN (%s) GROUP BY status"
                           % _list(ids)).fetchall())


def in_statuses(db: sqlite3.Connection, ids: Sequence[int], statuses: Sequence[str]) -> List[int]:
    """Which of these jobs are in one of the statuses, in the order of ids."""
    return [row[0] for row in db.execute(
        "SELECT id FROM jobs WHERE id IN (%s) AND status IN (%s) ORDER BY id" % (
            _list(ids), _words(statuses)))]


def candidates(db: sqlite3.Connection, wanted: Filter, part: Pass, after: int,
               up_to: int) -> scanning.Matching:
    """The next slice of a pass: jobs of a filter above `after` and not above `up_to`."""
    statuses = tuple(status for status in wanted.statuses if status in part.statuses)
    found = scanning.matching(db, wanted._replace(statuses=statuses), after, part.slice)
    ids = [job_id for job_id in found.ids if job_id <= up_to]
    ended = len(ids) < len(found.ids) or (found.next is not None and found.next >= up_to)
    return scanning.Matching(ids, None if ended else found.next, found.scanned)


def last_id(db: sqlite3.Connection) -> int:
    """The highest id of a job that is whole."""
    last = db.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0]
    return min(int(last), jobs.creating_from(db) - 1)


# ---- one job

def edit(db: sqlite3.Connection, job_id: int, text: str, reason: str, now: float) -> None:
    """Give a PENDING job other parameters, a JSON text that was checked.

    Raises NoSuchJob, or NotPending for a job that was given out or is not whole yet.
    """
    row = db.execute("SELECT status FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise jobs.NoSuchJob(job_id)
    if row[0] != p.PENDING or job_id >= jobs.creating_from(db):
        raise NotPending("job %d is %s: only the parameters of a PENDING job can be changed" % (
            job_id, row[0] if row[0] != p.PENDING else "being created"))
    values.set_parameters(db, job_id, text)
    _note(db, [job_id], "parameters changed", reason, now)
