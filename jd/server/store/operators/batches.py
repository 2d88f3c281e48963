"""Jobs on their way into the table, a batch at a time.

A large batch is written in slices, so that workers are served in between. Until it is published its jobs
cannot be claimed, and a server that starts removes what was not published.
"""

import itertools
import json
import sqlite3
from contextlib import contextmanager
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.operators import brokensweep, dependencies, tags
from jd.server.store.queue import ending, jobs, needs, transitions
from jd.server.store.search import values as stored
from jd.server.store.transaction import Transaction


class Terms(NamedTuple):
    """What a batch says for all of its jobs, in columns of theirs of these names; None: nothing. `needs` are
    tags that a worker must have, which stand in a table of their own (`queue.needs`), and so do `tags`."""

    lease: Optional[float] = None  # seconds
    retry_pause: Optional[float] = None  # seconds
    min_time: Optional[float] = None  # seconds that a worker must have left
    timeout: Optional[float] = None  # seconds that a script may run
    max_attempts: Optional[int] = None
    priority: Optional[int] = None
    needs: Optional[Tuple[str, ...]] = None
    flags: Optional[str] = None  # how the script gets its parameters
    after: Optional[Tuple[int, ...]] = None  # jobs that are to be DONE first (`dependencies`)
    tags: Optional[Tuple[str, ...]] = None  # by which people find them again

    def over(self, others: "Terms") -> "Terms":
        """These, and of what they do not say, the others."""
        return Terms._make(other if own is None else own for own, other in zip(self, others))


class Existing(NamedTuple):
    """The jobs of a batch that exist already, so that they were not made: how many, how many of these are
    DELETED, and the id of each job of the batch, 0 where it did not exist. Without ids it is all of a jobs
    file that was loaded before."""

    total: int
    deleted: int
    ids: Sequence[int]


class Created(NamedTuple):
    """A batch that was made. `existing` is told of one from which only what is new was made; where that
    was nothing, `total` is 0."""

    start_id: int
    total: int
    action: str  # "Created", "Appended" or "Unchanged"
    existing: Optional[Existing] = None
    replaced: Optional[int] = None  # jobs whose place it took, where it was to take any

    def to_json(self) -> Dict[str, Any]:
        """The answer to who has asked for it."""
        made = "nothing was created" if not self.total else "%s jobs: %d, with ids %d to %d" % (
            self.action, self.total, self.start_id, self.start_id + self.total - 1)
        answer: Dict[str, Any] = {
            "success": True, "total_jobs": self.total, "action": self.action,
            "start_id": self.start_id if self.total else None, "message": made}
        if self.replaced is not None:
            answer.update(replaced=self.replaced,
                          message="%s; replaced jobs, now DELETED: %d" % (made, self.replaced))
        if self.existing is None:
            return answer
        answer.update(created=self.total, existing=self.existing.total, deleted=self.existing.deleted,
                      message="%s; %s" % (self.said_of_existing(), made))
        if not self.existing.ids:
            return answer
        new = itertools.count(self.start_id)
        ids = (found or next(new) for found in self.existing.ids)
        if len(self.existing.ids) <= p.MAX_IDS:
            answer["ids"] = list(ids)
        else:
            runs = _runs(ids)
            if len(runs) <= p.MAX_IDS:
                answer["id_runs"] = runs
        return answer

    def said_of_existing(self) -> str:
        """How many of the batch exist, for people."""
        total, deleted, ids = self.existing or Existing(0, 0, ())
        return "%d of %d exist%s already%s" % (total, len(ids) or total, "s" if total == 1 else "",
                                               ", %d of them deleted" % deleted if deleted else "")


def _runs(ids: Iterable[int]) -> List[List[int]]:
    """Ids in their order, as runs [first, last] without a gap: the first of them, where they are more than
    MAX_IDS."""
    found: List[List[int]] = []
    for job_id in ids:
        if found and job_id == found[-1][1] + 1:
            found[-1][1] = job_id
        else:
            found.append([job_id, job_id])
            if len(found) > p.MAX_IDS:
                break
    return found


