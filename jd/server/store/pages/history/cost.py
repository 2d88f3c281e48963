"""What a sweep has cost: hours of the clock, of CPUs and of GPUs, by what they went into.

An attempt costs the time that it took, and that times the CPUs and GPUs that its worker says a job of it has.
Where it does not say, only hours of the clock are counted, and how many of them.
"""

import csv
import io
import json
import sqlite3
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from jd import csvcells
from jd.server.store.pages.history import worktime
from jd.server.store.pages.history.worktime import ATTEMPTS, KIND, KINDS, SECONDS, WASTED

SWEEP = "sweep"
TAG = "tag"
HOST = "host"
USER = "user"
BY = (SWEEP, TAG, HOST, USER)
MAX_ROWS = 200  # of a page; the rest is together in one
MAX_LINES = 100_000  # of the CSV
HOUR = 3600.0


class Hours(NamedTuple):
    """Hours of the clock, of CPUs, of GPUs, by the place in KINDS; how many attempts; and the hours of the
    clock of which the CPUs, or the GPUs, are not known."""

    attempts: Tuple[int, ...]
    wall: Tuple[float, ...]
    cpu: Tuple[float, ...]
    gpu: Tuple[float, ...]
    no_cpus: float
    no_gpus: float

    @property
    def wasted(self) -> Optional[float]:
        """The share of the hours of attempts that have ended of which no job came; None without any."""
        lost = sum(self.wall[KINDS.index(kind)] for kind in WASTED)
        ended = lost + self.wall[KINDS.index(worktime.DONE)]
        return lost / ended if ended else None

    def plus(self, other: "Hours") -> "Hours":
        """Both together."""
        def add(one: Tuple[Any, ...], two: Tuple[Any, ...]) -> Tuple[Any, ...]:
            return tuple(a + b for a, b in zip(one, two))
        return Hours(add(self.attempts, other.attempts), add(self.wall, other.wall),
                     add(self.cpu, other.cpu), add(self.gpu, other.gpu),
                     self.no_cpus + other.no_cpus, self.no_gpus + other.no_gpus)


_NO_HOURS = (0.0,) * len(KINDS)
NOTHING = Hours((0,) * len(KINDS), _NO_HOURS, _NO_HOURS, _NO_HOURS, 0.0, 0.0)


class Row(NamedTuple):
    """What one sweep, tag, host or user has cost. `name` is None for what has none, of a sweep the id of its
    first job. `first` and `last` of its jobs were begun, and `file` is the jobs file that a sweep is from."""

    name: Optional[str]
    hours: Hours
    first: int
    last: int
    file: Optional[str] = None


class Cost(NamedTuple):
    """The rows that cost most first; `others` are those beyond MAX_ROWS together, `rest` so many. A job with
    several tags counts in each, but in `total` once. `users` says whether attempts have users of a Hub."""

    rows: List[Row]
    rest: int
    others: Hours
    total: Hours
    users: bool


_KEYS: Dict[str, str] = {SWEEP: "j.batch", TAG: "j.tags_id", HOST: "a.worker_id", USER: "a.hub_user"}


def find(db: sqlite3.Connection, by: str, now: float, most: int = MAX_ROWS) -> Cost:
    """What all attempts have cost, by one of BY."""
    found = _grouped(db, by, now)
    total = NOTHING
    for row in found.values():
        total = total.plus(row.hours)
    if by == HOST:
        known = worktime.hosts(db)
        found = _joined(found, lambda key: [worktime.host_of(key, known)])
    elif by == TAG:
        lists = {number: json.loads(tags) for number, tags in db.execute("SELECT id, tags FROM tags")}
        found = _joined(found, lambda key: lists.get(key) or [None])
    rows = sorted(found.values(), key=lambda row: (-sum(row.hours.wall), row.first))
    others = NOTHING
    for row in rows[most:]:
        others = others.plus(row.hours)
    shown = rows[:most]
    if by == SWEEP:
        shown = [row._replace(file=_file(db, row.name)) for row in shown]
    users = db.execute("SELECT 1 FROM workers WHERE hub_user IS NOT NULL LIMIT 1").fetchone() is not None
    return Cost(shown, len(rows) - len(shown), others, total, users)


