"""A copy of a database, taken while its server runs."""

import os
import sqlite3
from pathlib import Path

from jd import filesystems
from jd.errors import JdError, StorageError
from jd.storage.database import Database


def write(database: Database, path: Path) -> int:
    """Copy the database into a new file of mode 0600; returns its size in bytes.

    What is copied is one consistent state. Raises JdError if the file is there already, and
    StorageError where it cannot be written; then no half of it stays.
    """
    try:
        os.close(os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise JdError("%s is there already and is not overwritten" % path, "choose another name") from None
    except OSError as error:
        raise StorageError("cannot write %s: %s" % (path, error.strerror)) from error
    try:
        # It takes its time, and none of those that answer questions.
        with database.snapshot() as connection:
            _copy(connection, path)
        filesystems.sync(path)
        filesystems.sync(path.parent)
        return path.stat().st_size
    except OSError as error:
        _remove(path)
        raise StorageError("cannot write %s: %s" % (path, error.strerror)) from error
    except BaseException:
        _remove(path)
        raise


def _copy(source: sqlite3.Connection, path: Path) -> None:
    copy = sqlite3.connect(str(path), isolation_level=None)
    try:
        source.backup(copy)
        # One file that needs no -wal beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StorageError("cannot write %s: %s" % (path, error)) from error
    finally:
        copy.close()


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        try:
            os.unlink(str(path) + suffix)
        except FileNotFoundError:
            pass
