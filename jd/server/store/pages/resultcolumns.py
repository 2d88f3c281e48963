"""Results of many jobs as columns, for charts, and what there is to choose from.

Jobs that are DELETED do not count, unless a filter asks for them.
"""

import json
import sqlite3
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Union

from jd import protocol as p
from jd.server.store import jobfields
from jd.server.store.files.resultfile import NAN
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, scanning, values
from jd.server.store.search.conditions import Sql

MAX_SHOWN = 50_000  # jobs in one answer
MAX_CELLS = 2_000_000  # of all columns together
MAX_COLUMNS = 100  # of parameters, and again of results
MAX_NAMES = 500  # of a kind
MAX_COUNTED = 100_000  # jobs with a result, in `names`
MAX_DISTINCT = 50  # values of a parameter, in `names`
_AT_ONCE = 2000  # jobs looked up in one query

Scalar = Union[None, bool, int, float, str]


class ParameterName(NamedTuple):
    """A parameter; `distinct` is None where it has more than MAX_DISTINCT values."""

    name: str
    numeric: bool
    distinct: Optional[int]


class ResultName(NamedTuple):
    """A result, and of how many jobs it is a number: up to MAX_COUNTED, lest counting take longer."""

    name: str
    n: int


class Names(NamedTuple):
    parameters: List[ParameterName]
    results: List[ResultName]


class Columns(NamedTuple):
    """A metric and what goes with it: the lists in it are as long as `ids`, which ascend.

    `total` is the number of jobs with the metric; where there are more than may be shown, every
    so-many-th of them by id is. A list or object as a parameter is its JSON text. `jobs` counts all that fit
    the filter: in `nan` and `infinite` of them the metric is that, and `without` are DONE and have none.
    """

    jobs: int
    nan: int
    infinite: int
    without: int
    metric: str
    total: int
    shown: int
    ids: List[int]
    values: List[float]
    parameters: Dict[str, List[Scalar]]
    results: Dict[str, List[Optional[float]]]


def names(db: sqlite3.Connection) -> Names:
    """Parameters and results in the order of their first use; of all jobs, also DELETED ones."""
    parameters: List[ParameterName] = []
    results: List[ResultName] = []
    for name in values.names(db, values.PARAMETER, MAX_NAMES):
        name_id = values.name_id(db, values.PARAMETER, name)
        # Texts sort after numbers.
        last = db.execute("SELECT typeof(value) FROM job_values WHERE name_id = ?"
                          " ORDER BY value DESC LIMIT 1", (name_id,)).fetchone()
        if last is not None:
            parameters.append(ParameterName(name, last[0] != "text", _distinct(db, name_id)))
    for name in values.names(db, values.RESULT, MAX_NAMES):
        n = db.execute("SELECT count(*) FROM (SELECT 1 FROM job_values WHERE name_id = ? LIMIT ?)",
                       (values.name_id(db, values.RESULT, name), MAX_COUNTED)).fetchone()[0]
        if n or values.has_not_finite(db, name):
            results.append(ResultName(name, n))
    return Names(parameters, results)


def _distinct(db: sqlite3.Connection, name_id: Optional[int]) -> Optional[int]:
    """How many values a name has, found by leaping from one to the next."""
    n = 0
    row = db.execute("SELECT value FROM job_values WHERE name_id = ? ORDER BY value LIMIT 1",
                     (name_id,)).fetchone()
    while row is not None:
        n += 1
        if n > MAX_DISTINCT:
            return None
        row = db.execute("SELECT value FROM job_values WHERE name_id = ? AND value > ?"
                         " ORDER BY value LIMIT 1", (name_id, row[0])).fetchone()
    return n


def columns(db: sqlite3.Connection, metric: str, filter_text: str, limit: int,
            now: float) -> Columns:
    """The jobs that have a metric and fit a filter; at most `limit` of them, fewer where they have many
    columns. Raises ProtocolError for the filter.
    """
    fitting = _fitting(db, metric, filter_text, now)
    ids = fitting.ids
    probe = _thinned(ids, 200)
    width = len({(kind, name) for _, *both in _objects(db, probe)
                 for kind, found in enumerate(both) for name in found})
    shown = _thinned(ids, min(limit, MAX_SHOWN, MAX_CELLS // max(1, width)))
    most = min(MAX_COLUMNS, MAX_CELLS // max(1, len(shown)))
    found = Columns(*fitting[1:], metric, len(ids), len(shown), shown, [], {}, {})
    for index, (_, parameters, results) in enumerate(_objects(db, shown)):
        found.values.append(results.pop(metric))
        _fill(found.parameters, parameters, index, len(shown), most)
        _fill(found.results, results, index, len(shown), most)
    return found


class _Fitting(NamedTuple):
    """The ids of the jobs that have a metric and fit a filter, ascending; the rest as in Columns."""

    ids: List[int]
    jobs: int
    nan: int
    infinite: int
    without: int


def _fitting(db: sqlite3.Connection, metric: str, filter_text: str, now: float) -> _Fitting:
    wanted = conditions.compiled(db, filter_text, now)
    found = {job_id for (job_id,) in db.execute("SELECT job_id FROM job_values WHERE name_id = ?",
                                                (values.name_id(db, values.RESULT, metric),))}
    others = values.not_finite(db, metric)
    # To look at the jobs one by one would cost far more than two sets do.
    if wanted.conditions:
        fit = dict(scanning.View(db, wanted).everything(db, Sql("j.id, j.status")))
        number, done = len(fit), {job_id for job_id, status in fit.items() if status == p.DONE}
        found.intersection_update(fit)
        others = {job_id: value for job_id, value in others.items() if job_id in fit}
    else:
        counts = jobs.counts(db)
        number = sum(counts[status] for status in wanted.statuses)
        unwanted = [status for status in p.JOB_STATUSES_ALL if status not in wanted.statuses]
        gone = _of_status(db, unwanted)
        done = _of_status(db, [p.DONE]) if p.DONE in wanted.statuses else set()
        found.difference_update(gone)
        others = {job_id: value for job_id, value in others.items() if job_id not in gone}
    nan = sum(1 for value in others.values() if value == NAN)
    return _Fitting(sorted(found), number, nan, len(others) - nan,
                    len(done.difference(found).difference(others)))


def _of_status(db: sqlite3.Connection, statuses: Sequence[str]) -> Set[int]:
    return {job_id for (job_id,) in db.execute(
        "SELECT id FROM jobs WHERE status IN (%s)" % conditions.marks(statuses), list(statuses))}


def _thinned(ids: Sequence[int], limit: int) -> List[int]:
    """At most `limit` of the ids, evenly."""
    n = len(ids)
    return list(ids) if n <= limit else [ids[index * n // limit] for index in range(limit)]


def _objects(db: sqlite3.Connection, ids: Sequence[int]) -> Iterator[Any]:
    """(id, parameters, results) of jobs with results, by ascending id."""
    for at in range(0, len(ids), _AT_ONCE):
        for job_id, parameters, results in db.execute(
                "SELECT id, CAST(parameters AS BLOB), CAST(results AS BLOB) FROM jobs"
                " WHERE id IN (%s) ORDER BY id"
                % conditions.id_list(ids[at:at + _AT_ONCE])):
            yield (job_id, jobfields.json_of(job_id, "parameters", parameters),
                   jobfields.json_of(job_id, "results", results))


def _fill(table: Dict[str, List[Any]], found: Dict[str, Any], index: int, length: int,
          most: int) -> None:
    for name, value in found.items():
        if name not in table:
            if len(table) >= most:
                continue
            table[name] = [None] * length
        table[name][index] = (json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list))
                              else value)
