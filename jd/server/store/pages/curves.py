"""Curves of what jobs report: all of one job, and one metric of many jobs."""

import math
import sqlite3
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from jd import protocol as p
from jd.server.store.pages.jobdetails import NoSuchAttempt
from jd.server.store.pages.results import metricvalues
from jd.server.store.queue import jobs
from jd.server.store.reports import points, storage
from jd.server.store.reports.points import Numbers, Points
from jd.server.store.reports.storage import Reported, Series, Span
from jd.server.store.search import conditions, scanning
from jd.server.store.search.conditions import Sql, id_list

MAX_CURVES = 1_000  # in one answer
MAX_SHOWN = 200_000  # points in one answer, nearly
MOST_OF_JOB = 2_000  # of one curve on a job's page, where it has few
MOST = 1_000  # of one curve among many
FEWEST = 50
BEST = 20  # that are always among those of a filter, as many as there are
MAX_NAMES = 1_000
MAX_COUNTED = 10_000  # jobs with a metric, in `names`

STEP, TIME, RELATIVE = "step", "time", "relative"
AXES = (STEP, TIME, RELATIVE)


class OfJob(NamedTuple):
    """What one attempt has reported. `attempts` are those that have reported something; `started` is in Unix
    seconds, None of a job that no worker has run."""

    id: int
    attempt: Optional[int]
    attempts: List[int]
    running: bool
    started: Optional[float]
    taken: int
    reported: Optional[Reported]

    def names(self) -> List[str]:
        """The metrics, in the order in which they came."""
        return [] if self.reported is None else list(self.reported.metrics)


class Metric(NamedTuple):
    """A metric of an attempt, of which so many numbers were reported."""

    name: str
    n: int
    points: Points


class Question(NamedTuple):
    """Which curves are asked for: of jobs by their `ids`, or of a filter; only the `best` of them, which are
    those with the least value where `less`; `limit` at most. `low` and `high` are the ends of a part of the
    x axis, which is asked for in more detail."""

    metric: str
    ids: Optional[Sequence[int]] = None
    filter: str = ""
    best: Optional[int] = None
    less: bool = False
    limit: int = MAX_CURVES
    axis: str = STEP
    low: Optional[float] = None
    high: Optional[float] = None


class Curve(NamedTuple):
    """One curve among many: of `n` numbers that were reported the latest, the least and the greatest. A job
    that has failed and comes back does so at `retry_at`."""

    id: int
    attempt: int
    status: str
    retry_at: Optional[float]
    started: float
    n: int
    last: storage.Number
    low: Optional[float]
    high: Optional[float]
    points: Points


class Overlay(NamedTuple):
    """Curves, and how many jobs of those that were asked for have one."""

    total: int
    curves: List[Curve]


# ---- one job

def of_job(db: sqlite3.Connection, job_id: int, attempt: Optional[int]) -> OfJob:
    """What an attempt has reported; without one the latest that has reported something, or else the latest.

    Raises jobs.NoSuchJob, NoSuchAttempt.
    """
    latest = jobs.find(db, job_id).attempt
    if not jobs.exists(db, job_id):
        raise jobs.NoSuchJob(job_id)
    numbers = attempts(db, job_id)
    wanted = attempt or (numbers[-1] if numbers else latest)
    row = db.execute("SELECT verdict IS NULL, started_at FROM attempts WHERE job_id = ? AND number = ?",
                     (job_id, wanted)).fetchone()
    if row is None and attempt is not None:
        raise NoSuchAttempt("job %d has had no attempt %d" % (job_id, attempt))
    if row is None:
        return OfJob(job_id, None, numbers, False, None, 0, None)
    found = storage.find(db, job_id, wanted)
    return OfJob(job_id, wanted, numbers, bool(row[0]), row[1], 0 if found is None else found.taken, found)


