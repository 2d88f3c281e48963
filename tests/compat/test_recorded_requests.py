"""What clients of each published generation send, as data in `requests/`, and the answers that they need.

The fields and values were written down by hand, from what these clients were seen to send. Each file is
played from its beginning to its end: one request needs what an earlier one has left. `is` has what an answer
must hold at a path, `types` what type it has there; whatever else it holds these clients pass over.
"""

import json
from pathlib import Path
from typing import Any, Dict

import pytest

from jd import protocol as p
from jd.net.multipart import encode_upload
from jd.server.store.fleet import commands
from tests.hub.hub_support import Bench
from tests.server.parts_bench import PartsBench, run_bench

RECORDED = Path(__file__).parent / "requests"
GENERATIONS = sorted(path.stem for path in RECORDED.glob("*.json"))
TYPES: Dict[str, Any] = {"int": int, "number": (int, float), "str": str, "bool": bool, "list": list,
                         "object": dict}
Request = Dict[str, Any]


def recorded(generation: str) -> Dict[str, Any]:
    return dict(json.loads((RECORDED / (generation + ".json")).read_text("utf-8")))


def at(answer: Any, path: str) -> Any:
    for part in path.split("."):
        answer = answer[int(part)] if isinstance(answer, list) else answer[part]
    return answer


def compare(request: Request, status: int, answer: Any) -> None:
    """`answer` is decoded, unless the client reads bytes."""
    wanted, what = request["answer"], request["what"]
    assert status == wanted["status"], (what, answer)
    if "content" in wanted:
        assert answer == wanted["content"].encode(), what
    for path, value in wanted.get("is", {}).items():
        assert at(answer, path) == value, (what, path, answer)
    for path, kind in wanted.get("types", {}).items():
        found = at(answer, path)
        assert isinstance(found, TYPES[kind]) and isinstance(found, bool) == (kind == "bool"), (what, path)


async def send(bench: PartsBench, request: Request) -> None:
    if "form" in request:
        file = request["file"]
        content = file["content"].encode()
        frame = encode_upload(request["form"], file["part"], file["filename"], len(content))
        answer = await bench.send("POST", request["path"], frame.prefix + content + frame.suffix,
                                  {"content-type": frame.content_type})
    elif "json" in request:
        answer = await bench.post(request["path"], request["json"])
    else:
        answer = await bench.send(request["method"], request["path"])
    compare(request, answer.status,
            answer.content if "content" in request["answer"] else json.loads(answer.content))


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_job_server_answers_as_they_need_it(tmp_path: Path, generation: str) -> None:
    async def scenario(bench: PartsBench) -> None:
        worker = ""
        for request in recorded(generation)["server"]:
            worker = request.get("json", {}).get("worker_id", worker)
            if "create" in request:
                await bench.create(*request["create"])
            elif "operator" in request:
                action, whom = request["operator"], [worker]
                assert await bench.experiment.write(
                    lambda t: commands.tell(t, action, whom, "dashboard")) == whom
            else:
                await send(bench, request)
            bench.now += 1
        counts = (await bench.get(p.JOB_COUNTS)).json
        assert counts["SERVED"] == 0 and counts["DONE"] >= 1
    run_bench(tmp_path, scenario)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_hub_answers_as_they_need_it(tmp_path: Path, generation: str) -> None:
    hub = Bench(tmp_path)
    _, good = hub.user("ann@example.org")
    assert hub.call("POST", "/api/experiments", good, {"name": "exp"}).status == 201
    assert hub.call("POST", "/api/experiments/exp/register", good,
                    {"server_url": "http://node1:5000"}).status == 200
    for request in recorded(generation)["hub"]:
        answer = hub.call(request["method"], request["path"], request.get("key", good), request.get("json"))
        compare(request, answer.status, answer.body)


def test_each_generation_is_there() -> None:
    expected = ["published-" + since for since in ("1.15", "1.16", "1.20", "1.23", "1.28", "1.29")]
    assert expected == GENERATIONS
