"""Heartbeats of busy workers that are held: until there is a command, a viewer, or another owner."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Tuple

import pytest

from jd import protocol as p
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import Request
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.experiment import Experiment
from jd.server.store.fleet import commands
from jd.server.store.operators import bulk, options, signins
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs
from jd.server.store.transaction import Transaction
from jd.server.watching import LOOK_LASTS, MANY_LOOKS, Watching
from tests.server.scenes import play
from tests.server.store_support import clock_at

Scenario = Callable[["Bench"], Awaitable[None]]
Run = Callable[[Scenario], None]


class Bench:
    """A server that is not listening; worker w has job 1."""

    def __init__(self, workspace: Path) -> None:
        self.now = 1_000_000.0
        self.experiment = Experiment(workspace, "exp", Policy(), clock=clock_at(lambda: self.now))
        self.server = JobServer(self.experiment, Access("127.0.0.1", None, False))
        self.room = self.server.room

    def close(self) -> None:
        self.server.signin.close()
        self.experiment.close()

    async def post(self, route: str, body: Dict[str, Any]) -> Tuple[int, Dict[str, Any]]:
        response = await self.server.api.dispatch(Request(
            "POST", route, {"host": "127.0.0.1:5000", "content-type": "application/json"},
            BodyStream.of(json.dumps(body).encode()), peer_uid=os.geteuid))
        return response.status, json.loads(response.body)

    async def beat(self, **fields: Any) -> Tuple[int, Dict[str, Any]]:
        return await self.post(p.HEARTBEAT, dict({"worker_id": "w", "session": "s"}, **fields))

    async def busy(self, **fields: Any) -> Tuple[int, Dict[str, Any]]:
        return await self.beat(**dict(dict(reported_status="busy", current_job_id=1, attempt=1, wait=57,
                                           output_tail="so far"), **fields))

    async def held(self, wanted: int = 1, **fields: Any) -> "asyncio.Task[Any]":
        """Send a busy heartbeat and let it come to rest in the waiting room."""
        task = asyncio.ensure_future(self.busy(**fields))
        while sum(ticket._future is not None for ticket in self.room.of_worker("w")) < wanted:
            await asyncio.sleep(0)
            assert not task.done(), task.result()
        return task

    async def tell(self, action: str) -> None:
        await self.experiment.write(lambda t: commands.tell(t, action, ["w"], "dashboard"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_scenario(scenario: Scenario) -> None:
        async def scene(bench: Bench) -> None:
            await bench.experiment.write(lambda t: t.db.executemany(
                "INSERT INTO jobs (status, parameters) VALUES ('PENDING', '{}')", [()] * 2))
            assert (await bench.beat())[1]["job"]["job_id"] == 1
            await scenario(bench)
            assert not bench.room.tickets and not bench.room._of_worker and not bench.room._of_job
        play(lambda: Bench(tmp_path), scene)
    return run_scenario


def test_a_command_reaches_a_busy_worker_at_once(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        held = await bench.held()
        await bench.tell("pause")
        status, reply = await held
        assert (status, reply["desired_state"], reply["desired_version"]) == (200, "pause", 1)
        assert (reply["pending"], reply["job"], reply["heartbeat_interval"]) == (True, None, 57.0)
        again = await bench.held(applied_version=1)  # its acknowledgement is held like any other
        await bench.tell("run")
        assert (await again)[1]["desired_version"] == 2
    run(scenario)


def test_somebody_who_looks_gets_the_output_at_once(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        held = await bench.held()
        bench.room.watching.look(2)
        await asyncio.sleep(0)
        assert not held.done()
        bench.room.watching.look(1)
        assert (await held)[1]["heartbeat_interval"] == 2.0
        # While somebody looks none is held.
        assert (await bench.busy(output_tail="more"))[1]["heartbeat_interval"] == 2.0
        tail = await bench.experiment.read(
            lambda db: db.execute("SELECT output_tail FROM attempts").fetchone()[0])
        assert tail == "more"
    run(scenario)


def test_the_routes_of_the_dashboard_are_what_counts_as_looking(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        cookie = "jd_dashboard_%s=%s" % (
            bench.experiment.server_id,
            await bench.experiment.write(lambda t: signins.begin(t, None)))
        for target in ("/web/job?id=1", "/web/job/output?id=1"):
            bench.room.watching._looked_at.clear()
            held = await bench.held()
            answer = await bench.server.dashboard.dispatch(Request(
                "GET", target, {"host": "127.0.0.1:5050", "cookie": cookie}))
            assert answer.status == 200
            assert (await held)[1]["heartbeat_interval"] == 2.0
    run(scenario)


def test_a_worker_that_does_not_wait_is_answered_as_ever(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        bench.room.watching.look(1)
        for fields in ({"wait": None}, {"wait": None, "attempt": None, "session": None}):
            reply = (await bench.busy(**fields))[1]
            assert reply["heartbeat_interval"] == 57.0
    run(scenario)


def test_a_held_heartbeat_of_a_busy_worker_takes_no_job_and_no_call_for_one(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        held = await bench.held()
        bench.room.call(5)
        await asyncio.sleep(0)
        assert not held.done()
        assert (await bench.beat(worker_id="v", session="v"))[1]["job"]["job_id"] == 2
        bench.room.close()
        assert (await held)[1]["job"] is None
    run(scenario)


def test_the_lease_is_renewed_at_the_beginning_of_the_hold(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        bench.now += 100
        held = await bench.held()
        lease = await bench.experiment.read(
            lambda db: db.execute("SELECT lease_until FROM jobs WHERE id = 1").fetchone()[0])
        assert lease == bench.now + bench.experiment.policy.lease
        bench.room.close()
        await held
    run(scenario)


def test_a_heartbeat_is_held_for_a_third_of_the_lease_at_most(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        bench.experiment.policy = Policy(lease=p.MIN_LEASE)
        loop = asyncio.get_running_loop()
        came = loop.time()
        held = await bench.held()
        assert (await held)[1]["heartbeat_interval"] == 1.0 and 0.9 < loop.time() - came < 20.0
        bench.room.watching.look(1)
        assert (await bench.busy())[1]["heartbeat_interval"] == 1.0
    run(scenario)


def test_a_lease_that_is_changed_holds_for_heartbeats_that_are_held(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        held = await bench.held()
        await bench.experiment.write(lambda t: options.save(t, {"lease": p.MIN_LEASE}))
        assert (await held)[1]["heartbeat_interval"] == 1.0
        shorter = await bench.held()
        await bench.experiment.write(lambda t: options.save(t, {"lease": 600.0}))
        assert (await shorter)[1]["heartbeat_interval"] == 57.0
        assert await bench.experiment.read(lambda db: db.execute(
            "SELECT lease_until FROM jobs WHERE id = 1").fetchone()[0]) == bench.now + 600.0
    run(scenario)


def test_a_worker_whose_attempt_was_ended_hears_it_at_once(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        held = await bench.held()
        await bench.experiment.write(lambda t: bulk.act(t, bulk.ABORT, [1], ""))
        status, answer = await held
        assert status == 409 and "ABORTED" in answer["error"]
    run(scenario)


def test_the_result_ends_the_held_heartbeat_of_the_same_process(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        held = await bench.held()
        reply = (await bench.beat(finished={"job_id": 1, "attempt": 1, "status": "DONE"}))[1]
        assert reply["job"]["job_id"] == 2
        assert (await held)[1]["job"] is None
        counted = await bench.experiment.read(jobs.counts)
        assert (counted["DONE"], counted["SERVED"]) == (1, 1)
    run(scenario)


def test_a_job_that_an_abandoned_heartbeat_got_is_handed_out_again(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.beat(finished={"job_id": 1, "attempt": 1, "status": "DONE"})
        await bench.beat(finished={"job_id": 2, "attempt": 1, "status": "DONE"})
        abandoned = await bench.held(reported_status="idle", current_job_id=None, attempt=None)
        ticket = bench.room.of_worker("w")[0]
        await bench.experiment.write(lambda t: t.db.execute(
            "INSERT INTO jobs (status, parameters) VALUES ('PENDING', '{}')"))
        newer = bench.room.ticket("w", "s")
        with newer:
            bench.room.call(1)
            while ticket._future is not None:  # it has gone to claim the job
                await asyncio.sleep(0)
            newer.supersede()
            assert (await abandoned)[1]["job"]["job_id"] == 3
            assert newer.called
            newer._followed = newer._calls
    run(scenario)


def test_a_call_for_a_job_goes_on_when_a_command_is_what_it_finds(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.beat(finished={"job_id": 1, "attempt": 1, "status": "DONE"})
        await bench.beat(finished={"job_id": 2, "attempt": 1, "status": "DONE"})
        idle: Dict[str, Any] = {"reported_status": "idle", "current_job_id": None, "attempt": None}
        told = await bench.held(**idle)
        other = asyncio.ensure_future(bench.busy(worker_id="v", session="v", **idle))
        while not any(t._future is not None for t in bench.room.of_worker("v")):
            await asyncio.sleep(0)

        def both(t: Transaction) -> None:
            t.db.execute("INSERT INTO jobs (status, parameters) VALUES ('PENDING', '{}')")
            t.happened.pending += 1
            commands.tell(t, "pause", ["w"], "server")

        await bench.experiment.write(both)
        assert (await told)[1]["desired_state"] == "pause"
        assert (await other)[1]["job"]["job_id"] == 3
    run(scenario)


def test_looks_pass_and_are_forgotten() -> None:
    now = [0.0]
    called: List[int] = []
    watching = Watching(called.append, lambda: now[0])
    for job_id in range(MANY_LOOKS):
        watching.look(job_id)
    assert watching.watched(5) and not watching.watched(None)
    now[0] = LOOK_LASTS
    assert not watching.watched(5)
    watching.look(MANY_LOOKS)
    assert len(watching._looked_at) == 1
    assert called == list(range(MANY_LOOKS + 1))
