"""What jobs report while they run: taken, kept, thinned out, made results of, and read as curves."""

import csv
import io
import json
import math
import random
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest

from jd import protocol as p
from jd.messages import Report
from jd.server.driving.reportedresults import ReportedResults
from jd.server.store.operators import bulk
from jd.server.store.reports import columns, points, storage, taking
from jd.server.store.reports.interpreting import interpret
from jd.server.store.reports.points import Points
from jd.server.store.transaction import Transaction
from tests.server.parts_bench import PartsBench, Run, run_bench

NAN, INF = math.nan, math.inf


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


def numbered(count: int, start: int = 0, **more: Any) -> List[Any]:
    """Reports of a loss by step, one each second."""
    return [[float(at), dict({"step": at, "loss": 1.0 / (1 + at)}, **more)]
            for at in range(start, start + count)]


async def send(bench: PartsBench, first: int, reports: Sequence[Any], status: int = 200, job_id: int = 1,
               attempt: int = 1, final: bool = False) -> Dict[str, Any]:
    answer = await bench.post(p.REPORT, {"job_id": job_id, "attempt": attempt, "first": first,
                                         "reports": list(reports), "final": final})
    assert answer.status == status, answer.content
    found: Dict[str, Any] = answer.json
    return found


async def curves_of(bench: PartsBench, more: str = "", job_id: int = 1) -> Dict[str, Any]:
    answer = await bench.get("/web/job/curves?id=%d%s" % (job_id, more))
    assert answer.status == 200, answer.content
    found: Dict[str, Any] = answer.json
    return found


async def begun(bench: PartsBench, jobs: int = 1) -> None:
    await bench.create(*({"x": at} for at in range(jobs)))
    for at in range(jobs):
        await bench.beat("w%d" % at, session="s")


async def results(bench: PartsBench, job_id: int = 1) -> Dict[str, Any]:
    bench.experiment.write_now(lambda t: columns.write_due(t, 1000))
    found: Dict[str, Any] = (await bench.get("/api/jobs/%d" % job_id)).json["results"]
    return found


def history(bench: PartsBench) -> List[str]:
    lines = [reason for reason, in bench.sql("SELECT reason FROM job_history ORDER BY id")]
    return [line for line in lines if "report" in line or "curve" in line]


# ---- what a report says

@pytest.mark.parametrize("told, step, numbers", [
    ({"step": 3, "loss": 0.5}, 3.0, {"loss": 0.5}),
    ({"epoch": 2, "loss": 0.5}, 2.0, {"loss": 0.5}),
    ({"epoch": 2, "step": 40, "loss": 0.5}, 40.0, {"epoch": 2, "loss": 0.5}),
    ({"step": "soon", "iter": 1.5, "loss": 1}, 1.5, {"loss": 1}),
    ({"step": " 4 ", "loss": 1}, 4.0, {"loss": 1}),
    ({"step": "nan", "epoch": "2.5", "loss": 1}, 2.5, {"step": "NaN", "loss": 1}),
    ({"step": True, "loss": 1}, None, {"step": 1, "loss": 1}),
    ({"step": 10 ** 400, "iteration": -7, "x": 1}, -7.0, {"step": "Infinity", "x": 1}),
    ({"loss": 1, "time": 99}, None, {"loss": 1}),
    ({"val": {"loss": [1, 2.5]}, "ok": True, "none": None, "phase": "warm"}, None,
     {"val.loss.0": 1, "val.loss.1": 2.5, "ok": 1}),
    ({"a b": 1, "a": "NaN", "b": "-inf", "n": " 3 "}, None, {"a_b": 1, "a": "NaN", "b": "-Infinity", "n": 3}),
    ({"": 1, "a b": 2, "a_b": 3}, None, {"_": 1, "a_b": 3}),
    ({"huge": 10 ** 300, "more": 2 ** 70}, None, {"huge": 10 ** 300, "more": 2 ** 70}),
])
def test_a_report_has_a_step_and_numbers(told: Dict[str, Any], step: Optional[float],
                                         numbers: Dict[str, Any]) -> None:
    said = interpret([Report(1.0, told)])
    assert [(one.seconds, one.step, dict(one.numbers)) for one in said.told] == [(1.0, step, numbers)]


