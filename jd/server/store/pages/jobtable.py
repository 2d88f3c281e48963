"""Pages of the table of jobs: filtered, sorted, as fast for 1,000,000 jobs as for 10.

A page goes on where the one before ended, at the key and id of its last job, so that a deep page costs
what the first one does. Jobs that have no value to be sorted by come last, by id.
"""

import base64
import binascii
import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd.protocol import ProtocolError, shown
from jd.server.store import jobfields
from jd.server.store.jobfields import Field, Where
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, scanning, values
from jd.server.store.search.conditions import Filter, Name, Sql
from jd.server.store.search.scanning import Found, Place, View

MAX_LIMIT = 200
MAX_COLUMNS = 500  # names of parameters, and of results, that a page tells
MAX_CURSOR_CHARS = 2000

_FIELDS = jobfields.shown(Where.TABLE)


class Order(NamedTuple):
    """By what jobs are sorted: the id, a column, or a parameter or result."""

    text: str
    descending: bool = False
    field: Optional[Field] = None
    value: Optional[Name] = None

    @property
    def key(self) -> Sql:
        """The key of a job `j`, NULL if it has none."""
        if self.value is not None:
            return self.value.extract
        if self.field is None:
            return Sql("NULL")
        if self.field.nothing is not None:
            return Sql("nullif(j.%s, %d)" % (self.field.column, self.field.nothing))
        return Sql("j." + self.field.column)


BY_ID = Order("id")


def order(db: sqlite3.Connection, text: str) -> Order:
    """The order that `name` or `-name` means. Raises ProtocolError."""
    descending = text.startswith("-")
    name = text[1:] if descending else text
    if name == "id":
        return Order(text, descending)
    if name in jobfields.SORTED:
        return Order(text, descending, jobfields.SORTED[name])
    return Order(text, descending, None, conditions.resolve(db, name))


# ---- cursors

class Cursor(NamedTuple):
    """The last job of a page. Without a key it is among those that come last, or sorted by id."""

    key: Optional[values.Key]
    id: int

    def text(self, by: Order) -> str:
        """The cursor for a URL; it is good for this order only."""
        raw = json.dumps([by.text, self.key, self.id]).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def cursor(text: str, by: Order) -> Cursor:
    """Read a cursor. Raises ProtocolError for what is none of this order."""
    wrong = ProtocolError("after=%s is no place in this list; load it from its start" % shown(text))
    if len(text) > MAX_CURSOR_CHARS:
        raise wrong
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        sort, key, job_id = found
        str(key).encode()  # half a surrogate pair cannot be bound
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise wrong from None
    whole = isinstance(job_id, int) and not isinstance(job_id, bool) and 0 <= job_id < 2 ** 53
    simple = key is None or (isinstance(key, (int, float, str)) and not isinstance(key, bool)
                             and not (isinstance(key, int) and abs(key) >= 2 ** 63) and key == key)
    if sort != by.text or not whole or not simple or (key is not None and by[2:] == BY_ID[2:]):
        raise wrong
    return Cursor(key, job_id)


# ---- pages

class TablePage(NamedTuple):
    """Jobs in order; `next` is the cursor of what follows, None at the end.

    There may be fewer than asked for, even none, although `next` is there: then as many jobs as one
    request may look at were looked at. `scanned` is at least how many that were, `total` how many
    match if that is known.
    """

    jobs: List[Dict[str, Any]]
    next: Optional[str]
    scanned: int
    total: Optional[int]


def page(db: sqlite3.Connection, wanted: Filter, by: Order, after: Optional[Cursor],
         limit: int) -> TablePage:
    """A page of the jobs that match. Raises ProtocolError."""
    found, total = places(db, wanted, by, after, limit)
    following_text = None if found.resume is None else Cursor(*found.resume).text(by)
    return TablePage(rows(db, [place[1] for place in found.places]), following_text, found.scanned, total)


def places(db: sqlite3.Connection, wanted: Filter, by: Order, after: Optional[Cursor],
           limit: int) -> Tuple[Found, Optional[int]]:
    """The places of a page, and how many jobs match if that is known. Raises ProtocolError."""
    view = View(db, wanted)
    if view.few:
        everything = _sorted(db, view, by)
        following = [place for place in everything if after is None or _behind(place, after, by.descending)]
        rest = following[:limit]
        return Found(rest, rest[-1] if len(following) > limit else None, view.rows), len(everything)
    found = _driven(db, view, by, after, limit)
    total = sum(view.by_status.values()) if not wanted.conditions else None
    if total is None and after is None and found.resume is None:
        total = len(found.places)
    return found, total


def _sorted(db: sqlite3.Connection, view: View, by: Order) -> List[Place]:
    """All places of few jobs, in order."""
    key = by.key
    places = [(values.key(found), job_id) for found, job_id in view.everything(
        db, Sql("%s, j.id" % key.text, key.values))]
    with_key = [place for place in places if place[0] is not None]
    with_key.sort(key=_rank, reverse=by.descending)
    without = [place for place in places if place[0] is None]
    without.sort(key=_rank, reverse=by.descending)
    return with_key + without


