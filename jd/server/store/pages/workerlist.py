"""The list of workers: a page of it, how many are in which state, one of them in full.

Functions are operations for Database.read. A page costs one walk over the tab (active or
disabled workers), which is what sorting by anything costs; 10,000 workers take some ms.
"""

import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from jd.net.jsonbody import parse_json
from jd.protocol import ProtocolError, shown
from jd.server.store.fleet import worker_history
from jd.server.store.fleet.workers import RING
from jd.server.store.queue.tookdown import FOUND_DEAD

ACTIVE = "active"
DISABLED = "disabled"
TABS = (ACTIVE, DISABLED)
MAX_CHOICES = 500  # hosts, instances and slots to choose from
RECENT_JOBS = 20
_JOBS_LOOKED_AT = 200

_BUSY = "(reported_status = 'busy' OR current_job_id IS NOT NULL)"
_PENDING = "(left_at IS NULL AND desired_version > applied_version)"
_QUEUED = "(%s AND previous_state IS NOT NULL)" % _PENDING
# What it was told and has taken.
_TAKEN = "(CASE WHEN %s THEN previous_state ELSE desired_state END)" % _QUEUED
_STATE = ("(CASE WHEN left_at IS NOT NULL THEN"
          " CASE WHEN left_reason IN ('heartbeat lost', '{dead}') THEN 'lost' ELSE 'stopped' END"
          " WHEN {taken} = 'stop' THEN 'stopping' WHEN {taken} = 'drain' THEN 'draining'"
          " WHEN {busy} THEN 'busy' WHEN {taken} = 'pause' THEN 'paused' ELSE 'idle' END)"
          ).format(taken=_TAKEN, busy=_BUSY, dead=FOUND_DEAD)

# A state that one may ask for; busy are all that have a job, also those that leave after it.
STATES = {
    "idle": _STATE + " = 'idle'",
    "busy": "(left_at IS NULL AND %s)" % _BUSY,
    "paused": _STATE + " = 'paused'",
    "draining": _STATE + " = 'draining'",
    "stopping": _STATE + " = 'stopping'",
    "queued": _QUEUED,
    "failing": "failing = 1",
    "stopped": _STATE + " = 'stopped'",
    "lost": _STATE + " = 'lost'",
}
COUNTED = ("idle", "busy", "paused", "queued", "failing")

# By name, slot 10 after slot 9.
_BY_NAME = "(rtrim(worker_id, '0123456789') || printf('%010d', slot))"
SORTS = {
    "worker": _BY_NAME,
    "host": "host",
    "machine_type": "machine_type",
    "version": "version",
    "state": _STATE,
    "job": "coalesce(current_job_id, 0)",
    "seen": "last_seen",
    "first": "first_seen",
    "left": "coalesce(left_at, 0)",
    "done": "jobs_done",
    "failed": "jobs_failed",
    "failing": "failures_in_row",
}

# What a machine told of itself with the last heartbeat, in percent; NULL where it did not, or it is damaged.
MEASURED = {
    name: "(CASE WHEN typeof({0}) IN ('integer', 'real') THEN {0} END)".format(
        "json_extract(CASE WHEN json_valid(system_metrics) THEN system_metrics END, '$.\"%s\"')" % key)
    for name, key in (("cpu", "cpu_util"), ("memory", "ram_util"), ("gpu", "gpu_util"),
                      ("gpu_memory", "gpu_memory_util"))}
SORTS.update({name: "coalesce(%s, -1)" % found for name, found in MEASURED.items()})

_COLUMNS = (
    "worker_id, host, instance, slot, machine_type, version, %s AS state, current_job_id,"
    " desired_state, desired_version, applied_version, %s AS pending,"
    " CASE WHEN %s THEN desired_state END AS queued, requested_at, requested_by, acknowledged_at,"
    " done_at, first_seen, last_seen, left_at, left_reason, jobs_done, jobs_failed,"
    " failures_in_row, failing, %s" % (_STATE, _PENDING, _QUEUED, ", ".join(
        "%s AS %s" % (found, name) for name, found in MEASURED.items())))

# Of the workers of a host.
HOST_SORTS = {
    "host": "host",
    "workers": "count(*)",
    "busy": "sum(%s)" % STATES["busy"],
    "idle": "sum(%s)" % STATES["idle"],
    "paused": "sum(%s)" % STATES["paused"],
    "failing": "sum(failing)",
    "done": "sum(jobs_done)",
    "failed": "sum(jobs_failed)",
    "seen": "max(last_seen)",
}
HOST_SORTS.update({name: "coalesce(avg(%s), -1)" % found for name, found in MEASURED.items()})
_HOST_COLUMNS = ", ".join(
    ["%s AS %s" % (found, name) for name, found in HOST_SORTS.items() if name not in MEASURED]
    + ["avg(%s) AS %s" % (found, name) for name, found in MEASURED.items()])


class NoSuchWorker(Exception):
    """404: nothing is known of this worker."""

    def __init__(self, worker_id: str) -> None:
        super().__init__("there is no worker %s" % shown(worker_id))


