"""What is left of an order to many jobs, which is carried out in slices.

It is written down with each slice, in its transaction: a server that is killed in between goes on with it at
its next start. A batch that was not published is removed then (`batches.abandon`).
"""

import sqlite3
from typing import Optional

from jd.server.store.transaction import Transaction

_ORDER = "order_in_slices"  # in `settings`


def keep(t: Transaction, text: str) -> None:
    """Write down what is left of the order that is carried out, as its caller reads it."""
    t.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_ORDER, text))


def forget(t: Transaction) -> None:
    """Nothing of it is left."""
    t.db.execute("DELETE FROM settings WHERE name = ?", (_ORDER,))


def kept(db: sqlite3.Connection) -> Optional[str]:
    """What `keep` was given last; None if nothing is left of it."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (_ORDER,)).fetchone()
    return None if row is None else str(row[0])
