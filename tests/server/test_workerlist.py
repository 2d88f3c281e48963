"""The list of workers and its routes."""

import asyncio
from typing import Any, Callable, Dict, List, Tuple

import pytest

from jd import messages
from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server.store.fleet import commands, presence, workers
from jd.server.store.pages import workerlist
from jd.server.store.pages.workerlist import WorkerQuery
from jd.server.store.queue import ending, jobs
from tests.server.dashboard_bench import Dashboard
from tests.server.store_support import Desk

Ask = Callable[..., Tuple[int, Any]]


@pytest.fixture
def crew(desk: Desk) -> Desk:
    """Seven workers: idle, busy, paused, told to drain, gone, found dead, and one not heard of any more."""
    desk.create(1)
    desk.beat("a_egg_10", host="A", session="1")
    desk.beat("a_egg_9", host="A", session="2", machine_type="gpu")
    desk.beat("b_fox_0", host="B", session="3")
    desk.beat("b_fox_1", host="B", session="4")
    desk.beat("c_owl_0", host="C", session="5")
    desk.beat("c_owl_0", host="C", session="5", leave=True)
    desk.beat("c_owl_1", host="C", session="7")
    desk.beat("c_owl_1", host="C", session="7", leave=True, died=1)
    desk.now -= 10_000
    desk.beat("d_owl_0", host="D", session="6")
    desk.now += 10_000
    desk.write(lambda t: presence.drop_silent(t))
    desk.write(lambda t: commands.tell(t, p.PAUSE, ["b_fox_0"], "dashboard"))
    desk.beat("b_fox_0", host="B", session="3", applied_version=1)
    desk.write(lambda t: commands.tell(t, p.DRAIN, ["b_fox_1"], "dashboard"))
    return desk


def ids(desk: Desk, **query: Any) -> List[str]:
    page = desk.read(lambda db: workerlist.page(db, WorkerQuery(**query)))
    return [row["worker_id"] for row in page.workers]


def test_states_and_counts(crew: Desk) -> None:
    page = crew.read(lambda db: workerlist.page(db, WorkerQuery()))
    assert {row["worker_id"]: row["state"] for row in page.workers} == {
        "a_egg_9": "idle", "a_egg_10": "busy", "b_fox_0": "paused", "b_fox_1": "idle"}
    assert page.total == 4
    assert page.counts == {"idle": 2, "busy": 1, "paused": 1, "queued": 1, "failing": 0}
    gone = crew.read(lambda db: workerlist.page(db, WorkerQuery(tab="disabled")))
    assert {row["worker_id"]: row["state"] for row in gone.workers} == {
        "c_owl_0": "stopped", "c_owl_1": "lost", "d_owl_0": "lost"}
    assert crew.read(workerlist.counts) == {"idle": 2, "busy": 1, "paused": 1, "queued": 1, "failing": 0,
                                        "active": 4, "disabled": 3}


def test_filters(crew: Desk) -> None:
    assert ids(crew, host="A") == ["a_egg_9", "a_egg_10"]
    assert ids(crew, instance="fox", slot=1) == ["b_fox_1"]
    assert ids(crew, slot=0) == ["b_fox_0"]
    assert ids(crew, text="EGG_1") == ["a_egg_10"]
    assert ids(crew, text="gpu") == ["a_egg_9"]
    assert ids(crew, text="a%") == [] and ids(crew, text="\\") == []
    page = crew.read(lambda db: workerlist.page(db, WorkerQuery(host="B", state="queued")))
    assert [row["worker_id"] for row in page.workers] == ["b_fox_1"]
    assert (page.total, page.counts["paused"]) == (1, 1)  # counts show what other states would give
    assert (page.hosts, page.instances, page.slots) == (["A", "B"], ["egg", "fox"], [0, 1, 9, 10])


def test_names_of_published_clients_are_filtered_by_their_parts(desk: Desk) -> None:
    desk.beat("ip100012ec2_Ab3xY9Kq2Z_10")
    desk.beat("gpu-node.7_B3x9Zq_1")
    assert ids(desk, host="ip100012ec2", instance="Ab3xY9Kq2Z", slot=10) == ["ip100012ec2_Ab3xY9Kq2Z_10"]
    assert ids(desk, host="gpu-node.7", instance="B3x9Zq") == ["gpu-node.7_B3x9Zq_1"]


