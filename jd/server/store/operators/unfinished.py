"""What is left of an order to many jobs, which is carried out in slices.

The order is written down before the first slice, and how far it has come with each of them, in its
transaction: a server that is killed in between goes on with it at its next start. A batch that was not
published is removed then (`batches.abandon`).
"""

import sqlite3
from typing import NamedTuple, Optional

from jd.server.store.transaction import Transaction

# In `settings`. The order may name 100,000 jobs, which is too much to be written with each slice.
_ORDER = "order_in_slices"
_COME_TO = "order_come_to"


class Kept(NamedTuple):
    """An order and what it has come to, as its caller has written them; None before the first slice."""

    order: str
    come_to: Optional[str]


def begin(t: Transaction, order: str) -> None:
    """Write down an order that is to be carried out."""
    forget(t)
    t.db.execute("INSERT INTO settings VALUES (?, ?)", (_ORDER, order))


def keep(t: Transaction, come_to: str) -> None:
    """Write down what it has come to."""
    t.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_COME_TO, come_to))


def forget(t: Transaction) -> None:
    """Nothing of it is left."""
    t.db.execute("DELETE FROM settings WHERE name IN (?, ?)", (_ORDER, _COME_TO))


def kept(db: sqlite3.Connection) -> Optional[Kept]:
    """The order of which something is left; None if there is none."""
    found = dict(db.execute("SELECT name, value FROM settings WHERE name IN (?, ?)",
                            (_ORDER, _COME_TO)).fetchall())
    return Kept(found[_ORDER], found.get(_COME_TO)) if _ORDER in found else None
