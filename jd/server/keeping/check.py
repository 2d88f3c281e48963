"""Whether an experiment's data is sound: the database in itself, and its rows against the files on disk.

It reads only, and a server may run meanwhile: what looks wrong is looked at again before it is told, since
rows and files come one after the other.
"""

import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from jd import protocol as p
from jd.errors import StorageError
from jd.server.keeping import reading
from jd.server.keeping.reading import Place
from jd.server.store.files import names, outputs
from jd.server.store.queue import jobs
from jd.server.store.reports import storage
from jd.storage import backup, damage

# Kinds of faults.
DATABASE = "database"  # SQLite finds it damaged
REFERENCE = "reference"  # a row tells of a job that there is not
COUNTER = "counter"  # a number that is kept is not that of the rows
ATTEMPT = "attempt"  # a job and its attempts do not agree
TEXT = "text"  # parameters or results of a job that cannot be read
CURVES = "curves"  # what an attempt has reported that cannot be read
MISSING = "missing"  # a row without its file
SIZE = "size"  # a file that is shorter or longer than its row says
STRAY = "stray"  # a file that no row tells of
NAME = "name"  # a name that does not stand for the newest upload
LEFTOVER = "leftover"  # what a server or command that was killed has left

SETTLED = 60.0  # seconds after which a file of a running server has its row
MOST_LINES = 20  # that SQLite has to say of one database
_META_DRAFTS = (backup.DRAFT, ".jobs.db")


class Fault(NamedTuple):
    """Something that is wrong. `text` says it to people; the rest is for the repair: a path, the id of a row,
    the job that it is about, or a column of that."""

    kind: str
    text: str
    path: Optional[Path] = None
    row: Optional[int] = None
    job: Optional[int] = None
    column: Optional[str] = None


class Report(NamedTuple):
    """What was found, and what was looked at."""

    faults: List[Fault]
    jobs: int
    files: int
    served: bool


def check(place: Place, told: Callable[[int, int], None] = lambda done, total: None,
          held: bool = False) -> Report:
    """Look at everything. `told` hears how many of the jobs with files were looked at; `held` says that it is
    this process that keeps servers out.

    Raises StorageError for a database that cannot be read at all, or is of another version.
    """
    served = not held and place.is_served
    with reading.opened(place.database, way_out=reading.BEYOND_REPAIR) as db:
        reading.check_version(db, place.database)
        faults = list(_database(db))
        faults += _counters(db)
        if faults and faults[0].kind == DATABASE:
            # What else it says cannot be relied on.
            return Report(faults, 0, 0, served)
        faults += _attempts(db)
        faults += _texts(db)
        faults += _curves(db)
        faults += _files(db, place.data, served, told)
        faults += _outputs(db, place.data)
        count = db.execute("SELECT count(*) FROM files").fetchone()[0]
        total = db.execute("SELECT count(*) FROM jobs WHERE id < ?", (jobs.creating_from(db),)).fetchone()[0]
    faults += _leftovers(place, served)
    return Report(faults, total, count, served)


def _database(db: sqlite3.Connection) -> Iterator[Fault]:
    for (line,) in db.execute("PRAGMA integrity_check(%d)" % MOST_LINES).fetchall():
        if line != "ok":
            yield Fault(DATABASE, "the database: %s" % damage.one_line(line))
    broken: Dict[Tuple[str, str], int] = {}
    for table, _row, parent, _number in db.execute("PRAGMA foreign_key_check"):
        broken[table, parent] = broken.get((table, parent), 0) + 1
    for (table, parent), count in broken.items():
        yield Fault(REFERENCE, "%d rows of %s tell of %s that there are not" % (count, table, parent))


def _counters(db: sqlite3.Connection) -> Iterator[Fault]:
    db.execute("BEGIN")
    try:
        kept = dict(db.execute("SELECT status, n FROM job_counts"))
        # Jobs of a batch that is being written count when it is whole.
        found = dict(db.execute("SELECT status, count(*) FROM jobs WHERE id < ? GROUP BY status",
                                (jobs.creating_from(db),)))
    finally:
        db.execute("COMMIT")
    for status in p.JOB_STATUSES_ALL:
        if kept.get(status) != found.get(status, 0):
            yield Fault(COUNTER, "the counter of %s jobs is %s, and there are %d" % (
                status, kept.get(status), found.get(status, 0)))


