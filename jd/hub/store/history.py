"""Who did what to whom: one line for each change of accounts, keys, experiments and shares."""

import sqlite3
from typing import List, NamedTuple


class Entry(NamedTuple):
    """`timestamp` is in Unix seconds; `actor` is an email address or names the command line."""

    timestamp: float
    actor: str
    event: str
    subject: str


def note(db: sqlite3.Connection, actor: str, event: str, subject: str, now: float) -> None:
    """Add a line. Neither text may hold a secret."""
    db.execute("INSERT INTO history (timestamp, actor, event, subject) VALUES (?, ?, ?, ?)",
               (now, actor, event, subject))


def latest(db: sqlite3.Connection, limit: int = 100) -> List[Entry]:
    """The newest lines, newest first."""
    rows = db.execute("SELECT timestamp, actor, event, subject FROM history ORDER BY id DESC LIMIT ?",
                      (limit,))
    return [Entry(*row) for row in rows]
