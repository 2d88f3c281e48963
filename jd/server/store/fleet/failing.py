"""Workers whose jobs fail again and again while others succeed: counted, marked, paused if so set.

A worker is failing when `failing_after` jobs in a row failed on it and another worker had a
success since the first of them; a script that fails everywhere marks nobody. A success ends the
row, and so does the command to run. What was preempted, lost or stopped does not count.
"""

import sqlite3
from typing import List

from jd import protocol as p
from jd.server.store.fleet import commands, worker_history
from jd.server.store.queue import elsewhere
from jd.server.store.queue.transitions import FAILURES
from jd.server.store.transaction import Ended, Transaction

# Workers that are measured against others, of which none had a success yet.
_SUSPECT = "FROM workers WHERE failures_in_row >= :failing_after AND failures_in_row > 0 AND failing = 0"
ARE_SUSPECT = "EXISTS (SELECT 1 %s)" % _SUSPECT


def judge(t: Transaction, ended: Ended) -> None:
    """An attempt ended that is not DONE."""
    if ended.verdict in FAILURES:
        _failure(t, ended.worker_id)


def restart(t: Transaction) -> None:
    """The server starts: nothing has happened later than now, however the clock was set meanwhile."""
    t.db.execute("UPDATE workers SET failing_since = min(failing_since, ?),"
                 " last_done_at = min(last_done_at, ?)", (t.now, t.now))


_FAILED_ON = (" FROM jobs AS j JOIN attempts AS a ON a.job_id = j.id AND a.number = j.attempt"
              " WHERE j.worker_id = ? AND j.id > ? AND j.status = 'ABORTED' AND a.verdict IN (%s)"
              % ", ".join("'%s'" % verdict for verdict in FAILURES))


def count_failed_on(db: sqlite3.Connection, worker_id: str) -> int:
    """How many jobs are ABORTED because their latest attempt failed on this worker."""
    return int(db.execute("SELECT count(*)" + _FAILED_ON, (worker_id, 0)).fetchone()[0])


def failed_on(db: sqlite3.Connection, worker_id: str, after: int, limit: int) -> List[int]:
    """The ids of those jobs above `after`, in order, at most `limit`."""
    return [row[0] for row in db.execute("SELECT j.id%s ORDER BY j.id LIMIT ?" % _FAILED_ON,
                                         (worker_id, after, limit))]


def _failure(t: Transaction, worker_id: str) -> None:
    t.db.execute("UPDATE workers SET jobs_failed = jobs_failed + 1,"
                 " failures_in_row = failures_in_row + 1, failing_since = coalesce(failing_since, ?)"
                 " WHERE worker_id = ?", (t.now, worker_id))
    row = t.db.execute(
        "SELECT failures_in_row FROM workers AS w WHERE worker_id = ? AND failing = 0"
        " AND failures_in_row >= ? AND EXISTS (SELECT 1 FROM workers AS other WHERE"
        " other.last_done_at >= w.failing_since AND other.worker_id <> w.worker_id)",
        (worker_id, t.policy.failing_after)).fetchone()
    if row is not None:
        _mark(t, worker_id, row[0])


def succeeded(t: Transaction, worker_id: str) -> bool:
    """A job is DONE. False where nothing is known of its worker; else this may be the success that others
    were measured against in vain (see `mark_suspect`)."""
    success = ("UPDATE workers SET jobs_done = jobs_done + 1, failures_in_row = 0,"
               " failing_since = NULL, last_done_at = ?%s WHERE worker_id = ? AND failing = %d")
    if not t.db.execute(success % ("", 0), (t.now, worker_id)).rowcount:
        if not t.db.execute(success % (", failing = 0", 1), (t.now, worker_id)).rowcount:
            return False
        worker_history.add_line(t, worker_id, "no longer failing", "server")
    return True


def mark_suspect(t: Transaction) -> None:
    """Another worker had a success: mark those on which too many jobs have failed in a row."""
    for other, count in t.db.execute("SELECT worker_id, failures_in_row " + _SUSPECT,
                                     {"failing_after": t.policy.failing_after}).fetchall():
        _mark(t, other, count)


def why(count: int) -> str:
    """Why a worker is failing on which so many jobs in a row failed."""
    return "%d jobs in a row failed here while others succeed elsewhere" % count


def _mark(t: Transaction, worker_id: str, count: int) -> None:
    t.db.execute("UPDATE workers SET failing = 1 WHERE worker_id = ?", (worker_id,))
    elsewhere.look_again(t)
    worker_history.add_line(t, worker_id, "failing: " + why(count), "server")
    if t.policy.pause_failing:
        commands.tell(t, p.PAUSE, [worker_id], "server")
