"""Experiments: whose they are, with whom they are shared, where their job server is.

Functions are operations for Database.write or .read. Where one takes `user_id`, None stands for the
administrator at the command line, who may do everything. For a user, somebody else's experiment does not
exist. One that is shared with them can be read and worked for, and nothing more. With the role `edit` their
tokens are good for its jobs as well; at the Hub that role makes no difference.

The name of a deleted experiment stays with its last owner, who may create it anew. Job servers and workers
that are still set up for the name must not end up with a stranger's experiment.
"""

import re
import secrets
import sqlite3
import uuid
from typing import List, NamedTuple, Optional

from jd.auth.jwt import EDIT, OWNER, WORK
from jd.errors import JdError
from jd.hub.store import tokens
from jd.hub.store.accounts import find_user
from jd.hub.store.history import note
from jd.protocol import ProtocolError, shown

ACTIVE = "active"
DELETED = "deleted"
MAX_EXPERIMENTS = 1000  # of one user, not counting deleted ones
MAX_SHARES = 1000  # of one experiment
SHARED_ROLES = (WORK, EDIT)

_NAME = re.compile(r"[a-z][a-z0-9-]{1,46}")
_SECRET_BYTES = 48


class NoSuchExperiment(JdError):
    """404: there is none of this name, or it is somebody else's."""


class NotOwner(JdError):
    """403: it is shared with the user, who wants what only its owner may."""


class ExperimentGone(JdError):
    """403: it was deleted."""


class NameTaken(JdError):
    """409: the name belongs to somebody, or the experiment is there already."""


class TooManyExperiments(JdError):
    """400: the user has as many as are allowed."""


class Experiment(NamedTuple):
    """Times are Unix seconds. The URLs are None until a job server has registered."""

    id: str
    name: str
    owner_id: int
    owner: str  # email address
    server_url: Optional[str]
    dashboard_url: Optional[str]
    created_at: float
    last_activity: float
    server_seen_at: Optional[float]
    deleted_at: Optional[float]

    @property
    def status(self) -> str:
        """`active` or `deleted`."""
        return ACTIVE if self.deleted_at is None else DELETED


_EXPERIMENT = ("SELECT e.id, e.name, e.owner_id, u.email, e.server_url, e.dashboard_url,"
               " e.created_at, e.last_activity, e.server_seen_at, e.deleted_at"
               " FROM experiments e JOIN users u ON u.id = e.owner_id")


def check_name(name: str) -> str:
    """`name` if an experiment of a Hub can have it. Raises ProtocolError otherwise."""
    if not _NAME.fullmatch(name):
        raise ProtocolError(
            "experiment name %s cannot be used: 2 to 47 of a-z 0-9 - are allowed, the first a "
            "letter, e.g. digits-tune" % shown(name))
    return name


# ---- finding

def _latest(db: sqlite3.Connection, name: str) -> Optional[Experiment]:
    """The experiment of this name: the living one, else the one deleted last. Names are in lower case,
    however they are asked for."""
    row = db.execute(_EXPERIMENT + " WHERE e.name = ? ORDER BY e.rowid DESC LIMIT 1",
                     (name.lower(),)).fetchone()
    return None if row is None else Experiment(*row)


def find(db: sqlite3.Connection, name: str, user_id: Optional[int]) -> Experiment:
    """The experiment, deleted or not, if the user owns it or it is shared with them.

    Raises NoSuchExperiment.
    """
    found = _latest(db, name)
    if found is not None and (user_id in (None, found.owner_id)
                              or _shared_role(db, found.id, user_id) is not None):
        return found
    raise NoSuchExperiment("there is no experiment %s%s" % (
        shown(name), "" if user_id is None else " that you own or that is shared with you"))


def owned(db: sqlite3.Connection, name: str, user_id: Optional[int]) -> Experiment:
    """The experiment, deleted or not, if the user owns it. Raises NoSuchExperiment, NotOwner."""
    found = find(db, name, user_id)
    if user_id not in (None, found.owner_id):
        raise NotOwner("experiment %s is shared with you" % found.name,
                       "only its owner %s may do this" % found.owner)
    return found


def active(db: sqlite3.Connection, name: str, user_id: Optional[int]) -> Experiment:
    """The experiment if the user owns it and it lives. Raises as `owned`, and ExperimentGone."""
    return alive(owned(db, name, user_id))


def alive(found: Experiment) -> Experiment:
    """Raises ExperimentGone if it was deleted."""
    if found.deleted_at is not None:
        raise ExperimentGone("experiment %s was deleted" % found.name)
    return found


