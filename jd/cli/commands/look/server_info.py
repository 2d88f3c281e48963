"""`jd_worker_cli expId=... server-info`: the experiment as its server sees it."""

from __future__ import annotations

import time

from jd import protocol, terminal
from jd.cli.context import Context
from jd.cli.showing import facts, views
from jd.cli.sweep.jobcounts import Standstill, job_counts, standstill
from jd.shape import NamedTuple
from jd.terminal import plural

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SHORTEST_BAR = 10  # characters
_STYLES = {protocol.DONE: "green", protocol.ABORTED: "red", protocol.SERVED: "cyan"}
_MARKS = ((protocol.DONE, "#"), (protocol.ABORTED, "x"), (protocol.SERVED, ">"))  # of the bar


class Counts(NamedTuple):
    """Jobs by status at a moment of one monotonic clock."""

    server: str
    jobs: dict[str, int]
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
    first: list[Counts] = []

    def fetch() -> Counts:
        client = context.client()
        return Counts(client.shown, job_counts(client), time.monotonic(), standstill(client))

    def document(counts: Counts) -> dict[str, Any]:
        return {"experiment": context.experiment, "server": counts.server, "counts": counts.jobs,
                "total": counts.total, "done_share": counts.done / counts.total if counts.total else 0.0,
                **counts.standstill.to_json()}

    def draw(counts: Counts, columns: int | None) -> list[str]:
        if not first:
            first.append(counts)
        return lines(counts, first[0], columns)

    return facts.present(context, fetch, draw, document)


def lines(counts: Counts, first: Counts, columns: int | None) -> list[str]:
    """Counts for people; with the bar, where they go to a terminal of so many columns. `first` is where an
    estimate of the time left begins, if the server tells none."""
    rows = [[views.plain(status), str(n), "" if status == protocol.DELETED else
             terminal.percent(n, counts.total)] for status, n in counts.jobs.items()]
    rows.append(["total", str(counts.total), ""])
    table = terminal.table(["JOBS", "", ""], rows, (1, 2))[1:]
    for at, (line, (status, n)) in enumerate(zip(table, counts.jobs.items())):
        if n and status in _STYLES:
            table[at] = terminal.paint(line, _STYLES[status])
    shown = [terminal.paint("server", "bold") + "  " + counts.server, ""]
    if columns is not None:
        shown += [_bar(counts, first, columns), ""]
    return shown + views.beside(table, _pace(counts), columns) + _more(counts.standstill, columns)


def _pace(counts: Counts) -> list[str]:
    """How the sweep goes on, a line for each fact that the server tells."""
    pace, told = counts.standstill.pace, []
    if pace.per_hour is not None and not pace.without_workers:
        told.append(("rate", ("%.3g" if pace.per_hour < 100 else "%.0f") % pace.per_hour + " jobs an hour"))
    left = pace.finished is None or pace.finished < counts.total
    if left and pace.without_workers and not counts.standstill.paused:
        told.append(("ETA", "all workers are paused" if dict(pace.workers).get("paused") else
                     "waiting for workers"))
    elif pace.eta is not None:
        told.append(("ETA", terminal.duration(pace.eta)))
    if pace.next_retry is not None:
        told.append(("next retry", "in %s" % terminal.duration(pace.next_retry)))
    if pace.workers:
        told.append(("workers", ", ".join("%d %s" % (n, views.plain(name)) for name, n in pace.workers)
                     if any(n for _, n in pace.workers) else
                     "none, %d have left" % pace.workers_left if pace.workers_left else "none"))
    if pace.failed_in_hour is not None:
        failures = "%s in the last hour" % (pace.failed_in_hour or "none")
        told.append(("failures", terminal.paint(failures, "red") if pace.failed_in_hour else failures))
    if pace.coming_back:
        told.append(("retrying", "%d of the ABORTED" % pace.coming_back))
    return views.facts(told) if told else []


def _more(standstill: Standstill, columns: int | None) -> list[str]:
    """When the sweep ends by itself; why jobs that wait are not handed out, a line for each reason; and what
    the jobs mix."""
    found = []
    if standstill.ends.told():
        found.append(("ends", "bold", views.plain(standstill.ends.told())))
    if standstill.paused:
        found.append(("paused", "yellow", views.plain(standstill.paused_because) or "no job is handed out"))
    for needs, jobs in standstill.cannot_run:
        found.append(("waiting", "yellow", "%s: no living worker has %s" % (
            plural(jobs, "job"), views.plain(", ".join(needs)))))
    if standstill.codes is not None:
        found.append(("code", "yellow", views.plain(standstill.codes.told())))
    lines = [line for name, style, text in found for line in views.wrapped(name, style, text, columns)]
    return [""] + lines if lines else []


def _bar(counts: Counts, first: Counts, columns: int) -> str:
    """What has become of the jobs, as wide as the terminal: # done, x failed for good, > running."""
    pace = counts.standstill.pace
    ended = counts.done if pace.finished is None else min(pace.finished, counts.total)
    text = "%s  %d of %d %s" % (terminal.percent(ended, counts.total), ended, counts.total,
                                "done" if pace.finished is None else "finished")
    gained, elapsed = counts.done - first.done, counts.at - first.at
    left = counts.jobs.get(protocol.PENDING, 0) + counts.jobs.get(protocol.SERVED, 0)
    # Where the server tells one itself, that is the better one, and stands below.
    if not pace.workers and pace.eta is None and gained > 0 and elapsed > 0 and left:
        text += "  ETA %s" % terminal.duration(elapsed / gained * left)
    width = max(_SHORTEST_BAR, columns - len("[] " + text))
    parts, jobs, end = [], 0, 0
    for status, mark in _MARKS:
        jobs += counts.jobs.get(status, 0) - (pace.coming_back or 0 if status == protocol.ABORTED else 0)
        begin, end = end, width * jobs // counts.total if counts.total else 0
        if end > begin:
            parts.append(terminal.paint(mark * (end - begin), _STYLES[status]))
    return "[%s%s] %s" % ("".join(parts), "." * (width - end), text)