def _attempts(db: sqlite3.Connection) -> Iterator[Fault]:
    for job_id, number in db.execute(
            "SELECT a.job_id, a.number FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE a.verdict IS NULL"
            " AND (j.status <> 'SERVED' OR j.attempt <> a.number) ORDER BY a.job_id, a.number"):
        yield Fault(ATTEMPT, "attempt %d of job %d has not ended, and nobody runs it" % (number, job_id),
                    row=number, job=job_id)
    for (job_id,) in db.execute(
            "SELECT j.id FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id AND a.number = j.attempt"
            " WHERE j.status = 'SERVED' AND (a.number IS NULL OR a.verdict IS NOT NULL) ORDER BY j.id"):
        yield Fault(ATTEMPT, "job %d is SERVED, and no attempt of it runs" % job_id, job=job_id)


def _texts(db: sqlite3.Connection) -> Iterator[Fault]:
    """SQLite does not notice that a byte of a text is another one."""
    for job_id, *texts in db.execute("SELECT id, CAST(parameters AS BLOB), CAST(results AS BLOB) FROM jobs"
                                     " ORDER BY id"):
        for column, text in zip(("parameters", "results"), texts):
            if not (column == "results" and text is None or _is_object(text)):
                yield Fault(TEXT, "the %s of job %d cannot be read" % (column, job_id), job=job_id,
                            column=column)


def _is_object(text: Optional[bytes]) -> bool:
    try:
        return isinstance(json.loads((text or b"").decode("utf-8")), dict)
    except (ValueError, RecursionError):
        return False


def _curves(db: sqlite3.Connection) -> Iterator[Fault]:
    for job_id, attempt in db.execute("SELECT job_id, attempt FROM reported ORDER BY job_id, attempt"):
        if not storage.is_readable(db, job_id, attempt):
            yield Fault(CURVES, "what attempt %d of job %d has reported cannot be read" % (attempt, job_id),
                        row=attempt, job=job_id)


class _Row(NamedTuple):
    """A row of `files`."""

    id: int
    kind: str
    name: str
    version: int
    stored_name: str
    size: int


def _rows(db: sqlite3.Connection, job_id: int) -> List[_Row]:
    return [_Row(*row) for row in db.execute(
        "SELECT id, kind, name, version, stored_name, size_bytes FROM files WHERE job_id = ? ORDER BY id",
        (job_id,))]


def _files(db: sqlite3.Connection, data_dir: Path, served: bool,
           told: Callable[[int, int], None]) -> Iterator[Fault]:
    with_rows = {row[0] for row in db.execute("SELECT DISTINCT job_id FROM files")}
    wanted = sorted(with_rows | set(_numbered(data_dir)) | set(_numbered(data_dir / names.EARLIER)))
    for done, job_id in enumerate(wanted):
        if any(True for _ in _of_job(db, data_dir, job_id, served)):
            # A file is in place before its row is, and another process may be at it.
            yield from _of_job(db, data_dir, job_id, served)
        told(done + 1, len(wanted))


def _of_job(db: sqlite3.Connection, data_dir: Path, job_id: int, served: bool) -> Iterator[Fault]:
    directory, earlier = data_dir / str(job_id), data_dir / names.EARLIER / str(job_id)
    there = [(directory / entry, entry) for entry in _entries(directory)]
    aside = [(earlier / entry, entry) for entry in _entries(earlier)]
    rows = _rows(db, job_id)
    owners: Dict[Tuple[int, int], int] = {}
    # The first version of a name is looked at last: in its place is a link to the newest if it has gone.
    for row in sorted(rows, key=lambda row: row.stored_name == row.name):
        yield from _of_row(directory, row, job_id, owners)
    # Some disks take upper and lower case for the same, and so does the database.
    stored = {row.stored_name.lower() for row in rows}
    shown = stored | {row.name.lower() for row in rows if row.kind == "upload"}
    for path, entry in there + aside:
        known = shown if path.parent == directory else stored
        if entry.lower() not in known and not (served and _is_new(path)):
            yield Fault(STRAY, "%s is of no file that the database knows" % path, path, job=job_id)
    if db.execute("SELECT 1 FROM names_due WHERE job_id = ?", (job_id,)).fetchone() is None:
        yield from _names(db, directory, rows, job_id)


