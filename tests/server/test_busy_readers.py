"""What people ask is bounded, and in nobody's way."""

import asyncio
import http.client
import sqlite3
import threading
from pathlib import Path
from typing import Any, Awaitable, Callable, List, Tuple

import pytest

from jd import protocol as p
from jd.net.serving.routing import Request
from jd.server.api import jobsearch
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.creation.batch import from_grid
from jd.server.experiment import Experiment
from jd.server.store.pages import joblist
from jd.server.store.pages.joblist import JobQuery
from jd.server.store.policy import Policy
from jd.server.store.queue import codes
from jd.server.store.search import conditions, scanning
from jd.storage.database import READERS
from tests.server.scenes import play
from tests.server.test_routes import Bench

Scenario = Callable[[Bench], Awaitable[None]]
Run = Callable[[Scenario], None]

FOREVER = "WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count) SELECT sum(n) FROM count"


class Endless:
    """In the place of an operation of the store: begun, ended, and how often."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, db: sqlite3.Connection, *_: Any, **__: Any) -> Any:
        self.begun.release()
        try:
            return db.execute(FOREVER).fetchone()
        finally:
            self.ended.release()

    async def await_begun(self, times: int) -> None:
        await _acquired(self.begun, times)

    async def await_ended(self, times: int) -> None:
        await _acquired(self.ended, times)


async def _acquired(semaphore: threading.Semaphore, times: int) -> None:
    for _ in range(times):
        assert await asyncio.get_running_loop().run_in_executor(None, semaphore.acquire, True, 20)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: play(lambda: Bench(tmp_path), scenario, 60)


def readings_last(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """How long a reading for people may take from now on."""
    defaults = Experiment.read.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "seconds", seconds)


def test_workers_and_health_are_answered_while_people_have_all_their_readers(
        run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = Endless()
    monkeypatch.setattr(joblist, "search", endless)
    readings_last(monkeypatch, 30.0)

    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1, 2]}})
        searches = [asyncio.ensure_future(bench.call("GET", "/api/jobs?search=text"))
                    for _ in range(READERS)]
        await endless.await_begun(READERS)
        status, reply = await bench.beat(reported_status="idle")
        assert status == 200 and reply["job"]["job_id"] == 1
        status, reply = await bench.call("POST", p.HEARTBEAT, {
            "worker_id": "w", "reported_status": "busy", "current_job_id": 1, "attempt": 1})
        assert status == 200
        assert (await bench.call("GET", p.HEALTH))[0] == 200
        assert (await bench.call("GET", p.JOB_COUNTS))[1]["SERVED"] == 1
        assert (await bench.call("GET", p.LATEST_CHECKPOINT + "?job_id=1"))[0] == 404
        assert not any(search.done() for search in searches)
        for search in searches:
            search.cancel()
        await endless.await_ended(READERS)
    run(scenario)


def test_no_worker_waits_for_who_asks_how_the_sweep_is_doing(run: Run,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = threading.Event()
    monkeypatch.setattr(codes, "mix", lambda _db: looked_up.wait(30) and None)

    async def scenario(bench: Bench) -> None:
        asked, counted = (asyncio.ensure_future(bench.call("GET", path))  # in one turn of the loop
                          for path in (p.SWEEP, p.JOB_COUNTS))
        try:
            assert (await asyncio.wait_for(counted, 15))[0] == 200
            assert not asked.done()
        finally:
            looked_up.set()
        assert (await asked)[0] == 200
    run(scenario)


def test_a_search_that_takes_too_long_is_an_error_that_says_so(run: Run,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblist, "search", Endless())
    readings_last(monkeypatch, 0.05)

    async def scenario(bench: Bench) -> None:
        status, answer = await bench.call("GET", "/api/jobs?search=text")
        assert status == 503 and "longer than the 0.05 s" in answer["error"]
        assert "ask for less" in answer["error"]
    run(scenario)


def test_a_search_of_many_steps_has_a_deadline_for_all_of_them(run: Run,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "SCAN", 5)
    monkeypatch.setattr(scanning, "FEW", 0)

    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": list(range(20))}})
        status, answer = await bench.call("GET", "/api/jobs?search=x")
        assert status == 200 and answer["total_count"] == 20
        monkeypatch.setattr(jobsearch, "SECONDS", -1.0)
        assert (await bench.call("GET", "/api/jobs?search=x"))[0] == 503
    run(scenario)


@pytest.mark.parametrize("port", ["port", "dashboard_port"])
def test_a_reading_ends_when_its_client_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               port: str) -> None:
    """A real connection that is closed: the API's search, and a page that a viewer shares with nobody."""
    endless = Endless()
    monkeypatch.setattr(joblist, "search", endless)
    monkeypatch.setattr(conditions, "compiled", endless)
    readings_last(monkeypatch, 30.0)
    target = "/api/jobs?search=text" if port == "port" else "/web/jobs?filter=text"

    async def main() -> None:
        experiment = Experiment(tmp_path, "exp", Policy())
        server = JobServer(experiment, Access("127.0.0.1", None, False))

        async def anybody(_request: Request, _route: Any) -> None:
            pass

        monkeypatch.setattr(server.signin, "guard", anybody)
        server.dashboard._guard = anybody
        try:
            await server.start("127.0.0.1", 0, 0)
            loop = asyncio.get_running_loop()
            client = http.client.HTTPConnection("127.0.0.1", getattr(server, port), timeout=60)
            await loop.run_in_executor(None, client.request, "GET", target)
            await endless.await_begun(1)
            client.close()
            await endless.await_ended(1)
        finally:
            await server.stop()
            experiment.close()
    asyncio.run(asyncio.wait_for(main(), 60))