def attempts(db: sqlite3.Connection, job_id: int) -> List[int]:
    """The attempts of a job that have reported something."""
    return [row[0] for row in db.execute("SELECT attempt FROM reported WHERE job_id = ? ORDER BY attempt",
                                         (job_id,))]


def metrics_of(db: sqlite3.Connection, found: OfJob) -> List[Metric]:
    """The metrics of an attempt, with as many points as a page can show."""
    each = max(FEWEST, min(MOST_OF_JOB, MAX_SHOWN // max(1, len(found.names()))))
    return [metric._replace(points=points.thin(metric.points, each // 2, metric.points.steps))
            for metric in _metrics(db, found)]


def metric_of(db: sqlite3.Connection, asked: OfJob, name: str) -> List[Metric]:
    """One of the metrics with all points that are kept; none where it has gone."""
    return list(_metrics(db, asked, name))


def _metrics(db: sqlite3.Connection, asked: OfJob, only: Optional[str] = None) -> Iterator[Metric]:
    found = None if asked.attempt is None else storage.find(db, asked.id, asked.attempt)
    if found is None or asked.attempt is None:
        return
    named = {metric.name_id: (name, metric.n) for name, metric in found.metrics.items()
             if only in (None, name)}
    waiting = storage.pieces(db, found.id)
    for one in storage.series(db, asked.id, asked.attempt):
        if one.name_id in named:
            yield Metric(*named[one.name_id], points.joined(
                [storage.whole(db, one), waiting.get(one.name_id, points.none())]))


# ---- many jobs

def names(db: sqlite3.Connection) -> List[Dict[str, Any]]:
    """The metrics that jobs have reported, in the order in which they came, and how many jobs have each: up
    to MAX_COUNTED, lest counting take longer."""
    found = []
    for name_id, name in db.execute("SELECT id, name FROM report_names ORDER BY id LIMIT ?", (MAX_NAMES,)):
        n = db.execute("SELECT count(DISTINCT job_id) FROM (SELECT job_id FROM report_series"
                       " WHERE name_id = ? LIMIT ?)", (name_id, MAX_COUNTED)).fetchone()[0]
        if n:
            found.append({"name": name, "n": n})
    return found


class _Having(NamedTuple):
    """A job with a curve of the metric that is asked for."""

    job_id: int
    status: str
    retry_at: Optional[float]
    attempt: int


def overlay(db: sqlite3.Connection, asked: Question, now: float) -> Overlay:
    """One metric of many jobs. Raises ProtocolError for the filter."""
    having = _having(db, asked, now)
    chosen = _chosen(db, asked, having, now)
    if not chosen:
        return Overlay(len(having), [])
    each = max(FEWEST, min(MOST, MAX_SHOWN // len(chosen)))
    return Overlay(len(having), [_curve(db, one, asked, each) for one in chosen])


def _having(db: sqlite3.Connection, asked: Question, now: float) -> Dict[int, _Having]:
    """Jobs with a curve, of their latest attempt that reported something and counts."""
    wanted = conditions.compiled(db, asked.filter, now)
    row = db.execute("SELECT id FROM report_names WHERE name = ?", (asked.metric,)).fetchone()
    if row is None:
        return {}
    fit = ({job_id for (job_id,) in scanning.View(db, wanted).everything(db, Sql("j.id"))}
           if wanted.conditions else None)
    among = "" if asked.ids is None else " AND s.job_id IN (%s)" % id_list(asked.ids)
    return {found[0]: _Having(*found) for found in db.execute(
        "SELECT s.job_id, j.status, j.retry_at, s.attempt FROM report_series s JOIN jobs j ON j.id = s.job_id"
        " WHERE s.name_id = ?%s AND s.attempt > j.scratch AND s.attempt ="
        " (SELECT max(attempt) FROM reported r WHERE r.job_id = s.job_id)" % among, row)
        if found[1] in wanted.statuses and (fit is None or found[0] in fit)}


def _chosen(db: sqlite3.Connection, asked: Question, having: Dict[int, _Having],
            now: float) -> List[_Having]:
    limit = min(asked.limit, MAX_CURVES)
    if asked.best is None and len(having) <= limit:
        return [having[job_id] for job_id in sorted(having)]
    found = metricvalues.find(db, asked.metric, asked.filter, now)
    ranked = sorted((value if asked.less else -value, job_id)
                    for job_id, value in zip(found.ids, found.values) if job_id in having)
    best = [job_id for _, job_id in ranked[:min(limit, BEST if asked.best is None else asked.best)]]
    if asked.best is None:
        others = sorted(set(having).difference(best))
        best = sorted([*best, *metricvalues.sample(others, limit - len(best))])
    return [having[job_id] for job_id in best]


def _curve(db: sqlite3.Connection, one: _Having, asked: Question, most: int) -> Curve:
    reported = storage.find(db, one.job_id, one.attempt)
    assert reported is not None
    metric = reported.metrics[asked.metric]
    (started,) = db.execute("SELECT started_at FROM attempts WHERE job_id = ? AND number = ?",
                            (one.job_id, one.attempt)).fetchone()
    span = _span(asked, started)
    shown = _read(db, storage.series_of(db, one.job_id, one.attempt, metric.name_id), span, most)
    if reported.tail[0]:
        waiting = storage.pieces(db, reported.id, metric.name_id)
        shown = points.joined([shown, *waiting.values()])
    shown = _in_order(shown, asked.axis)
    if span is not None:
        shown = _within(shown, span)
    along = _along(shown, asked.axis)
    return Curve(one.job_id, one.attempt, one.status, one.retry_at, started, metric.n, metric.last,
                 metric.low, metric.high, points.thin(shown, most // 2, along))


def _span(asked: Question, started: float) -> Optional[Span]:
    if asked.low is None and asked.high is None:
        return None
    shift = started if asked.axis == TIME else 0.0
    return Span(asked.axis != STEP, -math.inf if asked.low is None else asked.low - shift,
                math.inf if asked.high is None else asked.high - shift)


def _read(db: sqlite3.Connection, series: Series, span: Optional[Span], most: int) -> Points:
    """The points of a series: the coarse ones where they are enough."""
    course = series.course
    inside = course.size if span is None else sum(
        span.low <= at <= span.high for at in (course.times if span.by_time else course.steps))
    return storage.coarse(db, series) if inside >= most / 2 else storage.whole(db, series, span)


def _along(shown: Points, axis: str) -> Numbers:
    return shown.steps if axis == STEP else shown.times


def _in_order(shown: Points, axis: str) -> Points:
    """Points from left to right; equal ones stay as they came."""
    along = _along(shown, axis)
    if points.ascends(along):
        return shown
    return shown.chosen(sorted(range(shown.size), key=along.__getitem__))


def _within(shown: Points, span: Span) -> Points:
    """The points of a span, and on each side the one beside it, from which the curve comes into it."""
    along = shown.times if span.by_time else shown.steps
    inside = [at for at, x in enumerate(along) if span.low <= x <= span.high]
    if not inside:
        return points.none()
    return shown.part(max(0, inside[0] - 1), inside[-1] + 2)


# ---- for JSON

def columns(shown: Points) -> Dict[str, List[Any]]:
    """Points as lists; a value that is NaN or infinite is None."""
    return {"step": [int(at) if at.is_integer() and abs(at) < 2 ** 53 else at for at in shown.steps],
            "time": [round(seconds, 3) for seconds in shown.times],
            "value": [value if value - value == 0.0 else None for value in shown.values]}


def finite(value: storage.Number) -> Any:
    """A number for JSON; None for NaN and infinities."""
    return None if isinstance(value, str) else value


def running(found: Overlay) -> List[int]:
    """Which of the jobs of these curves run."""
    return [curve.id for curve in found.curves if curve.status == p.SERVED]