class WorkerQuery(NamedTuple):
    """What `/web/workers` may ask for. `sort` is a name of SORTS, with `-` in front for the
    greatest first; `after` is the `next` of the page before."""

    tab: str = ACTIVE
    host: Optional[str] = None
    instance: Optional[str] = None
    slot: Optional[int] = None
    state: Optional[str] = None
    text: Optional[str] = None
    sort: str = "worker"
    after: Optional[str] = None
    limit: int = 100


class HostPage(NamedTuple):
    """Active workers by host: the first MAX_CHOICES of `total` hosts, each a dict of what HOST_SORTS and
    MEASURED name: counts of its workers and jobs, means of what they measured."""

    hosts: List[Dict[str, Any]]
    total: int


class WorkerPage(NamedTuple):
    """`total` and `counts` are of the tab with the filter, `counts` without its state; what there
    is to choose from is of the whole tab."""

    workers: List[Dict[str, Any]]
    next: Optional[str]
    total: int
    counts: Dict[str, int]
    hosts: List[str]
    instances: List[str]
    slots: List[int]


def page(db: sqlite3.Connection, query: WorkerQuery) -> WorkerPage:
    """One page of workers. Raises ProtocolError for an unknown tab, state, sort or cursor."""
    where, values = _condition(query)
    counts = dict(zip(("total",) + COUNTED, db.execute(
        "SELECT count(*), %s FROM workers WHERE %s" % (
            ", ".join("coalesce(sum(%s), 0)" % STATES[name] for name in COUNTED), where),
        values).fetchone()))
    total = counts.pop("total")
    if query.state is not None:
        where += " AND " + _chosen(STATES, "state", query.state)
        total = db.execute("SELECT count(*) FROM workers WHERE " + where, values).fetchone()[0]
    rows, following = _rows(db, query, where, values)
    tab = _tab(query.tab)
    return WorkerPage(rows, following, total, counts, _choices(db, "host", tab),
                _choices(db, "instance", tab), _choices(db, "slot", tab))


def hosts(db: sqlite3.Connection, query: WorkerQuery) -> HostPage:
    """The hosts of the active workers that match; of `query` the cursor and the limit do not count. Raises
    ProtocolError for an unknown state or sort."""
    where, values = _condition(query._replace(tab=ACTIVE))
    if query.state is not None:
        where += " AND " + _chosen(STATES, "state", query.state)
    key = _chosen(HOST_SORTS, "sort", _key(query.sort))
    direction = "DESC" if query.sort.startswith("-") else "ASC"
    found = db.execute("SELECT %s FROM workers WHERE %s GROUP BY host ORDER BY %s %s, host LIMIT ?" % (
        _HOST_COLUMNS, where, key, direction), (*values, MAX_CHOICES))
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row)) for row in found]
    total = db.execute("SELECT count(DISTINCT host) FROM workers WHERE " + where, values).fetchone()[0]
    return HostPage(rows, total)


def one(db: sqlite3.Connection, worker_id: str) -> Dict[str, Any]:
    """Everything that is known of a worker. Raises NoSuchWorker."""
    found = _described(db, "WHERE worker_id = ?", (worker_id,))
    if not found:
        raise NoSuchWorker(worker_id)
    latest = db.execute("SELECT system_metrics FROM workers WHERE worker_id = ?",
                        (worker_id,)).fetchone()[0]
    return dict(
        found[0],
        history=[line._asdict() for line in worker_history.of(db, worker_id)],
        metrics=json.loads(latest),
        series=_series(db, worker_id),
        recent_jobs=_recent_jobs(db, worker_id))


def check(db: sqlite3.Connection, worker_id: str) -> None:
    """Raise NoSuchWorker for a worker that never was here."""
    if db.execute("SELECT 1 FROM workers WHERE worker_id = ?", (worker_id,)).fetchone() is None:
        raise NoSuchWorker(worker_id)


def checked(query: WorkerQuery, by_host: bool = False) -> WorkerQuery:
    """`query`, if its words are known. Raises ProtocolError, as `page` or `hosts` would."""
    _tab(query.tab)
    _chosen(HOST_SORTS if by_host else SORTS, "sort", _key(query.sort))
    if query.state is not None:
        _chosen(STATES, "state", query.state)
    if query.after is not None:
        _cursor(query.after)
    return query


def counts(db: sqlite3.Connection) -> Dict[str, int]:
    """How many workers there are in each counted state, how many are active, how many disabled."""
    row = db.execute("SELECT count(*), %s FROM workers WHERE left_at IS NULL" % ", ".join(
        "coalesce(sum(%s), 0)" % STATES[name] for name in COUNTED)).fetchone()
    # Apart, out of an index: workers that are gone are many after some months.
    gone = db.execute("SELECT count(*) FROM workers WHERE left_at IS NOT NULL").fetchone()
    return dict(zip((ACTIVE,) + COUNTED + (DISABLED,), row + gone))


def _tab(tab: str) -> str:
    if tab not in TABS:
        raise ProtocolError("tab must be %s, not %s" % (" or ".join(TABS), shown(tab)))
    return "left_at IS NULL" if tab == ACTIVE else "left_at IS NOT NULL"


