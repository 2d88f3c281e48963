"""How long jobs take: the runtimes of the jobs that were done last, and their 90th percentile."""

import sqlite3
from typing import Optional, Sequence

from jd.server.store.transaction import Ended

KEPT = 500  # runtimes
_SLOWEST = 10  # one in so many takes longer than the percentile


def keep(db: sqlite3.Connection, done: Sequence[Ended]) -> None:
    """These attempts are done, which says how long a job takes."""
    db.executemany("INSERT INTO runtimes (seconds) VALUES (?)",
                   [(ended.runtime,) for ended in done if ended.runtime is not None])
    db.execute("DELETE FROM runtimes WHERE n <= (SELECT max(n) FROM runtimes) - ?", (KEPT,))


def p90(db: sqlite3.Connection) -> Optional[float]:
    """Seconds within which nine of ten of these jobs were done; None before the first."""
    first, last = db.execute("SELECT (SELECT min(n) FROM runtimes), (SELECT max(n) FROM runtimes)"
                             ).fetchone()
    if last is None:
        return None
    row = db.execute("SELECT seconds FROM runtimes ORDER BY seconds DESC LIMIT 1 OFFSET ?",
                     ((last - first + 1) // _SLOWEST,)).fetchone()
    return float(row[0])
