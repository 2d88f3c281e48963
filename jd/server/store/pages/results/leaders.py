"""The first jobs of a metric, or of another value among the jobs that have the metric: a leaderboard."""

import itertools
import re
import sqlite3
from bisect import bisect_left, bisect_right
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from jd.protocol import ProtocolError
from jd.server.store.pages.results import metricvalues, resultcolumns, resultgroups
from jd.server.store.pages.results.metricvalues import Find, MetricValues
from jd.server.store.pages.results.resultcolumns import Scalar
from jd.server.store.pages.results.resultgroups import Question
from jd.server.store.search import conditions, values
from jd.server.store.search.conditions import Name, Sql
from jd.server.store.search.values import Key

MAX_LEADERS = 500
MAX_COLUMNS = 60
MAX_COLUMN_CHARS = 6_000  # of all names of columns together
_LISTED = re.compile(r"(?:[^,\\]|\\.)+", re.DOTALL)


class Order(NamedTuple):
    """What leaders are sorted by, a parameter or a result, None: the metric itself; `down`: the most of it
    first. Jobs without it come last; equal ones are in the order of the metric, the better first, and of
    their ids."""

    by: Optional[str]
    down: bool


class Leader(NamedTuple):
    """A job; one that has failed and comes back does so at `retry_at`. `rank` counts from 1, and equal ones
    share theirs: from the better end of the metric, or by another result in the order that was asked for;
    None where the job has no such result. `given` are its values of the columns that were asked for; a result
    that is not finite is a word."""

    id: int
    rank: Optional[int]
    status: str
    retry_at: Optional[float]
    value: float
    given: List[Scalar]


class Leaders(NamedTuple):
    """The first of `total` jobs."""

    total: int
    rows: List[Leader]


class _First(NamedTuple):
    """The first of `total` jobs: their ids, ranks and values of the metric."""

    total: int
    rows: List[Tuple[int, Optional[int], float]]


class _Values(NamedTuple):
    """Values in order, and which place in a MetricValues each is of."""

    keys: Sequence[Key]
    places: Sequence[int]


def listed(text: str) -> List[str]:
    """Names between commas; within one a backslash stands before a comma and before another. Raises
    ProtocolError for too many."""
    found = [re.sub(r"\\(.)", r"\1", one, flags=re.DOTALL) for one in _LISTED.findall(text)]
    if len(found) > MAX_COLUMNS:
        raise ProtocolError("columns has %d names; at most %d are shown" % (len(found), MAX_COLUMNS))
    return found


def leaders(db: sqlite3.Connection, asked: Question, order: Order, limit: int, columns: Sequence[str],
            now: float, find: Find = metricvalues.find) -> Leaders:
    """At most `limit` of the jobs that have the metric. Raises ProtocolError for the filter and a name."""
    names = [conditions.resolve(db, name) for name in columns]
    by = None if order.by is None else conditions.resolve(db, order.by)
    if by is not None and (by.kind, by.name) == (values.RESULT, asked.metric):
        by = None
    wanted = conditions.compiled(db, asked.filter, now)
    if by is None and not wanted.conditions:
        first = _by_index(db, asked, metricvalues.left_out(db, wanted), order.down, limit)
    else:
        first = _by_sorting(find(db, asked.metric, asked.filter, now), db, asked, by, order.down, limit)
    ids = [job_id for job_id, _, _ in first.rows]
    told = {job_id: given for job_id, *given in resultcolumns.objects(db, sorted(ids))}
    state = {job_id: (status, retry_at) for job_id, status, retry_at in db.execute(
        "SELECT id, status, retry_at FROM jobs WHERE id IN (%s)" % conditions.id_list(ids))}
    words = [values.not_finite(db, name.name) if name.kind == values.RESULT else {} for name in names]

    def given(job_id: int) -> List[Scalar]:
        parameters, results = told[job_id]
        return [resultcolumns.scalar((parameters if name.kind == values.PARAMETER else results)
                                     .get(name.name, word.get(job_id)))
                for name, word in zip(names, words)]
    return Leaders(first.total, [Leader(job_id, rank, *state[job_id], value, given(job_id))
                                 for job_id, rank, value in first.rows])


def _by_index(db: sqlite3.Connection, asked: Question, left_out: Sql, down: bool, limit: int) -> _First:
    """The first jobs by the metric itself, read from that end of its index: however many others there are,
    they are only counted."""
    those = Sql("name_id = ? AND " + left_out.text,
                (values.name_id(db, values.RESULT, asked.metric), *left_out.values))

    def count(more: str = "", *bound: Key) -> int:
        return int(db.execute("SELECT count(*) FROM job_values WHERE " + those.text + more,
                              (*those.values, *bound)).fetchone()[0])

    found = db.execute("SELECT job_id, value FROM job_values WHERE %s ORDER BY value %s, job_id LIMIT ?" % (
        those.text, "DESC" if down else ""), (*those.values, limit)).fetchall()
    total = count()
    before: Dict[float, int] = {}  # how many of the rows have passed in front of a value
    for at, (_, value) in enumerate(found):
        before.setdefault(value, at)
    if down is not asked.less:
        ranks = {value: 1 + at for value, at in before.items()}
    else:  # from the worse end: as many are better as are neither equal nor have passed
        passed = list(before.values())[1:]
        if found:
            last = found[-1][1]
            passed.append(before[last] + count(" AND value = ?", last))
        ranks = {value: 1 + total - n for value, n in zip(before, passed)}
    return _First(total, [(job_id, ranks[value], value) for job_id, value in found])


def _by_sorting(found: MetricValues, db: sqlite3.Connection, asked: Question, by: Optional[Name], down: bool,
                limit: int) -> _First:
    """The first of some jobs, sorted by the metric itself or by another value."""
    sorted_by = _Values(found.values, range(len(found.values)))
    if by is not None:
        placed = resultgroups.in_order(db, found, by)
        sorted_by = _Values(placed.keys, placed.places)

    def rank(place: int, key: Optional[Key]) -> Optional[int]:
        if by is None or by.kind == values.PARAMETER:
            return _rank(found.values, found.values[place], not asked.less)
        return None if key is None else _rank(sorted_by.keys, key, down)

    first = itertools.islice(_in_order(found, sorted_by, down, asked.less), limit)
    return _First(len(found.ids), [(found.ids[place], rank(place, key), found.values[place])
                                   for place, key in first])


def _in_order(found: MetricValues, by: _Values, down: bool,
              less: bool) -> Iterator[Tuple[int, Optional[Key]]]:
    """All places, as an order has them, with what they are sorted by."""
    def goodness(place: int) -> float:
        return found.values[place] if less else -found.values[place]

    every: Sequence[int] = range(len(by.keys))
    for key, run in itertools.groupby(reversed(every) if down else every, key=lambda at: by.keys[at]):
        # Places are by value and then by id, so that sorting keeps the ids of equal ones in order.
        for place in sorted(sorted(by.places[at] for at in run), key=goodness):
            yield place, key
    if len(by.places) < len(found.ids):
        for place in sorted(sorted(set(range(len(found.ids))).difference(by.places)), key=goodness):
            yield place, None


def _rank(ordered: Sequence[Key], value: Key, down: bool) -> int:
    """Which place a number has among numbers in order, from 1; equal ones have the same."""
    return 1 + (len(ordered) - bisect_right(ordered, value) if down else bisect_left(ordered, value))
