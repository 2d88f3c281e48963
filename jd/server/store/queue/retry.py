"""Failed jobs come back: after a pause, as long as they have not failed too often.

Whether one does is decided when its attempt ends (`transitions.ending`). A job that was interrupted, rather
than failed, is PENDING again at once.
"""

from jd.server.store.queue import jobs, transitions
from jd.server.store.transaction import Transaction


def retry_due(t: Transaction, limit: int) -> None:
    """Bring back failed jobs whose pause is over."""
    rows = t.db.execute("SELECT id, status, failures FROM jobs WHERE retry_at <= ? LIMIT ?",
                        (t.now, limit)).fetchall()
    for job_id, status, failures in rows:
        t.db.execute("UPDATE jobs SET status = ?, retry_at = NULL WHERE id = ?",
                     (transitions.after(status, transitions.RETRY), job_id))
        jobs.add_history_line(t, [job_id], "tried again after %d failed" % failures)
    t.happened.pending += len(rows)
