"""Results of jobs as columns, for charts, and what there is to choose from."""

import json
import sqlite3
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Union

from jd.server.store import jobfields
from jd.server.store.pages.results import metricvalues
from jd.server.store.pages.results.metricvalues import Find
from jd.server.store.search import conditions, values

# A page that is opened wants to be drawn at once: more points would not be told apart.
MAX_SHOWN = 5_000  # jobs in one answer, besides the utmost ones
MAX_CELLS = 60_000  # of all columns together
UTMOST = 20  # jobs at each end of the metric that are always there
MAX_COLUMNS = 100  # of parameters, and again of results
MAX_NAMES = 500  # of a kind
MAX_COUNTED = 10_000  # jobs with a result, in `names`
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

    `total` is the number of jobs with the metric, and `spread` what it spans in all of them. Where there are
    more than may be shown, a sample is, and besides it the best and the worst jobs, whichever end is better:
    those of them that are not of the sample are `utmost`. A list or object as a parameter is its JSON text.
    `jobs`, `nan`, `infinite`, `without` and `not_done` are as in MetricValues.
    """

    jobs: int
    nan: int
    infinite: int
    without: int
    not_done: int
    metric: str
    total: int
    shown: int
    spread: Optional[Dict[str, float]]
    utmost: List[int]
    ids: List[int]
    values: List[float]
    parameters: Dict[str, List[Scalar]]
    results: Dict[str, List[Optional[float]]]


def names(db: sqlite3.Connection) -> Names:
    """Parameters and results in the order of their first use; of all jobs, also DELETED ones. Raises
    values.NotThereYet."""
    values.check_whole(db)
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


def columns(db: sqlite3.Connection, metric: str, filter_text: str, limit: int, now: float,
            find: Find = metricvalues.find) -> Columns:
    """The jobs that have a metric and fit a filter; of more than `limit` of them a sample, which is smaller
    where they have many columns. Raises ProtocolError for the filter.
    """
    found = find(db, metric, filter_text, now)
    sample = metricvalues.sample(found.ids, min(limit, MAX_SHOWN))
    width = len({(kind, name) for _, *both in objects(db, metricvalues.sample(sample, 200))
                 for kind, some in enumerate(both) for name in some})
    sample = metricvalues.sample(sample, MAX_CELLS // max(1, width))
    ends = {*metricvalues.lowest(found, UTMOST), *metricvalues.highest(found, UTMOST)}
    utmost = sorted(ends.difference(sample))
    shown = sorted([*sample, *utmost])
    spread = metricvalues.spread(found.values)
    made = Columns(found.jobs, found.nan, found.infinite, found.without, found.not_done, metric,
                   len(found.ids), len(shown), spread and spread._asdict(), utmost, shown, [], {}, {})
    most = min(MAX_COLUMNS, MAX_CELLS // max(1, len(sample)))
    for index, (_, parameters, results) in enumerate(objects(db, shown)):
        made.values.append(results.pop(metric))
        _fill(made.parameters, parameters, index, len(shown), most)
        _fill(made.results, results, index, len(shown), most)
    return made


def objects(db: sqlite3.Connection, ids: Sequence[int]) -> Iterator[Any]:
    """(id, parameters, results) of jobs with results, whose ids ascend."""
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
        table[name][index] = scalar(value)


def scalar(value: Any) -> Scalar:
    """A value as charts take it: a list or an object is its JSON text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
