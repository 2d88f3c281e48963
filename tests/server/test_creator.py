"""Large batches are written in slices, between which workers are served."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Tuple, TypeVar
from unittest.mock import Mock

import pytest

from jd import messages
from jd.errors import StorageError
from jd.server.creation.batch import from_grid, from_list
from jd.server.creation.creator import Creator
from jd.server.experiment import Experiment
from jd.server.store.fleet import workers
from jd.server.store.operators import batches, bulk
from jd.server.store.pages import joblist
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs
from jd.server.store.search import values
from jd.server.store.transaction import Transaction

T = TypeVar("T")
Scenario = Callable[[Experiment, Creator], Awaitable[None]]

GRID = {"x": list(range(50))}


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "SLICE", 10)


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        experiment = Experiment(tmp_path, "exp", Policy())
        try:
            await asyncio.wait_for(scenario(experiment, Creator(experiment)), 20)
        finally:
            await experiment.values.stop()
            experiment.close()
    asyncio.run(main())


async def written(experiment: Experiment) -> int:
    """How many jobs are in the table, of batches that are not whole as well."""
    return int(await experiment.read(lambda db: db.execute("SELECT count(*) FROM jobs").fetchone()[0]))


async def counts(experiment: Experiment) -> int:
    return (await experiment.read(jobs.counts))["PENDING"]


def pause_between_slices(monkeypatch: pytest.MonkeyPatch,
                         experiment: Experiment) -> Tuple[asyncio.Event, asyncio.Event]:
    """Have whoever makes a batch wait after its first slice: the event that tells that it waits, and the one
    that lets it go on."""
    write, between, go_on = experiment.write, asyncio.Event(), asyncio.Event()
    add = Mock(wraps=batches.add)

    async def paused(operation: Callable[[Transaction], T]) -> T:
        result = await write(operation)
        if add.call_count:
            add.reset_mock()
            between.set()
            await go_on.wait()
        return result

    monkeypatch.setattr(batches, "add", add)
    monkeypatch.setattr(experiment, "write", paused)
    return between, go_on


def test_slices_make_the_same_jobs(tmp_path: Path, slices: None) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        created = await creation.create(from_grid(GRID))
        assert created[:3] == (1, 50, "Created")
        page = await experiment.read(lambda db: joblist.select(db, joblist.JobQuery(per_page=1000)))
        assert [job["parameters"]["x"] for job in page.jobs] == GRID["x"]
        assert (await creation.create(from_grid(GRID)))[:3] == (51, 50, "Appended")
    run(tmp_path, scenario)


def test_workers_are_served_in_between_and_get_none_of_it(tmp_path: Path, slices: None,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        await creation.create(from_list([{"first": 1}]))
        between, go_on = pause_between_slices(monkeypatch, experiment)
        making = asyncio.ensure_future(creation.create(from_grid(GRID)))
        await between.wait()
        assert await counts(experiment) == 1 and await written(experiment) == 11
        answers = []
        for name in ("a", "b"):
            answers.append(await experiment.write(lambda t: workers.heartbeat(t, messages.Heartbeat(name))))
        assert answers[0].reply.job is not None and answers[0].reply.job.parameters == {"first": 1}
        assert answers[1].reply.job is None
        go_on.set()
        await making
    run(tmp_path, scenario)


def test_what_is_given_up_leaves_nothing(tmp_path: Path, slices: None,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        between, go_on = pause_between_slices(monkeypatch, experiment)
        making = asyncio.ensure_future(creation.create(from_grid(GRID)))
        await between.wait()
        assert await counts(experiment) == 0 and await written(experiment) == 10
        making.cancel()
        with pytest.raises(asyncio.CancelledError):
            await making
        assert await counts(experiment) == await written(experiment) == 0
        go_on.set()
        assert (await creation.create(from_grid(GRID))).start_id == 1
    run(tmp_path, scenario)


async def _statuses(experiment: Experiment) -> Dict[str, int]:
    return {status: n for status, n in (await experiment.read(jobs.counts)).items() if n}


def test_many_are_replaced_in_slices(tmp_path: Path, slices: None, monkeypatch: pytest.MonkeyPatch) -> None:
    set_aside = Mock(wraps=batches.set_aside)
    monkeypatch.setattr(batches, "set_aside", set_aside)

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        await creation.create(from_grid(GRID))
        await creation.create(from_grid({"y": [1]}), replace=batches.REPLACE_PENDING)
        assert [given[1]["limit"] for given in set_aside.call_args_list] == [10] * 6
        assert await _statuses(experiment) == {"PENDING": 1, "DELETED": 50}
    run(tmp_path, scenario)


@pytest.mark.parametrize("killed", [False, True])
def test_what_a_batch_that_is_given_up_has_replaced_comes_back(tmp_path: Path, slices: None,
                                                               monkeypatch: pytest.MonkeyPatch,
                                                               killed: bool) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def half(experiment: Experiment, creation: Creator) -> None:
        await creation.create(from_grid(GRID))
        await experiment.write(lambda t: bulk.act(t, bulk.DELETE, [1], ""))
        monkeypatch.setattr(batches, "publish", full)
        if killed:
            monkeypatch.setattr(creation, "_abandon", asyncio.Event().wait)
        making = asyncio.ensure_future(creation.create(from_grid({"y": [1]}), batches.REPLACE_PENDING))
        while killed and await counts(experiment):
            await asyncio.sleep(0)
        if not killed:
            with pytest.raises(StorageError, match="full"):
                await making
            assert await _statuses(experiment) == {"PENDING": 49, "DELETED": 1}
        else:
            making.cancel()

    async def then(experiment: Experiment, _creation: Creator) -> None:
        assert await _statuses(experiment) == {"PENDING": 49, "DELETED": 1}
    run(tmp_path, half)
    run(tmp_path, then)


def test_what_a_killed_server_left_is_removed_at_the_next_start(tmp_path: Path,
                                                                caplog: pytest.LogCaptureFixture) -> None:
    async def half(experiment: Experiment, _creation: Creator) -> None:
        await experiment.write(batches.begin)
        await experiment.write(lambda t: batches.add(t, 1, [json.dumps({"x": 1})]))
        assert await counts(experiment) == 0 and await written(experiment) == 1

    async def nothing(experiment: Experiment, creation: Creator) -> None:
        assert await counts(experiment) == await written(experiment) == 0
        await creation.create(from_grid({"x": [1]}))
        assert await counts(experiment) == 1

    run(tmp_path, half)
    run(tmp_path, nothing)
    assert "a batch of jobs was being written" in caplog.text


def test_two_batches_do_not_mix(tmp_path: Path, slices: None) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        made = await asyncio.gather(*[creation.create(from_grid(GRID)) for _ in range(3)])
        assert sorted(created.start_id for created in made) == [1, 51, 101]
        page = await experiment.read(lambda db: joblist.select(db, joblist.JobQuery(per_page=1000)))
        assert [job["parameters"]["x"] for job in page.jobs] == GRID["x"] * 3
    run(tmp_path, scenario)


@pytest.mark.parametrize("total", [5, 50])
def test_a_file_is_loaded_once(tmp_path: Path, slices: None, total: int) -> None:
    grid = from_grid({"x": list(range(total))})

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        first = await creation.load(grid, "a.json")
        assert first is not None and first.total == total
        assert await creation.load(grid, "b.json") is None
        other = await creation.load(from_grid({"y": [1]}), "a.json")
        assert other is not None and other.total == 1
        assert await counts(experiment) == total + 1

    run(tmp_path, scenario)


def test_jobs_with_many_parameters_are_written_a_few_at_a_time(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    add, write = Mock(wraps=batches.add), Mock(wraps=values.Gathered.write)
    monkeypatch.setattr(batches, "add", add)
    monkeypatch.setattr(values, "GATHERED_VALUES", 20_000)
    monkeypatch.setattr(values.Gathered, "write", lambda *given, **named: write(*given, **named))
    wide = [{"p%d" % n: n for n in range(1000)}] * 99 + [{"last": 1}]

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        assert (await creation.create(from_list(wide))).total == 100
        sizes = [len(given[1]["texts"]) for given in add.call_args_list]
        assert sizes[0] == 2 and sum(sizes) == 100, "the first are no more than can be written at once"
        assert not write.called, "a worker need not wait for them"
        await experiment.values.all_there()
        assert 200 <= write.call_args_list[0][0][2] < 20_000, "nor are the first values"
        rows = await experiment.read(lambda db: db.execute(
            "SELECT name, value, count(*) FROM job_values JOIN value_names n ON n.id = name_id"
            " GROUP BY 1, 2").fetchall())
        assert sorted(rows) == sorted([("p%d" % n, n, 99) for n in range(1000)] + [("last", 1, 1)])
    run(tmp_path, scenario)


def test_short_jobs_are_written_at_once_and_long_ones_are_not(tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Mock(wraps=batches.begin)
    monkeypatch.setattr(batches, "begin", begin)

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        writes = Mock(wraps=experiment.write)
        monkeypatch.setattr(experiment, "write", writes)
        await creation.create(from_list([{"x": "short"}] * 500))
        assert writes.call_count == 1
        await creation.create(from_list([{"x": "l" * 60_000}] * 3))
        assert writes.call_count > 4
    run(tmp_path, scenario)
