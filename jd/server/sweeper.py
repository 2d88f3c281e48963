"""What happens by the clock: leases run out, failed jobs come back, silent workers are gone."""

import asyncio
import logging
import sqlite3

from jd.errors import StorageError
from jd.server.experiment import Experiment
from jd.server.store.fleet import retention, sweepend, workers
from jd.server.store.pages import completions
from jd.server.store.queue import jobs
from jd.server.store.queue.transitions import Policy
from jd.server.waiting import WaitingRoom

INTERVAL = 1.0  # seconds
BATCH = 1000  # rows in one step, so that workers are not kept waiting
FORGOTTEN = 100  # workers in one step: each has up to 320 rows of history and figures

log = logging.getLogger("jd.server")


def step(db: sqlite3.Connection, now: float, policy: Policy) -> int:
    """Do what is due at `now`. Returns how many jobs became PENDING."""
    freed = jobs.expire_leases(db, now, policy, BATCH)
    freed += jobs.retry_due(db, now, BATCH)
    workers.drop_silent(db, now)
    completions.prune(db, now, BATCH)
    retention.prune(db, now, FORGOTTEN)
    return freed


async def _stop_when_done(experiment: Experiment, room: WaitingRoom) -> None:
    for worker_id in await experiment.write(sweepend.stop_workers, experiment.clock()):
        room.call_worker(worker_id)


async def run(experiment: Experiment, room: WaitingRoom) -> None:
    """Step for ever. A database that cannot be written now is tried again."""
    while True:
        try:
            room.call(await experiment.write(step, experiment.clock(), experiment.policy))
            if experiment.policy.stop_when_done:
                await _stop_when_done(experiment, room)
        except StorageError as error:
            log.warning("%s", error)
        await asyncio.sleep(INTERVAL)