def _chosen(table: Dict[str, str], what: str, name: str) -> str:
    if name not in table:
        raise ProtocolError("%s must be one of %s, not %s" % (what, ", ".join(table), shown(name)))
    return table[name]


def _condition(query: WorkerQuery) -> Tuple[str, List[Any]]:
    clauses = [_tab(query.tab)]
    values: List[Any] = []
    for column, value in (("host", query.host), ("instance", query.instance), ("slot", query.slot)):
        if value is not None:
            clauses.append("%s = ?" % column)
            values.append(value)
    if query.text:
        text = query.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        clauses.append("(%s)" % " OR ".join(
            "%s LIKE ? ESCAPE '\\'" % column for column in ("worker_id", "host", "machine_type")))
        values += ["%%%s%%" % text] * 3
    return " AND ".join(clauses), values


def _rows(db: sqlite3.Connection, query: WorkerQuery, where: str,
          values: List[Any]) -> Tuple[List[Dict[str, Any]], Optional[str]]:
    key = _chosen(SORTS, "sort", _key(query.sort))
    sign, direction = ("<", "DESC") if query.sort.startswith("-") else (">", "ASC")
    if query.after is not None:
        last, worker_id = _cursor(query.after)
        where += " AND (%s %s ? OR (%s = ? AND worker_id > ?))" % (key, sign, key)
        values = values + [last, last, worker_id]
    # The sort sees names only: what a row says is looked up for those that are shown.
    page_of = db.execute("SELECT worker_id, %s FROM workers WHERE %s ORDER BY 2 %s, 1 LIMIT ?"
                         % (key, where, direction), (*values, query.limit + 1)).fetchall()
    following = None
    if len(page_of) > query.limit:
        del page_of[query.limit:]
        following = json.dumps([page_of[-1][1], page_of[-1][0]], separators=(",", ":"))
    ids = [row[0] for row in page_of]
    found = {row["worker_id"]: row for row in _described(
        db, "WHERE worker_id IN (%s)" % ", ".join("?" * len(ids)), ids)}
    return [found[worker_id] for worker_id in ids], following


def _key(sort: str) -> str:
    return sort[1:] if sort.startswith("-") else sort


def _cursor(text: str) -> Tuple[Any, str]:
    try:
        last, worker_id = parse_json(text.encode("utf-8"))
    except (ValueError, TypeError):  # no JSON, or no two values
        last = worker_id = None
    if (not isinstance(worker_id, str) or not isinstance(last, (str, int, float))
            or isinstance(last, int) and abs(last) >= 2 ** 63):
        raise ProtocolError("after must be the next of the page before, not %s" % shown(text))
    return last, worker_id


def _described(db: sqlite3.Connection, where: str, values: Any) -> List[Dict[str, Any]]:
    found = db.execute("SELECT %s FROM workers %s" % (_COLUMNS, where), values)
    names = [column[0] for column in found.description]
    rows = [dict(zip(names, row)) for row in found]
    for row in rows:
        row["pending"], row["failing"] = bool(row["pending"]), bool(row["failing"])
    return rows


def _choices(db: sqlite3.Connection, column: str, tab: str) -> List[Any]:
    return [row[0] for row in db.execute(
        "SELECT DISTINCT {0} FROM workers WHERE {1} AND {0} IS NOT NULL AND {0} <> ''"
        " ORDER BY {0} LIMIT ?".format(column, tab), (MAX_CHOICES,))]


def _series(db: sqlite3.Connection, worker_id: str) -> Dict[str, List[Optional[float]]]:
    """The kept samples as columns of equal length, oldest first; None where one has no figure."""
    samples = [(at, json.loads(metrics)) for at, metrics in db.execute(
        "SELECT timestamp, metrics FROM worker_metrics WHERE worker_id = ? AND timestamp >"
        " (SELECT max(timestamp) FROM worker_metrics WHERE worker_id = ?) - ?"
        " ORDER BY timestamp", (worker_id, worker_id, 60.0 * RING))]
    names = dict.fromkeys(name for _, figures in samples for name in figures)
    columns: Dict[str, List[Optional[float]]] = {
        name: [figures.get(name) for _, figures in samples] for name in names}
    columns["t"] = [at for at, _ in samples]
    return columns


def _recent_jobs(db: sqlite3.Connection, worker_id: str) -> List[Dict[str, Any]]:
    """The jobs that it had last of those whose latest attempt is its own.

    They are looked for among its highest ids only: jobs are served in their order, mostly.
    """
    rows = db.execute(
        "SELECT j.id, j.status, a.verdict, a.ended_at FROM"
        " (SELECT id FROM jobs WHERE worker_id = ? ORDER BY id DESC LIMIT ?) AS own"
        " JOIN jobs AS j ON j.id = own.id"
        " LEFT JOIN attempts AS a ON a.job_id = j.id AND a.number = j.attempt"
        " ORDER BY j.request_timestamp DESC, j.id DESC LIMIT ?",
        (worker_id, _JOBS_LOOKED_AT, RECENT_JOBS))
    return [{"id": job_id, "status": status, "verdict": verdict, "ended": ended}
            for job_id, status, verdict, ended in rows]
