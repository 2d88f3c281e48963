"""Driving a sweep over the API: jobs are changed, waited for, and their results read."""

import asyncio
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Tuple

import pytest

from jd import protocol as p
from jd.server.api import jobsearch
from jd.server.store.operators import bulk
from jd.server.store.pages.results import resultrows
from jd.server.store.queue import jobs
from jd.server.store.search import scanning
from tests.server.scenes import play
from tests.server.test_routes import Bench

Scenario = Callable[[Bench], Awaitable[None]]
Run = Callable[[Scenario], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: play(lambda: Bench(tmp_path), scenario)


async def create(bench: Bench, count: int, **more: Any) -> None:
    body = dict({"parameters": {"x": list(range(count))}}, **more)
    status, _ = await bench.call("POST", p.CREATE_JOBS, body)
    assert status == 200


async def act(bench: Bench, **body: Any) -> Dict[str, Any]:
    status, answer = await bench.call("POST", p.ACT_ON_JOBS, body)
    assert status == 200, answer
    return answer


async def end(bench: Bench, status: str = "DONE", **fields: Any) -> None:
    """One job is claimed and ends."""
    _, reply = await bench.beat()
    job_id = reply["job"]["job_id"]
    await bench.call("POST", p.UPDATE_JOB_STATUS, dict(job_id=job_id, status=status, **fields))


async def counts(bench: Bench) -> Dict[str, int]:
    return {status: n for status, n in (await bench.experiment.look_up(jobs.counts)).items() if n}


# ---- acting

def test_jobs_of_a_filter_are_changed_as_on_the_dashboard(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 30)
        assert await act(bench, action="delete", where="x>=20", preview=True) == {
            "matching": 10, "eligible": 10,
            "by_status": {"PENDING": 10, "SERVED": 0, "DONE": 0, "ABORTED": 0}}
        assert await act(bench, action="delete", where="x>=20", reason="too many") == {
            "success": True, "changed": 10, "skipped": 0}
        assert await act(bench, action="restore", ids=[21, 22, 1, 99]) == {
            "success": True, "changed": 2, "skipped": 2}
        await bench.beat()
        assert (await act(bench, action="abort", ids=[1, 2], reason="enough"))["changed"] == 2
        assert await counts(bench) == {"PENDING": 20, "ABORTED": 2, "DELETED": 8}
        _, listed = await bench.call("GET", p.LIST_JOBS + "?ids=1")
        assert listed["jobs"][0]["message"][-1]["reason"] == (
            "attempt 1 stopped on w: aborted by a program: enough")
    run(scenario)


def test_a_priority_between_first_and_last(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 3)
        assert (await act(bench, action="prioritise", ids=[2], priority=5))["changed"] == 1
        assert (await act(bench, action="prioritise", ids=[2, 3], priority=5))["changed"] == 1
        await act(bench, action="prioritise", ids=[3])
        _, listed = await bench.call("GET", p.LIST_JOBS)
        assert [job["priority"] for job in listed["jobs"]] == [0, 5, 1000]
        assert [line["reason"] for line in listed["jobs"][2]["message"]] == ["its priority is 5", "put first"]
        assert (await act(bench, action="normal", where=""))["changed"] == 2
    run(scenario)


def test_a_hundred_thousand_ids_are_one_order(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 50)
        ids = list(range(1, p.MAX_DRIVEN_IDS + 1))
        assert (await act(bench, action="delete", ids=ids, preview=True))["matching"] == 50
        assert (await act(bench, action="delete", ids=ids))["changed"] == 50
        status, answer = await bench.call("POST", p.ACT_ON_JOBS, {"action": "delete", "ids": [*ids, 1]})
        assert status == 400 and "at most 100000" in answer["error"]
    run(scenario)


def test_an_order_goes_on_when_its_client_has_gone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "SLICE", 2)

    async def scenario(bench: Bench) -> None:
        await create(bench, 30)
        begun, over = asyncio.Event(), asyncio.Event()
        bench.experiment.on_commit(lambda _: begun.set() if bench.experiment.bulk else over.set())
        order = asyncio.ensure_future(act(bench, action="delete", where="x>=10"))
        await begun.wait()
        status, second = await bench.call("POST", p.ACT_ON_JOBS, {"action": "retry", "where": ""})
        assert status == 409 and "are being changed already (delete" in second["error"]
        over.clear()
        order.cancel()
        await over.wait()
        assert await counts(bench) == {"PENDING": 10, "DELETED": 20}
    run(scenario)


def test_parameters_of_one_job(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 2)
        await bench.beat()
        for job_id, status in ((2, 200), (1, 409), (3, 404)):
            assert (await bench.call("POST", "/api/jobs/%d/parameters" % job_id,
                                     {"parameters": {"x": 7, "y": "z"}, "reason": "typo"}))[0] == status
        _, listed = await bench.call("GET", p.LIST_JOBS)
        assert [job["parameters"] for job in listed["jobs"]] == [{"x": 0}, {"x": 7, "y": "z"}]
    run(scenario)


