"""What jobs need: only a worker that has all of it gets one, and nothing is stranded."""

import asyncio
import io
import json
import sqlite3
from pathlib import Path
from typing import Any, List, Optional

import pytest

from jd import protocol as p
from jd.server.creation import jobtext
from jd.server.store.operators import batches
from jd.server.store.pages import jobdetails, joblist, jobtable
from jd.server.store.queue import claim, needs, timeleft
from jd.server.store.schema import MIGRATIONS
from jd.server.store.search import conditions
from jd.server.waiting import WaitingRoom
from jd.storage.database import Database
from tests.server.store_support import Desk, ordered
from tests.server.test_held_claims import held
from tests.server.test_jobs_store import work
from tests.server.test_watching import Bench, Run


def got(desk: Desk, worker: str, **fields: Any) -> Optional[int]:
    job = desk.beat(worker, **fields).reply.job
    return None if job is None else job.job_id


# ---- what can be said

@pytest.mark.parametrize("said, message", [
    ("gpu", "needs must be a list"),
    ([1], "needs must be a string"),
    (["a b"], "needs: 'a b' cannot be a tag"),
    ([str(number) for number in range(17)], "needs has 17 tags; at most 16"),
])
def test_a_request_says_what_is_wrong(said: Any, message: str) -> None:
    with pytest.raises(p.ProtocolError) as told:
        ordered({"parameters": {"x": [1]}, "needs": said})
    assert str(told.value).startswith(message)


def test_jobs_files_say_it_beside_the_jobs() -> None:
    text = json.dumps({"parameters": {"x": [1]}, "needs": ["gpu", "big", "gpu"]})
    assert jobtext.parse(io.BytesIO(text.encode()), "json").terms.needs == ("gpu", "big")


def test_too_many_different_lists_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "MAX_LISTS", 2)
    desk.create(1, needs=["a", "b"])
    desk.create(1, needs=["c"])
    desk.create(1, needs=["b", "a"])
    start_id = desk.write(batches.begin)
    with pytest.raises(p.ProtocolError, match="2 different lists"):
        desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}'], batches.Terms(needs=("d",))))


# ---- who gets what

def test_a_worker_gets_only_jobs_all_of_whose_needs_it_has(desk: Desk) -> None:
    desk.create(1, needs=["gpu", "big"])
    desk.create(1)
    assert got(desk, "one", tags=["gpu"]) == 2
    assert got(desk, "two", tags=["gpu"]) is None
    assert got(desk, "three", tags=["other", "big", "gpu"]) == 1


def test_the_machine_type_is_a_tag_as_base_clients_have_it(desk: Desk) -> None:
    desk.create(1, needs=["gpu-a100"])
    assert got(desk, "cpu", machine_type="worker") is None
    assert got(desk, "gpu", machine_type="gpu-a100") == 1


def test_a_worker_that_comes_back_with_other_tags(desk: Desk) -> None:
    desk.create(1, needs=["gpu"])
    assert got(desk, "w") is None
    assert got(desk, "w", tags=["gpu"]) == 1


def test_priority_and_id_decide_among_what_a_worker_can_run(desk: Desk) -> None:
    desk.create(1, needs=["gpu"])
    desk.create(1)
    desk.create(1, needs=["big"], priority=1)
    desk.create(1, needs=["none"], priority=9)
    assert [got(desk, "w%d" % number, tags=["gpu", "big"]) for number in range(4)] == [3, 1, 2, None]


def test_time_that_is_left_counts_beside(desk: Desk) -> None:
    desk.create(1, needs=["gpu"], min_time=900)
    desk.create(1, needs=["none"], min_time=1)
    desk.create(1, min_time=500)
    desk.create(1, needs=["gpu"], min_time=100)
    assert got(desk, "v", tags=["gpu"], time_left=300.0) == 4
    assert desk.beat("v2", tags=["gpu"], time_left=300.0).reply.needs == 500.0
    assert got(desk, "u", tags=["gpu"], time_left=1000.0) == 1


def test_a_batch_that_is_being_written_hides_nothing(desk: Desk) -> None:
    desk.create(1, needs=["gpu"])
    start_id = desk.write(batches.begin)
    terms = batches.Terms(priority=5, needs=("gpu",))
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}'] * 50, terms))
    assert desk.read(needs.cannot_run) == [(("gpu",), 1)]
    assert [got(desk, name, tags=["gpu"]) for name in "vw"] == [1, None]


@pytest.mark.parametrize("time_left", [None, 60.0])
def test_the_cost_does_not_grow_with_the_jobs(desk: Desk, time_left: Optional[float],
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeleft, "LOOKED_THROUGH", 100)

    def look(db: sqlite3.Connection) -> None:
        kinds = needs.kinds(db, "w")
        head = claim.next_job(db, kinds)
        assert head is not None and len(kinds) == 2
        if time_left is not None:
            with pytest.raises(timeleft.NothingFits):
                timeleft.first(db, timeleft.Limit(desk.now + time_left, None), head, kinds, 2 ** 62, desk.now)

    desk.beat("w", tags=["gpu"])
    desk.create(200, needs=["other"], priority=1)
    desk.create(200, needs=["gpu"], min_time=900)
    few = work(desk, look)
    desk.create(3000, needs=["other"], priority=1)
    desk.create(3000, needs=["gpu"], min_time=900)
    assert work(desk, look) < 1.2 * few


