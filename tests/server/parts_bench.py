"""Routes of workers and of parts of the dashboard on one experiment, called without sockets or sign-in."""

import json
import os
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List, Optional, Union

from jd import protocol as p
from jd.net.multipart import encode_upload
from jd.net.serving.body import BodyStream
from jd.net.serving.routing import Request, Response, Route, Router
from jd.server.api.access import OWNER, Access, Principal
from jd.server.api.job_routes import JobRoutes
from jd.server.api.worker_routes import WorkerRoutes
from jd.server.app import STATUS_OF
from jd.server.creation.creator import Creator
from jd.server.dashboard.archive import Archive
from jd.server.dashboard.create import CreateJobs
from jd.server.dashboard.curves import Curves
from jd.server.dashboard.details import JobDetails
from jd.server.dashboard.failures import FailuresPage
from jd.server.dashboard.live import Live
from jd.server.dashboard.results import Results
from jd.server.experiment import Experiment
from jd.server.steady import Steady
from jd.server.store.policy import Policy
from jd.server.waiting import WaitingRoom
from tests.server.scenes import play
from tests.server.store_support import clock_at

Scenario = Callable[["PartsBench"], Awaitable[None]]
Run = Callable[[Scenario], None]


class Answer:
    """A response whose file or stream has been read."""

    def __init__(self, response: Response, content: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.content_type = response.content_type
        self.content = content

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def _as_owner(request: Request, _route: Route) -> None:
    request.principal = Principal(None, OWNER)


async def _anybody(_request: Request, _route: Any) -> None:
    """Lets in everybody."""


class PartsBench:
    """`now` is the server's clock."""

    def __init__(self, workspace: Path) -> None:
        self.now = 1_700_000_000.0
        self.experiment = Experiment(workspace, "exp", Policy(), clock=clock_at(lambda: self.now))
        room = WaitingRoom()
        self.experiment.on_commit(room.tell)
        self.creation = Creator(self.experiment)
        live = Live(self.experiment, self.creation, _anybody)
        self.router = Router(guard=_as_owner, status_of=STATUS_OF)
        for part in (WorkerRoutes(self.experiment, room, Access("127.0.0.1", None, False),
                                  Steady(self.experiment, room)),
                     JobRoutes(self.experiment, self.creation, room.watching),
                     CreateJobs(self.experiment, self.creation),
                     JobDetails(self.experiment, room.watching), Archive(self.experiment),
                     Results(self.experiment, live), Curves(self.experiment, live, room.watching),
                     FailuresPage(self.experiment, live)):
            part.add_to(self.router)

    def close(self) -> None:
        self.experiment.close()

    async def send(self, method: str, target: str, body: bytes = b"",
                   headers: Optional[Dict[str, str]] = None) -> Answer:
        response = await self.router.dispatch(
            Request(method, target, headers or {}, BodyStream.of(body), peer_uid=os.geteuid))
        content = response.body
        if response.file is not None:
            content = response.file.read()
        elif response.stream is not None:
            content = b"".join([piece async for piece in response.stream])
        await response.aclose()
        return Answer(response, content)

    async def get(self, target: str) -> Answer:
        return await self.send("GET", target)

    async def post(self, target: str, body: Any) -> Answer:
        return await self.send("POST", target, json.dumps(body).encode(),
                               {"content-type": "application/json"})

    async def create(self, *jobs: Dict[str, Any]) -> None:
        answer = await self.post("/web/create", {"jobs": list(jobs)})
        assert answer.status == 200, answer.content

    async def beat(self, worker_id: str = "w", **fields: Any) -> Optional[Dict[str, Any]]:
        """A heartbeat; the job it gives, if any."""
        answer = await self.post(p.HEARTBEAT, dict({"worker_id": worker_id}, **fields))
        assert answer.status == 200, answer.content
        job: Optional[Dict[str, Any]] = answer.json["job"]
        return job

    async def finish(self, job_id: int, status: str = "DONE", **fields: Any) -> None:
        answer = await self.post(p.UPDATE_JOB_STATUS,
                                 dict({"job_id": job_id, "status": status}, **fields))
        assert answer.status == 200, answer.content

    async def upload(self, job_id: int, name: str, content: Union[bytes, str], route: str = p.UPLOAD,
                     part: str = "file", status: int = 200, **fields: Any) -> None:
        content = content.encode() if isinstance(content, str) else content
        frame = encode_upload(dict({"job_id": str(job_id)}, **fields), part, name, len(content))
        answer = await self.send("POST", route, frame.prefix + content + frame.suffix,
                                 {"content-type": frame.content_type})
        assert answer.status == status, answer.content

    def sql(self, text: str, *values: Any) -> List[Any]:
        """What a query gives, at once."""
        return self.experiment.database.read(
            lambda db: db.execute(text, values).fetchall()).result(20)


def run_bench(workspace: Path, scenario: Scenario) -> None:
    """Run a coroutine function on a new bench, and close it."""
    play(lambda: PartsBench(workspace), scenario, 30)
