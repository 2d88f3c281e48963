"""What a server does with the data of an experiment before it serves it: it refuses a database that cannot be
the one of that data, and clears away what a crash has left.

What has to go is set aside, and not deleted: it is moved to `<expId>/quarantine/<time>/`, where it has the
place that it had in `<expId>/`.
"""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Callable, List

from jd.errors import DamagedFile, JdError, StorageError
from jd.files import safedirs
from jd.server.store.files import unplaced
from jd.server.store.schema import MIGRATIONS
from jd.storage import backup, damage, filemodes
from jd.storage.database import Database
from jd.storage.filemodes import Modes

QUARANTINE = "quarantine"
WAY_OUT = ("jd_server check tells more, and --repair mends what can be; else put a backup in its place, "
           "without jobs.db-wal and jobs.db-shm, or give --begin-anew to set it aside with the files of its "
           "jobs, and begin with none")
_LEFT_IN_META = (backup.DRAFT + "*", ".*.tmp", ".tls-*")


def open_database(directory: Path, kept: Modes) -> Database:
    """The database of an experiment whose data is in `directory`, made if there is no data yet.

    Raises DamagedFile, also for one without jobs beside files that jobs have left, and StorageError.
    """
    path = directory / "meta" / "jobs.db"
    _check_not_emptied(path, directory / "data")
    return Database(path, MIGRATIONS, kept, WAY_OUT)


def begin_anew(directory: Path, kept: Modes, say: Callable[[str], None]) -> None:
    """Set a database aside, with the files of its jobs; `say` is told where. Raises StorageError."""
    path = directory / "meta" / "jobs.db"
    parts = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm", "-journal")]
    say("the database and the files of jobs were set aside: %s" % set_aside(
        directory, [*parts, directory / "data"], kept))


def check_lost(database: Database) -> None:
    """Raises JdError for a database that is not to be set aside, since it is whole and has jobs."""
    if _has_jobs(database.path):
        raise JdError("--begin-anew is for an experiment whose database is lost or damaged, and %s is whole"
                      % database.path, "leave it out, or give another --expId")


def set_aside(directory: Path, paths: List[Path], kept: Modes) -> Path:
    """Move files and directories of an experiment's data to its quarantine; returns where they are then.

    Raises StorageError. What is not there is passed over.
    """
    aside = directory / QUARANTINE / time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime())
    try:
        for path in paths:
            if os.path.lexists(str(path)):
                target = aside / path.relative_to(directory)
                safedirs.make(target.parent, safedirs.SERVER, directory)
                filemodes.apply(target.parent, kept)
                while os.path.lexists(str(target)):
                    target = target.with_name(target.name + "_")
                os.rename(str(path), str(target))
    except OSError as error:
        raise StorageError("cannot set aside what is in %s: %s" % (
            directory, error.strerror or error)) from error
    return aside


def tidy(meta_dir: Path) -> None:
    """Remove what a server that was killed has left of files that it was making. For who holds the data."""
    for pattern in _LEFT_IN_META:
        for path in meta_dir.glob(pattern):
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(str(path))
                else:
                    os.unlink(str(path))
            except OSError:
                pass  # it stays, and does no harm


def tidy_files(database: Database, directory: Path, kept: Modes, say: Callable[[str], None]) -> None:
    """Clear away files of jobs whose rows were never written, or are gone, since the server was killed in
    between. Raises StorageError."""
    found = database.read(lambda db: unplaced.find(db, directory / "data")).result()
    for path in found.unneeded:
        try:
            os.unlink(str(path))
        except OSError:
            pass  # the next start comes by again
    if found.unknown:
        aside = set_aside(directory, found.unknown, kept)
        say("files that are in the database of no job were set aside in %s: %d, for example %s" % (
            aside, len(found.unknown), found.unknown[0]))


def _check_not_emptied(path: Path, data_dir: Path) -> None:
    """Raises DamagedFile for a database without jobs beside files that jobs have left: it is another one than
    theirs, and new jobs would get their numbers."""
    if _has_jobs(path):
        return
    owners = unplaced.jobs_with_files(data_dir)
    if owners:
        raise DamagedFile("database %s" % path, "there is no job in it, but %s has files of %s" % (
            data_dir, "job %d" % owners[0] if len(owners) == 1 else "%d jobs" % len(owners)), WAY_OUT)


def _has_jobs(path: Path) -> bool:
    """Whether there are jobs in a database, or that cannot be told."""
    try:
        if os.stat(str(path)).st_size == 0:
            return False
        with closing(sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True)) as db:
            return db.execute("SELECT 1 FROM jobs LIMIT 1").fetchone() is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
    except damage.ERRORS as error:
        return "no such table" not in str(error)
    except OSError:
        return True  # whoever opens it says what is wrong