CREATING_FROM = "creating_from"  # in `settings`: the first id of the batch that is being written
LOADING = "loading"  # in `settings`: while jobs files are being loaded
SLICE = 4_000  # jobs in one operation at most; how many it is says the time that they take
MANY = 1_000  # jobs in one operation that are not checked row by row
# Rows of one statement: SQLite before 3.32 can bind 999 values.
_PLACES = {rows: ", ".join("(%d, ?)" % place for place in range(rows)) for rows in (200, 20, 4, 1)}
SERVED_SLICE = 200  # to end an attempt is several steps

# Whose place a batch takes: that of jobs in these statuses. What waits goes first, so that it is not given
# out meanwhile.
REPLACE_PENDING = (p.PENDING,)
REPLACE_ALL = (p.PENDING, p.ABORTED, p.DONE, p.SERVED)


def expect(t: Transaction) -> None:
    """Jobs files are going to be loaded: until `all_loaded` there is work left, whatever jobs there are."""
    t.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, '1')", (LOADING,))


def all_loaded(t: Transaction) -> None:
    """No jobs file is being loaded any more, be it that no server does."""
    if t.db.execute("DELETE FROM settings WHERE name = ?", (LOADING,)).rowcount:
        t.happened.nothing_left = not jobs.work_is_left(t.db)
        # Who waits for jobs looks again, also where none was new.
        t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'jobs'")


def begin(t: Transaction) -> int:
    """Start a batch; gives its first id. There is one at a time."""
    start_id = int(t.db.execute("SELECT coalesce(max(id), 0) + 1 FROM jobs").fetchone()[0])
    t.db.execute("INSERT INTO settings (name, value) VALUES (?, ?)", (CREATING_FROM, str(start_id)))
    return start_id


def add(t: Transaction, first_id: int, texts: Sequence[str], terms: Terms = Terms(),
        with_values: bool = True) -> None:
    """Write a slice of the batch that was begun: the parameters of its jobs, as JSON. Without their values
    these are to follow (`search.missing`) when the batch is published.

    Raises ProtocolError where there are too many different needs or tags, and for jobs to wait for that do
    not exist.
    """
    said = dict(terms._replace(priority=terms.priority or 0)._asdict())
    needed, after = said.pop("needs") or (), said.pop("after")
    said["needs_id"] = dependencies.number(t, needed, after) if after else needs.number(t, needed)
    said["tags_id"] = tags.number(t, said.pop("tags") or ())
    said["batch"] = min(first_id, jobs.creating_from(t.db))
    said = {name: value for name, value in said.items() if value is not None}
    with _checks(t.db, len(texts) < MANY):
        _insert(t.db, first_id, texts, said)
    if with_values:
        # All at once: to begin with a text takes as long as to read a short one.
        stored.put(t, stored.PARAMETER, enumerate(json.loads("[%s]" % ",".join(texts)), first_id))


def _insert(db: sqlite3.Connection, first_id: int, texts: Sequence[str], said: Dict[str, Any]) -> None:
    """Write jobs, with as much as can be in one statement: each opens the table and all of its indexes."""
    statement = ("INSERT INTO jobs (status, %s, id, parameters) SELECT 'PENDING'%s, ? + column1, column2"
                 " FROM (VALUES %%s)" % (", ".join(said), ", ?" * len(said)))
    at = 0
    for rows, places in _PLACES.items():
        while len(texts) - at >= rows:
            db.execute(statement % places, (*said.values(), first_id + at, *texts[at:at + rows]))
            at += rows


@contextmanager
def _checks(db: sqlite3.Connection, needed: bool) -> Iterator[None]:
    """Whether SQLite checks the status of each row, for which it makes a table of the five that there are,
    each time: a third of the time of a row. It need not where the statement says the status, which is the one
    CHECK of jobs. All statements are then prepared anew, which many rows outweigh."""
    if not needed:
        db.execute("PRAGMA ignore_check_constraints = ON")
    try:
        yield
    finally:
        if not needed:
            db.execute("PRAGMA ignore_check_constraints = OFF")


def set_aside(t: Transaction, start_id: int, statuses: Sequence[str], limit: int = SLICE) -> int:
    """Delete up to `limit` of the jobs from before the batch that are in `statuses`: it takes their place.
    The attempts of those that run are stopped.

    Returns how many; 0 when there are no more. Until the batch is published `abandon` brings them back.
    """
    for status in statuses:
        most = min(limit, SERVED_SLICE) if status == p.SERVED else limit
        ids = [row[0] for row in t.db.execute(
            "SELECT id FROM jobs WHERE status = ? AND id < ? ORDER BY id LIMIT ?", (status, start_id, most))]
        if ids:
            _replace(t, ids, status, start_id)
            return len(ids)
    return 0


