"""Which job can end before its worker does.

A job needs what its batch says (`min_time`), else what the worker says that its jobs need, else the
90th percentile of recent runtimes. Without any of these it fits everywhere.
"""

import sqlite3
from typing import Callable, Iterator, List, NamedTuple, Optional, Tuple

from jd import messages
from jd.server.store.queue import runtimes
from jd.server.store.queue.jobs import NO_BATCH
from jd.server.store.queue.needs import Kinds

LOOKED_THROUGH = 20_000  # jobs that say what they need, for one behind them that does not, of all kinds
MANY_NEEDS = 1000  # different values of min_time that are looked at

# In `settings`: what the numbers of attempts begin at, of data that was restored from a backup. The server
# that went on meanwhile may have given out some, and they are nobody's here (`jd/server/keeping/restore.py`).
ATTEMPTS_FROM = "attempts_from"

# A byte of the parameters may be another one, which SQLite does not notice: whoever reads them looks.
WAITING = ("id, max(attempt + 1, coalesce((SELECT CAST(value AS INTEGER) FROM settings WHERE name = '%s'),"
           " 0)), lease, priority, min_time, timeout, needs_id, elsewhere_until, scratch, flags,"
           " CAST(parameters AS BLOB), id < coalesce((SELECT CAST(value AS INTEGER) FROM settings"
           " WHERE name = 'creating_from'), %d), attempt = 0" % (ATTEMPTS_FROM, NO_BATCH))


class Waiting(NamedTuple):
    """A PENDING job; `number` is that of its next attempt. `whole`: its batch is no longer being written;
    `untried`: nobody was given it before."""

    id: int
    number: int
    lease: Optional[float]
    priority: int
    min_time: Optional[float]
    timeout: Optional[float]
    needs_id: Optional[int]
    elsewhere_until: Optional[float]
    scratch: int
    flags: Optional[str]
    parameters: bytes  # JSON
    whole: bool
    untried: bool


class Limit(NamedTuple):
    """When a worker ends, by the server's clock, and what it says that its jobs need, in seconds."""

    ends_at: float
    min_time: Optional[float]


class NothingFits(Exception):
    """There are PENDING jobs, and none can end in time. `needs`: seconds, of the shortest."""

    def __init__(self, needs: float) -> None:
        super().__init__("the shortest job needs %g s" % needs)
        self.needs = needs


def limit_of(beat: messages.Heartbeat, now: float) -> Optional[Limit]:
    """The limit of the worker whose heartbeat came now; None where it does not say any."""
    return None if beat.time_left is None else Limit(now + beat.time_left, beat.min_time)


def first(db: sqlite3.Connection, limit: Limit, head: Waiting, kinds: Kinds, before: int, now: float,
          passes_over: Callable[[Waiting], bool] = lambda job: False) -> Waiting:
    """The PENDING job of these kinds that goes out next to a worker with this limit, which passes some over.

    `head` is the one that goes out next without a limit; ids from `before` on are not whole yet. Raises
    NothingFits.
    """
    left = limit.ends_at - now
    usual = limit.min_time if limit.min_time is not None else (runtimes.p90(db) or 0.0)
    if (usual if head.min_time is None else head.min_time) <= left:
        return head
    found: List[Waiting] = []
    needs: List[float] = []
    for kind in kinds:
        plain = next((job for job in _plain(db, kind, before, head.priority, LOOKED_THROUGH // len(kinds))
                      if not passes_over(job)), None)
        if plain is not None:
            needs.append(usual)
            found += [plain] if usual <= left else []
        for need, job in _by_need(db, kind, before, left, head.priority, passes_over):
            needs.append(need)
            found += [job] if need <= left else []
    if not found:
        raise NothingFits(min(needs, default=usual))
    return min(found, key=lambda job: (-job.priority, job.id))


def _plain(db: sqlite3.Connection, kind: Optional[int], before: int, highest: int,
           most: int) -> Iterator[Waiting]:
    """The jobs of a kind whose batch does not say how long they need, in order.

    The queue's index does not know; it is followed for `most` jobs, lest a worker with little time
    hold up all others. What has a higher priority than `highest` is not whole yet.
    """
    for (job_id,) in db.execute(
            "SELECT id FROM (SELECT id, min_time FROM jobs INDEXED BY jobs_queue"
            " WHERE status = 'PENDING' AND needs_id IS ? AND priority <= ?"
            " ORDER BY priority DESC, id LIMIT ?) WHERE min_time IS NULL AND id < ?",
            (kind, highest, most, before)):
        yield Waiting(*db.execute("SELECT %s FROM jobs WHERE id = ?" % WAITING, (job_id,)).fetchone())


def _by_need(db: sqlite3.Connection, kind: Optional[int], before: int, left: float, highest: int,
             passes_over: Callable[[Waiting], bool]) -> Iterator[Tuple[float, Waiting]]:
    """Each min_time with its first job of a kind, up to the first above `left`; `highest` as above."""
    need = -1.0
    for _ in range(MANY_NEEDS):
        row = db.execute("SELECT min(min_time) FROM jobs INDEXED BY jobs_needing"
                         " WHERE status = 'PENDING' AND needs_id IS ? AND min_time > ?",
                         (kind, need)).fetchone()
        if row[0] is None:
            return
        need = row[0]
        rows = db.execute("SELECT %s FROM jobs INDEXED BY jobs_needing WHERE"
                          " status = 'PENDING' AND needs_id IS ? AND min_time = ? AND priority <= ?"
                          " AND id < ? ORDER BY priority DESC, id" % WAITING, (kind, need, highest, before))
        job = next((job for job in map(Waiting._make, rows) if not passes_over(job)), None)
        if job is not None:
            yield need, job
        if need > left:
            return
