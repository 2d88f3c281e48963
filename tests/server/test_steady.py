"""Heartbeats that say nothing new: answered without a write, written soon, never against what was told."""

import asyncio
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Sequence, Tuple

import pytest

from jd import protocol as p
from jd.server import steady, sweeper
from jd.server.store.operators import bulk, options
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs, lease
from jd.server.store.transaction import Transaction
from jd.storage.database import Task
from tests.server.scenes import play
from tests.server.test_watching import Bench
from tests.storage.test_database import writer_held

Scenario = Callable[["Busy"], Awaitable[None]]
Run = Callable[[Scenario], None]


class Busy(Bench):
    """Worker w has job 1, and was heard of at it. `writes` counts what is written."""

    writes = 0

    async def begin(self) -> None:
        await self.experiment.write(lambda t: t.db.executemany(
            "INSERT INTO jobs (status, parameters) VALUES ('PENDING', '{}')", [()] * 2))
        assert (await self.beat())[1]["job"]["job_id"] == 1
        assert (await self.say())[0] == 200
        enter = self.experiment.database.enter

        def counted(tasks: Sequence[Task]) -> None:
            self.writes += len(tasks)
            enter(tasks)

        setattr(self.experiment.database, "enter", counted)

    async def say(self, tail: str = "so far", **fields: Any) -> Tuple[int, Dict[str, Any]]:
        return await self.busy(**dict({"wait": None, "output_tail": tail}, **fields))

    async def written(self) -> Tuple[Any, ...]:
        """The output and the lease of job 1 when all that was said is written."""
        self.server._steady.write_out()
        while self.experiment.begun.tasks:
            await asyncio.wait(self.experiment.begun.tasks)
        return tuple(await self.experiment.read(lambda db: db.execute(
            "SELECT output_tail, lease_until - 1000000 FROM attempts JOIN jobs ON id = job_id"
            " WHERE id = 1").fetchone()))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_scenario(scenario: Scenario) -> None:
        async def scene(bench: Busy) -> None:
            await bench.begin()
            await scenario(bench)
        play(lambda: Busy(tmp_path), scene)
    return run_scenario


def test_what_says_nothing_new_is_written_once(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        before = await bench.say("first")
        bench.now += 10
        assert [await bench.say("line %d" % n) for n in range(5)] == [before] * 5
        assert bench.writes == 0
        assert await bench.written() == ("line 4", Policy().lease + 10)
        assert bench.writes == 1
        await bench.say("line 5")
        assert bench.writes == 1
    run(scenario)


def test_it_is_written_by_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "DELAY", 0.0)

    async def scenario(bench: Busy) -> None:
        await bench.say("soon")
        while not bench.writes:
            await asyncio.sleep(0)
        assert (await bench.written())[0] == "soon"
    run(scenario)


@pytest.mark.parametrize("fields", [
    {"output_tail": None}, {"attempt": None}, {"session": None, "attempt": None}, {"applied_version": 1},
    {"system_metrics": {"cpu_util": 1.0}}, {"ends_in": 5.0}, {"code": {"script": "b.py"}},
    {"reported_status": "idle"}, {"leave": True}, {"current_job_id": None},
    {"reported_status": "idle", "released": {"job_id": 1, "attempt": 1}},
    {"reported_status": "idle", "finished": {"job_id": 1, "attempt": 1, "status": p.DONE}},
    {"unstarted": [{"job_id": 2, "attempt": 1}]},
])
def test_what_says_more_is_taken_in_at_once_and_after_what_was_said(run: Run, fields: Dict[str, Any]) -> None:
    async def scenario(bench: Busy) -> None:
        await bench.say("before")
        assert bench.writes == 0
        assert (await bench.say(**fields))[0] == 200
        assert bench.writes == 2
    run(scenario)


