"""How long what is known of a worker is kept: rows of workers that have left, and how many rows there are.

A sweep that scales itself makes workers all the time, and anybody who may work can make up names.
"""

import sqlite3
from typing import List

from jd.server.store.transaction import Transaction

KEPT = 30 * 86400.0  # seconds after it left: a sweep that was looked at last month is looked at again
# Live ones and those that have left. As many as there can be connections: see jd.net.serving.limits.
MAX_ROWS = 20_000


class TooManyWorkers(Exception):
    """503: as many workers are active as one server takes."""

    def __init__(self) -> None:
        super().__init__("%d workers are active, which is all that one server takes; try again when some "
                         "have stopped, or start another server for another experiment" % MAX_ROWS)


def make_room(t: Transaction) -> None:
    """Let one more worker be written down: if there are too many, the one that left first goes.

    Raises TooManyWorkers where none has left.
    """
    if _count(t.db) < MAX_ROWS:
        return
    if not _forget(t, _left_first(t.db, 1)):
        raise TooManyWorkers()


def prune(t: Transaction, limit: int) -> int:
    """Forget at most `limit` workers that have left long ago or are too many. Returns how many."""
    old = [row[0] for row in t.db.execute(
        "SELECT worker_id FROM workers WHERE left_at < ? ORDER BY left_at LIMIT ?", (t.now - KEPT, limit))]
    excess = min(limit, _count(t.db) - MAX_ROWS)
    return _forget(t, old if len(old) >= excess else _left_first(t.db, excess))


def _count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM workers").fetchone()[0])


def _left_first(db: sqlite3.Connection, limit: int) -> List[str]:
    return [row[0] for row in db.execute(
        "SELECT worker_id FROM workers WHERE left_at IS NOT NULL ORDER BY left_at LIMIT ?", (limit,))]


def _forget(t: Transaction, worker_ids: List[str]) -> int:
    """Remove all that is known of workers; what their attempts say of them stays with the jobs."""
    for table in ("worker_history", "worker_metrics", "workers"):
        t.db.executemany("DELETE FROM %s WHERE worker_id = ?" % table, ((one,) for one in worker_ids))
    if worker_ids:
        t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'workers'")
    return len(worker_ids)
