"""/web/create: what would be made, then making it."""

import asyncio
import itertools
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jd import protocol as p
from jd import space
from jd.server.creation import batch
from jd.server.dashboard import create
from jd.server.store.operators import batches
from jd.server.store.pages import joblist
from jd.server.store.queue import jobs
from tests.server.parts_bench import PartsBench, Run, run_bench


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


GRID = {"parameters": {"lr": [0.1, 0.01], "opt": ["a", "b", "c"]}}
LIST = {"jobs": [{"lr": 0.1}, {"opt": "a", "lr": 2}]}


@pytest.mark.parametrize("body, total, names, first", [
    (GRID, 6, ["lr", "opt"], {"lr": 0.1, "opt": "a"}),
    (LIST, 2, ["lr", "opt"], {"lr": 0.1}),
    ({"text": '{"lr": [1, 2]}', "format": "json"}, 2, ["lr"], {"lr": 1}),
    ({"text": '[{"lr": [1, 2]}]', "format": "json"}, 1, ["lr"], {"lr": [1, 2]}),
    ({"text": "\ufefflr,opt\n1,adam\n2,\n", "format": "csv"}, 2, ["lr", "opt"], {"lr": 1, "opt": "adam"}),
    ({"text": "lr\topt\n1\ta b\n", "format": "tsv"}, 1, ["lr", "opt"], {"lr": 1, "opt": "a b"}),
])
def test_a_preview_says_what_would_be_made_and_makes_nothing(run: Run, body: Dict[str, Any], total: int,
                                                             names: List[str], first: Dict[str, Any]) -> None:
    async def scenario(bench: PartsBench) -> None:
        answer = await bench.post("/web/create/preview", body)
        assert answer.status == 200, answer.content
        assert (answer.json["total"], answer.json["names"], answer.json["sample"][0],
                answer.json["replaced"]) == (total, names, first, 0)
        assert (await bench.experiment.read(jobs.counts))["PENDING"] == 0
        made = await bench.post("/web/create", body)
        assert made.status == 200 and made.json["total_jobs"] == total and made.json["start_id"] == 1
        page = await bench.experiment.read(lambda db: joblist.select(db, joblist.JobQuery()))
        assert [job["parameters"] for job in page.jobs] == answer.json["sample"]
    run(scenario)


def test_a_preview_shows_ten_jobs_of_a_million(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        answer = await bench.post("/web/create/preview", {
            "parameters": {name: list(range(100)) for name in "abc"}})
        assert (answer.json["total"], len(answer.json["sample"])) == (1_000_000, 10)
    run(scenario)


@pytest.mark.parametrize("body, drawn", [
    ({"space": {"lr": {"low": 0.1, "high": 1.0}, "x": [1, 2]}, "n": 500_000, "repeat": 2}, 10),
    ({"space": {"lr": {"low": 0.1, "high": 1.0}}, "n": 1_000_000, "method": "halton"}, 10),
    ({"space": {name: list(range(100)) for name in "abc"}, "method": "grid"}, 10),
    ({"space": {"a": [1, 2], "b": {"values": list(range(8)), "when": {"a": 1}}}, "method": "grid"}, 9),
    ({"space": {"a": list(range(30))}, "n": 20}, 20),
    ({"space": {"a": list(range(300))}, "n": 20, "order": "random"}, 20),
], ids=["random", "halton", "grid", "conditions", "nearly all", "another order"])
def test_a_preview_of_a_space_makes_only_the_first_jobs_where_it_can(
        run: Run, body: Dict[str, Any], drawn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "COMPARED", 10)
    made: List[Any] = []

    texts_of = batch._texts_of

    def counted(jobs: List[Any]) -> Optional[List[str]]:
        made.extend(jobs)
        return texts_of(jobs)
    monkeypatch.setattr(batch, "_texts_of", counted)

    async def scenario(bench: PartsBench) -> None:
        answer = await bench.post("/web/create/preview", body)
        assert answer.status == 200, answer.content
        assert len(made) == drawn
        total = body.get("n", drawn if drawn < 10 else 1_000_000) * body.get("repeat", 1)
        assert answer.json["total"] == total
        if total < 100:
            everything = await bench.post("/web/create", body)
            assert everything.json["total_jobs"] == answer.json["total"]
        first = space.jobs({name: value for name, value in body.items() if name != "order"})
        if "order" not in body:
            assert answer.json["sample"] == list(itertools.islice(first, 10))
    run(scenario)


def test_replacing_says_how_many_go_and_then_they_do(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2}, {"x": 3})
        await bench.beat()
        body = dict(GRID, replace="pending")
        assert (await bench.post("/web/create/preview", body)).json["replaced"] == 2
        made = (await bench.post("/web/create", body)).json
        assert (made["success"], made["total_jobs"], made["action"], made["start_id"]) == (
            True, 6, "Appended", 4)
        counts = await bench.experiment.read(jobs.counts)
        assert (counts["PENDING"], counts["SERVED"], counts["DELETED"]) == (6, 1, 2)
    run(scenario)


