"""The best so far of a metric: what each finished job gave, and which of them were better than all before.

Jobs count in the order in which they finished, those of one moment by id. A job that runs, waits or comes
back has not finished, whatever it has reported; one in which the metric is no number has.
"""

import sqlite3
from collections import Counter
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

from jd import protocol as p
from jd.server.store.files.resultfile import NAN
from jd.server.store.pages.history.worktime import ATTEMPTS
from jd.server.store.pages.results import metricvalues
from jd.server.store.pages.results.metricvalues import Spread
from jd.server.store.search import conditions, values
from jd.server.store.search.conditions import Sql
from jd.server.store.search.scanning import View

T = TypeVar("T")

MAX_SHOWN = 5_000  # jobs in one answer besides the improvements, and improvements

_OVER = (p.DONE, p.ABORTED, p.DELETED)


class BestSoFar(NamedTuple):
    """Finished jobs that have a metric, in the order of their ends: the lists are of equal length, but for
    `best`, the places in them at which the metric was better than ever before.

    Of `total` such jobs a sample is shown where there are more than may be, and all improvements; of more
    than MAX_SHOWN `improvements` the first, the last and others evenly between. `place` is the number of jobs
    that had finished then, with the metric or without, and `spent` the seconds that all attempts of these
    took, None where nobody asked. `jobs` fit the filter and `finished` of them have; of these the metric is
    no number in `nan` and `infinite`, `without` are DONE and have none, `aborted` have none and are not DONE.
    `unfinished` have the metric but are not over.
    """

    metric: str
    jobs: int
    finished: int
    nan: int
    infinite: int
    without: int
    aborted: int
    unfinished: int
    total: int
    spread: Optional[Spread]
    improvements: int
    last_finished: Optional[float]  # Unix seconds
    all_spent: Optional[float]  # seconds
    ids: List[int]
    values: List[float]
    at: List[float]  # Unix seconds
    place: List[int]
    spent: Optional[List[float]]
    best: List[int]


class Asked(NamedTuple):
    """Of which jobs a metric is asked for, whether less of it is better, whether hours are wanted."""

    metric: str
    filter: str
    less: bool
    spent: bool


class _Points(NamedTuple):
    """The jobs that have a value, in order, as columns: of a million rows each would cost more than all else.
    `best` are the places at which one was better than all before, and `all_spent` is what all jobs took."""

    ids: List[int]
    values: List[float]
    at: List[float]
    place: List[int]
    spent: List[float]
    best: List[int]
    all_spent: float


def find(db: sqlite3.Connection, asked: Asked, limit: int, now: float) -> BestSoFar:
    """The best so far, with at most `limit` jobs besides the improvements. Raises ProtocolError for the
    filter."""
    found = metricvalues.find(db, asked.metric, asked.filter, now)
    finished = _finished(db, asked.filter, now)
    seconds = _seconds(db) if asked.spent else {}
    points = _walk(finished, dict(zip(found.ids, found.values)), seconds, asked.less)
    steps = _evenly(points.best, MAX_SHOWN)
    chosen = set(metricvalues.sample(points.ids, min(limit, MAX_SHOWN)))
    kept = sorted({*steps, *(at for at, job_id in enumerate(points.ids) if job_id in chosen)})
    places = {at: index for index, at in enumerate(kept)}
    words = values.not_finite(db, asked.metric)
    odd = Counter(words[job_id] for _, job_id in finished if job_id in words)
    aborted = len(finished) - len(points.ids) - sum(odd.values()) - found.without
    return BestSoFar(
        asked.metric, found.jobs, len(finished), odd.pop(NAN, 0), sum(odd.values()), found.without, aborted,
        len(found.ids) - len(points.ids), len(points.ids), metricvalues.spread(sorted(points.values)),
        len(points.best), finished[-1][0] if finished else None, points.all_spent if asked.spent else None,
        _some(points.ids, kept), _some(points.values, kept), _some(points.at, kept),
        _some(points.place, kept), _some(points.spent, kept) if asked.spent else None,
        [places[at] for at in steps])


def _some(column: Sequence[T], places: Sequence[int]) -> List[T]:
    return [column[at] for at in places]


def _walk(finished: Sequence[Tuple[float, int]], known: Dict[int, float], seconds: Dict[int, float],
          less: bool) -> _Points:
    ids: List[int] = []
    numbers: List[float] = []
    ends: List[float] = []
    places: List[int] = []
    until: List[float] = []
    best: List[int] = []
    utmost: Optional[float] = None
    spent = 0.0
    for place, (at, job_id) in enumerate(finished, 1):
        spent += seconds.get(job_id, 0.0)
        value = known.get(job_id)
        if value is None:
            continue
        if utmost is None or (value < utmost if less else value > utmost):
            utmost = value
            best.append(len(ids))
        ids.append(job_id)
        numbers.append(value)
        ends.append(at)
        places.append(place)
        until.append(spent)
    return _Points(ids, numbers, ends, places, until, best, spent)


def _finished(db: sqlite3.Connection, filter_text: str, now: float) -> List[Tuple[float, int]]:
    """When each job of the filter that is over has finished, and its id, in this order."""
    wanted = conditions.compiled(db, filter_text, now)
    statuses = tuple(status for status in wanted.statuses if status in _OVER)
    if wanted.conditions:
        over = wanted._replace(statuses=statuses, conditions=(
            *wanted.conditions, Sql("j.completion_timestamp IS NOT NULL"), Sql("j.retry_at IS NULL")))
        return sorted(View(db, over).everything(db, Sql("j.completion_timestamp, j.id")))
    # Out of indexes: to look at the rows of a million jobs takes many times as long.
    others = [status for status in p.JOB_STATUSES_ALL if status not in statuses]
    left_out = {job_id for (job_id,) in db.execute(
        "SELECT id FROM jobs WHERE status IN (%s) UNION ALL"
        " SELECT id FROM jobs WHERE retry_at IS NOT NULL" % conditions.marks(others), others)}
    rows = db.execute("SELECT completion_timestamp, id FROM jobs INDEXED BY jobs_by_end"
                      " WHERE completion_timestamp IS NOT NULL ORDER BY completion_timestamp, id")
    return [(at, job_id) for at, job_id in rows if job_id not in left_out]


def _seconds(db: sqlite3.Connection) -> Dict[int, float]:
    """What the attempts of each job took, together."""
    # Out of the index, as beside each attempt in the table there is what it has printed.
    return dict(db.execute(
        "SELECT job_id, sum(coalesce(runtime, max(0, ended_at - started_at))) FROM %s"
        " WHERE ended_at IS NOT NULL GROUP BY job_id" % ATTEMPTS))


def _evenly(places: Sequence[int], most: int) -> List[int]:
    """At most so many, the first and the last of them among these."""
    n = len(places)
    return list(places) if n <= most else [places[at * (n - 1) // (most - 1)] for at in range(most)]
