"""What happens by the clock: leases run out, failed jobs come back, silent workers are gone."""

import asyncio
import logging

from jd.server.experiment import Experiment
from jd.server.store.files import names
from jd.server.store.fleet import presence, retention, sweepend
from jd.server.store.operators import dependencies
from jd.server.store.pages import completions
from jd.server.store.queue import elsewhere, jobs, lease, overrun, retry
from jd.server.store.transaction import Transaction
from jd.threads import Reported

INTERVAL = 1.0  # seconds
LATE = 2.0  # seconds beyond that: for so long the server could not listen, whatever kept it
BATCH = 1000  # rows in one step, so that workers are not kept waiting
FORGOTTEN = 100  # workers in one step: each has up to 320 rows of history and figures

log = logging.getLogger("jd.server")


def step(t: Transaction, missed: float = 0.0) -> None:
    """Do what is due. For `missed` seconds nobody could be heard: they count for nobody's silence."""
    if missed:
        lease.extend(t, missed)
        overrun.extend(t, missed)
        presence.seen(t, missed)
    lease.expire(t, BATCH)
    overrun.end_due(t, BATCH)
    retry.retry_due(t, BATCH)
    elsewhere.end_due(t, BATCH)
    dependencies.follow(t, BATCH)
    presence.drop_silent(t)
    completions.prune(t, BATCH)
    retention.prune(t, FORGOTTEN)
    # The last job may have been deleted, or aborted while it waited.
    t.happened.nothing_left = not jobs.work_is_left(t.db)
    if t.policy.stop_when_done:
        sweepend.stop_workers(t)


async def run(experiment: Experiment) -> None:
    """Step for ever. Whatever a step meets, such as a database that cannot be written, the next one comes.

    Where much more time has passed than between two steps, the machine slept, or the server was stopped or
    could not write.
    """
    stepped_at = experiment.clock.elapsed()

    def step_now(t: Transaction) -> float:
        now = experiment.clock.elapsed()
        missed = now - stepped_at - INTERVAL
        step(t, missed if missed > LATE else 0.0)
        return now

    stepping = Reported("leases are not looked after", log.warning)
    showing = Reported("the names of uploaded files are not brought up to date", log.warning)
    while True:
        with stepping:
            stepped_at = await experiment.write(step_now)
        with showing:
            if await experiment.look_up(names.is_due):
                await experiment.write(lambda t: names.show_due(t, experiment.data_dir))
        await asyncio.sleep(INTERVAL)
