"""A sweep that ends by itself: a target is reached, so many jobs are done, so many hours were computed."""

import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server import sweeper
from jd.server.driving import sweep
from jd.server.driving.endrule import EndRule
from jd.server.store.operators import bulk, dependencies, endrule, options
from jd.server.store.queue import jobs
from jd.server.store.reports import columns
from jd.server.store.transaction import Transaction
from jd.storage.reading import TookTooLong
from tests.e2e.processes import Server
from tests.server.parts_bench import PartsBench, Run, run_bench
from tests.server.store_support import Desk
from tests.support import free_env, python


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


def counts(bench: PartsBench) -> Dict[str, int]:
    return {status: n for status, n in bench.experiment.read_now(jobs.counts).items() if n}


def history(bench: PartsBench, job_id: int) -> List[str]:
    rows = bench.sql("SELECT reason FROM job_history WHERE job_id = ? ORDER BY id", job_id)
    return [reason for reason, in rows]


async def write(bench: PartsBench, operation: Callable[[Transaction], Any]) -> Any:
    return await bench.experiment.write(operation)


async def set_to(bench: PartsBench, **values: Any) -> None:
    await write(bench, lambda t: options.save(t, options.checked(values)))


async def step(bench: PartsBench) -> None:
    """What the server does each second."""
    await write(bench, lambda t: columns.write_due(t, 100))
    await EndRule(bench.experiment).look()
    while await write(bench, lambda t: sweeper.step(t)):
        pass


async def ended(bench: PartsBench) -> Any:
    return (await sweep.told(bench.experiment))["ended"]


def test_a_target_that_a_running_job_reports_ends_the_sweep(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*({"x": at} for at in range(6)))
        await set_to(bench, stop_when=" accuracy>0.95 ")
        assert bench.experiment.policy.stop_when == "accuracy>0.95"
        await step(bench)  # nobody knows the name yet
        for name in ("a", "b"):
            await bench.beat(name, session="s")
        report: Dict[str, Any] = {"job_id": 2, "attempt": 1, "first": 0, "reports": [[1, {"accuracy": 0.95}]]}
        await bench.post(p.REPORT, report)
        await step(bench)
        assert counts(bench) == {"PENDING": 4, "SERVED": 2} and await ended(bench) is None
        await bench.post(p.REPORT, dict(report, first=1, reports=[[2, {"accuracy": 0.96}]]))
        await step(bench)
        assert counts(bench) == {"ABORTED": 4, "SERVED": 2}
        assert await ended(bench) == {"because": "job 2 has reached accuracy>0.95", "jobs": 4}
        assert history(bench, 5)[-1] == (
            "aborted, since the sweep has ended: job 2 has reached accuracy>0.95")
        told = await sweep.told(bench.experiment)
        assert told["paused"] and "job 2 has reached" in told["paused_because"]
        assert await bench.beat("c", session="s") is None
        for job_id in (1, 2):  # those that run are left to end
            await bench.finish(job_id, attempt=1)
        assert counts(bench) == {"ABORTED": 4, "DONE": 2}
        assert not bench.experiment.read_now(jobs.work_is_left)
        answer = await bench.post(p.HEARTBEAT, {"worker_id": "a", "session": "s"})
        assert answer.json["empty"] is True
    run(scenario)


def test_so_many_jobs_or_hours_are_enough(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*({"x": at} for at in range(5)))
        await set_to(bench, max_jobs=2, max_hours=3, lease=100_000)
        for job_id, status in ((1, "DONE"), (2, "ABORTED")):
            await bench.beat()
            bench.now += 1800
            await bench.finish(job_id, status, attempt=1, runtime=1800, **(
                {"final": True} if status == "ABORTED" else {}))
            await step(bench)
        assert await ended(bench) is None
        found = bench.experiment.read_now(lambda db: endrule.standing(db, bench.experiment.policy, bench.now))
        assert (found.done, found.hours) == (1, 1.0)
        await bench.beat()
        bench.now += 7100
        await step(bench)
        assert await ended(bench) is None
        bench.now += 100  # what runs counts
        await step(bench)
        assert (await ended(bench))["because"] == "3 hours were computed, and 3 were to be"
        await set_to(bench, paused=False, max_hours=0, max_jobs=1)
        await step(bench)
        assert (await ended(bench))["because"] == "1 job is done, and 1 were to be"
    run(scenario)


def test_what_comes_back_after_the_end_is_aborted_and_new_jobs_wait(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*({"x": at} for at in range(4)))
        for name in "abc":
            await bench.beat(name, session="s")
        await bench.finish(1, "ABORTED", attempt=1)  # it waits for its retry
        await bench.finish(2, attempt=1)
        await set_to(bench, max_jobs=1)
        await step(bench)
        assert counts(bench) == {"DONE": 1, "SERVED": 1, "ABORTED": 2}
        assert bench.sql("SELECT id FROM jobs WHERE retry_at IS NOT NULL") == []
        assert history(bench, 1)[-1].startswith("not tried again, since the sweep has ended: ")
        await bench.post(p.HEARTBEAT, {"worker_id": "c", "session": "s", "released": {
            "job_id": 3, "attempt": 1, "reason": "preempted"}})
        await bench.create({"x": 9})
        await step(bench)
        assert counts(bench) == {"DONE": 1, "ABORTED": 3, "PENDING": 1}
        assert (await ended(bench))["jobs"] == 3
    run(scenario)


