"""Jobs as lines of a CSV table: fixed columns, then parameters, then results."""

import csv
import io
import sqlite3
from datetime import datetime, timedelta
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd import csvcells
from jd.server.store import jobfields
from jd.server.store.jobfields import Where
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, values
from jd.server.store.search.conditions import Sql

PAGE = 2000  # jobs looked at in one read
MAX_COLUMNS = 1000  # of parameters, and again of results
_FIELDS = jobfields.shown(Where.CSV)
FIXED = tuple(field.word or field.name for field in _FIELDS)

_EPOCH = datetime(1970, 1, 1)


class CsvTable(NamedTuple):
    """What a table is made of: columns as they are now, the jobs up to `last_id` that are `wanted`."""

    wanted: Sql
    parameters: List[str]
    results: List[str]
    last_id: int


class CsvPart(NamedTuple):
    """Some lines; the next ones follow the job `after`, None where there are no more."""

    lines: str
    after: Optional[int]


def begin(db: sqlite3.Connection, filter_text: str, now: float) -> CsvTable:
    """The table of the jobs that there are now and fit a filter. Raises ProtocolError for the filter."""
    return CsvTable(conditions.compiled(db, filter_text, now).where(),
                 values.names(db, values.PARAMETER, MAX_COLUMNS),
                 values.names(db, values.RESULT, MAX_COLUMNS),
                 jobs.last_id(db))


def header(table: CsvTable) -> str:
    """The first line. A name that is there twice is `param.NAME` and `result.NAME`."""
    names = [name if name not in FIXED and name not in table.results else "param." + name
             for name in table.parameters]
    names += [name if name not in FIXED and name not in table.parameters else "result." + name
              for name in table.results]
    return _lines([[*FIXED, *map(csvcells.text, names)]])


def lines(db: sqlite3.Connection, table: CsvTable, after: int) -> CsvPart:
    """The lines of those of the next PAGE jobs by id that are wanted."""
    window = db.execute("SELECT max(id) FROM (SELECT id FROM jobs WHERE id > ? AND id <= ?"
                        " ORDER BY id LIMIT ?)", (after, table.last_id, PAGE)).fetchone()[0]
    if window is None:
        return CsvPart("", None)
    rows = db.execute(
        "SELECT j.id, CAST(j.parameters AS BLOB), CAST(j.results AS BLOB), %s FROM jobs j"
        " WHERE j.id > ? AND j.id <= ? AND %s ORDER BY j.id" % (
            jobfields.columns(_FIELDS), table.wanted.text),
        (after, window, *table.wanted.values)).fetchall()
    words = values.words(db, after, window)
    return CsvPart(_lines([_cells(row, table, words.get(row[0], {})) for row in rows]), window)


def _cells(row: Tuple[Any, ...], table: CsvTable, words: Dict[str, str]) -> List[str]:
    """The cells of a job; `words` are its results that are NaN, Infinity or -Infinity."""
    job_id, parameters, results, *fixed = row
    given: Dict[str, Any] = jobfields.json_of(job_id, "parameters", parameters)
    found: Dict[str, Any] = {} if results is None else jobfields.json_of(job_id, "results", results)
    return [*[_fixed(job_id, field, value) for field, value in zip(_FIELDS, fixed)],
            *[csvcells.text(given.get(name)) for name in table.parameters],
            *[words.get(name) or csvcells.text(found.get(name)) for name in table.results]]


def _fixed(job_id: int, field: jobfields.Field, value: Any) -> str:
    if field.kind == jobfields.TIME:
        return _time(value)
    is_list = field.kind == jobfields.JSON and value
    return csvcells.text(" ".join(jobfields.json_of(job_id, field.column, value)) if is_list else value)


def _time(seconds: Optional[float]) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return ""
    moment = _EPOCH + timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _lines(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
