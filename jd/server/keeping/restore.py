"""A backup becomes an experiment again: all of it or nothing, and only where there is none.

The files are put beside the place first, verified, and moved there in one step.

Attempts begun after the backup may still run somewhere, and their results must not be taken for those of
attempts that the restored server begins. So this one numbers its attempts from far above all that the old
one can have given out (`queue.claim`).
"""

import json
import os
import re
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from jd.errors import JdError, StorageError
from jd.fields import check_id
from jd.files import filesystems, safedirs
from jd.killpoint import killpoint
from jd.server.keeping import backup, drafts, tarfiles
from jd.server.keeping.tarfiles import Member, Told, nobody
from jd.server.store import datadir
from jd.server.store.queue.timeleft import ATTEMPTS_FROM
from jd.server.store.schema import MIGRATIONS
from jd.storage import damage
from jd.storage.database import prepare

# Attempts of one job that servers may have begun since the backup: so many at once, and one in a second. So
# of two servers that were restored from one backup the later one, too, begins above all that the other has.
FAR = 1000
_OLDEST = 100 * 365 * 86400.0  # seconds; what a backup says of its age is no more than that
_NAMES_SINCE = 16  # migrations: from there on the names of files that are due are in the database
_USABLE = re.compile(r"(jd-backup\.json|gone\.json|meta/[^/.][^/]*"
                     r"|data/[1-9][0-9]*/[^/]+|data/\.output/[1-9][0-9]*/[1-9][0-9]*/[0-9]+)")


class Restored(NamedTuple):
    """What was restored: where, of which experiment, made when, and jobs by status."""

    directory: Path
    experiment: str
    made_at: float
    jobs: Dict[str, int]
    files: int
    forgotten: int  # files that went while the backup was made


def read_about(file: Path) -> Dict[str, Any]:
    """What a backup says of itself, before it is verified. Raises JdError, StorageError."""
    class Found(Exception):
        """It was read; the rest is not."""

    found: List[bytes] = []

    def take(member: Member) -> None:
        if member.name != backup.ABOUT or member.size > 1024 * 1024:
            raise tarfiles.damaged(file, "it does not begin with %s" % backup.ABOUT)
        found.append(member.content())
        raise Found

    try:
        tarfiles.read(file, "", take)
    except Found:
        pass
    try:
        about = json.loads(found[0].decode("utf-8"))
        usable = (isinstance(about["experiment"], str) and isinstance(about["made_at"], (int, float))
                  and isinstance(about["jobs"], dict) and isinstance(about["schema"], int)
                  and isinstance(about["format"], int))
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        usable = False
    if not usable:
        raise tarfiles.damaged(file, "%s in it cannot be read" % backup.ABOUT)
    if about["format"] > backup.FORMAT or about["schema"] > len(MIGRATIONS):
        raise StorageError("%s was made by JobDistributor %s, and this one is older" % (
            file, about.get("version")), "upgrade jd-worker")
    return dict(about)


def restore(file: Path, workspace: Path, experiment: str, told: Told = nobody) -> Restored:
    """Make the experiment in a workspace out of a backup. Raises JdError where there is one of that name, or
    the backup cannot be used; nothing has changed then. Raises StorageError."""
    about = read_about(file)
    directory = datadir.of(workspace, experiment)
    refuse_existing(directory)
    try:
        safedirs.make(workspace, safedirs.SERVER)
        _check_room(file, workspace)
        with drafts.directory(directory, "restoring") as draft:
            for name in ("meta", "data", "data/.incoming"):
                (draft / name).mkdir(0o700)
            tarfiles.read(file, "", lambda member: _place(file, draft, member), told)
            age = min(_OLDEST, max(0.0, time.time() - about["made_at"]))
            forgotten = _settle(file, draft, FAR + int(age))
            files = _check_files(file, draft)
            os.sync()  # once for all: one by one, a hundred thousand files took minutes
            _put(draft, directory)
        return Restored(directory, about["experiment"], about["made_at"], about["jobs"], files, forgotten)
    except OSError as error:
        raise StorageError("cannot restore into %s: %s" % (workspace, error.strerror or error),
                           "nothing was changed") from error


