"""Users, their one-time sign-up links and their API keys.

Functions are operations for Database.write or .read. `actor` is who does it, for the history.
"""

import re
import sqlite3
from typing import List, NamedTuple, Optional, Tuple

from jd.auth import apikeys
from jd.errors import JdError, UsageError
from jd.hub.store import signins, tokens
from jd.hub.store.history import note
from jd.protocol import shown

LINK_LIFETIME = 7 * 86400.0  # seconds
KEY_USE_INTERVAL = 60.0  # seconds between two notes that a key was used
MAX_KEYS = 200  # of one user, not counting revoked ones
MAX_KEY_NAME_CHARS = 60

# What HTML's <input type=email> takes, with the length limit of RFC 5321.
_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_MAX_EMAIL_CHARS = 254


class NoSuchUser(JdError):
    """404: nobody has this email address."""


class UserExists(JdError):
    """409: somebody has this email address."""


class BadLink(JdError):
    """403: a sign-up link that is unknown, used or too old."""


class NoSuchKey(JdError):
    """404: no key has this id."""


class TooManyKeys(JdError):
    """400: the user has as many keys as are allowed."""


class User(NamedTuple):
    """Times are Unix seconds; `suspended_at` is None for a user in good standing."""

    id: int
    email: str
    admin: bool
    signed_up: bool
    created_at: float
    suspended_at: Optional[float]


class Key(NamedTuple):
    """An API key without its secret."""

    id: int
    user_id: int
    email: str
    name: str
    prefix: str
    created_at: float
    last_used_at: Optional[float]
    revoked_at: Optional[float]


class Caller(NamedTuple):
    """Who sent a request: a key that is not revoked, and its user."""

    user_id: int
    email: str
    key_id: int
    suspended: bool
    last_used_at: Optional[float]


# ---- users

_USER = "SELECT id, email, admin, password IS NOT NULL, created_at, suspended_at FROM users"


def _user(row: Tuple[int, str, int, int, float, Optional[float]]) -> User:
    return User(row[0], row[1], bool(row[2]), bool(row[3]), row[4], row[5])


def check_email(email: str) -> str:
    """`email` if it looks like an address. Raises UsageError otherwise."""
    if len(email) > _MAX_EMAIL_CHARS or not _EMAIL.fullmatch(email) or ".." in email.split("@")[1]:
        raise UsageError("%s is no email address" % shown(email), "give one like alice@example.org")
    return email


def find_user(db: sqlite3.Connection, email: str) -> User:
    """The user with this address, whatever the case. Raises NoSuchUser."""
    row = db.execute(_USER + " WHERE email = ?", (email,)).fetchone()
    if row is None:
        raise NoSuchUser("there is no user %s" % shown(email), "see: jd_hub user list")
    return _user(row)


def list_users(db: sqlite3.Connection) -> List[User]:
    """Everybody, by address."""
    return [_user(row) for row in db.execute(_USER + " ORDER BY email")]


def has_admin(db: sqlite3.Connection) -> bool:
    """Whether there is an administrator, suspended or not."""
    return db.execute("SELECT 1 FROM users WHERE admin LIMIT 1").fetchone() is not None


def add_user(db: sqlite3.Connection, email: str, admin: bool, actor: str, now: float) -> User:
    """A new user without a password. Raises UserExists, and UsageError for what is no address."""
    check_email(email)
    if db.execute("SELECT 1 FROM users WHERE email = ?", (email,)).fetchone():
        raise UserExists("there is a user %s already" % email,
                         "a new sign-up link: jd_hub user link %s" % email)
    db.execute("INSERT INTO users (email, admin, created_at) VALUES (?, ?, ?)",
               (email, int(admin), now))
    note(db, actor, "administrator added" if admin else "user added", email, now)
    return find_user(db, email)


