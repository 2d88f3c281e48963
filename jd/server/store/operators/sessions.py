"""Who is signed in to the dashboard.

Functions are operations for Database.write or .read. A session is a random secret in a cookie, of
which the digest is stored; it ends after seven days, and with a new PIN.

It is good for who signed in: `uid` is the user of this machine, as the kernel knows him, None for who
came from elsewhere. A browser sends the cookie to whatever has the port of a server that is away, and
on a machine with many users that may be anybody's program.
"""

import secrets
import sqlite3
from typing import Optional

from jd.auth import apikeys

LIFETIME = 7 * 86400.0  # seconds
MAX_SESSIONS = 1000  # the oldest ones give way
_SECRET_BYTES = 32
_PRUNED = 100  # rows in one step


def open_session(db: sqlite3.Connection, uid: Optional[int], now: float) -> str:
    """The secret of a new session of `uid`. Forgets some that are over."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    db.execute("INSERT INTO sessions (digest, uid, expires_at) VALUES (?, ?, ?)",
               (apikeys.digest(secret), uid, now + LIFETIME))
    db.execute("DELETE FROM sessions WHERE digest IN"
               " (SELECT digest FROM sessions WHERE expires_at <= ? LIMIT ?)", (now, _PRUNED))
    db.execute("DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions"
               " ORDER BY expires_at DESC LIMIT ? OFFSET ?)", (_PRUNED, MAX_SESSIONS))
    return secret


def is_open(db: sqlite3.Connection, digest: str, uid: Optional[int], now: float) -> bool:
    """Whether the session with this digest of a secret lasts, and is one of `uid`."""
    return db.execute("SELECT 1 FROM sessions WHERE digest = ? AND uid IS ? AND expires_at > ?",
                      (digest, uid, now)).fetchone() is not None


def close_session(db: sqlite3.Connection, digest: str) -> None:
    """End a session; an unknown one changes nothing."""
    db.execute("DELETE FROM sessions WHERE digest = ?", (digest,))


def close_all(db: sqlite3.Connection) -> int:
    """Sign everybody out; returns how many sessions there were."""
    return db.execute("DELETE FROM sessions").rowcount
