"""Reported metrics as results of their job: `NAME` is the latest number, `NAME.min` and `NAME.max` the least
and the greatest, of the latest attempt that reported something.

To write them costs more than to take a report, since each is in an index. So of a job that runs they are
written a little later (`reports_due`), once for all that has come until then, and when it ends, at once.
"""

import sqlite3
from typing import Dict, Optional

from jd.server.store.files import results
from jd.server.store.files.resultfile import MAX_NAME_CHARS, NAN, Result
from jd.server.store.reports import storage
from jd.server.store.transaction import Transaction

# Whether those of a job, :job_id, are to be written.
ARE_DUE = "EXISTS (SELECT 1 FROM reports_due WHERE job_id = :job_id AND NOT written)"


def due(t: Transaction, job_id: int, at_once: bool = False) -> None:
    """A job has reported something."""
    if at_once:
        _write(t, job_id)
    t.db.execute("INSERT OR REPLACE INTO reports_due (job_id, written, told) VALUES (?, ?, 0)",
                 (job_id, at_once))


def is_due(db: sqlite3.Connection) -> bool:
    """Whether columns of a job are to be written."""
    return db.execute("SELECT 1 FROM reports_due WHERE NOT written LIMIT 1").fetchone() is not None


def tell(t: Transaction) -> None:
    """Say to those who show curves that there is something new, if there is."""
    if t.db.execute("UPDATE reports_due SET told = 1 WHERE NOT told").rowcount:
        t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'reports'")
        t.db.execute("DELETE FROM reports_due WHERE written")


def write_due(t: Transaction, limit: int, after: int = 0) -> Optional[int]:
    """Write the columns of so many jobs at most, of those above an id. Returns the id to go on after; None
    where there are no more."""
    ids = [row[0] for row in t.db.execute("SELECT job_id FROM reports_due WHERE NOT written AND job_id > ?"
                                          " ORDER BY job_id LIMIT ?", (after, limit))]
    for job_id in ids:
        _write(t, job_id)
        _written(t, job_id)
    return ids[-1] if len(ids) == limit else None


def ended(t: Transaction, job_id: int) -> None:
    """An attempt of the job has ended: its columns are final."""
    if t.db.execute("SELECT " + ARE_DUE, {"job_id": job_id}).fetchone()[0]:
        _write(t, job_id)
        _written(t, job_id)


def _written(t: Transaction, job_id: int) -> None:
    t.db.execute("UPDATE reports_due SET written = 1 WHERE job_id = ?", (job_id,))
    t.db.execute("DELETE FROM reports_due WHERE job_id = ? AND told", (job_id,))


def _write(t: Transaction, job_id: int) -> None:
    attempt = storage.latest(t.db, job_id)
    try:
        found = None if attempt is None else storage.find(t.db, job_id, attempt)
        if found is not None:
            results.take_reported(t, job_id, _columns(found.metrics))
    except (ValueError, TypeError, AttributeError, RecursionError):
        # Neither the end of the job nor the results of others wait for it: `jd_server check` finds it.
        results.tell(t, job_id, "what it has reported makes no results: it is damaged in the database")


def _columns(metrics: Dict[str, storage.Metric]) -> Dict[str, Result]:
    made: Dict[str, Result] = {name: metric.last for name, metric in metrics.items()}
    for name, metric in metrics.items():
        for what, value in (("min", metric.low), ("max", metric.high)):
            called = "%s.%s" % (name, what)
            if len(called) <= MAX_NAME_CHARS:
                made.setdefault(called, NAN if value is None else value)
    return made