def _rank(place: Place) -> Tuple[bool, Any, int]:
    """As SQLite orders: numbers before texts, texts by their UTF-8."""
    key, job_id = place
    if isinstance(key, str):
        return True, key.encode("utf-8", "surrogatepass"), job_id
    return False, 0 if key is None else key, job_id


def _behind(place: Place, after: Cursor, descending: bool) -> bool:
    if (place[0] is None) != (after.key is None):
        return place[0] is None
    if descending:
        return _rank(place) < _rank(after)
    return _rank(place) > _rank(after)


def _driven(db: sqlite3.Connection, view: View, by: Order, after: Optional[Cursor],
            limit: int) -> Found:
    """A page from indexes: first of the jobs that have a key, then of those that have none."""
    if by.field is None and by.value is None:
        driver = view.by_id(None if after is None else after.id, by.descending)
        return scanning.run(db, driver, view.ordered_where, limit, scanning.SCAN)
    found = Found([], None, 0)
    if after is None or after.key is not None:
        found = scanning.run(db, _by_key(by, after), view.where, limit, scanning.SCAN)
        if found.resume is not None:
            return found
        if len(found.places) == limit:
            return found._replace(resume=found.places[-1])
        after = None
    driver, where = _without_key(view, by, None if after is None else after.id)
    rest = scanning.run(db, driver, where, limit - len(found.places),
                        max(limit, scanning.SCAN - found.scanned))
    return Found([*found.places, *((None, place[1]) for place in rest.places)],
                 None if rest.resume is None else (None, rest.resume[1]),
                 found.scanned + rest.scanned)


def _by_key(by: Order, after: Optional[Cursor]) -> Sql:
    """A driver in the order of a key, behind `after`."""
    beyond, direction = ("<", " DESC") if by.descending else (">", "")
    lowest: values.Key
    if by.value is not None:
        select = "SELECT value AS key, job_id AS id FROM job_values WHERE name_id = %d" % by.value.id
        key, job_id, lowest = "value", "job_id", jobfields.LOWEST
    else:
        assert by.field is not None
        key, job_id, lowest = by.field.column, "id", by.field.lowest
        indexed = "1" if by.field.nothing is None else "%s <> %d" % (key, by.field.nothing)
        select = "SELECT %s AS key, id FROM jobs INDEXED BY %s WHERE %s" % (key, by.field.sorted_by, indexed)
    if after is None:
        arms = [Sql("%s AND %s >= ?" % (select, key), (lowest,))]
    else:
        arms = [Sql("%s AND %s = ? AND %s %s ?" % (select, key, job_id, beyond), (after.key, after.id)),
                Sql("%s AND %s %s ?" % (select, key, beyond), (after.key,))]
    text, bound = scanning.union(arms)
    return Sql("%s ORDER BY key%s, id%s LIMIT ?" % (text, direction, direction), bound)


def _without_key(view: View, by: Order, after: Optional[int]) -> Tuple[Sql, Sql]:
    """A driver of the jobs that come last, and the conditions that it leaves open."""
    key, where = by.key, view.ordered_where
    return view.by_id(after, by.descending), Sql("%s IS NULL AND %s" % (key.text, where.text),
                                                 (*key.values, *where.values))


# ---- jobs as they are shown

def rows(db: sqlite3.Connection, ids: Sequence[int], fields: Sequence[Field] = _FIELDS,
         whole: bool = False) -> List[Dict[str, Any]]:
    """Jobs for the dashboard, in the order of `ids`, with the last line of their history as `message`;
    unknown ids are left out, and those of a batch that is being written. What is NaN, Infinity or -Infinity
    stands as that word among the results.

    A row that is damaged says that as its `message`, so that the others can be seen; if they are to be
    `whole`, damage.DamagedRow is raised.
    """
    found: Dict[int, Dict[str, Any]] = {}
    for job_id, message, *row in db.execute(
            "SELECT j.id, (SELECT reason FROM job_history WHERE job_id = j.id ORDER BY id DESC LIMIT 1), %s"
            " FROM jobs j WHERE j.id IN (%s) AND j.id < ?" % (
                jobfields.columns(fields), conditions.id_list(ids)), (jobs.creating_from(db),)):
        damaged: List[str] = []
        job = jobfields.values(fields, row, damaged=None if whole else damaged)
        found[job_id] = dict(job, message="; ".join(damaged) or message)
    for job_id, words in values.words_of(db, found).items():
        found[job_id]["results"] = dict(found[job_id].get("results") or {}, **words)
    return [found[job_id] for job_id in ids if job_id in found]


def columns(db: sqlite3.Connection) -> Dict[str, Any]:
    """The names of all parameters and results in the order of their first use, the tags that jobs need
    and have, and whether an attempt of any has `failed`."""
    def tags(table: str) -> List[str]:
        return [row[0] for row in db.execute(
            "SELECT DISTINCT tag FROM %s ORDER BY tag LIMIT %d" % (table, MAX_COLUMNS))]
    return {"parameters": values.names(db, values.PARAMETER, MAX_COLUMNS),
            "results": values.names(db, values.RESULT, MAX_COLUMNS),
            "needs": tags("needed_tags"), "tags": tags("listed_tags"),
            "failed": db.execute("SELECT 1 FROM error_kinds LIMIT 1").fetchone() is not None}
