"""The list of `GET /api/jobs`: by id, status, text or filter, with pages by number; and statuses by id.

Without a status it is of the jobs that are there: those that are DELETED are left out, as on the dashboard,
unless they are named by id. A text or a filter is looked for in steps, each of bounded work.
"""

import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store import jobfields
from jd.server.store.jobfields import Where
from jd.server.store.pages import jobtable
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, filters, scanning
from jd.server.store.search.conditions import Filter, Source, Sql, id_list

_PRESENT = tuple(status for status in p.JOB_STATUSES_ALL if status != p.DELETED)
_FIELDS = jobfields.shown(Where.API)


class JobQuery(NamedTuple):
    """What `GET /api/jobs` may ask for. `search` is a text, or digits: an id; `where` is a filter, and `sort`
    an order of the table of jobs."""

    page: int = 1
    per_page: int = 50
    status: Optional[str] = None
    search: Optional[str] = None
    ids: Optional[Sequence[int]] = None
    where: str = ""
    sort: str = jobtable.BY_ID.text

    @property
    def statuses(self) -> Sequence[str]:
        """The statuses that are meant."""
        if self.status is not None:
            return (self.status,)
        by_id = self.ids is not None or self.search is not None and not self.is_text
        return p.JOB_STATUSES_ALL if by_id else _PRESENT

    @property
    def is_text(self) -> bool:
        """Whether a text is looked for."""
        return self.search is not None and not (self.search.isascii() and self.search.isdigit())

    @property
    def takes_steps(self) -> bool:
        """Whether it may take a while to find the jobs."""
        return self.is_text or self.where.strip() != "" or self.sort != jobtable.BY_ID.text


class JobPage(NamedTuple):
    """Some of the jobs that match, and how many do in all."""

    jobs: List[Dict[str, Any]]
    total: int


def select(db: sqlite3.Connection, query: JobQuery) -> JobPage:
    """One page of jobs by id, and how many match in all; not for a query that `takes_steps`."""
    where, values = _condition(query)
    before = jobs.creating_from(db)
    if before < jobs.NO_BATCH:
        where, values = where + " AND id < ?", [*values, before]
    offset = (query.page - 1) * query.per_page
    if query.search is None and query.ids is None:
        by_status = jobs.counts(db)
        total = sum(by_status[status] for status in query.statuses)
    else:
        total = db.execute("SELECT count(*) FROM jobs WHERE " + where, values).fetchone()[0]
    if query.statuses == _PRESENT:
        first, last = _ends(db)
        last = min(last, before - 1)
        if total == last - first + 1:
            # Of these no id is missing, as usual: a deep page is found without stepping over all before it.
            where, values, offset = where + " AND id >= ?", [*values, first + offset], 0
    ids = "SELECT id AS page_id FROM jobs WHERE " + where
    rows = db.execute(
        "SELECT %s, a.system_metrics FROM (%s ORDER BY id LIMIT ? OFFSET ?) JOIN jobs j ON j.id = page_id"
        " LEFT JOIN attempts a ON a.job_id = j.id AND a.number = j.attempt ORDER BY j.id"
        % (jobfields.columns(_FIELDS), ids), (*values, query.per_page, offset)).fetchall()
    histories = _histories(db, [row[0] for row in rows])
    return JobPage([_described(row, histories.get(row[0], [])) for row in rows], total)


def search(db: sqlite3.Connection, query: JobQuery, now: float, after: int) -> scanning.Matching:
    """The ids above `after` of jobs that match a query, among the next scanning.SCAN that may do so. Raises
    ProtocolError."""
    return scanning.matching(db, _filter(db, query, now), after, scanning.SCAN)


def count(db: sqlite3.Connection, query: JobQuery, now: float, after: int) -> scanning.Counted:
    """One step of counting them, likewise."""
    return scanning.count(db, _filter(db, query, now), after)


