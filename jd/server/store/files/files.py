"""Uploads and checkpoints: a row for each, the bytes in `data/<job_id>/`.

A file is streamed to `data/.incoming/`, made durable, renamed into place, and only then is its row
written. Where that fails the file is removed again. A crash in between leaves at most a file without a row,
which the next upload of that name replaces.

A job that was begun from scratch (column `scratch` of the jobs) goes on from none of the checkpoints that it
had, and what it had uploaded is not downloaded by its name any more. People still find all of it on the job's
page.
"""

import logging
import os
import re
import secrets
import sqlite3
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Sequence, Union

from jd import protocol as p
from jd.errors import StorageError
from jd.files import filesystems
from jd.killpoint import killpoint
from jd.server.store.files import names
from jd.server.store.files.names import COUNTS
from jd.server.store.queue import attempts, jobs
from jd.server.store.transaction import Transaction
from jd.storage import filemodes
from jd.storage.filemodes import PRIVATE, Modes

UPLOAD = "upload"
CHECKPOINT = "checkpoint"
MAX_FILES_PER_JOB = 10_000
MAX_PATH_PARTS = 33
MAX_PART_BYTES = 255  # what file systems take
WRITTEN_BACK = 4 * 2 ** 20  # bytes of a file on its way in that go to the disk while more of it comes
KEPT = 3  # checkpoints of a directory, of one job: the newest, and two in case it is of no use

_CHECKPOINT_NAME = "checkpoint"

log = logging.getLogger("jd.server")


class NoSuchFile(Exception):
    """404: the job has no file of that name."""


class TooManyFiles(Exception):
    """400: a job that uploads without end."""


class Found(NamedTuple):
    """A file in its place; `kind` is UPLOAD or CHECKPOINT, `attempt` None where it is not known; `counts`: it
    is of one that does. `called` is its path in the job's directory where its client told that, else its
    name; `listed_as` is what people see it called: that path, else what it is stored as."""

    path: Path
    kind: str
    name: str
    size_bytes: int
    uploaded_at: float
    attempt: Optional[int]
    counts: bool
    called: str
    listed_as: str


class Stored(NamedTuple):
    """A file as it was taken."""

    filename: str
    version: int
    size_bytes: int


def check_file_name(name: Optional[str]) -> str:
    """Return `name` if it can be the name of a file. Raises ProtocolError otherwise."""
    if not name or name in (".", "..") or re.search(r'[/\\\x00-\x1f\x7f]', name):
        raise p.ProtocolError("file name %s cannot be used: give a plain name without / or \\ "
                              "or control characters" % p.shown(name))
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise p.ProtocolError("file name %s is not valid UTF-8" % p.shown(name)) from None
    if size > p.MAX_FILE_NAME_BYTES:
        raise p.ProtocolError("file name %s is %d bytes long; at most %d"
                              % (p.shown(name), size, p.MAX_FILE_NAME_BYTES))
    return name


def check_path(path: str) -> Optional[str]:
    """Return `path` if it can be that of a file below a job's directory; None for one directly in it, which
    has its name alone. Raises ProtocolError for any other."""
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        raise p.ProtocolError("path %s is not valid UTF-8" % p.shown(path)) from None
    parts = path.split("/")
    if (size > p.MAX_PATH_BYTES or len(parts) > MAX_PATH_PARTS or re.search(r"[\\\x00-\x1f\x7f]", path)
            or any(part in ("", ".", "..") or len(part.encode("utf-8")) > MAX_PART_BYTES for part in parts)):
        raise p.ProtocolError(
            "path %s cannot be used: give one inside the job's directory, as ckpt/a.pt, without .., \\ or "
            "control characters, of at most %d bytes and %d directories"
            % (p.shown(path), p.MAX_PATH_BYTES, MAX_PATH_PARTS - 1))
    return path if len(parts) > 1 else None


