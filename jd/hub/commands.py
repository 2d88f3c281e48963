"""The commands of `jd_hub` other than `serve`: they open the same database as the running Hub, and
what they change counts there at once.
"""

import os
import pwd
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd.auth import pins, secretfile
from jd.auth.jwt import EDIT, WORK
from jd.errors import JdError
from jd.hub.data import HubData
from jd.hub.routes import created, signup_url
from jd.hub.store import accounts, experiments
from jd.hub.store.accounts import Key, User
from jd.hub.store.experiments import Experiment, Share
from jd.storage import backup
from jd.terminal import columns, duration, is_terminal, paint, table


class Report(NamedTuple):
    """What a command found: an object for programs, lines for people."""

    facts: Dict[str, Any]
    lines: Sequence[str]
    secret: Optional["Secret"] = None


class Secret(NamedTuple):
    """What stands in the lines as SECRET: for a terminal itself, else kept in a file."""

    text: str
    file: Path


SECRET = "\0"


Command = Callable[[HubData, Namespace], Report]


def actor() -> str:
    """Who is at the command line, for the history."""
    try:
        return "cli (%s)" % pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "cli (uid %d)" % os.getuid()


def ago(now: float, then: Optional[float]) -> str:
    """How long ago, for people."""
    return "never" if then is None else duration(now - then) + " ago"


def page(header: Sequence[str], rows: Sequence[Tuple[Sequence[str], bool]], empty: str,
         numeric: Sequence[int] = ()) -> List[str]:
    """A table cut to the terminal; a row marked True is of something past, and dim."""
    if not rows:
        return [empty]
    lines = table(header, [cells for cells, _ in rows], numeric)
    if is_terminal(sys.stdout):
        lines = [line[:columns()] for line in lines]
    return [paint(lines[0], "bold")] + [
        paint(line, "dim") if past else line for line, (_, past) in zip(lines[1:], rows)]


# ---- users

def _signup_report(data: HubData, arguments: Namespace, user: User, token: str,
                   what: str) -> Report:
    url = signup_url(arguments.base_url or data.url(), token)
    return Report({"user_id": user.id, "email": user.email, "signup_url": url},
                  [what, "  sign up  " + SECRET, "           works once, for 7 days"],
                  Secret(url, data.kept("signup", user.id)))


def user_add(data: HubData, arguments: Namespace) -> Report:
    """A new user and the link to sign up with."""
    user, token = data.write_now(lambda db, now: accounts.invite(
        db, arguments.email, arguments.admin, actor(), now))
    return _signup_report(data, arguments, user, token, "added %s" % user.email)


def user_link(data: HubData, arguments: Namespace) -> Report:
    """A new link for somebody who lost theirs, or their password."""
    user, token = data.write_now(lambda db, now: accounts.invite_again(db, arguments.email, actor(), now))
    return _signup_report(data, arguments, user, token, "new link for %s" % user.email)


def _user_facts(user: User) -> Dict[str, Any]:
    return {"user_id": user.id, "email": user.email, "admin": user.admin,
            "signed_up": user.signed_up, "created_at": user.created_at,
            "status": "active" if user.suspended_at is None else "suspended",
            "suspended_at": user.suspended_at}


def user_list(data: HubData, _arguments: Namespace) -> Report:
    """Everybody."""
    users, now = data.read_now(accounts.list_users), time.time()
    rows = [((user.email, "admin" if user.admin else "user",
              "suspended" if user.suspended_at is not None
              else "active" if user.signed_up else "invited", ago(now, user.created_at)),
             user.suspended_at is not None) for user in users]
    return Report({"users": [_user_facts(user) for user in users]},
                  page(("EMAIL", "ROLE", "STATUS", "ADDED"), rows,
                       "no users yet; add one: jd_hub user add EMAIL"))


def user_suspend(data: HubData, arguments: Namespace) -> Report:
    """Shut somebody out."""
    user = data.write_now(lambda db, now: accounts.suspend(db, arguments.email, actor(), now))
    return Report(_user_facts(user), ["%s is suspended: keys are refused, worker tokens revoked"
                                      % user.email])


def user_resume(data: HubData, arguments: Namespace) -> Report:
    """Let somebody in again."""
    user = data.write_now(lambda db, now: accounts.resume(db, arguments.email, actor(), now))
    return Report(_user_facts(user), ["%s is active" % user.email])


# ---- keys

def key_create(data: HubData, arguments: Namespace) -> Report:
    """A new key, shown this once."""
    key, secret = data.write_now(lambda db, now: accounts.create_key(
        db, arguments.user, arguments.name, actor(), now))
    return Report({"id": key.id, "name": key.name, "key": secret},
                  ["key %d (%s) of %s; keep it now, it is not shown again" % (
                      key.id, key.name, key.email), "  export JD_API_KEY=" + SECRET],
                  Secret(secret, data.kept("key", key.id)))


def _key_facts(key: Key) -> Dict[str, Any]:
    return {"id": key.id, "name": key.name, "user": key.email, "prefix": key.prefix,
            "status": "active" if key.revoked_at is None else "revoked",
            "created_at": key.created_at, "last_used_at": key.last_used_at,
            "revoked_at": key.revoked_at}


def key_list(data: HubData, arguments: Namespace) -> Report:
    """Keys of one user or of all."""
    keys, now = data.read_now(lambda db: accounts.list_keys(db, arguments.user)), time.time()
    rows = [((str(key.id), key.name, key.email, key.prefix,
              "active" if key.revoked_at is None else "revoked", ago(now, key.last_used_at)),
             key.revoked_at is not None) for key in keys]
    return Report({"keys": [_key_facts(key) for key in keys]},
                  page(("ID", "NAME", "USER", "KEY", "STATUS", "LAST USED"), rows,
                       "no keys yet; create one: jd_hub key create --user EMAIL --name NAME", (0,)))