@pytest.mark.parametrize("route, body, says", [
    (p.ACT_ON_JOBS, {"action": "delete"}, "exactly one of ids (a list) or where"),
    (p.ACT_ON_JOBS, {"action": "delete", "filter": ""}, "exactly one of ids (a list) or where"),
    (p.ACT_ON_JOBS, {"action": "delete", "ids": [1], "where": ""}, "exactly one of"),
    (p.ACT_ON_JOBS, {"action": "explode", "where": ""}, "action must be one of delete"),
    (p.ACT_ON_JOBS, {"action": "delete", "where": "nope=1"}, "there is no 'nope'"),
    (p.ACT_ON_JOBS, {"action": "retry", "where": "", "priority": 1}, "priority is for the action prioritise"),
    (p.ACT_ON_JOBS, {"action": "prioritise", "where": "", "priority": 1001}, "from -1000 to 1000"),
    (p.ACT_ON_JOBS, {"action": "abort", "where": "", "keep_checkpoint": True}, "is for the action retry"),
    (p.WAIT_FOR_JOBS, {}, "exactly one of ids (a list) or where"),
    (p.WAIT_FOR_JOBS, {"where": "a=\""}, "quote is not closed"),
    (p.WAIT_FOR_JOBS, {"where": "nope=1"}, "there is no 'nope'"),
    (p.WAIT_FOR_JOBS, {"ids": [0]}, "positive whole number"),
    (p.WAIT_FOR_JOBS, {"where": "", "status": "FINE"}, "status must be one of"),
    (p.WAIT_FOR_JOBS, {"where": "", "wait": 56}, "from 0 to 55"),
    (p.WAIT_FOR_JOBS, {"where": "", "include_aborted": 1}, "true or false"),
])
def test_what_makes_no_sense_says_so(run: Run, route: str, body: Any, says: str) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        status, answer = await bench.call("POST", route, body)
        assert status == 400 and says in answer["error"]
        assert bench.experiment.bulk is None
    run(scenario)


# ---- results

async def upload(bench: Bench, job_id: int, text: str) -> None:
    status, _ = await bench.put(p.UPLOAD, "file", "result.json", text.encode(), {"job_id": str(job_id)})
    assert status == 200


def test_results_are_rows_in_the_order_of_ids(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 3)
        await bench.beat()
        await upload(bench, 1, '{"acc": 0.5, "loss": NaN, "worst": -1e999, "val": {"n": 3}}')
        bench.now += 5
        await bench.call("POST", p.UPDATE_JOB_STATUS, {"job_id": 1, "status": "DONE", "runtime": 4.5})
        _, answer = await bench.call("GET", p.RESULTS)
        assert answer["next"] is None and [row["id"] for row in answer["rows"]] == [1, 2, 3]
        assert answer["rows"][0] == {
            "id": 1, "status": "DONE", "verdict": "done", "parameters": {"x": 0}, "runtime": 4.5,
            "results": {"acc": 0.5, "loss": "NaN", "worst": "-Infinity", "val.n": 3}, "worker": "w",
            "attempt": 1, "code": None, "started": 1_000_000.0, "finished": 1_000_005.0, "batch": 1,
            "tags": None}
        assert answer["rows"][1]["results"] == {} and answer["rows"][1]["verdict"] is None
        _, answer = await bench.call("GET", p.RESULTS + "?where=acc%3E0.4")
        assert [row["id"] for row in answer["rows"]] == [1]
        status, answer = await bench.call("GET", p.RESULTS + "?limit=5001")
        assert status == 400 and "from 1 to 5000" in answer["error"]
    run(scenario)


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("most", [10 ** 6, 8])
def test_results_come_in_pages(run: Run, monkeypatch: pytest.MonkeyPatch, few: bool, most: int) -> None:
    """`most` characters, or as many jobs as one request may look at."""
    monkeypatch.setattr(resultrows, "MAX_CHARS", most)
    if not few:
        monkeypatch.setattr(scanning, "FEW", -1)
        monkeypatch.setattr(scanning, "SCAN", 2)

    async def scenario(bench: Bench) -> None:
        await create(bench, 20)
        found: List[int] = []
        after, pages = 0, 0
        while after is not None:
            _, answer = await bench.call("GET", p.RESULTS + "?where=x%%3E=3&limit=5&after=%d" % after)
            assert len(answer["rows"]) <= 5
            found += [row["id"] for row in answer["rows"]]
            after, pages = answer["next"], pages + 1
        assert found == list(range(4, 21)) and pages >= 4
    run(scenario)


# ---- lists and single jobs

