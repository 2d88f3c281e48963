"""A Hub that is not listening, driven by a clock that the test sets; and one that is a process."""

import asyncio
import json
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, TypeVar
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener
from urllib.request import Request as UrlRequest

from jd.hub.app import Hub
from jd.hub.data import HubData
from jd.hub.quota import Quota
from jd.hub.store import accounts, experiments, signins
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import Request
from tests.e2e.processes import Process
from tests.support import free_env, python

T = TypeVar("T")

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

    def write(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Run an operation of the store whose last argument is the time."""
        return self.run(operation, *arguments, self.now)

    def run(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Run an operation of the store that changes something."""
        return self.data.write_now(lambda db, _now: operation(db, *arguments))

    def read(self, operation: Callable[..., T], *arguments: Any) -> T:
        return self.data.read_now(lambda db: operation(db, *arguments))

    def user(self, email: str) -> Tuple[int, str]:
        """A new user with a key: id and key."""
        user = self.write(accounts.add_user, email, False, "test")
        return user.id, self.key(email)

    def key(self, email: str, name: str = "laptop") -> str:
        return self.write(accounts.create_key, email, name, "test")[1]

    def experiment(self, name: str, owner_id: int, server: Optional[str] = SERVER) -> experiments.Experiment:
        made = self.write(experiments.create, name, owner_id, "test")
        if server is not None:
            self.write(experiments.register, name, owner_id, server, None)
        return made

    def call(self, method: str, target: str, key: Optional[str] = None, body: Any = None,
             raw: Optional[bytes] = None, uid: Optional[int] = None, peer: str = "127.0.0.1",
             **headers: str) -> Answer:
        """Status, decoded JSON and headers; `content_type` and the like are headers to send."""
        sent = {"host": "127.0.0.1:5080"}
        if key is not None:
            sent["authorization"] = "Bearer " + key
        if body is not None or raw is not None:
            sent["content-type"] = "application/json"
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()

        async def dispatch() -> Any:
            return await asyncio.wait_for(self.hub.router.dispatch(
                Request(method, target, sent, BodyStream.of(data), peer, peer_uid=lambda: uid)), 20)
        response = asyncio.run(dispatch())
        return Answer(response.status, json.loads(response.body), response.headers)

    def signed_in(self, email: str, password: str, uid: Optional[int] = None) -> str:
        """The Cookie header of a new session; `password` is the hash that is stored."""
        secret = self.write(signins.sign_in, email, password, uid)
        assert secret is not None
        return "jd_hub_session=" + secret

    def token(self, key: str, name: str = "exp") -> Answer:
        return self.call("POST", TOKEN, key, {"experiment_name": name})


class HubProcess(Process):
    """`jd_hub serve` on a free port; `url` and `ready` are known once it listens."""

    def __init__(self, directory: Path, *flags: Any, **environ: Any) -> None:
        self.data = directory / "data"
        super().__init__(python("-m", "jd.hub", "serve", "--port", 0, "--data", self.data, "--json", *flags),
                         free_env(directory, **environ), directory / "hub.err")
        line = self.stdout.readline()
        assert line, "the Hub did not start: " + self.errors
        self.ready = json.loads(line)
        self.url = self.ready["hub_url"]

    def event(self) -> Dict[str, Any]:
        """The next line that it prints."""
        return dict(json.loads(self.stdout.readline()))

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
