"""One metric of many jobs, and what a job's page is told of its own."""

import math
import random
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd import protocol as p
from jd.server.store.operators import bulk
from jd.server.store.pages import curves
from jd.server.store.reports import columns
from tests.server.parts_bench import PartsBench, Run, run_bench


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


async def report(bench: PartsBench, job_id: int, rows: List[Any], first: int = 0) -> None:
    """Rows are (step, value), one each second."""
    for at in range(0, len(rows), p.MAX_REPORTS_IN_PIECE):
        some = rows[at:at + p.MAX_REPORTS_IN_PIECE]
        answer = await bench.post(p.REPORT, {
            "job_id": job_id, "attempt": 1, "first": first + at, "reports": [
                [first + at + place, {"step": step, "loss": value}]
                for place, (step, value) in enumerate(some)]})
        assert answer.status == 200, answer.content


async def begun(bench: PartsBench, jobs: int) -> None:
    await bench.create(*({"x": at % 3} for at in range(jobs)))
    for at in range(jobs):
        await bench.beat("w%d" % at, session="s")


async def overlay(bench: PartsBench, query: str) -> Dict[str, Any]:
    bench.experiment.write_now(lambda t: columns.write_due(t, 1000))
    bench.experiment.write_now(columns.tell)
    answer = await bench.get("/web/curves?metric=loss" + query)
    assert answer.status == 200, answer.content
    found: Dict[str, Any] = answer.json
    return found


def ids(found: Dict[str, Any]) -> List[int]:
    return [curve["id"] for curve in found["curves"]]


def test_curves_of_a_selection_a_filter_and_the_best(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 7)
        for job_id, last in ((1, 0.5), (2, 0.25), (3, "NaN"), (4, 2), (5, 0.25), (6, 7)):
            await report(bench, job_id, [(0, 1.0), (1, last)])
        assert ids(await overlay(bench, "&filter=")) == [1, 2, 3, 4, 5, 6]
        assert ids(await overlay(bench, "&ids=5,99,7,1")) == [1, 5]
        assert ids(await overlay(bench, "&filter=x=0")) == [1, 4]
        assert ids(await overlay(bench, "&ids=1,2,4&filter=x=0")) == [1, 4]
        best = await overlay(bench, "&best=3&less=1")
        assert (ids(best), best["total"]) == ([2, 5, 1], 6)
        assert ids(await overlay(bench, "&best=2")) == [6, 4]
        assert ids(await overlay(bench, "")) == [6, 4, 1, 2, 5]  # NaN is none of the best
        assert ids(await overlay(bench, "&filter=loss<0.4")) == [2, 5]
        found = (await overlay(bench, "&ids=3"))["curves"]
        assert found == [{"id": 3, "attempt": 1, "status": "SERVED", "retry_at": None, "started": bench.now,
                          "n": 2, "last": None, "min": 1, "max": 1, "step": [0, 1], "time": [0, 1],
                          "value": [1, None]}]
        assert await overlay(bench, "&filter=x=17") == {"metric": "loss", "total": 0, "curves": []}
        answer = await bench.get("/web/curves?metric=nothing")
        assert answer.json["curves"] == []
        assert (await bench.get("/web/curves/names")).json == {"metrics": [{"name": "loss", "n": 6}]}
    run(scenario)


@pytest.mark.parametrize("query", [
    "", "metric=", "metric=loss&from=x", "metric=loss&from=2&to=1", "metric=loss&to=nan",
    "metric=loss&x=wall", "metric=loss&best=0", "metric=loss&limit=1001", "metric=loss&filter=x%3C",
    "metric=nothing&filter=x%3C", "metric=loss&ids=a",
    "metric=%s" % ("n" * 200)])
def test_what_cannot_be_asked(run: Run, query: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 1)
        await report(bench, 1, [(0, 1.0)])
        assert (await bench.get("/web/curves?" + query)).status == 400
    run(scenario)


def test_more_jobs_than_are_shown_are_sampled_with_the_best(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "BEST", 2)

    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 12)
        for job_id in range(1, 13):
            await report(bench, job_id, [(0, job_id)])
        found = await overlay(bench, "&filter=&limit=5&less=1")
        assert found["total"] == 12 and len(found["curves"]) == 5
        assert ids(found) == sorted(ids(found)) and {1, 2} <= set(ids(found))
        assert {11, 12} <= set(ids(await overlay(bench, "&filter=&limit=5")))
    run(scenario)


