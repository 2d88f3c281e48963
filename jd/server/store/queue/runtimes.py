"""How long jobs take: the runtimes of the jobs that were done last, and their 90th percentile."""

import sqlite3
from typing import Optional

from jd import protocol as p
from jd.server.store.transaction import Ended, Transaction

KEPT = 500  # runtimes
_SLOWEST = 10  # one in so many takes longer than the percentile


def keep(t: Transaction, ended: Ended) -> None:
    """An attempt ended. Only one that is done says how long a job takes."""
    if ended.verdict != p.VERDICT_DONE or ended.runtime is None:
        return
    last = t.db.execute("INSERT INTO runtimes (seconds) VALUES (?)", (ended.runtime,)).lastrowid
    t.db.execute("DELETE FROM runtimes WHERE n <= ?", ((last or 0) - KEPT,))


def p90(db: sqlite3.Connection) -> Optional[float]:
    """Seconds within which nine of ten of these jobs were done; None before the first."""
    first, last = db.execute("SELECT (SELECT min(n) FROM runtimes), (SELECT max(n) FROM runtimes)"
                             ).fetchone()
    if last is None:
        return None
    row = db.execute("SELECT seconds FROM runtimes ORDER BY seconds DESC LIMIT 1 OFFSET ?",
                     ((last - first + 1) // _SLOWEST,)).fetchone()
    return float(row[0])
