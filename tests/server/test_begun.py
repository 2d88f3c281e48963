"""What a request has begun goes on to its end when its client leaves, in slices that keep nobody waiting."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Awaitable, Callable, List

import pytest

from jd import protocol as p
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import Request
from jd.server import dashboardpin
from jd.server.api import worker_routes
from jd.server.begun import Begun
from jd.server.creation.batch import from_grid
from jd.server.creation.creator import Creator
from jd.server.experiment import Experiment
from jd.server.portion import FIRST, SECONDS, Portion
from jd.server.store.fleet import commands
from jd.server.store.operators import batches, bulk
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs
from jd.server.store.transaction import Transaction
from tests.server.dashboard_bench import PIN, Dashboard
from tests.server.scenes import play

Wanted = Callable[[Experiment], Awaitable[bool]]
WORKERS = ["h_abc_%d" % number for number in range(5)]


def asked(experiment: Experiment, text: str) -> Awaitable[Any]:
    return experiment.read(lambda db: db.execute(text).fetchone()[0])


async def all_are_paused(experiment: Experiment) -> bool:
    return bool(await asked(experiment, "SELECT count(*) = 5 FROM workers WHERE desired_state = 'pause'"))


async def all_have_left(experiment: Experiment) -> bool:
    return bool(await asked(experiment, "SELECT count(*) = 5 FROM workers WHERE left_at IS NOT NULL"))


async def all_are_tried_again(experiment: Experiment) -> bool:
    return (await experiment.read(jobs.counts))[p.PENDING] == 5


async def the_old_pin_is_forgotten(experiment: Experiment) -> bool:
    return not dashboardpin.file_of(experiment.meta_dir).exists()


def enter(t: Transaction) -> None:
    """Five workers, and five jobs that have failed on the first of them."""
    for worker in WORKERS:
        t.db.execute("INSERT INTO workers (worker_id, host, machine_type, version, reported_status,"
                     " system_metrics, first_seen, last_seen) VALUES (?, 'h', '', '', 'idle', '{}', 0, ?)",
                     (worker, t.now))
    for number in range(1, 6):
        t.db.execute("INSERT INTO jobs (id, status, parameters, attempt, worker_id) VALUES"
                     " (?, 'ABORTED', '{}', 1, ?)", (number, WORKERS[0]))
        t.db.execute("INSERT INTO attempts (job_id, number, worker_id, started_at, verdict) VALUES"
                     " (?, 1, ?, 0, 'failed')", (number, WORKERS[0]))
    t.db.execute("UPDATE job_counts SET n = 5 WHERE status = 'ABORTED'")


@pytest.mark.parametrize("path, body, wanted", [
    ("/web/workers/command", {"action": "pause", "all": True}, all_are_paused),
    ("/web/workers/retry-failed", {"worker_id": WORKERS[0]}, all_are_tried_again),
    ("/web/pin", {"current": PIN, "new": "735102"}, the_old_pin_is_forgotten),
    (p.CLI_CLEAR_ALL, {"source": "h", "workers": [{"worker_id": name} for name in WORKERS]}, all_have_left),
], ids=["command", "retry", "pin", "clear"])
def test_a_command_is_carried_out_although_its_client_leaves_after_the_first_step(
        path: str, body: Any, wanted: Wanted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((commands, "SLICE"), (bulk, "SLICE"), (worker_routes, "CLEARED_SLICE")):
        monkeypatch.setattr(module, name, 2)

    async def scene(dashboard: Dashboard) -> None:
        experiment = dashboard.experiment
        cookie = dashboard.signed_in()
        await experiment.write(enter)
        dashboardpin.file_of(experiment.meta_dir).write_text("the old PIN")
        page = path.startswith("/web")
        router = dashboard.server.dashboard if page else dashboard.server.api
        asking = asyncio.ensure_future(router.dispatch(Request(
            "POST", path, {"host": "127.0.0.1:5050", "cookie": cookie, "content-type": "application/json"},
            BodyStream.of(json.dumps(body).encode()), peer_uid=lambda: None if page else os.geteuid())))
        experiment.on_commit(lambda _: None if asking.cancel() else None)
        with pytest.raises(asyncio.CancelledError):
            await asking
        while not await wanted(experiment):
            await asyncio.sleep(0)

    play(lambda: Dashboard(tmp_path, PIN), scene)


def test_a_batch_whose_client_leaves_before_its_first_slice_leaves_nothing_behind(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that is being written is work that is left: workers would wait for it for ever."""
    monkeypatch.setattr(batches, "SLICE", 2)

    async def main() -> None:
        experiment = Experiment(tmp_path, "exp", Policy())
        try:
            making = asyncio.ensure_future(Creator(experiment).create(from_grid({"x": list(range(9))})))
            experiment.on_commit(lambda _: None if making.cancel() else None)
            with pytest.raises(asyncio.CancelledError):
                await making
            assert not await experiment.read(batches.is_being_written)
            assert not await experiment.read(jobs.work_is_left)
        finally:
            experiment.close()
    asyncio.run(main())


def test_of_work_that_nobody_awaits_a_failure_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        begun, goes_on = Begun(), asyncio.Event()

        async def work() -> None:
            await goes_on.wait()
            raise OSError("the disk is gone")

        awaiting = asyncio.ensure_future(begun.to_its_end(work(), "a command to workers"))
        await asyncio.sleep(0)
        awaiting.cancel()
        tasks = list(begun.tasks)
        goes_on.set()
        await asyncio.wait(tasks)
        await asyncio.sleep(0)
        assert not begun.tasks
    asyncio.run(main())
    assert "a command to workers was not carried out to its end: OSError: the disk is gone" in caplog.text


def test_a_server_that_stops_lets_what_was_begun_end_and_cancels_what_does_not() -> None:
    async def main() -> None:
        begun, done = Begun(), []

        async def short() -> None:
            await asyncio.sleep(0)
            done.append("short")

        begun.start(short(), "a")
        await begun.stop(60)
        begun.start(asyncio.Event().wait(), "b")
        await begun.stop()
        await asyncio.sleep(0)
        assert done == ["short"] and not begun.tasks
    asyncio.run(main())


def test_a_portion_is_what_can_be_written_in_its_time() -> None:
    now = 0.0
    sizes: List[int] = []
    portion = Portion(1000, clock=lambda: now)

    def write(seconds_each: float) -> None:
        def operation(_t: Any) -> None:
            nonlocal now
            now += portion.size * seconds_each
        portion.timed(operation)(None)  # type: ignore[arg-type]
        sizes.append(portion.size)

    assert portion.size == FIRST
    for _ in range(4):
        write(1e-6)
    assert sizes == [2 * FIRST, 4 * FIRST, 1000, 1000]
    write(1e-3)  # jobs with many parameters, say
    assert portion.size == pytest.approx(SECONDS / 1e-3, abs=1)
    write(1.0)
    assert portion.size == 1
    write(1.0)
    assert portion.size == 1
