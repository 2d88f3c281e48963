"""A Hub that is not listening, driven by a clock that the test sets; and one that is a process."""

import asyncio
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as UrlRequest

from jd.hub.app import Hub
from jd.hub.data import HubData
from jd.hub.quota import Quota
from jd.hub.store import accounts, experiments
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import Request
from tests.e2e.processes import Process
from tests.support import free_env, python

ALICE, BOB = "alice@example.org", "bob@example.org"
SERVER = "http://node1:5000"
TOKEN = "/api/worker/token"
EXPERIMENTS = "/api/experiments"


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Dict[str, str]


class Bench:
    """A Hub and its data; `now` is its clock, `ticks` that of its quota."""

    def __init__(self, directory: Path, limit: int = 600) -> None:
        self.now = 1_700_000_000.0
        self.ticks = 0.0
        self.data = HubData(directory / "hub", clock=lambda: self.now)
        self.hub = Hub(self.data, Quota(limit, clock=lambda: self.ticks))

    def write(self, operation: Any, *arguments: Any) -> Any:
        """Run an operation of the store whose last argument is the time."""
        return self.data.write_now(operation, *arguments, self.now)

    def read(self, operation: Any, *arguments: Any) -> Any:
        return self.data.read_now(operation, *arguments)

    def user(self, email: str) -> Tuple[int, str]:
        """A new user with a key: id and key."""
        user = self.write(accounts.add_user, email, False, "test")
        return user.id, self.key(email)

    def key(self, email: str, name: str = "laptop") -> str:
        return str(self.write(accounts.create_key, email, name, "test")[1])

    def experiment(self, name: str, owner_id: int, server: Optional[str] = SERVER) -> Any:
        made = self.write(experiments.create, name, owner_id, "test")
        if server is not None:
            self.write(experiments.register, name, owner_id, server, None)
        return made

    def call(self, method: str, target: str, key: Optional[str] = None, body: Any = None,
             raw: Optional[bytes] = None, uid: Optional[int] = None, peer: str = "127.0.0.1",
             **headers: str) -> Answer:
        """Status, decoded JSON and headers."""
        sent = {"host": "127.0.0.1:5080"}
        if key is not None:
            sent["authorization"] = "Bearer " + key
        if body is not None or raw is not None:
            sent["content-type"] = "application/json"
        sent.update(headers)
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()

        async def dispatch() -> Any:
            return await asyncio.wait_for(self.hub.router.dispatch(
                Request(method, target, sent, BodyStream.of(data), peer, peer_uid=lambda: uid)), 20)
        response = asyncio.run(dispatch())
        return Answer(response.status, json.loads(response.body), response.headers)

    def token(self, key: str, name: str = "exp") -> Answer:
        return self.call("POST", TOKEN, key, {"experiment_name": name})


class HubProcess(Process):
    """`jd_hub serve` on a free port; `url` and `ready` are known once it listens."""

    def __init__(self, directory: Path, *flags: Any, **environ: Any) -> None:
        self.data = directory / "data"
        super().__init__(python("-m", "jd.hub", "serve", "--port", 0, "--data", self.data, "--json", *flags),
                         free_env(directory, **environ), directory / "hub.err")
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, "the Hub did not start: " + self.errors
        self.ready = json.loads(line)
        self.url = self.ready["hub_url"]

    def event(self) -> Dict[str, Any]:
        """The next line that it prints."""
        assert self.popen.stdout is not None
        return dict(json.loads(self.popen.stdout.readline()))

    def call(self, method: str, route: str, key: str = "", body: Any = None) -> Tuple[int, Any]:
        """Status and decoded answer."""
        data = None if body is None else json.dumps(body).encode()
        request = UrlRequest(self.url + route, data, method=method, headers={
            "Content-Type": "application/json", "Authorization": "Bearer " + key})
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())


def mentions(text: str, secrets: List[str]) -> List[str]:
    """Which of the secrets stand in a text."""
    return [secret for secret in secrets if secret in text]
