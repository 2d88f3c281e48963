"""Making jobs: a grid or a list, checked whole before anything is written.

docs/protocol.md, `POST /api/jobs/create`: `parameters` is an object of name to non-empty list, and its
jobs are the Cartesian product in which the last name varies fastest; `jobs` is a non-empty list of
non-empty objects.
"""

import hashlib
import itertools
import json
import sqlite3
from typing import (
    Any,
    Callable,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from jd import fields
from jd import protocol as p
from jd.server.store.queue import jobs, transitions
from jd.server.store.search import values as stored
from jd.server.store.transaction import Transaction


class Batch(NamedTuple):
    """Jobs that can be created: each a JSON text, all of them checked."""

    total: int
    grid: Optional[List[List[str]]]  # per parameter, its `"name": value` texts
    rows: List[str]
    lease: Optional[float] = None  # seconds; None: the server's
    retry_pause: Optional[float] = None
    min_time: Optional[float] = None  # seconds that a worker must have left; None: not said

    def texts(self) -> Iterator[str]:
        """The parameters of each job, in the order of their ids."""
        if self.grid is None:
            return iter(self.rows)
        return ("{%s}" % ", ".join(parts) for parts in itertools.product(*self.grid))

    def digest(self) -> str:
        """A name for this very set of jobs."""
        # What is not said is left out: files that were loaded by an earlier version are known.
        facts = [self.grid, self.lease, self.retry_pause]
        facts += [self.min_time] if self.min_time is not None else []
        digest = hashlib.sha256(json.dumps(facts).encode())
        for row in self.rows:
            digest.update(row.encode() + b"\n")
        return digest.hexdigest()


class Created(NamedTuple):
    start_id: int
    total: int
    action: str  # "Created" or "Appended"


Grid = Union[Mapping[str, Any], Iterable[Tuple[str, Any]]]


def from_grid(parameters: Grid) -> Batch:
    """All combinations of the values of each name, given as a list or one by one by an iterator.

    Raises ProtocolError that names the key, as soon as something is wrong or too much.
    """
    grid: List[List[str]] = []
    longest = 2
    for name, values in parameters.items() if isinstance(parameters, Mapping) else parameters:
        p.check_parameter_name(name)
        texts: List[str] = []
        if isinstance(values, (list, Iterator)):
            prefix = json.dumps(name, ensure_ascii=False)
            # So many values make more jobs than are allowed, however they are spread over the names.
            most = p.MAX_JOBS_PER_BATCH - sum(len(others) - 1 for others in grid)
            for value in values:
                if len(texts) >= most:
                    raise too_many()
                texts.append("%s: %s" % (prefix, _value_text(name, value)))
        if not texts:
            raise p.ProtocolError("parameter %s: a non-empty list of values is needed, not %s" % (
                p.shown(name), "[]" if isinstance(values, Iterator) else p.shown(values)))
        longest += max(len(text.encode()) for text in texts) + 2
        _check_size(longest, "a job of this grid")
        grid.append(texts)
    if not grid:
        raise p.ProtocolError("parameters is empty: give at least one name with a list of values")
    total = 1
    for texts in grid:
        total *= len(texts)
    if total > p.MAX_JOBS_PER_BATCH:
        raise too_many(total)
    return Batch(total, grid, [])


def from_list(given: Iterable[Any], where: Callable[[int], str] = "jobs[{}]".format) -> Batch:
    """Jobs one by one; `where` names the place of one for errors, given its index.

    Raises ProtocolError as soon as something is wrong or too much.
    """
    rows: List[str] = []
    for index, job in enumerate(given):
        if index >= p.MAX_JOBS_PER_BATCH:
            raise too_many()
        try:
            rows.append(job_text(job))
        except p.ProtocolError as error:
            raise p.ProtocolError("%s: %s" % (where(index), error)) from None
    if not rows:
        raise p.ProtocolError("jobs is empty: give at least one object of parameters")
    return Batch(len(rows), None, rows)


def timed(batch: Batch, body: Mapping[str, Any]) -> Batch:
    """The batch with what the body says beside its jobs. Raises ProtocolError."""
    lease, retry_pause = durations(body)
    return batch._replace(lease=lease, retry_pause=retry_pause, min_time=min_time(body))


def durations(body: Mapping[str, Any]) -> Tuple[Optional[float], Optional[float]]:
    """Lease and retry pause of a batch, in seconds; None where the body has none. Raises ProtocolError."""
    return (fields.take_number(body, "idle_timeout", low=1.0, high=366 * 86400.0),
            fields.take_number(body, "aborted_job_reset_timeout", high=366 * 86400.0))


def min_time(body: Mapping[str, Any]) -> Optional[float]:
    """Seconds that a worker must have left for a job of a batch; None where the body does not say.
    Raises ProtocolError."""
    return fields.take_number(body, "min_time", high=p.YEAR)


def job_text(job: Any) -> str:
    """The parameters of one job as JSON. Raises ProtocolError that names what is wrong."""
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


def too_many(total: Optional[int] = None) -> p.ProtocolError:
    """The error for more jobs than are made at once; how many they are where that is known."""
    most = p.MAX_JOBS_PER_BATCH
    return p.ProtocolError("that makes {} jobs; at most {:,} at once: split it".format(
        "more than {:,}".format(most) if total is None else "{:,}".format(total), most))


# ---- operations
#
# A large batch is written in slices, so that workers are served in between. Until it is published
# its jobs cannot be claimed, and a server that starts removes what was not published.

CREATING_FROM = "creating_from"  # in `settings`: the first id of the batch that is being written
SLICE = 4_000  # jobs in one operation


def begin(t: Transaction) -> int:
    """Start a batch; gives its first id. There is one at a time."""
    start_id = int(t.db.execute("SELECT coalesce(max(id), 0) + 1 FROM jobs").fetchone()[0])
    t.db.execute("INSERT INTO settings (name, value) VALUES (?, ?)", (CREATING_FROM, str(start_id)))
    return start_id


def add(t: Transaction, first_id: int, texts: Sequence[str], batch: Batch) -> None:
    """Write a slice of the batch that was begun."""
    t.db.executemany(
        "INSERT INTO jobs (id, status, parameters, lease, retry_pause, min_time)"
        " VALUES (?, 'PENDING', ?, ?, ?, ?)",
        ((job_id, text, batch.lease, batch.retry_pause, batch.min_time)
         for job_id, text in enumerate(texts, first_id)))
    t.db.execute("UPDATE job_counts SET n = n + ? WHERE status = 'PENDING'", (len(texts),))
    stored.put(t, stored.PARAMETER,
               ((job_id, json.loads(text)) for job_id, text in enumerate(texts, first_id)))


def set_aside(t: Transaction, start_id: int, limit: int = SLICE) -> bool:
    """Delete up to `limit` jobs that were PENDING before the batch: it takes their place.

    Returns whether there are more. Until the batch is published `abandon` brings them back.
    """
    ids = [row[0] for row in t.db.execute(
        "SELECT id FROM jobs WHERE status = 'PENDING' AND id < ? ORDER BY id LIMIT ?",
        (start_id, limit))]
    jobs.add_history_line(t, ids, "replaced by new jobs")
    status = transitions.after(p.PENDING, transitions.REPLACE)
    t.db.executemany("UPDATE jobs SET status = ?, deleted_from = 'PENDING', replaced_by = ? WHERE id = ?",
                     ((status, start_id, job_id) for job_id in ids))
    return len(ids) == limit


def publish(t: Transaction, start_id: int, batch: Batch) -> Created:
    """The batch is whole: let workers have it."""
    before = t.db.execute("SELECT sum(n) FROM job_counts WHERE status <> 'DELETED'").fetchone()[0]
    t.db.execute("DELETE FROM settings WHERE name = ?", (CREATING_FROM,))
    # The rows of a batch appear for those who look at the table when it is whole.
    t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'jobs'")
    t.happened.pending += batch.total
    return Created(start_id, batch.total, "Appended" if before > batch.total else "Created")


def abandon(t: Transaction, limit: int = SLICE) -> bool:
    """Remove what was written of a batch that will not be published, if there is one, and bring
    back what it had set aside.

    That is up to `limit` jobs, of the batch the latest first: returns whether there are more.
    """
    row = t.db.execute("SELECT value FROM settings WHERE name = ?", (CREATING_FROM,)).fetchone()
    if row is None:
        return False
    if _bring_back(t, int(row[0]), limit):
        return True
    found = t.db.execute("SELECT id, parameters FROM jobs WHERE id >= ? ORDER BY id DESC LIMIT ?",
                         (int(row[0]), limit)).fetchall()
    stored.remove(t, stored.PARAMETER, ((job_id, json.loads(text)) for job_id, text in found))
    if found:
        t.db.execute("DELETE FROM jobs WHERE id >= ?", (found[-1][0],))
    if len(found) == limit:
        return True
    t.db.execute("DELETE FROM settings WHERE name = ?", (CREATING_FROM,))
    return False


def _bring_back(t: Transaction, start_id: int, limit: int) -> int:
    status = transitions.after(p.DELETED, transitions.restore(p.PENDING))
    ids = [row[0] for row in t.db.execute(
        "SELECT id FROM jobs WHERE status = 'DELETED' AND replaced_by = ? AND id < ? LIMIT ?",
        (start_id, start_id, limit))]
    t.db.executemany("UPDATE jobs SET status = ?, deleted_from = NULL, replaced_by = NULL WHERE id = ?",
                     ((status, job_id) for job_id in ids))
    t.happened.pending += len(ids)
    return len(ids)


def is_loaded(db: sqlite3.Connection, digest: str) -> bool:
    """Whether a file with these very jobs was loaded before."""
    return db.execute("SELECT 1 FROM loaded_files WHERE digest = ?",
                      (digest,)).fetchone() is not None


def publish_file(t: Transaction, start_id: int, batch: Batch, name: str, digest: str) -> Created:
    """`publish`, and remember that the file was loaded."""
    created = publish(t, start_id, batch)
    t.db.execute("INSERT INTO loaded_files (digest, name, start_id, total, loaded_at)"
                 " VALUES (?, ?, ?, ?, ?)", (digest, name, created.start_id, created.total, t.now))
    return created
