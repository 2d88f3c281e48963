"""`history.csv`: tables of a training that are read as curves."""

import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any, List

import pytest

from jd.server.store.reports import historyfile, storage
from tests.server.parts_bench import PartsBench, Run, run_bench
from tests.server.test_reports import begun, curves_of, history, results, send


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


def test_a_table_of_the_training_makes_curves(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        bench.now += 30
        await bench.upload(1, "history.csv", "epoch,loss,val loss,note\n0,1.5,2,a\n1,nan,,b\n2,0.5,1e999,c\n")
        found = await curves_of(bench)
        assert found["count"] == 3
        assert found["metrics"] == [
            {"name": "loss", "n": 3, "step": [0, 1, 2], "time": [10, 20, 30], "value": [1.5, None, 0.5]},
            {"name": "val_loss", "n": 2, "step": [0, 2], "time": [10, 30], "value": [2, None]}]
        assert await results(bench) == {"loss": 0.5, "loss.min": 0.5, "loss.max": 1.5,
                                        "val_loss": "Infinity", "val_loss.min": 2, "val_loss.max": 2}
        told = bench.sql("SELECT reason FROM job_history WHERE reason LIKE 'history.csv%'")
        assert told == [("history.csv is taken in part: text in note",)]
        await bench.upload(1, "history.csv", ";loss;time\n0;4;1.5\n1;3;%r\n" % (bench.now - 20))
        (only,) = (await curves_of(bench, "&since=7"))["metrics"]
        assert only == {"name": "loss", "n": 2, "step": [0, 1], "time": [1.5, 10], "value": [4, 3]}
    run(scenario)


def test_what_an_attempt_reports_itself_counts_before_its_table(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        await bench.upload(1, "history.csv", "loss\n1\n2\n")
        await send(bench, 0, [[5, {"step": 7, "acc": 0.5}]])
        assert [one["name"] for one in (await curves_of(bench))["metrics"]] == ["acc"]
        await bench.upload(1, "history.csv", "loss\n1\n2\n")
        found = await curves_of(bench, "&since=9")
        assert [one["name"] for one in found["metrics"]] == ["acc"] and found["count"] == 1
        assert bench.sql("SELECT count(*) FROM report_series") == [(1,)]
    run(scenario)


@pytest.mark.parametrize("content", ["", "\n", "a,b\n", "a,b\nx,y\n", b"\xff\xfe", '"', "a" * 200_000])
def test_a_table_without_numbers_is_stored_and_noted(run: Run, content: Any) -> None:
    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        await bench.upload(1, "history.csv", content)
        told = bench.sql("SELECT reason FROM job_history WHERE reason LIKE 'history.csv is not taken%'")
        assert len(told) == 1
        assert (await curves_of(bench))["attempts"] == []
    run(scenario)


def test_a_long_table_is_thinned_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "MAX_POINTS", 500)
    monkeypatch.setattr(storage, "THINNED_PARTS", 100)

    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        table = "loss\n" + "".join("%d\n" % (at * 37 % 1001) for at in range(1001))
        await bench.upload(1, "history.csv", table)
        (found,) = (await curves_of(bench))["metrics"]
        assert len(found["step"]) <= 302 and found["n"] == 1001 and {0, 1000} <= set(found["value"])
        assert len([line for line in history(bench) if "thinned out" in line]) == 1
    run(scenario)


def test_a_table_is_ready_before_it_is_written_and_has_the_times_of_its_attempt(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = storage.cut
    by: List[int] = []

    def noted(*given: Any) -> storage.Cut:
        by.append(threading.get_ident())
        return cut(*given)
    monkeypatch.setattr(storage, "cut", noted)

    async def scenario(bench: PartsBench) -> None:
        await begun(bench)
        writer = await bench.experiment.write(lambda t: threading.get_ident())
        table = b"time,a,b\n%d,1,2\n%d,3,4\n" % (bench.now + 5, bench.now + 60)
        await bench.upload(1, "history.csv", table)
        assert len(by) == 2 and writer not in by  # workers would wait for that
        assert [one["time"] for one in (await curves_of(bench))["metrics"]] == [[5, 60]] * 2
        file = bench.experiment.data_dir / "1" / "history.csv"
        early = historyfile.read(file, len(table), bench.now - 100, bench.now)  # of the attempt before
        await bench.experiment.write(lambda t: historyfile.take(t, 1, early))
        assert [one["time"] for one in (await curves_of(bench))["metrics"]] == [[5, 60]] * 2
    run(scenario)


def test_a_table_takes_time_and_memory_in_proportion_to_its_size() -> None:
    names = ["c%d" % at for at in range(30_000)]
    began = time.process_time()
    found = historyfile.parse(("%s\n%s\n" % (",".join(names), ",".join("x" for _ in names))).encode())
    assert time.process_time() - began < 2 and found.remark.startswith("text in c0, c1, c2; ")
    tracemalloc.start()
    try:
        assert historyfile.parse(b"x\n" + b"\n" * 1_000_000).rows == 0
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert historyfile.parse(b"x\n1\n" + b"2," * 200_000).remark == (
        "not CSV: a line has more than 262144 characters")
