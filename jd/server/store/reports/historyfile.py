"""`history.csv`: the curves of a script that keeps a table of its training, as Keras and others write it.

Each column is a metric. The step is the first of the columns STEP_NAMES that is there, `time` is the time of
a row: seconds since the start, or Unix time. Without one, rows are taken to be equally far from each other.
"""

import csv
import io
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from jd.files import plainfile
from jd.server.store.files import results
from jd.server.store.files.resultfile import Result
from jd.server.store.queue import jobs
from jd.server.store.reports import columns, points, storage, taking
from jd.server.store.reports.interpreting import STEP_NAMES, TIME, Told, called, number, written
from jd.server.store.reports.points import Points
from jd.server.store.reports.storage import Metric
from jd.server.store.transaction import Transaction

FILE_NAME = "history.csv"
MAX_FILE = 20 * 1024 * 1024
MAX_LINE = 256 * 1024  # characters
MAX_NUMBERS = 1_000_000
UNIX = 1e9  # what is more than that are no seconds since a start


class History(NamedTuple):
    """What stands in a file: rows, metrics with their points, and what of it is left out. Where the file
    has no times, the times of points are numbers of rows. `thinned` are metrics of which there were more
    points than are kept."""

    rows: int
    metrics: Dict[str, Metric]
    points: Dict[str, Points]
    has_times: bool
    remark: str
    thinned: Tuple[str, ...] = ()


class Ready(NamedTuple):
    """The curves of a file as they are written, for an attempt that began at `started`: what takes time is
    done by then, since nobody else can write meanwhile."""

    history: History
    started: Optional[float]
    series: Dict[str, storage.Cut]


def read(path: Path, size: int, started: Optional[float], now: float) -> Ready:
    """The curves in a file of so many bytes, of an attempt that began then. Raises OSError."""
    found = (History(0, {}, {}, False, "%d bytes; at most %d" % (size, MAX_FILE)) if size > MAX_FILE
             else parse(plainfile.read(path, MAX_FILE)))
    return _ready(found, started, now)


def _ready(history: History, started: Optional[float], now: float) -> Ready:
    since = now if started is None else started
    return Ready(history, started, {
        name: storage.cut(some._replace(times=_times(history, some, since, now)))
        for name, some in history.points.items()})


def parse(content: bytes) -> History:
    """The curves in a table. Whatever it is, nothing is raised."""
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return History(0, {}, {}, False, "not UTF-8 at offset %d" % error.start)
    try:
        # Line by line: a list of them, or of the cells of a long one, takes many times the room of the file.
        head = next(_lines(content), "")
        rows = csv.reader(_lines(content), delimiter=_delimiter(head))
        names = [name.strip() for name in next(rows, [])]
        return _History(names).read(rows)
    except csv.Error as error:
        return History(0, {}, {}, False, "not CSV: %s" % error)


def _lines(content: bytes) -> Iterator[str]:
    for line in io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=""):
        if len(line) > MAX_LINE:
            raise csv.Error("a line has more than %d characters" % MAX_LINE)
        yield line


def _delimiter(head: str) -> str:
    return next((one for one in ",;\t" if one in head), ",")


class _History:
    """Reads the rows of a table with these columns."""

    def __init__(self, names: Sequence[str]) -> None:
        self._step = next((names.index(name) for name in STEP_NAMES if name in names), None)
        self._time = names.index(TIME) if TIME in names else None
        # A column without a name is the number of the row, as pandas writes it.
        self._metrics = {called(name): at for at, name in enumerate(names)
                         if name and at not in (self._step, self._time)}
        self._gathered = taking.Gathered({})
        self._texts: Dict[str, None] = {}  # in the order in which they were met
        self._numbers = 0
        self._seconds = 0.0

    def read(self, rows: Iterator[List[str]]) -> History:
        """All of them."""
        count, cut = 0, False
        for row in rows:
            if self._numbers >= MAX_NUMBERS:
                cut = True
                break
            if row:
                if self._time is None:
                    self._seconds = float(count)
                self._gathered.add(self._told(row))
                count += 1
        found = self._gathered
        remarks = ["it has more than %d numbers, which is all that is read of it" % MAX_NUMBERS] * cut
        if found.left_out:
            remarks.append("more than %d metrics, which is all that are kept" % taking.MAX_METRICS)
        if self._texts:
            remarks.append("text in %s" % ", ".join(list(self._texts)[:3]))
        if not found.metrics:
            remarks.append("there is no number in it")
        thinned = tuple(name for name, some in found.points.items() if some.size > storage.MAX_POINTS)
        for name in thinned:
            some = found.points[name]
            found.points[name] = points.thin(some, storage.THINNED_PARTS, some.steps)
        return History(count, found.metrics, found.points, self._time is not None, "; ".join(remarks),
                       thinned)

    def _told(self, row: List[str]) -> Told:
        numbers: Dict[str, Result] = {}
        for name, at in self._metrics.items():
            text = row[at].strip() if at < len(row) else ""
            value = written(text) if text else None
            if value is not None:
                numbers[name] = value
            elif text:
                self._texts[name] = None
        self._numbers += len(numbers)
        seconds = _number(row, self._time)
        if seconds is not None:  # a row that does not say is of the time of the one before it
            self._seconds = seconds
        return Told(self._seconds, _number(row, self._step), numbers)


def _number(row: List[str], at: Optional[int]) -> Optional[float]:
    return number(written(row[at].strip())) if at is not None and at < len(row) else None


def take(t: Transaction, job_id: int, ready: Ready) -> None:
    """Make them the curves of the attempt that runs, in the place of those of such a file from before, unless
    it reports something itself."""
    history = ready.history
    if not history.metrics:
        results.tell(t, job_id, "%s is not taken as curves: %s" % (FILE_NAME, history.remark))
        return
    job = jobs.find(t.db, job_id)
    found = storage.find(t.db, job_id, job.attempt)
    if found is not None and not found.from_file:
        return
    told = [] if found is None else found.told
    storage.forget(t, job_id, job.attempt)
    found = storage.begin(t, job_id, job.attempt)._replace(
        taken=history.rows, from_file=True, told=told, metrics=dict(history.metrics))
    if job.request_timestamp != ready.started:  # another attempt has begun meanwhile
        ready = _ready(history, job.request_timestamp, t.now)
    for name, made in ready.series.items():
        name_id = storage.add_metric(t, job_id, job.attempt, name)
        found.metrics[name] = found.metrics[name]._replace(name_id=name_id)
        storage.put(t, storage.series_of(t.db, job_id, job.attempt, name_id).id, made)
    if history.thinned:
        found = taking.tell(t, found, job_id, "points", taking.thinned_out(history.thinned[0]))
    if history.remark:
        found = taking.tell(t, found, job_id, "left out", "%s is taken in part: %s" % (
            FILE_NAME, history.remark))
    storage.save(t, found)
    columns.due(t, job_id, at_once=True)


def _times(history: History, some: Points, started: float, now: float) -> "points.Numbers":
    """Seconds since the start."""
    if history.has_times:
        return points.numbers(max(0.0, at - started) if at >= UNIX else at for at in some.times)
    each = max(0.0, now - started) / max(1, history.rows)
    return points.numbers(each * (place + 1) for place in some.times)
