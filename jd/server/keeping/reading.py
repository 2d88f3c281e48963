"""The data of an experiment as other processes than its server read it, while that runs or not."""

import os
import sqlite3
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

from jd.errors import DamagedFile, StorageError
from jd.server.keeping import drafts
from jd.server.store import direct
from jd.server.store.schema import MIGRATIONS
from jd.storage import damage, schema, serverlock
from jd.storage.database import BUSY_TIMEOUT, add_json


class Place(NamedTuple):
    """Where the parts of an experiment lie in its directory."""

    directory: Path

    @property
    def meta(self) -> Path:
        """The database, secrets, and who serves it."""
        return self.directory / "meta"

    @property
    def database(self) -> Path:
        """Jobs, attempts, workers."""
        return self.meta / "jobs.db"

    @property
    def data(self) -> Path:
        """Uploads, checkpoints, output."""
        return self.directory / "data"

    @property
    def quarantine(self) -> Path:
        """What repairs have set aside."""
        return self.directory / "quarantine"

    @property
    def is_served(self) -> bool:
        """Whether a server holds it, which may be starting or stopping."""
        return serverlock.holder(self.meta, "server") is not None


def find(workspace: Path, experiment: str) -> Place:
    """An experiment that was served before. Raises as `direct.find` does."""
    return Place(direct.find(workspace, experiment).parent.parent)


@contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing. Raises StorageError, also for what goes wrong while it is used."""
    try:
        db = _connected(database)
        try:
            add_json(db)
            yield db
        finally:
            db.close()
    except damage.ERRORS as error:
        if damage.is_damage(error):
            raise DamagedFile("database %s" % database, damage.reason(error),
                              "jd_server check --repair mends what can be; else go back to a backup: "
                              "jd_server restore --help") from error
        raise StorageError("database %s: %s" % (database, damage.reason(error))) from error


def _connected(database: Path) -> sqlite3.Connection:
    """One that reads only would leave -wal and -shm files beside the database of a server that is stopped, of
    root's where root looks; one that may write removes them when it is closed."""
    for mode in ("rw", "ro"):
        db = sqlite3.connect("%s?mode=%s" % (database.resolve().as_uri(), mode), uri=True,
                             timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            db.execute("PRAGMA query_only = ON")
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return db
        except sqlite3.OperationalError:
            db.close()
            if mode == "ro" or os.access(str(database), os.W_OK):
                raise
        except BaseException:
            db.close()
            raise
    raise AssertionError("unreachable")


def check_version(db: sqlite3.Connection, database: Path) -> None:
    """Raise StorageError for a database of another version than this program's."""
    version = schema.version_of(db, database, len(MIGRATIONS))
    if version < len(MIGRATIONS):
        raise StorageError("%s is of an earlier version (schema %d, this one is %d)"
                           % (database, version, len(MIGRATIONS)),
                           "start its server with this version of jd_server once, then try again")


@contextmanager
def copied(database: Path, beside: Path) -> Iterator[Path]:
    """A copy of the database as it is at one moment, next to the file `beside`; it is removed afterwards.

    What takes long reads the copy: a reader of the original would let its log grow, and where there is no log
    nobody could write. Raises StorageError.
    """
    with ExitStack() as closing:
        try:
            copy = closing.enter_context(drafts.file(beside, "db"))
        except OSError as error:
            raise StorageError("cannot write %s: %s" % (beside, error.strerror or error)) from error
        with opened(database) as source:
            schema.copy(source, copy)
        yield copy
