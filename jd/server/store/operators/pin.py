"""The PIN of the dashboard, hashed, in the table of settings.

Functions are operations for Database.write or .read. Whoever sets a new PIN signs everybody out: who
knows only the old one must not stay.
"""

import sqlite3
from typing import Optional

from jd.server.store.operators import sessions

_HASH = "pin.hash"
_NUMBER = "pin.number"


def stored(db: sqlite3.Connection) -> Optional[str]:
    """The hash of the PIN; None before the first start has ended."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (_HASH,)).fetchone()
    return None if row is None else str(row[0])


def change(db: sqlite3.Connection, encoded: str) -> int:
    """Set the PIN; returns how many sessions that ended."""
    db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (_HASH, encoded))
    return sessions.close_all(db)


def replace(db: sqlite3.Connection, known: Optional[str], encoded: str) -> bool:
    """`change`, if the stored hash still is `known`: another may have come while one was hashed."""
    if stored(db) != known:
        return False
    change(db, encoded)
    return True


def from_hub(db: sqlite3.Connection) -> int:
    """The number of the latest PIN that the Hub gave, 0 if it gave none."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (_NUMBER,)).fetchone()
    return 0 if row is None else int(row[0])


def take_from_hub(db: sqlite3.Connection, number: int, encoded: str) -> bool:
    """`change` to a PIN of the Hub, once for each `number`; whether it was new."""
    if number <= from_hub(db):
        return False
    db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (_NUMBER, str(number)))
    change(db, encoded)
    return True
