"""Who is signed in to the web pages.

Functions are operations for Database.write or .read. A sign-in is a random secret in a cookie, of which
the digest is stored in the table `sessions`. It ends after seven days, with a new password, and when the
user is suspended.

Only the program that signed in can use it, as on the dashboard of a job server: `uid` is its user on the
Hub's machine, None for one that came from elsewhere.
"""

import secrets
import sqlite3
from typing import NamedTuple, Optional

from jd.auth import apikeys

LIFETIME = 7 * 86400.0  # seconds
MAX_SIGNINS = 50  # of one user; the oldest ones give way
_SECRET_BYTES = 32


class SignedIn(NamedTuple):
    """A user who is signed in."""

    user_id: int
    email: str
    admin: bool


def sign_in(db: sqlite3.Connection, email: str, password: str, uid: Optional[int],
                 now: float) -> Optional[str]:
    """The secret of a new sign-in of `uid`, or None if the user's (hashed) password is not this one any more
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
               " WHERE user_id = ? ORDER BY created_at DESC LIMIT ?)", (row[0], row[0], MAX_SIGNINS))
    return secret


def find(db: sqlite3.Connection, secret: str, uid: Optional[int], now: float) -> Optional[SignedIn]:
    """Who signed in with this secret; None if it is unknown, over, or not of `uid`."""
    row = db.execute("SELECT u.id, u.email, u.admin FROM sessions s JOIN users u ON u.id = s.user_id"
                     " WHERE s.digest = ? AND s.uid IS ? AND s.expires_at > ?"
                     " AND u.suspended_at IS NULL",
                     (apikeys.digest(secret), uid, now)).fetchone()
    return None if row is None else SignedIn(row[0], row[1], bool(row[2]))


def sign_out(db: sqlite3.Connection, secret: str) -> None:
    """End a sign-in; an unknown one changes nothing."""
    db.execute("DELETE FROM sessions WHERE digest = ?", (apikeys.digest(secret),))


def sign_out_everywhere(db: sqlite3.Connection, user_id: int) -> None:
    """Sign a user out everywhere."""
    db.execute("DELETE FROM sessions WHERE user_id = ?", (user_id,))


def prune(db: sqlite3.Connection, now: float, limit: int) -> int:
    """Forget at most `limit` sign-ins that are over; returns how many."""
    return db.execute("DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions"
                      " WHERE expires_at <= ? LIMIT ?)", (now, limit)).rowcount
