"""Failed jobs come back: after a pause, as long as they have not failed too often, and elsewhere first (see
`elsewhere`).

Whether one does is decided when its attempt ends (`transitions.ending`). A job that was interrupted, rather
than failed, is PENDING again at once.
"""

import sqlite3
from typing import Optional, Tuple

from jd.server.store.queue import jobs, transitions
from jd.server.store.transaction import Transaction

SOON = 30.0  # seconds; much fails by chance or for its machine, and a soon retry shows which
MOST_PAUSES = 4  # what a pause grows to, in pauses of the policy


def pause_after(failures: int, pause: float) -> float:
    """How long a job waits that has failed so often, where `pause` is set: soon after the first failure,
    for the pause after the second, then twice as long each time, up to four pauses. All in seconds."""
    if failures <= 1:
        return min(SOON, pause)
    return float(pause * min(MOST_PAUSES, 2 ** min(failures - 2, 8)))


def next_at(db: sqlite3.Connection) -> Optional[float]:
    """When the next job comes back; None if none does."""
    return span(db)[0]


def span(db: sqlite3.Connection) -> Tuple[Optional[float], Optional[float]]:
    """When the first and the last of all jobs that come back do; None if none does."""
    ends = (db.execute("SELECT %s(retry_at) FROM jobs WHERE retry_at IS NOT NULL" % end).fetchone()[0]
            for end in ("min", "max"))
    first, last = (None if at is None else float(at) for at in ends)
    return first, last


def restart(t: Transaction) -> None:
    """The server starts: no retry is further off than if the job had failed now, however the clock was set
    meanwhile."""
    waiting = t.db.execute("SELECT id, retry_at, failures, coalesce(retry_pause, ?) FROM jobs"
                           " WHERE retry_at > ?", (t.policy.retry_pause, t.now)).fetchall()
    for job_id, at, failures, pause in waiting:
        latest = t.now + max(pause, pause_after(failures, pause))
        if at > latest:
            t.db.execute("UPDATE jobs SET retry_at = ? WHERE id = ?", (latest, job_id))


def retry_due(t: Transaction, limit: int) -> bool:
    """Bring back failed jobs whose pause is over, `limit` at most. Returns whether there may be more."""
    rows = t.db.execute("SELECT id, status FROM jobs WHERE retry_at <= ? LIMIT ?",
                        (t.now, limit)).fetchall()
    for job_id, status in rows:
        then = transitions.after(status, transitions.RETRY)
        t.db.execute("UPDATE jobs SET status = ?, retry_at = NULL, elsewhere_until ="
                     " CASE WHEN failures > 0 THEN ? + coalesce(retry_pause, ?) END, %s WHERE id = ?"
                     % jobs.CHANGED, (then, t.now, t.policy.retry_pause, job_id))
        jobs.moved(t, status, then)
    jobs.add_history_line(t, [row[0] for row in rows], "its pause is over, back to the queue")
    t.happened.pending += len(rows)
    return len(rows) == limit
