"""The data of an experiment as other processes than its server read it, while that runs or not."""

import os
import sqlite3
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple, Optional

from jd.errors import DamagedFile, StorageError
from jd.server.keeping import drafts
from jd.server.store import direct
from jd.server.store.schema import MIGRATIONS
from jd.storage import damage, schema, serverlock
from jd.storage.database import BUSY_TIMEOUT, prepare

CHECK = "jd_server check tells more"
BEYOND_REPAIR = ("go back to a backup (jd_server restore --help), read what can be read with sqlite3 jobs.db "
                 ".recover, or begin with no jobs: jd_server --begin-anew")


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
def opened(database: Path, named: Optional[Path] = None,
           way_out: str = CHECK) -> Iterator[sqlite3.Connection]:
    """A connection that changes nothing. Raises StorageError, also for what goes wrong while it is used.

    The errors are about `named`, if that is given: the database that this one is a copy of.
    """
    told = named or database
    try:
        db = _connected(database)
        try:
            prepare(db)
            yield db
        finally:
            db.close()
    except damage.ERRORS as error:
        if damage.is_damage(error):
            raise DamagedFile("database %s" % told, damage.reason(error), way_out) from error
        raise StorageError("database %s: %s" % (told, damage.reason(error))) from error


def _connected(database: Path) -> sqlite3.Connection:
    """One that reads only would leave -wal and -shm files beside the database of a server that is stopped, of
    root's where root looks; one that may write removes them when it is closed.

    Where nothing can be written (a disk that failed, a snapshot) SQLite cannot make these files, without
    which it reads only what nobody changes."""
    for mode in ("mode=rw", "mode=ro", "immutable=1"):
        if mode == "immutable=1" and _has_log(database):
            raise StorageError("%s cannot be read where nothing can be written: a part of it is still in "
                               "%s-wal" % (database, database.name),
                               "copy the experiment to where you can write, and name that --workspace_path")
        try:
            return _begun("%s?%s" % (database.resolve().as_uri(), mode))
        except sqlite3.OperationalError:
            where = database if mode == "mode=rw" else database.parent
            if mode == "immutable=1" or os.access(str(where), os.W_OK):
                raise
    raise AssertionError("unreachable")


def _begun(uri: str) -> sqlite3.Connection:
    """A connection that has read something: SQLite opens files only then."""
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        db.execute("PRAGMA query_only = ON")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return db
    except BaseException:
        db.close()
        raise


def _has_log(database: Path) -> bool:
    """Whether there is more in the database than its own file has."""
    for suffix in ("-wal", "-journal"):
        try:
            if os.stat(str(database) + suffix).st_size:
                return True
        except FileNotFoundError:
            pass
    return False


def check_version(db: sqlite3.Connection, database: Path) -> None:
    """Raise StorageError for a database of another version than this program's."""
    version = schema.version_of(db, database, len(MIGRATIONS))
    if version == 0:
        raise DamagedFile("database %s" % database, "there is nothing in it", BEYOND_REPAIR)
    if version < len(MIGRATIONS):
        raise StorageError("%s is of an earlier version (schema %d, this one is %d)"
                           % (database, version, len(MIGRATIONS)),
                           "start its server with this version of jd_server once, then try again")


@contextmanager
def copied(database: Path, beside: Path) -> Iterator[Path]:
    """A copy of the database as it is at one moment, next to the file `beside`; it is removed afterwards.

    What takes long reads the copy: a reader of the original would let its log grow, and where there is no log
    nobody could write. Raises StorageError, also for one that is damaged: what is made of that would look
    whole.
    """
    with ExitStack() as closing:
        try:
            copy = closing.enter_context(drafts.file(beside, "db"))
        except OSError as error:
            raise StorageError("cannot write %s: %s" % (beside, error.strerror or error)) from error
        with opened(database) as source:
            _copy(source, copy, beside)
        with opened(copy, database) as db:
            damage.check_whole(db)
        yield copy


def _copy(source: sqlite3.Connection, copy: Path, beside: Path) -> None:
    try:
        schema.copy(source, copy)
    except sqlite3.OperationalError as error:
        if "full" not in str(error):
            raise
        raise StorageError("cannot write %s: its disk is full" % beside,
                           "make room, or name a file on another disk; the database is copied beside it "
                           "first") from error
