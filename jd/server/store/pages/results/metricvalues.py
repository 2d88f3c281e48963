"""What a metric is in all jobs of a filter, from the least value to the most: what charts are counted from.

Jobs that are DELETED do not count, unless a filter asks for them.
"""

import math
import sqlite3
from bisect import bisect_left, bisect_right
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Set, Tuple

from jd import protocol as p
from jd.server.store.files.resultfile import NAN
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, scanning, values
from jd.server.store.search.conditions import Filter, Sql

_GOLDEN = 2654435761  # 2^32 by the golden ratio: multiples of it, modulo 2^32, lie evenly


class MetricValues(NamedTuple):
    """The jobs that have a metric and fit a filter: `ids` and `values` are of equal length, in the order of
    the values, equal ones by id. `jobs` counts all that fit the filter: in `nan` and `infinite` of them the
    metric is that, and `without` are DONE and have none. `not_done` counts those of `ids` that are not DONE:
    they have reported the metric, and run, or have failed since.
    """

    ids: List[int]
    values: List[float]
    jobs: int
    nan: int
    infinite: int
    without: int
    not_done: int


class Spread(NamedTuple):
    """What some numbers span; `low` and `high` leave out the utmost 5 % at each end."""

    min: float
    low: float
    median: float
    high: float
    max: float
    mean: float


def find(db: sqlite3.Connection, metric: str, filter_text: str, now: float) -> MetricValues:
    """All jobs with a metric. Raises ProtocolError for the filter."""
    wanted = conditions.compiled(db, filter_text, now)
    rows = db.execute("SELECT job_id, value FROM job_values WHERE name_id = ? ORDER BY value, job_id",
                      (values.name_id(db, values.RESULT, metric),)).fetchall()
    others = values.not_finite(db, metric)
    # To look at the jobs one by one would cost far more than sets do.
    if wanted.conditions:
        fit = dict(scanning.View(db, wanted).everything(db, Sql("j.id, j.status")))
        rows = [row for row in rows if row[0] in fit]
        others = {job_id: value for job_id, value in others.items() if job_id in fit}
        number = len(fit)
        done = {job_id for job_id, status in fit.items() if status == p.DONE}
        without = len(done.difference(job_id for job_id, _ in rows).difference(others))
        not_done = sum(1 for job_id, _ in rows if job_id not in done)
    else:
        counts = jobs.counts(db)
        number = sum(counts[status] for status in wanted.statuses)
        gone = _of_status(db, [s for s in p.JOB_STATUSES_ALL if s not in wanted.statuses and counts[s]])
        if gone:
            rows = [row for row in rows if row[0] not in gone]
            others = {job_id: value for job_id, value in others.items() if job_id not in gone}
        unfinished = _of_status(db, [s for s in wanted.statuses if s != p.DONE and counts[s]])
        not_done = sum(1 for job_id, _ in rows if job_id in unfinished) if unfinished else 0
        done_with = len(rows) - not_done + sum(1 for job_id in others if job_id not in unfinished)
        without = counts[p.DONE] - done_with if p.DONE in wanted.statuses else 0
    nan = sum(1 for value in others.values() if value == NAN)
    return MetricValues([job_id for job_id, _ in rows], [value for _, value in rows],
                        number, nan, len(others) - nan, without, not_done)


class Recent:
    """`find` for questions that follow each other, as those of one page do: what was found last is given
    again while nothing has changed that it depends on."""

    def __init__(self) -> None:
        self._known: Optional[Tuple[Any, MetricValues]] = None

    def find(self, db: sqlite3.Connection, metric: str, filter_text: str, now: float) -> MetricValues:
        """What the function finds in this snapshot. Raises ProtocolError for the filter."""
        # A filter about the time has other values a moment later.
        wanted = conditions.compiled(db, filter_text, now)
        changes = dict(db.execute("SELECT topic, n FROM changes"))
        of = (metric, wanted, changes if wanted.conditions else changes["jobs"])
        known = self._known
        if known is None or known[0] != of:
            self._known = known = (of, find(db, metric, filter_text, now))
        return known[1]

    def forget(self) -> None:
        """Give the memory back: of a million jobs these are 70 MB."""
        self._known = None


Find = Callable[[sqlite3.Connection, str, str, float], MetricValues]


def left_out(db: sqlite3.Connection, wanted: Filter) -> Sql:
    """A condition about `job_id`: that the job has none of the statuses which a filter leaves out."""
    counts = jobs.counts(db)
    others = tuple(status for status in p.JOB_STATUSES_ALL
                   if status not in wanted.statuses and counts[status])
    if not others:
        return Sql("1")
    return Sql("job_id NOT IN (SELECT id FROM jobs WHERE status IN (%s))" % conditions.marks(others), others)


def _of_status(db: sqlite3.Connection, statuses: Sequence[str]) -> Set[int]:
    if not statuses:
        return set()
    return {job_id for (job_id,) in db.execute(
        "SELECT id FROM jobs WHERE status IN (%s)" % conditions.marks(statuses), list(statuses))}


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (0..1) of numbers in order, of which there is one at least, interpolated between
    neighbours."""
    at = (len(ordered) - 1) * q
    below = math.floor(at)
    following = ordered[min(below + 1, len(ordered) - 1)]
    return ordered[below] + (following - ordered[below]) * (at - below)


def mean(numbers: Sequence[float]) -> float:
    """The arithmetic mean of some numbers, also of those whose sum is none."""
    try:
        return math.fsum(numbers) / len(numbers)
    except OverflowError:
        return math.fsum(number / len(numbers) for number in numbers)


def spread(ordered: Sequence[float]) -> Optional[Spread]:
    """What numbers in order span; None of none."""
    if not ordered:
        return None
    low, median, high = (quantile(ordered, q) for q in (0.05, 0.5, 0.95))
    return Spread(ordered[0], low, median, high, ordered[-1], mean(ordered))


def sample(ids: Sequence[int], limit: int) -> List[int]:
    """At most `limit` of the ids, and nearly so many; ascending.

    They are as good as random, so that no order in which jobs were created shows: every n-th job of a grid
    may have one value of a parameter only. Of the same ids they are the same, and most stay when jobs come.
    """
    if len(ids) <= limit:
        return sorted(ids)
    below = int(min(1.0, 1.1 * limit / len(ids)) * 2 ** 32)
    chosen = [job_id for job_id in ids if job_id * _GOLDEN & 0xFFFFFFFF < below]
    chosen.sort(key=lambda job_id: job_id * _GOLDEN & 0xFFFFFFFF)
    return sorted(chosen[:limit])


def lowest(found: MetricValues, n: int) -> List[int]:
    """The ids of the n jobs whose values are least; of equal ones those with the lowest ids."""
    return found.ids[:n]


def highest(found: MetricValues, n: int) -> List[int]:
    """The ids of the n jobs whose values are most; of equal ones those with the lowest ids."""
    if len(found.ids) <= n:
        return found.ids
    least = found.values[-n]
    first, behind = bisect_left(found.values, least), bisect_right(found.values, least)
    above = found.ids[behind:]
    return above + found.ids[first:first + n - len(above)]
