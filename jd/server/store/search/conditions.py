"""The terms of a filter (see `filters`) as SQL about the table of jobs, which is called `j`.

What comes from outside is always a bound value; the text of the SQL is made of constants.
"""

import json
import math
import re
import sqlite3
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from jd.protocol import DELETED, JOB_STATUSES_ALL, ProtocolError, shown
from jd.server.store.jobfields import COMPARED, DURATION, TIME
from jd.server.store.queue import codes
from jd.server.store.search import filters, told, values
from jd.server.store.search.filters import CONTAINS, EQUAL, LACKS, ORDERINGS, UNEQUAL, Term, Value
from jd.server.store.search.sql import Compiled, any_of, no_ordering, pattern
from jd.server.store.search.sql import Source as Source
from jd.server.store.search.sql import Sql as Sql
from jd.server.store.search.sql import id_list as id_list
from jd.server.store.search.sql import marks as marks

BUILT_IN = ("status", "id", "worker", "host", "needs", "tag", "code", *told.NAMES, *COMPARED)
PREFIXES = {"param.": values.PARAMETER, "result.": values.RESULT}
OBJECTS = {values.PARAMETER: "parameters", values.RESULT: "results"}  # their columns

KNOWN_SHOWN = 30
_WHOLE = re.compile(r"[+-]?[0-9]{19,310}", re.ASCII)
_LOOKED_INTO = (CONTAINS, LACKS)
NO_ID = 2 ** 62  # above all ids
_MOST_ARMS = 100  # of one source; SQLite takes 500 in one query


class Filter(NamedTuple):
    """What jobs have to be like: in one of `statuses`, and all of `conditions`.

    The ids of all that match are between `above` and `below`.
    """

    statuses: Tuple[str, ...]
    conditions: Tuple[Sql, ...] = ()
    sources: Tuple[Source, ...] = ()
    above: int = 0
    below: int = NO_ID

    def where(self, with_statuses: bool = True) -> Sql:
        """One condition about `j`."""
        parts = list(self.conditions)
        if with_statuses and len(self.statuses) < len(JOB_STATUSES_ALL):
            parts.append(Sql("j.status IN (%s)" % marks(self.statuses), self.statuses))
        return Sql(" AND ".join(part.text for part in parts) or "1",
                   tuple(value for part in parts for value in part.values))


class Name(NamedTuple):
    """A parameter or a result that some job has."""

    kind: str
    name: str
    id: int

    @property
    def extract(self) -> Sql:
        """Its value in a job. Raises ProtocolError for a name that no JSON path can hold."""
        if '"' in self.name or "\\" in self.name:
            raise ProtocolError("%s cannot be searched: it has a quote or a backslash in its name"
                                % shown(self.name))
        return Sql("json_extract(j.%s, ?)" % OBJECTS[self.kind], ('$."%s"' % self.name,))


def compiled(db: sqlite3.Connection, text: str, now: float) -> Filter:
    """A filter, given as text. Raises ProtocolError for what cannot be understood.

    Without a word about `status` it leaves DELETED jobs out.
    """
    statuses: Set[str] = set(JOB_STATUSES_ALL)
    named = False
    conditions: List[Sql] = []
    sources: List[Source] = []
    terms = filters.parse(text)
    for term in terms:
        if term.name == "status" and term.operator not in _LOOKED_INTO:
            statuses &= _statuses(term)
            named = True
            continue
        condition, source = _compiled(db, term, now)
        conditions.append(condition)
        if source is not None:
            sources.append(source)
    if not named:
        statuses.discard(DELETED)
    return Filter(tuple(status for status in JOB_STATUSES_ALL if status in statuses),
                  tuple(conditions), tuple(sources), *_bounds(terms))


def _bounds(terms: Sequence[Term]) -> Tuple[int, int]:
    """Between which ids those of all jobs are that the terms allow."""
    above, below = 0, NO_ID
    for term in terms:
        if term.name == "id" and term.operator in ORDERINGS:
            limit = min(max(_number(term, term.values[0]), -1), NO_ID)
            if term.operator in (">", ">="):
                above = max(above, math.ceil(limit) - 1)
            else:
                below = min(below, math.floor(limit) + 1)
    return above, below


def resolve(db: sqlite3.Connection, name: str) -> Name:
    """The parameter or result that a name means. Raises ProtocolError that lists what there is, and
    values.NotThereYet for a parameter while those of some jobs are missing."""
    found = _found(db, name)
    if found is None or found.kind == values.PARAMETER:
        values.check_whole(db)
    if found is None:
        raise ProtocolError("there is no %s to search or sort by; known: %s" % (shown(name), _known(db)))
    return found


