"""What people do to jobs on the dashboard, in the store and through the routes."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Awaitable, Callable, Coroutine, Dict, List, Optional, Tuple, TypeVar

import pytest

from jd import protocol as p
from jd.net.serving.routing import Request, Response
from jd.server import sweeper
from jd.server.creation.batch import from_grid
from jd.server.store.operators import batches, bulk
from jd.server.store.queue import attempts, jobs
from jd.server.store.schema import MIGRATIONS
from jd.server.store.search import scanning
from jd.server.store.transaction import Happened, Transaction
from tests.server.dashboard_bench import Answer, Dashboard
from tests.server.store_support import Desk

T = TypeVar("T")


def act(desk: Desk, action: str, *ids: int, reason: str = "") -> Tuple[int, int]:
    """How many jobs were changed, and how many are PENDING by that."""
    return desk.write(lambda t: bulk.act(t, action, ids, reason)), desk.happened.pending


def history(desk: Desk, job_id: int) -> List[str]:
    return [line["reason"] for line in desk.job(job_id)["message"]]


def in_all_statuses(desk: Desk) -> Dict[int, Optional[str]]:
    """1 PENDING, 2 SERVED, 3 DONE, 4 ABORTED and coming back, 5 DELETED."""
    desk.create(5)
    act(desk, bulk.PRIORITISE, 2, 3, 4)
    for _ in range(3):
        desk.beat()
    desk.finish(3)
    desk.finish(4, "ABORTED")
    act(desk, bulk.DELETE, 5)
    return {job_id: desk.status(job_id) for job_id in range(1, 6)}


@pytest.mark.parametrize("action", [action for action in bulk.ACTIONS if action != bulk.TAG])
def test_what_an_action_costs_grows_with_its_jobs_and_not_with_all(desk: Desk, action: str) -> None:
    """A slice of an order looked at all jobs in a status, so that an order took quadratic time."""
    def steps(ids: range) -> int:
        counted = [0]

        def count() -> None:
            counted[0] += 1

        desk.write(lambda t: t.db.set_progress_handler(count, 10))
        act(desk, action, *ids)
        desk.write(lambda t: t.db.set_progress_handler(None, 0))
        return counted[0]

    def prepare() -> None:
        desk.create(20)
        if action in (bulk.RESTORE, bulk.RETRY):
            act(desk, bulk.ABORT if action == bulk.RETRY else bulk.DELETE, *range(1, 2000))
        elif action == bulk.NORMAL:
            act(desk, bulk.PRIORITISE, *range(1, 2000))

    prepare()
    few = steps(range(1, 11))
    desk.create(1500)
    prepare()
    assert steps(range(101, 111)) < 1.5 * few


@pytest.mark.parametrize("action, changed, freed", [
    (bulk.DELETE, {1: "DELETED", 3: "DELETED", 4: "DELETED"}, 0),
    (bulk.RESTORE, {5: "PENDING"}, 1),
    (bulk.RETRY, {3: "PENDING", 4: "PENDING"}, 2),
    (bulk.ABORT, {1: "ABORTED", 2: "ABORTED"}, 0),
])
def test_an_action_changes_the_jobs_that_may_take_it(desk: Desk, action: str, changed: Dict[int, str],
                                                     freed: int) -> None:
    before = in_all_statuses(desk)
    assert before == {1: "PENDING", 2: "SERVED", 3: "DONE", 4: "ABORTED", 5: "DELETED"}
    lines = {job_id: len(history(desk, job_id)) for job_id in before}
    assert act(desk, action, *range(1, 8), reason="because") == (len(changed), freed)
    assert {job_id: desk.status(job_id) for job_id in before} == {**before, **changed}
    for job_id in before:
        new = history(desk, job_id)[lines[job_id]:]
        assert len(new) == (job_id in changed) and all(line.endswith(": because") for line in new)
    assert {status for job_id, status in before.items() if job_id in changed} == set(bulk.ELIGIBLE[action])
    assert act(desk, action, *changed) == (0, 0)


def test_restore_brings_back_what_was(desk: Desk) -> None:
    before = in_all_statuses(desk)
    act(desk, bulk.DELETE, 1, 3, 4)
    assert act(desk, bulk.RESTORE, 1, 3, 4) == (3, 1)
    assert [desk.status(job_id) for job_id in (1, 3, 4)] == [before[job_id] for job_id in (1, 3, 4)]
    assert act(desk, bulk.DELETE, 3) == (1, 0) and act(desk, bulk.RESTORE, 3) == (1, 0)


def test_replaced_jobs_can_be_restored(desk: Desk) -> None:
    desk.create(2)
    desk.add(from_grid({"y": [1]}), replace=batches.REPLACE_PENDING)
    assert act(desk, bulk.RESTORE, 1, 2) == (2, 2)


def test_jobs_that_a_version_before_deleted_or_replaced_can_be_restored(tmp_path: Path) -> None:
    with closing(sqlite3.connect(str(tmp_path / "jobs.db"))) as old:
        old.executescript("".join(MIGRATIONS[:5]) + "PRAGMA user_version = 5;")
        old.executemany("INSERT INTO jobs (status, parameters, deleted_from) VALUES (?, '{}', ?)", [
            ("DELETED", None), ("DELETED", "PENDING 12"), ("DELETED", "DONE"), ("DONE", None)])
        old.execute("UPDATE job_counts SET n = 3 WHERE status = 'DELETED'")
        old.commit()
    desk = Desk(tmp_path)
    try:
        assert desk.read(lambda db: db.execute(
            "SELECT deleted_from, replaced_by FROM jobs ORDER BY id").fetchall()) == [
                ("PENDING", None), ("PENDING", 12), ("DONE", None), (None, None)]
        assert act(desk, bulk.RESTORE, 1, 2, 3, 4) == (3, 2)
        assert [desk.status(job_id) for job_id in range(1, 5)] == ["PENDING", "PENDING", "DONE", "DONE"]
    finally:
        desk.database.close()


def test_a_deleted_job_is_not_tried_again(desk: Desk) -> None:
    in_all_statuses(desk)
    act(desk, bulk.DELETE, 4)
    desk.now += 10 * desk.policy.retry_pause
    desk.write(sweeper.step)
    assert desk.status(4) == "DELETED"


def test_a_job_sent_back_starts_with_all_its_tries(desk: Desk) -> None:
    desk.create(1)
    for attempt in range(1, 4):
        desk.beat(session="s")
        desk.finish(1, "ABORTED", attempt=attempt)
        act(desk, bulk.RETRY, 1)
    row = desk.read(lambda db: db.execute(
        "SELECT status, failures, interruptions, retry_at, completion_timestamp, attempt"
        " FROM jobs").fetchone())
    assert row == ("PENDING", 0, 0, None, None, 3)
    assert desk.claim(session="s").attempt == 4


def test_the_worker_of_an_aborted_job_is_refused_and_the_job_stays(desk: Desk) -> None:
    desk.create(1)
    desk.beat("w", session="s")
    assert act(desk, bulk.ABORT, 1, reason="wrong data") == (1, 0)
    with pytest.raises(attempts.StaleAttempt, match="has ended"):
        desk.beat("w", session="s", reported_status="busy", current_job_id=1, attempt=1)
    with pytest.raises(attempts.StaleAttempt):
        desk.finish(1, attempt=1)
    assert history(desk, 1) == ["attempt 1 stopped on w: aborted on the dashboard: wrong data"]
    desk.now += 10 * desk.policy.retry_pause
    desk.write(sweeper.step)
    assert desk.status(1) == "ABORTED"
    assert act(desk, bulk.RETRY, 1) == (1, 1)


def test_prioritised_jobs_go_out_first_until_put_back(desk: Desk) -> None:
    desk.create(5)
    assert act(desk, bulk.PRIORITISE, 5, 3, 4) == (3, 0)
    assert act(desk, bulk.PRIORITISE, 5) == (0, 0)
    assert act(desk, bulk.NORMAL, 4, 1) == (1, 0)
    assert [desk.claim("w%d" % number).job_id for number in range(5)] == [3, 5, 1, 2, 4]


def test_jobs_of_a_batch_that_is_being_written_are_left_alone(desk: Desk) -> None:
    desk.create(1)
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, ['{"x": 1}'] * 3))
    for action in bulk.ACTIONS:
        assert act(desk, action, 2, 3, 4) == (0, 0)
    with pytest.raises(bulk.NotPending, match="being created"):
        desk.write(lambda t: bulk.edit(t, 2, '{"x": 2}', ""))
    assert desk.read(jobs.last_id) == 1
    desk.write(batches.abandon)
    assert desk.read(jobs.last_id) == 1


def test_parameters_of_a_pending_job_only(desk: Desk) -> None:
    in_all_statuses(desk)
    desk.write(lambda t: bulk.edit(t, 1, '{"x": "other"}', "typo"))
    assert desk.job(1)["parameters"] == {"x": "other"}
    assert history(desk, 1) == ["parameters changed: typo"]
    for job_id in range(2, 6):
        with pytest.raises(bulk.NotPending, match="only the parameters of a PENDING job"):
            desk.write(lambda t: bulk.edit(t, job_id, '{"x": 1}', ""))
    with pytest.raises(jobs.NoSuchJob):
        desk.write(lambda t: bulk.edit(t, 9, '{"x": 1}', ""))


# ---- the routes

def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.get_event_loop_policy().get_event_loop().run_until_complete(
        asyncio.wait_for(scenario, 20))


def create(dashboard: Dashboard, count: int) -> None:
    batch = from_grid({"x": list(range(count))})
    run(dashboard.server.creation.create(batch))


def asked(dashboard: Dashboard, *requests: Tuple[str, str, Any]) -> List[Answer]:
    """Answers to (method, target, body) of somebody who is signed in."""
    cookie = dashboard.signed_in()

    async def scenario() -> List[Answer]:
        return [await dashboard.send(method, target, body, cookie) for method, target, body in requests]
    return run(scenario())


def post(dashboard: Dashboard, **body: Any) -> Answer:
    return asked(dashboard, ("POST", "/web/jobs/act", body))[0]


def test_a_page_over_http(dashboard: Dashboard) -> None:
    create(dashboard, 60)
    first, wrong, none = asked(
        dashboard, ("GET", "/web/jobs?filter=x%3E3&sort=-x&limit=10", None),
        ("GET", "/web/jobs?limit=201", None), ("GET", "/web/jobs?filter=nope%3D1", None))
    assert first.status == 200 and first.json["columns"] == {
        "parameters": ["x"], "results": [], "needs": [], "tags": [], "failed": False}
    assert [job["id"] for job in first.json["jobs"]] == list(range(60, 50, -1))
    assert first.json["total"] == 56
    target = "/web/jobs?filter=x%%3E3&sort=-x&limit=10&after=%s" % first.json["next"]
    second, = asked(dashboard, ("GET", target, None))
    assert [job["id"] for job in second.json["jobs"]] == list(range(50, 40, -1))
    assert wrong.status == 400 and "from 1 to 200" in wrong.error
    assert none.status == 400 and "param.x" in none.error


def test_everything_needs_a_signin(dashboard: Dashboard) -> None:
    async def scenario() -> List[int]:
        return [(await dashboard.send(method, target, body)).status for method, target, body in (
            ("GET", "/web/jobs", None), ("GET", "/web/jobs/count", None),
            ("POST", "/web/jobs/act", {"action": "delete", "filter": ""}),
            ("POST", "/web/jobs/1/parameters", {"parameters": {"x": 1}}))]
    assert run(scenario()) == [401] * 4


def test_a_page_is_made_once_for_all_until_something_changes(dashboard: Dashboard,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    create(dashboard, 3)
    made = []
    look = dashboard.server.live.shared

    async def shared(request: Request, topics: Tuple[str, ...],
                     make: Callable[[], Awaitable[Response]]) -> Response:
        async def counted() -> Response:
            made.append(request.path)
            return await make()
        return await look(request, topics, counted)

    monkeypatch.setattr(dashboard.server.live, "shared", shared)
    again = ("GET", "/web/jobs", None)
    change = ("POST", "/web/jobs/act", {"action": "prioritise", "ids": [2]})
    answers = asked(dashboard, again, again, change, again)
    assert len(made) == 2
    assert [job["priority"] for job in answers[-1].json["jobs"]] == [0, 1000, 0]


def test_counting_over_http(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    create(dashboard, 30)
    monkeypatch.setattr(scanning, "FEW", -1)
    monkeypatch.setattr(scanning, "SCAN", 20)
    first, second = asked(dashboard, ("GET", "/web/jobs/count?filter=x%3E4", None),
                          ("GET", "/web/jobs/count?filter=x%3E4&after=20", None))
    assert first.json == {"matching": {"PENDING": 15, "SERVED": 0, "DONE": 0, "ABORTED": 0}, "next": 20,
                          "scanned": 20}
    assert second.json["matching"]["PENDING"] == 10 and second.json["next"] is None


@pytest.mark.parametrize("selection", [{"filter": "x>=10"}, {"ids": list(range(11, 31)) + [99]}])
def test_a_large_order_is_done_in_slices_with_progress(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch,
                                                       selection: Dict[str, Any]) -> None:
    create(dashboard, 30)
    monkeypatch.setattr(bulk, "SLICE", 6)
    monkeypatch.setattr(scanning, "FEW", -1)
    monkeypatch.setattr(scanning, "SCAN", 8)
    seen: List[Optional[Tuple[str, int, int]]] = []
    dashboard.experiment.on_commit(lambda _: seen.append(dashboard.experiment.bulk))
    preview = post(dashboard, action="delete", preview=True, **selection).json
    assert (preview["matching"], preview["eligible"], preview["by_status"]["PENDING"]) == (20, 20, 20)
    seen.clear()
    answer = post(dashboard, action="delete", reason="too many", **selection).json
    assert answer == {"success": True, "changed": 20, "skipped": 1 if "ids" in selection else 0}
    assert dashboard.experiment.database.read(jobs.counts).result(20)["DELETED"] == 20
    assert seen[0] == ("delete", 0, 20) and seen[-1] is None and len(seen) >= 4
    done = [one[1] for one in seen if one is not None]
    assert len(done) == len(seen) - 1 and done == sorted(done)


def test_an_order_goes_on_when_its_browser_has_gone_and_is_alone(dashboard: Dashboard,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    create(dashboard, 30)
    monkeypatch.setattr(bulk, "SLICE", 2)
    cookie = dashboard.signed_in()

    async def scenario() -> Answer:
        finished, begun = asyncio.Event(), asyncio.Event()
        dashboard.experiment.on_commit(
            lambda _: begun.set() if dashboard.experiment.bulk else finished.set())
        order = asyncio.ensure_future(dashboard.send(
            "POST", "/web/jobs/act", {"action": "delete", "filter": "x>=10"}, cookie))
        await begun.wait()
        second = await dashboard.send("POST", "/web/jobs/act", {"action": "retry", "filter": ""}, cookie)
        finished.clear()
        order.cancel()
        await finished.wait()
        return second
    second = run(scenario())
    assert second.status == 409 and "are being changed already (delete" in second.error
    assert dashboard.experiment.database.read(jobs.counts).result(20)["DELETED"] == 20
    assert dashboard.experiment.bulk is None


def test_jobs_made_meanwhile_are_not_in_an_order(dashboard: Dashboard,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    create(dashboard, 10)
    monkeypatch.setattr(bulk, "SLICE", 2)
    more = iter([1])

    def create_more(_happened: Happened) -> None:
        for _ in more:
            asyncio.ensure_future(dashboard.experiment.write(_create))
    dashboard.experiment.on_commit(create_more)
    assert post(dashboard, action="delete", filter="").json["changed"] == 10
    assert dashboard.experiment.database.read(jobs.counts).result(20)["PENDING"] == 1


def _create(t: Transaction) -> None:
    start_id = batches.begin(t)
    batches.add(t, start_id, ['{"x": 1}'])
    batches.publish(t, start_id, 1)


def test_waiting_workers_are_called_to_what_came_back(dashboard: Dashboard) -> None:
    create(dashboard, 3)
    post(dashboard, action="delete", ids=[1, 2, 3])
    tickets = [dashboard.server.room.ticket("w%d" % number) for number in range(3)]
    for ticket in tickets:
        ticket.__enter__()
    post(dashboard, action="restore", ids=[1, 2])
    assert [ticket.called for ticket in tickets] == [True, True, False]


def test_parameters_over_http(dashboard: Dashboard) -> None:
    create(dashboard, 2)
    dashboard.experiment.database.write(
        lambda db: db.execute("UPDATE jobs SET status = 'DONE' WHERE id = 2")).result(20)
    answers = asked(dashboard, *[("POST", "/web/jobs/%s/parameters" % job_id, body) for job_id, body in (
        (1, {"parameters": {"x": 7, "y": "z"}, "reason": "why"}), (2, {"parameters": {"x": 1}}),
        (3, {"parameters": {"x": 1}}), (1, {"parameters": {}}), (1, {"parameters": {"a b": 1}}), (1, {}),
        (1, {"parameters": {"x": "y" * p.MAX_PARAMETERS_BYTES}}), (1, [1]))])
    assert [answer.status for answer in answers] == [200, 409, 404, 400, 400, 400, 400, 400]


@pytest.mark.parametrize("body, says", [
    ([], "a JSON object is needed"),
    ({"filter": ""}, "action is missing"),
    ({"action": "explode", "filter": ""}, "action must be one of delete, restore"),
    ({"action": "delete"}, "exactly one of ids"),
    ({"action": "delete", "ids": [1], "filter": ""}, "exactly one of ids"),
    ({"action": "delete", "ids": "1"}, "ids must be a list"),
    ({"action": "delete", "ids": [0]}, "positive whole number"),
    ({"action": "delete", "ids": [True]}, "positive whole number"),
    ({"action": "delete", "ids": [1] * 10_001}, "at most 10000: use a filter"),
    ({"action": "delete", "ids": [1], "reason": "x" * 501}, "at most 500"),
    ({"action": "delete", "ids": [1], "preview": 1}, "preview must be true or false"),
    ({"action": "delete", "filter": 'a="'}, "quote is not closed"),
    ({"action": "delete", "filter": "nope=1"}, "there is no 'nope'"),
])
def test_an_order_that_makes_no_sense_says_so(dashboard: Dashboard, body: Any, says: str) -> None:
    answer, = asked(dashboard, ("POST", "/web/jobs/act", body))
    assert answer.status == 400 and says in answer.error
    assert dashboard.experiment.bulk is None
