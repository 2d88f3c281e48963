"""The state of the experiment in a few numbers, at a cost that does not grow with its jobs."""

import sqlite3
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.pages import workerlist
from jd.server.store.pages.completions import ALL_HOSTS, DAY, HOUR, MINUTE, SECONDS
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs, retry, transitions

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

    @property
    def at_work(self) -> int:
        """Those that run a job or would take one."""
        return self.idle + self.busy


class Summary(NamedTuple):
    """One consistent look at the database."""

    jobs: Dict[str, int]
    coming_back: int  # ABORTED jobs that wait for their retry
    next_retry: Optional[float]  # when the first and the last of them come back
    last_retry: Optional[float]
    per_hour: Optional[float]  # jobs finished; None where that is not known
    runtime: float  # seconds of a job, on average of the latest; 0 where none has ended
    changes: Dict[str, int]

    @property
    def total(self) -> int:
        """Jobs, without the DELETED ones."""
        return sum(self.jobs.values()) - self.jobs[p.DELETED]

    @property
    def finished(self) -> int:
        """Jobs that will not run again by themselves."""
        return self.jobs[p.DONE] + self.jobs[p.ABORTED] - self.coming_back

    def eta(self, now: float, at_work: int) -> Optional[float]:
        """Seconds until every job is finished, by so many workers that take jobs: at this throughput, or at
        theirs where there are fewer than of late, and not before the last retry. None where nobody can tell,
        or without workers.
        """
        left = self.total - self.finished
        if not (left and self.per_hour and at_work):
            return None
        rate = self.per_hour
        if self.runtime:
            rate = min(rate, at_work * _HOUR / self.runtime)
        pause = 0.0 if self.last_retry is None else self.last_retry + self.runtime - now
        return max(left / rate * _HOUR, pause)


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
    first, last = retry.span(db) if coming_back else (None, None)
    runtime, of_failed = _latest(db, policy)
    return Summary(counted, coming_back, first, last, _per_hour(db, now, runtime, of_failed), runtime,
                   changes(db))


def workers(db: sqlite3.Connection) -> Workers:
    """The workers in numbers."""
    return Workers(**workerlist.counts(db))


def attempts(db: sqlite3.Connection) -> Dict[str, int]:
    """Attempts that have ended, by verdict; a verdict that never was is left out."""
    return dict(db.execute("SELECT verdict, sum(n) FROM completions WHERE unit = ? AND host = ?"
                           " GROUP BY verdict", (DAY, ALL_HOSTS)))


def failed_of_late(db: sqlite3.Connection, now: float) -> int:
    """Attempts that failed by their script in the last 60 minutes, this one included."""
    last = int(now) // SECONDS[MINUTE] * SECONDS[MINUTE]
    ended = db.execute(_ENDED, (last - 59 * SECONDS[MINUTE], SECONDS[MINUTE], last, MINUTE, ALL_HOSTS))
    return sum(n for _, verdict, n in ended if verdict in transitions.FAILURES)


def per_hour(db: sqlite3.Connection, now: float, policy: Policy) -> Optional[float]:
    """Jobs finished per hour of late, None if none was.

    An attempt that is done finishes a job. One that failed uses up its part of the attempts that a
    job has, on average of the jobs that failed latest. The time counts from the beginning of the span,
    or from when the first attempt that ended in it began.
    """
    return _per_hour(db, now, *_latest(db, policy))


def _per_hour(db: sqlite3.Connection, now: float, runtime: float, of_failed: float) -> Optional[float]:
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