class Incoming:
    """A file on its way in. Every path out of it ends with `discard`, which is harmless later."""

    def __init__(self, data_dir: Path) -> None:
        """Raises StorageError where the data directory cannot be written."""
        self.size = 0
        self._advised = 0  # so many bytes were told to the system as not needed in memory
        self.path = data_dir / ".incoming" / secrets.token_hex(8)
        try:
            self._file: BinaryIO = os.fdopen(filemodes.create(self.path, filemodes.of(data_dir)), "wb")
        except OSError as error:
            raise _storage_error(error, data_dir) from error

    def write(self, data: Union[bytes, memoryview]) -> None:
        """Append. Raises StorageError (a full disk) naming the path."""
        try:
            self._file.write(data)
        except OSError as error:
            raise _storage_error(error, self.path) from error
        self.size += len(data)
        if self.size - self._advised >= WRITTEN_BACK:
            self._write_back()

    def _write_back(self) -> None:
        """Have the system begin to bring it to the disk, so that little is left for `settle`. Linux does, and
        waits for nothing; where a system does otherwise, `settle` takes longer."""
        if hasattr(os, "posix_fadvise"):
            try:
                os.posix_fadvise(self._file.fileno(), self._advised, self.size - self._advised,
                                 os.POSIX_FADV_DONTNEED)
            except OSError:
                pass  # it was advice
        self._advised = self.size

    def settle(self) -> None:
        """Make what was written durable. Raises StorageError."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise _storage_error(error, self.path) from error

    def discard(self) -> None:
        """Close and remove the file if it is still there. Nothing is raised: the answer is to say what went
        wrong before, and what stays on a disk that became read-only goes at the next start (`prepare`)."""
        for undo in (self._file.close, self.path.unlink):
            try:
                undo()
            except OSError:
                pass


def prepare(data_dir: Path, kept: Modes = PRIVATE) -> None:
    """Make the data directory and clear what an interrupted upload left. Raises StorageError."""
    incoming = data_dir / ".incoming"
    try:
        for directory in (data_dir, incoming):
            filemodes.make_directory(directory, kept)
        filemodes.settle(data_dir, kept)
        for left in incoming.iterdir():
            left.unlink()
    except OSError as error:
        raise _storage_error(error, data_dir) from error


def add_upload(t: Transaction, data_dir: Path, job_id: int, attempt: Optional[int], name: str,
               incoming: Incoming, reach: Optional[str] = None, path: Optional[str] = None) -> Stored:
    """Put an upload of a running attempt in place; `path` is where it lay in the job's directory.

    Raises TooManyFiles, and as attempts.check_running.
    """
    running = attempts.check_running(t.db, job_id, attempt, reach).attempt
    version = _next_version(t.db, job_id, UPLOAD, name)
    stored_name = p.stored_name(name, version)
    while _is_taken(t.db, job_id, stored_name):
        version += 1
        stored_name = p.stored_name(name, version)
    return _place(t, data_dir, _New(job_id, running, UPLOAD, name, version, stored_name, path), incoming)


def add_checkpoint(t: Transaction, data_dir: Path, job_id: int, attempt: Optional[int],
                   incoming: Incoming, reach: Optional[str] = None) -> Stored:
    """Put a checkpoint of a running attempt in place. Raises TooManyFiles, and as
    attempts.check_running."""
    running = attempts.check_running(t.db, job_id, attempt, reach).attempt
    version = _next_version(t.db, job_id, CHECKPOINT, _CHECKPOINT_NAME)
    stored = _place(t, data_dir, _New(job_id, running, CHECKPOINT, _CHECKPOINT_NAME, version,
                                      _free_name(t, job_id, version)), incoming)
    if _is_directory_checkpoint(data_dir / str(job_id) / stored.filename):
        _drop_superseded(t, data_dir, job_id)
    return stored


def _free_name(t: Transaction, job_id: int, version: int) -> str:
    """What a checkpoint of this version is stored as from now on."""
    stamp = int(t.now)
    while _is_taken(t.db, job_id, "checkpoint_v%d_%d.pt" % (version, stamp)):
        stamp += 1
    return "checkpoint_v%d_%d.pt" % (version, stamp)


def _drop_superseded(t: Transaction, data_dir: Path, job_id: int) -> None:
    """Keep the newest KEPT checkpoints of a directory. Workers save those by themselves, every few
    minutes; what a script saves with jd_update_checkpoint is kept whole."""
    rows = t.db.execute("SELECT id, stored_name FROM files WHERE job_id = ? AND kind = ? AND %s"
                        " ORDER BY version DESC LIMIT ?" % COUNTS,
                        (job_id, CHECKPOINT, 10 * KEPT)).fetchall()
    held = [(row_id, data_dir / str(job_id) / str(name)) for row_id, name in rows]
    for row_id, path in [one for one in held if _is_directory_checkpoint(one[1])][KEPT:]:
        t.db.execute("DELETE FROM files WHERE id = ?", (row_id,))
        t.happened.superseded.append(path)


def _next_version(db: sqlite3.Connection, job_id: int, kind: str, name: str) -> int:
    held = db.execute("SELECT count(*) FROM files WHERE job_id = ?", (job_id,)).fetchone()[0]
    if held >= MAX_FILES_PER_JOB:
        raise TooManyFiles("job %d has %d files already, the most a job may have" % (job_id, held))
    latest = db.execute("SELECT max(version) FROM files WHERE job_id = ? AND kind = ?"
                        " AND name = ?", (job_id, kind, name)).fetchone()[0]
    return 0 if latest is None else int(latest) + 1


def _is_taken(db: sqlite3.Connection, job_id: int, stored_name: str) -> bool:
    return db.execute("SELECT 1 FROM files WHERE job_id = ? AND stored_name = ?",
                      (job_id, stored_name)).fetchone() is not None


class _New(NamedTuple):
    """A row of `files`, as far as its file is not needed for it."""

    job_id: int
    attempt: int
    kind: str
    name: str
    version: int
    stored_name: str
    path: Optional[str] = None


def _place(t: Transaction, data_dir: Path, new: _New, incoming: Incoming) -> Stored:
    directory = data_dir / str(new.job_id)
    try:
        filemodes.make_directory(directory, filemodes.of(data_dir))
        t.if_undone(lambda db: _take_back(db, data_dir, new))
        killpoint("files.place.before-rename")
        os.replace(str(incoming.path), str(directory / new.stored_name))
        killpoint("files.place.after-rename")
        filesystems.sync(directory)
    except OSError as error:
        raise _storage_error(error, directory) from error
    of_path = 0 if new.path is None else _next_of_path(t.db, new.job_id, new.path)
    t.db.execute("INSERT INTO files (%s, size_bytes, uploaded_at, path_version) VALUES (%s?, ?, ?)"
                 % (", ".join(new._fields), "?, " * len(new)), (*new, incoming.size, t.now, of_path))
    if new.kind == UPLOAD and new.stored_name != new.name:
        try:
            names.show(t.db, data_dir, new.job_id, [new.name])
        except OSError as error:
            raise _storage_error(error, directory) from error
    return Stored(new.stored_name, new.version, incoming.size)


def _take_back(db: sqlite3.Connection, data_dir: Path, new: _New) -> None:
    """Remove a file whose row was not written: its name stands for what counted before."""
    path = data_dir / str(new.job_id) / new.stored_name
    try:
        if os.path.lexists(str(path)):
            os.unlink(str(path))
        if new.kind == UPLOAD and new.stored_name != new.name:
            names.show(db, data_dir, new.job_id, [new.name])
    except OSError as error:
        log.warning("cannot remove %s, of which the database knows nothing: %s", path,
                    error.strerror or error)


def _next_of_path(db: sqlite3.Connection, job_id: int, path: str) -> int:
    latest = db.execute("SELECT max(path_version) FROM files WHERE job_id = ? AND path = ?",
                        (job_id, path)).fetchone()[0]
    return 0 if latest is None else int(latest) + 1


def latest_checkpoint(db: sqlite3.Connection, data_dir: Path, job_id: int, kind: str) -> Path:
    """What a job goes on from: its checkpoint of the highest version that counts among those of `kind`,
    p.OBJECT or p.DIRECTORY. Raises NoSuchFile."""
    for (name,) in db.execute("SELECT stored_name FROM files WHERE job_id = ? AND kind = ? AND %s"
                              " ORDER BY version DESC" % COUNTS, (job_id, CHECKPOINT)):
        path = data_dir / str(job_id) / str(name)
        if _is_directory_checkpoint(path) == (kind == p.DIRECTORY):
            return path
    raise NoSuchFile("job %d has no checkpoint of kind %s yet" % (job_id, kind))


class Checkpoint(NamedTuple):
    """A stored checkpoint; `kind` is p.OBJECT or p.DIRECTORY."""

    row_id: int
    job_id: int
    version: int
    path: Path
    kind: str


def newest_checkpoints(db: sqlite3.Connection, data_dir: Path, job_id: int) -> List[Checkpoint]:
    """What a job would go on from: the newest of each kind that there is. Raises jobs.NoSuchJob."""
    if not jobs.exists(db, job_id):
        raise jobs.NoSuchJob(job_id)
    found: Dict[str, Checkpoint] = {}
    for row_id, version, name in db.execute(
            "SELECT id, version, stored_name FROM files WHERE job_id = ? AND kind = ? AND %s"
            " ORDER BY version DESC" % COUNTS, (job_id, CHECKPOINT)):
        path = data_dir / str(job_id) / str(name)
        kind = p.DIRECTORY if _is_directory_checkpoint(path) else p.OBJECT
        found.setdefault(kind, Checkpoint(row_id, job_id, version, path, kind))
        if len(found) == 2:
            break
    return list(found.values())


def replace(t: Transaction, checkpoint: Checkpoint, incoming: Incoming) -> str:
    """Put other bytes into the place of a checkpoint; what they are stored as. Raises NoSuchFile if it has
    gone meanwhile.

    That is another name, and the former file goes after the commit: so whenever the process is killed, the
    row tells the size of its own file.
    """
    row = t.db.execute("SELECT 1 FROM files WHERE id = ? AND stored_name = ?",
                       (checkpoint.row_id, checkpoint.path.name)).fetchone()
    if row is None:
        raise NoSuchFile("%s was removed meanwhile" % checkpoint.path.name)
    directory = checkpoint.path.parent
    new = _New(checkpoint.job_id, 0, CHECKPOINT, _CHECKPOINT_NAME, checkpoint.version,
               _free_name(t, checkpoint.job_id, checkpoint.version))
    try:
        t.if_undone(lambda db: _take_back(db, directory.parent, new))
        killpoint("files.replace.before-rename")
        os.replace(str(incoming.path), str(directory / new.stored_name))
        killpoint("files.replace.after-rename")
        filesystems.sync(directory)
    except OSError as error:
        raise _storage_error(error, checkpoint.path) from error
    t.db.execute("UPDATE files SET stored_name = ?, size_bytes = ? WHERE id = ?",
                 (new.stored_name, incoming.size, checkpoint.row_id))
    t.happened.superseded.append(checkpoint.path)
    return new.stored_name


def _is_directory_checkpoint(path: Path) -> bool:
    try:
        with open(str(path), "rb") as file:
            return file.read(len(p.DIRECTORY_MARK)) == p.DIRECTORY_MARK
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (path, error.strerror or error)) from error


def latest_upload(db: sqlite3.Connection, data_dir: Path, job_id: int, name: str) -> Path:
    """The newest version of an upload that counts, by its path, by the name the client gave, or by a stored
    one."""
    if "/" in name:
        row = db.execute("SELECT stored_name FROM files WHERE job_id = ? AND path = ? AND %s"
                         " ORDER BY path_version DESC LIMIT 1" % COUNTS, (job_id, name)).fetchone()
        if row is None:
            raise NoSuchFile("job %d has no upload at %s" % (job_id, p.shown(name)))
        return names.actual(data_dir / str(job_id) / str(row[0]))
    row = db.execute("SELECT stored_name FROM files WHERE job_id = ? AND kind = 'upload'"
                     " AND stored_name = ? AND name <> ? AND %s" % COUNTS, (job_id, name, name)).fetchone()
    if row is not None:
        return names.actual(data_dir / str(job_id) / str(row[0]))
    return _latest(db, data_dir, job_id, UPLOAD, name, "no upload named %s" % p.shown(name))


def _latest(db: sqlite3.Connection, data_dir: Path, job_id: int, kind: str, name: str,
            absence: str) -> Path:
    row = db.execute("SELECT stored_name FROM files WHERE job_id = ? AND kind = ? AND name = ? AND %s"
                     " ORDER BY version DESC LIMIT 1" % COUNTS, (job_id, kind, name)).fetchone()
    if row is None:
        raise NoSuchFile("job %d has %s" % (job_id, absence))
    return names.actual(data_dir / str(job_id) / str(row[0]))


_FOUND = "job_id, stored_name, kind, name, size_bytes, uploaded_at, attempt, path, path_version, " + COUNTS


def _found(data_dir: Path, row: Sequence[Any]) -> Found:
    job_id, stored_name, kind, name, size, uploaded_at, attempt, path, version, counts = row
    return Found(names.actual(data_dir / str(job_id) / str(stored_name)), kind, name, size, uploaded_at,
                 attempt, bool(counts), path or name, listed_as(stored_name, path, version))


def listed_as(stored_name: str, path: Optional[str], path_version: int) -> str:
    """What people see a file called, of these columns of its row."""
    return stored_name if path is None else p.listed_path(path, path_version)


def find(db: sqlite3.Connection, data_dir: Path, file_id: int) -> Found:
    """A file by its id. Raises NoSuchFile."""
    row = db.execute("SELECT %s FROM files WHERE id = ?" % _FOUND, (file_id,)).fetchone()
    if row is None:
        raise NoSuchFile("there is no file %d" % file_id)
    return _found(data_dir, row)


def of_job(db: sqlite3.Connection, data_dir: Path, job_id: int) -> List[Found]:
    """All files of a job, the oldest first."""
    return [_found(data_dir, row) for row in db.execute(
        "SELECT %s FROM files WHERE job_id = ? ORDER BY id" % _FOUND, (job_id,))]


def uploads(db: sqlite3.Connection, job_id: int) -> List[Dict[str, Any]]:
    """What a job uploaded, newest first, as far as it counts; `path` where it is known. Raises
    jobs.NoSuchJob."""
    if not jobs.exists(db, job_id):
        raise jobs.NoSuchJob(job_id)
    listed: List[Dict[str, Any]] = []
    for version, stored_name, size, uploaded_at, attempt, path, path_version in db.execute(
            "SELECT version, stored_name, size_bytes, uploaded_at, attempt, path, path_version FROM files"
            " WHERE job_id = ? AND kind = 'upload' AND %s ORDER BY id DESC" % COUNTS, (job_id,)):
        entry = {"job_id": job_id, "version": version, "filename": stored_name, "size_bytes": size,
                 "uploaded_at": uploaded_at, "format": os.path.splitext(stored_name)[1][1:].lower(),
                 "attempt": attempt}
        listed.append(entry if path is None else dict(entry, path=p.listed_path(path, path_version)))
    return listed


def _storage_error(error: OSError, path: Path) -> StorageError:
    return StorageError("cannot write %s: %s" % (path, error.strerror or error))