def test_a_part_of_the_way_is_shown_in_more_detail(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MAX_SHOWN", 100)

    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 2)
        source = random.Random(5)
        rows = [(step, source.gauss(0, 1)) for step in range(4000)]
        await report(bench, 1, rows)
        (whole,) = (await overlay(bench, "&ids=1"))["curves"]
        assert 50 <= len(whole["step"]) <= 150 and whole["step"][0] == 0 and whole["step"][-1] == 3999
        assert {min(value for _, value in rows), max(value for _, value in rows)} <= set(whole["value"])
        assert whole["min"] == min(value for _, value in rows)
        for axis, shift in (("step", 0.0), ("relative", 0.0), ("time", bench.now)):
            (part,) = (await overlay(bench, "&ids=1&x=%s&from=%r&to=%r" % (
                axis, 1000 + shift, 1020 + shift)))["curves"]
            assert part["step"] == list(range(999, 1022))
            assert part["value"] == [value for _, value in rows[999:1022]]
        (beyond,) = (await overlay(bench, "&ids=1&from=9000"))["curves"]
        assert beyond["step"] == [] and beyond["n"] == 4000
    run(scenario)


def test_steps_that_are_out_of_order_are_drawn_from_left_to_right(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 1)
        await report(bench, 1, [(2, 20.0), (0, 0.0), (2, 21.0), (-1e308, 5.0), (1e308, 6.0)])
        (by_step,) = (await overlay(bench, "&ids=1"))["curves"]
        assert (by_step["step"], by_step["value"]) == ([-1e308, 0, 2, 2, 1e308], [5, 0, 20, 21, 6])
        (by_time,) = (await overlay(bench, "&ids=1&x=relative"))["curves"]
        assert by_time["time"] == [0, 1, 2, 3, 4] and by_time["value"] == [20, 0, 21, 5, 6]
    run(scenario)


def test_deleted_jobs_show_only_where_a_filter_asks_for_them(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 2)
        for job_id in (1, 2):
            await report(bench, job_id, [(0, 1.0)])
            await bench.finish(job_id, attempt=1)
        bench.experiment.write_now(lambda t: bulk.act(t, "delete", [1], ""))
        assert ids(await overlay(bench, "&filter=")) == [2]
        assert ids(await overlay(bench, "&filter=status=DELETED")) == [1]
    run(scenario)


def test_a_job_page_asks_only_for_what_is_new_and_its_worker_sends_soon(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 1)
        await report(bench, 1, [(0, 1.0)])
        bench.experiment.write_now(columns.tell)
        assert (await bench.get("/web/job/curves?id=1&since=1")).json == {"count": 1}
        assert (await bench.get("/web/job/curves?id=1&since=0")).json["count"] == 1
        answer = await bench.post(p.REPORT, {"job_id": 1, "attempt": 1, "first": 1, "reports": []})
        assert answer.json == {"count": 1, "every": p.WATCHED_INTERVAL}
        assert (await bench.get("/web/job/curves?id=9")).status == 404
        assert (await bench.get("/web/job/curves?id=1&attempt=7")).status == 404
        assert (await bench.get("/api/jobs/9/reports")).status == 404
    run(scenario)


def test_a_job_without_reports_has_no_curves(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        empty: Dict[str, Any] = {"id": 1, "attempt": None, "attempts": [], "running": False, "started": None,
                                 "count": 0, "metrics": []}
        assert (await bench.get("/web/job/curves?id=1")).json == empty
        await bench.beat()
        bench.now += 10
        assert (await bench.get("/api/jobs/1/reports")).json == dict(
            empty, attempt=1, running=True, started=bench.now - 10)
    run(scenario)


def test_dashboards_are_told_of_reports_once_for_all_that_came(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        def topic() -> int:
            found: int = bench.sql("SELECT n FROM changes WHERE topic = 'reports'")[0][0]
            return found

        await begun(bench, 3)
        before = topic()
        for job_id in (1, 2, 3):
            await report(bench, job_id, [(0, 1.0)])
        for _ in range(2):
            bench.experiment.write_now(columns.tell)
            assert topic() == before + 1
        bench.experiment.write_now(lambda t: columns.write_due(t, 2))
        assert bench.sql("SELECT job_id FROM reports_due") == [(3,)]
        bench.experiment.write_now(lambda t: columns.write_due(t, 2))
        assert bench.sql("SELECT count(*) FROM reports_due") == [(0,)]
        await report(bench, 2, [(1, math.pi)], 1)
        bench.experiment.write_now(columns.tell)
        assert topic() == before + 2
    run(scenario)
