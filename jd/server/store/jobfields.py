"""The columns of the table of jobs that people see, each said once: where it is shown and by what name.

Pages, the list of `GET /api/jobs`, the CSV, filters and the sorting of the table are made from this. So a new
column takes a migration (`schema`), a line here, and whatever writes it.
"""

from enum import Flag, auto
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Tuple, Union

from jd.storage import damage


class Where(Flag):
    """Where a column is shown."""

    TABLE = auto()  # the dashboard's table of jobs
    DETAILS = auto()  # its page of one job
    API = auto()  # `GET /api/jobs`, by the name of the column
    CSV = auto()  # by the word
    RESULTS = auto()  # `GET /api/results`
    CHANGES = auto()  # `GET /api/changes`


PAGES = Where.TABLE | Where.DETAILS
READ = Where.RESULTS | Where.CHANGES  # by programs that look at a sweep
EVERYWHERE = PAGES | Where.API | Where.CSV | READ

# What the values are.
TEXT = "text"
NUMBER = "number"
TIME = "time"  # Unix seconds
DURATION = "duration"  # seconds
JSON = "json"

LOWEST = -1e999  # below all numbers and texts


class Field(NamedTuple):
    """A column. `name` is its name on pages, `word` what people write in a filter and a sort, and read in the
    CSV.

    A NUMBER, TIME or DURATION with a word can be compared in a filter. Jobs can be sorted by what has an
    index, `sorted_by`, of the jobs that have a value; `lowest` is below all of these. `nothing` stands for
    no value, where that is not NULL; the index then leaves it out. What stands in another table is found by
    `select`, of a job `j`, and `column` is what the API calls it.
    """

    column: str
    where: Where
    name: str
    word: Optional[str] = None
    kind: str = TEXT
    sorted_by: Optional[str] = None
    lowest: Union[float, str] = LOWEST
    nothing: Optional[int] = None
    select: Optional[str] = None


# What the latest attempt of a job came to.
_LATEST = "(SELECT %s FROM attempts WHERE job_id = j.id AND number = j.attempt)"

FIELDS: Tuple[Field, ...] = (
    Field("id", EVERYWHERE, "id", "id"),
    Field("status", EVERYWHERE, "status", "status", sorted_by="jobs_by_status", lowest=""),
    Field("parameters", PAGES | Where.API, "parameters", kind=JSON),
    Field("results", PAGES, "results", kind=JSON),
    Field("attempt", EVERYWHERE, "attempt", "attempts", NUMBER, "jobs_by_attempt", nothing=0),
    Field("failures", PAGES, "failures"),
    Field("worker_id", EVERYWHERE, "worker_id", "worker", sorted_by="jobs_of_worker"),
    Field("priority", PAGES | Where.API, "priority", "priority", NUMBER, "jobs_by_priority", nothing=0),
    Field("needs", PAGES | Where.API, "needs", kind=JSON,
          select="(SELECT tags FROM needs WHERE id = j.needs_id)"),
    Field("timeout", PAGES | Where.API, "timeout", kind=DURATION),
    Field("max_attempts", PAGES | Where.API, "max_attempts"),
    Field("flags", Where.DETAILS | Where.API, "flags"),
    Field("request_timestamp", EVERYWHERE, "started", "started", TIME, "jobs_by_start"),
    Field("completion_timestamp", EVERYWHERE, "finished", "finished", TIME, "jobs_by_end"),
    Field("required_time", EVERYWHERE, "runtime", "runtime", DURATION, "jobs_by_runtime"),
    Field("verdict", Where.API | Where.CSV | READ, "verdict", select=_LATEST % "verdict"),
    Field("exit_code", Where.API | Where.CSV, "exit_code", select=_LATEST % "exit_code"),
    Field("error", PAGES | Where.API | Where.CSV, "error", select=_LATEST % "error"),
    Field("message", Where.CSV, "message", select=_LATEST % "message"),
    Field("batch", Where.DETAILS | Where.API | Where.CSV | Where.RESULTS, "batch"),
    Field("code", EVERYWHERE, "code", "code", sorted_by="jobs_by_code", lowest=""),
    Field("tags", EVERYWHERE & ~Where.CHANGES, "tags", "tags", kind=JSON,
          select="(SELECT tags FROM tags WHERE id = j.tags_id)"),
    Field("by_rule", Where(0), "by_rule", "by_rule", NUMBER, "jobs_by_rule"),
    Field("retry_at", PAGES | Where.API | Where.CHANGES, "retry_at", kind=TIME),
    Field("lease_until", Where.DETAILS, "lease_until", kind=TIME),
    Field("last_ping_timestamp", Where.API, "last_ping_timestamp", kind=TIME),
)

# By word.
COMPARED = {field.word: field for field in FIELDS if field.word and field.kind in (NUMBER, TIME, DURATION)}
SORTED = {field.word: field for field in FIELDS if field.word and field.sorted_by}


def shown(where: Where) -> Tuple[Field, ...]:
    """The fields that are shown in a place, in order."""
    return tuple(field for field in FIELDS if field.where & where)


def columns(fields: Iterable[Field]) -> str:
    """Their columns, of a job `j`, for a SELECT. JSON is bytes: damaged, it may be no text any more."""
    return ", ".join(("CAST(%s AS BLOB)" if field.kind == JSON else "%s") % (
        field.select or "j." + field.column) for field in fields)


def values(fields: Iterable[Field], row: Iterable[Any], by_column: bool = False,
           damaged: Optional[List[str]] = None) -> Dict[str, Any]:
    """A row that was selected so, by the names on pages or the columns; JSON is parsed.

    Raises damage.DamagedRow for what cannot be. With `damaged` that is added there instead, and the value is
    that of a job that has none.
    """
    found: Dict[str, Any] = {}
    for field, value in zip(fields, row):
        if field.kind == JSON and value is not None:
            try:
                value = json_of(found["id"], field.column, value)
            except damage.DamagedRow as error:
                if damaged is None:
                    raise
                damaged.append(str(error))
                value = {} if field.select is None else None
        found[field.column if by_column else field.name] = value
    return found


def json_of(job_id: int, column: str, value: Union[str, bytes]) -> Any:
    """What stands in a column of a job. Raises damage.DamagedRow."""
    return damage.parsed(value, "job %d: its %s" % (job_id, column))
