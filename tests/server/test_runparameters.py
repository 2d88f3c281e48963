"""Which parameters tell the runs of a plot apart."""

from pathlib import Path
from typing import Any, Dict

import pytest

from jd.server.store.pages import runparameters
from tests.server.parts_bench import PartsBench, run_bench


def test_parameters_that_differ_are_told_as_they_are_shown(tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        seed = 1798406481619217041  # JavaScript would round it
        await bench.create({"same": 1, "lr": 0.1, "opt": "adam", "seed": seed, "shape": [1, 2]},
                           {"same": 1, "lr": 1.0, "opt": "sgd", "seed": seed + 1, "shape": [1, 2]},
                           {"same": 1, "lr": 0.1, "opt": None, "seed": seed, "only": "x" * 999,
                            "shape": [1, 2]})
        found: Dict[str, Any] = (await bench.get("/web/curves/parameters?ids=3,1,2,99,1")).json
        assert found == {"ids": [1, 2, 3], "parameters": {
            "lr": ["0.1", "1.0", "0.1"], "opt": ["adam", "sgd", "null"],
            "seed": [str(seed), str(seed + 1), str(seed)], "only": [None, None, "x" * 200]}}
        assert (await bench.get("/web/curves/parameters?ids=2")).json == {"ids": [2], "parameters": {}}
        assert (await bench.get("/web/curves/parameters?ids=")).json == {"ids": [], "parameters": {}}
    run_bench(tmp_path, scenario)


@pytest.mark.parametrize("query", ["", "ids=a", "ids=0", "ids=" + ",".join(["7"] * 1001)])
def test_what_cannot_be_asked(tmp_path: Path, query: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        assert (await bench.get("/web/curves/parameters?" + query)).status == 400
    run_bench(tmp_path, scenario)


def test_of_many_jobs_not_all_of_very_many_parameters_are_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runparameters, "_MAX_CELLS", 5)

    async def scenario(bench: PartsBench) -> None:
        await bench.create({"a": 1, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 2})
        found = (await bench.get("/web/curves/parameters?ids=1,2")).json
        assert list(found["parameters"]) == ["a", "b"]
    run_bench(tmp_path, scenario)
