"""Of many jobs the values follow the jobs: who looks for them waits, and nobody else does."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Tuple

import pytest

from jd import messages
from jd.errors import StorageError
from jd.protocol import ProtocolError
from jd.server import latervalues
from jd.server.creation import creator
from jd.server.creation.batch import NAMES, from_grid, from_list
from jd.server.creation.creator import Creator
from jd.server.driving.orders import Orders
from jd.server.experiment import Experiment
from jd.server.store.fleet import workers
from jd.server.store.pages import jobtable
from jd.server.store.pages.results import resultcolumns
from jd.server.store.policy import Policy
from jd.server.store.search import conditions, missing, scanning, values
from jd.server.store.transaction import Transaction

JOBS: List[Dict[str, Any]] = [
    {"lr": n % 7 / 10, "opt": "ab"[n % 2], "n": n, "none": None, **({"rare": "1e3"} if n == 41 else {})}
    for n in range(60)]


class Held:
    """One experiment, in which values follow only when they are let go."""

    def __init__(self, tmp_path: Path) -> None:
        self.experiment = Experiment(tmp_path, "exp", Policy())
        self.creation = Creator(self.experiment)
        self.go = asyncio.Event()
        write = self.experiment.write

        async def later(operation: Callable[[Transaction], bool]) -> bool:
            await self.go.wait()
            return await write(operation)
        self.experiment.values._write = later

    async def matching(self, text: str) -> List[int]:
        return (await self.experiment.read(lambda db: scanning.matching(
            db, conditions.compiled(db, text, 0.0), 0, 1000))).ids

    async def kept(self) -> List[Tuple[str, Any, int]]:
        """(name, value, job) of all values."""
        return await self.experiment.read(lambda db: db.execute(
            "SELECT n.name, v.value, v.job_id FROM job_values v JOIN value_names n ON n.id = v.name_id"
            " ORDER BY v.name_id, v.value, v.job_id").fetchall())


Scenario = Callable[[Held], Awaitable[None]]


@pytest.fixture(autouse=True)
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creator, "AT_ONCE", 10)
    monkeypatch.setattr(latervalues, "MOST_JOBS", 7)
    monkeypatch.setattr(latervalues, "MOST_VALUES", 11)
    monkeypatch.setattr(values, "GATHERED_JOBS", 20)


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        held = Held(tmp_path)
        try:
            await asyncio.wait_for(scenario(held), 20)
        finally:
            await held.experiment.values.stop()
            held.experiment.close()
    asyncio.run(main())


async def waits(step: "Awaitable[Any]") -> "asyncio.Task[Any]":
    """A step that does not come to its end by itself."""
    task = asyncio.ensure_future(step)
    done, _ = await asyncio.wait([task], timeout=0.05)
    assert not done
    return task


def expected(jobs: List[Dict[str, Any]], first: int = 1) -> List[Tuple[str, Any, int]]:
    found = [(name, values.key(value), job_id) for job_id, job in enumerate(jobs, first)
             for name, value in job.items() if value is not None]
    order = list(dict.fromkeys(name for job in jobs for name in job))
    return sorted(found, key=lambda row: (order.index(row[0]), isinstance(row[1], str), row[1], row[2]))


def test_jobs_are_given_out_before_they_have_values_and_filters_wait(tmp_path: Path) -> None:
    async def scenario(held: Held) -> None:
        created = await held.creation.create(from_list(JOBS))
        assert created.total == 60
        answer = await held.experiment.write(
            lambda t: workers.heartbeat(t, messages.Heartbeat("w", session="s")))
        assert answer.reply.job is not None and answer.reply.job.job_id == 1
        assert await held.kept() == []
        columns = await held.experiment.read(jobtable.columns)
        assert columns["parameters"] == ["lr", "opt", "n", "none", "rare"]
        assert await held.matching("status=SERVED") == [1] and len(await held.matching("id>10")) == 50
        asked = [await waits(held.matching(text)) for text in (
            "n>=58", "lr=0.1 opt=b", "param.rare=1000", "opt!=a n<4", "none=null n<2")]
        order = await waits(held.experiment.read(lambda db: jobtable.page(
            db, conditions.compiled(db, "", 0.0), jobtable.order(db, "-n"), None, 2)))
        names = await waits(held.experiment.read(resultcolumns.names))
        unknown = await waits(held.matching("later=1"))
        held.go.set()
        assert [await one for one in asked] == [
            [59, 60], [n + 1 for n in range(60) if n % 7 == 1 and n % 2], [42], [2, 4], [1, 2]]
        assert [job["id"] for job in (await order).jobs] == [60, 59]
        assert [(one.name, one.distinct) for one in (await names).parameters] == [
            ("lr", 7), ("opt", 2), ("n", None), ("rare", 1)]
        with pytest.raises(ProtocolError, match="there is no .later"):
            await unknown
        assert await held.kept() == expected(JOBS)
    run(tmp_path, scenario)


def test_small_batches_follow_what_is_missing_and_large_ones_wait_for_it(tmp_path: Path) -> None:
    async def scenario(held: Held) -> None:
        await held.creation.create(from_list(JOBS))
        assert (await held.creation.create(from_list([{"n": 60, "more": True}] * 2))).start_id == 61
        assert await held.kept() == []
        third = await waits(held.creation.create(from_grid({"n": list(range(100, 130))})))
        held.go.set()
        assert (await third).start_id == 63
        assert await held.matching("n>=60") == list(range(61, 93))
        assert await held.matching("more=true") == [61, 62]
        jobs = [*JOBS, *[{"n": 60, "more": True}] * 2, *({"n": n} for n in range(100, 130))]
        assert await held.kept() == expected(jobs)
        await held.creation.create(from_list([{"n": 7}]))
        assert ("n", 7, 93) in await held.kept(), "one is written with its values when none are missing"
    run(tmp_path, scenario)


def test_parameters_are_changed_when_all_have_values(tmp_path: Path) -> None:
    async def scenario(held: Held) -> None:
        await held.creation.create(from_list(JOBS))
        edit = await waits(Orders(held.experiment).edit(60, {"parameters": {"n": -1}}))
        held.go.set()
        await edit
        assert await held.matching("n=-1") == [60] and await held.matching("n=59") == []
        assert await held.kept() == expected([*JOBS[:-1], {"n": -1}])
    run(tmp_path, scenario)


def test_what_a_server_that_was_killed_has_left_is_written_by_the_next(tmp_path: Path) -> None:
    async def killed(held: Held) -> None:
        await held.creation.create(from_list(JOBS))
        filling = missing.Filling()  # has written some of what it took
        await held.experiment.write(lambda t: filling.take(t, 50))
        assert await held.experiment.write(lambda t: filling.write(t, 30))
        assert len(await held.kept()) == 30

    async def then(held: Held) -> None:
        held.go.set()
        assert await held.matching("n>=58") == [59, 60]
        assert await held.kept() == expected(JOBS)
    run(tmp_path, killed)
    run(tmp_path, then)


def test_damaged_parameters_keep_no_others_from_being_found(tmp_path: Path) -> None:
    async def scenario(held: Held) -> None:
        await held.creation.create(from_list(JOBS))
        for job_id, text in ((3, '{"n": 2'), (11, "[1]"), (12, "1,2")):
            await held.experiment.write(lambda t: t.db.execute(
                "UPDATE jobs SET parameters = ? WHERE id = ?", (text, job_id)))
        held.go.set()
        await held.experiment.values.all_there()
        assert await held.kept() == [row for row in expected(JOBS) if row[2] not in (3, 11, 12)]
    run(tmp_path, scenario)


def test_who_waits_hears_of_a_full_disk_and_asks_again(tmp_path: Path,
                                                       caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(held: Held) -> None:
        write = held.experiment.values._write

        async def full(_operation: Callable[[Transaction], bool]) -> bool:
            raise StorageError("database: database or disk is full")
        held.experiment.values._write = full
        with caplog.at_level(logging.WARNING, "jd.server"):
            await held.creation.create(from_list(JOBS))
            with pytest.raises(StorageError, match="full"):
                await held.matching("n=1")
        assert "cannot be searched by their parameters yet" in caplog.text
        held.experiment.values._write = write
        held.go.set()
        assert await held.matching("n=1") == [2]
    run(tmp_path, scenario)


def test_a_server_that_ends_lets_nobody_wait(tmp_path: Path) -> None:
    async def scenario(held: Held) -> None:
        await held.creation.create(from_list(JOBS))
        asked = await waits(held.matching("n=1"))
        await held.experiment.values.stop()
        with pytest.raises(StorageError, match="the server ends"):
            await asked
    run(tmp_path, scenario)


def test_the_names_that_are_known_at_once_are_bounded() -> None:
    assert from_grid({"p%d" % n: [1] for n in range(NAMES + 5)}).names[-1] == "p%d" % (NAMES - 1)
    many = from_list([{"p%d" % n: 1, "all": 2} for n in range(3 * NAMES)])
    assert many.names[:3] == ("p0", "all", "p1") and len(many.names) == NAMES
    assert json.loads(next(many.texts())) == {"p0": 1, "all": 2}


def test_a_damaged_job_has_no_values_and_others_have(tmp_path: Path) -> None:
    async def scenario(held: Held) -> None:
        await held.creation.create(from_list(JOBS))
        await held.experiment.write(lambda t: t.db.execute(
            "UPDATE jobs SET parameters = CAST(? AS TEXT) WHERE id = 3",
            (b'{"n": 2, "opt": "\xff"}',)) and None)
        held.go.set()
        assert await held.matching("n<5") == [1, 2, 4, 5]
    run(tmp_path, scenario)
