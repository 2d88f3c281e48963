"""Where reports are in the database.

`reported` has a row for each attempt that reported something: how many reports were taken, and of each
metric how many numbers, the latest, the least and the greatest. A piece that a worker sends is one row of
`report_pieces`, with the points of all its metrics: so it costs little, however many there are. When some
have come together, each metric's go to its series: `report_chunks` of CHUNK points, of which all but the last
are sealed and never change. `report_series` keeps the course of the sealed ones, PART points as about two.
"""

import json
import sqlite3
from array import array
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from jd.server.store.reports import points
from jd.server.store.reports.points import POINT_BYTES, Points
from jd.server.store.transaction import Transaction

MAX_POINTS = 20_000  # of a series; with one more it is thinned out
THINNED_PARTS = 5_000  # two points of each stay
CHUNK = 512  # points
PART = 32  # points that are about two in the course
TAIL_PIECES = 32
TAIL_BYTES = 64 * 1024

Number = Union[int, float, str]  # a str is a number that is NaN or infinite, as in `files.resultfile`


class Metric(NamedTuple):
    """A metric of an attempt: the number of its name, how many numbers were reported, and the latest, the
    least and the greatest of them; the last two None as long as all are NaN or infinite."""

    name_id: int
    n: int
    last: Number
    low: Optional[float]
    high: Optional[float]


class Reported(NamedTuple):
    """What an attempt has reported, in how many reports, or rows where it was read `from_file`. `tail` are
    the pieces, and their bytes, that are in no series yet; `told` is what was said of its reports in the
    job's history."""

    id: int
    taken: int
    from_file: bool
    tail: Tuple[int, int]
    metrics: Dict[str, Metric]
    told: List[str]


class Series(NamedTuple):
    """The points of one metric of an attempt, but for those in pieces; `course` is of the sealed chunks."""

    id: int
    name_id: int
    points: int
    course: Points


# ---- attempts

def find(db: sqlite3.Connection, job_id: int, attempt: int) -> Optional[Reported]:
    """What an attempt has reported; None: nothing."""
    row = db.execute("SELECT id, count, from_file, pieces, piece_bytes, metrics, told FROM reported"
                     " WHERE job_id = ? AND attempt = ?", (job_id, attempt)).fetchone()
    if row is None:
        return None
    metrics = {name: Metric(*values) for name, values in json.loads(row[5]).items()}
    return Reported(row[0], row[1], bool(row[2]), (row[3], row[4]), metrics, json.loads(row[6]))


def begin(t: Transaction, job_id: int, attempt: int) -> Reported:
    """An attempt reports for the first time."""
    added = t.db.execute("INSERT INTO reported (job_id, attempt) VALUES (?, ?)", (job_id, attempt))
    return Reported(int(added.lastrowid or 0), 0, False, (0, 0), {}, [])


def save(t: Transaction, found: Reported) -> None:
    """Write the row of an attempt."""
    t.db.execute("UPDATE reported SET count = ?, from_file = ?, pieces = ?, piece_bytes = ?, metrics = ?,"
                 " told = ? WHERE id = ?", (found.taken, found.from_file, *found.tail,
                                            json.dumps(found.metrics), json.dumps(found.told), found.id))


def latest(db: sqlite3.Connection, job_id: int) -> Optional[int]:
    """The latest attempt of a job that reported something and counts; None: there is none."""
    row = db.execute("SELECT max(r.attempt) FROM reported r JOIN jobs j ON j.id = r.job_id"
                     " WHERE r.job_id = ? AND r.attempt > j.scratch", (job_id,)).fetchone()
    found: Optional[int] = row[0]
    return found


def add_metric(t: Transaction, job_id: int, attempt: int, name: str) -> int:
    """An attempt reports a metric for the first time. Returns the number of the name."""
    t.db.execute("INSERT OR IGNORE INTO report_names (name) VALUES (?)", (name,))
    name_id = int(t.db.execute("SELECT id FROM report_names WHERE name = ?", (name,)).fetchone()[0])
    t.db.execute("INSERT INTO report_series (name_id, job_id, attempt) VALUES (?, ?, ?)",
                 (name_id, job_id, attempt))
    return name_id


