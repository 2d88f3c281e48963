"""How the sweep is doing: whether jobs are handed out, and why not; how fast they end, with which workers."""

import sqlite3
from typing import Any, Dict

from jd.server.experiment import Experiment
from jd.server.store import policy
from jd.server.store.operators import endrule, options
from jd.server.store.pages import summary
from jd.server.store.queue import codes, needs, retry


async def told(experiment: Experiment) -> Dict[str, Any]:
    """The answer to who asks."""
    now, settings = experiment.clock(), experiment.policy

    def look(db: sqlite3.Connection) -> Dict[str, Any]:
        found, workers, mix = summary.take(db, now, settings), summary.workers(db), codes.mix(db)
        return {
            "paused": settings.paused, "paused_because": policy.paused_because(db),
            "ended": endrule.ended(db),
            **{name: getattr(settings, name) for name in options.RULE},
            "has_ended_by": endrule.has_ended_by(db, settings),
            "cannot_run": [one._asdict() for one in needs.cannot_run(db)],
            "codes": None if mix is None else mix.to_json(),
            "per_hour": None if settings.paused else found.per_hour,
            "eta": None if settings.paused else found.eta(now, workers.at_work),
            "next_retry": retry.next_at(db), "now": now,
            "finished": found.finished, "coming_back": found.coming_back,
            "failed_in_hour": summary.failed_of_late(db, now),
            "workers": {"busy": workers.busy, "idle": workers.idle, "paused": workers.paused},
            "workers_left": workers.disabled}
    return await experiment.read(look)  # more than a few rows, for which no worker is to wait
