"""The worker tokens that were issued: which of them are revoked.

A token itself is not stored, only its `jti`. Job servers ask for the revoked ones of their
experiment, so a row may go when its token has expired.
"""

import sqlite3
from typing import List

from jd.errors import JdError
from jd.protocol import shown

# Job servers take a token for a moment after its end, because of their clocks.
KEEP = 600.0  # seconds


class NoSuchToken(JdError):
    """404: no token with this jti was issued for the experiment, or it has expired."""


def record(db: sqlite3.Connection, jti: str, experiment_id: str, user_id: int, key_id: int,
           issued_at: float, expires_at: float) -> None:
    """Note a token that is about to be handed out."""
    db.execute("INSERT INTO worker_tokens (jti, experiment_id, user_id, key_id, issued_at,"
               " expires_at) VALUES (?, ?, ?, ?, ?, ?)",
               (jti, experiment_id, user_id, key_id, issued_at, expires_at))


def revoke(db: sqlite3.Connection, experiment_id: str, jti: str, now: float) -> None:
    """Revoke one token of an experiment; once more changes nothing. Raises NoSuchToken."""
    cursor = db.execute("UPDATE worker_tokens SET revoked_at = coalesce(revoked_at, ?)"
                        " WHERE jti = ? AND experiment_id = ?", (now, jti, experiment_id))
    if cursor.rowcount == 0:
        raise NoSuchToken("no worker token %s was issued for this experiment, or it has expired"
                          % shown(jti))


def revoke_of_experiment(db: sqlite3.Connection, experiment_id: str, now: float) -> None:
    """Revoke every token of an experiment."""
    db.execute("UPDATE worker_tokens SET revoked_at = ? WHERE experiment_id = ?"
               " AND revoked_at IS NULL", (now, experiment_id))


def revoke_of_share(db: sqlite3.Connection, experiment_id: str, user_id: int, now: float) -> None:
    """Revoke the tokens that one user has for an experiment."""
    db.execute("UPDATE worker_tokens SET revoked_at = ? WHERE experiment_id = ? AND user_id = ?"
               " AND revoked_at IS NULL", (now, experiment_id, user_id))


def revoke_of_user(db: sqlite3.Connection, user_id: int, now: float) -> None:
    """Revoke the tokens that a user has for any experiment."""
    db.execute("UPDATE worker_tokens SET revoked_at = ? WHERE revoked_at IS NULL AND key_id IN"
               " (SELECT id FROM api_keys WHERE user_id = ?)", (now, user_id))


def revoke_of_key(db: sqlite3.Connection, key_id: int, now: float) -> None:
    """Revoke the tokens that were issued for a key."""
    db.execute("UPDATE worker_tokens SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL",
               (now, key_id))


def revoked(db: sqlite3.Connection, name: str, now: float) -> List[str]:
    """The revoked tokens, by jti, that could still be used for the experiment called `name`.

    Those of deleted experiments of that name count: their job server may not know yet.
    """
    rows = db.execute(
        "SELECT jti FROM worker_tokens WHERE experiment_id IN"
        " (SELECT id FROM experiments WHERE name = ?) AND revoked_at IS NOT NULL"
        " AND expires_at > ? ORDER BY jti", (name, now - KEEP))
    return [row[0] for row in rows]


def prune(db: sqlite3.Connection, now: float, limit: int) -> int:
    """Forget at most `limit` tokens that have expired. Returns how many."""
    return db.execute("DELETE FROM worker_tokens WHERE jti IN (SELECT jti FROM worker_tokens"
                      " WHERE expires_at <= ? LIMIT ?)", (now - KEEP, limit)).rowcount
