"""Issuing a worker token: who may have one for which experiment. The user's checkpoint key goes with it."""

import hashlib
import hmac
import secrets
import sqlite3
import uuid
from typing import NamedTuple

from jd.auth import jwt
from jd.errors import JdError
from jd.hub.store import experiments, tokens
from jd.hub.store.accounts import Caller
from jd.hub.store.experiments import ExperimentGone

TOKEN_LIFETIME = 3600.0  # seconds
REFRESH_MARGIN = 300.0  # seconds before its end that a worker asks for the next
_SECRET_BYTES = 32
_KEY_CONTEXT = "jd checkpoint key of user %d"


class KeyRefused(JdError):
    """403: the key was revoked or its user suspended while the request was under way."""


class NoServer(JdError):
    """503: no job server has registered for the experiment yet."""


class Issued(NamedTuple):
    """A worker token and where to go with it. `expires_at` is in Unix seconds; `checkpoint_key` is
    what the user's workers sign checkpoints with."""

    token: str
    server_url: str
    exp_name: str
    expires_at: float
    checkpoint_key: str


def issue(db: sqlite3.Connection, caller: Caller, name: str, now: float) -> Issued:
    """A token for an experiment that the caller owns or has a share of.

    Raises NoSuchExperiment, ExperimentGone, NoServer, and KeyRefused: what was revoked since the
    request came must not get a token that is on no list of revoked ones.
    """
    standing = db.execute("SELECT 1 FROM api_keys k JOIN users u ON u.id = k.user_id WHERE k.id = ?"
                          " AND k.revoked_at IS NULL AND u.suspended_at IS NULL",
                          (caller.key_id,)).fetchone()
    if standing is None:
        raise KeyRefused("the API key was revoked or its user suspended")
    found = experiments.alive(experiments.find(db, name, caller.user_id))
    if db.execute("SELECT 1 FROM users WHERE id = ? AND suspended_at IS NOT NULL",
                  (found.owner_id,)).fetchone():
        raise ExperimentGone("experiment %s is stopped: its owner %s is suspended" % (
            found.name, found.owner))
    if found.server_url is None:
        raise NoServer("experiment %s has no job server yet: start one, it registers here by itself"
                       % found.name)
    issued = int(now)
    claims = jwt.WorkerClaims(exp_id=found.id, exp_name=found.name, user_id=caller.user_id,
                              jti=uuid.uuid4().hex, iat=issued, exp=issued + int(TOKEN_LIFETIME),
                              role=experiments.role_of(db, found, caller.user_id))
    tokens.record(db, claims.jti, found.id, caller.user_id, caller.key_id, now, claims.exp)
    db.execute("UPDATE experiments SET last_activity = ? WHERE id = ?", (now, found.id))
    token = jwt.sign(claims.to_json(), experiments.secret_of(db, found.id))
    return Issued(token, found.server_url, found.name, float(claims.exp),
                  checkpoint_key(db, caller.user_id))


def checkpoint_key(db: sqlite3.Connection, user_id: int) -> str:
    """64 hexadecimal digits: the same for all keys and experiments of a user, another for each user.

    A worker with another key of the user's, or of another experiment's sweep, must be able to go on
    from a checkpoint, and nobody else must be able to make one. The Hub's own secret is made when it
    is first needed.
    """
    db.execute("INSERT OR IGNORE INTO settings (name, value) VALUES ('checkpoint_secret', ?)",
               (secrets.token_hex(_SECRET_BYTES),))
    secret, = db.execute("SELECT value FROM settings WHERE name = 'checkpoint_secret'").fetchone()
    return hmac.new(bytes.fromhex(secret), (_KEY_CONTEXT % user_id).encode("ascii"),
                    hashlib.sha256).hexdigest()