def test_results_of_jobs_before_are_taken_in_at_once(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        job = (await bench.beat(worker_id="v", session="of v"))[1]["job"]
        assert (await bench.say())[0] == 200
        writes = bench.writes
        assert (await bench.say(finished_before=[
            {"job_id": job["job_id"], "attempt": job["attempt"], "status": p.DONE}]))[0] == 200
        assert bench.writes == writes + 2  # what was said before it, and this
        assert (await bench.experiment.read(jobs.counts))[p.DONE] == 1
    run(scenario)


def test_a_command_is_told_with_the_next_heartbeat(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        await bench.say()
        await bench.tell("pause")
        reply = (await bench.say())[1]
        assert (reply["desired_state"], reply["pending"]) == ("pause", True)
    run(scenario)


def test_a_command_that_comes_while_a_heartbeat_is_written_is_told(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        told = [asyncio.ensure_future(bench.say(system_metrics={"cpu_util": 1.0})),
                asyncio.ensure_future(bench.tell("pause"))]
        await asyncio.gather(*told)
        assert (await bench.say(system_metrics={"cpu_util": 1.0}))[1]["pending"]
    run(scenario)


def test_an_attempt_that_was_taken_away_is_refused(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        await bench.say()
        await bench.experiment.write(lambda t: bulk.act(t, "abort", [1], "a test"))
        assert (await bench.say())[0] == 409
    run(scenario)


@pytest.mark.parametrize("route, body", [
    (p.CLI_STOP, {"worker_id": "w"}), (p.CLI_CLEAR_ALL, {"workers": [{"worker_id": "w"}]}),
    (p.UPDATE_JOB_STATUS, {"job_id": 1, "attempt": 1, "status": p.DONE}),
])
def test_an_attempt_that_has_ended_otherwise_is_refused(run: Run, route: str, body: Dict[str, Any]) -> None:
    async def scenario(bench: Busy) -> None:
        await bench.say()
        assert (await bench.post(route, body))[0] == 200
        assert (await bench.say())[0] == 409
        assert (await bench.written())[0] != "late"
    run(scenario)


def test_what_was_said_before_the_end_does_not_bring_a_job_back(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        await bench.say("late")
        await bench.post(p.CLI_STOP, {"worker_id": "w"})
        await bench.written()
        left = await bench.experiment.read(lambda db: db.execute("SELECT left_at FROM workers").fetchone())
        assert left[0] is not None
    run(scenario)


def test_another_lease_is_told(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        await bench.say()
        await bench.experiment.write(lambda t: options.save(t, {"lease": 30.0}))
        assert (await bench.say())[1]["lease"] == 30.0
    run(scenario)


def test_a_lease_that_was_renewed_in_time_is_not_over(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Busy) -> None:
        bench.now += Policy().lease + 1
        await bench.say()  # heard of, as far as the server knows, before it looks
        swept = asyncio.Event()
        loop = asyncio.get_running_loop()

        def step(t: Transaction, missed: float, limit: int) -> bool:
            more = sweeper_step(t, missed, limit)
            loop.call_soon_threadsafe(swept.set)
            return more

        sweeper_step = sweeper.step
        monkeypatch.setattr(sweeper, "step", step)
        sweeping = asyncio.ensure_future(sweeper.run(bench.experiment, bench.server._steady.write_out))
        await swept.wait()
        await bench.experiment.write(lambda t: None)  # after the commit of that step
        sweeping.cancel()
        assert (await bench.experiment.read(jobs.counts))[p.SERVED] == 1
    run(scenario)


def test_who_had_a_job_before_does_not_keep_its_end_from_who_has_it_now(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        await bench.say()
        # Found dead by mistake: nobody is there to be told.
        await bench.experiment.write(lambda t: lease.found_dead(t, [1], alone=True))
        await bench.experiment.write(lambda t: t.db.execute("DELETE FROM jobs WHERE id = 2"))
        other: Dict[str, Any] = {"worker_id": "v", "session": "v", "attempt": 2}
        assert (await bench.beat(worker_id="v", session="v"))[1]["job"]["job_id"] == 1
        assert (await bench.say(**other))[0] == 200
        await bench.say()  # which is refused when it is written
        await bench.written()
        await bench.experiment.write(lambda t: bulk.act(t, "abort", [1], "a test"))
        assert (await bench.say(**other))[0] == 409
    run(scenario)


def test_what_is_written_together_has_no_savepoints(run: Run) -> None:
    async def scenario(bench: Busy) -> None:
        statements: List[str] = []
        database = bench.experiment.database
        database.write(lambda db: db.set_trace_callback(statements.append)).result(60)
        with writer_held(database):
            await bench.say("steady")
            bench.server._steady.write_out()
            beats = [asyncio.ensure_future(bench.beat(worker_id=name, session=name)) for name in ("u", "v")]
            while bench.writes < 5:
                await asyncio.sleep(0)
        await asyncio.gather(*beats)
        assert (await bench.written())[0] == "steady"
        assert statements.count("COMMIT") == 3 and not any("SAVEPOINT" in text for text in statements)
    run(scenario)


def test_what_is_known_has_a_limit(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "MOST", 1)

    async def scenario(bench: Busy) -> None:
        job = (await bench.beat(worker_id="v", session="v"))[1]["job"]
        for worker, number in (("v", job["job_id"]), ("w", 1), ("v", job["job_id"])):
            await bench.say(worker_id=worker, session=worker.replace("w", "s"), current_job_id=number)
            known = bench.server._steady
            assert len(known._known) == len(known._at) == 1
    run(scenario)
