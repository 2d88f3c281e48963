"""The routes of docs/protocol.md, called through the router: no sockets, a clock set by hand."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, Optional, Protocol, Tuple

import pytest

from jd import protocol as p
from jd.net.multipart import encode_upload
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import HttpError, Request
from jd.server.api import worker_routes
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.creation.batch import from_grid
from jd.server.experiment import Experiment
from jd.server.store.fleet.presence import BACK
from jd.server.store.operators import options
from jd.server.store.policy import Policy
from jd.server.store.queue.jobs import counts
from tests.server.scenes import play
from tests.server.store_support import clock_at


class Bench:
    """A server that is not listening, and its data."""

    def __init__(self, workspace: Path, token_file: Optional[Path] = None, insecure: bool = False,
                 host: str = "127.0.0.1") -> None:
        self.now = 1_000_000.0
        self.experiment = Experiment(workspace, "exp", Policy(), clock=clock_at(lambda: self.now))
        self.server = JobServer(self.experiment, Access(host, token_file, insecure))

    def close(self) -> None:
        self.experiment.close()

    async def send(self, method: str, target: str, body: bytes = b"",
                   headers: Optional[Dict[str, str]] = None) -> Tuple[int, bytes]:
        """Status and raw body."""
        sent = {"host": "127.0.0.1:5000"}
        sent.update(headers or {})
        response = await self.server.api.dispatch(
            Request(method, target, sent, BodyStream.of(body), peer_uid=os.geteuid))
        content = response.file.read() if response.file else response.body
        response.close()
        return response.status, content

    async def call(self, method: str, target: str, body: Any = None,
                   headers: Optional[Dict[str, str]] = None) -> Tuple[int, Dict[str, Any]]:
        """Status and decoded JSON."""
        sent = {"content-type": "application/json"} if body is not None else {}
        sent.update(headers or {})
        raw = b"" if body is None else json.dumps(body).encode()
        status, content = await self.send(method, target, raw, sent)
        return status, json.loads(content)

    async def beat(self, **fields: Any) -> Tuple[int, Dict[str, Any]]:
        return await self.call("POST", p.HEARTBEAT, dict({"worker_id": "w"}, **fields))

    async def put(self, route: str, part: str, name: str, content: bytes,
                  fields: Dict[str, str]) -> Tuple[int, Dict[str, Any]]:
        frame = encode_upload(fields, part, name, len(content))
        status, answer = await self.send("POST", route, frame.prefix + content + frame.suffix,
                                         {"content-type": frame.content_type})
        return status, json.loads(answer)


class Run(Protocol):
    def __call__(self, scenario: Callable[[Bench], Awaitable[None]], **options: Any) -> None:
        """Run a scenario on a Bench with these options, and close it."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a coroutine function on a Bench, and close it."""
    return lambda scenario, **options: play(lambda: Bench(tmp_path, **options), scenario)


def test_a_base_client_from_the_first_heartbeat_to_the_result(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"lr": [0.1]}})
        status, reply = await bench.beat(host="h", machine_type="gpu", reported_status="idle",
                                         current_job_id=None, applied_version=0,
                                         system_metrics={"cpu_util": 3.5}, jd_worker_version="1.15.0")
        assert status == 200
        assert reply["job"] == {"job_id": 1, "parameters": {"lr": 0.1}, "status": "SERVED", "attempt": 1}
        assert (reply["heartbeat_interval"], reply["poll_interval"]) == (57.0, 57.0)
        assert (reply["desired_state"], reply["desired_version"], reply["applied_version"],
                reply["pending"]) == ("run", 0, 0, False)
        assert set(reply["extensions"]) == set(p.EXTENSIONS)
        _, busy = await bench.beat(reported_status="busy", current_job_id=1)
        assert busy["job"] is None and busy["heartbeat_interval"] == 57.0
        status, done = await bench.call("POST", p.UPDATE_JOB_STATUS,
                                        {"job_id": 1, "status": "DONE", "message": "fine"})
        assert status == 200 and (done["job_id"], done["status"]) == (1, "DONE") and done["message"]
        assert await bench.experiment.look_up(lambda db: db.execute(
            "SELECT reported_status, current_job_id, due_back FROM workers").fetchone()) == (
            "idle", None, bench.now + BACK), "it has no job any more, and is expected to ask for one"
        _, idle = await bench.beat()
        assert idle["job"] is None and idle["heartbeat_interval"] == idle["poll_interval"] == 180.0
        assert (await bench.call("GET", p.JOB_COUNTS))[1] == {
            "PENDING": 0, "SERVED": 0, "DONE": 1, "ABORTED": 0, "DELETED": 0}
    run(scenario)


