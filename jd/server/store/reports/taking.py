"""Takes what workers send of the reports of an attempt, each report once.

`Reports.first` says where a piece belongs, and the number of reports that were taken is written in the same
transaction: so a worker that did not hear the answer may send a piece again.
"""

from typing import Dict, List, Optional, Sequence

from jd.killpoint import killpoint
from jd.messages import Reports
from jd.server.store.files import results
from jd.server.store.files.resultfile import INFINITE, NAN, Result
from jd.server.store.queue import attempts
from jd.server.store.reports import columns, points, storage
from jd.server.store.reports.interpreting import Interpreted, Told
from jd.server.store.reports.points import Points
from jd.server.store.reports.storage import Metric, Reported
from jd.server.store.transaction import Transaction

MAX_METRICS = 200  # of an attempt

_WORDS = {NAN: float("nan"), INFINITE[0]: float("inf"), INFINITE[1]: float("-inf")}


def take(t: Transaction, piece: Reports, said: Interpreted, reach: Optional[str]) -> int:
    """Keep what is new of a piece, of which `said` is what it says. Returns how many reports of the attempt
    were taken until now; what does not follow on them is not taken.

    Raises what attempts.check_running does.
    """
    attempts.check_running(t.db, piece.job_id, piece.attempt, reach)
    found = storage.find(t.db, piece.job_id, piece.attempt)
    known = 0 if found is None or found.from_file else found.taken
    new = said.told[known - piece.first:] if piece.first <= known else []
    if new:
        if found is not None and found.from_file:  # it was uploaded before the first report
            storage.forget(t, piece.job_id, piece.attempt)
            found = None
        found = _add(t, found or storage.begin(t, piece.job_id, piece.attempt), piece, new, said.remark)
    if found is not None and piece.final:
        found = _settle(t, found, piece)
    if found is not None:
        storage.save(t, found)
        columns.due(t, piece.job_id, at_once=piece.final)
    killpoint("store.reports.before-commit")
    return known + len(new)


def _add(t: Transaction, found: Reported, piece: Reports, new: Sequence[Told], remark: str) -> Reported:
    gathered = Gathered(found.metrics)
    for told in new:
        gathered.add(told)
    for name in gathered.begun:
        name_id = storage.add_metric(t, piece.job_id, piece.attempt, name)
        gathered.metrics[name] = gathered.metrics[name]._replace(name_id=name_id)
    by_metric = {gathered.metrics[name].name_id: some for name, some in gathered.points.items()}
    size = storage.add_piece(t, found.id, by_metric) if by_metric else 0
    found = found._replace(taken=found.taken + len(new), metrics=gathered.metrics,
                           tail=(found.tail[0] + 1, found.tail[1] + size))
    if remark:
        found = tell(t, found, piece.job_id, "left out", "its reports are taken in part: %s" % remark)
    if gathered.left_out:
        found = tell(t, found, piece.job_id, "metrics", "its reports have more than %d metrics, which is all "
                     "that are kept: %s is left out" % (MAX_METRICS, gathered.left_out))
    if found.tail[0] >= storage.TAIL_PIECES or found.tail[1] >= storage.TAIL_BYTES:
        found = _settle(t, found, piece)
    return found


def _settle(t: Transaction, found: Reported, piece: Reports) -> Reported:
    found, thinned = storage.settle(t, found, piece.job_id, piece.attempt)
    if thinned:
        found = tell(t, found, piece.job_id, "points", thinned_out(thinned[0]))
    return found


def thinned_out(metric: str) -> str:
    """What a job's history says where a curve has more points than are kept."""
    return ("the curve of %s has more than %d points: it is thinned out, and keeps its extremes"
            % (metric, storage.MAX_POINTS))


def tell(t: Transaction, found: Reported, job_id: int, what: str, line: str) -> Reported:
    """Say something in the job's history, once for the attempt."""
    if what in found.told:
        return found
    results.tell(t, job_id, line)
    return found._replace(told=[*found.told, what])


class Gathered:
    """The numbers of reports by metric, and what the metrics are by them. `begun` are new ones, whose number
    is not known yet; `left_out` is one for which there is no room."""

    def __init__(self, metrics: Dict[str, Metric]) -> None:
        self.metrics = dict(metrics)
        self.points: Dict[str, Points] = {}
        self.begun: List[str] = []
        self.left_out = ""

    def add(self, told: Told) -> None:
        """Those of the next report."""
        for name, value in told.numbers.items():
            known = self.metrics.get(name)
            if known is None:
                if len(self.metrics) >= MAX_METRICS:
                    self.left_out = self.left_out or name
                    continue
                known = Metric(0, 0, value, None, None)
                self.begun.append(name)
            some = self.points.get(name)
            if some is None:
                some = self.points[name] = points.none()
            some.steps.append(known.n if told.step is None else told.step)
            some.times.append(told.seconds)
            some.values.append(float(_WORDS.get(value, value) if isinstance(value, str) else value))
            self.metrics[name] = _after(known, value)


def _after(metric: Metric, value: Result) -> Metric:
    name_id, n, _, low, high = metric
    if isinstance(value, str):
        return Metric(name_id, n + 1, value, low, high)
    return Metric(name_id, n + 1, value, value if low is None or value < low else low,
                  value if high is None or value > high else high)
