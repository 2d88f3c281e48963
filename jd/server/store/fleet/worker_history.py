"""What happened to each worker, line by line: the latest lines, which are those that are shown."""

import sqlite3
from typing import List, NamedTuple, Sequence

from jd.server.store.transaction import Transaction

SHOWN = 200


class Line(NamedTuple):
    """One line; `source` is who caused it: worker, server, dashboard, cli on HOST."""

    timestamp: float
    event: str
    source: str


def add_line(t: Transaction, worker_id: str, event: str, source: str) -> None:
    """Add a line to a worker's history; it has SHOWN lines, and the oldest makes room."""
    t.db.execute("INSERT INTO worker_history (worker_id, timestamp, event, source)"
                 " VALUES (?, ?, ?, ?)", (worker_id, t.now, event, source))
    t.db.execute("DELETE FROM worker_history WHERE worker_id = ? AND id <= (SELECT id FROM worker_history"
                 " WHERE worker_id = ? ORDER BY id DESC LIMIT 1 OFFSET ?)", (worker_id, worker_id, SHOWN))


def add_lines(t: Transaction, worker_ids: Sequence[str], event: str, source: str,
              with_state: bool = False) -> None:
    """`add_line` for some workers, no more than one statement takes values for. A line may end `with_state`,
    what is desired of each."""
    listed = ", ".join("?" * len(worker_ids))
    t.db.execute("INSERT INTO worker_history (worker_id, timestamp, event, source)"
                 " SELECT worker_id, ?, ?%s, ? FROM workers WHERE worker_id IN (%s)"
                 % (" || desired_state" if with_state else "", listed), (t.now, event, source, *worker_ids))
    t.db.execute("DELETE FROM worker_history WHERE id IN (SELECT (SELECT id FROM worker_history AS line"
                 " WHERE line.worker_id = workers.worker_id ORDER BY id DESC LIMIT 1 OFFSET ?)"
                 " FROM workers WHERE worker_id IN (%s))" % listed, (SHOWN, *worker_ids))


def of(db: sqlite3.Connection, worker_id: str) -> List[Line]:
    """The latest SHOWN lines of a worker, newest first."""
    return [Line(*row) for row in db.execute(
        "SELECT timestamp, event, source FROM worker_history WHERE worker_id = ?"
        " ORDER BY id DESC LIMIT ?", (worker_id, SHOWN))]