def suspend(db: sqlite3.Connection, email: str, actor: str, now: float) -> User:
    """Refuse the user's keys from now on, revoke the tokens they were given, sign them out."""
    user = find_user(db, email)
    if user.suspended_at is None:
        db.execute("UPDATE users SET suspended_at = ? WHERE id = ?", (now, user.id))
        tokens.revoke_of_user(db, user.id, now)
        signins.sign_out_everywhere(db, user.id)
        note(db, actor, "suspended", user.email, now)
    return find_user(db, email)


def resume(db: sqlite3.Connection, email: str, actor: str, now: float) -> User:
    """Take the user's keys again."""
    user = find_user(db, email)
    if user.suspended_at is not None:
        db.execute("UPDATE users SET suspended_at = NULL WHERE id = ?", (user.id,))
        note(db, actor, "resumed", user.email, now)
    return find_user(db, email)


# ---- sign-up links

def invite(db: sqlite3.Connection, email: str, admin: bool, actor: str,
           now: float) -> Tuple[User, str]:
    """A new user, and the secret of their sign-up link. Raises as `add_user`."""
    user = add_user(db, email, admin, actor, now)
    return user, make_link(db, user.id, now)


def invite_again(db: sqlite3.Connection, email: str, actor: str, now: float) -> Tuple[User, str]:
    """A user, and the secret of a new link: who uses it sets a new password. Raises NoSuchUser."""
    user = find_user(db, email)
    note(db, actor, "new sign-up link", user.email, now)
    return user, make_link(db, user.id, now)


def make_link(db: sqlite3.Connection, user_id: Optional[int], now: float) -> str:
    """The secret of a new one-time link; an earlier one of this user stops working.

    Without a user it is the link that makes the first administrator.
    """
    token = apikeys.new_link_token()
    db.execute("DELETE FROM signup_links WHERE user_id IS ? OR expires_at <= ?", (user_id, now))
    db.execute("INSERT INTO signup_links (digest, user_id, created_at, expires_at)"
               " VALUES (?, ?, ?, ?)", (apikeys.digest(token), user_id, now, now + LINK_LIFETIME))
    return token


def link_user(db: sqlite3.Connection, token: str, now: float) -> Optional[User]:
    """Whose link it is; None for the first administrator's. Raises BadLink."""
    row = db.execute("SELECT user_id FROM signup_links WHERE digest = ? AND expires_at > ?",
                     (apikeys.digest(token), now)).fetchone()
    # Who became administrator in another way has made this link a way in for strangers.
    if row is None or (row[0] is None and has_admin(db)):
        raise BadLink("this sign-up link is unknown, used or older than 7 days",
                      "ask for a new one: jd_hub user link EMAIL")
    if row[0] is None:
        return None
    return _user(db.execute(_USER + " WHERE id = ?", row).fetchone())


def sign_up(db: sqlite3.Connection, token: str, password: str, email: Optional[str],
            now: float) -> User:
    """Use a link: set the (hashed) password, and sign the user out everywhere. `email` names the
    first administrator.

    Raises BadLink, and as `add_user`; then the link still works.
    """
    user = link_user(db, token, now)
    if user is None:
        user = add_user(db, email or "", True, email or "", now)
    db.execute("UPDATE users SET password = ? WHERE id = ?", (password, user.id))
    db.execute("DELETE FROM signup_links WHERE digest = ?", (apikeys.digest(token),))
    signins.sign_out_everywhere(db, user.id)
    note(db, user.email, "password set", user.email, now)
    return find_user(db, user.email)


def password_of(db: sqlite3.Connection, email: str) -> Optional[str]:
    """The hashed password; None if there is no such user or they have none."""
    row = db.execute("SELECT password FROM users WHERE email = ?", (email,)).fetchone()
    return None if row is None else row[0]


# ---- keys

_KEY = ("SELECT k.id, k.user_id, u.email, k.name, k.prefix, k.created_at, k.last_used_at,"
        " k.revoked_at FROM api_keys k JOIN users u ON u.id = k.user_id")


