"""A held claim of a worker whose time is limited: what is left counts from when it came."""

import asyncio
import threading
from typing import Any

import pytest

from jd import protocol as p
from jd.clock import Clock
from tests.server.store_support import ordered
from tests.server.test_watching import Bench, Run


async def held(bench: Bench, worker: str, **fields: Any) -> "asyncio.Future[Any]":
    """An idle heartbeat that has come to rest in the waiting room."""
    task = asyncio.ensure_future(bench.beat(worker_id=worker, session=worker, wait=180, **fields))
    while not any(ticket._future is not None for ticket in bench.room.of_worker(worker)):
        await asyncio.sleep(0)
        assert not task.done(), task.result()
    return task


async def create(bench: Bench, min_time: float) -> None:
    batch = ordered({"parameters": {"x": [1]}, "min_time": min_time})
    await bench.server.creation.create(batch)


@pytest.mark.parametrize("needs, fits", [(100.0, True), (101.0, False)])
def test_the_time_in_the_waiting_room_counts(run: Run, needs: float, fits: bool) -> None:
    async def scenario(bench: Bench) -> None:
        answer = await held(bench, "w", time_left=150.0)
        bench.now += 50.0
        await create(bench, needs)
        _, reply = await answer
        assert (reply["job"] is not None) is fits
        assert reply.get("needs") == (None if fits else needs)

    run(scenario)


@pytest.mark.parametrize("by", [3600.0, -86400.0])
def test_a_clock_that_is_set_takes_no_time_and_gives_none(run: Run, by: float) -> None:
    async def scenario(bench: Bench) -> None:
        fits, late = await held(bench, "w", time_left=150.0), await held(bench, "v", time_left=140.0)
        bench.experiment.clock = Clock(lambda: bench.now + by, lambda: bench.now)
        bench.now += 50.0
        await create(bench, 100.0)
        assert (await fits)[1]["job"] is not None
        await create(bench, 100.0)
        assert (await late)[1]["needs"] == 100.0

    run(scenario)


def test_a_job_that_does_not_fit_the_first_goes_to_the_next(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        short = await held(bench, "short", time_left=60.0)
        long = await held(bench, "long", time_left=6000.0)
        await create(bench, 600.0)
        assert (await short)[1]["needs"] == 600.0
        assert (await long)[1]["job"]["min_time"] == 600.0

    run(scenario)


def test_what_says_that_nothing_is_left_is_held_only_for_who_stays(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        _, reply = await bench.beat(wait=180, exit_when_empty=True)
        assert reply["empty"] is True
        staying = await held(bench, "v")
        assert p.EXT_EMPTY in reply["extensions"] and not staying.done()
        bench.room.close()
        assert (await staying)[1]["empty"] is True

    run(scenario)


@pytest.mark.parametrize("leaves", ["while it is written", "when it is written"])
def test_a_job_that_nobody_hears_of_wakes_the_newer_heartbeat(run: Run, leaves: str) -> None:
    async def scenario(bench: Bench) -> None:
        database = bench.experiment.database
        begun, gates = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]

        def hold_writer(number: int) -> None:
            def wait(_db: object) -> None:
                begun[number].set()
                gates[number].wait(120)
            database.write(wait)

        async def stands_still(number: int) -> None:
            assert await asyncio.get_running_loop().run_in_executor(None, begun[number].wait, 120)

        def leave() -> None:
            older.cancel()

        older = await held(bench, "w")
        # The newer one finds no job yet, the older one the job that comes then; and its client leaves.
        hold_writer(0)
        await stands_still(0)
        newer = asyncio.ensure_future(bench.beat(worker_id="w", session="w", wait=180))
        while len(bench.room.of_worker("w")) < 2:
            await asyncio.sleep(0)
        database.write(lambda db: db.execute(
            "INSERT INTO jobs (status, parameters) VALUES ('PENDING', '{}')"))
        bench.room.of_worker("w")[0].call()
        while database._tasks.qsize() < 3:
            await asyncio.sleep(0)
        hold_writer(1)
        gates[0].set()
        await stands_still(1)
        if leaves == "while it is written":
            leave()
        else:
            bench.experiment.on_commit(lambda _: leave())
        gates[1].set()
        with pytest.raises(asyncio.CancelledError):
            await older
        assert (await asyncio.wait_for(newer, 60))[1]["job"]["job_id"] == 1

    run(scenario)
