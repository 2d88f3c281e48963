"""What happens by the clock: leases run out, failed jobs come back, silent workers are gone."""

import asyncio
import logging
from typing import Callable, Dict, Optional, Tuple

from jd.errors import StorageError
from jd.server.experiment import Experiment
from jd.server.portion import Portion
from jd.server.store.files import names
from jd.server.store.fleet import presence, retention, sweepend
from jd.server.store.operators import dependencies, endrule
from jd.server.store.pages import completions
from jd.server.store.queue import elsewhere, errors, jobs, lease, overrun, retry
from jd.server.store.reports import columns
from jd.server.store.transaction import Transaction
from jd.threads import Reported

INTERVAL = 1.0  # seconds
LATE = 2.0  # seconds beyond that: for so long the server could not listen, whatever kept it
BATCH = 100  # jobs of each kind in one step at most; how many it is says the time that they take
_JOBS_OF_WORKER = 10  # that cost what it costs to forget one worker, with its history and figures

# Returns whether there may be more to do.
Part = Callable[[Transaction], Optional[bool]]

log = logging.getLogger("jd.server")


def step(t: Transaction, missed: float = 0.0, limit: Optional[int] = None) -> bool:
    """Do what is due, up to `limit` of each kind. For `missed` seconds nobody could be heard: they count for
    nobody's silence. Returns whether there may be more."""
    more = False
    for part in parts(missed, BATCH if limit is None else limit).values():
        more = bool(part(t)) or more
    return more


def parts(missed: float, limit: int) -> Dict[str, Part]:
    """What is done in a step, in this order, and what is said of a part that fails."""
    workers = max(1, limit // _JOBS_OF_WORKER)
    return {
        "time in which nobody could be heard does not count": lambda t: _extend(t, missed),
        "leases that are over are not ended": lambda t: lease.expire(t, limit),
        "jobs that run for too long are not ended": lambda t: overrun.end_due(t, limit),
        "jobs that failed do not come back": lambda t: retry.retry_due(t, limit),
        "jobs wait on for another worker": lambda t: elsewhere.end_due(t, limit),
        "jobs that wait for others wait on": lambda t: dependencies.follow(t, limit),
        "silent workers are not dropped": presence.drop_silent,
        "what is known of the throughput is not pruned": lambda t: completions.prune(t, limit) >= limit,
        "workers that are gone are not forgotten": lambda t: retention.prune(t, workers) >= workers,
        "jobs of a sweep that has ended are not aborted": lambda t: endrule.abort_rest(t, 10 * limit),
        "what jobs report is not told to dashboards": columns.tell,
        "failures from before this version are not looked at": lambda t: errors.catch_up(t, limit),
        "the end of the sweep is not looked for": _look_for_end,
    }


def _extend(t: Transaction, missed: float) -> None:
    if missed:
        lease.extend(t, missed)
        overrun.extend(t, missed)
        presence.seen(t, missed)


def _look_for_end(t: Transaction) -> None:
    # The last job may have been deleted, or aborted while it waited.
    t.happened.nothing_left = not jobs.work_is_left(t.db)
    if t.policy.stop_when_done:
        sweepend.stop_workers(t)


async def run(experiment: Experiment, write_out: Callable[[], None] = lambda: None) -> None:
    """Step for ever, each time after `write_out` has begun to write what workers have said of late. Whatever
    a step meets, such as a database that cannot be written, the next one comes; and where it is one part that
    fails, the others are done each by itself.

    Where much more time has passed than between two steps, the machine slept, or the server was stopped or
    could not write. Before the first step, nobody listened since leases were renewed.
    """
    stepped_at: Optional[float] = None

    def missed(now: float) -> float:
        if stepped_at is None:
            return now - experiment.ready_at
        late = now - stepped_at - INTERVAL
        return late if late > LATE else 0.0

    def step_now(t: Transaction) -> Tuple[float, bool]:
        now = experiment.clock.elapsed()
        return now, step(t, missed(now), portion.size)

    portion = Portion(BATCH)
    stepping = Reported("leases and the like are not looked after", log.warning)
    each = {said: Reported(said, log.warning) for said in parts(0.0, BATCH)}
    showing = Reported("the names of uploaded files are not brought up to date", log.warning)
    while True:
        more = False
        with stepping:
            write_out()
            stepped_at, more = await experiment.write(portion.timed(step_now))
        if stepping.trouble is not None and not isinstance(stepping.met, StorageError):
            now = experiment.clock.elapsed()
            for said, part in parts(missed(now), BATCH).items():
                with each[said]:
                    await experiment.write(part)
            stepped_at = now
        with showing:
            if await experiment.look_up(names.is_due):
                await experiment.write(lambda t: names.show_due(t, experiment.data_dir))
        # Workers are served in between; who waits for a job that has come back does not wait for more.
        await asyncio.sleep(0 if more else INTERVAL)
