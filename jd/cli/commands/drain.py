"""`jd_worker_cli drain`: workers finish their current job, then exit (reference, section 2)."""

import sys

from jd.cli.context import Context
from jd.terminal import plural
from jd.worker.local import signalling


def run(context: Context) -> int:
    """Tell the workers of this host to drain. Exit status 1 if one could not be told."""
    context.words_exactly(0)
    rows = context.registry.rows()
    if not rows:
        print("no worker of %s runs here" % context.experiment)
        return 0
    # First the mark, then the signals: whoever looks at a draining worker finds out why.
    context.registry.set_draining()
    told, not_told = signalling.drain(rows, context.here)
    busy = [row for row in told if row.current_job_id is not None]
    idle = len(told) - len(busy)
    parts = ["%s %s now" % (plural(idle, "idle worker"), "ends" if idle == 1 else "end")]
    if busy:
        parts.append("%s its job first" % "1 busy worker finishes" if len(busy) == 1
                     else "%d busy workers finish their jobs first" % len(busy))
    print("draining %s: %s" % (context.experiment, ", ".join(parts)))
    for row in busy:
        print("  %s  job %d" % (row.worker_id, row.current_job_id or 0))
    for row in not_told:
        print("error: %s was not told to drain: %s" % (
            row.worker_id, signalling.why_not(row, context.here) or "it belongs to another user"),
            file=sys.stderr)
    return 1 if not_told else 0
