"""A copy of a database, taken while its server runs."""

import os
import re
import secrets
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from jd.errors import JdError, StorageError
from jd.files import filesystems
from jd.killpoint import killpoint
from jd.storage import damage, schema
from jd.storage.database import Database, add_json

DRAFT = ".backup-"  # what the name of one that is being made begins with
ABANDONED = 86400.0  # seconds after which one is nobody's
_DRAFT_NAME = re.compile(re.escape(DRAFT) + r"[0-9a-f]{16}\.db")


def write(database: Database, path: Path) -> int:
    """Copy the database into a new file of mode 0600; returns its size in bytes.

    What is copied is one consistent state, and the file is there when it is whole. Raises JdError if it is
    there already, and StorageError where it cannot be written; then no half of it stays.
    """
    draft = path.with_name("%s%s.db" % (DRAFT, secrets.token_hex(8)))
    _forget_drafts(path.parent)
    try:
        if os.path.lexists(str(path)):
            raise FileExistsError
        os.close(os.open(str(draft), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # It takes its time, and none of those that answer questions.
        with database.snapshot() as connection:
            _copy(connection, draft, path)
        filesystems.sync(draft)
        killpoint("backup.before-rename")
        _take_name(draft, path)
        killpoint("backup.after-rename")
        filesystems.sync(path.parent)
        return path.stat().st_size
    except FileExistsError:
        raise JdError("%s is there already and is not overwritten" % path, "choose another name") from None
    except OSError as error:
        raise StorageError("cannot write %s: %s" % (path, error.strerror)) from error
    finally:
        _remove(draft)


def _forget_drafts(directory: Path) -> None:
    """Remove what was being made here by a process that was killed."""
    before = time.time() - ABANDONED
    for path in directory.glob(DRAFT + "*.db"):
        try:
            if _DRAFT_NAME.fullmatch(path.name) and path.lstat().st_mtime < before:
                _remove(path)
        except OSError:
            pass  # another backup has just been made


def _take_name(draft: Path, path: Path) -> None:
    """Give the draft its name, which another file must not have. Raises OSError."""
    try:
        os.link(str(draft), str(path))
    except FileExistsError:
        raise
    except OSError:
        os.rename(str(draft), str(path))  # a file system without hard links


def _copy(source: sqlite3.Connection, draft: Path, path: Path) -> None:
    try:
        schema.copy(source, draft)
        with closing(sqlite3.connect(str(draft))) as copy:
            add_json(copy)
            damage.check_whole(copy)
    except damage.ERRORS as error:
        raise StorageError("cannot write %s: %s" % (path, damage.reason(error))) from error


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        try:
            os.unlink(str(path) + suffix)
        except FileNotFoundError:
            pass