@pytest.mark.parametrize("body, says", [
    ([], "an object"),
    ({}, "exactly one of"),
    (dict(GRID, text="a", format="csv"), "exactly one of"),
    ({"text": "a\n1"}, "format is missing"),
    ({"text": "a\n1", "format": "xlsx"}, "json, csv, tsv"),
    ({"text": 5, "format": "csv"}, "text must be a string"),
    ({"text": "", "format": "csv"}, "header line"),
    ({"text": "a,b\n1,2\n3\n", "format": "csv"}, "line 3 has 1 cells"),
    ({"text": "a b\n1\n", "format": "csv"}, "line 1, column 1: parameter name 'a b'"),
    ({"text": '{"a": [1,]}', "format": "json"}, "the text is not JSON: "),
    ({"text": '{"a":\n [1,]}', "format": "json"}, "line 2 column"),
    ({"parameters": {"lr": {}}}, "parameter 'lr': a non-empty list"),
    ({"parameters": {"-x": [1]}}, "'-x' cannot be a --flag"),
    ({"jobs": [{"a": 1}, 5]}, "jobs[1]"),
    ({"parameters": {name: list(range(1000)) for name in "abcd"}},
     "1,000,000,000,000 jobs; at most 1,000,000"),
    (dict(GRID, replace="yes"), "replace must be true, false or \"pending\", not 'yes'"),
    (dict(GRID, idle_timeout=0), "idle_timeout must be from 3"),
    ({"text": "a\n1", "format": "csv", "aborted_job_reset_timeout": -1}, "aborted_job_reset_timeout must be"),
])
@pytest.mark.parametrize("route", ["/web/create", "/web/create/preview"])
def test_faults_are_named_and_nothing_is_made(run: Run, route: str, body: Any, says: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        answer = await bench.post(route, body)
        assert answer.status == 400 and says in answer.json["error"], answer.content
        assert sum((await bench.experiment.read(jobs.counts)).values()) == 0
    run(scenario)


def test_timeouts_of_the_form_win_over_those_in_the_text(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        text = '{"parameters": {"a": [1]}, "idle_timeout": 5, "aborted_job_reset_timeout": 6}'
        for given in ({}, {"idle_timeout": 50}):
            await bench.post("/web/create", dict({"text": text, "format": "json"}, **given))
        assert bench.sql("SELECT lease, retry_pause FROM jobs ORDER BY id") == [(5.0, 6.0), (50.0, 6.0)]
    run(scenario)


def test_progress_is_known_while_slices_are_written(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "SLICE", 10)

    async def scenario(bench: PartsBench) -> None:
        seen = set()
        making = asyncio.ensure_future(bench.post("/web/create", {"parameters": {"x": list(range(50))}}))
        while not making.done():
            seen.add(bench.creation.progress)
            await asyncio.sleep(0)
        assert (await making).status == 200
        assert {(0, 50), (10, 50), (20, 50), (30, 50), (40, 50), (50, 50)} <= seen
        assert bench.creation.progress is None
        refused = asyncio.ensure_future(bench.post("/web/create", {"parameters": {"x": list(range(50))}}))
        while bench.creation.progress is None:
            await asyncio.sleep(0)
        refused.cancel()
        with pytest.raises(asyncio.CancelledError):
            await refused
        assert bench.creation.progress is None
        assert (await bench.experiment.read(jobs.counts))[p.PENDING] == 50
    run(scenario)