def in_order(db: sqlite3.Connection, query: JobQuery, now: float, after: Optional[jobtable.Cursor],
             limit: int) -> scanning.Found:
    """The places of up to `limit` of them behind `after`, in the order of the query, likewise."""
    by = jobtable.order(db, query.sort)
    return jobtable.places(db, _filter(db, query, now), by, after, limit)[0]


def _filter(db: sqlite3.Connection, query: JobQuery, now: float) -> Filter:
    wanted = Filter(tuple(query.statuses))
    if query.where.strip():
        wanted = conditions.compiled(db, query.where, now)
        if query.status is not None:
            named = any(term.name == "status" for term in filters.parse(query.where))
            wanted = wanted._replace(statuses=tuple(
                status for status in (wanted.statuses if named else p.JOB_STATUSES_ALL)
                if status == query.status))
    found: Tuple[Sql, ...] = ()
    sources: Tuple[Source, ...] = ()
    if query.is_text and query.search is not None:
        # As it is written: whoever looks for a piece of JSON finds it.
        found += (conditions.contain(query.search, query.search),)
    elif query.search is not None:
        found += (Sql("j.id = ?", (_id(query.search),)),)
    if query.ids is not None:
        listed = "id IN (%s)" % id_list(query.ids)
        found += (Sql("j." + listed),)
        sources = (Source((Sql("SELECT id FROM jobs WHERE " + listed),), "id", True),)
    return wanted._replace(conditions=(*wanted.conditions, *found), sources=(*wanted.sources, *sources))


def statuses(db: sqlite3.Connection, ids: Sequence[int]) -> Dict[str, str]:
    """Status by id (as text: it goes to JSON) of the jobs that exist."""
    return {str(job_id): status for job_id, status in db.execute(
        "SELECT id, status FROM jobs WHERE id IN (%s) AND id < ?" % id_list(ids),
        (jobs.creating_from(db),))}


def _condition(query: JobQuery) -> Tuple[str, List[Any]]:
    clauses: List[str] = []
    values: List[Any] = []
    if query.status is not None:
        clauses.append("status = ?")
        values.append(query.status)
    elif query.statuses == _PRESENT:
        clauses.append("+status <> 'DELETED'")  # in the order of ids, and not by the index on statuses
    if query.ids is not None:
        clauses.append("id IN (%s)" % id_list(query.ids))
    if query.search is not None:
        clauses.append("id = ?")
        values.append(_id(query.search))
    return " AND ".join(clauses) or "1", values


def _id(digits: str) -> int:
    """More digits than an id can have match nothing."""
    return int(digits) if len(digits) < 16 else -1


def _ends(db: sqlite3.Connection) -> Tuple[int, int]:
    """The first and the last id of a job that is not DELETED; 1 and 0 if there is none."""
    # Asked one by one: then each is one look into the index.
    ends = [db.execute("SELECT (SELECT min(id) FROM jobs WHERE status = ?),"
                       " (SELECT max(id) FROM jobs WHERE status = ?)", (status, status)).fetchone()
            for status in _PRESENT]
    return (min((first for first, _ in ends if first is not None), default=1),
            max((last for _, last in ends if last is not None), default=0))


def _histories(db: sqlite3.Connection, ids: Sequence[int]) -> Dict[int, List[Dict[str, Any]]]:
    found: Dict[int, List[Dict[str, Any]]] = {}
    for job_id, timestamp, reason in db.execute(
            "SELECT job_id, timestamp, reason FROM job_history WHERE job_id IN (%s)"
            " ORDER BY job_id, id" % id_list(ids)):
        found.setdefault(job_id, []).append({"reason": reason, "timestamp": timestamp})
    return found


def _described(row: Sequence[Any], history: List[Dict[str, Any]]) -> Dict[str, Any]:
    described = jobfields.values(_FIELDS, row, by_column=True)
    described["message"] = history
    described["system_metrics"] = json.loads(row[-1]) if row[-1] else {}
    return described
