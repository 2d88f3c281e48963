"""What happens by the clock: leases run out, failed jobs come back, silent workers are gone."""

import asyncio
import logging

from jd.errors import StorageError
from jd.server.experiment import Experiment
from jd.server.store.fleet import retention, sweepend, workers
from jd.server.store.pages import completions
from jd.server.store.queue import jobs, lease, overrun, retry
from jd.server.store.transaction import Transaction

INTERVAL = 1.0  # seconds
BATCH = 1000  # rows in one step, so that workers are not kept waiting
FORGOTTEN = 100  # workers in one step: each has up to 320 rows of history and figures

log = logging.getLogger("jd.server")


def step(t: Transaction) -> None:
    """Do what is due."""
    lease.expire(t, BATCH)
    overrun.end_due(t, BATCH)
    retry.retry_due(t, BATCH)
    workers.drop_silent(t)
    completions.prune(t, BATCH)
    retention.prune(t, FORGOTTEN)
    # The last job may have been deleted, or aborted while it waited.
    t.happened.nothing_left = not jobs.work_is_left(t.db)
    if t.policy.stop_when_done:
        sweepend.stop_workers(t)


async def run(experiment: Experiment) -> None:
    """Step for ever. A database that cannot be written now is tried again."""
    while True:
        try:
            await experiment.write(step)
        except StorageError as error:
            log.warning("%s", error)
        await asyncio.sleep(INTERVAL)
