"""The first heartbeat of a worker of ours: its body is of the base, and what is beyond stands in a header."""

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from jd import protocol as p
from tests.server.parts_bench import PartsBench, run_bench


async def beat(bench: PartsBench, header: str, **fields: Any) -> Any:
    body: Dict[str, Any] = dict({"worker_id": "w", "reported_status": "idle"}, **fields)
    return await bench.send("POST", p.HEARTBEAT, json.dumps(body).encode(), {
        "content-type": "application/json", p.HEARTBEAT_HEADER.lower(): header})


def test_the_header_counts_as_the_body_does(tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.post(p.CREATE_JOBS, {"jobs": [{"x": 1}], "needs": ["gpu"]})
        said = {"session": "s", "exp_id": "exp", "tags": ["gpu"]}
        first = await beat(bench, json.dumps(said))
        assert first.json["job"]["job_id"] == 1
        # The same process asks again: it gets that very attempt, as only a session does.
        again = await bench.post(p.HEARTBEAT, dict({"worker_id": "w", "reported_status": "idle"}, **said))
        assert again.json["job"] == first.json["job"]
        # Another process has the name.
        assert (await beat(bench, '{"session": "other"}')).status == 409
        # What the body says comes first.
        assert (await beat(bench, '{"session": "other"}', session="s")).status == 200
    run_bench(tmp_path, scenario)


def test_a_worker_of_another_experiment_gets_nothing(tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.create({"x": 1})
        refused = await beat(bench, '{"exp_id": "other"}')
        assert refused.status == 409 and refused.json["experiment"] == "exp"
    run_bench(tmp_path, scenario)


@pytest.mark.parametrize("header", ["", "{", "[]", '{"session": 1}', '{"session": "a", "session": "b"}'])
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        assert (await beat(bench, header)).status == 400
    run_bench(tmp_path, scenario)
