"""Who is signed in to the web pages.

Functions are operations for Database.write or .read. A session is a random secret in a cookie, of
which the digest is stored; it ends after seven days, with a new password and with a suspension.

It is good for who signed in, as on the dashboard of a job server: `uid` is the user of the Hub's
machine, None for who came from elsewhere.
"""

import secrets
import sqlite3
from typing import NamedTuple, Optional

from jd.auth import apikeys

LIFETIME = 7 * 86400.0  # seconds
MAX_SESSIONS = 50  # of one user; the oldest ones give way
_SECRET_BYTES = 32


class Holder(NamedTuple):
    """The user of a session."""

    user_id: int
    email: str
    admin: bool


def open_session(db: sqlite3.Connection, email: str, password: str, uid: Optional[int],
                 now: float) -> Optional[str]:
    """The secret of a new session of `uid`, or None if the user's (hashed) password is not this one any more
    or they are suspended: both may have changed while a password was being checked.
    """
    row = db.execute("SELECT id FROM users WHERE email = ? AND password = ? AND suspended_at IS NULL",
                     (email, password)).fetchone()
    if row is None:
        return None
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    db.execute("INSERT INTO sessions (digest, user_id, uid, created_at, expires_at) VALUES (?, ?, ?, ?, ?)",
               (apikeys.digest(secret), row[0], uid, now, now + LIFETIME))
    db.execute("DELETE FROM sessions WHERE user_id = ? AND digest NOT IN (SELECT digest FROM sessions"
               " WHERE user_id = ? ORDER BY created_at DESC LIMIT ?)", (row[0], row[0], MAX_SESSIONS))
    return secret


def holder(db: sqlite3.Connection, secret: str, uid: Optional[int], now: float) -> Optional[Holder]:
    """Whose session it is; None if it is unknown, over, or not one of `uid`."""
    row = db.execute("SELECT u.id, u.email, u.admin FROM sessions s JOIN users u ON u.id = s.user_id"
                     " WHERE s.digest = ? AND s.uid IS ? AND s.expires_at > ?"
                     " AND u.suspended_at IS NULL",
                     (apikeys.digest(secret), uid, now)).fetchone()
    return None if row is None else Holder(row[0], row[1], bool(row[2]))


def close_session(db: sqlite3.Connection, secret: str) -> None:
    """End a session; an unknown one changes nothing."""
    db.execute("DELETE FROM sessions WHERE digest = ?", (apikeys.digest(secret),))


def close_of_user(db: sqlite3.Connection, user_id: int) -> None:
    """Sign a user out everywhere."""
    db.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))


def prune(db: sqlite3.Connection, now: float, limit: int) -> int:
    """Forget at most `limit` sessions that are over; returns how many."""
    return db.execute("DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions"
                      " WHERE expires_at <= ? LIMIT ?)", (now, limit)).rowcount
