"""The PIN of the dashboard, hashed, in the table of settings.

Whoever sets a new PIN signs everybody out: who knows only the old one must not stay.
"""

import sqlite3
from typing import Optional

from jd.server.store.operators import signins
from jd.server.store.transaction import Transaction

_HASH = "pin.hash"
_NUMBER = "pin.number"


def stored(db: sqlite3.Connection) -> Optional[str]:
    """The hash of the PIN; None before the first start has ended."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (_HASH,)).fetchone()
    return None if row is None else str(row[0])


def change(t: Transaction, encoded: str) -> int:
    """Set the PIN; returns how many were signed out by that."""
    t.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (_HASH, encoded))
    return signins.end_all(t)


def replace(t: Transaction, known: Optional[str], encoded: str) -> bool:
    """`change`, if the stored hash still is `known`: another may have come while one was hashed."""
    if stored(t.db) != known:
        return False
    change(t, encoded)
    return True


def from_hub(db: sqlite3.Connection) -> int:
    """The number of the latest PIN that the Hub gave, 0 if it gave none."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (_NUMBER,)).fetchone()
    return 0 if row is None else int(row[0])


def take_from_hub(t: Transaction, number: int, encoded: str) -> bool:
    """`change` to a PIN of the Hub, once for each `number`; whether it was new."""
    if number <= from_hub(t.db):
        return False
    t.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (_NUMBER, str(number)))
    change(t, encoded)
    return True
