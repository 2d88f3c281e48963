"""`jd_worker_cli prune`: the clean-up that every command begins with, and what it found."""

import json
import sys
import time
from typing import Dict, List, Tuple

from jd.cli.context import Context
from jd.cli.showing import views
from jd.errors import StorageError, UsageError
from jd.protocol import shown
from jd.terminal import Progress, plural
from jd.worker.local import cleanup, lastwords
from jd.worker.local.caches import experiments
from jd.worker.local.lastwords import Fate, Worker
from jd.worker.local.liveness import Life, life
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row

_MANY = 50  # workers, from which on a bar shows how far it is


def run(context: Context) -> int:
    """Remove what dead workers left, and with `host=` the workers of a host that is gone. Exit status 1 if a
    registry could not be cleaned."""
    context.words_exactly(0)
    jobs: Dict[Worker, Fate] = {}
    forgotten: List[Row] = []
    problems: List[str] = []
    if context.values["host"] is not None:
        forgotten = _of_host(context, context.values["host"], problems)
        jobs.update(_forget(context, forgotten))
    with _Bar() as bar:
        swept = cleanup.clean_up(context.environ, context.here, bar.show)
    jobs.update(swept.jobs)
    problems += [problem for problem in swept.problems if problem not in problems]
    for problem in problems:
        print("error: %s" % problem, file=sys.stderr)
    if context.values["json"]:
        print(json.dumps({
            "workers": len(forgotten) + swept.rows, "experiments": swept.directories, "problems": problems,
            "jobs": [{"experiment": name, "worker_id": worker_id, "job_id": fate.job_id,
                      "job_fate": fate.fate} for (name, worker_id), fate in jobs.items()]}))
        return 1 if problems else 0
    for row in forgotten:
        fate = jobs.get(lastwords.worker_of(row))
        print("removed %s of %s, last heartbeat %s%s" % (
            views.plain(row.worker_id), row.experiment, views.ago(row.last_ping_at, time.time()),
            "" if fate is None else "; %s" % fate))
    for line in swept.told():
        print(line)
    found = [plural(number, noun) for number, noun in (
        (swept.rows, "dead worker"), (swept.directories, "empty experiment")) if number]
    if found or not forgotten:
        print("removed %s" % ", ".join(found) if found else "nothing to remove")
    return 1 if problems else 0


def _of_host(context: Context, host: str, problems: List[str]) -> List[Row]:
    """The workers of a host of which nothing can be told here; there is at least one. Raises UsageError."""
    names = experiments(context.environ) if context.experiment is None else [context.experiment]
    listed: List[Tuple[Row, Life]] = []
    for name in names:
        try:
            listed += [(row, life(row, context.here)) for row in Registry(name, context.environ).rows()]
        except StorageError as error:
            problems.append(str(error))
    of_host = [(row, judged) for row, judged in listed
               if host in (views.host_of(row), views.short(views.host_of(row)))]
    unknown = [row for row, judged in of_host if judged is Life.ELSEWHERE]
    if unknown:
        return unknown
    if of_host or host in (context.here.host, views.short(context.here.host)):
        raise UsageError("%s is this machine" % shown(host),
                         "it knows which of its workers live; what dead ones left is removed without host=")
    others = sorted({views.host_of(row) for row, judged in listed if judged is Life.ELSEWHERE})
    raise UsageError("no worker of a host %s is registered here" % shown(host),
                     "hosts of which nothing can be told here: " + ", ".join(others[:5]) if others else
                     "all workers that are registered are of this machine")


def _forget(context: Context, rows: List[Row]) -> Dict[Worker, Fate]:
    """Take rows out, after their servers were told that their workers have ended. Raises StorageError."""
    fates = lastwords.died(rows, context.environ).fates
    for name in sorted({row.experiment for row in rows}):
        Registry(name, context.environ).bury([row for row in rows if row.experiment == name])
    return fates


class _Bar:
    """A progress bar that appears once it is known that there is much to do."""

    def __init__(self) -> None:
        self._progress: List[Progress] = []

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        for progress in self._progress:
            progress.__exit__()

    def show(self, done: int, total: int) -> None:
        """`done` of `total` workers were looked at."""
        if total >= _MANY:
            if not self._progress:
                self._progress.append(Progress(total, "checking workers"))
            self._progress[0].update(done)
