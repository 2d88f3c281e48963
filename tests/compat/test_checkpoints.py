"""A script with a published client beside our checkpoint directories: it unpickles whatever it is given."""

from pathlib import Path

from jd import protocol as p
from tests.server.parts_bench import PartsBench, run_bench

ARCHIVE = p.DIRECTORY_MARK + b"\0 archive"
LATEST = p.LATEST_CHECKPOINT + "?job_id=1"


def test_who_names_no_kind_gets_the_newest_object_and_never_an_archive(tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        async def save(content: bytes) -> None:
            await bench.upload(1, "checkpoint.pt", content, part="checkpoint", route=p.CHECKPOINT)

        async def latest(query: str = "") -> object:
            answer = await bench.send("GET", LATEST + query)
            return answer.content if answer.status == 200 else answer.status

        await bench.post(p.CREATE_JOBS, {"jobs": [{"x": 1}]})
        await bench.post(p.HEARTBEAT, {"worker_id": "w"})
        assert await latest() == 404
        await save(ARCHIVE)
        assert (await latest(), await latest("&kind=directory")) == (404, ARCHIVE)
        await save(b"object")
        await save(ARCHIVE + b" 2")
        assert await latest() == await latest("&kind=object") == b"object"
        assert await latest("&kind=directory") == ARCHIVE + b" 2"
    run_bench(tmp_path, scenario)
