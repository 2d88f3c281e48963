"""`jd_worker_cli expId=... exp-status`: an experiment as this machine sees it."""

from typing import Dict, List, NamedTuple, Optional, Tuple

from jd import terminal
from jd.cli.context import Context
from jd.cli.showing import facts, views
from jd.cli.target import Known, known
from jd.cli.undelivered import undelivered
from jd.terminal import plural
from jd.worker.local.liveness import Life


class Status(NamedTuple):
    """What is known here of an experiment. `counts` are workers of this host by status, `paused` has why its
    server has paused one by itself."""

    counts: Dict[str, int]
    elsewhere: int
    paused: Dict[str, str]
    draining: bool
    server: Known
    jobs: List[int]
    undelivered: int


def run(context: Context) -> int:
    """Summarise an experiment (reference, section 2)."""
    context.words_exactly(0)

    def document(status: Status) -> Dict[str, object]:
        server = status.server.to_json()
        return {"experiment": context.experiment, "workers": sum(status.counts.values()),
                "statuses": status.counts, "elsewhere": status.elsewhere,
                "paused_because": status.paused, "draining": status.draining, "server": server["url"],
                "server_found_by": server["found_by"], "server_error": status.server.error,
                "jobs": status.jobs, "undelivered": status.undelivered}

    def draw(status: Status, columns: Optional[int]) -> List[str]:
        return views.facts([("experiment", str(context.experiment))] + _pairs(status, columns))

    return facts.present(context, lambda: look(context), draw, document)


def look(context: Context) -> Status:
    """The status now, as far as this machine knows: nobody is asked. Raises StorageError."""
    assert context.experiment is not None
    workers = views.look(context.registry, context.here)
    return Status(
        counts=views.counted(workers),
        elsewhere=views.elsewhere(workers),
        paused={seen.row.worker_id: seen.row.paused_because for seen in workers
                if seen.life is Life.ALIVE and seen.row.paused_because},
        draining=context.registry.draining(),
        server=known(context),
        jobs=sorted(seen.row.current_job_id for seen in workers
                    if seen.life is Life.ALIVE and seen.row.current_job_id is not None),
        undelivered=undelivered(context.experiment, context.environ),
    )


def _pairs(status: Status, columns: Optional[int]) -> List[Tuple[str, str]]:
    count = sum(status.counts.values())
    workers = "%d here%s" % (count, ": " + views.status_words(status.counts) if count else "")
    if status.elsewhere:
        workers += "; %d on other hosts" % status.elsewhere
    jobs = ", ".join(map(str, status.jobs)) or "none"
    draining = "no"
    if status.draining:
        draining = terminal.paint("yes", "yellow") + ", until workers are started again"
    waiting = plural(status.undelivered, "result")
    if status.undelivered:
        waiting = terminal.paint(waiting, "yellow") + ", until the server is back"
    room = 0 if columns is None else columns - len("undelivered") - 2
    if columns is not None and len(jobs) > room:
        jobs = "%d: %s..." % (len(status.jobs), jobs[:max(0, room - 12)].rpartition(" ")[0])
    paused = [("paused", "%s: %s" % (views.plain(worker_id), terminal.paint(views.plain(because), "yellow")))
              for worker_id, because in status.paused.items()]
    return [("workers", workers), *paused, ("jobs", jobs), ("draining", draining),
            *views.server(status.server), ("undelivered", waiting)]
