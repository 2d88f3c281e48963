"""Programs that wait for jobs, or for what changes: how jobs stand, and who is told when."""

import asyncio
import sqlite3
from typing import Any, Dict, List, Tuple

import pytest

from jd import protocol as p
from jd.server.driving import news, waits
from jd.server.store.operators import bulk
from jd.server.store.pages import changelog, standings
from jd.server.store.queue import retry
from jd.server.store.search import conditions, scanning
from tests.server.store_support import Desk
from tests.server.test_drive import Run, act, create, end, run
from tests.server.test_routes import Bench

__all__ = ["run"]


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
        await bench.server.news.close()
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
        ran = [(await bench.beat(worker_id=worker))[1]["job"]["job_id"] for worker in ("v", "w")]

        async def ends(job_id: int) -> None:  # by one write, so that no look falls between two
            await bench.call("POST", p.UPDATE_JOB_STATUS, {"job_id": job_id, "status": "DONE"})

        monkeypatch.setattr(standings, "of_ids", counted)
        monkeypatch.setattr(news, "INTERVAL", 0.05)
        waiting = [held(bench, ids=[1, 2]) for _ in range(20)] + [held(bench, ids=[2])]
        await comes_to_rest(bench, 21)
        looks.clear()
        for _ in range(5):
            await bench.experiment.write(lambda t: None)
        await asyncio.sleep(2 * news.INTERVAL)
        assert not looks
        await ends(ran[0])
        while len(looks) < 2:
            await asyncio.sleep(0.001)
        await asyncio.sleep(2 * news.INTERVAL)
        assert sorted(looks) == [((1, 2),), ((2, 2),)]
        await ends(ran[1])
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


# ---- changes

async def changed(bench: Bench, after: str = "", wait: int = 0) -> Tuple[List[Dict[str, Any]], str]:
    status, answer = await bench.call("GET", "%s?after=%s&wait=%d" % (p.CHANGES, after, wait))
    assert status == 200, answer
    return answer["changes"], answer["cursor"]


def test_what_has_changed_is_told_once_and_as_it_is_now(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 3)
        found, cursor = await changed(bench)
        assert found == []
        await bench.beat()
        await end(bench)
        await act(bench, action="delete", ids=[3])
        found, cursor = await changed(bench, cursor)
        assert [(job["id"], job["status"], job["attempt"]) for job in found] == [
            (1, "SERVED", 1), (2, "DONE", 1), (3, "DELETED", 0)]
        assert found[1] == {
            "id": 2, "status": "DONE", "attempt": 1, "worker": "w", "verdict": "done", "runtime": 0.0,
            "started": bench.now, "finished": bench.now, "retry_at": None, "code": None}
        assert await changed(bench, cursor) == ([], cursor)
        await create(bench, 2)
        await act(bench, action="prioritise", ids=[5])
        found, _ = await changed(bench, cursor)
        assert [(job["id"], job["status"]) for job in found] == [(4, "PENDING"), (5, "PENDING")]
        assert (await changed(bench, "999999-0"))[0] == []
        status, answer = await bench.call("GET", p.CHANGES + "?after=x")
        assert status == 400 and "is no cursor" in answer["error"]
    run(scenario)


def test_changes_come_in_pages_of_which_none_is_missed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelog, "MAX_CHANGES", 3)

    async def scenario(bench: Bench) -> None:
        await create(bench, 8)
        _, cursor = await changed(bench)
        await create(bench, 8)
        await act(bench, action="abort", ids=list(range(1, 11)))
        told: List[int] = []
        while True:
            found, cursor = await changed(bench, cursor)
            if not found:
                break
            told += [job["id"] for job in found]
            if len(told) == 6:
                await act(bench, action="retry", ids=[2, 16])
        assert sorted(told) == sorted([*range(1, 17), 2])
    run(scenario)


def test_who_watches_hears_of_a_change_when_it_happens(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await create(bench, 1)
        _, cursor = await changed(bench)
        watching = asyncio.ensure_future(changed(bench, cursor, 50))
        await comes_to_rest(bench)
        await bench.beat()
        assert [job["status"] for job in (await watching)[0]] == ["SERVED"]
    run(scenario)