def _found(db: sqlite3.Connection, name: str) -> Optional[Name]:
    for prefix, kind in PREFIXES.items():
        if name.startswith(prefix):
            found = values.name_id(db, kind, name[len(prefix):])
            if found is not None:
                return Name(kind, name[len(prefix):], found)
    for kind in OBJECTS:
        found = values.name_id(db, kind, name)
        if found is not None:
            return Name(kind, name, found)
    return None


def _known(db: sqlite3.Connection) -> str:
    known: List[str] = list(BUILT_IN)
    for prefix, kind in PREFIXES.items():
        known += [prefix + name for name in values.names(db, kind, KNOWN_SHOWN + 1)]
    more = ", …" if len(known) > KNOWN_SHOWN else ""
    return ", ".join(known[:KNOWN_SHOWN]) + more


# ---- one term

def _compiled(db: sqlite3.Connection, term: Term, now: float) -> Compiled:
    if not term.operator:
        return _text(term.values[0].text), None
    if term.operator in _LOOKED_INTO:
        return _containing(db, term)
    if term.name == "code":
        return _code(db, term)
    if term.name in told.NAMES and not _is_value(db, term):
        return told.compared(db, term)
    if term.name in _LISTS:
        return _tagged(db, term)
    make = _BUILT_IN.get(term.name)
    if make is not None:
        return make(term, now)
    return _named(term, resolve(db, term.name))


def _is_value(db: sqlite3.Connection, term: Term) -> bool:
    """Whether a term compares a parameter or a result that is called like what attempts tell."""
    if term.name == "error" and all(told.kind(value) is not None for value in term.values):
        return False
    return any(values.name_id(db, kind, term.name) is not None for kind in OBJECTS)


def _containing(db: sqlite3.Connection, term: Term) -> Compiled:
    """Jobs with one of these texts in what a term names, with `!~` those with none."""
    if term.name in told.NAMES:
        parts = [told.contains(term.name, value.text) for value in term.values]
    elif term.name == "worker":
        parts = [_like(Sql("j.worker_id"), value) for value in term.values]
    elif term.name in BUILT_IN:
        raise ProtocolError("%s is compared, with = and the like; a text is looked for with ~ in message,"
                            " error, worker and in parameters" % term.name)
    else:
        extract = resolve(db, term.name).extract
        parts = [_like(extract, value) for value in term.values]
    source = told.HAVE_FAILED if (term.name, term.operator) == ("error", CONTAINS) else None
    return any_of(parts, UNEQUAL if term.operator == LACKS else EQUAL), source


def _like(what: Sql, value: Value) -> Sql:
    return Sql(what.text + " LIKE ? ESCAPE '\\'", (*what.values, pattern(value.text)))


def _statuses(term: Term) -> Set[str]:
    no_ordering(term)
    given = {value.text.upper() for value in term.values}
    for status in given:
        if status not in JOB_STATUSES_ALL:
            raise ProtocolError("status must be one of %s, not %s" % (
                ", ".join(JOB_STATUSES_ALL), shown(status)))
    return given if term.operator == EQUAL else set(JOB_STATUSES_ALL) - given


def _text(word: str) -> Sql:
    """`contain` it, where parameters are looked at as they are written in JSON; or it is the id."""
    found = contain(word, json.dumps(word, ensure_ascii=False)[1:-1])
    if word.isascii() and word.isdigit() and len(word) < 16:
        return Sql("(%s OR j.id = ?)" % found.text, (*found.values, int(word)))
    return found


def contain(word: str, in_json: str) -> Sql:
    """A text is in the worker or in the message of an attempt, or `in_json` in the parameters."""
    # Most jobs had one attempt, or none: to look at its message is one step in an index.
    return Sql("(j.parameters LIKE ? ESCAPE '\\' OR j.worker_id LIKE ? ESCAPE '\\' OR (j.attempt > 0"
               " AND EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND a.message LIKE ?"
               " ESCAPE '\\')))", (pattern(in_json), pattern(word), pattern(word)))


def _number(term: Term, value: Value) -> float:
    found = values.key(value.text)
    if isinstance(found, str) or found is None:
        raise ProtocolError("%s is compared with a number, not %s" % (term.name, shown(value.text)))
    return found


def _id(term: Term, _now: float) -> Compiled:
    numbers = [_number(term, value) for value in term.values]
    if term.operator in ORDERINGS:
        return Sql("j.id %s ?" % term.operator, (numbers[0],)), None
    listed = Sql("j.id IN (%s)" % marks(numbers), tuple(numbers))
    if term.operator == UNEQUAL:
        return Sql("NOT " + listed.text, listed.values), None
    return listed, Source((Sql("SELECT id FROM jobs WHERE id IN (%s)" % marks(numbers),
                               listed.values),), "id", True)


