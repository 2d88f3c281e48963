"""What people do to many jobs: delete, restore, retry, abort, put first, tag.

Which job may take which action is in `transitions`; a job that may not is skipped. An operation here
changes the jobs of one slice. Jobs of a batch that is being written are not touched.
"""

import sqlite3
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.files import names, results
from jd.server.store.operators import digests, tags
from jd.server.store.queue import ending, jobs, transitions
from jd.server.store.search import scanning, values
from jd.server.store.search.conditions import Filter, id_list
from jd.server.store.transaction import Transaction

DELETE = "delete"
RESTORE = "restore"
RETRY = "retry"
ABORT = "abort"
PRIORITISE = "prioritise"
NORMAL = "normal"
TAG = "tag"
ACTIONS = (DELETE, RESTORE, RETRY, ABORT, PRIORITISE, NORMAL, TAG)

SLICE = 2000  # jobs in one operation at most; how many it is says the time that they take
SERVED_SLICE = 200  # to end an attempt is several steps
FIRST = p.MAX_PRIORITY  # of what is served first
ON_DASHBOARD = "on the dashboard"
BY_PROGRAM = "by a program"
IDS = 10_000  # that one statement names: their text stays far below what SQLite takes

# In which statuses a job takes an action.
ELIGIBLE: Dict[str, Tuple[str, ...]] = {
    DELETE: transitions.allowing(transitions.DELETE),
    RESTORE: (p.DELETED,),
    RETRY: transitions.allowing(transitions.RETRY),
    ABORT: (*transitions.allowing(transitions.ABORT), *transitions.allowing(p.VERDICT_STOPPED)),
    PRIORITISE: (p.PENDING,),
    NORMAL: (p.PENDING,),
    TAG: p.JOB_STATUSES_ALL,
}


class NotPending(Exception):
    """409: the parameters of a job that was given out already stay as they are."""


class Pass(NamedTuple):
    """The jobs of one go through a filter, and how many of them one operation takes."""

    statuses: Tuple[str, ...]
    slice: int


def passes(action: str) -> List[Pass]:
    """How an action goes through jobs; what waits first, so that it is not given out meanwhile."""
    fast = tuple(status for status in ELIGIBLE[action] if status != p.SERVED)
    slow = tuple(status for status in ELIGIBLE[action] if status == p.SERVED)
    return [one for one in (Pass(fast, SLICE), Pass(slow, SERVED_SLICE)) if one.statuses]


def act(t: Transaction, action: str, ids: Sequence[int], reason: str,
        keep_checkpoint: Optional[bool] = None, priority: int = FIRST, by: str = ON_DASHBOARD,
        add: Sequence[str] = (), remove: Sequence[str] = ()) -> int:
    """Do an action to the jobs of a slice that are eligible; the reason goes into their history.
    Returns how many were changed.

    `keep_checkpoint` is for RETRY: whether jobs go on from their checkpoint, or begin from scratch. None:
    those that are DONE begin from scratch, as what they came to is not wanted again, and others go on.
    `priority` is for PRIORITISE, `add` and `remove` are for TAG, and `by` says who aborts what runs.
    """
    priority = 0 if action == NORMAL else priority
    chosen = _eligible(t.db, action, ids, priority)
    if not chosen:
        return 0
    if action == RETRY:
        return _retry(t, chosen, reason, keep_checkpoint)
    if action == ABORT:
        return _abort(t, chosen, reason, by)
    if action == TAG:
        return _tag(t, chosen, reason, add, remove)
    if action in _OF_PRIORITY:
        return _set_priority(t, chosen, reason, priority)
    return _delete(t, chosen, reason) if action == DELETE else _restore(t, chosen, reason)