@pytest.mark.parametrize("state", sorted(workerlist.STATES))
def test_every_state_can_be_asked_for(crew: Desk, state: str) -> None:
    for tab in workerlist.TABS:
        page = crew.read(lambda db: workerlist.page(db, WorkerQuery(tab=tab, state=state)))
        assert page.total == len(page.workers)
        if tab == "active" and state in page.counts:
            assert page.total == page.counts[state]


@pytest.mark.parametrize("sort", sorted(workerlist.SORTS))
@pytest.mark.parametrize("sign", ["", "-"])
def test_pages_have_every_worker_once_and_in_order(desk: Desk, sort: str, sign: str) -> None:
    for number in range(23):
        desk.now += number % 3
        desk.beat("h%d_egg_%d" % (number % 4, number), host="h%d" % (number % 4),
                  reported_status="busy" if number % 5 == 0 else "idle",
                  current_job_id=number if number % 5 == 0 and number else None)
    everything = ids(desk, sort=sign + sort)
    paged, after = [], None
    while True:
        page = desk.read(lambda db: workerlist.page(db, WorkerQuery(sort=sign + sort, limit=5, after=after)))
        paged += [row["worker_id"] for row in page.workers]
        after = page.next
        if after is None:
            break
    assert paged == everything and len(set(paged)) == 23
    if sort == "seen":
        page = desk.read(lambda db: workerlist.page(db, WorkerQuery(sort=sign + sort)))
        seen = [row["last_seen"] for row in page.workers]
        assert seen == sorted(seen, reverse=bool(sign))


@pytest.mark.parametrize("query", [
    {"tab": "all"}, {"sort": "colour"}, {"sort": "--seen"}, {"state": "asleep"}, {"after": "x"},
    {"after": "[1]"}, {"after": "[null,\"w\"]"}, {"after": "{}"}, {"after": "[[],\"w\"]"}, {"after": "5"},
    {"after": "[" * 5000}, {"after": "[99999999999999999999,\"w\"]"}, {"after": '["\\ud800","w"]'}])