def _check_room(file: Path, workspace: Path) -> None:
    """What is unpacked has no more bytes than the backup."""
    needed, free = file.stat().st_size, shutil.disk_usage(str(workspace)).free
    if needed > free:
        raise StorageError("%s has %d MB, and only %d MB are free in %s" % (
            file, -(-needed // 2 ** 20), free >> 20, workspace),
            "nothing was changed; make room, or give another --workspace_path")


def _put(draft: Path, directory: Path) -> None:
    """Give it its name, which nothing else may have but an empty directory."""
    killpoint("keeping.restore.before-rename")
    try:
        os.rename(str(draft), str(directory))
    except OSError:
        refuse_existing(directory)
        raise
    killpoint("keeping.restore.after-rename")
    filesystems.sync_names(directory.parent)


def refuse_existing(directory: Path) -> None:
    """Raise JdError where an experiment cannot be made, since something is there."""
    if not os.path.lexists(str(directory)) or (directory.is_dir() and not any(directory.iterdir())):
        return
    if (directory / "meta" / "jobs.db").exists():
        raise JdError("there is an experiment %s already, in %s, and it is not overwritten" % (
            directory.name, directory), "give --expId another name, or remove it first: jd_server remove %s"
            % directory.name)
    raise JdError("%s is not empty, and nothing in it is overwritten" % directory,
                  "move what is there away, or give another --workspace_path")


def _place(file: Path, draft: Path, member: Member) -> None:
    """Write a member below the draft. Names that lead elsewhere are in no backup of ours."""
    if not _USABLE.fullmatch(member.name) or member.name.endswith(("/.", "/..")):
        raise tarfiles.damaged(file, "the name %r in it is none of a backup's" % member.name[:80])
    path = draft / member.name
    drafts.make_below(draft, path.parent)
    handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "wb") as target:
        for data in member.pieces():
            target.write(data)


def _settle(file: Path, draft: Path, far: int) -> int:
    """Make the database that of a server to come, whose attempts have numbers from `far` above. Returns how
    many files are forgotten."""
    try:
        gone = [check_id(row_id, "gone")
                for row_id in json.loads((draft / backup.GONE).read_text(encoding="ascii"))]
    except (OSError, ValueError, TypeError, RecursionError):
        raise tarfiles.damaged(file, "%s in it cannot be read" % backup.GONE) from None
    for name in (backup.ABOUT, backup.GONE):
        (draft / name).unlink()
    try:
        db = sqlite3.connect(str(draft / backup.DATABASE), isolation_level=None)
        try:
            prepare(db)
            damage.check_whole(db)
            db.execute("BEGIN IMMEDIATE")
            latest = db.execute("SELECT max((SELECT coalesce(max(attempt), 0) FROM jobs), coalesce((SELECT"
                                " CAST(value AS INTEGER) FROM settings WHERE name = ?), 0))",
                                (ATTEMPTS_FROM,)).fetchone()[0]
            db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (ATTEMPTS_FROM, str(latest + far)))
            if db.execute("PRAGMA user_version").fetchone()[0] >= _NAMES_SINCE:
                # A backup has each upload in a place of its own: the names are put right by the server.
                db.execute("INSERT OR IGNORE INTO names_due SELECT DISTINCT job_id FROM files"
                           " WHERE kind = 'upload' AND version > 0"
                           " UNION SELECT id FROM jobs WHERE scratch > 0")
            db.executemany("DELETE FROM files WHERE id = ?", ((row_id,) for row_id in gone))
            db.execute("COMMIT")
        finally:
            db.close()
    except damage.ERRORS as error:
        if not damage.is_damage(error):
            raise StorageError("cannot restore %s: %s" % (file, damage.reason(error)),
                               "nothing was changed") from None
        raise tarfiles.damaged(file, "its database: %s" % damage.reason(error)) from None
    return len(gone)


def _check_files(file: Path, draft: Path) -> int:
    """See that each row has its file; returns how many. A checkpoint that was signed while the backup was
    made has grown."""
    db = sqlite3.connect(str(draft / backup.DATABASE), isolation_level=None)
    try:
        count, signed = 0, []
        for row_id, job_id, kind, name, size in db.execute(
                "SELECT id, job_id, kind, stored_name, size_bytes FROM files"):
            count += 1
            try:
                found = os.stat(str(draft / "data" / str(job_id) / name)).st_size
            except FileNotFoundError:
                raise tarfiles.damaged(file, "file %s of job %d is not in it" % (name, job_id)) from None
            if kind == "checkpoint" and found > size:
                signed.append((found, row_id))
        db.executemany("UPDATE files SET size_bytes = ? WHERE id = ?", signed)
        return count
    finally:
        db.close()