def _eligible(db: sqlite3.Connection, action: str, ids: Sequence[int], priority: int) -> List[int]:
    """The jobs in an eligible status that the action changes at all."""
    changes = "priority <> %d" % priority if action in _OF_PRIORITY else "1"
    return [row[0] for row in db.execute(
        # `+`: not by the index on status, by which all jobs in these statuses would be looked at.
        "SELECT id FROM jobs WHERE id IN (%s) AND +id < ? AND +status IN (%s) AND %s ORDER BY id" % (
            id_list(ids), _words(ELIGIBLE[action]), changes), (jobs.creating_from(db),))]


_OF_PRIORITY = (PRIORITISE, NORMAL)


def _words(statuses: Sequence[str]) -> str:
    return ",".join("'%s'" % status for status in statuses)


def _add_history_line(t: Transaction, ids: Sequence[int], line: str, reason: str) -> None:
    jobs.add_history_line(t, ids, "%s: %s" % (line, reason) if reason else line)


def _move(t: Transaction, ids: Sequence[int], event: str, also: str,
          values_of: Tuple[object, ...] = ()) -> int:
    """Send jobs along the table of transitions, from each status that has the event."""
    moved = 0
    for status in transitions.allowing(event):
        then = transitions.after(status, event)
        n = t.db.execute("UPDATE jobs SET status = ?, %s, %s WHERE id IN (%s) AND +status = ?" % (
            also, jobs.CHANGED, id_list(ids)), (then, *values_of, status)).rowcount
        jobs.moved(t, status, then, n)
        moved += n
    return moved


# ---- the actions

def _delete(t: Transaction, ids: Sequence[int], reason: str) -> int:
    _add_history_line(t, ids, "deleted", reason)
    return _move(t, ids, transitions.DELETE, "deleted_from = status, retry_at = NULL")


def _restore(t: Transaction, ids: Sequence[int], reason: str) -> int:
    _add_history_line(t, ids, "restored", reason)
    befores = [row[0] for row in t.db.execute(
        "SELECT DISTINCT deleted_from FROM jobs WHERE id IN (%s)" % id_list(ids))]
    changed = 0
    for before in befores:
        status = transitions.after(p.DELETED, transitions.restore(before))
        moved = t.db.execute(
            "UPDATE jobs SET status = ?, deleted_from = NULL, replaced_by = NULL, %s WHERE id IN (%s)"
            " AND +status = 'DELETED' AND deleted_from = ?" % (jobs.CHANGED, id_list(ids)),
            (status, before)).rowcount
        jobs.moved(t, p.DELETED, status, moved)
        changed += moved
        t.happened.pending += moved if status == p.PENDING else 0
    return changed


def _retry(t: Transaction, ids: Sequence[int], reason: str, keep_checkpoint: Optional[bool]) -> int:
    anew: List[int] = []
    if not keep_checkpoint:
        anew = [row[0] for row in t.db.execute(
            "SELECT id FROM jobs WHERE id IN (%s) AND attempt > scratch%s" % (
                id_list(ids), " AND status = 'DONE'" if keep_checkpoint is None else ""))]
    _begin_from_scratch(t, anew)
    others = set(ids).difference(anew)
    line = "sent back to the queue by hand"
    _add_history_line(t, anew, line + ", from scratch", reason)
    _add_history_line(t, sorted(others), line, reason)
    moved = _move(t, ids, transitions.RETRY,
                  "failures = 0, interruptions = 0, retry_at = NULL, by_rule = NULL, elsewhere_until = NULL,"
                  " completion_timestamp = NULL")
    t.happened.pending += moved
    return moved


def _begin_from_scratch(t: Transaction, ids: Sequence[int]) -> None:
    """What all attempts of these jobs came to until now does not count any more, nor is it gone on from."""
    t.db.execute("UPDATE jobs SET scratch = attempt WHERE id IN (%s)" % id_list(ids))
    results.forget(t, ids)
    names.due(t, ids)


