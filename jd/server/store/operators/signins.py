"""Who is signed in to the dashboard.

A sign-in is a random secret in a cookie, of which the digest is stored; it ends after seven days, and with
a new PIN.

It is good for who signed in: `uid` is the user of this machine, as the kernel knows him, None for who
came from elsewhere. A browser sends the cookie to whatever has the port of a server that is away, and
on a machine with many users that may be anybody's program.
"""

import secrets
import sqlite3
from typing import Optional

from jd.auth import apikeys
from jd.server.store.transaction import Transaction

LIFETIME = 7 * 86400.0  # seconds
MAX_SIGNINS = 1000  # the oldest ones give way
_SECRET_BYTES = 32
_PRUNED = 100  # rows in one step


def begin(t: Transaction, uid: Optional[int]) -> str:
    """The secret of a new sign-in of `uid`. Forgets some that are over."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    t.db.execute("INSERT INTO sessions (digest, uid, expires_at) VALUES (?, ?, ?)",
                 (apikeys.digest(secret), uid, t.now + LIFETIME))
    t.db.execute("DELETE FROM sessions WHERE digest IN"
                 " (SELECT digest FROM sessions WHERE expires_at <= ? LIMIT ?)", (t.now, _PRUNED))
    t.db.execute("DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions"
                 " ORDER BY expires_at DESC LIMIT ? OFFSET ?)", (_PRUNED, MAX_SIGNINS))
    return secret


def restart(t: Transaction) -> None:
    """The server starts: no sign-in lasts longer than a new one, however the clock was set meanwhile."""
    t.db.execute("UPDATE sessions SET expires_at = min(expires_at, ?)", (t.now + LIFETIME,))


def lasts(db: sqlite3.Connection, digest: str, uid: Optional[int], now: float) -> bool:
    """Whether the sign-in with this digest of a secret is not over, and is one of `uid`."""
    return db.execute("SELECT 1 FROM sessions WHERE digest = ? AND uid IS ? AND expires_at > ?",
                      (digest, uid, now)).fetchone() is not None


def end(t: Transaction, digest: str) -> None:
    """Sign out; an unknown sign-in changes nothing."""
    t.db.execute("DELETE FROM sessions WHERE digest = ?", (digest,))


def end_all(t: Transaction) -> int:
    """Sign everybody out; returns how many sign-ins there were."""
    return t.db.execute("DELETE FROM sessions").rowcount
