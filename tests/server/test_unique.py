"""Only what is new: which jobs exist already, by their parameters."""

import asyncio
import json
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Optional

import pytest

from jd.server.creation.batch import from_grid, from_list
from jd.server.creation.creator import Creator
from jd.server.experiment import Experiment
from jd.server.store.operators import batches, bulk, digests
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs
from tests.server.parts_bench import PartsBench, Run, run_bench

Job = Dict[str, Any]
Scenario = Callable[[Experiment, Creator], Awaitable[None]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "SLICE", 10)


@pytest.mark.parametrize("one, other, equal", [
    ({"a": 1, "b": "x"}, {"b": "x", "a": 1}, True),
    ({"a": 1}, {"a": 1.0}, True),
    ({"a": 1e3}, {"a": 1000}, True),
    ({"a": 10 ** 22}, {"a": 1e22}, True),
    ({"a": -0.0}, {"a": 0}, True),
    ({"a": [1, {"c": 2, "b": 3.0}]}, {"a": [1.0, {"b": 3, "c": 2}]}, True),
    ({"a": "1"}, {"a": 1}, False),
    ({"a": True}, {"a": 1}, False),
    ({"a": None}, {"b": None}, False),
    ({"a": None, "b": 1}, {"b": 1}, False),
    ({"a": [1, 2]}, {"a": [2, 1]}, False),
    ({"a": 2 ** 53 + 1}, {"a": float(2 ** 53)}, False),
    ({"a": "\u00e4"}, {"a": "a"}, False),
])
def test_which_parameters_are_the_same(one: Job, other: Job, equal: bool) -> None:
    texts = [json.dumps(one), json.dumps(other)]
    found = digests.digests(texts)
    assert (found[0] == found[1]) is equal
    assert found == [digests.digests([text])[0] for text in texts], "one by one they are the same"
    beside = json.dumps({"other": {"nested": 1.0}})
    assert digests.digests([texts[0], beside, texts[1]])[::2] == found, "whatever stands beside them"


def test_a_digest_stays_what_it_is() -> None:
    """Databases hold them."""
    assert digests.digests(['{"lr": 0.1, "layers": [64, 32.0], "opt": "\u00e4"}']) == [6787482071888032304]


