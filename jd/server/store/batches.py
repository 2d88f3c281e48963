"""Making jobs: a grid or a list, checked whole before anything is written.

PROTOCOL.md, `POST /api/jobs/create`: `parameters` is an object of name to non-empty list, and its
jobs are the Cartesian product in which the last name varies fastest; `jobs` is a non-empty list of
non-empty objects.
"""

import hashlib
import itertools
import json
import sqlite3
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from jd import protocol as p
from jd.server.store import transitions


class Batch(NamedTuple):
    """Jobs that can be created: each a JSON text, all of them checked."""

    total: int
    grid: Optional[List[List[str]]]  # per parameter, its `"name": value` texts
    rows: List[str]
    lease: Optional[float] = None  # seconds; None: the server's
    retry_pause: Optional[float] = None

    def texts(self) -> Iterator[str]:
        """The parameters of each job, in the order of their ids."""
        if self.grid is None:
            return iter(self.rows)
        return ("{%s}" % ", ".join(parts) for parts in itertools.product(*self.grid))

    def digest(self) -> str:
        """A name for this very set of jobs."""
        digest = hashlib.sha256(json.dumps([self.grid, self.lease, self.retry_pause]).encode())
        for row in self.rows:
            digest.update(row.encode() + b"\n")
        return digest.hexdigest()


class Created(NamedTuple):
    start_id: int
    total: int
    action: str  # "Created" or "Appended"


def from_grid(parameters: Mapping[str, Any]) -> Batch:
    """All combinations of the values of each name. Raises ProtocolError that names the key."""
    if not parameters:
        raise p.ProtocolError("parameters is empty: give at least one name with a list of values")
    total = 1
    grid: List[List[str]] = []
    longest = 2
    for name, values in parameters.items():
        p.check_parameter_name(name)
        if not isinstance(values, list) or not values:
            raise p.ProtocolError("parameter %s: a non-empty list of values is needed, not %s" % (
                p.shown(name), p.shown(values)))
        total *= len(values)
        texts = ["%s: %s" % (json.dumps(name, ensure_ascii=False), _value_text(name, value))
                 for value in values]
        longest += max(len(text.encode()) for text in texts) + 2
        grid.append(texts)
    _check_size(longest, "a job of this grid")
    _check_total(total)
    return Batch(total, grid, [])


def from_list(jobs: Sequence[Any], where: Callable[[int], str] = "jobs[{}]".format) -> Batch:
    """Jobs one by one; `where` names the place of one for errors, given its index."""
    if not jobs:
        raise p.ProtocolError("jobs is empty: give at least one object of parameters")
    _check_total(len(jobs))
    rows = []
    for index, job in enumerate(jobs):
        try:
            rows.append(_job_text(job))
        except p.ProtocolError as error:
            raise p.ProtocolError("%s: %s" % (where(index), error)) from None
    return Batch(len(rows), None, rows)


def from_request(body: Any) -> Batch:
    """The body of `POST /api/jobs/create`. Raises ProtocolError."""
    if not isinstance(body, dict):
        raise p.ProtocolError("an object with parameters or jobs is needed, not %s" % p.shown(body))
    if ("parameters" in body) == ("jobs" in body):
        raise p.ProtocolError("give exactly one of parameters (a grid) or jobs (a list)")
    if "parameters" in body:
        batch = from_grid(p.take(body, "parameters", dict))
    else:
        batch = from_list(p.take(body, "jobs", list))
    return batch._replace(
        lease=p.take_number(body, "idle_timeout", low=1.0, high=366 * 86400.0),
        retry_pause=p.take_number(body, "aborted_job_reset_timeout", high=366 * 86400.0))


def _job_text(job: Any) -> str:
    if not isinstance(job, dict) or not job:
        raise p.ProtocolError("a non-empty object of parameters is needed, not %s" % p.shown(job))
    parts = []
    for name, value in job.items():
        p.check_parameter_name(name)
        parts.append("%s: %s" % (json.dumps(name, ensure_ascii=False), _value_text(name, value)))
    text = "{%s}" % ", ".join(parts)
    _check_size(len(text.encode()), "this job")
    return text


def _value_text(name: str, value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError):
        raise p.ProtocolError("parameter %s: %s cannot be written as JSON" % (
            p.shown(name), p.shown(value))) from None
    if isinstance(value, str) and "\0" in value:
        raise p.ProtocolError("parameter %s: a NUL character cannot be a command-line argument"
                              % p.shown(name))
    return text


def _check_size(size: int, what: str) -> None:
    if size > p.MAX_PARAMETERS_BYTES:
        raise p.ProtocolError("the parameters of %s are %d bytes as JSON; at most %d: put large "
                              "values into a file" % (what, size, p.MAX_PARAMETERS_BYTES))


def _check_total(total: int) -> None:
    if total > p.MAX_JOBS_PER_BATCH:
        raise p.ProtocolError("that makes {:,} jobs; at most {:,} at once: split it".format(
            total, p.MAX_JOBS_PER_BATCH))


# ---- operations

def create(db: sqlite3.Connection, batch: Batch, replace: bool, now: float) -> Created:
    """Add a batch with contiguous ids; with `replace` the PENDING jobs make room for it."""
    if replace:
        _delete_pending(db, now)
    last, alive = db.execute("SELECT coalesce(max(id), 0), (SELECT sum(n) FROM job_counts"
                             " WHERE status <> 'DELETED') FROM jobs").fetchone()
    db.executemany(
        "INSERT INTO jobs (id, status, parameters, lease, retry_pause)"
        " VALUES (?, 'PENDING', ?, ?, ?)",
        ((job_id, text, batch.lease, batch.retry_pause)
         for job_id, text in enumerate(batch.texts(), last + 1)))
    return Created(last + 1, batch.total, "Appended" if alive else "Created")


def load(db: sqlite3.Connection, batch: Batch, name: str, now: float) -> Optional[Created]:
    """Add the jobs of a file, once: None if a file with these very jobs was loaded before.

    So a server that is started again with the same command goes on where it was.
    """
    digest = batch.digest()
    if db.execute("SELECT 1 FROM loaded_files WHERE digest = ?", (digest,)).fetchone():
        return None
    created = create(db, batch, False, now)
    db.execute("INSERT INTO loaded_files (digest, name, start_id, total, loaded_at)"
               " VALUES (?, ?, ?, ?, ?)", (digest, name, created.start_id, created.total, now))
    return created


def _delete_pending(db: sqlite3.Connection, now: float) -> None:
    following = transitions.after(p.PENDING, transitions.REPLACE)
    db.execute("INSERT INTO job_history (job_id, timestamp, reason)"
               " SELECT id, ?, 'replaced by new jobs' FROM jobs WHERE status = 'PENDING'", (now,))
    db.execute("UPDATE jobs SET status = ? WHERE status = 'PENDING'", (following,))
