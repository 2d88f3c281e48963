"""A backup: one file with all that makes a server of the same experiment go on, taken while it runs or
not.

The database is copied first, as it is at one moment. A row of a file is written when the file is in its
place, and files are replaced as a whole, so the files that are read afterwards are those of the copy. The
exception are checkpoints of directories, of which a server keeps the newest: those that go meanwhile are
named in the backup, and restoring forgets them. They are read first, the newest before the others. And one
that is signed meanwhile is stored under another name: it is in the backup as it is then, under its first one.
"""

import json
import os
import re
import sqlite3
import stat
from pathlib import Path
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple

import jd
from jd.errors import StorageError
from jd.server.keeping import reading, tarfiles
from jd.server.keeping.reading import Place
from jd.server.keeping.tarfiles import Packer, Told, nobody
from jd.server.store.files import outputs
from jd.server.store.files.names import actual
from jd.server.store.queue import jobs

FORMAT = 1
ABOUT = "jd-backup.json"
GONE = "gone.json"
DATABASE = "meta/jobs.db"
# Of `meta`, what belongs to a server that runs, or to its database, which is copied otherwise.
_NOT_KEPT = re.compile(r"\..*|server\.(json|lock)|jobs\.db(|-wal|-shm|-journal|\.schema-.*)")
_PAGE = 1000  # rows read at once


class Made(NamedTuple):
    """What a backup holds; `gone` counts files that went while it was made."""

    jobs: int
    files: int
    gone: int
    size_bytes: int


def make(place: Place, file: Path, now: float, told: Told = nobody) -> Made:
    """Write the backup of an experiment into a new file of mode 0600, and read it once more to verify it.

    Raises JdError where the file is there, StorageError.
    """
    tarfiles.refuse_existing(file)
    with reading.copied(place.database, file) as copy, tarfiles.writing(file, "", now, told) as packer, \
            reading.opened(copy, place.database) as db:
        about = _about(db, place, now)
        packer.add_bytes(ABOUT, json.dumps(about, indent=2).encode("ascii"), now)
        with open(str(copy), "rb") as source:
            packer.add(DATABASE, source, os.fstat(source.fileno()).st_size, now)
        _add_meta(packer, place.meta)
        gone = _add_files(packer, db, place)
        packer.add_bytes(GONE, json.dumps(gone).encode("ascii"), now)
        _add_outputs(packer, db, place.data)
    tarfiles.read(file, "")
    return Made(sum(about["jobs"].values()), about["files"] - len(gone), len(gone), file.stat().st_size)


def size(place: Place) -> int:
    """About how many bytes a backup will have, output left out. Raises StorageError."""
    with reading.opened(place.database) as db:
        files = db.execute("SELECT coalesce(sum(size_bytes), 0) FROM files").fetchone()[0]
    return int(files) + place.database.stat().st_size


def _about(db: sqlite3.Connection, place: Place, now: float) -> Dict[str, Any]:
    identity = db.execute("SELECT value FROM settings WHERE name = 'server_id'").fetchone()
    return {
        "format": FORMAT, "experiment": place.directory.name, "made_at": now, "version": jd.__version__,
        "schema": db.execute("PRAGMA user_version").fetchone()[0],
        "server_id": None if identity is None else identity[0],
        "jobs": {status: n for status, n in jobs.counts(db).items() if n},
        "files": db.execute("SELECT count(*) FROM files").fetchone()[0]}


def _add_meta(packer: Packer, meta: Path) -> None:
    """Token, certificate, what the Hub said: what lets workers and people in as before."""
    for path in sorted(meta.iterdir()):
        if _NOT_KEPT.fullmatch(path.name):
            continue
        source = _opened(path)
        if source is not None:
            with source:
                found = os.fstat(source.fileno())
                packer.add("meta/" + path.name, source, found.st_size, found.st_mtime)


def _add_files(packer: Packer, db: sqlite3.Connection, place: Place) -> List[int]:
    """Returns the ids of the files that are not there."""
    gone = []
    for row_id, job_id, name, uploaded_at in _rows(db):
        directory = place.data / str(job_id)
        source = own(directory / name) or own(directory / _name_now(place, row_id, name))
        if source is None:
            gone.append(row_id)
            continue
        with source:
            packer.add("data/%d/%s" % (job_id, name), source, os.fstat(source.fileno()).st_size, uploaded_at)
    return gone


def _name_now(place: Place, row_id: int, name: str) -> str:
    with reading.opened(place.database) as now:
        row = now.execute("SELECT stored_name FROM files WHERE id = ?", (row_id,)).fetchone()
    return name if row is None else str(row[0])


def _rows(db: sqlite3.Connection) -> Iterator[Tuple[int, int, str, float]]:
    for kind in ("checkpoint", "upload"):
        last = 2 ** 62
        while True:
            rows = db.execute("SELECT id, job_id, stored_name, uploaded_at FROM files"
                              " WHERE kind = ? AND id < ? ORDER BY id DESC LIMIT ?",
                              (kind, last, _PAGE)).fetchall()
            yield from rows
            if len(rows) < _PAGE:
                break
            last = rows[-1][0]


def own(place: Path) -> Optional[BinaryIO]:
    """The open file of a row, wherever it is by now; None if it is nowhere. It may move while it is
    opened, and its name be another's then."""
    while True:
        path = actual(place)
        source = _opened(path)
        if actual(place) == path:
            return source
        if source is not None:
            source.close()


def _opened(path: Path) -> Optional[BinaryIO]:
    """A regular file, for reading; None for anything else, and for what is not there."""
    try:
        handle = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            return None
        raise StorageError("cannot read %s: %s" % (path, error.strerror or error)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    return os.fdopen(handle, "rb")


def _add_outputs(packer: Packer, db: sqlite3.Connection, data_dir: Path) -> None:
    """What attempts have printed. It may be more than at the time of the database: it only grows."""
    for path in _output_files(data_dir / outputs.DIRECTORY):
        job_id, attempt = path.parts[-3], path.parts[-2]
        if db.execute("SELECT 1 FROM attempts WHERE job_id = ? AND number = ?",
                      (int(job_id), int(attempt))).fetchone() is None:
            continue
        source = _opened(path)
        if source is not None:
            with source:
                found = os.fstat(source.fileno())
                packer.add("data/" + "/".join(path.parts[-4:]), source, found.st_size, found.st_mtime)


def _output_files(directory: Path) -> Iterator[Path]:
    for job_dir in _numbered(directory):
        for attempt_dir in _numbered(job_dir):
            yield from _numbered(attempt_dir)


def _numbered(directory: Path) -> List[Path]:
    try:
        with os.scandir(str(directory)) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.name.isdecimal())
    except (FileNotFoundError, NotADirectoryError):
        return []