def play(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        experiment = Experiment(tmp_path, "exp", Policy())
        try:
            await asyncio.wait_for(scenario(experiment, Creator(experiment)), 60)
        finally:
            experiment.close()
    asyncio.run(main())


async def _parameters(experiment: Experiment) -> List[Any]:
    return [json.loads(row[0]) for row in await experiment.read(
        lambda db: db.execute("SELECT parameters FROM jobs ORDER BY id").fetchall())]


def test_a_file_that_is_handed_over_again_is_not_compared(tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    grid = from_grid({"lr": [0.1, 0.2, 0.3]})

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        await creation.create(from_list([{"lr": 0.2}]))
        made = (await creation.create(grid, unique=True, file="sweep.json")).to_json()
        assert (made["created"], made["existing"], made["ids"]) == (2, 1, [2, 1, 3])
        monkeypatch.setattr(creation, "existing", None)
        again = (await creation.create(grid, unique=True, file="other.json")).to_json()
        assert (again["created"], again["existing"], again["start_id"]) == (0, 3, None)
        assert "ids" not in again and again["message"] == "3 of 3 exist already; nothing was created"
        assert await creation.load(grid, "sweep.json") is None, "nor at a start"
    play(tmp_path, scenario)


@pytest.mark.parametrize("total", [2, 45])
def test_a_file_that_grew_adds_what_is_new_also_after_a_restart(tmp_path: Path, slices: None,
                                                                total: int) -> None:
    values = [0.1 * n for n in range(total)]
    grown = from_grid({"lr": [*values[:1], -1, *values[1:]], "n": [1]})

    async def first(experiment: Experiment, creation: Creator) -> None:
        made = await creation.load(from_grid({"n": [1.0], "lr": values}), "sweep.json")
        assert made is not None and (made.total, made.existing) == (total, (0, 0, [0] * total))

    async def again(experiment: Experiment, creation: Creator) -> None:
        made = await creation.load(grown, "sweep.json")
        assert made is not None and made[:3] == (total + 1, 1, "Appended")
        assert made.existing is not None and made.existing.total == total
        assert made.said_of_existing() == "%d of %d exist already" % (total, total + 1)
        assert await creation.load(grown, "sweep.json") is None
        assert (await _parameters(experiment))[total:] == [{"lr": -1, "n": 1}]
        assert (await experiment.read(jobs.counts))["PENDING"] == total + 1

    async def smaller(experiment: Experiment, creation: Creator) -> None:
        made = await creation.load(from_grid({"lr": values[:1], "n": [1]}), "sweep.json")
        assert made is not None and (made.total, made.action) == (0, "Unchanged")
        assert made.said_of_existing() == "1 of 1 exists already"
        assert await creation.load(from_grid({"lr": values[:1], "n": [1]}), "sweep.json") is None

    for scenario in (first, again, smaller):
        play(tmp_path, scenario)


def test_a_job_that_is_there_several_times_is_made_as_often_as_it_says(tmp_path: Path,
                                                                        slices: None) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        async def load(*values: int) -> int:
            made = await creation.load(from_list([{"x": value} for value in values]), "sweep.json")
            assert made is not None
            return made.total

        assert await load(1, 1, 2) == 3
        assert await load(1, 1, 1, 2, 3) == 2
        assert await load(3, 1, 1) == 0
        assert await load(*[1] * 20) == 17
        assert await load(*[1] * 35, *[2] * 12) == 26
        assert sorted(job["x"] for job in await _parameters(experiment)) == [1] * 35 + [2] * 12 + [3]
    play(tmp_path, scenario)


def test_what_people_deleted_does_not_come_back_and_what_they_edited_is_another_job(tmp_path: Path) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        await creation.create(from_grid({"x": [1, 2]}), unique=True)
        await creation.create(from_grid({"x": [1, 2]}), unique=True)
        await experiment.write(lambda t: bulk.act(t, bulk.DELETE, [1], ""))
        await experiment.write(lambda t: bulk.edit(t, 2, '{"x": 5}', ""))
        made = await creation.create(from_grid({"x": [1, 2, 5]}), unique=True)
        assert made.to_json() == {
            "success": True, "action": "Appended", "total_jobs": 1, "created": 1, "start_id": 3,
            "existing": 2, "deleted": 1, "ids": [1, 3, 2],
            "message": "2 of 3 exist already, 1 of them deleted; Appended jobs: 1, with ids 3 to 3"}
    play(tmp_path, scenario)


def test_a_batch_that_was_given_up_exists_nowhere(tmp_path: Path, slices: None,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(experiment: Experiment, creation: Creator) -> None:
        await creation.create(from_grid({"x": [1]}), unique=True)
        publish = batches.publish

        def full(*_: Any) -> None:
            raise OSError("full")

        monkeypatch.setattr(batches, "publish", full)
        with pytest.raises(OSError, match="full"):
            await creation.create(from_grid({"x": list(range(50))}), unique=True)
        monkeypatch.setattr(batches, "publish", publish)
        assert (await creation.create(from_grid({"x": list(range(50))}), unique=True))[:2] == (2, 49)
    play(tmp_path, scenario)


def test_workers_are_served_while_it_is_found_out_what_exists(tmp_path: Path, slices: None,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    catch_up = digests.catch_up
    monkeypatch.setattr(digests, "catch_up", lambda t, limit: catch_up(t, 10))

    async def scenario(experiment: Experiment, creation: Creator) -> None:
        await creation.create(from_grid({"x": list(range(95))}))
        steps: List[int] = []
        write = experiment.write

        async def counting(operation: Any) -> Any:
            steps.append(1)
            return await write(operation)

        monkeypatch.setattr(experiment, "write", counting)
        made = await creation.create(from_grid({"x": list(range(100))}), unique=True)
        assert (made.total, made.start_id) == (5, 96)
        assert len(steps) == 10 + 1  # slices of those that exist, and what is made
    play(tmp_path, scenario)


# ---- as it is asked for

def test_a_preview_says_how_many_exist(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        for body, existing in (({"jobs": [{"x": 2.0}, {"x": 3}, {"x": 2}], "unique": True}, 1),
                               ({"jobs": [{"x": 2}]}, None),
                               ({"parameters": {"x": list(range(10_001))}, "unique": True}, None)):
            assert (await bench.post("/web/create/preview", body)).json["existing"] == existing
        assert (await bench.experiment.read(jobs.counts))["PENDING"] == 2
    run(scenario)


def test_the_answer_tells_what_was_made_and_what_exists(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        async def made(**body: Any) -> Dict[str, Any]:
            answer = await bench.post("/web/create", body)
            assert answer.status == 200, answer.content
            told: Dict[str, Any] = answer.json
            return told

        assert (await made(jobs=[{"x": 1}, {"x": 1}], unique=True))["ids"] == [1, 2]
        told = await made(parameters={"x": [1, 2]}, unique=True)
        assert (told["created"], told["existing"], told["ids"], told["start_id"]) == (1, 1, [1, 3], 3)
        told = await made(text="x\n1.0\n1.0\n2\n", format="csv", unique=True)
        assert told == {"success": True, "total_jobs": 0, "action": "Unchanged", "start_id": None,
                        "message": "3 of 3 exist already; nothing was created",
                        "created": 0, "existing": 3, "deleted": 0, "ids": [1, 2, 3]}
        told = await made(parameters={"x": list(range(10_001))}, unique=True)
        assert "ids" not in told and told["id_runs"] == [[4, 4], [1, 1], [3, 3], [5, 10_002]]
        told = await made(jobs=[{"y": 1}] * 10_001, unique=True)
        assert "ids" not in told and told["id_runs"] == [[10_003, 20_003]]
        told = await made(jobs=[{"y": 1}] * 10_003, unique=True)
        assert (told["created"], told["existing"], told["id_runs"]) == (2, 10_001, [[10_003, 20_005]])
        assert "created" not in await made(jobs=[{"x": 1}], unique=False)
        answer = await bench.post("/web/create", {"jobs": [{"x": 1}], "unique": True, "replace": True})
        assert answer.status == 400 and "exclude each other" in answer.json["error"]
    run(scenario)


@pytest.mark.parametrize("body, says", [
    ({"order": "random", "seed": -1}, "seed must be a whole number from 0"),
    ({"order": "shuffled"}, "order must be given or random, not 'shuffled'"),
    ({"seed": 1}, 'seed is for "order": "random"'),
    ({"unique": 1}, "unique must be true or false"),
])
def test_options_that_are_wrong(run: Run, body: Job, says: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        answer = await bench.post("/web/create", dict(body, parameters={"a": [1]}))
        assert answer.status == 400 and says in answer.json["error"]
    run(scenario)


@pytest.mark.parametrize("body, values", [
    ({"parameters": {"a": [0, 1, 2], "b": [0, 1]}, "order": "random", "seed": 1}, [1, 2, 5, 3, 4, 0]),
    ({"parameters": {"a": [0, 1, 2], "b": [0, 1]}, "order": "random"}, [2, 4, 0, 1, 3, 5]),
    ({"parameters": {"a": [0, 1, 2], "b": [0, 1]}, "order": "given"}, [0, 1, 2, 3, 4, 5]),
    ({"jobs": [{"a": 0, "b": n} for n in range(6)], "order": "random", "seed": 1}, [1, 2, 5, 3, 4, 0]),
    ({"text": json.dumps({"parameters": {"a": [0, 1, 2], "b": [0, 1]}, "order": "random", "seed": 1}),
      "format": "json"}, [1, 2, 5, 3, 4, 0]),
])
def test_a_random_order_is_that_of_its_seed_with_every_python(run: Run, body: Job,
                                                              values: Optional[List[int]]) -> None:
    async def scenario(bench: PartsBench) -> None:
        assert (await bench.post("/web/create", body)).status == 200
        found = [json.loads(row[0]) for row in bench.sql("SELECT parameters FROM jobs ORDER BY id")]
        assert [job["a"] * 2 + job["b"] for job in found] == values
        assert list(found[0]) == ["a", "b"]
        told = (await bench.post("/web/create", dict(body, unique=True))).json
        assert (told["created"], told["ids"]) == (0, [1, 2, 3, 4, 5, 6])
    run(scenario)
