"""The Hub: its data, its routes and its clean-up, in one asyncio process."""

import asyncio
import logging
import sqlite3
import ssl
from typing import Mapping, Optional, Type

import jd
from jd import protocol as p
from jd.auth.trylimit import TryLimit
from jd.errors import UsageError
from jd.hub.access import Access
from jd.hub.data import HubData
from jd.hub.pages import PageRoutes
from jd.hub.quota import Quota
from jd.hub.routes import ApiRoutes
from jd.hub.signin import WEB, SignIn
from jd.hub.store import accounts, experiments, issuing, signins, tokens
from jd.hub.webroutes import WebRoutes
from jd.net.serving import tasks
from jd.net.serving.proxies import Proxies
from jd.net.serving.routing import Request, Response, Route, Router
from jd.net.serving.server import HttpServer
from jd.threads import Reported

STOP_GRACE = 10.0  # seconds for requests in flight when the Hub stops
PRUNE_INTERVAL = 600.0  # seconds
PRUNE_BATCH = 1000  # rows in one step, so that nobody is kept waiting

log = logging.getLogger("jd.hub")

# What the store raises, as HTTP answers.
STATUS_OF: Mapping[Type[Exception], int] = {
    experiments.NoSuchExperiment: 404,
    experiments.NotOwner: 403,
    experiments.ExperimentGone: 403,
    experiments.NameTaken: 409,
    experiments.TooManyExperiments: 400,
    issuing.KeyRefused: 403,
    tokens.NoSuchToken: 404,
    accounts.NoSuchUser: 404,
    accounts.NoSuchKey: 404,
    accounts.UserExists: 409,
    accounts.TooManyKeys: 400,
    accounts.BadLink: 403,
    UsageError: 400,
}


class Hub:
    """One running Hub. `start`, then `stop`; both are awaited."""

    def __init__(self, data: HubData, quota: Optional[Quota] = None,
                 tries: Optional[TryLimit] = None,
                 tls: Optional[ssl.SSLContext] = None, proxies: Proxies = Proxies()) -> None:
        self.data = data
        self._access = Access(data)
        self._signin = SignIn(data, tries, proxies)
        self.router = Router(guard=self._guard, status_of=STATUS_OF)
        ApiRoutes(data, quota if quota is not None else Quota()).add_to(self.router)
        self.router.add("GET", p.HEALTH, self._health, public=True)
        self._signin.add_to(self.router)
        WebRoutes(data, self._signin.hashers).add_to(self.router)
        PageRoutes(self._signin).add_to(self.router)
        self._server = HttpServer(self.router, ssl_context=tls)
        self._pruner: Optional["asyncio.Task[None]"] = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises JdError where the address cannot be had."""
        self.port = await self._server.start(host, port)
        self._pruner = asyncio.get_running_loop().create_task(self._prune())

    async def stop(self) -> None:
        """Take nothing new, finish what was accepted."""
        await tasks.end([self._pruner])
        await self._server.stop(STOP_GRACE)
        self._signin.close()

    async def _guard(self, request: Request, route: Route) -> None:
        """Pages have a sign-in, programs a key; neither opens the other's door."""
        if route.pattern.startswith(WEB):
            await self._signin.guard(request)
        else:
            await self._access(request, route)

    async def _health(self, _request: Request) -> Response:
        """200 while the process and its database answer."""
        await self.data.look_up(accounts.has_admin)
        return Response.json({"status": "ok", "service": "jd_hub", "version": jd.__version__})

    async def _prune(self) -> None:
        """Forget what is over, for ever. Whatever that meets, such as a database that cannot be written, it
        is tried again."""
        pruning = Reported("tokens and sign-ins that are over are not forgotten", log.warning)
        while True:
            for prune in (_prune_tokens, _prune_signins):
                with pruning:
                    while await self.data.write(prune) == PRUNE_BATCH:
                        pass
            await asyncio.sleep(PRUNE_INTERVAL)


def _prune_tokens(db: sqlite3.Connection, now: float) -> int:
    return tokens.prune(db, now, PRUNE_BATCH)


def _prune_signins(db: sqlite3.Connection, now: float) -> int:
    return signins.prune(db, now, PRUNE_BATCH)
