"""The state of the experiment in a few numbers, at a cost that does not grow with its jobs."""

import sqlite3
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.pages import workerlist
from jd.server.store.pages.completions import ALL_HOSTS, DAY, HOUR, MINUTE, SECONDS
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs, transitions

# Spans over which throughput is measured: buckets of `completions` and how many. The first is taken
# that is at least twice as long as a job: in a shorter one the jobs of many workers that began
# together end together, or none does.
_SPANS: Sequence[Tuple[str, int]] = ((MINUTE, 10), (MINUTE, 60), (MINUTE, 360), (HOUR, 24), (DAY, 7),
                                     (DAY, 30))
_LATEST = 50  # ended jobs whose mean runtime says how long a job is
_RETRIES = 10_000  # failed jobs that wait for their retry are counted up to here
_HOUR = 3600.0

# One seek for each bucket, since between two of them are the rows of every host.
_ENDED = ("WITH RECURSIVE bucket (start) AS (SELECT ? UNION ALL"
          " SELECT start + ? FROM bucket WHERE start < ?)"
          " SELECT c.start, c.verdict, c.n FROM bucket CROSS JOIN completions AS c"
          " ON c.unit = ? AND c.start = bucket.start AND c.host = ? ORDER BY c.start")


class Workers(NamedTuple):
    """How many workers there are of a kind.

    Those of `active` that are neither idle nor busy nor paused are about to leave; queued (a command
    that was not taken yet) and failing are of the active ones; disabled have left.
    """

    idle: int
    busy: int
    paused: int
    queued: int
    active: int
    disabled: int
    failing: int


class Summary(NamedTuple):
    """One consistent look at the database."""

    jobs: Dict[str, int]
    coming_back: int  # ABORTED jobs that wait for their retry
    per_hour: Optional[float]  # jobs finished; None where that is not known
    changes: Dict[str, int]

    @property
    def total(self) -> int:
        """Jobs, without the DELETED ones."""
        return sum(self.jobs.values()) - self.jobs[p.DELETED]

    @property
    def finished(self) -> int:
        """Jobs that will not run again by themselves."""
        return self.jobs[p.DONE] + self.jobs[p.ABORTED] - self.coming_back

    @property
    def eta(self) -> Optional[float]:
        """Seconds until every job is finished, at this throughput; None if there is none."""
        left = self.total - self.finished
        return left / self.per_hour * _HOUR if left and self.per_hour else None


def changes(db: sqlite3.Connection) -> Dict[str, int]:
    """A number for each topic, which grows when that topic changes."""
    return dict(db.execute("SELECT topic, n FROM changes"))


def take(db: sqlite3.Connection, now: float, policy: Policy) -> Summary:
    """The jobs in numbers."""
    (coming_back,) = db.execute("SELECT count(*) FROM (SELECT 1 FROM jobs WHERE retry_at IS NOT NULL"
                                " LIMIT ?)", (_RETRIES,)).fetchone()
    counted = jobs.counts(db)
    # A retry of a job that was deleted meanwhile will not come.
    coming_back = min(coming_back, counted[p.ABORTED])
    return Summary(counted, coming_back, per_hour(db, now, policy), changes(db))


def workers(db: sqlite3.Connection) -> Workers:
    """The workers in numbers."""
    return Workers(**workerlist.counts(db))


def attempts(db: sqlite3.Connection) -> Dict[str, int]:
    """Attempts that have ended, by verdict; a verdict that never was is left out."""
    return dict(db.execute("SELECT verdict, sum(n) FROM completions WHERE unit = ? AND host = ?"
                           " GROUP BY verdict", (DAY, ALL_HOSTS)))


def per_hour(db: sqlite3.Connection, now: float, policy: Policy) -> Optional[float]:
    """Jobs finished per hour of late, None if none was.

    An attempt that is done finishes a job. One that failed uses up its part of the attempts that a
    job has, on average of the jobs that failed latest. The time counts from the beginning of the span,
    or from when the first attempt that ended in it began.
    """
    runtime, of_failed = _latest(db, policy)
    unit, count = next((span for span in _SPANS if SECONDS[span[0]] * span[1] >= 2 * runtime), _SPANS[-1])
    step = SECONDS[unit]
    last = int(now) // step * step
    oldest = last - step * (count - 1)
    first: Optional[int] = None
    finished = 0.0
    for start, verdict, n in db.execute(_ENDED, (oldest, step, last, unit, ALL_HOSTS)):
        part = 1.0 if verdict == p.VERDICT_DONE else (
            of_failed if verdict in transitions.FAILURES else 0.0)
        if part and first is None:
            first = start
        finished += n * part
    if first is None:
        return None
    began = max(oldest, first - runtime)
    return finished / max(now - began, 60.0) * _HOUR


def _latest(db: sqlite3.Connection, policy: Policy) -> Tuple[float, float]:
    """Of the jobs that ended latest, the mean seconds that they took, and the mean part of its attempts that
    a failure of a job uses up."""
    runtime, part = db.execute(
        "SELECT avg(required_time), avg(CASE WHEN failures > 0 THEN 1.0 / coalesce(max_attempts, ?) END)"
        " FROM (SELECT required_time, failures, max_attempts FROM jobs WHERE completion_timestamp IS NOT NULL"
        " ORDER BY completion_timestamp DESC LIMIT ?)", (policy.max_attempts, _LATEST)).fetchone()
    return float(runtime or 0.0), float(part or 1.0 / policy.max_attempts)