def test_what_is_left_out_of_reports_is_told_once_for_an_attempt(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        for first in range(3):
            await send(bench, first, [[first, {"loss": 1, "phase": "warm", "none": None}]])
        assert history(bench) == ["its reports are taken in part: 1 text (phase); 1 null (none)"]
    run(scenario)


# ---- taking

def test_reports_are_taken_once_whatever_is_sent_twice(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        every = numbered(10)
        assert await send(bench, 0, every[:4]) == {"count": 4, "every": p.REPORT_INTERVAL}
        assert (await send(bench, 0, every[:4]))["count"] == 4
        assert (await send(bench, 2, every[2:7]))["count"] == 7
        assert (await send(bench, 8, every[8:]))["count"] == 7  # 7 is missing
        assert (await send(bench, 3, []))["count"] == 7
        assert (await send(bench, 7, every[7:], final=True))["count"] == 10
        assert (await send(bench, 7, every[7:], final=True))["count"] == 10
        found = await curves_of(bench)
        assert found["count"] == 10 and found["running"] and found["attempts"] == [1]
        assert found["metrics"] == [{"name": "loss", "n": 10, "step": list(range(10)),
                                     "time": list(range(10)), "value": [1 / (1 + at) for at in range(10)]}]
    run(scenario)


def test_only_the_attempt_that_runs_may_report(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1}, {"x": 2})
        await send(bench, 0, numbered(1), 409)
        await bench.beat("a")
        await send(bench, 0, numbered(1), 409, attempt=2)
        await send(bench, 0, numbered(1), 404, job_id=99)
        await send(bench, 0, [[1, "x"]], 400)
        await send(bench, 0, [[-1, {}]], 400)
        await send(bench, 0, [[1, {"x": 1}]] * (p.MAX_REPORTS_IN_PIECE + 1), 400)
        await send(bench, 0, numbered(1))
        await bench.finish(1, attempt=1)
        await send(bench, 1, numbered(1, 1), 409)
        assert (await curves_of(bench))["count"] == 1
    run(scenario)


def test_each_number_is_where_it_was_reported_through_pieces_and_chunks(run: Run) -> None:
    """Against what was sent, with steps that go back, equal ones, and metrics that come now and then."""
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        source = random.Random(1)
        sent: Dict[str, List[Any]] = {}
        count = 0
        for _ in range(70):
            piece = []
            for _ in range(source.randint(1, 40)):
                step = source.choice([count, source.randint(0, 50), -3.5])
                told = {name: source.random() for name in ("loss", "a/b", "x.y") if source.random() < 0.7}
                seconds = round(count * 0.25, 3)
                piece.append([seconds, dict(told, step=step)])
                for name, value in told.items():
                    sent.setdefault(name, []).append((step, seconds, value))
                count += 1
            await send(bench, count - len(piece), piece)
        answer = await bench.get("/api/jobs/1/reports")
        found = answer.json
        assert {one["name"]: list(zip(one["step"], one["time"], one["value"]))
                for one in found["metrics"]} == sent
        assert {one["name"]: one["n"] for one in found["metrics"]} == {
            name: len(some) for name, some in sent.items()}
        assert bench.sql("SELECT count(*) FROM report_pieces")[0][0] < storage.TAIL_PIECES
        assert bench.sql("SELECT count(*) FROM report_chunks WHERE sealed")[0][0] > 0
        only = (await bench.get("/api/jobs/1/reports?metric=a/b&attempt=1")).json["metrics"]
        assert [one["name"] for one in only] == ["a/b"]
    run(scenario)


def test_without_a_step_it_is_the_number_of_the_report_of_that_metric(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        await send(bench, 0, [[1, {"a": 1}], [2, {"b": 1}], [3, {"a": 2, "b": 2}]])
        await send(bench, 3, [[4, {"b": 3}]])
        found = {one["name"]: one["step"] for one in (await curves_of(bench))["metrics"]}
        assert found == {"a": [0, 1], "b": [0, 1, 2]}
    run(scenario)


def test_more_metrics_than_are_kept_are_told_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "MAX_METRICS", 3)

    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        await send(bench, 0, [[0, {"a": 1, "b": 1}], [1, {"c": 1, "d": 1, "e": 1}]])
        await send(bench, 2, [[2, {"d": 2, "a": 2}]])
        assert [one["name"] for one in (await curves_of(bench))["metrics"]] == ["a", "b", "c"]
        (line,) = history(bench)
        assert line == "its reports have more than 3 metrics, which is all that are kept: d is left out"
    run(scenario)


# ---- thinning

def as_points(rows: Sequence[Any]) -> Points:
    made = points.none()
    for step, seconds, value in rows:
        made.steps.append(step)
        made.times.append(seconds)
        made.values.append(value)
    return made


@pytest.mark.parametrize("seed", range(60))
def test_thinning_keeps_the_ends_and_the_extremes_of_each_part(seed: int) -> None:
    source = random.Random(seed)
    count, parts = source.randint(1, 900), source.randint(2, 60)
    steps: Callable[[int], float] = source.choice([
        lambda at: float(at), lambda at: source.uniform(-5, 5), lambda at: 3.0, lambda at: -at / 7,
        lambda at: source.choice([0.0, 1e308, -1e308]), lambda at: float(at) if at else 1e300])
    values: Callable[[int], float] = source.choice([
        lambda at: source.gauss(0, 1), lambda at: source.choice([1.0, 2.0]), lambda at: 1e308 * (-1) ** at,
        lambda at: source.choice([NAN, INF, -INF, 0.5, source.random()]), lambda at: NAN])
    every = as_points([(steps(at), at, values(at)) for at in range(count)])
    few = points.thin(every, parts, every.steps)
    rows, kept = list(zip(*every)), list(zip(*few))
    places = [int(seconds) for _, seconds, _ in kept]
    assert places == sorted(set(places))  # in order, each once
    assert all(repr(rows[at]) == repr(row) for at, row in zip(places, kept))
    assert places[0] == 0 and places[-1] == count - 1
    assert few.size <= 3 * parts + 2 and (few.size >= min(count, parts) or count <= 2 * parts)
    finite = [value for value in every.values if math.isfinite(value)]
    if finite:
        assert {min(finite), max(finite)} <= set(few.values)
    assert any(not math.isfinite(value) for value in few.values) == (len(finite) < count)
    first, last = min(every.steps), max(every.steps)
    width = last / parts - first / parts
    if 0 < width < INF and few.size > parts and steps(7) == 7.0:
        for part in range(parts):
            inside = [value for step, _, value in rows if math.isfinite(value)
                      and first + width * part < step < first + width * (part + 1)]
            if inside:
                assert {min(inside), max(inside)} <= set(few.values)


def test_points_are_the_same_after_bytes() -> None:
    every = as_points([(1.5, 2.0, NAN), (-1e308, 0.1, INF), (2 ** 53, 3.0, -0.0)])
    for again in (points.unpack(points.pack(every)), points.unsqueeze(points.squeeze(every))):
        assert repr(again) == repr(every)
    for bad in (b"x" * 25, b"\x00"):
        with pytest.raises(ValueError):
            points.unpack(bad)
        with pytest.raises(ValueError):
            points.unsqueeze(bad)


def test_a_long_curve_is_thinned_out_and_keeps_its_extremes(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MAX_POINTS", 1000), ("THINNED_PARTS", 200), ("CHUNK", 64), ("PART", 8)):
        monkeypatch.setattr(storage, name, value)

    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        source = random.Random(3)
        values = [source.gauss(0, 1) for _ in range(3001)]
        values[1234], values[2001], values[700] = 99.0, -99.0, NAN
        for first in range(0, 3001, 100):
            await send(bench, first, [[float(at), {"step": at, "x": values[at] if at != 700 else "NaN"}]
                                      for at in range(first, min(first + 100, 3001))])
        (found,) = (await bench.get("/api/jobs/1/reports")).json["metrics"]
        kept = dict(zip(found["step"], found["value"]))
        assert 400 < len(kept) <= 1000 and found["n"] == 3001
        assert all(value is None if at == 700 else value == values[at] for at, value in kept.items())
        assert {0, 3000, 1234, 2001, 700} <= set(kept)
        for start in range(0, 3000, 30):  # in no part of it anything that stands out is lost
            part = [value for value in values[start:start + 30] if value == value]
            near = [value for at, value in kept.items() if start - 30 < at < start + 60 and value is not None]
            assert max(near) >= max(part) and min(near) <= min(part)
        assert len([line for line in history(bench) if "thinned out" in line]) == 1
        assert await results(bench) == {"x": values[3000], "x.min": -99.0, "x.max": 99.0}
    run(scenario)


# ---- results

def test_reported_metrics_are_results_while_the_job_runs_and_files_win_by_name(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        await send(bench, 0, [[0, {"loss": 3, "acc": 0.25}], [1, {"loss": 1.5}],
                              [2, {"loss": "NaN", "acc": 0.125}]])
        assert await results(bench) == {"loss": "NaN", "loss.min": 1.5, "loss.max": 3,
                                        "acc": 0.125, "acc.min": 0.125, "acc.max": 0.25}
        await bench.upload(1, "result.json", '{"acc": 0.5, "other": 1}')
        await send(bench, 3, [[3, {"loss": 1}]])
        found = await results(bench)
        assert found == {"acc": 0.5, "other": 1, "loss": 1, "loss.min": 1, "loss.max": 3,
                         "acc.min": 0.125, "acc.max": 0.25}
        by_value = dict(bench.sql("SELECT n.name, v.value FROM job_values v JOIN value_names n"
                                  " ON n.id = v.name_id WHERE n.kind = 'result'"))
        assert by_value == found
        assert (await bench.get("/api/jobs?where=loss.max>2")).json["total_count"] == 1
    run(scenario)


def test_the_latest_attempt_that_reported_counts_and_none_from_before_scratch(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        await send(bench, 0, [[0, {"loss": 3, "old": 1}]])
        await bench.finish(1, "ABORTED", attempt=1)
        assert await results(bench) == {"loss": 3, "loss.min": 3, "loss.max": 3,
                                        "old": 1, "old.min": 1, "old.max": 1}
        bench.now += 100
        bench.experiment.write_now(lambda t: bulk.act(t, "retry", [1], "", True))
        await bench.beat("w0", session="s")
        assert (await results(bench))["loss"] == 3
        assert (await curves_of(bench))["attempt"] == 1
        await send(bench, 0, [[0, {"step": 50, "loss": 9}]], attempt=2)
        assert await results(bench) == {"loss": 9, "loss.min": 9, "loss.max": 9}
        found = await curves_of(bench)
        assert (found["attempt"], found["attempts"], found["metrics"][0]["step"]) == (2, [1, 2], [50])
        assert (await curves_of(bench, "&attempt=1"))["metrics"][0]["value"] == [3]
        await bench.finish(1, attempt=2)
        bench.experiment.write_now(lambda t: bulk.act(t, "retry", [1], "", False))
        assert await results(bench) == {}
        assert (await bench.get("/web/curves?metric=loss")).json["curves"] == []
    run(scenario)


def test_results_are_final_when_the_job_is_over(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 2)
        await send(bench, 0, numbered(3))
        await bench.finish(1, attempt=1)
        assert (await bench.get("/api/jobs/1")).json["results"]["loss"] == 1 / 3
        await send(bench, 0, numbered(3), job_id=2, final=True)
        assert (await bench.get("/api/jobs/2")).json["results"]["loss"] == 1 / 3
    run(scenario)


def test_results_of_reports_take_a_twentieth_of_the_time_at_most(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        now = 0.0

        def clock() -> float:
            nonlocal now
            now += 0.5  # between two looks at it
            return now

        def is_due() -> bool:
            return bench.experiment.read_now(columns.is_due)

        made = ReportedResults(bench.experiment, clock)
        await begun(bench, 2)
        await send(bench, 0, numbered(1))
        await made.look()
        assert not is_due()
        wrote = now  # for half a second
        await send(bench, 1, numbered(1, 1))
        while now < wrote + 9:
            await made.look()
            assert is_due()
        now = wrote + 10
        await made.look()
        assert not is_due()
    run(scenario)


def test_results_of_many_that_report_much_are_written_once_each_in_a_look(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 25)
        for job_id in range(1, 26):
            await send(bench, 0, numbered(1), job_id=job_id)
        written: List[int] = []
        write = columns._write

        def reports_again(t: Transaction, job_id: int) -> None:
            written.append(job_id)
            write(t, job_id)
            if len(written) < 100:  # the other half of them have reported something meanwhile
                for other in range(1, 26):
                    columns.due(t, other)
        monkeypatch.setattr(columns, "_write", reports_again)
        await ReportedResults(bench.experiment).look()
        assert written == list(range(1, 26))
    run(scenario)


@pytest.mark.parametrize("metrics", ["[", "[]", "5", '{"loss": 5}', '{"loss": [1]}', "[" * 100_000])
def test_damaged_reports_hold_up_neither_the_end_of_the_job_nor_others(run: Run, metrics: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench, 2)
        for job_id in (1, 2):
            await send(bench, 0, numbered(2), job_id=job_id)
        bench.experiment.write_now(
            lambda t: t.db.execute("UPDATE reported SET metrics = ? WHERE job_id = 1", (metrics,)))
        assert (await results(bench, 2))["loss"] == 0.5
        await bench.finish(1, attempt=1)
        assert (await bench.get("/api/jobs/1")).json["status"] == "DONE"
        assert "it is damaged in the database" in history(bench)[-1]
    run(scenario)


# ---- archives

def test_a_zip_has_the_reports_of_each_attempt(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        await send(bench, 0, [[0.5, {"step": 1, "a=b": 3, "=1": 2}], [1.25, {"step": 2.5, "a=b": "NaN"}]])
        await bench.upload(1, "x.txt", "x")
        for target, name in (("/web/job/zip?id=1", "job-1/reports/attempt-1.csv"),
                             ("/web/export.zip?filter=", "exp/1/reports/attempt-1.csv")):
            with zipfile.ZipFile(io.BytesIO((await bench.get(target)).content)) as packed:
                rows = list(csv.reader(io.StringIO(packed.read(name).decode())))
                assert rows == [["metric", "step", "time", "value"], ["a_b", "1", "0.5", "3.0"],
                                ["a_b", "2.5", "1.25", "NaN"], ["_1", "1", "0.5", "2.0"]]
                described = json.loads(packed.read(name.replace("reports/attempt-1.csv", "job.json")))
                assert [file["missing"] for file in described["files"]] == [False]
    run(scenario)
