"""Puts right what `check` finds. Nothing of the user's is deleted: it goes to
`<expId>/quarantine/<date>/`.

There, files lie below the path that they had, `jobs.db` is the database as it was before, and `rows.jsonl`
has the rows of it that were removed.
"""

import json
import os
import shutil
import sqlite3
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping

from jd import protocol as p
from jd.errors import JdError, StorageError
from jd.files import wholefile
from jd.killpoint import killpoint
from jd.server.keeping import check, drafts
from jd.server.keeping.check import Fault
from jd.server.keeping.reading import Place
from jd.server.store import direct
from jd.server.store.files import names
from jd.server.store.queue import errors, jobs
from jd.server.store.reports import storage
from jd.server.store.transaction import Transaction
from jd.storage import damage
from jd.storage.database import BUSY_TIMEOUT, prepare
from jd.storage.serverlock import AlreadyServed, ServerLock

SAID = "jd_server check --repair"
Say = Callable[[str], None]


@contextmanager
def stopped(place: Place, what: str) -> Iterator[None]:
    """The data, held against servers. Raises JdError where one runs."""
    lock = ServerLock(place.meta, "server")
    try:
        lock.take()
    except AlreadyServed as taken:
        who = " (pid %s on %s)" % (taken.owner.get("pid"), taken.owner.get("host")) if taken.owner else ""
        raise JdError("the server of %s runs%s, and it cannot be %s meanwhile" % (
            place.directory.name, who, what), "stop it first") from None
    except OSError as error:
        raise StorageError("cannot lock %s: %s" % (place.meta, error.strerror or error)) from error
    try:
        yield
    finally:
        lock.release()


def repair(place: Place, faults: List[Fault], now: float, say: Say) -> None:
    """Put right what can be, of data that is held, and say each thing that was done.

    Raises StorageError; what was done until then stays, and the rest is found again.
    """
    if not faults:
        return
    aside = _Aside(place, now)
    aside.keep_database(say)
    if check.DATABASE in check.kinds(faults):
        _reindex(place, say)
        return
    for fault in faults:
        if fault.kind in (check.STRAY, check.LEFTOVER):
            aside.move(fault, say)
        elif fault.kind in (check.MISSING, check.SIZE):
            _forget(place, aside, fault, say)
        elif fault.kind == check.TEXT:
            say(direct.write(place.database, partial(_empty, aside=aside, fault=fault)))
        elif fault.kind == check.CURVES:
            say(direct.write(place.database, partial(_without_curves, fault=fault)))
    _in_database(place, faults, say)


