"""How far a worker token of the Hub reaches: roles, and whose workers and attempts it may touch."""

import json
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Optional, Protocol, Tuple, Union

import pytest

from jd import protocol as p
from jd.auth import jwt
from jd.net.client import Client
from jd.net.multipart import encode_upload
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import Request
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.experiment import Experiment
from jd.server.hubside.hublink import HubLink
from jd.server.store.policy import Policy
from tests.server.scenes import play
from tests.server.store_support import clock_at

SECRET = "s" * 48
NOW = 1_700_000_000.0
ALICE, BOB, EVE = 1, 2, 3  # the owner, and two guests
ROLES = {ALICE: "owner", BOB: "work", EVE: "edit"}
OWNER = "alice@example.org"
JSON = {"content-type": "application/json"}


class FakeHub(Client):
    def __init__(self, **config: Any) -> None:
        super().__init__("http://hub")
        self.config = dict({"worker_shared_secret": SECRET, "experiment_id": "id-1"}, **config)

    def call(self, method: str, route: str, body: Any = None, *_: Any, **__: Any) -> Dict[str, Any]:
        return self.config if route.endswith("runtime-config") else {"revoked_jtis": []}


class Bench:
    """A server that is not listening, of which Alice is the owner."""

    def __init__(self, workspace: Path, **config: Any) -> None:
        self.now = NOW
        self.experiment = Experiment(workspace, "exp", Policy(), clock=clock_at(lambda: self.now))
        self.link = HubLink(FakeHub(**config), "exp", workspace / "hub.json", print, clock=lambda: self.now)
        self.link.connect()
        self.server = JobServer(self.experiment, Access("127.0.0.1", None, False, self.link.verify))
        self.server.owner = self.link.owner

    def close(self) -> None:
        self.experiment.close()

    async def send(self, user: int, method: str, target: str, body: Any, headers: Dict[str, str],
                   **claims: Any) -> Tuple[int, bytes]:
        token = jwt.sign(dict({"sub": "worker", "exp_id": "id-1", "exp_name": "exp", "user_id": user,
                               "role": ROLES[user], "jti": "j%d" % user, "iat": self.now,
                               "exp": self.now + 3600}, **claims), SECRET)
        sent = dict({"host": "127.0.0.1:5000", "authorization": "Bearer " + token}, **headers)
        stream = BodyStream.of(body) if isinstance(body, bytes) else body
        response = await self.server.api.dispatch(Request(method, target, sent, stream))
        content = response.file.read() if response.file else response.body
        response.close()
        return response.status, content

    async def call(self, user: int, method: str, target: str, body: Optional[Dict[str, Any]] = None,
                   **claims: Any) -> Tuple[int, Any]:
        raw = b"" if body is None else json.dumps(body).encode()
        status, content = await self.send(user, method, target, raw, {} if body is None else JSON, **claims)
        return status, json.loads(content) if content.startswith(b"{") else content

    async def beat(self, user: int, worker_id: str, **fields: Any) -> Tuple[int, Dict[str, Any]]:
        return await self.call(user, "POST", p.HEARTBEAT, dict({"worker_id": worker_id}, **fields))

    async def put(self, user: int, route: str, content: bytes = b"x",
                  **fields: Any) -> Tuple[int, Dict[str, Any]]:
        part = {p.UPLOAD: "file", p.CHECKPOINT: "checkpoint"}[route]
        texts = {name: str(value) for name, value in fields.items()}
        frame = encode_upload(texts, part, "a.bin", len(content))
        status, answer = await self.send(user, "POST", route, frame.prefix + content + frame.suffix,
                                         {"content-type": frame.content_type})
        return status, json.loads(answer)

    async def create(self, n: int = 1) -> None:
        status, answer = await self.call(ALICE, "POST", p.CREATE_JOBS, {"jobs": [{"x": i} for i in range(n)]})
        assert status == 200, answer

    async def running(self) -> None:
        """Job 1 is run by Alice's worker `hers`, job 2 by Bob's `his`."""
        await self.create(3)
        for user, name in ((ALICE, "hers"), (BOB, "his")):
            status, reply = await self.beat(user, name, session="of " + name)
            assert status == 200 and reply["job"]["job_id"] == user

    def sql(self, text: str, *values: Any) -> List[Any]:
        return self.experiment.database.read(lambda db: db.execute(text, values).fetchall()).result(20)

    def everything(self) -> Tuple[List[str], List[Path]]:
        """What is stored, and the files."""
        rows = self.experiment.database.read(lambda db: list(db.iterdump())).result(20)
        return rows, sorted(path for path in self.experiment.data_dir.rglob("*") if path.is_file())


