"""Changing the data of an experiment from another process than its server, which may run meanwhile."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Callable, TypeVar

from jd.errors import DamagedFile, JdError, StorageError
from jd.files import plainfile, safedirs
from jd.killpoint import killpoint
from jd.server.store import aftermath, datadir
from jd.server.store.operators import options
from jd.server.store.policy import Policy
from jd.server.store.schema import MIGRATIONS
from jd.server.store.transaction import Transaction, remove_superseded
from jd.storage import damage
from jd.storage.database import BUSY_TIMEOUT, prepare
from jd.storage.schema import version_of

T = TypeVar("T")


def find(workspace: Path, experiment: str) -> Path:
    """The database of an experiment that was served before. Raises JdError, also for one that others could
    have planted; root may work for any user."""
    path = datadir.of(workspace, experiment) / "meta" / "jobs.db"
    if not path.is_file():
        raise JdError("there is no experiment %s in %s: no server has served it there"
                      % (experiment, workspace),
                      "check --expId and --workspace_path")
    if os.geteuid() != 0:
        try:
            safedirs.check_contents(path.parent, safedirs.SERVER, path.parent.parent)
            safedirs.check(path.parent.parent / "data", safedirs.SERVER, path.parent.parent)
        except OSError as error:
            raise StorageError("cannot examine %s: %s" % (path.parent, error.strerror)) from error
    return path


def write(path: Path, operation: Callable[[Transaction], T]) -> T:
    """Run a short operation in a transaction of its own, durably, and return what it returned. A server
    that runs meanwhile is not told what happened: it is for what nobody waits for.

    Raises StorageError where the database cannot be changed. One of another version is left alone: its
    server may run, and brings it up to date at its next start.
    """
    try:
        plainfile.check(path)
        db = sqlite3.connect(path.resolve().as_uri() + "?mode=rw", uri=True, timeout=BUSY_TIMEOUT,
                             isolation_level=None)
        try:
            prepare(db)
            version = version_of(db, path, len(MIGRATIONS))
            if version != len(MIGRATIONS):
                raise StorageError("%s is of another version (schema %d, this one is %d)"
                                   % (path, version, len(MIGRATIONS)),
                                   "start its server with this version of jd_server, then try again")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            t = Transaction(db, time.time(), options.load(db, Policy()), aftermath.follow)
            try:
                value = operation(t)
                aftermath.settle(db, [t.happened])
                killpoint("direct.before-commit")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                t.undone(db)
                raise
            killpoint("direct.after-commit")
            remove_superseded(t.happened)
            return value
        finally:
            db.close()  # what was not committed is undone
    except damage.ERRORS as error:
        if damage.is_damage(error):
            raise DamagedFile("database %s" % path, damage.reason(error),
                              "put a backup in its place") from error
        raise StorageError("database %s: %s" % (path, damage.reason(error))) from error