def _of_row(directory: Path, row: _Row, job_id: int, owners: Dict[Tuple[int, int], int]) -> Iterator[Fault]:
    """`owners` has the rows of the files that were looked at: each has one of its own."""
    path = names.actual(directory / row.stored_name)
    try:
        found: Optional[os.stat_result] = os.stat(str(path))
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise StorageError("cannot look at %s: %s" % (path, error.strerror or error)) from error
    if found is None or owners.setdefault((found.st_dev, found.st_ino), row.id) != row.id:
        yield Fault(MISSING, "%s is missing: %s %s of job %d" % (path, row.kind, row.stored_name, job_id),
                    path, row.id, job_id)
    elif found.st_size != row.size:
        yield Fault(SIZE, "%s has %d bytes, and %d were stored" % (path, found.st_size, row.size), path,
                    row.id, job_id)


def _names(db: sqlite3.Connection, directory: Path, rows: Sequence[_Row], job_id: int) -> Iterator[Fault]:
    """Names of which there are several versions: the newest that counts is what stands there."""
    for name in sorted({row.name for row in rows if row.kind == "upload" and row.version > 0}):
        newest = db.execute("SELECT stored_name FROM files WHERE job_id = ? AND kind = 'upload' AND name = ?"
                            " AND %s ORDER BY version DESC LIMIT 1" % names.COUNTS, (job_id, name)).fetchone()
        taken = db.execute("SELECT 1 FROM files WHERE job_id = ? AND stored_name = ? AND kind <> 'upload'",
                           (job_id, name)).fetchone()
        if taken is not None:
            continue
        target = directory / name
        source = None if newest is None else names.actual(directory / newest[0])
        if source is None and not os.path.lexists(str(target)):
            continue
        try:
            if source is not None and os.path.samefile(str(source), str(target)):
                continue
        except FileNotFoundError:
            if source is not None and not source.exists():
                continue  # which is told of its row
        yield Fault(NAME, "%s is not the newest %s of job %d" % (target, name, job_id), target, job=job_id)


def _outputs(db: sqlite3.Connection, data_dir: Path) -> Iterator[Fault]:
    directory = data_dir / outputs.DIRECTORY
    for job_id in _numbered(directory):
        for attempt in _numbered(directory / str(job_id)):
            found = db.execute("SELECT 1 FROM attempts WHERE job_id = ? AND number = ?", (job_id, attempt))
            path = directory / str(job_id) / str(attempt)
            if found.fetchone() is None:
                yield Fault(STRAY, "%s is the output of no attempt that the database knows" % path, path,
                            job=job_id)


def _leftovers(place: Place, served: bool) -> Iterator[Fault]:
    """A server that runs may be at these, and one that starts removes most of them."""
    if served:
        return
    kept = [(place.data / ".incoming", _entries(place.data / ".incoming"))]
    kept.append((place.meta, [entry for entry in _entries(place.meta)
                              if entry.startswith(_META_DRAFTS) or entry.endswith(".tmp")]))
    for directory, entries in kept:
        for entry in entries:
            yield Fault(LEFTOVER, "%s was left by a server that was killed" % (directory / entry),
                        directory / entry)


def _is_new(path: Path) -> bool:
    try:
        return time.time() - os.lstat(str(path)).st_ctime < SETTLED
    except OSError:
        return True  # it has just gone


def _entries(directory: Path) -> List[str]:
    try:
        return sorted(os.listdir(str(directory)))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError("cannot look into %s: %s" % (directory, error.strerror or error)) from error


def _numbered(directory: Path) -> Iterable[int]:
    return sorted(int(entry) for entry in _entries(directory) if entry.isdecimal() and entry.isascii())


def kinds(faults: Sequence[Fault]) -> Set[str]:
    """The kinds of some faults."""
    return {fault.kind for fault in faults}


def to_json(fault: Fault) -> Dict[str, Any]:
    """A fault for programs."""
    return {"kind": fault.kind, "text": fault.text, "path": None if fault.path is None else str(fault.path),
            "job_id": fault.job}