class _Aside:
    """The directory of one repair below `quarantine`."""

    def __init__(self, place: Place, now: float) -> None:
        self._place = place
        stamp = time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(now))
        self.directory = place.quarantine / stamp
        number = 1
        while os.path.lexists(str(self.directory)):
            number += 1
            self.directory = place.quarantine / ("%s-%d" % (stamp, number))
        try:
            drafts.make_below(place.directory, self.directory)
        except OSError as error:
            raise StorageError("cannot make %s: %s" % (self.directory, error.strerror or error)) from error

    def keep_database(self, say: Say) -> None:
        """Keep the database as it is now, byte by byte: it may be too damaged for anything else."""
        for suffix in ("", "-wal", "-journal"):
            source = Path(str(self._place.database) + suffix)
            if source.exists():
                _copy(source, self.directory / source.name)
        say("kept the database as it was: %s" % (self.directory / self._place.database.name))

    def move(self, fault: Fault, say: Say) -> None:
        """Move a file, or a directory of output, there."""
        assert fault.path is not None
        target = self.directory / fault.path.relative_to(self._place.directory)
        try:
            drafts.make_below(self._place.directory, target.parent)
            killpoint("keeping.repair.before-rename")
            os.rename(str(fault.path), str(target))
            killpoint("keeping.repair.after-rename")
        except FileNotFoundError:
            return  # it has gone with what it was in
        except OSError as error:
            raise StorageError("cannot move %s: %s" % (fault.path, error.strerror or error)) from error
        say("moved %s to %s" % (fault.path, target))

    def keep_row(self, row: Mapping[str, Any]) -> None:
        """Write down a row, or a part of one, before it is removed."""
        with open(str(self.directory / "rows.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> None:
    try:
        with wholefile.replacing(target, durable=True) as copy, open(str(source), "rb") as file:
            shutil.copyfileobj(file, copy, 1024 * 1024)
    except OSError as error:
        raise StorageError("cannot copy %s to %s: %s" % (source, target, error.strerror or error)) from error


def _reindex(place: Place, say: Say) -> None:
    """Make the indexes anew out of the tables: they are most of a database, and can be lost without harm.

    Raises StorageError where that could not be done, which says nothing about the tables.
    """
    try:
        db = sqlite3.connect(str(place.database), timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            prepare(db)
            db.execute("REINDEX")
            found = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        finally:
            db.close()
    except damage.ERRORS as error:
        if isinstance(error, sqlite3.OperationalError) and not damage.is_damage(error):
            raise StorageError("the indexes of %s could not be made anew: %s"
                               % (place.database, damage.reason(error)),
                               "see to that, and run it again: the database is as it was") from error
        found = damage.reason(error)
    if found == "ok":
        say("made the indexes of the database anew: it is sound now")
    else:
        say("the indexes of the database were made anew, and it is still damaged: go back to a backup "
            "(jd_server restore --help), or read what can be read with sqlite3 jobs.db .recover")


def _forget(place: Place, aside: _Aside, fault: Fault, say: Say) -> None:
    """The database no longer tells of a file that is missing or not whole; what there is of it goes aside."""
    assert fault.row is not None and fault.job is not None
    what = "is missing" if fault.kind == check.MISSING else "was not whole and is in %s" % aside.directory

    def remove(t: Transaction) -> None:
        cursor = t.db.cursor()
        cursor.row_factory = sqlite3.Row
        row = cursor.execute("SELECT * FROM files WHERE id = ?", (fault.row,)).fetchone()
        if row is None:
            return
        aside.keep_row(dict(zip(row.keys(), row)))
        t.db.execute("DELETE FROM files WHERE id = ?", (fault.row,))
        jobs.add_history_line(t, [int(row["job_id"])], "%s: %s %s %s, and does not count any more" % (
            SAID, row["kind"], row["stored_name"], what))
        names.due(t, [int(row["job_id"])])
        t.db.execute("INSERT OR IGNORE INTO names_due (job_id) VALUES (?)", (int(row["job_id"]),))

    if fault.kind == check.SIZE:
        aside.move(fault, say)
    direct.write(place.database, remove)
    say("removed the row of %s, which %s" % (fault.path, what))


def _empty(t: Transaction, aside: _Aside, fault: Fault) -> str:
    """What cannot be read of a job goes aside, so that the rest can be shown again. Without its parameters
    nobody can run it any more."""
    assert fault.job is not None and fault.column is not None
    text = t.db.execute("SELECT CAST(%s AS BLOB) FROM jobs WHERE id = ?" % fault.column,
                        (fault.job,)).fetchone()[0]
    aside.keep_row({"job_id": fault.job, fault.column: (text or b"").decode("utf-8", "backslashreplace")})
    jobs.add_history_line(t, [fault.job], "%s: its %s could not be read, and are in %s" % (
        SAID, fault.column, aside.directory / "rows.jsonl"))
    if fault.column == "results":
        t.db.execute("UPDATE jobs SET results = NULL WHERE id = ?", (fault.job,))
        return "set the results of job %d aside" % fault.job
    t.db.execute("UPDATE jobs SET parameters = '{}' WHERE id = ?", (fault.job,))
    t.db.execute("UPDATE attempts SET verdict = ?, ended_at = ?, message = ?"
                 " WHERE job_id = ? AND verdict IS NULL", (p.VERDICT_LOST, t.now, SAID, fault.job))
    errors.keep_missing(t, fault.job, fault.job)
    status = jobs.find(t.db, fault.job).status
    if status not in (p.DONE, p.DELETED):
        t.db.execute("UPDATE jobs SET status = 'ABORTED', completion_timestamp = ?, retry_at = NULL,"
                     " lease_until = NULL, ends_by = NULL, %s WHERE id = ?" % jobs.CHANGED,
                     (t.now, fault.job))
        jobs.moved(t, status, p.ABORTED)
    return "set the parameters of job %d aside; it is not run without them" % fault.job


def _without_curves(t: Transaction, fault: Fault) -> str:
    """What an attempt has reported is of no use where it cannot be read; the copy of the database has it."""
    assert fault.job is not None and fault.row is not None
    storage.forget(t, fault.job, fault.row)
    jobs.add_history_line(t, [fault.job], "%s: what attempt %d has reported could not be read, and was "
                                          "removed" % (SAID, fault.row))
    return "removed what attempt %d of job %d has reported" % (fault.row, fault.job)


def _in_database(place: Place, faults: List[Fault], say: Say) -> None:
    for fault in faults:
        if fault.kind == check.ATTEMPT and fault.job is not None:
            say(direct.write(place.database, partial(_end, fault=fault)))
    named = sorted({fault.job for fault in faults if fault.kind == check.NAME and fault.job is not None})
    if named:
        direct.write(place.database, lambda t: names.due(t, named))
        say("names of files of %d jobs are put right when the server starts: %s" % (
            len(named), ", ".join(map(str, named[:10])) + (", ..." if len(named) > 10 else "")))
    if check.COUNTER in check.kinds(faults):
        direct.write(place.database, _count)
        say("counted the jobs anew")


def _end(t: Transaction, fault: Fault) -> str:
    """An attempt that nobody runs is lost; a job that is SERVED without one goes back to the queue."""
    assert fault.job is not None
    if fault.row is not None:
        t.db.execute("UPDATE attempts SET verdict = ?, ended_at = ?, message = ?"
                     " WHERE job_id = ? AND number = ?",
                     (p.VERDICT_LOST, t.now, SAID, fault.job, fault.row))
        errors.keep_missing(t, fault.job, fault.job)
        jobs.add_history_line(t, [fault.job], "%s: attempt %d had not ended, and nobody ran it" % (
            SAID, fault.row))
        return "ended attempt %d of job %d as lost" % (fault.row, fault.job)
    if t.db.execute("UPDATE jobs SET status = 'PENDING', lease_until = NULL, ends_by = NULL, %s WHERE id = ?"
                    " AND status = 'SERVED'" % jobs.CHANGED, (fault.job,)).rowcount:
        jobs.moved(t, p.SERVED, p.PENDING)
    jobs.add_history_line(t, [fault.job], "%s: no attempt of it ran, back to the queue" % SAID)
    return "put job %d back into the queue" % fault.job


def _count(t: Transaction) -> None:
    t.db.execute("UPDATE job_counts SET n ="
                 " (SELECT count(*) FROM jobs WHERE jobs.status = job_counts.status AND jobs.id < ?)",
                 (jobs.creating_from(t.db),))
