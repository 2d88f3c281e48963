"""The version of a database's schema: what brings it up to date, and what keeps others from harming it.

`PRAGMA user_version` holds how many migrations were applied. All that are missing are applied in one
transaction, and the result is examined before it is committed. Before that the file is copied beside itself:

    jobs.db.schema-20       the database as it was with 20 migrations

So whatever goes wrong, the old file is there: in its place until the commit, as the copy after it. A copy is
removed at the first start that is more than KEPT_FOR after it was made.

The table `schema_versions` tells which version of the program first wrote a schema, so that an older one,
which does not know it, can name the version that it takes.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
from pathlib import Path

import jd
from jd.errors import DamagedFile, StorageError
from jd.files import filesystems
from jd.killpoint import killpoint
from jd.storage import damage, filemodes
from jd.storage.filemodes import Modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

KEPT_FOR = 30 * 86400.0  # seconds
_SPARE = 16 * 1024 * 1024  # bytes that stay free on the disk
_DRAFT = ".tmp"

_VERSIONS = """CREATE TABLE IF NOT EXISTS schema_versions (
  schema  INTEGER PRIMARY KEY,
  program TEXT NOT NULL,
  since   REAL NOT NULL
)"""


def version_of(connection: sqlite3.Connection, path: Path, known: int) -> int:
    """The version of a database; `known` is the newest that this program knows.

    Raises StorageError for a newer one, which names the program that it takes, and DamagedFile.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version < 0:
        raise DamagedFile(path, "its schema has the number %d" % version, "put a backup in its place")
    if version > known:
        program = _program_of(connection, version)
        raise StorageError("%s was written by a newer version (schema %d, this one knows %d)"
                           % (path, version, known),
                           "it takes jd-worker %s or newer, and this is %s" % (program, jd.__version__)
                           if program else "upgrade jd-worker, which is %s here" % jd.__version__)
    return version


def bring_up_to_date(connection: sqlite3.Connection, path: Path, migrations: Sequence[str],
                     kept: Modes) -> None:
    """Apply the migrations that are missing, all or none.

    Raises StorageError, also where there is no room for a copy, DamagedFile, and what SQLite does.
    """
    version = version_of(connection, path, len(migrations))
    if version < len(migrations):
        if version:
            _keep_copy(connection, path, version, kept)
        killpoint("database.migrate.before-commit")
        _migrate(connection, path, migrations, version)
        killpoint("database.migrate.after-commit")
    _forget_copies(path)


def copy(source: sqlite3.Connection, path: Path) -> None:
    """Copy an open database into a file that need not exist. Raises sqlite3.Error."""
    target = sqlite3.connect(str(path), isolation_level=None)
    try:
        source.backup(target)
        # One file that needs no -wal beside it.
        target.execute("PRAGMA journal_mode = DELETE")
    finally:
        target.close()


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[str], version: int) -> None:
    try:
        connection.executescript("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;"
                                 % ("\n".join(migrations[version:]), len(migrations)))
        connection.execute(_VERSIONS)
        connection.execute("INSERT OR REPLACE INTO schema_versions VALUES (?, ?, ?)",
                           (len(migrations), jd.__version__, time.time()))
        said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            raise DamagedFile(path, "its parts do not fit together (%s)" % damage.one_line(said),
                              "nothing was changed; put a backup in its place")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _program_of(connection: sqlite3.Connection, version: int) -> str:
    try:
        found = connection.execute("SELECT program FROM schema_versions WHERE schema = ?",
                                   (version,)).fetchone()
    except damage.ERRORS:
        return ""  # an even earlier version has written it, or that table is damaged
    program = "" if found is None else str(found[0])
    return program if re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", program) else ""


# ---- the copies

def copy_of(path: Path, version: int) -> Path:
    """Where the copy of a database is that was made before it got a newer schema than this."""
    return path.with_name("%s.schema-%d" % (path.name, version))


def _keep_copy(connection: sqlite3.Connection, path: Path, version: int, kept: Modes) -> None:
    target = copy_of(path, version)
    draft = target.with_name(target.name + _DRAFT)
    size = os.stat(str(path)).st_size
    # The copy, and what is written while the file gets another form.
    import shutil
    free = shutil.disk_usage(str(path.parent)).free
    if free < 2 * size + _SPARE:
        raise StorageError("%s has to be brought to a new schema, and is copied before: that takes %d MiB, "
                           "and %d MiB are free there" % (path, (2 * size + _SPARE) >> 20, free >> 20),
                           "make room; nothing was changed")
    try:
        _remove(draft)
        os.close(os.open(str(draft), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy(connection, draft)
        filemodes.apply(draft, kept)
        filesystems.sync(draft)
        killpoint("database.copy.before-rename")
        os.replace(str(draft), str(target))
        killpoint("database.copy.after-rename")
        filesystems.sync_names(path.parent)
    except (OSError, *damage.ERRORS) as error:
        raise StorageError("%s cannot be copied to %s before it gets a new schema: %s" % (
            path, target, damage.reason(error)), "nothing was changed") from error


def _forget_copies(path: Path) -> None:
    """Remove what is old, and what a crash has left."""
    before = time.time() - KEPT_FOR
    for found in path.parent.glob(path.name.replace("[", "[[]") + ".schema-*"):
        number = found.name[len(path.name + ".schema-"):]
        if number.isdecimal() and found.lstat().st_mtime < before or number.endswith(_DRAFT):
            _remove(found)


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        try:
            os.unlink(str(path) + suffix)
        except OSError:
            pass  # there is none, or it stays: no harm