def key_revoke(data: HubData, arguments: Namespace) -> Report:
    """Refuse a key from now on."""
    key = data.write_now(lambda db, now: accounts.revoke_key(db, arguments.id, actor(), now))
    secretfile.forget(data.kept("key", key.id))
    return Report(_key_facts(key), ["key %d (%s) of %s is revoked, and the worker tokens it was given"
                                    % (key.id, key.name, key.email)])


# ---- experiments

def experiment_create(data: HubData, arguments: Namespace) -> Report:
    """A new experiment of a user."""
    owner = data.read_now(lambda db: accounts.find_user(db, arguments.user))
    found = data.write_now(lambda db, now: experiments.create(db, arguments.name, owner.id, actor(), now))
    facts = created(found)
    return Report(facts, [facts["message"], "  owner  %s" % found.owner, "  id     %s" % found.id])


def _experiment_facts(found: Experiment, friends: Sequence[Share]) -> Dict[str, Any]:
    return {"id": found.id, "name": found.name, "owner": found.owner, "status": found.status,
            "shared_with": [friend._asdict() for friend in friends], "server_url": found.server_url,
            "dashboard_url": found.dashboard_url, "created_at": found.created_at,
            "last_activity": found.last_activity, "server_seen_at": found.server_seen_at}


def _experiment_report(data: HubData, found: Experiment, line: str) -> Report:
    friends = data.read_now(lambda db: experiments.shared_with(db, found.id))
    return Report(_experiment_facts(found, friends), [line])


def experiment_list(data: HubData, arguments: Namespace) -> Report:
    """Experiments of all, or those that one user may use."""
    user_id = None
    if arguments.user is not None:
        user_id = data.read_now(lambda db: accounts.find_user(db, arguments.user)).id
    found = data.read_now(lambda db: experiments.list_experiments(db, user_id, arguments.all))
    now = time.time()
    friends = data.read_now(lambda db: [experiments.shared_with(db, one.id) for one in found])
    rows = [((one.name, one.owner, one.status, ago(now, one.server_seen_at), one.server_url or "none yet",
              ", ".join("%s (%s)" % share for share in shares)), one.deleted_at is not None)
            for one, shares in zip(found, friends)]
    facts = [_experiment_facts(one, shares) for one, shares in zip(found, friends)]
    return Report({"experiments": facts},
                  page(("NAME", "OWNER", "STATUS", "SERVER SEEN", "SERVER", "SHARED WITH"), rows,
                       "no experiments yet; create one: jd_hub experiment create NAME --user EMAIL"))


def experiment_delete(data: HubData, arguments: Namespace) -> Report:
    """Delete an experiment; on a terminal its name has to be typed once more."""
    if is_terminal(sys.stdin) and not arguments.yes:
        known = data.read_now(lambda db: experiments.active(db, arguments.name, None))
        print("%s of %s: its job server and its workers are told to stop. Type %s to delete it: " % (
            known.name, known.owner, known.name), end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip() != known.name:
            raise JdError("%s was not deleted" % known.name, "type its name, or give --yes")
    found = data.write_now(lambda db, now: experiments.delete(db, arguments.name, None, actor(), now))
    return _experiment_report(data, found, "experiment %s is deleted; its job server and its workers "
                                           "are told to stop" % found.name)


def experiment_transfer(data: HubData, arguments: Namespace) -> Report:
    """Give an experiment to another user."""
    found = data.write_now(lambda db, now: experiments.transfer(
        db, arguments.name, arguments.email, None, actor(), now))
    return _experiment_report(data, found, "experiment %s belongs to %s; start its job server with a "
                                           "key of theirs" % (found.name, found.owner))


def experiment_share(data: HubData, arguments: Namespace) -> Report:
    """Let another user's workers in, or change what they may."""
    found = data.write_now(lambda db, now: experiments.share(
        db, arguments.name, arguments.email, arguments.role, None, actor(), now))
    return _experiment_report(data, found, "experiment %s is shared with %s, who may %s" % (
        found.name, arguments.email, _MEANING[arguments.role]))


_MEANING = {WORK: "work for it and nothing more; --role edit lets them create and see its jobs as well",
            EDIT: "work for it, create and see its jobs, and download what they uploaded"}


def experiment_unshare(data: HubData, arguments: Namespace) -> Report:
    """Take a share back."""
    found = data.write_now(lambda db, now: experiments.unshare(
        db, arguments.name, arguments.email, None, actor(), now))
    return _experiment_report(data, found, "experiment %s is not shared with %s" % (
        found.name, arguments.email))


def experiment_pin_reset(data: HubData, arguments: Namespace) -> Report:
    """Another PIN for the dashboard, shown this once."""
    data.read_now(lambda db: experiments.active(db, arguments.name, None))
    pin = pins.new_pin()
    encoded = pins.encode(pin)
    found = data.write_now(lambda db, now: experiments.reset_pin(
        db, arguments.name, None, encoded, actor(), now))
    return Report({"name": found.name, "pin": pin}, [
        "new PIN for the dashboard of %s: %s" % (found.name, SECRET),
        ("its job server takes it within 30 s while it runs, else after its next start, "
         "and signs everybody out"),
    ], Secret(pin, data.kept("pin", found.name)))


# ---- the rest

def make_backup(data: HubData, arguments: Namespace) -> Report:
    """Copy the database while the Hub runs."""
    path = Path(os.path.abspath(arguments.file))
    size = backup.write(data.database, path)
    return Report({"file": str(path), "size_bytes": size},
                  ["%s (%d KiB); it holds secrets: keep it as safe as the original" % (
                      path, (size + 1023) // 1024)])
