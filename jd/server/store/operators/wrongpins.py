"""How often a wrong PIN was given since the last right one, so that who signs in learns of others who tried.

Times are Unix seconds.
"""

import json
import sqlite3
from typing import Any, Dict, Optional

from jd.server.store.transaction import Transaction

_NOW = "pin.wrong"
_BEFORE = "pin.wrong.before"
MAX_ADDRESSES = 5  # the latest; a user of the server's machine is one, by name


def count(t: Transaction, address: str) -> None:
    """One more, from an address, or by a user of the server's machine."""
    found = since(t.db) or {"count": 0, "first": t.now, "addresses": []}
    others = [one for one in found["addresses"] if one != address]
    _keep(t, _NOW, dict(found, count=found["count"] + 1, last=t.now,
                        addresses=[address] + others[:MAX_ADDRESSES - 1]))


def end(t: Transaction) -> Optional[Dict[str, Any]]:
    """A right one: what there was since the last, None if nothing. `before` gives it from now on."""
    found = since(t.db)
    if found is not None:
        _keep(t, _BEFORE, found)
        t.db.execute("DELETE FROM settings WHERE name = ?", (_NOW,))
    return found


def since(db: sqlite3.Connection) -> Optional[Dict[str, Any]]:
    """Since the last right one: {"count", "first", "last", "addresses"}, the latest address first."""
    return _kept(db, _NOW)


def before(db: sqlite3.Connection) -> Optional[Dict[str, Any]]:
    """The last that there were before a right one."""
    return _kept(db, _BEFORE)


def _kept(db: sqlite3.Connection, name: str) -> Optional[Dict[str, Any]]:
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else dict(json.loads(row[0]))


def _keep(t: Transaction, name: str, found: Dict[str, Any]) -> None:
    t.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, json.dumps(found)))
