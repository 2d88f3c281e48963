"""`jd_worker_cli restart`: stop, and start with the stored configuration (reference, section 2)."""

import sys
from typing import Dict, List, Set, Tuple

from jd.cli.context import Context
from jd.cli.launching import entryscript
from jd.cli.launching.starting import announce
from jd.cli.stopping import named, stop_rows
from jd.errors import JdError, UsageError
from jd.worker.config import WorkerConfig, from_json
from jd.worker.launch import background, gpus
from jd.worker.launch.servercheck import checked
from jd.worker.local import signalling, snapshots
from jd.worker.local.rows import Row
from jd.worker.uplink.tokenrenewal import authorised
from jd.workername import split_worker_id

Launches = Dict[str, List[Tuple[Row, WorkerConfig]]]


def run(context: Context) -> int:
    """Restart workers; those of one launch get one new instance word, and keep their slots.

    Exit status 1 if one of them was not restarted. What cannot be started again is not stopped.
    """
    if not context.words:
        raise UsageError("say which workers: jd_worker_cli %s" % context.command.usage)
    rows = named(context, context.registry, context.words)
    if not rows:
        print("no worker of %s runs here" % context.experiment)
        return 0
    status = 0
    ready: List[Tuple[Row, WorkerConfig]] = []
    seen: Set[str] = set()  # servers that were looked at
    for row in rows:
        try:
            ready.append((row, _startable(context, row, seen)))
        except JdError as error:
            status = 1
            print("error: %s was not restarted: %s" % (row.worker_id, error), file=sys.stderr)
    found = stop_rows([row for row, _ in ready], context.here, context.environ, "restart")
    left = {one.outcome.worker_id for one in found if one.outcome.outcome == signalling.FAILED}
    launches: Launches = {}
    for row, config in ready:
        if row.worker_id not in left:
            launches.setdefault(_launch_of(row), []).append((row, config))
    for launch in launches.values():
        status = max(status, _start_again(context, launch))
    return 1 if left else status


def _startable(context: Context, row: Row, seen: Set[str]) -> WorkerConfig:
    problem = signalling.why_not(row, context.here)
    if problem is not None:
        raise JdError(problem)
    stored = from_json(row.config, context.environ)
    config = authorised(stored) if stored.server in seen else checked(stored, patience=0.0)
    seen.add(stored.server)
    if config.foreground:
        raise JdError("it runs in the foreground", "stop it, and start it where it was started")
    if config.snapshot is not None:
        snapshots.keep(config.snapshot)
    config = entryscript.still_there(config)
    gpus.divide(config, [row.slot])
    return config


def _launch_of(row: Row) -> str:
    name = split_worker_id(row.worker_id)
    return row.worker_id if name is None else "%s_%s" % (name.host, name.instance)


def _start_again(context: Context, launch: List[Tuple[Row, WorkerConfig]]) -> int:
    launch.sort(key=lambda pair: pair[0].slot)
    config = launch[0][1]
    try:
        started = background.start(config, [row.slot for row, _ in launch], context.here)
    except JdError as error:
        print("error: %d stopped and not started again: %s" % (len(launch), error), file=sys.stderr)
        return 1
    return announce(config, started, [row.worker_id for row, _ in launch])