def _replace(t: Transaction, ids: Sequence[int], status: str, start_id: int) -> None:
    said = "replaced by new jobs"
    running = status == p.SERVED
    if running:
        for job_id in reversed(ids):
            ending.take_away(t, job_id, p.VERDICT_STOPPED, said)
        status = p.ABORTED
    else:
        jobs.add_history_line(t, ids, said)
    then = transitions.after(status, transitions.REPLACE)
    # Restored, what ran or was to be tried again waits for that.
    t.db.executemany(
        "UPDATE jobs SET status = ?, replaced_by = ?, retry_at = NULL,"
        " deleted_from = CASE WHEN ? OR retry_at IS NOT NULL THEN 'PENDING' ELSE status END,"
        " completion_timestamp = CASE WHEN ? OR retry_at IS NOT NULL THEN NULL ELSE completion_timestamp END,"
        + jobs.CHANGED + " WHERE id = ?",
        ((then, start_id, running, running, job_id) for job_id in ids))
    jobs.moved(t, status, then, len(ids))


def publish(t: Transaction, start_id: int, total: int) -> Created:
    """The batch is whole: let workers have it."""
    before = any(t.db.execute("SELECT 1 FROM jobs INDEXED BY jobs_by_status WHERE status = ? AND id < ?"
                              " LIMIT 1", (status, start_id)).fetchone() for status in REPLACE_ALL)
    t.db.execute("DELETE FROM settings WHERE name = ?", (CREATING_FROM,))
    t.db.execute("UPDATE job_counts SET n = n + ? WHERE status = 'PENDING'", (total,))
    # The rows of a batch appear for those who look at the table when it is whole.
    t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'jobs'")
    brokensweep.begin(t)
    t.happened.pending += total
    return Created(start_id, total, "Appended" if before else "Created")


def is_being_written(db: sqlite3.Connection) -> bool:
    """Whether a batch was begun, and neither published nor abandoned."""
    return jobs.creating_from(db) < jobs.NO_BATCH


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
        # They were never counted, and the trigger does not know.
        t.db.execute("UPDATE job_counts SET n = n + ? WHERE status = 'PENDING'", (len(found),))
    if len(found) == limit:
        return True
    t.db.execute("DELETE FROM settings WHERE name = ?", (CREATING_FROM,))
    return False


def _bring_back(t: Transaction, start_id: int, limit: int) -> int:
    found = t.db.execute(
        "SELECT deleted_from, id FROM jobs INDEXED BY jobs_set_aside"
        " WHERE status = 'DELETED' AND replaced_by = ? AND id < ? LIMIT ?",
        (start_id, start_id, limit)).fetchall()
    back = [(transitions.after(p.DELETED, transitions.restore(before)), job_id) for before, job_id in found]
    t.db.executemany("UPDATE jobs SET status = ?, deleted_from = NULL, replaced_by = NULL, %s WHERE id = ?"
                     % jobs.CHANGED, back)
    for status, _ in back:
        jobs.moved(t, p.DELETED, status)
    t.happened.pending += sum(status == p.PENDING for status, _ in back)
    return len(back)


def is_loaded(db: sqlite3.Connection, digest: str) -> bool:
    """Whether a file with these very jobs was loaded before."""
    return db.execute("SELECT 1 FROM loaded_files WHERE digest = ?",
                      (digest,)).fetchone() is not None


def publish_file(t: Transaction, start_id: int, total: int, name: str, digest: str) -> Created:
    """`publish`, and remember that the file was loaded."""
    created = publish(t, start_id, total)
    remember_file(t, created, name, digest)
    return created


def remember_file(t: Transaction, created: Created, name: str, digest: str) -> None:
    """A file was loaded that describes these jobs; all that were new are `created`."""
    t.db.execute("INSERT INTO loaded_files (digest, name, start_id, total, loaded_at)"
                 " VALUES (?, ?, ?, ?, ?)", (digest, name, created.start_id, created.total, t.now))
