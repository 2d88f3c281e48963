"""Who ran what when: workers, or hosts with many of them, over time.

A window of time is cut into columns. Of each row and column it is counted how many workers were there, how
many of them were busy with attempts of each kind, and how many attempts failed or were lost; where few are
in the window each is told by itself. Time in which a worker is busy but not there, since the server has
not heard of it, counts as there.
"""

import itertools
import sqlite3
from collections import defaultdict
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from jd.server.store.pages.history import presences, worktime
from jd.server.store.pages.history.presences import Interval, Mark, Presence
from jd.server.store.pages.history.worktime import ATTEMPTS, KIND, KINDS

HOST = "host"
WORKER = "worker"
BY = (HOST, WORKER)
NAME = "name"
BUSY = "busy"  # the least first
FAILED = "failed"  # the most first
SORTS = (NAME, BUSY, FAILED)
FEW = 40  # workers up to which each has a row
PAGE = 50  # rows of an answer
MAX_COLUMNS = 480
MAX_SPANS = 5_000  # attempts that are told one by one
MIN_SECONDS = 1.0  # of a window

_BAD = (KINDS.index(worktime.FAILED), KINDS.index(worktime.LOST))
_IN_WINDOW = "FROM %s WHERE a.started_at <= :end AND coalesce(a.ended_at, :now) >= :start" % ATTEMPTS


class Asked(NamedTuple):
    """What is asked for: a window in Unix seconds, of which None is as far as anything goes, and rows. `by`
    is one of BY, None for what suits; `host` that of the workers that are wanted, "" for all. `first` is how
    many rows come before."""

    start: Optional[float]
    end: Optional[float]
    by: Optional[str]
    host: str
    sort: str
    first: int
    columns: int


class Cells(NamedTuple):
    """By column: workers that were there, workers that were busy by the place in KINDS (only kinds that
    occur), attempts that failed or were lost and ended there."""

    there: List[float]
    busy: Dict[int, List[float]]
    bad: List[int]


class Span(NamedTuple):
    """An attempt in the row of this place; `end` is None while it runs."""

    row: int
    start: float
    end: Optional[float]
    kind: int
    verdict: Optional[str]
    job_id: int
    number: int


class Row(NamedTuple):
    """A worker, or the workers of a host. `known` is how many of these are in the list. `there` and `busy`,
    by the place in KINDS, are seconds of the window, and `attempts` those that are in it. A worker's row has
    the times at which it was `present`, and a row the cells where attempts are not told one by one."""

    name: str
    host: str
    workers: int
    known: int
    there: float
    busy: Tuple[float, ...]
    attempts: Tuple[int, ...]
    present: List[Interval]
    cells: Optional[Cells]


class Total(NamedTuple):
    """All rows together; of workers that are not in the list any more it is not known how long they were
    there, so `there` and `busy` are of the others."""

    workers: int
    hosts: int
    removed: int
    there: float
    busy: Tuple[float, ...]
    attempts: Tuple[int, ...]


class Timeline(NamedTuple):
    start: float
    end: float
    by: str
    rows_total: int
    first: int
    rows: List[Row]
    spans: Optional[List[Span]]
    marks: List[Mark]
    total: Total


class _Sums(NamedTuple):
    """What a worker did in the window."""

    busy: List[float]
    attempts: List[int]


class _Place(NamedTuple):
    """A row before it is shown."""

    name: str
    host: str
    workers: List[str]
    known: int
    there: float
    busy: Tuple[float, ...]
    attempts: Tuple[int, ...]


