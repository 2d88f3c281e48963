"""What the commands run, restart and scale print about workers that they have started in the background."""

import sys
from typing import Dict, List, Sequence

from jd import program, terminal
from jd.terminal import plural
from jd.worker.config import WorkerConfig
from jd.worker.launch.background import Started


def announce(config: WorkerConfig, started: Sequence[Started], were: Sequence[str] = ()) -> int:
    """Print the workers of a launch, and what went wrong with them on stderr; the exit status.

    `were` are the ids of those that they take the place of.
    """
    failed = [worker for worker in started if worker.failed]
    listed = [worker for worker in started if not worker.failed]
    if listed:
        _print_listed(config, started, listed, were)
    _print_failed(failed, len(started))
    silent = [worker for worker in listed if not worker.answered and worker.exit_status is None]
    if silent:
        who = "the workers go" if len(silent) == len(listed) > 1 else (
            "%s of %d go" % (len(silent), len(listed)) if len(silent) > 1 else "the worker goes")
        print("note: %s has not answered yet; %s on trying%s" % (
            config.server, who, config.unnamed and "; %s: for a server on another machine give server=@FILE, "
            "a copy of its access file" % config.unnamed), file=sys.stderr)
    return 1 if failed else 0


def _print_listed(config: WorkerConfig, started: Sequence[Started], listed: Sequence[Started],
                  were: Sequence[str]) -> None:
    number = plural(len(started), "worker")
    if len(listed) < len(started):
        number = "%d of %s" % (len(listed), number)
    print("started %s of %s on %s" % (number, terminal.paint(config.experiment, "bold"),
                                      config.server))
    before = dict(zip((worker.worker_id for worker in started), were))
    header = ["worker_id", "pid"] + (["was"] if were else [])
    rows: List[List[str]] = []
    for worker in listed:
        pid = str(worker.pid) if worker.exit_status is None else "ended"
        rows.append([worker.worker_id, pid] + ([before[worker.worker_id]] if were else []))
    lines = terminal.table(header, rows, (1,))
    print(terminal.paint(lines[0], "dim"))
    print("\n".join(lines[1:]))
    command = "%s expId=%s " % (program.typed(program.WORKER), config.experiment)
    for name, text in (("logs", str(listed[0].log_path.parent)), ("list", command + "worker-list"),
                       ("stop", command + "stop all")):
        print("%s  %s" % (terminal.paint(name, "dim"), text))
    sys.stdout.flush()


def _print_failed(failed: Sequence[Started], total: int) -> None:
    """One line for each reason: a wrong token ends all workers of a launch alike."""
    by_reason: Dict[str, List[Started]] = {}
    for worker in failed:
        how = "" if (worker.exit_status or 0) < 0 else " with exit status %d" % (
            worker.exit_status or 0)
        reason = worker.reason[len("error: "):] if worker.reason.startswith("error: ") else (
            worker.reason or "its log says nothing: %s" % worker.log_path)
        by_reason.setdefault("ended at once%s: %s" % (how, reason), []).append(worker)
    for reason, workers in by_reason.items():
        who = workers[0].worker_id
        if len(workers) > 1:
            who = "%d of %d workers" % (len(workers), total)
        print("error: %s %s" % (who, reason), file=sys.stderr)
