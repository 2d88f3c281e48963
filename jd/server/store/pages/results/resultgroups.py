"""A metric by the values of one parameter or of two, counted over all jobs: boxes, and the cells of a map.

Where charts say parameter, another result may stand: names are `param.lr` or `result.accuracy`.
"""

import math
import sqlite3
from bisect import bisect_left, bisect_right
from collections import defaultdict
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd.server.store.pages.results import metricvalues, resultcolumns
from jd.server.store.pages.results.metricvalues import Find, MetricValues, mean, quantile
from jd.server.store.pages.results.resultcolumns import Scalar
from jd.server.store.search import conditions, values
from jd.server.store.search.conditions import Name
from jd.server.store.search.values import Key

FEW = 12  # up to so many numbers each have a column of their own, more are put into as many equal parts
MOST_TEXTS = 24
MOST_BOXES = 24
_ENOUGH = 5  # values that make a box
_MOST_POINTS = 60  # of one box
_NOWHERE = -1  # the place or the bin of what has none
_REACH = 1.5  # boxes to which whiskers reach (Tukey)


class Box(NamedTuple):
    """The metric of the jobs with one value, None: without one. `q1` and `q3` are quartiles; from `low` to
    `high` are the values within 1.5 boxes of the box; `points`, (job, value), are those beyond, the best
    first and at most 60 from best to worst, or all of few jobs."""

    value: Scalar
    n: int
    min: float
    low: float
    q1: float
    median: float
    q3: float
    high: float
    max: float
    points: List[Tuple[int, float]]


class Boxes(NamedTuple):
    """At most MOST_BOXES of `total`, those with the best medians: numbers in their order, texts by their
    medians."""

    total: int
    boxes: List[Box]


class Bin(NamedTuple):
    """A part of an axis, from `low` to `high`; the values of its jobs, if it has any, are from `least` to
    `most`."""

    low: Scalar
    high: Scalar
    least: Scalar
    most: Scalar


class Axis(NamedTuple):
    """The bins of a parameter, one for each value where it is `single`; `cut` more values have none."""

    single: bool
    cut: int
    bins: List[Bin]


class Cell(NamedTuple):
    """The metric of the jobs in a bin of each axis; of jobs that are equally good the first is `best`."""

    across: int
    down: int
    n: int
    mean: float
    median: float
    best: int
    best_value: float


class Cells(NamedTuple):
    """A map of two parameters; cells without jobs are left out."""

    across: Axis
    down: Axis
    cells: List[Cell]


class Question(NamedTuple):
    """Of which jobs a metric is asked for, and whether less of it is better."""

    metric: str
    filter: str
    less: bool


class Placed(NamedTuple):
    """The values that jobs have of a name, in order, and each job's place in a MetricValues."""

    name: Name
    keys: List[Key]
    places: List[int]


def boxes(db: sqlite3.Connection, asked: Question, by: str, now: float,
          find: Find = metricvalues.find) -> Boxes:
    """The metric by the values of a name. Raises ProtocolError for the filter and the name."""
    found = find(db, asked.metric, asked.filter, now)
    placed = in_order(db, found, conditions.resolve(db, by))
    groups: Dict[Optional[Key], List[int]] = {}
    for key, place in zip(placed.keys, placed.places):
        groups.setdefault(key, []).append(place)
    if len(placed.places) < len(found.ids):
        groups[None] = list(set(range(len(found.ids))).difference(placed.places))
    for places in groups.values():
        places.sort()  # which is in the order of the metric

    def goodness(key: Optional[Key]) -> float:
        median = quantile([found.values[place] for place in groups[key]], 0.5)
        return median if asked.less else -median

    best = sorted(groups, key=goodness)[:MOST_BOXES]
    if not any(isinstance(key, str) for key in best):
        best = [key for key in groups if key in set(best)]  # as the numbers come
    raw = _written(db, found, placed.name, {key: groups[key][0] for key in best if key is not None})
    return Boxes(len(groups), [_box(found, groups[key], raw.get(key), asked.less) for key in best])


def _box(found: MetricValues, places: Sequence[int], value: Scalar, less: bool) -> Box:
    ordered = [found.values[place] for place in places]
    q1, median, q3 = (quantile(ordered, q) for q in (0.25, 0.5, 0.75))
    reach = _REACH * (q3 - q1)
    start, end = bisect_left(ordered, q1 - reach), bisect_right(ordered, q3 + reach)
    low, high = ordered[start], ordered[end - 1]
    alone = list(places) if len(places) < _ENOUGH else [*places[:start], *places[end:]]
    if not less:
        alone.reverse()
    return Box(value, len(ordered), ordered[0], low, q1, median, q3, high, ordered[-1],
               [(found.ids[place], found.values[place]) for place in _evenly(alone, _MOST_POINTS)])