async def listed(bench: Bench, query: str) -> Tuple[List[int], int]:
    """The ids of a page, and how many there are in all."""
    status, answer = await bench.call("GET", p.LIST_JOBS + "?" + query)
    assert status == 200, answer
    assert answer["total_pages"] == -(-answer["total_count"] // answer["per_page"])
    return [job["id"] for job in answer["jobs"]], answer["total_count"]


@pytest.mark.parametrize("few", [True, False])
def test_a_list_of_a_filter_in_any_order(run: Run, monkeypatch: pytest.MonkeyPatch, few: bool) -> None:
    if not few:
        monkeypatch.setattr(scanning, "FEW", -1)
        monkeypatch.setattr(scanning, "SCAN", 3)
        monkeypatch.setattr(jobsearch, "STEP", 2)

    async def scenario(bench: Bench) -> None:
        await create(bench, 10)
        await act(bench, action="delete", ids=[9])
        await end(bench)
        for query, ids, total in (
                ("where=x%3E=2", [3, 4, 5, 6, 7, 8, 10], 7), ("where=x%3E=2&per_page=3&page=2", [6, 7, 8], 7),
                ("where=x%3E=2&per_page=3&page=4", [], 7), ("sort=-x&per_page=4", [10, 8, 7, 6], 9),
                ("sort=-x&per_page=4&page=3", [1], 9), ("sort=-id&per_page=2", [10, 8], 9),
                ("where=x%3E2&sort=-x&per_page=2&page=2", [7, 6], 6),
                ("where=x%3C3&status=PENDING", [2, 3], 2),
                ("where=status%3DDONE&status=PENDING", [], 0), ("where=x%3E6&status=DELETED", [9], 1),
                ("where=x%3C3&ids=1,3,5", [1, 3], 2), ("where=x%3C3&search=2", [2], 1),
                ("where=x%3C3&search=7", [], 0), ("sort=-attempts&per_page=2", [1, 10], 9)):
            assert await listed(bench, query) == (ids, total), query
        for wrong, says in (("where=nope%3D1", "there is no 'nope'"), ("sort=nope", "there is no 'nope'")):
            status, answer = await bench.call("GET", p.LIST_JOBS + "?" + wrong)
            assert status == 400 and says in answer["error"]
    run(scenario)


def test_a_search_that_takes_too_long_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobsearch, "SECONDS", -1.0)

    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        for query in ("where=x%3D0", "sort=-x"):
            assert (await bench.call("GET", p.LIST_JOBS + "?" + query))[0] == 503
    run(scenario)


def test_a_list_says_why_a_job_failed_and_when_it_is_tried_again(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        await end(bench, "ABORTED", exit_code=3)
        _, answer = await bench.call("GET", p.LIST_JOBS)
        job = answer["jobs"][0]
        assert (job["verdict"], job["exit_code"], job["retry_at"], job["code"]) == (
            "failed", 3, bench.now + 30.0, None)
    run(scenario)


def test_one_job_with_everything_that_is_known_of_it(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 2)
        await end(bench, "ABORTED", exit_code=3, runtime=2.0, message="no such file")
        await act(bench, action="retry", ids=[1])
        await bench.beat(worker_id="v")
        await upload(bench, 1, '{"acc": 0.5, "loss": NaN}')
        _, one = await bench.call("GET", p.LIST_JOBS + "/1")
        _, answer = await bench.call("GET", p.LIST_JOBS + "?ids=1")
        assert {name: one[name] for name in answer["jobs"][0]} == answer["jobs"][0]
        assert one["results"] == {"acc": 0.5, "loss": "NaN"}
        assert one["history"] == one["message"]
        first, second = one["attempts"]
        assert first == {
            "attempt": 1, "status": "ABORTED", "verdict": "failed", "error": "no such file",
            "message": "no such file", "exit_code": 3,
            "runtime": 2.0, "worker_id": "w", "host": None, "started": bench.now, "ended": bench.now,
            "code": None}
        assert (second["attempt"], second["status"], second["verdict"], second["ended"]) == (
            2, "SERVED", None, None)
        assert [(file["filename"], file["attempt"]) for file in one["uploads"]] == [("result.json", 2)]
        await bench.call("POST", p.UPDATE_JOB_STATUS, {"job_id": 1, "status": "DONE"})
        _, one = await bench.call("GET", p.LIST_JOBS + "/1")
        assert one["attempts"][1]["status"] == "DONE"
        assert (await bench.call("GET", p.LIST_JOBS + "/9"))[0] == 404
    run(scenario)


# ---- the whole sweep

def test_a_sweep_is_paused_and_goes_on(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 3)
        await end(bench, "ABORTED")
        await end(bench)
        bench.now += 60
        _, sweep = await bench.call("GET", p.SWEEP)
        assert sweep["per_hour"] > 0 and sweep["eta"] > 0 and sweep["next_retry"] == bench.now - 30
        assert sweep["workers"] == {"busy": 0, "idle": 1, "paused": 0} and sweep["now"] == bench.now
        assert (sweep["finished"], sweep["coming_back"], sweep["failed_in_hour"]) == (1, 1, 1)
        status, sweep = await bench.call("POST", p.SWEEP, {"paused": True})
        assert status == 200 and sweep["paused"] and sweep["eta"] is None
        assert (await bench.beat())[1]["job"] is None
        assert not (await bench.call("POST", p.SWEEP, {"paused": False}))[1]["paused"]
        assert (await bench.beat())[1]["job"] is not None
        assert (await bench.call("POST", p.SWEEP, {"paused": 1}))[0] == 400
    run(scenario)
