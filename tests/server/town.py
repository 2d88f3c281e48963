"""A Hub and a job server that listen, the people who have to do with them, and what each can show."""

import asyncio
import json
import os
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Callable, Coroutine, Dict, List, Optional, Tuple, TypeVar

from jd import protocol as p
from jd.auth import jwt
from jd.clock import Clock
from jd.hub.app import Hub
from jd.hub.data import HubData
from jd.hub.store import accounts, experiments, issuing, tokens
from jd.hub.store import signins as hub_signins
from jd.net.client import Client
from jd.net.multipart import encode_upload
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.experiment import Experiment
from jd.server.hubside.hublink import HubLink
from jd.server.store.operators import signins
from jd.server.store.policy import Policy

HOST = "127.0.0.1"
THIS_USER = os.geteuid() if sys.platform.startswith("linux") else None  # elsewhere nobody tells
ALICE, BOB, EVE, MALLORY, ROOT = ("%s@example.org" % name
                                  for name in ("alice", "bob", "eve", "mallory", "root"))
Headers = Dict[str, str]
S = TypeVar("S", bound="Servers")
T = TypeVar("T")


def still_clock() -> Clock:
    """No time passes, so no lease is made longer because a busy machine kept the server from listening."""
    now = time.time()
    return Clock(lambda: now, lambda: 0.0)


