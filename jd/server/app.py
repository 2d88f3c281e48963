"""The job server: an experiment, its routes on two ports, its sweeper, in one asyncio process."""

import asyncio
import logging
import ssl
from typing import Any, Callable, Dict, List, Optional, Tuple

import jd
from jd import protocol as p
from jd.net.serving import tasks
from jd.net.serving.limits import Limits
from jd.net.serving.parser import ParserLimits
from jd.net.serving.proxies import Proxies
from jd.net.serving.routing import Request, Response, Route, Router
from jd.net.serving.server import HttpServer
from jd.net.serving.traffic import Traffic
from jd.server import sweeper
from jd.server.api import addressee
from jd.server.api.access import Access, check_role, check_routes
from jd.server.api.drive_routes import DriveRoutes
from jd.server.api.job_routes import JobRoutes
from jd.server.api.prometheus import Metrics
from jd.server.api.worker_routes import WorkerRoutes
from jd.server.creation.creator import Creator
from jd.server.dashboard.archive import Archive
from jd.server.dashboard.create import CreateJobs
from jd.server.dashboard.curves import Curves
from jd.server.dashboard.details import JobDetails
from jd.server.dashboard.failures import FailuresPage
from jd.server.dashboard.history import History
from jd.server.dashboard.jobs import JobTable
from jd.server.dashboard.live import Live
from jd.server.dashboard.operations import Operations
from jd.server.dashboard.pages import Pages
from jd.server.dashboard.results import Results
from jd.server.dashboard.signin import SignIn
from jd.server.dashboard.workers import Workers
from jd.server.driving.endrule import EndRule
from jd.server.driving.news import News
from jd.server.driving.orders import Orders
from jd.server.driving.regularly import regularly
from jd.server.driving.reportedresults import ReportedResults
from jd.server.driving.waits import Waits
from jd.server.experiment import Experiment
from jd.server.steady import Steady
from jd.server.store.files import files
from jd.server.store.fleet import retention, workers
from jd.server.store.operators import bulk
from jd.server.store.pages import jobdetails, workerlist
from jd.server.store.queue import attempts, ending, jobs, lease
from jd.server.store.transaction import Happened
from jd.server.waiting import WaitingRoom

STOP_GRACE = 10.0  # seconds for requests in flight when the server stops

log = logging.getLogger("jd.server")

# What the store raises, as HTTP answers.
STATUS_OF = {
    jobs.NoSuchJob: 404,
    files.NoSuchFile: 404,
    jobdetails.NoSuchAttempt: 404,
    workerlist.NoSuchWorker: 404,
    attempts.StaleAttempt: 409,
    bulk.NotPending: 409,
    workers.NameTaken: 409,
    workers.AnothersWorker: 403,
    ending.NotServed: 400,
    files.TooManyFiles: 400,
    retention.TooManyWorkers: 503,
}


log = logging.getLogger("jd.server")