def _abort(t: Transaction, ids: Sequence[int], reason: str, by: str) -> int:
    served = [row[0] for row in t.db.execute(
        "SELECT id FROM jobs WHERE id IN (%s) AND +status = 'SERVED'"
        " ORDER BY priority, id DESC" % id_list(ids))]
    message = "aborted " + by
    for job_id in served:
        ending.take_away(t, job_id, p.VERDICT_STOPPED, "%s: %s" % (message, reason) if reason else message)
    running = set(served)
    waiting = [job_id for job_id in ids if job_id not in running]
    _add_history_line(t, waiting, "aborted before it ran", reason)
    return len(served) + _move(t, waiting, transitions.ABORT, "completion_timestamp = ?", (t.now,))


def _set_priority(t: Transaction, ids: Sequence[int], reason: str, priority: int) -> int:
    words = {FIRST: "put first", 0: "put back in line"}
    _add_history_line(t, ids, words.get(priority, "its priority is %d" % priority), reason)
    changed = t.db.execute("UPDATE jobs SET priority = ?, %s WHERE id IN (%s)" % (
        jobs.CHANGED, id_list(ids)), (priority,)).rowcount
    jobs.moved(t, p.PENDING, p.PENDING, changed)
    return changed


def _tag(t: Transaction, ids: Sequence[int], reason: str, add: Sequence[str],
         remove: Sequence[str]) -> int:
    changed = tags.change(t, ids, add, remove)
    told = ["%s %s" % (how, ", ".join(words)) for how, words in (("with", add), ("without", remove)) if words]
    _add_history_line(t, changed, "tagged " + " and ".join(told), reason)
    return len(changed)


# ---- which jobs

def statuses_of(db: sqlite3.Connection, ids: Sequence[int]) -> Dict[str, int]:
    """How many of these jobs exist, by status."""
    found: Dict[str, int] = {}
    for part in _parts(ids):
        for status, n in db.execute("SELECT status, count(*) FROM jobs WHERE id IN (%s) AND id < ?"
                                    " GROUP BY status" % id_list(part), (jobs.creating_from(db),)):
            found[status] = found.get(status, 0) + n
    return found


def in_statuses(db: sqlite3.Connection, ids: Sequence[int], statuses: Sequence[str]) -> List[int]:
    """Which of these jobs are in one of the statuses, in the order of ids."""
    return sorted(row[0] for part in _parts(ids) for row in db.execute(
        "SELECT id FROM jobs WHERE id IN (%s) AND status IN (%s)" % (id_list(part), _words(statuses))))


def _parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start:start + IDS] for start in range(0, len(ids), IDS))


def candidates(db: sqlite3.Connection, wanted: Filter, part: Pass, after: int,
               up_to: int) -> scanning.Matching:
    """The next slice of a pass: jobs of a filter above `after` and not above `up_to`."""
    statuses = tuple(status for status in wanted.statuses if status in part.statuses)
    found = scanning.matching(db, wanted._replace(statuses=statuses), after, part.slice)
    ids = [job_id for job_id in found.ids if job_id <= up_to]
    ended = len(ids) < len(found.ids) or (found.next is not None and found.next >= up_to)
    return scanning.Matching(ids, None if ended else found.next, found.scanned)


# ---- one job

def edit(t: Transaction, job_id: int, text: str, reason: str) -> None:
    """Give a PENDING job other parameters, a JSON text that was checked.

    Raises NoSuchJob, or NotPending for a job that was given out or is not whole yet.
    """
    row = t.db.execute("SELECT status, parameters FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise jobs.NoSuchJob(job_id)
    if row[0] != p.PENDING or job_id >= jobs.creating_from(t.db):
        raise NotPending("job %d is %s: only the parameters of a PENDING job can be changed" % (
            job_id, row[0] if row[0] != p.PENDING else "being created"))
    values.set_parameters(t, job_id, text)
    digests.change(t, job_id, row[1], text)
    _add_history_line(t, [job_id], "parameters changed", reason)