def test_what_cannot_be_asked_is_said(desk: Desk, query: Dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        desk.read(lambda db: workerlist.page(db, WorkerQuery(**query)))
    with pytest.raises(ProtocolError):
        workerlist.checked(WorkerQuery(**query))


def test_the_latest_jobs_of_a_worker(desk: Desk) -> None:
    desk.create(30)
    for _ in range(25):
        desk.now += 1
        desk.finish(desk.claim(session="s").job_id, attempt=1)
    desk.beat(session="s")
    recent = desk.read(lambda db: workerlist.one(db, "w"))["recent_jobs"]
    assert [job["id"] for job in recent] == list(range(26, 6, -1))
    assert recent[0] == {"id": 26, "status": "SERVED", "verdict": None, "ended": None}
    assert recent[1] == {"id": 25, "status": "DONE", "verdict": "done", "ended": desk.now}


# ---- the routes

@pytest.fixture
def ask(dashboard: Dashboard, loop: asyncio.AbstractEventLoop) -> Ask:
    """Ask as somebody who is signed in; status and JSON."""
    cookie = dashboard.signed_in()

    def send(target: str, body: Any = None) -> Tuple[int, Dict[str, Any]]:
        answer = loop.run_until_complete(asyncio.wait_for(
            dashboard.send("GET" if body is None else "POST", target, body, cookie), 20))
        return answer.status, answer.json
    return send


def beat(dashboard: Dashboard, worker_id: str = "w", **fields: Any) -> workers.Answer:
    message = messages.Heartbeat.from_json(dict({"worker_id": worker_id}, **fields))
    return dashboard.experiment.write_now(lambda t: workers.heartbeat(t, message))


def test_a_page_as_the_browser_gets_it(dashboard: Dashboard, ask: Ask) -> None:
    beat(dashboard, "n_egg_0", host="n", system_metrics={"cpu_util": 3})
    status, page = ask("/web/workers?tab=active&host=&state=&limit=10&slot=0")
    assert status == 200
    assert set(page) == {"workers", "next", "total", "counts", "hosts", "instances", "slots"}
    assert set(page["workers"][0]) == {
        "worker_id", "host", "instance", "slot", "machine_type", "version", "state", "current_job_id",
        "desired_state", "desired_version", "applied_version", "pending", "queued", "requested_at",
        "requested_by", "acknowledged_at", "done_at", "first_seen", "last_seen", "left_at",
        "left_reason", "jobs_done", "jobs_failed", "failures_in_row", "failing",
            "cpu", "memory", "gpu", "gpu_memory"}
    assert page["workers"][0]["failing"] is False and page["workers"][0]["pending"] is False
    status, worker = ask("/web/worker?id=n_egg_0")
    assert status == 200
    assert set(worker) - set(page["workers"][0]) == {"history", "metrics", "series", "recent_jobs"}
    assert worker["metrics"] == {"cpu_util": 3}


@pytest.mark.parametrize("target, status", [
    ("/web/workers?tab=x", 400), ("/web/workers?limit=501", 400), ("/web/workers?limit=0", 400),
    ("/web/workers?slot=-1", 400), ("/web/workers?text=" + "x" * 400, 400),
    ("/web/workers?after=%5B1%5D", 400), ("/web/worker", 400), ("/web/worker?id=nobody", 404)])
def test_bad_questions(ask: Ask, target: str, status: int) -> None:
    found, answer = ask(target)
    assert found == status and answer["error"]


@pytest.mark.parametrize("body", [
    {}, {"action": "dance", "all": True}, {"action": "stop"}, {"action": "stop", "all": False},
    {"action": "stop", "all": True, "host": "h"}, {"action": "stop", "instance": "egg"},
    {"action": "stop", "workers": "w"}, {"action": "stop", "workers": [5]},
    {"action": "stop", "workers": ["w"] * 10_001}, {"action": "stop", "host": 5}, ["stop"]])
def test_bad_commands(dashboard: Dashboard, ask: Ask, body: Any) -> None:
    beat(dashboard)
    status, answer = ask("/web/workers/command", body)
    assert status == 400 and answer["error"]
    assert ask("/web/workers")[1]["counts"]["queued"] == 0


def test_a_command_and_its_preview(dashboard: Dashboard, ask: Ask) -> None:
    for number in range(450):
        beat(dashboard, "n_egg_%d" % number)
    body = {"action": "pause", "all": True}
    status, preview = ask("/web/workers/command", dict(body, preview=True))
    assert (status, preview["affected"], len(preview["workers"])) == (200, 450, 100)
    assert ask("/web/workers")[1]["counts"]["queued"] == 0
    assert ask("/web/workers/command", body)[1]["affected"] == 450
    assert ask("/web/workers")[1]["counts"]["queued"] == 450
    assert ask("/web/workers/command", body)[1] == {"success": True, "affected": 0, "workers": []}
    assert ask("/web/workers/command", {"action": "cancel", "workers": ["n_egg_7"]})[1] == {
        "success": True, "affected": 1, "workers": ["n_egg_7"]}


def test_failed_jobs_of_a_worker_are_sent_back(dashboard: Dashboard, ask: Ask) -> None:
    database = dashboard.experiment.database
    assert ask("/web/create", {"parameters": {"x": list(range(250))}})[0] == 200

    def fail(worker_id: str, verdict: str) -> None:
        job = beat(dashboard, worker_id).reply.job
        assert job is not None
        result = messages.Result.from_json({"job_id": job.job_id, "status": "ABORTED", "verdict": verdict})
        dashboard.experiment.write_now(lambda t: ending.finish(t, result))
    for _ in range(210):
        fail("bad", "failed")
    fail("other", "failed")
    assert ask("/web/workers/retry-failed", {"worker_id": "bad", "preview": True}) == (
        200, {"success": True, "matching": 210})
    assert ask("/web/workers/retry-failed", {"worker_id": "bad"}) == (
        200, {"success": True, "changed": 210})
    counted = database.read(jobs.counts).result(20)
    assert (counted["ABORTED"], counted["PENDING"]) == (1, 249)
    assert ask("/web/workers/retry-failed", {"worker_id": "nobody"})[0] == 404


# ---- what machines measure, and hosts

@pytest.fixture
def machines(desk: Desk) -> Desk:
    """Two hosts with workers that tell different things of themselves."""
    desk.create(3)
    told: List[Tuple[str, str, Dict[str, Any]]] = [
        ("a_egg_0", "A", {"cpu_util": 90.0, "ram_util": 40, "gpu_util": 10.0, "gpu_memory_util": 5.5}),
        ("a_egg_1", "A", {"cpu_util": 70.0, "ram_util": 41}),
        ("b_fox_0", "B", {"cpu_util": "lots", "ram_util": None}),
        ("b_fox_1", "B", {"cpu_util": 0.0}),
        ("c_owl_0", "C", {})]
    for worker_id, host, metrics in told:
        desk.beat(worker_id, host=host, session=worker_id, system_metrics=metrics,
                  status="idle" if host == "A" else p.BUSY)
    return desk


def test_workers_have_what_their_machine_told(machines: Desk) -> None:
    page = machines.read(lambda db: workerlist.page(db, WorkerQuery()))
    assert {row["worker_id"]: (row["cpu"], row["memory"], row["gpu"], row["gpu_memory"])
            for row in page.workers} == {
        "a_egg_0": (90.0, 40, 10.0, 5.5), "a_egg_1": (70.0, 41, None, None), "b_fox_0": (None,) * 4,
        "b_fox_1": (0.0, None, None, None), "c_owl_0": (None,) * 4}
    assert ids(machines, sort="-cpu") == ["a_egg_0", "a_egg_1", "b_fox_1", "b_fox_0", "c_owl_0"]
    assert ids(machines, sort="gpu")[-1] == "a_egg_0"


def test_damaged_figures_of_one_worker_leave_the_list_to_the_others(machines: Desk) -> None:
    machines.write(lambda t: t.db.execute(
        "UPDATE workers SET system_metrics = '{\"cpu_util' WHERE worker_id = 'a_egg_0'") and None)
    page = machines.read(lambda db: workerlist.page(db, WorkerQuery(sort="-cpu")))
    assert [row["cpu"] for row in page.workers[:3]] == [70.0, 0.0, None]
    found = machines.read(lambda db: workerlist.hosts(db, WorkerQuery(sort="host")))
    assert found.hosts[0]["cpu"] == 70.0


def test_sorting_by_a_measure_goes_on_behind_a_page(machines: Desk) -> None:
    seen: List[str] = []
    after = None
    while True:
        page = machines.read(lambda db: workerlist.page(db, WorkerQuery(sort="-cpu", limit=2, after=after)))
        seen += [row["worker_id"] for row in page.workers]
        after = page.next
        if after is None:
            break
    assert seen == ["a_egg_0", "a_egg_1", "b_fox_1", "b_fox_0", "c_owl_0"]


def test_hosts_are_counted(machines: Desk) -> None:
    found = machines.read(lambda db: workerlist.hosts(db, WorkerQuery(sort="host")))
    assert found.total == 3
    first = dict(found.hosts[0])
    assert first.pop("seen") == machines.now
    assert first == {"host": "A", "workers": 2, "busy": 2, "idle": 0, "paused": 0, "failing": 0, "done": 0,
                     "failed": 0, "cpu": 80.0, "memory": 40.5, "gpu": 10.0, "gpu_memory": 5.5}
    assert [(one["host"], one["cpu"], one["memory"]) for one in found.hosts[1:]] == [
        ("B", 0.0, None), ("C", None, None)]
    by_load = machines.read(lambda db: workerlist.hosts(db, WorkerQuery(sort="-cpu")))
    assert [one["host"] for one in by_load.hosts] == ["A", "B", "C"]
    narrowed = machines.read(lambda db: workerlist.hosts(db, WorkerQuery(sort="host", text="fox")))
    assert ([one["host"] for one in narrowed.hosts], narrowed.total) == (["B"], 1)


def test_the_route_of_hosts_says_what_it_knows(ask: Ask) -> None:
    status, body = ask("/web/workers/hosts")
    assert (status, body) == (200, {"hosts": [], "total": 0})
    status, body = ask("/web/workers/hosts?sort=left")
    assert status == 400 and "sort must be one of host, workers" in body["error"]