def test_who_goes_on_has_those_jobs_tried_and_the_rule_counts_when_it_is_changed(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*({"x": at} for at in range(4)))
        await bench.beat()
        await bench.finish(1, attempt=1)
        await set_to(bench, max_jobs=1)
        await step(bench)
        await set_to(bench, paused=False)
        ids = [job["id"] for job in (await bench.get("/api/jobs?where=by_rule=1")).json["jobs"]]
        assert ids == [2, 3, 4]
        assert await write(bench, lambda t: bulk.act(t, "retry", ids, "the sweep goes on")) == 3
        await step(bench)
        assert counts(bench) == {"DONE": 1, "PENDING": 3} and await ended(bench) is None
        assert (await bench.get("/api/jobs?where=by_rule=1")).json["total_count"] == 0
        assert (await bench.beat()) is not None
        await set_to(bench, max_jobs=1)
        await step(bench)
        assert counts(bench) == {"DONE": 1, "SERVED": 1, "ABORTED": 2}
    run(scenario)


def test_a_rule_that_was_changed_while_it_was_looked_at_ends_nothing(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await bench.beat()
        await bench.finish(1, attempt=1)
        await set_to(bench, max_jobs=1)
        looked_at = bench.experiment.policy
        await set_to(bench, max_jobs=2)
        await write(bench, lambda t: endrule.end(t, looked_at, endrule.Met(
            "1 job is done, and 1 were to be", ("max_jobs",))))
        assert await ended(bench) is None and not bench.experiment.policy.paused
        await bench.beat()
        await bench.finish(2, attempt=1)
        await step(bench)
        assert (await ended(bench))["because"] == "2 jobs are done, and 2 were to be"
    run(scenario)


def test_a_look_that_takes_too_long_is_a_twentieth_of_the_time_too(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: PartsBench) -> None:
        now, looks = 0.0, 0

        async def read(*_: object, **__: object) -> None:
            nonlocal now, looks
            now, looks = now + 30, looks + 1
            raise TookTooLong(30)
        await set_to(bench, stop_when="x=1")
        monkeypatch.setattr(bench.experiment, "read", read)
        rule = EndRule(bench.experiment, lambda: now)
        with pytest.raises(TookTooLong):
            await rule.look()
        now += 590
        await rule.look()
        assert looks == 1
        now += 20
        with pytest.raises(TookTooLong):
            await rule.look()
    run(scenario)


def test_who_goes_on_finds_jobs_that_wait_for_others_too(desk: Desk) -> None:
    desk.create(2)
    desk.create(1, after=[2])
    desk.create(1, after=[3])
    desk.claim()
    desk.finish(1, status="ABORTED", verdict=p.VERDICT_FAILED)  # it waits for its retry
    desk.create(1, after=[1])
    desk.create(1)
    desk.write(lambda t: endrule.end(t, t.policy, endrule.Met("it is enough", ())))
    while desk.write(lambda t: endrule.abort_rest(t, 1)):
        desk.write(lambda t: dependencies.follow(t, 10))
    desk.write(lambda t: dependencies.follow(t, 10))
    assert desk.read(lambda db: db.execute("SELECT id FROM jobs WHERE by_rule").fetchall()) == [
        (1,), (2,), (3,), (4,), (5,), (6,)]


def test_who_goes_on_past_one_part_is_stopped_by_it_no_more_and_by_the_others_still(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*({"x": at} for at in range(4)))
        await set_to(bench, stop_when="x=0", max_jobs=2, max_hours=100)
        await bench.beat()
        await step(bench)
        assert (await ended(bench))["because"] == "job 1 has reached x=0"
        await bench.finish(1, attempt=1)
        await set_to(bench, paused=False)
        await set_to(bench, max_hours=200)  # the target is as it was: it ends nothing
        await step(bench)
        told = await sweep.told(bench.experiment)
        assert told["ended"] is None and told["has_ended_by"] == ("stop_when",)
        await write(bench, lambda t: bulk.act(t, "retry", [2, 3, 4], ""))
        await bench.beat()
        await bench.finish(2, attempt=1)
        await step(bench)
        told = await sweep.told(bench.experiment)
        assert told["ended"] == {"because": "2 jobs are done, and 2 were to be", "jobs": 2}
        assert told["has_ended_by"] == ("stop_when", "max_jobs")
        await set_to(bench, paused=False, max_jobs=3)
        await step(bench)
        assert await ended(bench) is None
        await set_to(bench, stop_when="x<1")  # another target
        await step(bench)
        assert (await ended(bench))["because"] == "job 1 has reached x<1"
    run(scenario)


def test_as_long_as_nobody_goes_on_the_sweep_does_not_end_again(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create(*({"x": at} for at in range(3)))
        await set_to(bench, stop_when="x=0", max_jobs=1)
        await bench.beat()
        await step(bench)
        await bench.create({"x": 9})
        await bench.finish(1, attempt=1)
        await step(bench)
        assert await ended(bench) == {"because": "job 1 has reached x=0", "jobs": 2}
        assert counts(bench) == {"DONE": 1, "ABORTED": 2, "PENDING": 1}
    run(scenario)


@pytest.mark.parametrize("damaged", [
    "", "{", "[]", "null", "7", "0", '{"because": "x"}', '{"because": "x", "last": [], "jobs": 0}',
    '{"because": "x", "last": 1e999, "jobs": 0}', "[" * 100_000])
def test_a_damaged_note_of_the_end_breaks_no_page_and_aborts_nothing(desk: Desk, damaged: str) -> None:
    desk.create(2)
    desk.write(lambda t: t.db.execute("INSERT INTO settings VALUES ('sweep_ended', ?)", (damaged,)))
    assert desk.read(endrule.ended) is None
    assert desk.write(lambda t: endrule.abort_rest(t, 10)) is False
    desk.write(lambda t: t.db.execute("UPDATE settings SET value = CAST(x'ff7b' AS TEXT)"))
    assert desk.read(endrule.ended) is None and desk.read(jobs.counts)["PENDING"] == 2


def test_a_person_who_pauses_ends_nothing_and_resuming_ends_no_rule(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await set_to(bench, paused=True, max_jobs=5)
        await step(bench)
        assert counts(bench) == {"PENDING": 1} and await ended(bench) is None
    run(scenario)


def test_a_waiting_job_with_results_of_before_has_not_reached_it(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await bench.beat()
        await bench.upload(1, "result.json", '{"loss": 0.5}')
        await bench.post(p.HEARTBEAT, {"worker_id": "w", "leave": True, "released": {
            "job_id": 1, "attempt": 1}})
        await set_to(bench, stop_when="loss<1")
        await step(bench)
        assert await ended(bench) is None
        await set_to(bench, stop_when="x=1,2")  # as bad as a target can be
        await step(bench)
        assert await ended(bench) is None
    run(scenario)


@pytest.mark.parametrize("values", [
    {"stop_when": "a<"}, {"stop_when": 3}, {"stop_when": "x" * 501}, {"stop_when": None}, {"max_jobs": -1},
    {"max_jobs": 1.5}, {"max_jobs": True}, {"max_hours": -1}, {"max_hours": "3"}, {"max_hours": 1e10}])
def test_no_rule_can_be_nonsense(values: Dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match=next(iter(values))):
        options.checked(values)


def test_the_rule_of_a_start_that_was_met_does_not_end_the_sweep_twice(run: Run, tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await bench.beat()
        await bench.finish(1, attempt=1)
        bench.experiment.policy = bench.experiment.policy._replace(max_jobs=1)  # as an option of the start
        await step(bench)
        await set_to(bench, paused=False)
        bench.experiment.policy = bench.experiment.policy._replace(max_jobs=1)
        await step(bench)
        assert await ended(bench) is None
        bench.experiment.policy = bench.experiment.policy._replace(stop_when="x>0")
        await step(bench)
        assert (await ended(bench))["because"] == "job 1 has reached x>0"
    run(scenario)


def test_programs_set_the_rule_and_are_told_of_the_end(tmp_path: Path) -> None:
    with Server(tmp_path, "--max-jobs", "5") as server:
        server.create(3)
        assert server.call("/api/sweep", {"max_jobs": 0, "stop_when": "x<"})[0] == 400
        assert server.call("/api/sweep", {"max_hours": None})[0] == 400
        status, answer = server.call("/api/sweep", {"max_job": 1})
        assert status == 400 and "stop_when, max_jobs, max_hours" in answer["error"]
        told = server.call("/api/sweep", {"max_jobs": 1, "stop_when": "acc > 0.5"})
        assert told["ended"] is None
        assert (told["stop_when"], told["max_jobs"], told["max_hours"]) == ("acc > 0.5", 1, 0)
        job = server.call("/worker/heartbeat", {"worker_id": "w", "session": "s"})["job"]
        server.call("/update_job_status", {"job_id": job["job_id"], "attempt": 1, "status": "DONE"})
        told = server.call("/api/jobs/wait", {"where": "", "wait": 50})
        assert told["finished"] and told["by_status"]["ABORTED"] == 2 and told["will_retry"] == 0
        found = server.call("/api/sweep")
        assert found["ended"] == {"because": "1 job is done, and 1 were to be", "jobs": 2} and found["paused"]
        assert server.call("/api/sweep", {"paused": False})["ended"] is None
        server.stop()


def test_a_rule_that_cannot_be_understood_is_refused_at_the_start(tmp_path: Path) -> None:
    found = subprocess.run(python("-m", "jd.server", "--expId", "exp", "--stop-when", "a<"),
                           env=free_env(tmp_path), capture_output=True)
    assert found.returncode == 2 and b"--stop-when: a value is missing after a<" in found.stderr