# ---- what nobody can run

def test_what_no_living_worker_has_is_told(desk: Desk) -> None:
    assert desk.read(needs.cannot_run) == []
    desk.create(3, needs=["gpu"])
    desk.create(2, needs=["big", "cpu"])
    desk.create(1)
    desk.beat("v", tags=["big", "cpu"])
    assert desk.read(needs.cannot_run) == [(("gpu",), 3)]
    desk.beat("w", machine_type="gpu")
    assert desk.read(needs.cannot_run) == []
    desk.beat("w", machine_type="gpu", session="s", leave=True)
    assert desk.read(needs.cannot_run) == [(("gpu",), 2)]


# ---- what is shown

def test_needs_are_shown_and_found(desk: Desk) -> None:
    desk.create(1, needs=["gpu", "big"], timeout=60, max_attempts=2, priority=4)
    desk.create(1, needs=["gpu"])
    desk.create(1)
    assert desk.read(jobtable.columns)["needs"] == ["big", "gpu"]
    told = desk.read(lambda db: joblist.select(db, joblist.JobQuery())).jobs
    assert [job["needs"] for job in told] == [["big", "gpu"], ["gpu"], None]
    assert [(job["timeout"], job["max_attempts"], job["priority"]) for job in told[:2]] == [
        (60.0, 2, 4), (None, None, 0)]
    assert desk.read(lambda db: jobdetails.job(db, 1))["needs"] == ["big", "gpu"]

    def found(text: str) -> List[int]:
        return desk.read(lambda db: [job["id"] for job in jobtable.page(
            db, conditions.compiled(db, text, desk.now), jobtable.BY_ID, None, 10).jobs])

    assert found("needs=gpu") == [1, 2] and found("needs=big,null") == [1, 3]
    assert found("needs!=big") == [2, 3] and found("needs=Gpu") == []
    with pytest.raises(p.ProtocolError, match="needs can be compared with = and != only"):
        found("needs>gpu")


# ---- who waits is called

async def create(bench: Bench, *tags: str, count: int = 1) -> None:
    await bench.server.creation.create(
        ordered({"parameters": {"x": list(range(count))}, "needs": list(tags)}))


async def job_of(answer: "asyncio.Future[Any]") -> Any:
    return (await answer)[1]["job"]["job_id"]


def test_who_waits_behind_others_that_cannot_run_it_is_called(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        others = [await held(bench, "cpu%d" % number) for number in range(3)]
        able = await held(bench, "gpu", tags=["gpu"])
        await create(bench, "gpu")
        assert await job_of(able) == 1
        assert not any(other.done() for other in others)
        bench.room.close()
        await asyncio.gather(*others)

    run(scenario)


def test_each_of_several_goes_to_somebody_who_can_run_it(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        cpu = await held(bench, "cpu")
        able: List["asyncio.Future[Any]"] = [await held(bench, "gpu%d" % n, tags=["gpu"]) for n in range(3)]
        await create(bench, "gpu", count=3)
        assert sorted([await job_of(answer) for answer in able]) == [1, 2, 3]
        await create(bench)
        assert await job_of(cpu) == 4

    run(scenario)


def test_a_call_that_nobody_can_follow_ends(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        waiting = [await held(bench, "cpu%d" % number) for number in range(3)]
        asked: List[str] = []
        answer = bench.experiment.write

        async def counted(operation: Any, *, repeats: bool = False) -> Any:
            asked.append("")
            return await answer(operation, repeats=repeats)

        bench.experiment.write = counted  # type: ignore[method-assign]
        await create(bench, "gpu")
        while len(asked) < 4 or any(ticket.called for ticket in bench.room.tickets):
            await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(asked) == 4  # the batch, and each worker once
        bench.room.close()
        await asyncio.gather(*waiting)

    run(scenario)


def test_who_is_called_while_it_looks_looks_again() -> None:
    async def scenario() -> None:
        room = WaitingRoom()
        with room.ticket("w") as ticket:
            room.call(1)

            async def too_early() -> None:
                room.call(1)

            await ticket.look(too_early())
            assert ticket.called
            await ticket.look(asyncio.sleep(0))
            assert not ticket.called

    asyncio.run(scenario())


# ---- data of before

def test_what_waits_in_data_of_before_needs_nothing(tmp_path: Path) -> None:
    before = Database(tmp_path / "jobs.db", MIGRATIONS[:MIGRATIONS.index(next(
        text for text in MIGRATIONS if "needed_tags" in text))])
    before.write(lambda db: db.execute(
        "INSERT INTO jobs (id, status, parameters) VALUES (1, 'PENDING', '{}')")).result(60)
    before.close()
    after = Database(tmp_path / "jobs.db", MIGRATIONS)
    found = after.read(claim.next_job).result(60)
    assert found is not None and found.id == 1
    after.close()