def _worker(term: Term, _now: float) -> Compiled:
    no_ordering(term)
    parts = [Sql("j.worker_id IS NULL") if value.is_null else Sql("j.worker_id = ?", (value.text,))
             for value in term.values]
    condition = any_of(parts, term.operator)
    if term.operator == UNEQUAL or any(value.is_null for value in term.values):
        return condition, None
    names = sorted({value.text for value in term.values})
    return condition, Source(tuple(
        Sql("SELECT id FROM jobs INDEXED BY jobs_of_worker WHERE worker_id = ?", (name,))
        for name in names), "id", True)


def _host(term: Term, _now: float) -> Compiled:
    no_ordering(term)
    hosts = tuple(value.text for value in term.values)
    chosen = "SELECT worker_id FROM workers WHERE host IN (%s)" % marks(hosts)
    condition = any_of([Sql("j.worker_id IN (%s)" % chosen, hosts)], term.operator)
    if term.operator == UNEQUAL:
        return condition, None
    return condition, Source((Sql("SELECT id FROM jobs WHERE worker_id IN (%s)" % chosen, hosts),),
                             "id", False)


class _Lists(NamedTuple):
    """Lists of tags that are written once: which column of a job names one, where their tags stand, and which
    index has the jobs that have any."""

    column: str
    table: str
    by: str


_LISTS = {"needs": _Lists("needs_id", "needed_tags", "jobs_by_needs"),
          "tag": _Lists("tags_id", "listed_tags", "jobs_by_tags")}


def _tagged(db: sqlite3.Connection, term: Term) -> Compiled:
    """Jobs that need or have one of these tags, maybe with others; null: jobs that need or have none."""
    no_ordering(term)
    column, table, by = _LISTS[term.name]
    tags = tuple(value.text for value in term.values if not value.is_null)
    some = Sql("j.%s IN (SELECT %s FROM %s WHERE tag IN (%s))" % (column, column, table, marks(tags)), tags)
    if any(value.is_null for value in term.values):
        return any_of([some, Sql("j.%s IS NULL" % column)], term.operator), None
    condition = any_of([some], term.operator)
    if term.operator == UNEQUAL:
        return condition, None
    found = [row[0] for row in db.execute("SELECT DISTINCT %s FROM %s WHERE tag IN (%s) LIMIT %d" % (
        column, table, marks(tags), _MOST_ARMS + 1), tags)]
    if len(found) > _MOST_ARMS:
        listed = Sql("SELECT id FROM jobs j INDEXED BY %s WHERE %s" % (by, some.text), tags)
        return condition, Source((listed,), "id", False)
    arms = tuple(Sql("SELECT id FROM jobs INDEXED BY %s WHERE %s = ?" % (by, column), (one,))
                 for one in found) or (Sql("SELECT id FROM jobs WHERE 0"),)
    return condition, Source(arms, "id", True)


def _code(db: sqlite3.Connection, term: Term) -> Compiled:
    """A version of the code by the beginning of its name, of its commit or of the script's hash."""
    no_ordering(term)
    found = [version for value in term.values if not value.is_null
             for version in codes.matching(db, value.text)]
    parts = [Sql("j.code IN (%s)" % marks(found), tuple(found))]
    if any(value.is_null for value in term.values):
        return any_of([*parts, Sql("j.code IS NULL")], term.operator), None
    condition = any_of(parts, term.operator)
    if term.operator == UNEQUAL:
        return condition, None
    arms = tuple(Sql("SELECT id FROM jobs INDEXED BY jobs_by_code WHERE code = ?", (version,))
                 for version in dict.fromkeys(found)) or (Sql("SELECT id FROM jobs WHERE 0"),)
    return condition, Source(arms, "id", True)


def _span(term: Term, value: Value, now: float) -> filters.Span:
    """From the first to behind the last number that a value stands for."""
    kind = COMPARED[term.name].kind
    if kind == TIME:
        return filters.moment(value.text, now)
    if kind == DURATION:
        seconds = filters.duration(value.text)
        if seconds is None:
            raise ProtocolError("%s is compared with a duration such as 90, 30s, 5m or 2h, not %s"
                                % (term.name, shown(value.text)))
        return filters.Span(seconds, seconds)
    number = _number(term, value)
    return filters.Span(number, number)