class Run(Protocol):
    def __call__(self, scenario: Callable[[Bench], Awaitable[None]],
                 owner_id: Optional[Union[int, str]] = ALICE, owner: Optional[str] = OWNER) -> None:
        """Run a scenario on a Bench of which the Hub says this, and close it."""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a coroutine function on a Bench, and close it."""
    return lambda scenario, owner_id=ALICE, owner=OWNER: play(
        lambda: Bench(tmp_path, owner_id=owner_id, owner=owner), scenario)


# ---- roles

JOBS = {"jobs": [{"x": "evil"}], "replace": True}


def test_a_guest_does_not_replace_the_jobs(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create()
        before = bench.everything()
        status, answer = await bench.call(BOB, "POST", p.CREATE_JOBS, JOBS)
        assert status == 403 and bench.everything() == before
        for told in ("exp belongs to " + OWNER, "role edit", "jd_hub experiment share exp EMAIL --role edit"):
            assert told in answer["error"]
        assert (await bench.call(EVE, "POST", p.CREATE_JOBS, JOBS))[0] == 200
    run(scenario)


@pytest.mark.parametrize("owner_id, user, status", [
    (ALICE, ALICE, 200), (str(ALICE), ALICE, 200), (ALICE, BOB, 403), (ALICE, EVE, 403),
    (None, ALICE, 200), (None, BOB, 200)])  # the Hub of published clients tells neither role nor owner
def test_a_token_without_a_role_is_the_owners_if_the_hub_says_who_that_is(run: Run,
                                                                          owner_id: Optional[Union[int, str]],
                                                                          user: int, status: int) -> None:
    async def scenario(bench: Bench) -> None:
        assert (await bench.call(user, "POST", p.CREATE_JOBS, JOBS, role=None))[0] == status
        assert (await bench.call(user, "GET", p.JOB_COUNTS, role=None))[0] == 200
    run(scenario, owner_id=owner_id, owner=None)


def test_a_role_that_is_not_known_is_good_for_nothing(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        status, answer = await bench.call(ALICE, "GET", p.JOB_COUNTS, role="emperor")
        assert status == 401 and "owner, edit, work" in answer["error"]
    run(scenario)


# ---- attempts

STORES = [(p.UPLOAD, {}), (p.UPLOAD, {"attempt": 1}), (p.CHECKPOINT, {}), (p.CHECKPOINT, {"attempt": 1})]


@pytest.mark.parametrize("route, more", STORES)
def test_a_guest_plants_nothing_in_a_job_of_another(run: Run, route: str, more: Dict[str, Any]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        before = bench.everything()
        for user in (BOB, EVE):
            status, answer = await bench.put(user, route, job_id=1, **more)
            assert status == 409 and "run by a worker of another user" in answer["error"]
        assert bench.everything() == before
        assert (await bench.put(BOB, route, job_id=2, **more))[0] == 200
        assert (await bench.put(ALICE, route, job_id=2, **more))[0] == 200
    run(scenario)


@pytest.mark.parametrize("route, more", STORES)
@pytest.mark.parametrize("user", [ALICE, BOB])
def test_a_job_that_nobody_runs_takes_no_files(run: Run, user: int, route: str, more: Dict[str, Any]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(5)
        for job_id, ending in ((1, {"status": "DONE"}), (2, {"status": "ABORTED"}),
                               (3, {"status": "ABORTED", "verdict": "preempted"})):
            assert (await bench.beat(user, "w"))[1]["job"]["job_id"] == job_id
            await bench.call(user, "POST", p.UPDATE_JOB_STATUS, dict(ending, job_id=job_id))
        bench.experiment.database.write(
            lambda db: db.execute("UPDATE jobs SET status = 'DELETED' WHERE id = 5")).result(20)
        before = bench.everything()
        for job_id, status in ((1, "DONE"), (2, "ABORTED"), (3, "PENDING"), (4, "PENDING"), (5, "DELETED")):
            code, answer = await bench.put(user, route, job_id=job_id, **more)
            assert code == 409 and (status in answer["error"] or "not the current one" in answer["error"])
        assert (await bench.put(user, route, job_id=99, **more))[0] == 404
        assert bench.everything() == before
    run(scenario)


def test_what_will_not_be_taken_is_refused_before_it_is_read(run: Run) -> None:
    class Endless(BodyStream):
        """The beginning of an upload, of which the rest must not be asked for."""

        def __init__(self, beginning: bytes) -> None:
            super().__init__(length=50_000_000)
            self._beginning = beginning

        async def next(self) -> bytes:
            assert self._beginning, "the file was read"
            data, self._beginning = self._beginning, b""
            self.received += len(data)
            return data

    async def scenario(bench: Bench) -> None:
        await bench.create()
        frame = encode_upload({"job_id": "1"}, "file", "a.bin", 40_000_000)
        status, answer = await bench.send(ALICE, "POST", p.UPLOAD, Endless(frame.prefix + b"x" * 1000),
                                          {"content-type": frame.content_type})
        assert status == 409 and b"nobody runs it" in answer
        assert [path for path in bench.experiment.data_dir.rglob("*") if path.is_file()] == []
    run(scenario)


def test_a_job_that_is_named_after_its_file_is_checked_all_the_same(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        body = ('--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n'
                '--B\r\nContent-Disposition: form-data; name="job_id"\r\n\r\n%d\r\n--B--\r\n')
        kind = {"content-type": "multipart/form-data; boundary=B"}
        assert (await bench.send(BOB, "POST", p.UPLOAD, (body % 1).encode(), kind))[0] == 409
        assert (await bench.send(BOB, "POST", p.UPLOAD, (body % 2).encode(), kind))[0] == 200
    run(scenario)


@pytest.mark.parametrize("fields", [
    {"reported_status": "busy", "current_job_id": 1, "attempt": 1, "output_tail": "evil"},
    {"finished": {"job_id": 1, "attempt": 1, "status": "DONE"}},
    {"released": {"job_id": 1, "attempt": 1}},
    {"reported_status": "busy", "leave": True, "finished": {"job_id": 1, "attempt": 1, "status": "ABORTED"}}])
def test_a_guest_says_nothing_of_an_attempt_of_another(run: Run, fields: Dict[str, Any]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        for user, name in ((BOB, "his"), (BOB, "new"), (EVE, "hers too")):
            before = bench.everything()
            status, answer = await bench.beat(user, name, **fields)
            assert status == 409 and "another user" in answer["error"]
            assert bench.everything() == before
    run(scenario)


@pytest.mark.parametrize("more", [{}, {"attempt": 1}])  # without it, as published clients send it
def test_a_guest_does_not_finish_the_job_of_another(run: Run, more: Dict[str, Any]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        before = bench.everything()
        for user in (BOB, EVE):
            status, _ = await bench.call(user, "POST", p.UPDATE_JOB_STATUS,
                                         dict({"job_id": 1, "status": "DONE"}, **more))
            assert status == 409 and bench.everything() == before
        for user, job_id in ((ALICE, 1), (BOB, 2), (BOB, 2)):  # the last one is a repeat
            status, _ = await bench.call(user, "POST", p.UPDATE_JOB_STATUS,
                                         dict({"job_id": job_id, "status": "DONE"}, **more))
            assert status == 200
        assert (await bench.call(BOB, "POST", p.UPDATE_JOB_STATUS,
                                 dict({"job_id": 1, "status": "DONE"}, **more)))[0] == 409
    run(scenario)


def test_a_checkpoint_is_for_who_runs_the_job_and_for_who_may_see_all(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        await bench.put(ALICE, p.CHECKPOINT, b"hers", job_id=1)
        await bench.put(BOB, p.CHECKPOINT, b"his", job_id=2)

        async def latest(user: int, job_id: int) -> Tuple[int, Any]:
            return await bench.call(user, "GET", "%s?job_id=%d" % (p.LATEST_CHECKPOINT, job_id))
        assert (await latest(BOB, 1))[0] == 409
        assert (await latest(BOB, 3))[0] == 409
        assert (await latest(BOB, 2)) == (await latest(EVE, 2)) == (await latest(ALICE, 2)) == (200, b"his")
        assert (await latest(EVE, 1)) == (200, b"hers")
        await bench.call(BOB, "POST", p.UPDATE_JOB_STATUS, {"job_id": 2, "status": "DONE"})
        assert (await latest(BOB, 2))[0] == 409
    run(scenario)


# ---- workers

@pytest.mark.parametrize("fields", [
    {}, {"session": "another"}, {"session": "of hers"}, {"applied_version": 7},
    {"session": "of hers", "leave": True, "reported_status": "busy"}, {"leave": True},
    {"session": "of hers", "reported_status": "busy", "current_job_id": 1, "attempt": 1}])
def test_a_guest_does_not_speak_as_the_worker_of_another(run: Run, fields: Dict[str, Any]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        bench.experiment.database.write(lambda db: db.execute(
            "UPDATE workers SET desired_state = 'stop', desired_version = 5")).result(20)
        for waited in (0.0, 5000.0):  # also when nothing has been heard of it for long
            bench.now += waited
            before = bench.everything()
            for user in (BOB, EVE):
                status, answer = await bench.beat(user, "hers", **fields)
                assert status == 409 and "take another name" in answer["error"]
            assert bench.everything() == before
        status, reply = await bench.beat(ALICE, "hers", session="of hers")
        assert status == 200 and (reply["desired_state"], reply["pending"]) == ("stop", True)
    run(scenario)


def test_a_guest_stops_no_worker_of_another(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        before = bench.everything()
        stop = {"worker_id": "hers", "job_id": 1, "action": "stop", "source": "login1"}
        for user in (BOB, EVE):
            status, answer = await bench.call(user, "POST", p.CLI_STOP, stop)
            assert status == 403 and "belongs to another user" in answer["error"]
            status, answer = await bench.call(user, "POST", p.CLI_STOP, dict(stop, worker_id="nobody's"))
            assert (status, answer["job_aborted"]) == (200, False)
        listed = [{"worker_id": "hers", "job_id": 1}, {"worker_id": "nobody's", "job_id": 1}]
        await bench.call(EVE, "POST", p.CLI_CLEAR_ALL, {"source": "login1", "workers": listed})
        assert bench.everything() == before
        status, answer = await bench.call(BOB, "POST", p.CLI_CLEAR_ALL, {
            "source": "login1", "workers": listed[:1] + [{"worker_id": "his", "job_id": 2}]})
        assert (status, answer["processed"]) == (200, 1)
        assert bench.sql("SELECT status FROM jobs ORDER BY id LIMIT 2") == [("SERVED",), ("ABORTED",)]
    run(scenario)


def test_a_name_that_was_forgotten_does_not_lead_to_what_it_ran(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        bench.experiment.database.write(
            lambda db: db.execute("DELETE FROM workers WHERE worker_id = 'hers'")).result(20)
        assert (await bench.beat(BOB, "hers", reported_status="busy", current_job_id=1))[0] == 409
        assert (await bench.beat(BOB, "hers", reported_status="busy"))[0] == 200
        status, answer = await bench.call(BOB, "POST", p.CLI_STOP, {"worker_id": "hers", "action": "stop"})
        assert (status, answer["job_aborted"]) == (200, False)
        assert (await bench.beat(BOB, "hers", leave=True))[0] == 200
        assert bench.sql("SELECT status FROM jobs WHERE id = 1") == [("SERVED",)]
    run(scenario)


def test_the_owner_stops_every_worker(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        for name in ("hers", "his"):
            order = {"worker_id": name, "action": "stop"}
            status, answer = await bench.call(ALICE, "POST", p.CLI_STOP, order)
            assert (status, answer["job_aborted"]) == (200, True)
    run(scenario)


def test_the_owners_worker_does_not_take_a_guests_name_either(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.running()
        before = bench.everything()
        assert (await bench.beat(ALICE, "his", session="new"))[0] == 409
        assert bench.everything() == before
    run(scenario)


@pytest.mark.parametrize("session", [None, "of w"])
def test_a_worker_from_before_belongs_to_whom_it_speaks_for_with_what_it_runs(run: Run,
                                                                              session: Optional[str]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.create(2)
        more = {} if session is None else {"session": session}
        await bench.beat(BOB, "w", **more)
        for table in ("workers", "attempts"):
            await bench.experiment.write(lambda t: t.db.execute("UPDATE %s SET hub_user = NULL" % table))
        assert (await bench.put(BOB, p.UPLOAD, job_id=1))[0] == 409
        assert (await bench.beat(BOB, "w", reported_status="busy", current_job_id=1, **more))[0] == 200
        assert (await bench.put(BOB, p.UPLOAD, job_id=1))[0] == 200
        assert (await bench.beat(EVE, "w", **more))[0] == 409
    run(scenario)