class JobServer:
    """One running server. `start`, then `stop`; both are awaited."""

    def __init__(self, experiment: Experiment, access: Access,
                 tls: Optional[ssl.SSLContext] = None, metrics_token: Optional[str] = None,
                 proxies: Proxies = Proxies(), below: str = "") -> None:
        """`below` is the path at which a proxy shows the dashboard, "" for none."""
        self.experiment = experiment
        self.room = WaitingRoom()
        self._steady = Steady(experiment, self.room)
        experiment.on_commit(self.room.tell)
        experiment.on_commit(_say)
        experiment.on_commit(self._mind_untold)
        self._said_untold = False
        self.creation = Creator(experiment)
        self.orders = Orders(experiment)
        self.news = News(experiment)
        self._access = access
        self._metrics = Metrics(experiment, self._traffic, metrics_token)
        self.api = Router(guard=self._let_in, status_of=STATUS_OF)
        self.signin = SignIn(experiment, proxies=proxies)
        self.live = Live(experiment, self.creation, self.signin.guard)
        self.dashboard = Router(guard=self.signin.guard, status_of=STATUS_OF, below=below)
        self._api_server = HttpServer(self.api, Limits(parser=ParserLimits(request_line=p.MAX_REQUEST_LINE)),
                                      ssl_context=tls, rush=self.room.rush)
        self._dashboard_server = HttpServer(self.dashboard, ssl_context=tls)
        WorkerRoutes(experiment, self.room, access, self._steady).add_to(self.api)
        JobRoutes(experiment, self.creation, self.room.watching).add_to(self.api)
        DriveRoutes(experiment, self.orders, Waits(experiment, self.news), access).add_to(self.api)
        self.api.add("GET", p.HEALTH, self._health_of_api, public=True)
        self.api.add("GET", "/", self._show_the_way, public=True)
        self.dashboard.add("GET", p.HEALTH, self._health_of_dashboard, public=True)
        self._metrics.add_to(self.api)
        check_routes(self.api.routes)
        for part in (Pages(self.signin), self.signin, self.live,
                     JobTable(experiment, self.live, self.orders),
                     CreateJobs(experiment, self.creation), JobDetails(experiment, self.room.watching),
                     Results(experiment, self.live), Curves(experiment, self.live, self.room.watching),
                     History(experiment, self.live), Archive(experiment),
                     FailuresPage(experiment, self.live), Workers(experiment, self.live, self.room),
                     Operations(experiment, self._traffic, self.live)):
            part.add_to(self.dashboard)
        self.owner: Callable[[], Optional[str]] = lambda: None  # of the experiment, for messages
        self._regular: "List[asyncio.Task[None]]" = []
        self.port = 0
        self.dashboard_port = 0
        self.dashboard_url = ""  # where people reach it, told by who starts the server

    async def start(self, host: str, port: int, dashboard_port: int,
                    others: Tuple[int, int] = (0, 0)) -> None:
        """Listen. `others` is how many ports after each are tried where it is taken. Raises JdError
        where an address cannot be had."""
        await self.orders.resume()  # before somebody gives another order
        try:
            self.port = await self._api_server.start(host, port, others[0])
            self.dashboard_port = await self._dashboard_server.start(host, dashboard_port, others[1])
        except BaseException:
            await asyncio.gather(self._api_server.stop(0), self.orders.stop())
            raise
        self.creation.start()
        self.experiment.values.begin()
        self.live.start()
        self._regular = [asyncio.get_running_loop().create_task(task) for task in (
            sweeper.run(self.experiment, self._steady.write_out),
            regularly(ReportedResults(self.experiment).look, "what jobs report does not become results"),
            regularly(EndRule(self.experiment).look, "whether the sweep is to end is not looked at"))]

    def say_untold(self) -> None:
        """Say once in the log that some workers get a longer lease than was asked for."""
        if not self._said_untold:
            self._said_untold = True
            log.warning("workers of other makes are given a lease of %g s: they cannot be told how often "
                        "they have to be heard of", lease.UNTOLD)

    async def stop(self) -> None:
        """Take nothing new, answer held heartbeats, finish what was accepted."""
        self.room.close()
        await asyncio.gather(tasks.end(self._regular), self.creation.stop(), self.news.close(),
                             self.live.stop(), self.experiment.values.stop())
        await asyncio.gather(self._api_server.stop(STOP_GRACE),
                             self._dashboard_server.stop(STOP_GRACE))
        self._steady.write_out()
        await asyncio.gather(self.orders.stop(), self.experiment.begun.stop(STOP_GRACE))
        self.signin.close()

    def _mind_untold(self, happened: Happened) -> None:
        if happened.untold:
            self.say_untold()

    async def _health_of_api(self, request: Request) -> Response:
        return await self._health(role=p.ROLE_API, extensions=list(p.EXTENSIONS),
                                  **self._access.proof(request))

    async def _health_of_dashboard(self, _request: Request) -> Response:
        """Who takes it for the API learns where that is."""
        return await self._health(role=p.ROLE_DASHBOARD, api_port=self.port)

    async def _show_the_way(self, _request: Request) -> Response:
        """For people who open the port of the workers in a browser."""
        return Response.text("The workers of experiment %s use this port. Its dashboard, for people, is at\n"
                             "%s\n" % (self.experiment.name, self.dashboard_url))

    async def _health(self, **facts: Any) -> Response:
        """200 while the process and its database answer."""
        await self.experiment.look_up(jobs.counts)
        return Response.json(dict(facts, status="ok", expId=self.experiment.name,
                                  version=jd.__version__))

    def _let_in(self, request: Request, route: Route) -> None:
        """The guard of the API. A token is of one server: for whom a request is meant comes first."""
        addressee.check_header(request, self.experiment.name)
        if not self._metrics.admits(request, route):
            self._access(request, route)
            check_role(request.principal, route, self.experiment.name, self.owner())

    def _traffic(self) -> Dict[str, Traffic]:
        """What went over the two ports since the start."""
        return {"api": self._api_server.traffic, "dashboard": self._dashboard_server.traffic}


def _say(happened: Happened) -> None:
    """What operators should read in the server's output."""
    for text in happened.said:
        log.warning("%s", text)