def find(db: sqlite3.Connection, asked: Asked, now: float) -> Timeline:
    """The timeline of a window."""
    known = presences.find(db, now)
    start, end = _window(db, asked, known, now)
    window = {"start": start, "end": end, "now": now}
    sums = _sums(db, window)
    there = {worker_id: presences.overlap(one.there, start, end) for worker_id, one in known.items()}
    hosts = {worker_id: one.host for worker_id, one in known.items()}
    workers = [worker_id for worker_id in {**sums, **there}
               if (worker_id in sums or there[worker_id] > 0)
               and (not asked.host or worktime.host_of(worker_id, hosts) == asked.host)]
    by = WORKER if asked.host else asked.by or (WORKER if len(workers) <= FEW else HOST)
    names = {worker_id: worktime.host_of(worker_id, hosts) for worker_id in workers}
    places = _places(by, workers, names, known, there, sums)
    total = _total(places, workers, known, there, sums)
    places.sort(key=_order(asked.sort, known))
    shown = places[asked.first:asked.first + PAGE]
    single = by == WORKER and sum(sum(place.attempts) for place in shown) <= MAX_SPANS
    row_of = {worker_id: at for at, place in enumerate(shown) for worker_id in place.workers}
    spans = _spans(db, window, row_of) if single else None
    cells = None if single else _cells(db, window, row_of, len(shown), known, asked.columns)
    rows = [Row(place.name, place.host, len(place.workers), place.known, place.there, place.busy,
                place.attempts, _present(place, by, known, start, end), cells[at] if cells else None)
            for at, place in enumerate(shown)]
    marks = presences.marks(db, [place.name for place in shown], start, end) if by == WORKER else []
    return Timeline(start, end, by, len(places), asked.first, rows, spans, marks, total)


def _window(db: sqlite3.Connection, asked: Asked, known: Dict[str, Presence],
            now: float) -> Tuple[float, float]:
    """The window that is asked for; without ends it has all that is known."""
    start, end = asked.start, asked.end
    if start is None:
        first = [one.there[0][0] for one in known.values() if one.there]
        first += [at for (at,) in db.execute("SELECT min(started_at) FROM %s" % ATTEMPTS) if at is not None]
        start = min(first, default=now)
    if end is None:
        last, running = db.execute("SELECT max(a.ended_at), count(*) - count(a.ended_at) FROM %s"
                                   % ATTEMPTS).fetchone()
        ends = [one.there[-1][1] for one in known.values() if one.there]
        end = now if running else max([*ends, *([] if last is None else [last])], default=now)
    return start, max(end, start + MIN_SECONDS)


def _sums(db: sqlite3.Connection, window: Dict[str, float]) -> Dict[str, _Sums]:
    found: Dict[str, _Sums] = defaultdict(lambda: _Sums([0.0] * len(KINDS), [0] * len(KINDS)))
    for worker_id, kind, n, seconds in db.execute(
            "SELECT a.worker_id, %s AS kind, count(*), sum(max(0.0, min(coalesce(a.ended_at, :now), :end)"
            " - max(a.started_at, :start))) %s GROUP BY a.worker_id, kind" % (KIND, _IN_WINDOW), window):
        found[worker_id].busy[kind] = seconds
        found[worker_id].attempts[kind] = n
    return dict(found)


_NOTHING = _Sums([0.0] * len(KINDS), [0] * len(KINDS))


def _places(by: str, workers: Sequence[str], hosts: Dict[str, str], known: Dict[str, Presence],
            there: Dict[str, float], sums: Dict[str, _Sums]) -> List[_Place]:
    groups: Dict[str, List[str]] = defaultdict(list)
    for worker_id in workers:
        groups[worker_id if by == WORKER else hosts[worker_id]].append(worker_id)
    found = []
    for name, members in groups.items():
        of = [sums.get(worker_id, _NOTHING) for worker_id in members]
        found.append(_Place(
            name, hosts[members[0]], members, sum(worker_id in known for worker_id in members),
            sum(max(there.get(worker_id, 0.0), sum(one.busy)) for worker_id, one in zip(members, of)),
            tuple(map(sum, zip(*(one.busy for one in of)))),
            tuple(map(sum, zip(*(one.attempts for one in of))))))
    return found