def _evenly(places: Sequence[int], most: int) -> List[int]:
    """At most so many, the first and the last of them among these."""
    n = len(places)
    return list(places) if n <= most else [places[at * (n - 1) // (most - 1)] for at in range(most)]


def cells(db: sqlite3.Connection, asked: Question, across: str, down: str, log: Tuple[bool, bool],
          now: float, find: Find = metricvalues.find) -> Cells:
    """The metric by the values of two names; `log` says of each whether equal parts of it are of its
    logarithm. Raises ProtocolError for the filter and the names."""
    found = find(db, asked.metric, asked.filter, now)
    axes: List[Axis] = []
    bins: List[List[int]] = []  # of the job at each place
    for name, logarithmic in zip((across, down), log):
        placed = in_order(db, found, conditions.resolve(db, name))
        axis, of = _axis(db, found, placed, logarithmic)
        axes.append(axis)
        bins.append(of)
    members: Dict[Tuple[int, int], List[int]] = defaultdict(list)
    for place, both in enumerate(zip(*bins)):
        members[both].append(place)
    return Cells(axes[0], axes[1], [_cell(found, x, y, members[x, y], asked.less)
                                    for y, x in sorted((y, x) for x, y in members)
                                    if x != _NOWHERE and y != _NOWHERE])


def _cell(found: MetricValues, x: int, y: int, places: Sequence[int], less: bool) -> Cell:
    ordered = [found.values[place] for place in places]
    best = places[0] if less else places[ordered.index(ordered[-1])]
    return Cell(x, y, len(ordered), mean(ordered), quantile(ordered, 0.5), found.ids[best],
                found.values[best])


def _axis(db: sqlite3.Connection, found: MetricValues, placed: Placed,
          log: bool) -> Tuple[Axis, List[int]]:
    """The bins of a name, and the one that the job at each place is in."""
    distinct = list(dict.fromkeys(placed.keys))
    numbers = not any(isinstance(key, str) for key in distinct[-1:])  # texts come last
    of = [_NOWHERE] * len(found.ids)
    if not numbers or len(distinct) <= FEW:
        kept = {key: at for at, key in enumerate(distinct[:MOST_TEXTS])}
        for key, place in zip(placed.keys, placed.places):
            of[place] = kept.get(key, _NOWHERE)
        raw = _written(db, found, placed.name, {
            key: place for key, place in zip(placed.keys, placed.places) if key in kept})
        return Axis(True, len(distinct) - len(kept), [Bin(*[raw[key]] * 4) for key in kept]), of
    edges = _edges(float(distinct[0]), float(distinct[-1]), log)
    cuts = [0, *(bisect_left(placed.keys, edge) for edge in edges[1:-1]), len(placed.keys)]
    parts: List[Bin] = []
    for at, (start, end) in enumerate(zip(cuts, cuts[1:])):
        for place in placed.places[start:end]:
            of[place] = at
        ends = (placed.keys[start], placed.keys[end - 1]) if start < end else (None, None)
        parts.append(Bin(edges[at], edges[at + 1], *ends))
    return Axis(False, 0, parts), of


def _edges(first: float, last: float, log: bool) -> List[float]:
    """The edges of FEW equal parts."""
    log = log and first > 0
    start, end = (math.log(first), math.log(last)) if log else (first, last)
    span = end / FEW - start / FEW  # the difference of two floats may be too large for one
    inner = [start + span * at for at in range(1, FEW)]
    return [first, *(map(math.exp, inner) if log else inner), last]


def in_order(db: sqlite3.Connection, found: MetricValues, name: Name) -> Placed:
    """The values that jobs have of a name, in order."""
    # Ids are dense, so a list of them is smaller than a dict, and looked up in half the time.
    places = [_NOWHERE] * (max(found.ids, default=0) + 1)
    for at, job_id in enumerate(found.ids):
        places[job_id] = at
    keys: List[Key] = []
    their: List[int] = []
    for key, job_id in db.execute("SELECT value, job_id FROM job_values WHERE name_id = ? AND job_id < ?"
                                  " ORDER BY value, job_id", (name.id, len(places))):
        if places[job_id] != _NOWHERE:
            keys.append(key)
            their.append(places[job_id])
    return Placed(name, keys, their)


def _written(db: sqlite3.Connection, found: MetricValues, name: Name,
             places: Dict[Key, int]) -> Dict[Optional[Key], Scalar]:
    """Keys as they are written in the JSON of a job that has them, given by its place: true, not 1."""
    ids = {found.ids[place]: key for key, place in places.items()}
    at = 1 if name.kind == values.PARAMETER else 2
    return {ids[job[0]]: resultcolumns.scalar(job[at][name.name])
            for job in resultcolumns.objects(db, sorted(ids))}