def list_experiments(db: sqlite3.Connection, user_id: Optional[int] = None,
                     deleted: bool = False) -> List[Experiment]:
    """Experiments by name: all, or those that a user owns or has a share of."""
    conditions, values = [], []
    if not deleted:
        conditions.append("e.deleted_at IS NULL")
    if user_id is not None:
        conditions.append("(e.owner_id = ? OR EXISTS (SELECT 1 FROM shares s"
                          " WHERE s.experiment_id = e.id AND s.user_id = ?))")
        values = [user_id, user_id]
    where = " WHERE " + " AND ".join(conditions) if conditions else ""
    return [Experiment(*row)
            for row in db.execute(_EXPERIMENT + where + " ORDER BY e.name, e.rowid", values)]


def secret_of(db: sqlite3.Connection, experiment_id: str) -> str:
    """What its worker tokens are signed with."""
    return str(db.execute("SELECT secret FROM experiments WHERE id = ?",
                          (experiment_id,)).fetchone()[0])


# ---- life

def check_free(db: sqlite3.Connection, name: str, owner_id: int) -> None:
    """Whether this user may create an experiment of this name. Raises ProtocolError, NameTaken."""
    earlier = _latest(db, check_name(name))
    if earlier is not None and (earlier.deleted_at is None or earlier.owner_id != owner_id):
        raise NameTaken("the name %s is taken" % name, "choose another")


def create(db: sqlite3.Connection, name: str, owner_id: int, actor: str, now: float) -> Experiment:
    """A new experiment. Raises ProtocolError for the name, NameTaken, TooManyExperiments."""
    check_free(db, name, owner_id)
    count = db.execute("SELECT count(*) FROM experiments WHERE owner_id = ? AND deleted_at IS NULL",
                       (owner_id,)).fetchone()[0]
    if count >= MAX_EXPERIMENTS:
        raise TooManyExperiments("%d experiments of one user are the most" % count, "delete some first")
    db.execute("INSERT INTO experiments (id, name, owner_id, secret, created_at, last_activity)"
               " VALUES (?, ?, ?, ?, ?, ?)",
               (str(uuid.uuid4()), name, owner_id, _new_secret(), now, now))
    note(db, actor, "experiment created", name, now)
    return find(db, name, owner_id)


def delete(db: sqlite3.Connection, name: str, user_id: Optional[int], actor: str,
           now: float) -> Experiment:
    """Delete an experiment and revoke its tokens; once more changes nothing. Raises as `owned`."""
    found = owned(db, name, user_id)
    if found.deleted_at is None:
        db.execute("UPDATE experiments SET deleted_at = ?, last_activity = ? WHERE id = ?",
                   (now, now, found.id))
        tokens.revoke_of_experiment(db, found.id, now)
        note(db, actor, "experiment deleted", name, now)
    return owned(db, name, user_id)


def transfer(db: sqlite3.Connection, name: str, email: str, user_id: Optional[int], actor: str,
             now: float) -> Experiment:
    """Give an experiment to another user.

    The secret is a new one, since the old owner knows the old: the tokens are revoked and the new
    owner starts a job server of their own. Raises as `active`, and NoSuchUser.
    """
    found, heir = active(db, name, user_id), find_user(db, email)
    if heir.id != found.owner_id:
        tokens.revoke_of_experiment(db, found.id, now)
        db.execute("UPDATE experiments SET owner_id = ?, secret = ?, server_url = NULL,"
                   " dashboard_url = NULL, server_seen_at = NULL, pin_hash = NULL, last_activity = ?"
                   " WHERE id = ?", (heir.id, _new_secret(), now, found.id))
        db.execute("DELETE FROM shares WHERE experiment_id = ? AND user_id = ?", (found.id, heir.id))
        note(db, actor, "transferred from %s to %s" % (found.owner, heir.email), name, now)
    return find(db, name, heir.id)


def _new_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)


# ---- shares

class Share(NamedTuple):
    """Whom an experiment is shared with, and for what: one of SHARED_ROLES."""

    email: str
    role: str


def share(db: sqlite3.Connection, name: str, email: str, role: str, user_id: Optional[int], actor: str,
          now: float) -> Experiment:
    """Let another user's workers in, or change what they may; their tokens of before are revoked then.

    Raises as `active`, NoSuchUser, TooManyExperiments, and ProtocolError for another role.
    """
    if role not in SHARED_ROLES:
        raise ProtocolError("role must be %s, not %s" % (" or ".join(SHARED_ROLES), shown(role)))
    found, friend = active(db, name, user_id), find_user(db, email)
    had = _shared_role(db, found.id, friend.id)
    if friend.id == found.owner_id or had == role:
        return found
    if had is None:
        if len(shared_with(db, found.id)) >= MAX_SHARES:
            raise TooManyExperiments("experiment %s is shared with %d users, more are not allowed"
                                     % (name, MAX_SHARES))
        db.execute("INSERT INTO shares (experiment_id, user_id, created_at, role) VALUES (?, ?, ?, ?)",
                   (found.id, friend.id, now, role))
    else:
        db.execute("UPDATE shares SET role = ? WHERE experiment_id = ? AND user_id = ?",
                   (role, found.id, friend.id))
        tokens.revoke_of_share(db, found.id, friend.id, now)
    note(db, actor, "shared with %s (%s)" % (friend.email, role), name, now)
    return found


