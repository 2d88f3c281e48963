"""`jd_worker_cli expId=... server-info`: the experiment as its server sees it."""

import time
from typing import Any, Dict, List, NamedTuple, Optional

from jd import protocol, terminal
from jd.cli.context import Context
from jd.cli.showing import facts, views
from jd.cli.sweep.jobcounts import Pace, Standstill, job_counts, standstill
from jd.terminal import plural

BAR = 28  # characters
_STYLES = {protocol.DONE: "green", protocol.ABORTED: "red", protocol.SERVED: "cyan"}


class Counts(NamedTuple):
    """Jobs by status at a moment of one monotonic clock."""

    server: str
    jobs: Dict[str, int]
    at: float
    standstill: Standstill = Standstill()

    @property
    def total(self) -> int:
        """Jobs that the sweep has: deleted ones no longer count."""
        return sum(n for status, n in self.jobs.items() if status != protocol.DELETED)

    @property
    def done(self) -> int:
        """Jobs that are DONE."""
        return self.jobs.get(protocol.DONE, 0)


def run(context: Context) -> int:
    """Job counts by status (reference, section 2)."""
    context.words_exactly(0)
    first: List[Counts] = []

    def fetch() -> Counts:
        client = context.client()
        return Counts(client.shown, job_counts(client), time.monotonic(), standstill(client))

    def document(counts: Counts) -> Dict[str, Any]:
        return {"experiment": context.experiment, "server": counts.server, "counts": counts.jobs,
                "total": counts.total, "done_share": counts.done / counts.total if counts.total else 0.0,
                **counts.standstill.to_json()}

    def draw(counts: Counts, columns: Optional[int]) -> List[str]:
        if not first:
            first.append(counts)
        return lines(counts, first[0], columns)

    return facts.present(context, fetch, draw, document)


def lines(counts: Counts, first: Counts, columns: Optional[int]) -> List[str]:
    """Counts for people; with the bar, where they go to a terminal. `first` is where an estimate
    of the time left begins."""
    rows = [[views.plain(status), str(n), "" if status == protocol.DELETED else
             terminal.percent(n, counts.total)] for status, n in counts.jobs.items()]
    rows.append(["total", str(counts.total), ""])
    table = terminal.table(["JOBS", "", ""], rows, (1, 2))[1:]
    for at, (line, (status, n)) in enumerate(zip(table, counts.jobs.items())):
        if n and status in _STYLES:
            table[at] = terminal.paint(line, _STYLES[status])
    shown = [terminal.paint("server", "bold") + "  " + counts.server, "", *table,
             *_pace(counts.standstill.pace), *_why_not(counts.standstill)]
    return shown if columns is None else shown + ["", _bar(counts, first)]


def _pace(pace: Pace) -> List[str]:
    """How the sweep goes on, a line for each fact that the server tells."""
    told = []
    if pace.per_hour is not None:
        told.append(("rate", "%.3g jobs an hour" % pace.per_hour))
    if pace.eta is not None:
        told.append(("ETA", terminal.duration(pace.eta)))
    if pace.next_retry is not None:
        told.append(("next retry", "in %s" % terminal.duration(pace.next_retry)))
    if pace.workers:
        told.append(("workers", ", ".join("%d %s" % (n, views.plain(name)) for name, n in pace.workers)))
    return ["", *views.facts(told)] if told else []


def _why_not(standstill: Standstill) -> List[str]:
    """Why jobs that wait are not handed out, a line for each reason; and what the jobs mix."""
    reasons = []
    if standstill.paused:
        reasons.append(("paused", views.plain(standstill.paused_because) or "no job is handed out"))
    for needs, jobs in standstill.cannot_run:
        reasons.append(("waiting", "%s: no living worker has %s" % (
            plural(jobs, "job"), views.plain(", ".join(needs)))))
    if standstill.codes is not None:
        reasons.append(("code", views.plain(standstill.codes.told())))
    lines = ["%s  %s" % (terminal.paint(name, "yellow"), text) for name, text in reasons]
    return [""] + lines if lines else []


def _bar(counts: Counts, first: Counts) -> str:
    filled = BAR * counts.done // counts.total if counts.total else 0
    share = terminal.percent(counts.done, counts.total)
    bar = "[%s%s] %s  %d of %d done" % ("#" * filled, "." * (BAR - filled), share, counts.done, counts.total)
    gained, elapsed = counts.done - first.done, counts.at - first.at
    left = counts.jobs.get(protocol.PENDING, 0) + counts.jobs.get(protocol.SERVED, 0)
    # Where the server tells one itself, that is the better one, and stands above.
    if counts.standstill.pace.eta is None and gained > 0 and elapsed > 0 and left:
        bar += "  ETA %s" % terminal.duration(elapsed / gained * left)
    return bar