class Servers:
    """Servers in a loop of their own. `ports` tells where they listen, `credentials` the headers by which one
    shows who one is."""

    ports: Dict[str, int]
    experiment: Experiment

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.credentials: Dict[str, Headers] = {"none": {}}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="town")
        self._thread.start()
        try:
            self._await(self._open())
        except BaseException:
            self._end_loop()
            raise

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self._await(self._close())
        finally:
            self._end_loop()

    def send(self, place: str, method: str, target: str, headers: Headers,
             body: bytes = b"") -> Tuple[int, bytes]:
        """Status and the beginning of the body: some go on for ever."""
        connection = HTTPConnection(HOST, self.ports[place], timeout=60)
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(200)
        finally:
            connection.close()

    def everything(self) -> List[Any]:
        """What the job server keeps."""
        return [self.experiment.database.read(lambda db: list(db.iterdump())).result(20),
                sorted(path for path in self.experiment.data_dir.rglob("*") if path.is_file())]

    async def _open(self) -> None:
        raise NotImplementedError

    async def _close(self) -> None:
        raise NotImplementedError

    def _await(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _serve(self, access: Access) -> None:
        self.server = JobServer(self.experiment, access)
        await self.server.start(HOST, 0, 0)
        self.ports = {"api": self.server.port, "dashboard": self.server.dashboard_port}
        secret = await self.experiment.write(lambda t: signins.begin(t, THIS_USER))
        cookie = "jd_dashboard_%s=%s" % (self.experiment.server_id, secret)
        self.credentials["dashboard"] = {"Cookie": cookie}

    def _post(self, name: str, route: str, body: Any) -> None:
        headers, raw = as_json(body) if isinstance(body, dict) else body
        status, answer = self.send("api", "POST", route, dict(self.credentials[name], **headers), raw)
        assert status == 200, answer

    def _jobs(self, *held: Tuple[str, str]) -> None:
        """Four jobs. The first are run by these (credential, worker), with a file and a checkpoint each."""
        self._post(held[0][0], p.CREATE_JOBS, {"jobs": [{"x": i} for i in range(4)]})
        for job_id, (name, worker) in enumerate(held, 1):
            self._post(name, p.HEARTBEAT, {"worker_id": worker, "session": "of " + worker})
            self._post(name, p.UPLOAD, as_upload("file", job_id))
            self._post(name, p.CHECKPOINT, as_upload("checkpoint", job_id))


class Alone(Servers):
    """A job server without a Hub, which knows the user of a connection and has a token of its own."""

    TOKEN = "the-token-that-it-made-for-itself"

    async def _open(self) -> None:
        self.experiment = Experiment(self.directory, "exp", Policy(), still_clock())
        access = Access(HOST, None, False)
        access.settle(lambda: self.TOKEN)
        await self._serve(access)
        await self._loop.run_in_executor(None, self._jobs, ("none", "hers"))

    async def _close(self) -> None:
        await self.server.stop()
        self.experiment.close()


class Town(Servers):
    """Alice owns the experiment `exp`; Bob and Eve are guests, for `work` and for `edit`; Mallory and the
    administrator have nothing to do with it. Alice's worker `hers` runs job 1, Bob's `his` job 2; jobs 3 and
    4 wait.
    """

    def everything(self) -> List[Any]:
        """What both servers keep."""
        kept = self.data.database.read(lambda db: list(db.iterdump())).result(20)
        # When a key was used last is noted with every request that is let in.
        return super().everything() + [line for line in kept if not line.startswith('INSERT INTO "api_keys"')]

    async def _open(self) -> None:
        self.data = HubData(self.directory / "hub")
        self.hub = Hub(self.data)
        await self.hub.start(HOST, 0)
        await self._people()
        self.experiment = Experiment(self.directory / "server", "exp", Policy(), still_clock())
        link = HubLink(Client("http://%s:%d" % (HOST, self.hub.port), lambda: self._key_of_alice), "exp",
                       self.directory / "hub.json", print)
        await self._loop.run_in_executor(None, link.connect)
        await self._serve(Access(HOST, None, False, link.verify))
        self.ports["hub"] = self.hub.port
        await self._loop.run_in_executor(None, self._jobs, ("owner", "hers"), ("work", "his"))

    async def _close(self) -> None:
        await self.server.stop()
        await self.hub.stop()
        self.experiment.close()
        self.data.close()

    async def _people(self) -> None:
        """Accounts, the experiment, and what each person can show."""
        now = time.time()

        async def write(operation: Callable[..., T], *arguments: Any) -> T:
            return await self.data.write(lambda db, _now: operation(db, *arguments))

        callers = {}
        for email in (ALICE, BOB, EVE, MALLORY, ROOT):
            user = await write(accounts.add_user, email, email == ROOT, "test", now)
            await write(lambda db, user_id: db.execute(
                "UPDATE users SET password = 'x' WHERE id = ?", (user_id,)), user.id)
            name = email.partition("@")[0]
            cookie = await write(hub_signins.sign_in, email, "x", THIS_USER, now)
            self.credentials["page of " + name] = {"Cookie": "jd_hub_session=%s" % cookie}
            key = (await write(accounts.create_key, email, "k", "test", now))[1]
            self.credentials["key of " + name] = bearer(key)
            caller = await self.data.read(lambda db: accounts.caller(db, key))
            assert caller is not None
            callers[email] = caller
            if email == ALICE:
                self._key_of_alice = key
        for made in ("exp", "other"):
            await write(experiments.create, made, callers[ALICE].user_id, "test", now)
            await write(experiments.register, made, callers[ALICE].user_id, "http://node1:5000", None, now)
        for email, role in ((BOB, "work"), (EVE, "edit")):
            await write(experiments.share, "exp", email, role, callers[ALICE].user_id, "test", now)

        async def token(email: str, experiment: str = "exp") -> str:
            issued: issuing.Issued = await write(issuing.issue, callers[email], experiment, now)
            return issued.token
        found = await self.data.read(lambda db: experiments.find(db, "exp", None))
        secret = await self.data.read(lambda db: experiments.secret_of(db, found.id))
        revoked = await token(ALICE)
        claims = jwt.verify(revoked, secret, now)
        await write(tokens.revoke, found.id, claims["jti"], now)
        self.jti = jwt.verify(await token(ALICE), secret, now)["jti"]
        expired = jwt.sign(dict(claims, jti="e", iat=now - 7200, exp=now - 3600), secret)
        for name, text in (("owner", await token(ALICE)), ("edit", await token(EVE)),
                           ("work", await token(BOB)), ("other experiment", await token(ALICE, "other")),
                           ("expired", expired), ("revoked", revoked)):
            self.credentials[name] = bearer(text)
        self.credentials["own"] = self.credentials["work"]


def bearer(secret: str) -> Headers:
    return {"Authorization": "Bearer " + secret}


def as_json(body: Optional[Dict[str, Any]]) -> Tuple[Headers, bytes]:
    return ({}, b"") if body is None else ({"Content-Type": "application/json"}, json.dumps(body).encode())


def as_upload(part: str, job_id: int) -> Tuple[Headers, bytes]:
    frame = encode_upload({"job_id": str(job_id), "attempt": "1"}, part, "a.txt", 1)
    return {"Content-Type": frame.content_type}, frame.prefix + b"x" + frame.suffix
