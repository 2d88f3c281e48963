"""`jd_worker_cli exp-list`: every experiment that has something on this machine."""

from __future__ import annotations

import sys

from jd import paths, protocol, terminal
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.undelivered import undelivered
from jd.errors import EXIT_FAILURE, EXIT_OK, StorageError
from jd.worker.local import outboxes
from jd.worker.local.registry import Registry
from jd.worker.local.rows import BUSY, IDLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(context: Context) -> int:
    """List experiments with worker counts (reference, section 2).

    One whose registry cannot be read is said on stderr, and the others are listed: status 1.
    """
    context.words_exactly(0)
    found: list[dict[str, Any]] = []
    status = EXIT_OK
    for name in outboxes.known(context.environ):
        if not protocol.is_experiment_name(name):
            continue
        try:
            found.append(_experiment(context, name))
        except StorageError as error:
            print("error: %s" % error, file=sys.stderr)
            status = EXIT_FAILURE
    views.emit(context, found, _lines(found) if found or status else [
        "no experiments on this machine (%s); start workers: "
        "jd_worker_cli expId=<name> entry_script=<path>" % paths.cache_root(context.environ)])
    return status


def _experiment(context: Context, name: str) -> dict[str, Any]:
    workers = views.look(Registry(name, context.environ), context.here)
    counts = views.counted(workers)
    return {"experiment": name, "workers": sum(counts.values()), "busy": counts[BUSY],
            "idle": counts[IDLE], "elsewhere": views.elsewhere(workers),
            "draining": Registry(name, context.environ).draining(),
            "undelivered": undelivered(name, context.environ)}


def _lines(found: list[dict[str, Any]]) -> list[str]:
    keys = ["experiment", "workers", "busy", "idle", "elsewhere"]
    if any(experiment["undelivered"] for experiment in found):
        keys.append("undelivered")
    header = [key.upper() for key in keys]
    rows = [[str(experiment[key]) for key in keys] for experiment in found]
    if any(experiment["draining"] for experiment in found):
        header.append("")
        rows = [row + ["draining" if experiment["draining"] else ""]
                for row, experiment in zip(rows, found)]
    header, rows = views.fitted(header, rows, views.width(),
                                ("", "UNDELIVERED", "ELSEWHERE", "IDLE", "BUSY"))
    lines = terminal.table(header, rows, [at for at, name in enumerate(header) if at and name])
    return [terminal.paint(lines[0], "bold")] + lines[1:]