def check_key_name(name: str) -> str:
    """`name` if it can be a key's. Raises UsageError otherwise."""
    if not 1 <= len(name.strip()) <= MAX_KEY_NAME_CHARS or not name.isprintable():
        raise UsageError("key name %s cannot be used" % shown(name),
                         "give 1 to %d printable characters, e.g. laptop" % MAX_KEY_NAME_CHARS)
    return name.strip()


def create_key(db: sqlite3.Connection, email: str, name: str, actor: str,
               now: float) -> Tuple[Key, str]:
    """A new key of a user, and its secret, which is not stored.

    Raises NoSuchUser, TooManyKeys and UsageError.
    """
    user, name = find_user(db, email), check_key_name(name)
    live = db.execute("SELECT count(*) FROM api_keys WHERE user_id = ? AND revoked_at IS NULL",
                      (user.id,)).fetchone()[0]
    if live >= MAX_KEYS:
        raise TooManyKeys("%s has %d keys, more are not allowed" % (user.email, live), "revoke some first")
    secret = apikeys.new_key()
    cursor = db.execute("INSERT INTO api_keys (user_id, name, digest, prefix, created_at)"
                        " VALUES (?, ?, ?, ?, ?)",
                        (user.id, name, apikeys.digest(secret), apikeys.prefix(secret), now))
    note(db, actor, "key created: %s" % name, user.email, now)
    return _find_key(db, int(cursor.lastrowid or 0)), secret


def list_keys(db: sqlite3.Connection, email: Optional[str] = None) -> List[Key]:
    """Keys of one user or of all, oldest first, revoked ones as well. Raises NoSuchUser."""
    if email is None:
        return [Key(*row) for row in db.execute(_KEY + " ORDER BY k.id")]
    return [Key(*row) for row in db.execute(_KEY + " WHERE k.user_id = ? ORDER BY k.id",
                                            (find_user(db, email).id,))]


def revoke_key(db: sqlite3.Connection, key_id: int, actor: str, now: float,
               user_id: Optional[int] = None) -> Key:
    """Refuse a key from now on, and revoke the tokens that it was given.

    With `user_id` it must be that user's. Raises NoSuchKey.
    """
    key = _find_key(db, key_id)
    if user_id is not None and key.user_id != user_id:
        raise _no_key(key_id)
    if key.revoked_at is None:
        db.execute("UPDATE api_keys SET revoked_at = ? WHERE id = ?", (now, key_id))
        tokens.revoke_of_key(db, key_id, now)
        note(db, actor, "key revoked: %s" % key.name, key.email, now)
    return _find_key(db, key_id)


def _find_key(db: sqlite3.Connection, key_id: int) -> Key:
    row = db.execute(_KEY + " WHERE k.id = ?", (key_id,)).fetchone()
    if row is None:
        raise _no_key(key_id)
    return Key(*row)


def _no_key(key_id: int) -> NoSuchKey:
    return NoSuchKey("there is no key %d" % key_id, "see: jd_hub key list")


def caller(db: sqlite3.Connection, secret: str) -> Optional[Caller]:
    """Who has this API key; None if it is unknown or revoked."""
    row = db.execute(
        "SELECT u.id, u.email, k.id, u.suspended_at IS NOT NULL, k.last_used_at"
        " FROM api_keys k JOIN users u ON u.id = k.user_id"
        " WHERE k.digest = ? AND k.revoked_at IS NULL", (apikeys.digest(secret),)).fetchone()
    return None if row is None else Caller(row[0], row[1], row[2], bool(row[3]), row[4])


def key_used(db: sqlite3.Connection, key_id: int, now: float) -> None:
    """Note that a key is in use; of many calls within a minute one writes."""
    db.execute("UPDATE api_keys SET last_used_at = ? WHERE id = ?"
               " AND (last_used_at IS NULL OR abs(? - last_used_at) >= ?)",
               (now, key_id, now, KEY_USE_INTERVAL))
