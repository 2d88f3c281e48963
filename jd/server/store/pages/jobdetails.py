"""One job with everything that is known of it, for a page that shows it."""

import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set

from jd.server.store import jobfields
from jd.server.store.files import files
from jd.server.store.files.names import COUNTS
from jd.server.store.jobfields import Where
from jd.server.store.pages import failures, jobtable
from jd.server.store.queue import codes, jobs
from jd.workername import split_worker_id

# The newest of each; a job that is interrupted for weeks has more.
MAX_ATTEMPTS = 200
MAX_HISTORY = 500
MAX_FILES = 500

_FIELDS = jobfields.shown(Where.DETAILS)


# What a file is among those of its job.
LATEST = "latest"  # the newest of its name: what counts
EARLIER = "earlier"  # an upload of whose name there is a newer one
SET_ASIDE = "set aside"  # of an attempt before the job was begun from scratch


class NoSuchAttempt(Exception):
    """404: the job has had no attempt of that number."""


class Output(NamedTuple):
    """What the row of an attempt tells of its output: the last of it, and how many bytes it had, None where
    its worker does not say. `attempt` is None where the job has had none; `status` is the job's."""

    status: str
    attempt: Optional[int]
    output: str = ""
    running: bool = False
    size: Optional[int] = None


def job(db: sqlite3.Connection, job_id: int, everything: bool = False) -> Dict[str, Any]:
    """A job as its page shows it: its row in the table, attempts, history, files, latest output.

    Lists begin with the newest; `attempts_total` and `files_total` count what they leave out too, which is
    nothing of attempts and history with `everything`; `alike` tells how many jobs failed as this one has.
    Raises jobs.NoSuchJob.
    """
    found = jobtable.rows(db, [job_id], _FIELDS, whole=True)
    if not found:
        raise jobs.NoSuchJob(job_id)
    return dict(
        found[0], attempts=attempts(db, job_id, -1 if everything else MAX_ATTEMPTS),
        attempts_total=found[0]["attempt"],
        history=_history(db, job_id, -1 if everything else MAX_HISTORY), files=_files(db, job_id),
        alike=failures.alike(db, job_id, found[0]["attempt"]),
        files_total=db.execute("SELECT count(*) FROM files WHERE job_id = ?", (job_id,)).fetchone()[0],
        output=output(db, job_id, None).output)


def beside(db: sqlite3.Connection, job_id: int) -> Dict[str, Optional[int]]:
    """The ids of the jobs `before` and `after` this one; None where there is none."""
    before, after = db.execute(
        "SELECT (SELECT max(id) FROM jobs WHERE id < :id),"
        " (SELECT min(id) FROM jobs WHERE id > :id AND id <= :last)",
        {"id": job_id, "last": jobs.last_id(db)}).fetchone()
    return {"before": before, "after": after}


def output(db: sqlite3.Connection, job_id: int, number: Optional[int]) -> Output:
    """The last output of an attempt, of the latest without `number`.

    Raises jobs.NoSuchJob, NoSuchAttempt.
    """
    row = db.execute("SELECT status, attempt FROM jobs WHERE id = ? AND id < ?",
                     (job_id, jobs.creating_from(db))).fetchone()
    if row is None:
        raise jobs.NoSuchJob(job_id)
    status, latest = row
    if number is None and latest == 0:
        return Output(status, None)
    wanted = latest if number is None else number
    attempt = db.execute("SELECT output_tail, verdict IS NULL, output_size FROM attempts"
                         " WHERE job_id = ? AND number = ?", (job_id, wanted)).fetchone()
    if attempt is None:
        raise NoSuchAttempt("job %d has had no attempt %d%s" % (
            job_id, wanted, "; its latest is %d" % latest if latest else ": no worker has run it yet"))
    return Output(status, wanted, attempt[0] or "", bool(attempt[1]), attempt[2])


def outputs(db: sqlite3.Connection, job_id: int) -> List[Output]:
    """`output` of each attempt of a job, the first one first. Raises jobs.NoSuchJob."""
    numbers = db.execute("SELECT number FROM attempts WHERE job_id = ? ORDER BY number", (job_id,)).fetchall()
    return [output(db, job_id, number) for number, in numbers]


def attempts(db: sqlite3.Connection, job_id: int, most: int = MAX_ATTEMPTS) -> List[Dict[str, Any]]:
    """The newest attempts of a job, the newest first; all with -1."""
    rows = db.execute(
        "SELECT a.number, a.worker_id, w.host, a.started_at, a.ended_at, a.verdict, a.message,"
        " a.exit_code, a.runtime, a.system_metrics, a.error, c.document, c.version FROM attempts a"
        " LEFT JOIN workers w ON w.worker_id = a.worker_id"
        " LEFT JOIN codes c ON c.id = a.code_id WHERE a.job_id = ?"
        " ORDER BY a.number DESC LIMIT ?", (job_id, most))
    return [{"number": row[0], "worker_id": row[1], "host": row[2] or _host(row[1]),
             "started": row[3], "ended": row[4], "verdict": row[5], "message": row[6],
             "exit_code": row[7], "runtime": row[8],
             "metrics": json.loads(row[9]) if row[9] else {},
             "error": row[10], "code": codes.of_attempt(row[11], row[12])} for row in rows]


def _host(worker_id: str) -> Optional[str]:
    name = split_worker_id(worker_id)
    return None if name is None else name.host


def _history(db: sqlite3.Connection, job_id: int, most: int) -> List[Dict[str, Any]]:
    return [{"timestamp": timestamp, "reason": reason} for timestamp, reason in db.execute(
        "SELECT timestamp, reason FROM job_history WHERE job_id = ? ORDER BY id DESC LIMIT ?",
        (job_id, most))]


class _Kinds:
    """Tells what each file of a job is, the newest first."""

    def __init__(self) -> None:
        self._newest: Set[str] = set()

    def next(self, kind: str, called: str, counts: bool) -> str:
        """LATEST, EARLIER or SET_ASIDE."""
        if not counts:
            return SET_ASIDE
        if kind == files.UPLOAD and called in self._newest:
            return EARLIER
        if kind == files.UPLOAD:
            self._newest.add(called)
        return LATEST


def states(found: Sequence[files.Found]) -> List[str]:
    """What each of all files of a job is, given the oldest first."""
    kind = _Kinds()
    return [kind.next(file.kind, file.called, file.counts) for file in reversed(found)][::-1]


def _files(db: sqlite3.Connection, job_id: int) -> List[Dict[str, Any]]:
    names = ("id", "kind", "name", "stored_name", "version", "size_bytes", "uploaded_at", "attempt")
    found: List[Dict[str, Any]] = []
    kind = _Kinds()
    for path, path_version, counts, *row in db.execute(
            "SELECT path, path_version, %s, %s FROM files WHERE job_id = ? ORDER BY id DESC LIMIT ?" % (
                COUNTS, ", ".join(names)), (job_id, MAX_FILES)):
        file = dict(zip(names, row))
        state = kind.next(file["kind"], path or file["name"], counts)
        found.append(dict(file, path=files.listed_as(file["stored_name"], path, path_version), state=state))
    return found
