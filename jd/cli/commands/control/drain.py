"""`jd_worker_cli drain`: workers finish their current job, then exit (reference, section 2)."""

from typing import List, Sequence

from jd.cli.context import Context
from jd.cli.showing import views
from jd.terminal import plural
from jd.worker.local import signalling
from jd.worker.local.rows import Row


def run(context: Context) -> int:
    """Tell the workers to drain: who can be signalled hears it now, the others read it in the registry."""
    context.words_exactly(0)
    rows = context.registry.rows()
    if not rows:
        print("no worker of %s runs here" % context.experiment)
        return 0
    # First the mark, then the signals: whoever looks at a draining worker finds out why.
    context.registry.set_draining()
    told, reading = signalling.drain(rows, context.here)
    busy = [row for row in told if row.current_job_id is not None]
    parts = _parts(len(told) - len(busy), len(busy), len(reading))
    print("draining %s: %s" % (context.experiment, ", ".join(parts)))
    _list(busy)
    if reading:
        print("%s by itself, in a few minutes or after its job:" % (
            "this one ends" if len(reading) == 1 else "these end each"))
        _list(reading)
    return 0


def _parts(idle: int, busy: int, reading: int) -> List[str]:
    parts: List[str] = []
    if idle or not reading:
        parts.append("%s %s now" % (plural(idle, "idle worker"), "ends" if idle == 1 else "end"))
    if busy:
        parts.append("%s its job first" % "1 busy worker finishes" if busy == 1
                     else "%d busy workers finish their jobs first" % busy)
    if reading:
        who = "1 worker reads" if reading == 1 else "%d workers read" % reading
        parts.append("%s it in the registry" % who)
    return parts


def _list(rows: Sequence[Row]) -> None:
    for row in rows:
        job = "" if row.current_job_id is None else "  job %d" % row.current_job_id
        print("  %s%s" % (views.plain(row.worker_id), job))
