"""Jobs that wait for others (`after`): handed out when all of these are DONE, skipped when one will not be.

A job that waits needs what no worker has: a list of its own among those of `queue.needs`, so that claims pass
it over at no cost. When the others are DONE it needs what its batch says, and when one of them has ended
ABORTED, or is DELETED, it becomes ABORTED with a line in its history. Sent back to the queue, it waits again.
"""

import hashlib
import json
import sqlite3
from typing import List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.queue import jobs, needs, transitions
from jd.server.store.search.conditions import id_list
from jd.server.store.transaction import Transaction

MAX_DEPENDENCIES = 10_000  # different ones in an experiment
MAX_SHOWN = 100  # characters of the ids that a job waits for

_WAITING = "SELECT id FROM jobs INDEXED BY jobs_queue WHERE status = 'PENDING' AND needs_id = %s"
_ONE = "SELECT id FROM jobs INDEXED BY jobs_by_status WHERE status = ? AND id BETWEEN ? AND ?%s LIMIT 1"

Run = Tuple[int, int]  # the first and last of ids without a gap


class _Failed(NamedTuple):
    """A job that will not be DONE by itself."""

    id: int
    status: str


def number(t: Transaction, tags: Sequence[str], after: Sequence[int]) -> Optional[int]:
    """The number of the list that jobs need which wait for others: until these are DONE nobody has it.

    Raises ProtocolError for a job that does not exist, and where there are too many different lists.
    """
    then = needs.number(t, tags)
    runs = _runs(after)
    text = json.dumps([*sorted(tags), "after " + _shown(runs)])
    row = t.db.execute("SELECT id FROM needs WHERE tags = ?", (text,)).fetchone()
    if row is not None:
        return int(row[0])
    _check(t.db, runs)
    # Its size is that of what the jobs need and one more, which no worker can have.
    added = t.db.execute("INSERT INTO needs (tags, size) VALUES (?, ?)", (text, len(tags) + 1)).lastrowid
    t.db.executemany("INSERT INTO needed_tags (tag, needs_id) VALUES (?, ?)", ((tag, added) for tag in tags))
    t.db.execute("INSERT INTO dependencies VALUES (?, ?, ?)", (added, then, json.dumps(runs)))
    return added


def follow(t: Transaction, limit: int) -> bool:
    """Hand out, or skip, up to `limit` jobs of each list whose others are over. Returns whether there may be
    more."""
    more = False
    before = jobs.creating_from(t.db)
    waiting = "SELECT * FROM dependencies d WHERE EXISTS (%s)" % (_WAITING % "d.needs_id")
    for needs_id, then, text in t.db.execute(waiting).fetchall():
        runs: List[Run] = json.loads(text)
        failed = _failed(t.db, runs)
        if failed is None and _are_left(t.db, runs):
            continue
        ids = [row[0] for row in t.db.execute(_WAITING % "? AND id < ? LIMIT ?", (needs_id, before, limit))]
        more = more or len(ids) == limit
        if failed is None:
            t.db.execute("UPDATE jobs SET needs_id = ? WHERE id IN (%s)" % id_list(ids), (then,))
            t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'jobs'")
            t.happened.pending += len(ids)
        else:
            status = transitions.after(p.PENDING, transitions.ABORT)
            t.db.execute("UPDATE jobs SET status = ?, completion_timestamp = ?, %s WHERE id IN (%s)"
                         % (jobs.CHANGED, id_list(ids)), (status, t.now))
            jobs.moved(t, p.PENDING, status, len(ids))
            jobs.add_history_line(t, ids, "skipped: job %d, which it waits for, is %s" % failed)
    return more


def _failed(db: sqlite3.Connection, runs: Sequence[Run]) -> Optional[_Failed]:
    for first, last in runs:
        for status, also in ((p.DELETED, ""), (p.ABORTED, " AND retry_at IS NULL")):
            row = db.execute(_ONE % also, (status, first, last)).fetchone()
            if row is not None:
                return _Failed(row[0], status)
    return None


def _are_left(db: sqlite3.Connection, runs: Sequence[Run]) -> bool:
    """Whether one of them is not over yet."""
    return any(db.execute(_ONE % "", (status, first, last)).fetchone() is not None
               for first, last in runs for status in (p.PENDING, p.SERVED, p.ABORTED))


def _check(db: sqlite3.Connection, runs: Sequence[Run]) -> None:
    before = jobs.creating_from(db)
    for first, last in runs:
        known = db.execute("SELECT count(*) FROM jobs WHERE id BETWEEN ? AND ? AND id < ?",
                           (first, last, before)).fetchone()[0]
        if known < last - first + 1:
            raise p.ProtocolError("after: there is no job %d" % first if first == last else
                                  "after: of the jobs %d to %d some do not exist" % (first, last))
    if db.execute("SELECT count(*) FROM dependencies").fetchone()[0] >= MAX_DEPENDENCIES:
        raise p.ProtocolError("after: jobs of this experiment wait for %d different lists of jobs already, "
                              "which is the most that there can be: take one of them" % MAX_DEPENDENCIES)


def _runs(ids: Sequence[int]) -> List[Run]:
    runs: List[Run] = []
    for job_id in sorted(set(ids)):
        if runs and job_id == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], job_id)
        else:
            runs.append((job_id, job_id))
    return runs


def _shown(runs: Sequence[Run]) -> str:
    """The ids for people; a text that stands for these alone."""
    text = ",".join("%d" % first if first == last else "%d-%d" % (first, last) for first, last in runs)
    if len(text) <= MAX_SHOWN:
        return text
    return "%s… (%s)" % (text[:MAX_SHOWN].rpartition(",")[0], hashlib.sha256(text.encode()).hexdigest()[:16])