def forget(t: Transaction, job_id: int, attempt: int) -> None:
    """Remove all that an attempt has reported."""
    of_attempt = (job_id, attempt)
    t.db.execute("DELETE FROM report_pieces WHERE reported_id IN (SELECT id FROM reported"
                 " WHERE job_id = ? AND attempt = ?)", of_attempt)
    t.db.execute("DELETE FROM report_chunks WHERE series_id IN (SELECT id FROM report_series"
                 " WHERE job_id = ? AND attempt = ?)", of_attempt)
    for table in ("report_series", "reported"):
        t.db.execute("DELETE FROM %s WHERE job_id = ? AND attempt = ?" % table, of_attempt)


# ---- pieces

def add_piece(t: Transaction, reported_id: int, by_metric: Dict[int, Points]) -> int:
    """Keep points by the number of their metric's name. Returns the bytes that this takes."""
    head = array("I", [len(by_metric)])
    for name_id, some in by_metric.items():
        head.extend((name_id, some.size))
    body = b"".join([points.ordered(head).tobytes(), *map(points.pack, by_metric.values())])
    t.db.execute("INSERT INTO report_pieces (reported_id, body) VALUES (?, ?)", (reported_id, body))
    return len(body)


def pieces(db: sqlite3.Connection, reported_id: int, only: Optional[int] = None) -> Dict[int, Points]:
    """The points in an attempt's pieces by the number of their metric's name, or of one metric only."""
    found: Dict[int, Points] = {}
    for (body,) in db.execute("SELECT body FROM report_pieces WHERE reported_id = ? ORDER BY id",
                              (reported_id,)):
        for name_id, some in _of_piece(body, only):
            found.setdefault(name_id, points.none()).extend(some)
    return found


def _of_piece(body: bytes, only: Optional[int]) -> List[Tuple[int, Points]]:
    (metrics,) = _whole_numbers(body[:4])
    head = _whole_numbers(body[4:4 + 8 * metrics])
    at, found = 4 + 8 * metrics, []
    for name_id, n in zip(head[::2], head[1::2]):
        end = at + n * POINT_BYTES
        if only is None or name_id == only:
            found.append((name_id, points.unpack(body[at:end])))
        at = end
    return found


def _whole_numbers(data: bytes) -> Sequence[int]:
    numbers = array("I")
    numbers.frombytes(data)
    return points.ordered(numbers)


# ---- series

def settle(t: Transaction, found: Reported, job_id: int, attempt: int) -> Tuple[Reported, List[str]]:
    """Put what is in pieces to the series. Returns the metrics that were thinned out by this, too."""
    by_metric = pieces(t.db, found.id)
    names = {metric.name_id: name for name, metric in found.metrics.items()}
    thinned = [names.get(one.name_id, "") for one in series(t.db, job_id, attempt)
               if one.name_id in by_metric and _append(t, one, by_metric[one.name_id])]
    t.db.execute("DELETE FROM report_pieces WHERE reported_id = ?", (found.id,))
    return found._replace(tail=(0, 0)), thinned


def series(db: sqlite3.Connection, job_id: int, attempt: int) -> List[Series]:
    """The series of an attempt, in the order in which they began."""
    return [Series(one, name_id, n, points.unpack(course)) for one, name_id, n, course in db.execute(
        "SELECT id, name_id, points, course FROM report_series WHERE job_id = ? AND attempt = ? ORDER BY id",
        (job_id, attempt))]


def series_of(db: sqlite3.Connection, job_id: int, attempt: int, name_id: int) -> Series:
    """The series of one metric of an attempt."""
    one, n, course = db.execute("SELECT id, points, course FROM report_series"
                                " WHERE name_id = ? AND job_id = ? AND attempt = ?",
                                (name_id, job_id, attempt)).fetchone()
    return Series(one, name_id, n, points.unpack(course))


class Span(NamedTuple):
    """A part of the way, by steps or by the time since the start."""

    by_time: bool
    low: float
    high: float


