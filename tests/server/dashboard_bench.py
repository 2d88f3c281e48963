"""A dashboard that is not listening: requests go through its router, the clocks are set by hand."""

import json
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, NamedTuple, Optional

from jd.auth import pins
from jd.auth.trylimit import TryLimit
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import Request, Response
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.experiment import Experiment
from jd.server.store.operators import pin as stored_pin
from jd.server.store.operators import signins
from jd.server.store.policy import Policy
from tests.server.store_support import clock_at

Scenario = Callable[["Dashboard"], Awaitable[None]]
Run = Callable[[Scenario], None]

PIN = "482913"
HOST = "127.0.0.1:5050"


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an answer that reports an error."""
        assert self.json["success"] is False
        return str(self.json["error"])

    @property
    def cookie(self) -> str:
        """What a browser would send from now on."""
        return self.headers["Set-Cookie"].partition(";")[0]


class Dashboard:
    """A server of experiment `exp`; `now` is its clock, `ticks` that of the attempts. To be made in
    a running loop: before Python 3.10 what asyncio offers belongs to one."""

    def __init__(self, workspace: Path, pin: Optional[str] = None, below: str = "") -> None:
        self.now = 1_000_000.0
        self.ticks = 0.0
        self.experiment = Experiment(workspace, "exp", Policy(), clock=clock_at(lambda: self.now))
        self.server = JobServer(self.experiment, Access("127.0.0.1", None, False), below=below)
        self.server.signin._tries = TryLimit(clock=lambda: self.ticks)
        if pin is not None:
            encoded = pins.encode(pin)
            self.experiment.write_now(lambda t: stored_pin.change(t, encoded))

    def close(self) -> None:
        self.server.signin.close()
        self.experiment.close()

    def signed_in(self, uid: Optional[int] = None) -> str:
        """The Cookie header of a new sign-in of a user of this machine, None: from elsewhere."""
        secret = self.experiment.write_now(lambda t: signins.begin(t, uid))
        return "jd_dashboard_%s=%s" % (self.experiment.server_id, secret)

    async def send(self, method: str, target: str, body: Any = None, cookie: Optional[str] = None,
                   peer: str = "127.0.0.1", secure: bool = False, uid: Optional[int] = None,
                   **headers: str) -> Answer:
        response = await self._dispatch(method, target, body, cookie, peer, secure, uid, headers)
        return Answer(response.status, response.body, response.headers)

    async def stream(self, target: str, cookie: str, peer: str = "127.0.0.1", uid: Optional[int] = None,
                     **headers: str) -> int:
        """The status of what goes on for ever, where nothing is read of it."""
        response = await self._dispatch("GET", target, None, cookie, peer, False, uid, headers)
        await response.aclose()
        return response.status

    async def _dispatch(self, method: str, target: str, body: Any, cookie: Optional[str], peer: str,
                        secure: bool, uid: Optional[int], headers: Dict[str, str]) -> Response:
        sent = {"host": HOST}
        if body is not None:
            sent["content-type"] = "application/json"
        if cookie is not None:
            sent["cookie"] = cookie
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        data = b"" if body is None else json.dumps(body).encode()
        return await self.server.dashboard.dispatch(
            Request(method, target, sent, BodyStream.of(data), peer, secure, lambda: uid))
