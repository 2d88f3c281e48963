"""How often a wrong PIN was given since the last right one: who signs in learns of others who tried."""

import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional

from jd.server.store.transaction import Transaction

_NOW = "pin.wrong"
_BEFORE = "pin.wrong.before"
MAX_ADDRESSES = 5  # the latest; a user of the server's machine is one, by name


class WrongPins(NamedTuple):
    """Wrong PINs between two right ones; `first` and `last` in Unix seconds, the latest address first."""

    times: int
    first: float
    last: float
    addresses: List[str]

    def to_json(self) -> Dict[str, Any]:
        """As it is stored, and goes to pages."""
        return {"count": self.times, "first": self.first, "last": self.last, "addresses": self.addresses}


def count(t: Transaction, address: str) -> None:
    """One more, from an address, or by a user of the server's machine."""
    found = since(t.db) or WrongPins(0, t.now, t.now, [])
    others = [one for one in found.addresses if one != address]
    _keep(t, _NOW, WrongPins(found.times + 1, found.first, t.now, [address, *others[:MAX_ADDRESSES - 1]]))


def end(t: Transaction) -> Optional[WrongPins]:
    """A right one: what there was since the last, None if nothing. `before` gives it from now on."""
    found = since(t.db)
    if found is not None:
        _keep(t, _BEFORE, found)
        t.db.execute("DELETE FROM settings WHERE name = ?", (_NOW,))
    return found


def since(db: sqlite3.Connection) -> Optional[WrongPins]:
    """Since the last right one."""
    return _kept(db, _NOW)


def before(db: sqlite3.Connection) -> Optional[WrongPins]:
    """The last that there were before a right one."""
    return _kept(db, _BEFORE)


def _kept(db: sqlite3.Connection, name: str) -> Optional[WrongPins]:
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    found = json.loads(row[0])
    return WrongPins(found["count"], found["first"], found["last"], found["addresses"])


def _keep(t: Transaction, name: str, found: WrongPins) -> None:
    t.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)",
                 (name, json.dumps(found.to_json())))