def _grouped(db: sqlite3.Connection, by: str, now: float) -> Dict[Any, Row]:
    """By the key as it stands in the database."""
    jobs = " CROSS JOIN jobs j ON j.id = a.job_id" if by in (SWEEP, TAG) else ""
    found: Dict[Any, Row] = {}
    for key, kind, n, wall, cpu, gpu, no_cpus, no_gpus, first, last in db.execute(
            "SELECT key, kind, count(*), sum(s), sum(s * job_cpus), sum(s * job_gpus),"
            " sum(CASE WHEN job_cpus IS NULL THEN s ELSE 0 END),"
            " sum(CASE WHEN job_gpus IS NULL THEN s ELSE 0 END), min(job_id), max(job_id) FROM"
            " (SELECT %s AS key, %s AS kind, %s AS s, a.job_cpus, a.job_gpus, a.job_id FROM %s%s)"
            " GROUP BY key, kind" % (_KEYS[by], KIND, SECONDS, ATTEMPTS, jobs), (now,)):
        def at(value: Any, nothing: Any, kind: int = kind) -> Tuple[Any, ...]:
            return tuple(value if place == kind else nothing for place in range(len(KINDS)))
        hours = Hours(at(n, 0), at(wall / HOUR, 0.0), at((cpu or 0.0) / HOUR, 0.0),
                      at((gpu or 0.0) / HOUR, 0.0), no_cpus / HOUR, no_gpus / HOUR)
        _add(found, key, Row(None if key is None else str(key), hours, first, last))
    return found


def _joined(found: Dict[Any, Row], names: Callable[[Any], Iterable[Optional[str]]]) -> Dict[Any, Row]:
    """The rows by other names, of which each key may have several."""
    joined: Dict[Any, Row] = {}
    for key, row in found.items():
        for name in names(key):
            _add(joined, name, row._replace(name=name))
    return joined


def _add(found: Dict[Any, Row], key: Any, row: Row) -> None:
    known = found.get(key)
    found[key] = row if known is None else known._replace(
        hours=known.hours.plus(row.hours), first=min(known.first, row.first), last=max(known.last, row.last))


def _file(db: sqlite3.Connection, batch: Optional[str]) -> Optional[str]:
    row = None if batch is None else db.execute(
        "SELECT name FROM loaded_files WHERE start_id = ? LIMIT 1", (int(batch),)).fetchone()
    return None if row is None else str(row[0])


def lines(found: Cost, by: str) -> str:
    """The rows as CSV; the last ones are what is beyond MAX_LINES, if anything, and the total."""
    text = io.StringIO(newline="")
    out = csv.writer(text)
    out.writerow([by, "first_job", "last_job", "jobs_file", "attempts", "hours", "cpu_hours", "gpu_hours",
                  *("%shours_%s" % (unit, kind) for unit in ("", "cpu_", "gpu_") for kind in KINDS),
                  "wasted_share", "hours_without_cpus", "hours_without_gpus"])
    for row in found.rows:
        out.writerow([csvcells.text(row.name), row.first, row.last, csvcells.text(row.file),
                      *_cells(row.hours)])
    if found.rest:
        out.writerow(["(%d others)" % found.rest, "", "", "", *_cells(found.others)])
    out.writerow(["(total)", "", "", "", *_cells(found.total)])
    return text.getvalue()


def _cells(hours: Hours) -> List[Any]:
    return [sum(hours.attempts), sum(hours.wall), sum(hours.cpu), sum(hours.gpu),
            *hours.wall, *hours.cpu, *hours.gpu, "" if hours.wasted is None else hours.wasted,
            hours.no_cpus, hours.no_gpus]