def unshare(db: sqlite3.Connection, name: str, email: str, user_id: Optional[int], actor: str,
            now: float) -> Experiment:
    """Take a share back, and the tokens that it was used for. Raises as `share`."""
    found, friend = active(db, name, user_id), find_user(db, email)
    if _shared_role(db, found.id, friend.id) is not None:
        db.execute("DELETE FROM shares WHERE experiment_id = ? AND user_id = ?",
                   (found.id, friend.id))
        tokens.revoke_of_share(db, found.id, friend.id, now)
        note(db, actor, "no longer shared with %s" % friend.email, name, now)
    return found


def role_of(db: sqlite3.Connection, found: Experiment, user_id: int) -> Optional[str]:
    """What a user's tokens for an experiment are good for (see jwt.ROLES); None without a share."""
    return OWNER if user_id == found.owner_id else _shared_role(db, found.id, user_id)


def shared_with(db: sqlite3.Connection, experiment_id: str) -> List[Share]:
    """The users that it is shared with, by email address."""
    rows = db.execute("SELECT u.email, s.role FROM shares s JOIN users u ON u.id = s.user_id"
                      " WHERE s.experiment_id = ? ORDER BY u.email", (experiment_id,))
    return [Share(*row) for row in rows]


def _shared_role(db: sqlite3.Connection, experiment_id: str, user_id: Optional[int]) -> Optional[str]:
    row = db.execute("SELECT role FROM shares WHERE experiment_id = ? AND user_id = ?",
                     (experiment_id, user_id)).fetchone()
    return None if row is None else str(row[0])


# ---- the PIN of its dashboard

class Pin(NamedTuple):
    """A PIN on its way to the job server. Numbers grow, so that the server takes each once."""

    number: int
    hash: str


def reset_pin(db: sqlite3.Connection, name: str, user_id: Optional[int], encoded: str, actor: str,
              now: float) -> Experiment:
    """Have the job server take another PIN. Raises as `active`."""
    found = active(db, name, user_id)
    # By the clock: also greater than what a server took before this Hub came back from a backup, or
    # before the experiment was created anew.
    db.execute("UPDATE experiments SET pin_number = max(pin_number + 1, ?), pin_hash = ?,"
               " last_activity = ? WHERE id = ?", (int(now * 1000), encoded, now, found.id))
    note(db, actor, "PIN of the dashboard reset", name, now)
    return found


def waiting_pin(db: sqlite3.Connection, experiment_id: str) -> Optional[Pin]:
    """The PIN that the job server has not taken yet."""
    row = db.execute("SELECT pin_number, pin_hash FROM experiments WHERE id = ? AND pin_hash IS NOT NULL",
                     (experiment_id,)).fetchone()
    return None if row is None else Pin(*row)


# ---- its job server

def register(db: sqlite3.Connection, name: str, user_id: int, server_url: str,
             dashboard_url: Optional[str], now: float) -> Experiment:
    """A job server says where it is. Raises as `active`."""
    found = active(db, name, user_id)
    db.execute("UPDATE experiments SET server_url = ?, dashboard_url = ?, server_seen_at = ?,"
               " last_activity = ? WHERE id = ?", (server_url, dashboard_url, now, now, found.id))
    return found._replace(server_url=server_url, dashboard_url=dashboard_url)


def server_seen(db: sqlite3.Connection, name: str, user_id: int, experiment_id: Optional[str],
                pin_number: int, now: float) -> Experiment:
    """A job server is still there, and has taken the PIN of this number. Raises as `active`.

    With `experiment_id` it must be the one of this name: a server of an experiment that was
    deleted and created anew is told that its own is gone. The hash of a PIN that was taken is
    forgotten: another server of the experiment has a PIN of its own.
    """
    found = active(db, name, user_id)
    if experiment_id not in (None, found.id):
        raise ExperimentGone("experiment %s was deleted and created anew" % name,
                             "start its job server again")
    db.execute("UPDATE experiments SET server_seen_at = ?, last_activity = ? WHERE id = ?",
               (now, now, found.id))
    db.execute("UPDATE experiments SET pin_hash = NULL WHERE id = ? AND pin_number <= ?",
               (found.id, pin_number))
    return found