# What a sweep without workers and ended jobs tells of itself.
QUIET: Dict[str, Any] = {
    "paused_because": None, "ended": None, "stop_when": "", "max_jobs": 0, "max_hours": 0, "has_ended_by": [],
    "codes": None, "per_hour": None, "eta": None, "next_retry": None, "now": 1_000_000.0, "finished": 0,
    "workers": {"busy": 0, "idle": 0, "paused": 0}, "workers_left": 0, "coming_back": 0, "failed_in_hour": 0}


def test_whether_jobs_are_handed_out(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.call("GET", p.SWEEP) == (200, dict(QUIET, paused=False, cannot_run=[]))
        await bench.experiment.write(lambda t: options.save(t, {"paused": True}))
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1, 2]}, "needs": ["gpu", "big"]})
        assert await bench.call("GET", p.SWEEP) == (200, dict(
            QUIET, paused=True, cannot_run=[{"needs": ["big", "gpu"], "jobs": 2}]))
    run(scenario)


@pytest.mark.parametrize("route, body", [
    (p.HEARTBEAT, {}),
    (p.HEARTBEAT, {"worker_id": 5}),
    (p.HEARTBEAT, {"worker_id": ""}),
    (p.HEARTBEAT, {"worker_id": "x" * 300}),
    (p.HEARTBEAT, {"worker_id": "a\nb"}),
    (p.HEARTBEAT, {"worker_id": "w", "reported_status": "asleep"}),
    (p.HEARTBEAT, {"worker_id": "w", "current_job_id": "1"}),
    (p.HEARTBEAT, {"worker_id": "w", "current_job_id": True}),
    (p.HEARTBEAT, {"worker_id": "w", "applied_version": 1.5}),
    (p.HEARTBEAT, {"worker_id": "w", "system_metrics": []}),
    (p.HEARTBEAT, {"worker_id": "w", "finished": {"job_id": 1, "status": "PENDING"}}),
    (p.HEARTBEAT, [1]),
    (p.UPDATE_JOB_STATUS, {"status": "DONE"}),
    (p.UPDATE_JOB_STATUS, {"job_id": 1}),
    (p.UPDATE_JOB_STATUS, {"job_id": 1, "status": "SERVED"}),
    (p.UPDATE_JOB_STATUS, {"job_id": 2 ** 60, "status": "DONE"}),
    (p.UPDATE_JOB_STATUS, {"job_id": 1, "status": "DONE", "verdict": "failed"}),
    (p.UPDATE_JOB_STATUS, {"job_id": 1, "status": "DONE"}),  # not SERVED
    (p.CLI_STOP, {"source": "h"}),
    (p.CLI_STOP, {"worker_id": "w", "action": "explode"}),
    (p.CLI_CLEAR_ALL, {"source": "h"}),
    (p.CLI_CLEAR_ALL, {"source": "h", "workers": [5]}),
    (p.CREATE_JOBS, {}),
    (p.CREATE_JOBS, {"parameters": {"a": []}}),
    (p.CREATE_JOBS, {"jobs": [{"a": 1}], "replace": "yes"}),
])
def test_bad_bodies_are_400_and_change_nothing(run: Run, route: str, body: Any) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        before = await bench.call("GET", p.LIST_JOBS)
        status, answer = await bench.call("POST", route, body)
        assert status == 400
        assert answer["success"] is False and answer["error"]
        assert await bench.call("GET", p.LIST_JOBS) == before
    run(scenario)