def _column(term: Term, now: float) -> Compiled:
    field = COMPARED[term.name]
    column = field.column
    if term.operator in ORDERINGS:
        if term.values[0].is_null:
            raise ProtocolError("%s can be compared with null by = and != only" % term.name)
        start, end = _span(term, term.values[0], now)
        # With a day, < is before it begins and > is after it has ended.
        if end > start:
            bound = {"<": ("<", start), "<=": ("<", end), ">": (">=", end), ">=": (">=", start)}
            operator, limit = bound[term.operator]
        else:
            operator, limit = term.operator, start
        condition = Sql("j.%s %s ?" % (column, operator), (limit,))
        if field.sorted_by is None or field.nothing is not None:
            return condition, None
        return condition, Source((Sql("SELECT id FROM jobs INDEXED BY %s WHERE %s %s ?" % (
            field.sorted_by, column, operator), (limit,)),), "id", False)
    parts = []
    for value in term.values:
        if value.is_null:
            parts.append(Sql("j.%s IS NULL" % column))
            continue
        start, end = _span(term, value, now)
        parts.append(Sql("j.%s >= ? AND j.%s < ?" % (column, column), (start, end)) if end > start
                     else Sql("j.%s = ?" % column, (start,)))
    return any_of([Sql("(%s)" % part.text, part.values) for part in parts], term.operator), None


_BUILT_IN: Dict[str, Callable[[Term, float], Compiled]] = {
    "id": _id, "worker": _worker, "host": _host, **dict.fromkeys(COMPARED, _column)}


# ---- parameters and results

def _named(term: Term, name: Name) -> Compiled:
    if term.operator in ORDERINGS:
        return _compared(term, name)
    parts: List[Sql] = []
    keys: List[values.Key] = []
    for value in term.values:
        if value.is_null:
            parts.append(Sql(name.extract.text + " IS NULL", name.extract.values))
            continue
        keys += _keys(value)
        if len(value.text) >= values.KEY_CHARS:  # others may begin alike
            parts.append(Sql(name.extract.text + " = ?", (*name.extract.values, value.text)))
        else:
            wanted = _keys(value)
            found = Sql("EXISTS (SELECT 1 FROM job_values v WHERE v.name_id = ? AND v.value IN (%s)"
                        " AND v.job_id = j.id)" % marks(wanted), (name.id, *wanted))
            parts.append(_to_the_last_digit(found, name, value.text))
    condition = any_of(parts, term.operator)
    if term.operator == UNEQUAL or any(value.is_null for value in term.values):
        return condition, None
    arms = tuple(Sql("SELECT job_id AS id FROM job_values WHERE name_id = ? AND value = ?", (name.id, one))
                 for one in dict.fromkeys(keys))
    return condition, Source(arms, "job_id", True)


def _to_the_last_digit(found: Sql, name: Name, text: str) -> Sql:
    """`found`, for a whole number beyond 64 bits only where the JSON has all its digits: SQLite takes several
    of these for one."""
    if _WHOLE.fullmatch(text) is None or -2 ** 63 <= int(text) < 2 ** 63:
        return found
    start = json.dumps(name.name, ensure_ascii=False) + ": "
    written = [start + form % int(text) for form in ("%d,", "%d}", '"%d"')]
    return Sql("(%s AND (%s))" % (found.text, " OR ".join(
        "instr(j.%s, ?)" % OBJECTS[name.kind] for _ in written)), (*found.values, *written))


def _keys(value: Value) -> List[values.Key]:
    """What a value may be in job_values. A script's `True` is often the text."""
    if value.truth is not None:
        return [int(value.truth), str(value.truth), str(value.truth).lower()]
    found = values.key(value.text)
    return [] if found is None else [found]


def _compared(term: Term, name: Name) -> Compiled:
    """Numbers with numbers, texts with texts."""
    value = values.key(term.values[0].text)
    if value is None or term.values[0].is_null or term.values[0].truth is not None:
        raise ProtocolError("%s can be compared with %s by = and != only" % (
            term.name, term.values[0].text))
    text, path = name.extract
    if isinstance(value, str):
        # Every text is above '', every number below.
        return Sql("(%s %s ? AND %s >= '')" % (text, term.operator, text), (*path, value, *path)), None
    # The cast makes SQLite take a text for a number if it is one; other texts are above all numbers.
    condition = Sql("(%s %s CAST(? AS NUMERIC) AND %s <= CAST(9e999 AS REAL))" % (
        text, term.operator, text), (*path, value, *path))
    source = Sql("SELECT job_id AS id FROM job_values WHERE name_id = ? AND value %s ? AND value < ''"
                 % term.operator, (name.id, value))
    return condition, Source((source,), "job_id", False)
