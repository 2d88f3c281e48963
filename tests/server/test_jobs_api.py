"""What `GET /api/jobs` and `GET /api/jobs/statuses` are asked by published clients, over a socket where it
matters."""

import asyncio
import json
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Tuple
from urllib.parse import urlencode

import pytest

from jd import fields
from jd import protocol as p
from tests.server.test_routes import Bench


def _asked(port: int, path: str, **query: Any) -> Tuple[int, Any]:
    """A request as `requests` makes it: commas in the query arrive as %2C."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "%s?%s" % (path, urlencode(query)))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read().decode())
    finally:
        connection.close()


async def _ask(bench: Bench, path: str, **query: Any) -> Tuple[int, Any]:
    return await asyncio.get_running_loop().run_in_executor(
        None, lambda: _asked(bench.server.port, path, **query))


@pytest.fixture
def listen(tmp_path: Path) -> Any:
    """Plays a scenario on a server that listens and has the jobs 1 to 3."""
    def play(scenario: Any) -> None:
        async def main() -> None:
            bench = Bench(tmp_path)
            await bench.server.start("127.0.0.1", 0, 0)
            try:
                await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1, 2, 3]}})
                await asyncio.wait_for(scenario(bench), 20)
            finally:
                await bench.server.stop()
                bench.close()
        asyncio.run(main())
    return play


@pytest.mark.parametrize("last", [10_000, fields.MAX_ID], ids=["short ids", "the longest ids"])
def test_ten_thousand_ids_are_taken_and_one_more_is_refused(listen: Any, last: int) -> None:
    ids = [1, 2, 3, *range(last - p.MAX_IDS + 4, last + 1)]
    assert len(ids) == p.MAX_IDS

    async def scenario(bench: Bench) -> None:
        text = ",".join(map(str, ids))
        status, answer = await _ask(bench, p.JOB_STATUSES, ids=text)
        assert (status, answer["statuses"]) == (200, dict.fromkeys("123", "PENDING"))
        status, page = await _ask(bench, p.LIST_JOBS, ids=text, page=1, per_page=1000)
        assert (status, [job["id"] for job in page["jobs"]], page["total_count"]) == (200, [1, 2, 3], 3)
        for path in (p.JOB_STATUSES, p.LIST_JOBS):
            status, answer = await _ask(bench, path, ids=text + ",1")
            assert (status, answer["error"]) == (400, "ids has 10001 entries; at most 10000")
    listen(scenario)


def test_a_longer_request_line_is_refused_with_the_limit(listen: Any) -> None:
    async def scenario(bench: Bench) -> None:
        status, answer = await _ask(bench, p.JOB_STATUSES, ids="1," * p.MAX_REQUEST_LINE)
        assert status == 414 and str(p.MAX_REQUEST_LINE) in answer["error"]
    listen(scenario)


def test_no_ids_list_nothing(listen: Any) -> None:
    async def scenario(bench: Bench) -> None:
        status, page = await _ask(bench, p.LIST_JOBS, ids="", per_page=1000)
        assert (status, page["jobs"], page["total_count"], page["total_pages"]) == (200, [], 0, 0)
        assert await _ask(bench, p.JOB_STATUSES, ids="") == (200, {"statuses": {}})
        assert (await _ask(bench, p.JOB_STATUSES))[0] == 400
    listen(scenario)


@pytest.mark.parametrize("search", ["y" * 201, "y" * 20_000])
def test_a_search_that_is_too_long_is_refused_with_the_limit(listen: Any, search: str) -> None:
    async def scenario(bench: Bench) -> None:
        status, answer = await _ask(bench, p.LIST_JOBS, search=search)
        assert (status, answer["error"]) == (400, "search has %d characters; at most 200" % len(search))
    listen(scenario)
