"""Driving a sweep over the API: jobs are changed, waited for, and their results read."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Tuple

import pytest

from jd import protocol as p
from jd.server.api import jobsearch
from jd.server.driving import news, waits
from jd.server.store.operators import bulk
from jd.server.store.pages import resultrows, standings
from jd.server.store.queue import jobs, retry
from jd.server.store.search import conditions, scanning
from tests.server.scenes import play
from tests.server.store_support import Desk
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


# ---- how jobs stand

def in_all_statuses(desk: Desk) -> None:
    """1 and 6 PENDING, 2 SERVED, 3 DONE, 4 ABORTED and coming back, 5 ABORTED for good, 7 DELETED."""
    desk.create(7)
    desk.write(lambda t: bulk.act(t, bulk.PRIORITISE, [2, 3, 4], ""))
    for _ in range(3):
        desk.beat()
    desk.finish(3)
    desk.finish(4, "ABORTED")
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [5], ""))
    desk.write(lambda t: bulk.act(t, bulk.DELETE, [7], ""))


@pytest.mark.parametrize("ids, found", [
    (range(1, 10), (2, 1, 1, 2, 1, 1, 2)), ([2, 4, 6, 9], (1, 1, 0, 1, 0, 1, 1)),
    ([5], (0, 0, 0, 1, 0, 0, 0)), ([], (0, 0, 0, 0, 0, 0, 0)), ([9, 3, 1], (1, 0, 1, 0, 0, 0, 1)),
])
def test_standings_of_ids(desk: Desk, monkeypatch: pytest.MonkeyPatch, ids: List[int],
                          found: Tuple[int, ...]) -> None:
    in_all_statuses(desk)
    monkeypatch.setattr(standings, "RUNS", 2)
    standing = desk.read(lambda db: standings.of_ids(db, standings.runs(ids)))
    assert (*standing.by_status.values(), standing.will_retry, standing.missing) == found


@pytest.mark.parametrize("text, found", [
    ("", (2, 1, 1, 2, 0, 1)), ("x>=3", (1, 0, 0, 2, 0, 1)), ("status=DELETED,DONE", (0, 0, 1, 0, 1, 0)),
    ("id=5", (0, 0, 0, 1, 0, 0)), ("status=ABORTED", (0, 0, 0, 2, 0, 1)),
])
def test_standings_of_a_filter(desk: Desk, monkeypatch: pytest.MonkeyPatch, text: str,
                               found: Tuple[int, ...]) -> None:
    in_all_statuses(desk)
    for few in (scanning.FEW, -1):
        monkeypatch.setattr(scanning, "FEW", few)
        monkeypatch.setattr(scanning, "SCAN", 2)
        standing = desk.read(lambda db: standings.of_filter(db, conditions.compiled(db, text, desk.now)))
        assert (*standing.by_status.values(), standing.will_retry) == found


def test_ids_become_runs() -> None:
    assert standings.runs([3, 1, 2, 7, 9, 8]) == ((1, 3), (7, 9))


def test_no_look_at_ids_goes_through_the_jobs(desk: Desk) -> None:
    seen: List[str] = []

    def look(db: sqlite3.Connection) -> None:
        class Spy:
            def execute(self, sql: str) -> Any:
                seen.extend(row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql))
                return db.execute(sql)
        standings.of_ids(Spy(), ((1, 5), (7, 7)))  # type: ignore[arg-type]
    in_all_statuses(desk)
    desk.read(look)
    plan = [step for step in seen if "INDEX jobs_" in step]
    assert len(plan) == 2 and "COVERING INDEX jobs_by_status (status=? AND " in plan[0]
    assert "jobs_retry" in plan[1] and not any("SCAN" in step and "jobs" in step for step in seen)


# ---- waiting

async def waited(bench: Bench, **body: Any) -> Dict[str, Any]:
    status, answer = await bench.call("POST", p.WAIT_FOR_JOBS, body)
    assert status == 200, answer
    return answer


def held(bench: Bench, **body: Any) -> "asyncio.Task[Dict[str, Any]]":
    return asyncio.ensure_future(waited(bench, **dict({"wait": 50}, **body)))


async def comes_to_rest(bench: Bench, waiting: int = 1) -> None:
    """Until so many questions wait for news."""
    while bench.server.news._waiting < waiting:
        await asyncio.sleep(0.001)


def test_how_jobs_stand_at_once(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 4)
        await end(bench)
        bench.now += 60
        answer = await waited(bench, ids=[1, 2, 3, 9])
        assert answer.pop("cursor")
        assert answer.pop("eta") > 0
        assert answer == {"finished": False, "will_retry": 0, "missing": 1, "by_status": {
            "PENDING": 2, "SERVED": 0, "DONE": 1, "ABORTED": 0, "DELETED": 0}}
        done = await waited(bench, ids=[1])
        assert done["finished"] and done["eta"] is None
        assert (await waited(bench, ids=[]))["finished"]
        assert not (await waited(bench, where="x<2"))["finished"]
        assert (await waited(bench, where="x<1"))["finished"]
    run(scenario)


@pytest.mark.parametrize("question", [{"ids": [1, 2]}, {"where": ""}, {"where": "x<5"}])
def test_a_wait_is_answered_when_the_last_job_ends(run: Run, question: Dict[str, Any]) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 2)
        await end(bench)
        waiting = held(bench, **question)
        await comes_to_rest(bench)
        loop = asyncio.get_running_loop()
        await end(bench)
        ended = loop.time()
        assert (await waiting)["finished"] and loop.time() - ended < 1.0
    run(scenario)


def test_a_job_that_is_tried_again_is_not_the_end(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1, max_attempts=2)
        await end(bench, "ABORTED")
        answer = await waited(bench, ids=[1])
        assert (answer["finished"], answer["will_retry"], answer["by_status"]["ABORTED"]) == (False, 1, 1)
        assert not (await waited(bench, ids=[1], status="ABORTED"))["finished"]
        waiting = held(bench, ids=[1])
        await comes_to_rest(bench)
        bench.now += 10_000
        await bench.experiment.write(lambda t: retry.retry_due(t, 10))
        await end(bench, "ABORTED")
        answer = await waiting
        assert (answer["finished"], answer["will_retry"]) == (True, 0)
        assert not (await waited(bench, ids=[1], include_aborted=False))["finished"]
        assert (await waited(bench, ids=[1], status="ABORTED"))["finished"]
    run(scenario)


def test_what_is_deleted_or_missing_is_not_waited_for(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 2)
        waiting = held(bench, ids=[1, 2, 3])
        await comes_to_rest(bench)
        await end(bench)
        await act(bench, action="delete", ids=[2])
        answer = await waiting
        assert (answer["finished"], answer["by_status"]["DELETED"], answer["missing"]) == (True, 1, 1)
    run(scenario)


def test_who_knows_how_jobs_stand_hears_of_the_next_change(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 3)
        known = (await waited(bench, where=""))["cursor"]
        waiting = held(bench, where="", changes_after=known)
        await comes_to_rest(bench)
        await bench.beat()
        answer = await waiting
        assert answer["by_status"]["SERVED"] == 1 and answer["cursor"] != known and not answer["finished"]
        assert (await waited(bench, where="", changes_after=known, wait=50))["cursor"] == answer["cursor"]
    run(scenario)


def test_the_time_of_a_wait_ends_and_so_does_the_server(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        assert not (await waited(bench, where="", wait=0.01))["finished"]
        waiting = held(bench, where="")
        await comes_to_rest(bench)
        bench.server.news.close()
        assert not (await waiting)["finished"]
    run(scenario)


def test_equal_questions_cost_one_look_and_only_after_a_change(run: Run,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    looks: List[Any] = []
    of_ids = standings.of_ids

    def counted(db: sqlite3.Connection, wanted: Any) -> standings.Standing:
        looks.append(wanted)
        return of_ids(db, wanted)

    async def scenario(bench: Bench) -> None:
        await create(bench, 2)
        monkeypatch.setattr(standings, "of_ids", counted)
        monkeypatch.setattr(news, "INTERVAL", 0.05)
        waiting = [held(bench, ids=[1, 2]) for _ in range(20)] + [held(bench, ids=[2])]
        await comes_to_rest(bench, 21)
        looks.clear()
        for _ in range(5):
            await bench.experiment.write(lambda t: None)
        await asyncio.sleep(2 * news.INTERVAL)
        assert not looks
        await end(bench)
        while len(looks) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(2 * news.INTERVAL)
        assert sorted(looks) == [((1, 2),), ((2, 2),)]
        await end(bench)
        assert all([(await one)["finished"] for one in waiting])
        assert not bench.server.news._waiting
    run(scenario)


def test_who_leaves_takes_nothing_from_who_asks_the_same(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        first, second = held(bench, where=""), held(bench, where="")
        await comes_to_rest(bench, 2)
        first.cancel()
        await end(bench)
        assert (await second)["finished"]
    run(scenario)


def test_no_more_wait_than_the_server_takes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "MAX_WAITING", 1)

    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        waiting = held(bench, where="")
        await comes_to_rest(bench)
        status, answer = await bench.call("POST", p.WAIT_FOR_JOBS, {"ids": [1]})
        assert status == 503 and "wait for jobs" in answer["error"]
        await end(bench)
        await waiting
        assert (await waited(bench, ids=[1]))["finished"]
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
            "attempt": 1, "code": None, "started": 1_000_000.0, "finished": 1_000_005.0, "batch": 1}
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
            "attempt": 1, "status": "ABORTED", "verdict": "failed", "message": "no such file", "exit_code": 3,
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