def test_unknown_jobs_are_404(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        for status, answer in [
            await bench.call("POST", p.UPDATE_JOB_STATUS, {"job_id": 9, "status": "DONE"}),
            await bench.call("GET", p.LATEST_CHECKPOINT + "?job_id=9"),
            await bench.call("GET", "/api/jobs/9/uploads"),
            await bench.call("GET", "/api/jobs/9/uploads/download?filename=a"),
            await bench.put(p.UPLOAD, "file", "a", b"x", {"job_id": "9"}),
            await bench.put(p.CHECKPOINT, "checkpoint", "a", b"x", {"job_id": "9"}),
        ]:
            assert status == 404 and answer["error"]
    run(scenario)


def test_stale_attempts_and_taken_names_are_409(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        await bench.beat(session="a")
        assert (await bench.beat(session="b"))[0] == 409
        assert (await bench.beat(session="a", reported_status="busy", current_job_id=1,
                                 attempt=2))[0] == 409
        assert (await bench.call("POST", p.UPDATE_JOB_STATUS,
                                 {"job_id": 1, "attempt": 2, "status": "DONE"}))[0] == 409
        assert (await bench.put(p.UPLOAD, "file", "a", b"x", {"job_id": "1", "attempt": "2"}))[0] == 409
        assert (await bench.call("GET", p.JOB_COUNTS))[1]["SERVED"] == 1
    run(scenario)


def test_uploads_and_checkpoints_there_and_back(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        await bench.beat()
        content = bytes(range(256)) * 1000
        assert await bench.put(p.UPLOAD, "file", "a b.bin", b"old", {"job_id": "1"}) == (
            200, {"success": True, "filename": "a b.bin", "version": 0, "size_bytes": 3})
        assert await bench.put(p.UPLOAD, "file", "a b.bin", content, {"job_id": "1"}) == (
            200, {"success": True, "filename": "a b_v1.bin", "version": 1, "size_bytes": len(content)})
        status, raw = await bench.send("GET", "/api/jobs/1/uploads/download?filename=a%20b.bin")
        assert (status, raw) == (200, content)
        _, listed = await bench.call("GET", "/api/jobs/1/uploads")
        assert listed["job_id"] == 1
        assert [u["filename"] for u in listed["uploads"]] == ["a b_v1.bin", "a b.bin"]
        assert (await bench.put(p.CHECKPOINT, "checkpoint", "c", b"0", {"job_id": "1"}))[1]["version"] == 0
        assert (await bench.put(p.CHECKPOINT, "checkpoint", "c", b"1", {"job_id": "1"}))[1]["version"] == 1
        assert await bench.send("GET", p.LATEST_CHECKPOINT + "?job_id=1") == (200, b"1")
    run(scenario)


@pytest.mark.parametrize("part, name, fields, says", [
    ("file", "a", {}, "job_id is missing"),
    ("file", "a", {"job_id": "x"}, "job_id must be"),
    ("file", "a", {"job_id": "0"}, "job_id must be"),
    ("other", "a", {"job_id": "1"}, "'file' is missing"),
    ("file", "../../etc/passwd", {"job_id": "1"}, "without /"),
    ("file", "a", {"job_id": "1" * 2000}, "longer than"),
])
def test_bad_uploads_are_400_and_leave_nothing(run: Run, tmp_path: Path, part: str, name: str,
                                               fields: Dict[str, str], says: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        await bench.beat()
        status, answer = await bench.put(p.UPLOAD, part, name, b"x", fields)
        assert status == 400 and says in answer["error"]
        left = [path for path in bench.experiment.data_dir.rglob("*") if path.is_file()]
        assert left == []
    run(scenario)


def test_broken_multipart_is_400(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        await bench.beat()
        frame = encode_upload({"job_id": "1"}, "file", "a", 1)
        for body, kind in [(frame.prefix + b"x", frame.content_type),
                           (b"nonsense", frame.content_type),
                           (b"x", "multipart/form-data"), (b"x", "text/plain")]:
            status, raw = await bench.send("POST", p.UPLOAD, body, {"content-type": kind})
            assert status == 400, raw
        assert list(bench.experiment.data_dir.rglob("a*")) == []
    run(scenario)


def test_a_file_over_the_limit_is_413(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p, "MAX_FILE_BYTES", 1000)

    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        await bench.beat()
        assert (await bench.put(p.UPLOAD, "file", "a", b"x" * 1000, {"job_id": "1"}))[0] == 200
        status, answer = await bench.put(p.UPLOAD, "file", "b", b"x" * 1001, {"job_id": "1"})
        assert status == 413 and "larger than" in answer["error"]
        assert not (bench.experiment.data_dir / "1" / "b").exists()
    run(scenario)


def test_create_answers_as_promised(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        status, first = await bench.call("POST", p.CREATE_JOBS,
                                         {"parameters": {"a": [1, 2], "b": ["x", "y"]}})
        assert status == 200 and first["success"] is True and first["message"]
        assert (first["total_jobs"], first["action"], first["start_id"]) == (4, "Created", 1)
        _, second = await bench.call("POST", p.CREATE_JOBS, {"jobs": [{"a": 3}]})
        assert (second["total_jobs"], second["action"], second["start_id"]) == (1, "Appended", 5)
        _, third = await bench.call("POST", p.CREATE_JOBS, {"jobs": [{"a": 3}], "replace": True})
        assert (third["action"], third["start_id"]) == ("Created", 6)
    run(scenario)


def test_list_and_statuses(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": list(range(7))}})
        await bench.beat(system_metrics={"cpu_util": 1})
        _, page = await bench.call("GET", "/api/jobs?page=2&per_page=3")
        assert [job["id"] for job in page["jobs"]] == [4, 5, 6]
        assert (page["total_count"], page["total_pages"], page["current_page"],
                page["per_page"]) == (7, 3, 2, 3)
        assert {"id", "status", "parameters", "worker_id", "message", "request_timestamp",
                "completion_timestamp", "required_time", "last_ping_timestamp",
                "system_metrics"} <= set(page["jobs"][0])
        _, statuses = await bench.call("GET", "/api/jobs/statuses?ids=1,2,99")
        assert statuses == {"statuses": {"1": "SERVED", "2": "PENDING"}}
        for bad in ("page=0", "page=x", "per_page=1001", "status=LOST", "ids=1,x", "ids=,"):
            assert (await bench.call("GET", "/api/jobs?" + bad))[0] == 400, bad
        assert (await bench.call("GET", "/api/jobs/statuses"))[0] == 400
        assert (await bench.call("GET", "/api/jobs/statuses?ids=" + "1," * 10001 + "1"))[0] == 400
    run(scenario)


def test_clearing_thousands_of_workers_keeps_no_heartbeat_waiting(run: Run,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one operation of the database after another."""
    monkeypatch.setattr(worker_routes, "CLEARED_SLICE", 3)

    async def scenario(bench: Bench) -> None:
        written = []
        bench.experiment.on_commit(lambda _: written.append(1))
        answer = await bench.call("POST", p.CLI_CLEAR_ALL, {
            "source": "h", "workers": [{"worker_id": "w%d" % number} for number in range(10)]})
        assert answer[1]["processed"] == 10 and len(written) == 4
    run(scenario)


def test_cli_stop_and_clear_all(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1, 2]}})
        await bench.beat()
        assert await bench.call("POST", p.CLI_STOP, {"worker_id": "w", "source": "h", "action": "stop",
                                                     "job_id": 1}) == (
            200, {"success": True, "job_aborted": True, "job_requeued": None})
        await bench.beat(worker_id="v")
        assert await bench.call("POST", p.CLI_CLEAR_ALL, {"source": "h", "workers": [
            {"worker_id": "v", "job_id": 2}, {"worker_id": "w", "job_id": None}]}) == (
            200, {"success": True, "processed": 2})
        assert (await bench.call("GET", p.JOB_COUNTS))[1]["ABORTED"] == 2
    run(scenario)


def test_a_cli_that_asks_for_it_gets_jobs_back_into_the_queue(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1, 2]}})
        await bench.beat()
        assert await bench.call("POST", p.CLI_STOP, {"worker_id": "w", "source": "h", "requeue": True}) == (
            200, {"success": True, "job_aborted": False, "job_requeued": 1})
        await bench.beat(worker_id="v")
        assert (await bench.call("POST", p.CLI_CLEAR_ALL, {"source": "h", "requeue": True, "workers": [
            {"worker_id": "v", "job_id": None}]}))[0] == 200
        assert (await bench.call("GET", p.JOB_COUNTS))[1]["PENDING"] == 2
    run(scenario)


# ---- held heartbeats

async def held(bench: Bench, worker_id: str, wait: int = 60, **fields: Any) -> "asyncio.Task[Any]":
    """Send an idle heartbeat and let it come to rest in the waiting room."""
    task = asyncio.ensure_future(bench.beat(worker_id=worker_id, session=worker_id, wait=wait, **fields))
    while not any(ticket.worker_id == worker_id and ticket._future is not None
                  for ticket in bench.server.room.tickets):
        await asyncio.sleep(0)
        assert not task.done()
    return task


def test_a_held_heartbeat_gets_the_job_that_is_created(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        first, second = await held(bench, "a"), await held(bench, "b")
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        assert (await first)[1]["job"]["job_id"] == 1
        assert not second.done()
        await bench.beat(worker_id="a", session="a", reported_status="busy",
                         released={"job_id": 1, "attempt": 1})
        assert (await second)[1]["job"]["attempt"] == 2
        assert not bench.server.room.tickets
    run(scenario)


def test_a_held_heartbeat_ends_when_its_time_is_up(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        status, reply = await bench.beat(session="a", wait=0.01)
        assert status == 200 and reply["job"] is None
        assert not bench.server.room.tickets
    run(scenario)


def test_a_worker_that_hangs_up_passes_its_call_on(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        first, second = await held(bench, "a"), await held(bench, "b")
        # Called, and gone before it could follow the call.
        bench.server.room.call(1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await bench.experiment.write(
            lambda t: t.db.execute("INSERT INTO jobs (status, parameters) VALUES ('PENDING', '{}')"))
        bench.server.room.call(0)
        ticket = next(iter(bench.server.room.tickets))
        assert ticket.worker_id == "b"
        # b followed the call either before or after the job was there; a second one finds it.
        bench.server.room.call(1)
        assert (await second)[1]["job"]["job_id"] == 1
    run(scenario)


def test_a_worker_that_waits_gets_no_job_with_a_token_that_was_revoked(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        class Revocable(Access):
            revoked = False

            def __call__(self, request: Request, _route: Any = None) -> None:
                if self.revoked:
                    raise HttpError(401, "the token was revoked")
                super().__call__(request, _route)

        access = Revocable("127.0.0.1", None, False)
        server = JobServer(bench.experiment, access)
        bench.server = server
        task = await held(bench, "a")
        access.revoked = True
        await server.creation.create(from_grid({"x": [1]}))
        status, answer = await task
        assert (status, answer["error"]) == (401, "the token was revoked")
        assert (await bench.experiment.read(counts))["PENDING"] == 1
        assert not server.room.tickets
    run(scenario)


def test_a_command_reaches_a_held_worker(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        task = await held(bench, "a")
        await bench.experiment.write(lambda t: t.db.execute(
            "UPDATE workers SET desired_state = 'drain', desired_version = 1"))
        bench.server.room.call_worker("a")
        _, reply = await task
        assert (reply["desired_state"], reply["pending"], reply["job"]) == ("drain", True, None)
    run(scenario)


def test_paused_workers_are_held_too_and_get_no_job(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.beat(worker_id="a", session="a")
        await bench.experiment.write(lambda t: t.db.execute(
            "UPDATE workers SET desired_state = 'pause', desired_version = 1"))
        task = await held(bench, "a", applied_version=1)
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        bench.server.room.close()
        assert (await task)[1]["job"] is None
    run(scenario)


# ---- who may connect

def test_without_a_token_only_loopback_names_are_served(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        for host in ("127.0.0.1:5000", "localhost", "[::1]:80"):
            assert (await bench.call("GET", p.JOB_COUNTS, headers={"host": host}))[0] == 200
        for host in ("evil.example:5000", "10.0.0.1"):
            assert (await bench.call("GET", p.JOB_COUNTS, headers={"host": host}))[0] == 403
    run(scenario)


def test_a_token_is_asked_for_and_compared(run: Run, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("correct-horse-battery\n")

    async def scenario(bench: Bench) -> None:
        route = p.JOB_COUNTS
        assert (await bench.call("GET", route))[0] == 401
        for wrong in ("Bearer wrong", "Basic correct-horse-battery", "Bearer ", "correct-horse-battery"):
            status, answer = await bench.call("GET", route, headers={"authorization": wrong})
            assert status == 401 and "correct-horse" not in answer["error"]
        right = {"authorization": "Bearer correct-horse-battery", "host": "node7:5000"}
        assert (await bench.call("GET", route, headers=right))[0] == 200
        assert (await bench.call("GET", p.HEALTH))[0] == 200
    run(scenario, token_file=token_file, host="0.0.0.0")


def test_insecure_serves_everybody(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.call("GET", p.JOB_COUNTS, headers={"host": "node7:5000"}))[0] == 200
    run(scenario, insecure=True, host="0.0.0.0")


def test_every_route_is_guarded_but_health_and_the_way_to_the_dashboard(run: Run, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("correct-horse-battery\n")

    async def scenario(bench: Bench) -> None:
        for route in bench.server.api.routes:
            assert route.public == (route.pattern in (p.HEALTH, "/")), route.pattern
    run(scenario, token_file=token_file)


@pytest.mark.parametrize("route, part", [(p.UPLOAD, "file"), (p.CHECKPOINT, "checkpoint")])
@pytest.mark.parametrize("twice", ["job_id", "attempt", "note"])
def test_a_form_field_that_is_there_twice_is_refused(run: Run, route: str, part: str, twice: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        await bench.beat(reported_status="idle")
        first = encode_upload({"job_id": "1", "attempt": "1", "note": "a"}, part, "f", 1)
        opening = first.prefix.partition(b"\r\n")[0]
        extra = opening + b'\r\nContent-Disposition: form-data; name="%s"\r\n\r\n1\r\n' % twice.encode()
        status, content = await bench.send("POST", route, extra + first.prefix + b"x" + first.suffix,
                                           {"content-type": first.content_type})
        assert status == 400 and "field '%s' is there twice" % twice in json.loads(content)["error"]
        status, _ = await bench.put(route, part, "f", b"x", {"job_id": "1", "attempt": "1"})
        assert status == 200
    run(scenario)


# ---- for which experiment

@pytest.mark.parametrize("method, route, body", [
    ("POST", p.HEARTBEAT, {"worker_id": "w"}), ("POST", p.UPDATE_JOB_STATUS, {"job_id": 1, "status": "DONE"}),
    ("GET", p.JOB_COUNTS, None), ("POST", p.CREATE_JOBS, {"jobs": [{"a": 1}]}),
    ("POST", p.CLI_STOP, {"worker_id": "w"}), ("GET", p.LATEST_CHECKPOINT + "?job_id=1", None),
    ("POST", p.UPLOAD, None), ("GET", "/api/jobs", None)])
def test_what_is_meant_for_another_experiment_is_refused(run: Run, tmp_path: Path, method: str, route: str,
                                                         body: Optional[Dict[str, Any]]) -> None:
    """Before its token is looked at: that is of another server."""
    token_file = tmp_path / "token"
    token_file.write_text("correct-horse-battery\n")

    async def scenario(bench: Bench) -> None:
        status, answer = await bench.call(method, route, body, {p.EXPERIMENT_HEADER.lower(): "exq"})
        assert status == 409 and answer["experiment"] == "exp" and answer["success"] is False
        assert "experiment exp, not of 'exq'" in answer["error"]
        for ours in ("exp", "Exp"):  # as earlier versions of ours send it that were started so
            status, answer = await bench.call(method, route, body, {p.EXPERIMENT_HEADER.lower(): ours})
            assert status == 401 and "experiment" not in answer
    run(scenario, token_file=token_file)


def test_a_heartbeat_for_another_experiment_changes_nothing(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"lr": [0.1]}})
        status, answer = await bench.beat(exp_id="exq")
        assert (status, answer["experiment"]) == (409, "exp")
        assert (await bench.call("GET", p.JOB_COUNTS))[1]["PENDING"] == 1
        assert (await bench.beat(exp_id=5))[0] == 400
        status, reply = await bench.beat(exp_id="exp")
        assert status == 200 and reply["job"]["job_id"] == 1 and "experiment" in reply["extensions"]
    run(scenario)


def test_both_ports_say_what_they_are(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        _, told = await bench.call("GET", p.HEALTH)
        assert (told["role"], told["expId"]) == ("api", "exp")
        bench.server.port = 5001
        answer = await bench.server.dashboard.dispatch(Request("GET", p.HEALTH, {"host": "127.0.0.1:5050"}))
        told = json.loads(answer.body)
        assert (told["role"], told["expId"], told["api_port"]) == ("dashboard", "exp", 5001)
    run(scenario)
