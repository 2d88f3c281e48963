"""The live summary: its numbers, who gets it when, and what it costs."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List
from unittest.mock import Mock

import pytest

from jd import messages
from jd import protocol as p
from jd.net.serving.routing import HttpError, Request, Response
from jd.server import sweeper
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.creation.batch import from_grid
from jd.server.dashboard import live as live_module
from jd.server.dashboard.sharing import MAX_AGE, MAX_ANSWERS, MAX_BYTES, Shared
from jd.server.experiment import Experiment
from jd.server.store.fleet import commands, presence, workers
from jd.server.store.operators import options
from jd.server.store.pages import summary
from jd.server.store.policy import Policy
from jd.server.store.queue import claim, ending
from jd.server.store.transaction import Transaction
from tests.net.http_wire import Client, request
from tests.server.dashboard_bench import Dashboard
from tests.server.store_support import Desk, clock_at

Showing = Callable[..., None]


# ---- the numbers

def end(desk: Desk, verdict: str, worker_id: str = "h_abc_0", runtime: float = 60.0) -> None:
    """One attempt of a worker, which ends `runtime` seconds after it began."""
    beat = messages.Heartbeat.from_json({"worker_id": worker_id, "host": "h"})
    job = desk.write(lambda t: workers.heartbeat(t, beat)).reply.job
    assert job is not None
    desk.now += runtime
    desk.write(lambda t: ending.end(t, job.job_id, verdict, runtime=runtime))


def rate(desk: Desk) -> Any:
    return desk.read(lambda db: summary.per_hour(db, desk.now, desk.policy))


def test_nothing_is_known_of_a_sweep_without_ended_jobs(desk: Desk) -> None:
    assert rate(desk) is None
    desk.create(3)
    found = desk.read(lambda db: summary.take(db, desk.now, desk.policy))
    assert (found.total, found.finished, found.per_hour, found.eta(desk.now, 1)) == (3, 0, None, None)


def test_throughput_of_a_steady_sweep_and_when_it_will_be_over(desk: Desk) -> None:
    desk.now = 1_200_000.0  # the beginning of a minute
    desk.create(40)
    for _ in range(20):
        end(desk, p.VERDICT_DONE, runtime=30.0)
    found = desk.read(lambda db: summary.take(db, desk.now, desk.policy))
    assert found.per_hour == pytest.approx(120, rel=0.1)
    assert found.eta(desk.now, 1) == pytest.approx(20 * 30.0, rel=0.1)
    assert (found.total, found.finished) == (40, 20)


def test_failures_of_the_last_hour(desk: Desk) -> None:
    desk.now = 1_200_000.0  # the beginning of a minute
    desk.create(4)
    for verdict in (p.VERDICT_FAILED, p.VERDICT_OOM, p.VERDICT_DONE, p.VERDICT_LOST):
        end(desk, verdict)

    def failed(later: float) -> int:
        return desk.read(lambda db: summary.failed_of_late(db, 1_200_000.0 + later))
    assert [failed(later) for later in (60, 300, 3659, 3660, 3720, 9999)] == [1, 2, 2, 1, 0, 0]


def test_the_time_left_is_that_of_the_workers_that_are_there(desk: Desk) -> None:
    desk.now = 1_200_000.0
    desk.create(100)
    for _ in range(20):  # some at the same time
        desk.now -= 22.5
        end(desk, p.VERDICT_DONE, runtime=30.0)
    found = desk.read(lambda db: summary.take(db, desk.now, desk.policy))
    assert found.runtime == 30.0 and found.per_hour == pytest.approx(400)
    assert found.eta(desk.now, 0) is None  # nobody comes for them
    assert found.eta(desk.now, 1) == pytest.approx(80 * 30.0)
    assert found.eta(desk.now, 4) == found.eta(desk.now, 9) == pytest.approx(80 / 400 * 3600)


def test_nothing_is_finished_before_the_last_retry(desk: Desk) -> None:
    desk.now = 1_200_000.0
    desk.create(3)
    end(desk, p.VERDICT_DONE, runtime=30.0)
    for _ in range(2):
        end(desk, p.VERDICT_FAILED, runtime=30.0)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET retry_at = ? WHERE id = 2", (desk.now + 720,)))
    desk.write(lambda t: t.db.execute("UPDATE jobs SET retry_at = ? WHERE id = 3", (desk.now + 5000,)))
    found = desk.read(lambda db: summary.take(db, desk.now, desk.policy))
    assert (found.coming_back, found.next_retry) == (2, desk.now + 720)
    assert found.eta(desk.now, 8) == 5030


def test_a_failure_of_a_job_with_attempts_of_its_own_uses_up_its_part_of_these(desk: Desk) -> None:
    desk.now = 1_200_000.0
    desk.create(40, max_attempts=1)
    for _ in range(20):
        end(desk, p.VERDICT_FAILED, runtime=30.0)
    assert rate(desk) == pytest.approx(120, rel=0.1)


def test_many_workers_that_end_together_for_the_first_time(desk: Desk) -> None:
    """100 workers, jobs of an hour: after that hour 100 of them end within a minute."""
    desk.now = 1_200_000.0
    desk.create(300)
    for number in range(100):
        beat = messages.Heartbeat.from_json({"worker_id": "h_abc_%d" % number})
        desk.write(lambda t: workers.heartbeat(t, beat))
    desk.now += 3600
    for job_id in range(1, 101):
        desk.write(lambda t: ending.end(t, job_id, p.VERDICT_DONE))
    assert rate(desk) == pytest.approx(100, rel=0.1)


def test_failures_finish_the_part_of_a_job_that_they_use_up(desk: Desk) -> None:
    desk.create(6)
    for _ in range(3):
        end(desk, p.VERDICT_FAILED)
    third = rate(desk)
    for _ in range(3):
        end(desk, p.VERDICT_DONE)
    assert 0 < third < rate(desk)


def test_interruptions_finish_nothing(desk: Desk) -> None:
    desk.create(1)
    end(desk, p.VERDICT_PREEMPTED)
    assert rate(desk) is None


def test_throughput_is_of_late(desk: Desk) -> None:
    desk.create(5)
    end(desk, p.VERDICT_DONE)
    desk.now += 700
    assert rate(desk) is None


def test_failed_jobs_that_come_back_are_not_finished(desk: Desk) -> None:
    desk.create(2)
    end(desk, p.VERDICT_FAILED)
    desk.write(lambda t: ending.end(t, _claimed(t), p.VERDICT_STOPPED))
    found = desk.read(lambda db: summary.take(db, desk.now, desk.policy))
    assert (found.jobs[p.ABORTED], found.coming_back, found.finished) == (2, 1, 1)
    assert found.next_retry == found.last_retry is not None


def _claimed(t: Transaction) -> int:
    job = claim.claim(t, "h_abc_0", None)
    assert job is not None
    return job.assignment.job_id


def test_workers_by_what_they_do(desk: Desk) -> None:
    assert desk.read(summary.workers) == (0, 0, 0, 0, 0, 0, 0)
    desk.create(1)
    for name in ("a", "b", "c", "d", "e", "f"):
        desk.beat(name, session=name)
    desk.write(lambda t: commands.tell(t, p.DRAIN, ["f"], "dashboard"))
    desk.beat("f", session="f", applied_version=1)
    desk.beat("a", session="a", reported_status="busy", current_job_id=1)
    desk.write(lambda t: commands.tell(t, p.PAUSE, ["b", "c"], "dashboard"))
    desk.beat("b", session="b", applied_version=1)
    desk.write(lambda t: presence.mark_left(t, "d", "stopped", "worker"))
    desk.write(lambda t: t.db.execute("UPDATE workers SET failing = 1 WHERE worker_id = 'e'"))
    assert desk.read(summary.workers)._asdict() == {
        "idle": 2, "busy": 1, "paused": 1, "queued": 1, "active": 5, "disabled": 1, "failing": 1}


def test_nothing_scans_jobs(desk: Desk) -> None:
    """The plan of every query on jobs uses an index."""
    seen: List[str] = []

    def look(db: Any) -> None:
        class Spy:
            def execute(self, sql: str, values: Any = ()) -> Any:
                seen.extend(row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql, values))
                return db.execute(sql, values)
        summary.take(Spy(), desk.now, desk.policy)  # type: ignore[arg-type]
    desk.read(look)
    of_jobs = [line for line in seen if line.split()[:1] in (["SCAN"], ["SEARCH"])
               and " jobs" in line.replace("TABLE jobs", " jobs")]
    assert of_jobs and all("INDEX" in line for line in of_jobs), seen


# ---- viewers

class Show:
    """A server that listens, and a viewer who is signed in."""

    def __init__(self, workspace: Path) -> None:
        self.now = 1_000_000.0
        self.experiment = Experiment(workspace, "exp", Policy(), clock=clock_at(lambda: self.now))
        self.server = JobServer(self.experiment, Access("127.0.0.1", None, False))
        self.signed_in = True
        self.server.live._guard = self.guard
        self.server.signin.guard = self.guard  # type: ignore[method-assign]
        self.server.dashboard._guard = self.guard

    async def guard(self, request: Request, _route: Any) -> None:
        if not self.signed_in:
            raise HttpError(401, "signed out")

    async def viewer(self) -> "Viewer":
        client = Client(*await asyncio.open_connection("127.0.0.1", self.server.dashboard_port))
        await client.send(request("GET", "/web/events"))
        status, headers = await client.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        viewer = Viewer(client)
        assert await viewer.chunk() == b"retry: 2000\n\n"
        return viewer

    async def looking(self) -> "Viewer":
        """A viewer who has seen the first summary."""
        viewer = await self.viewer()
        await viewer.summary()
        return viewer


class Viewer:
    def __init__(self, client: Client) -> None:
        self.client = client

    async def chunk(self) -> bytes:
        size = int(await self.client.reader.readline(), 16)
        return (await self.client.reader.readexactly(size + 2))[:-2]

    async def summary(self) -> Dict[str, Any]:
        lines = (await self.chunk()).decode().split("\n")
        assert lines[0] == "event: summary" and lines[1].startswith("data: ") and lines[2:] == ["", ""]
        return dict(json.loads(lines[1][len("data: "):]))

    async def until(self, wanted: Callable[[Dict[str, Any]], bool]) -> Dict[str, Any]:
        while True:
            found = await self.summary()
            if wanted(found):
                return found


@pytest.fixture
def showing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Showing:
    """Run a scenario on a server that listens; the clocks of the module are short."""
    monkeypatch.setattr(live_module, "INTERVAL", 0.01)
    monkeypatch.setattr(sweeper, "INTERVAL", 3600)

    def play(scenario: Callable[[Show], Awaitable[None]], **times: float) -> None:
        for name, value in times.items():
            monkeypatch.setattr(live_module, name, value)

        async def scene() -> None:
            show = Show(tmp_path)
            await show.server.start("127.0.0.1", 0, 0)
            try:
                await asyncio.wait_for(scenario(show), 20)
            finally:
                await show.server.stop()
                show.experiment.close()
        asyncio.run(scene())
    return play


def test_a_viewer_gets_the_summary_at_once_and_when_it_changed(showing: Showing) -> None:
    async def scene(show: Show) -> None:
        viewer = await show.viewer()
        first = await viewer.summary()
        assert set(first) == {"now", "jobs", "total", "finished", "coming_back", "next_retry", "per_hour",
                              "eta", "workers", "creating", "bulk", "paused", "paused_because", "cannot_run",
                              "codes", "changes", "ended"}
        assert set(first["changes"]) == {"jobs", "output", "files", "workers", "settings", "reports"}
        assert first["jobs"]["PENDING"] == 0 and not first["paused"]
        await show.server.creation.create(from_grid({"x": [1, 2, 3]}))
        later = await viewer.until(lambda found: found["jobs"]["PENDING"] == 3)
        assert later["total"] == 3
        viewer.client.close()
    showing(scene)


def test_a_hundred_viewers_cost_as_one(showing: Showing, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Mock(wraps=summary.take)
    monkeypatch.setattr(summary, "take", look)

    async def scene(show: Show) -> None:
        viewers = [await show.looking() for _ in range(100)]
        before = look.call_count
        await show.experiment.write(lambda t: options.save(t, {"paused": False}))
        for viewer in viewers:
            assert (await viewer.summary())["changes"]["settings"] == 1
        assert look.call_count == before + 1
        for viewer in viewers:
            viewer.client.close()
    showing(scene)


def test_nobody_looks_nothing_is_worked_out(showing: Showing, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(show: Show) -> None:
        viewer = await show.looking()
        viewer.client.close()
        while show.server.live.viewers:
            await asyncio.sleep(0)
        dirty = show.server.live._dirty
        assert dirty is not None
        dirty.set()
        while dirty.is_set():
            await asyncio.sleep(0.001)  # until a look that was begun for the viewer is over
        await show.experiment.read(lambda db: None)  # and what it had asked of the readers
        look = Mock()
        monkeypatch.setattr(summary, "take", look)
        for _ in range(3):
            await show.experiment.write(lambda t: options.save(t, {"paused": False}))
            while dirty.is_set():
                await asyncio.sleep(0.001)  # until the watch has seen it
        assert not look.called
    showing(scene)


def test_the_next_viewer_after_a_quiet_time_sees_the_present(showing: Showing) -> None:
    async def scene(show: Show) -> None:
        viewer = await show.looking()
        viewer.client.close()
        while show.server.live.viewers:
            await asyncio.sleep(0)
        await show.experiment.write(lambda t: options.save(t, {"paused": False}))
        again = await show.viewer()
        assert (await again.summary())["changes"]["settings"] == 1
        again.client.close()
    showing(scene)


def test_a_new_viewer_learns_what_time_it_is(showing: Showing) -> None:
    async def scene(show: Show) -> None:
        first = await show.looking()
        show.now += 3600  # while nothing changed
        second = await show.viewer()
        assert (await second.summary())["now"] == show.now
        first.client.close()
        second.client.close()
    showing(scene, INTERVAL=0)


def test_a_silent_connection_is_kept_alive(showing: Showing) -> None:
    async def scene(show: Show) -> None:
        viewer = await show.looking()
        assert await viewer.chunk() == b": ping\n\n"
        assert await viewer.chunk() == b": ping\n\n"
        viewer.client.close()
    showing(scene, PING=0.02)


def test_who_is_signed_out_sees_no_more(showing: Showing) -> None:
    async def scene(show: Show) -> None:
        viewer = await show.looking()
        show.signed_in = False
        while True:
            line = await viewer.client.reader.readline()
            if line == b"0\r\n":
                break
        viewer.client.close()
    showing(scene, PING=0.02)


def test_too_many_viewers_are_told(showing: Showing) -> None:
    async def scene(show: Show) -> None:
        viewer = await show.viewer()
        client = Client(*await asyncio.open_connection("127.0.0.1", show.server.dashboard_port))
        answer = await client.ask("GET", "/web/events")
        assert answer.status == 503 and "1 viewers" in answer.json["error"]
        client.close()
        viewer.client.close()
    showing(scene, MAX_VIEWERS=1)


def test_the_server_stops_while_somebody_looks(showing: Showing) -> None:
    async def scene(show: Show) -> None:
        viewer = await show.looking()
        await show.server.stop()
        rest = await viewer.client.reader.read()
        assert rest in (b"", b"0\r\n\r\n")
        assert show.server.live.viewers == 0
        viewer.client.close()
    showing(scene)


def test_workers_are_counted_anew_when_one_of_them_changed(tmp_path: Path) -> None:
    async def scene() -> None:
        dashboard = Dashboard(tmp_path)
        cookie = dashboard.signed_in()
        for count in (1, 2):
            beat = messages.Heartbeat.from_json({"worker_id": "h_abc_%d" % count})
            await dashboard.experiment.write(lambda t: workers.heartbeat(t, beat))
            found = (await dashboard.send("GET", "/web/summary", cookie=cookie)).json
            assert found["workers"]["idle"] == found["workers"]["active"] == count
        dashboard.close()
    asyncio.run(scene())


def test_progress_is_told(tmp_path: Path) -> None:
    async def scene() -> None:
        dashboard = Dashboard(tmp_path)
        cookie = dashboard.signed_in()
        dashboard.experiment.bulk = ("delete", 5, 20)
        dashboard.server.creation.progress = (1, 2)
        dashboard.experiment.policy = Policy(paused=True)
        found = (await dashboard.send("GET", "/web/summary", cookie=cookie)).json
        assert found["bulk"] == {"action": "delete", "done": 5, "total": 20}
        assert found["creating"] == {"done": 1, "total": 2}
        assert found["paused"] is True and found["now"] == dashboard.now
        assert (await dashboard.send("GET", "/web/summary")).status == 401
        assert (await dashboard.send("GET", "/web/events")).status == 401
        dashboard.close()
    asyncio.run(scene())


# ---- one answer for many

class Kitchen:
    def __init__(self) -> None:
        self.made = 0
        self.go_on = asyncio.Event()
        self.body = b"x"

    async def make(self) -> Response:
        self.made += 1
        await self.go_on.wait()
        return Response(body=self.body)

    async def fail(self) -> Response:
        self.made += 1
        await self.go_on.wait()
        raise HttpError(400, "no")


def test_who_asks_the_same_meanwhile_shares_the_answer() -> None:
    async def scene() -> None:
        kitchen, shared = Kitchen(), Shared()
        first = asyncio.ensure_future(shared.get("a", 1, kitchen.make))
        others = [asyncio.ensure_future(shared.get("a", 1, kitchen.make)) for _ in range(9)]
        await asyncio.sleep(0)
        first.cancel()  # its client went away
        await asyncio.sleep(0)
        kitchen.go_on.set()
        assert [(await each).body for each in others] == [b"x"] * 9
        assert (await shared.get("a", 1, kitchen.make)).body == b"x" and kitchen.made == 1
        await shared.get("b", 1, kitchen.make)
        await shared.get("a", 2, kitchen.make)
        assert kitchen.made == 3
    asyncio.run(scene())


def test_failures_are_told_to_all_and_not_kept() -> None:
    async def scene() -> None:
        kitchen, shared = Kitchen(), Shared()
        asked = [asyncio.ensure_future(shared.get("a", 1, kitchen.fail)) for _ in range(2)]
        await asyncio.sleep(0)
        kitchen.go_on.set()
        for each in asked:
            with pytest.raises(HttpError):
                await each
        assert (await shared.get("a", 1, kitchen.make)).body == b"x" and kitchen.made == 2
    asyncio.run(scene())


def test_answers_grow_old_and_make_room() -> None:
    async def scene() -> None:
        now = [0.0]
        kitchen, shared = Kitchen(), Shared(clock=lambda: now[0])
        kitchen.go_on.set()
        await shared.get("a", 1, kitchen.make)
        now[0] += MAX_AGE + 1
        await shared.get("a", 1, kitchen.make)
        assert kitchen.made == 2
        now[0] += MAX_AGE + 1
        await shared.get("a", 1, kitchen.make, math.inf)  # nothing in it is about the time
        assert kitchen.made == 2
        for number in range(MAX_ANSWERS):
            await shared.get(number, 1, kitchen.make)
        assert len(shared._kept) == MAX_ANSWERS and "a" not in shared._kept
        kitchen.body = b"x" * (MAX_BYTES // 2 + 1)
        for name in ("big", "bigger"):
            await shared.get(name, 1, kitchen.make)
        await asyncio.sleep(0)
        assert list(shared._kept) == ["bigger"]
    asyncio.run(scene())


def test_live_shares_until_a_topic_changes(tmp_path: Path) -> None:
    async def scene() -> None:
        dashboard = Dashboard(tmp_path)
        live, made = dashboard.server.live, []

        async def make() -> Response:
            made.append(1)
            return Response(body=b"x")
        for _ in range(2):
            await live.shared(Request("GET", "/web/jobs?a=1&b=2"), ("settings",), make)
            await live.shared(Request("GET", "/web/jobs?b=2&a=1"), ("settings",), make)
        assert len(made) == 1
        await live.shared(Request("GET", "/web/jobs?a=2"), ("settings",), make)
        await dashboard.experiment.write(lambda t: options.save(t, {"paused": False}))
        await live.shared(Request("GET", "/web/jobs?a=1&b=2"), ("settings",), make)
        assert len(made) == 3
        dashboard.close()
    asyncio.run(scene())
