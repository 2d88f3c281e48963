"""Zips of a sweep: what is in them, and that they describe themselves."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator

import pytest

from jd import protocol as p
from jd.server.dashboard import archive, zipping
from jd.server.experiment import Experiment
from jd.server.store.operators import bulk
from jd.server.store.search import values
from tests.server.parts_bench import PartsBench, Run, run_bench

SEED = 1798406481619217041


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: run_bench(tmp_path, scenario)


async def unpacked(bench: PartsBench, target: str = "/web/export.zip") -> Dict[str, bytes]:
    answer = await bench.get(target)
    assert (answer.status, answer.content_type) == (200, "application/zip")
    packed = zipfile.ZipFile(io.BytesIO(answer.content))
    assert packed.testzip() is None
    return {name: packed.read(name) for name in packed.namelist()}


def test_a_sweep_describes_itself(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"seed": SEED, "lr": 1.0}, {"seed": 2, "lr": 0.5})
        await bench.create({"seed": 3})
        await bench.beat("node1_abc_0")
        await bench.upload(1, "result.json", '{"loss": 0.5}')
        await bench.finish(1, runtime=2.5)
        await bench.beat("node1_abc_0")
        await bench.finish(2, "ABORTED", message="boom", exit_code=3, output_tail="Traceback")
        found = await unpacked(bench)
        assert sorted(found) == sorted([
            "exp/about.json", "exp/jobs.csv", "exp/1/job.json", "exp/1/params.json", "exp/1/result.json",
            "exp/2/job.json", "exp/2/params.json", "exp/2/output/attempt-1.log", "exp/3/job.json",
            "exp/3/params.json"])
        assert found["exp/1/params.json"] == ('{\n  "seed": %d,\n  "lr": 1.0\n}' % SEED).encode()
        assert found["exp/1/result.json"] == b'{"loss": 0.5}'
        jobs = [json.loads(found["exp/%d/job.json" % job_id]) for job_id in (1, 2, 3)]
        known = ("id", "status", "verdict", "message", "exit_code", "batch", "worker_id", "attempt",
                 "results")
        assert [[job[name] for name in known] for job in jobs] == [
            [1, "DONE", "done", "", None, 1, "node1_abc_0", 1, {"loss": 0.5}],
            [2, "ABORTED", "failed", "boom", 3, 1, "node1_abc_0", 1, None],
            [3, "PENDING", None, None, None, 3, None, 0, None]]
        assert [one["runtime"] for one in jobs[0]["attempts"]] == [2.5] and jobs[0]["finished"] == bench.now
        lines = list(csv.DictReader(io.StringIO(found["exp/jobs.csv"].decode())))
        assert [(line["id"], line["seed"], line["verdict"]) for line in lines] == [
            ("1", str(SEED), "done"), ("2", "2", "failed"), ("3", "3", "")]
        about = json.loads(found["exp/about.json"])
        assert (about["experiment"], about["filter"], about["missing"]) == ("exp", "", [])
    run(scenario)


def _while_jobs_are_made(experiment: Experiment) -> Callable[..., Iterator[bytes]]:
    """Packs when many jobs were made whose values are to follow."""
    pack = zipping.pack

    def packed(*given: Any) -> Iterator[bytes]:
        experiment.write_now(lambda t: t.db.execute("INSERT INTO settings VALUES (?, '7 8')",
                                                    (values.MISSING,)) and None)
        yield from pack(*given)
        experiment.write_now(lambda t: t.db.execute("DELETE FROM settings WHERE name = ?",
                                                    (values.MISSING,)) and None)
    return packed


def test_the_jobs_of_a_filter_page_by_page(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PAGE", 2)

    async def scenario(bench: PartsBench) -> None:
        await bench.create(*[{"x": number} for number in range(7)])
        found = await unpacked(bench, "/web/export.zip?filter=x%3C5")
        assert [name for name in found if name.endswith("params.json")] == [
            "exp/%d/params.json" % number for number in range(1, 6)]
        assert json.loads(found["exp/about.json"])["filter"] == "x<5"
        monkeypatch.setattr(zipping, "pack", _while_jobs_are_made(bench.experiment))
        assert sorted(await unpacked(bench, "/web/export.zip?filter=x%3C5")) == sorted(found)
        refused = await bench.get("/web/export.zip?filter=nonsense%3D1")
        assert refused.status == 400 and "nonsense" in refused.json["error"]
    run(scenario)


def test_a_name_is_that_of_the_file_that_counts(run: Run) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        await bench.beat()
        await bench.upload(1, "result.json", b"stale")
        await bench.upload(1, "once.txt", b"before")
        await bench.upload(1, "c", b"old weights", route=p.CHECKPOINT, part="checkpoint")
        await bench.finish(1)
        await bench.experiment.write(lambda t: bulk.act(t, bulk.RETRY, [1], ""))
        await bench.beat()
        for content in (b"first", b"right"):
            await bench.upload(1, "result.json", content)
        await bench.upload(1, "params.json", b"mine")
        await bench.upload(1, "gone.txt", b"x")
        (bench.experiment.data_dir / "1" / "gone.txt").unlink()
        found = await unpacked(bench)
        listed = json.loads(found.pop("exp/1/job.json"))["files"]
        files: Dict[str, Any] = {one["packed_as"]: one for one in listed}
        old = next(name for name in found if name.endswith(".pt"))
        assert json.loads(found.pop("exp/about.json"))["missing"] == ["1/gone.txt"]
        del found["exp/jobs.csv"], found["exp/1/params.json"]
        assert found == {
            "exp/1/result.json": b"right", "exp/1/earlier/result_v1.json": b"first",
            "exp/1/earlier/result.json": b"stale", "exp/1/earlier/once.txt": b"before",
            "exp/1/params (1).json": b"mine", old: b"old weights"}
        assert old.startswith("exp/1/earlier/checkpoint_v0_")
        told = {name: (files[name]["attempt"], files[name]["state"], files[name]["missing"])
                for name in ("result.json", "earlier/result_v1.json", "earlier/result.json", "gone.txt")}
        assert told == {"result.json": (2, "latest", False), "earlier/result_v1.json": (2, "earlier", False),
                        "earlier/result.json": (1, "set aside", False), "gone.txt": (2, "latest", True)}
    run(scenario)