def _total(places: Sequence[_Place], workers: Sequence[str], known: Dict[str, Presence],
           there: Dict[str, float], sums: Dict[str, _Sums]) -> Total:
    listed = [worker_id for worker_id in workers if worker_id in known]
    busy = [sums.get(worker_id, _NOTHING).busy for worker_id in listed]
    return Total(
        len(workers), len({place.host for place in places}), len(workers) - len(listed),
        sum(max(there[worker_id], sum(one)) for worker_id, one in zip(listed, busy)),
        tuple(map(sum, zip(*busy))) if busy else tuple(_NOTHING.busy),
        tuple(map(sum, zip(*(place.attempts for place in places)))) if places else tuple(_NOTHING.attempts))


def _order(sort: str, known: Dict[str, Presence]) -> Any:
    def name(place: _Place) -> Any:
        one = known.get(place.name)
        return (place.host, *((one.instance, one.slot) if one is not None else ("", 0)), place.name)

    def busy(place: _Place) -> Any:
        return (sum(place.busy) / place.there if place.there else 0.0, name(place))

    def failed(place: _Place) -> Any:
        return (-sum(place.attempts[kind] for kind in _BAD), name(place))
    return {NAME: name, BUSY: busy, FAILED: failed}[sort]


def _present(place: _Place, by: str, known: Dict[str, Presence], start: float, end: float) -> List[Interval]:
    if by != WORKER or place.name not in known:
        return []
    return [(max(begin, start), min(stop, end)) for begin, stop in known[place.name].there
            if stop > start and begin < end]


def _attempts(db: sqlite3.Connection, window: Dict[str, float]) -> Iterator[Tuple[Any, ...]]:
    return db.execute("SELECT a.worker_id, a.started_at, a.ended_at, %s, a.verdict, a.job_id, a.number %s"
                      % (KIND, _IN_WINDOW), window)


def _spans(db: sqlite3.Connection, window: Dict[str, float], row_of: Dict[str, int]) -> List[Span]:
    return [Span(row_of[worker_id], *told) for worker_id, *told in _attempts(db, window)
            if worker_id in row_of]


class _Line:
    """Workers over columns: pieces of time are added, and read off once."""

    def __init__(self, columns: int) -> None:
        self._parts = [0.0] * columns
        self._whole = [0] * (columns + 1)  # where whole columns begin and end to be covered

    def add(self, start: float, end: float) -> None:
        """From and to places in 0 … columns."""
        first, last = int(start), min(int(end), len(self._parts) - 1)
        if first >= last:
            self._parts[min(first, last)] += end - start
            return
        self._parts[first] += first + 1 - start
        self._parts[last] += end - last
        self._whole[first + 1] += 1
        self._whole[last] -= 1

    def values(self) -> List[float]:
        """How many workers there were in each column."""
        return [round(part + whole, 3)
                for part, whole in zip(self._parts, itertools.accumulate(self._whole))]


def _cells(db: sqlite3.Connection, window: Dict[str, float], row_of: Dict[str, int], rows: int,
           known: Dict[str, Presence], columns: int) -> List[Cells]:
    start, end, now = window["start"], window["end"], window["now"]
    step = (end - start) / columns
    busy: List[Dict[int, _Line]] = [defaultdict(lambda: _Line(columns)) for _ in range(rows)]
    bad = [[0] * columns for _ in range(rows)]
    there = [_Line(columns) for _ in range(rows)]

    def place(at: float) -> float:
        return min(float(columns), max(0.0, (at - start) / step))

    for worker_id, began, ended, kind, *_ in _attempts(db, window):
        row = row_of.get(worker_id)
        if row is None:
            continue
        stop = now if ended is None else ended
        if stop > began:
            busy[row][kind].add(place(began), place(stop))
        if kind in _BAD and start <= stop <= end:
            bad[row][min(columns - 1, int(place(stop)))] += 1
    for worker_id, row in row_of.items():
        for begin, stop in known[worker_id].there if worker_id in known else ():
            if stop > start and begin < end:
                there[row].add(place(begin), place(stop))
    found = []
    for row in range(rows):
        lines = {kind: line.values() for kind, line in sorted(busy[row].items())}
        all_busy = [sum(column) for column in zip(*lines.values())] if lines else [0.0] * columns
        found.append(Cells([round(max(pair), 3) for pair in zip(there[row].values(), all_busy)], lines,
                           bad[row]))
    return found
