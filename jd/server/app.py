"""The job server: an experiment, its routes on two ports, its sweeper, in one asyncio process."""

import asyncio
import html
import ssl
from typing import Optional

import jd
from jd import protocol as p
from jd.net.routing import Request, Response, Router
from jd.net.server import HttpServer
from jd.server import sweeper
from jd.server.access import Access
from jd.server.creation import Creation
from jd.server.experiment import Experiment
from jd.server.job_routes import JobRoutes
from jd.server.store import files, jobs, workers
from jd.server.waiting import WaitingRoom
from jd.server.worker_routes import WorkerRoutes

STOP_GRACE = 10.0  # seconds for requests in flight when the server stops

# What the store raises, as HTTP answers.
STATUS_OF = {
    jobs.NoSuchJob: 404,
    files.NoSuchFile: 404,
    jobs.StaleAttempt: 409,
    workers.NameTaken: 409,
    jobs.NotServed: 400,
    files.TooManyFiles: 400,
}


class JobServer:
    """One running server. `start`, then `stop`; both are awaited."""

    def __init__(self, experiment: Experiment, access: Access,
                 tls: Optional[ssl.SSLContext] = None) -> None:
        self.experiment = experiment
        self.room = WaitingRoom()
        self.creation = Creation(experiment, self.room)
        self.api = Router(guard=access, status_of=STATUS_OF)
        self.dashboard = Router(guard=access, status_of=STATUS_OF)
        self._api_server = HttpServer(self.api, ssl_context=tls)
        self._dashboard_server = HttpServer(self.dashboard, ssl_context=tls)
        WorkerRoutes(experiment, self.room, access).add_to(self.api)
        JobRoutes(experiment, self.creation).add_to(self.api)
        for router in (self.api, self.dashboard):
            router.add("GET", p.HEALTH, self._health, public=True)
        self.dashboard.add("GET", "/", self._front_page)
        self._sweeper: Optional["asyncio.Task[None]"] = None
        self.port = 0
        self.dashboard_port = 0

    async def start(self, host: str, port: int, dashboard_port: int) -> None:
        """Listen. Raises JdError where an address cannot be had."""
        self.port = await self._api_server.start(host, port)
        try:
            self.dashboard_port = await self._dashboard_server.start(host, dashboard_port)
        except BaseException:
            await self._api_server.stop(0)
            raise
        self._sweeper = asyncio.get_running_loop().create_task(
            sweeper.run(self.experiment, self.room))

    async def stop(self) -> None:
        """Take nothing new, answer held heartbeats, finish what was accepted."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.room.close()
        await asyncio.gather(self._api_server.stop(STOP_GRACE),
                             self._dashboard_server.stop(STOP_GRACE))

    async def _health(self, _request: Request) -> Response:
        """200 while the process and its database answer."""
        await self.experiment.read(jobs.counts)
        return Response.json({"status": "ok", "expId": self.experiment.name,
                              "version": jd.__version__})

    async def _front_page(self, _request: Request) -> Response:
        """The dashboard port: how the sweep is, as a plain page."""
        counts = await self.experiment.read(jobs.counts)
        rows = "".join("<tr><td>%s</td><td>%d</td></tr>" % (status, counts[status])
                       for status in p.JOB_STATUSES_ALL)
        page = ("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                "<meta http-equiv=\"refresh\" content=\"5\"><title>%s</title><h1>%s</h1>"
                "<table>%s</table></html>\n")
        name = html.escape(self.experiment.name)
        return Response(200, (page % (name, name, rows)).encode(),
                        content_type="text/html; charset=utf-8")