def whole(db: sqlite3.Connection, one: Series, span: Optional[Span] = None) -> Points:
    """All points of a series that are in chunks; with a span those of it, and more around it."""
    numbers = range(one.points // CHUNK + 1)
    if span is not None:
        ends = ("since", "until") if span.by_time else ("low", "high")
        within = [number for number, low, high in db.execute(
            "SELECT number, %s, %s FROM report_chunks WHERE series_id = ? ORDER BY number" % ends, (one.id,))
            if high >= span.low and low <= span.high]
        # From the points beside the span the curve comes into it.
        numbers = range(min(within, default=0) - 1, max(within, default=-1) + 2)
    return points.joined(_chunk(*row) for row in db.execute(
        "SELECT sealed, body FROM report_chunks WHERE series_id = ? AND number BETWEEN ? AND ?"
        " ORDER BY number", (one.id, numbers.start, numbers.stop - 1)))


def coarse(db: sqlite3.Connection, one: Series) -> Points:
    """The course of a series, which has all its extremes, and the points that are in no sealed chunk yet."""
    return points.joined([one.course, _open(db, one)])


def _open(db: sqlite3.Connection, one: Series) -> Points:
    return points.joined(_chunk(*row) for row in db.execute(
        "SELECT sealed, body FROM report_chunks WHERE series_id = ? AND number = ?",
        (one.id, one.points // CHUNK)))


def is_readable(db: sqlite3.Connection, job_id: int, attempt: int) -> bool:
    """Whether all that an attempt has reported can be read."""
    try:
        found = find(db, job_id, attempt)
        if found is not None:
            pieces(db, found.id)
        for one in series(db, job_id, attempt):
            whole(db, one)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


def _chunk(sealed: int, body: bytes) -> Points:
    return points.unsqueeze(body) if sealed else points.unpack(body)


def _append(t: Transaction, one: Series, new: Points) -> bool:
    """Put points behind a series. Returns whether that was thinned out."""
    too_many = one.points + new.size > MAX_POINTS
    if not too_many:
        write(t, one, points.joined([_open(t.db, one), new]))
        return False
    every = points.joined([whole(t.db, one), new])
    t.db.execute("DELETE FROM report_chunks WHERE series_id = ?", (one.id,))
    write(t, one._replace(points=0, course=points.none()), points.thin(every, THINNED_PARTS, every.steps))
    return True


def write(t: Transaction, one: Series, rest: Points) -> None:
    """Write the chunks of a series from the last one that is not sealed, which `rest` begins with."""
    put(t, one.id, cut(rest, one.points // CHUNK, one.course))


class Cut(NamedTuple):
    """Points in chunks as they are in the database: `points` of the whole series, its course, and of each
    chunk what follows on its series."""

    points: int
    course: bytes
    chunks: List[Tuple[int, bool, float, float, float, float, bytes]]


def cut(rest: Points, first: int = 0, course: Optional[Points] = None) -> Cut:
    """The points of a series from the chunk `first` on, and its course, which was that before."""
    chunks = [rest.part(at, at + CHUNK) for at in range(0, rest.size, CHUNK)]
    sealed = [chunk for chunk in chunks if chunk.size == CHUNK]
    whole_course = points.joined([*(() if course is None else (course,)),
                                  *(points.thin(chunk, CHUNK // PART, chunk.steps) for chunk in sealed)])
    return Cut(first * CHUNK + rest.size, points.pack(whole_course), [
        (first + at, chunk.size == CHUNK, min(chunk.steps), max(chunk.steps),
         min(chunk.times), max(chunk.times),
         points.squeeze(chunk) if chunk.size == CHUNK else points.pack(chunk))
        for at, chunk in enumerate(chunks)])


def put(t: Transaction, series_id: int, made: Cut) -> None:
    """Write the chunks of a series."""
    t.db.executemany("INSERT OR REPLACE INTO report_chunks (series_id, number, sealed, low, high, since,"
                     " until, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                     [(series_id, *chunk) for chunk in made.chunks])
    t.db.execute("UPDATE report_series SET points = ?, course = ? WHERE id = ?",
                 (made.points, made.course, series_id))