# ---- searching for text

def test_a_search_that_is_too_long_is_refused_and_not_cut(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"jobs": [{"name": "a" * 200}]})
        assert (await bench.call("GET", "/api/jobs?search=" + "a" * 200))[1]["total_count"] == 1
        status, answer = await bench.call("GET", "/api/jobs?search=" + "a" * 200 + "b")
        assert status == 400 and answer["error"] == "search has 201 characters; at most 200"
    run(scenario)


def test_a_search_in_steps_finds_what_one_look_finds(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [{"name": "yes" if number % 3 == 0 else "no"} for number in range(100)]

    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"jobs": jobs})

        async def pages() -> List[int]:
            found = [(await bench.call("GET", "/api/jobs?search=yes&per_page=10&page=%d" % page))[1]
                     for page in range(1, 6)]
            assert {page["total_count"] for page in found} == {34}
            assert {page["total_pages"] for page in found} == {4}
            return [job["id"] for page in found for job in page["jobs"]]

        whole = await pages()
        assert whole == list(range(1, 101, 3))
        monkeypatch.setattr(scanning, "FEW", 0)
        monkeypatch.setattr(scanning, "SCAN", 7)
        assert await pages() == whole
        some = (await bench.call("GET", "/api/jobs?search=yes&ids=1,2,3,4&status=PENDING"))[1]
        assert [job["id"] for job in some["jobs"]] == [1, 4] and some["total_count"] == 2
        assert (await bench.call("GET", "/api/jobs?search=yes&status=DONE"))[1]["jobs"] == []
        piece = "/api/jobs?search=%22name%22%3A%20%22yes"  # a piece of JSON, as it is written
        assert (await bench.call("GET", piece))[1]["total_count"] == 34
    run(scenario)


def test_a_search_finds_the_messages_of_failed_attempts(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1, 2, 3]}})
        for number in (1, 2):
            await bench.beat(reported_status="idle")
            await bench.call("POST", p.UPDATE_JOB_STATUS, {
                "job_id": number, "status": "ABORTED", "message": "CUDA out of memory 100%% (%d)" % number})
        expected: List[Tuple[str, List[int]]] = [
            ("search=out+of+MEMORY", [1, 2]), ("search=100%25+(2", [2]), ("search=out_of", [])]
        for target, ids in expected:
            answer = (await bench.call("GET", "/api/jobs?" + target))[1]
            assert [job["id"] for job in answer["jobs"]] == ids, target
        experiment = bench.experiment
        found = await experiment.read(lambda db: scanning.matching(
            db, conditions.compiled(db, '"out of memory"', 0.0), 0, 10))
        assert found.ids == [1, 2]
    run(scenario)


def test_a_step_of_a_search_looks_at_so_many_jobs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: Bench) -> None:
        monkeypatch.setattr(scanning, "FEW", 0)
        monkeypatch.setattr(scanning, "SCAN", 50)
        batch = from_grid({"x": list(range(200))})
        await bench.server.creation.create(batch)
        step = await bench.experiment.read(lambda db: joblist.search(db, JobQuery(search="x"), 0, 0))
        assert (len(step.ids), step.next, step.scanned) == (50, 50, 50)
    run(scenario)
