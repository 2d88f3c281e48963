"""`jd_worker_cli scale num_workers=N`: exactly N workers on this machine (reference, section 2)."""

import sys
from dataclasses import replace
from typing import List, Optional

from jd.cli.context import Context
from jd.cli.launching import entryscript
from jd.cli.launching.starting import announce
from jd.cli.stopping import alive, stop_and_report
from jd.errors import JdError, UsageError
from jd.terminal import plural
from jd.worker.config import from_json
from jd.worker.launch import background
from jd.worker.launch.servercheck import checked
from jd.worker.local import signalling, snapshots
from jd.worker.local.rows import IDLE, PAUSED, Row
from jd.workername import split_worker_id


def run(context: Context) -> int:
    """Start or stop workers. Workers of other hosts on a shared registry do not count."""
    context.words_exactly(0)
    if "num_workers" not in context.arguments:
        raise UsageError("say how many: jd_worker_cli %s" % context.command.usage)
    wanted = context.values["num_workers"]
    rows = alive(context.registry.rows(), context.here)
    if not rows and wanted:
        raise JdError("no worker of %s runs here whose configuration could be used" % context.experiment,
                      "start some: jd_worker_cli expId=%s entry_script=<path> num_workers=%d"
                      % (context.experiment, wanted))
    if len(rows) == wanted:
        print("%s of %s already: nothing to do" % (plural(wanted, "worker"), context.experiment))
        return 0
    if len(rows) < wanted:
        return _grow(context, rows, wanted)
    return stop_and_report(context, surplus(rows, wanted), "scale", False)


def surplus(rows: List[Row], wanted: int) -> List[Row]:
    """The workers to stop: idle ones first, the highest slots first."""
    ordered = sorted(rows, key=lambda row: (
        row.current_job_id is not None or row.status not in (IDLE, PAUSED), -row.slot))
    return ordered[:len(rows) - wanted]


def free_slots(used: List[int], number: int) -> List[int]:
    """The `number` lowest slots that are not used."""
    taken = set(used)
    return [slot for slot in range(len(taken) + number) if slot not in taken][:number]


def _grow(context: Context, rows: List[Row], wanted: int) -> int:
    # One of ours, if there is one: a published client stores less of its launch.
    newest = max(rows, key=lambda row: (not row.is_published, row.started_at, -row.slot))
    problem = signalling.why_not(newest, context.here)
    if problem is not None:
        raise JdError("%s cannot be copied: %s" % (newest.worker_id, problem))
    stored = replace(from_json(newest.config, context.environ), num_workers=wanted)
    if stored.snapshot is not None:
        snapshots.keep(stored.snapshot)
    config = checked(entryscript.still_there(stored))
    instance: Optional[str] = None
    used: List[int] = []
    name = split_worker_id(newest.worker_id)
    if name is not None:
        instance = name.instance
        # All rows count, dead ones too: ids are unique in the registry. So do those that were born when
        # this machine had another name: each slot has devices of its own.
        parts = [split_worker_id(row.worker_id) for row in context.registry.rows()]
        used = [part.slot for part in parts if part is not None and part.instance == instance]
    if config.foreground:
        print("note: the running workers are in the foreground; the new ones are in the background",
              file=sys.stderr)
    slots = free_slots(used, wanted - len(rows))
    return announce(config, background.start(config, slots, context.here, instance))
