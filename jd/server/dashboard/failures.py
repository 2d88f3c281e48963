"""Why runs fail: their failures by kind, and the values of parameters that stand out in each."""

import asyncio
import math
import sqlite3
from typing import Any, Callable, Dict

from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.server.dashboard.live import Live
from jd.server.dashboard.sharing import MAX_AGE
from jd.server.experiment import Experiment
from jd.server.store.pages import failures, standouts
from jd.server.store.search import filters

SECONDS = 30.0  # hundreds of thousands of failures, with their parameters, take several


class FailuresPage:
    """`/web/failures` of one experiment."""

    def __init__(self, experiment: Experiment, live: Live) -> None:
        self._experiment = experiment
        self._live = live
        # One at a time are counted, and one compared: the other readers of the database stay free.
        self._counting, self._comparing = asyncio.Lock(), asyncio.Lock()

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/failures", self.kinds)
        router.add("GET", "/web/failures/values", self.values)

    async def kinds(self, request: Request) -> Response:
        """The failures of the jobs of a filter, by kind."""
        wanted, now = _filter(request), self._experiment.clock()

        def look(db: sqlite3.Connection) -> Dict[str, Any]:
            found = failures.take(db, wanted, now)
            return dict(found._asdict(), kinds=[_kind(one) for one in found.kinds],
                        interrupted=[_kind(one) for one in found.interrupted])
        return await self._shared(request, look, self._counting)

    async def values(self, request: Request) -> Response:
        """What stands out in each kind."""
        wanted, now = _filter(request), self._experiment.clock()

        def look(db: sqlite3.Connection) -> Dict[str, Any]:
            found = standouts.take(db, wanted, now)
            return dict(found._asdict(), kinds={
                str(kind): [one._asdict() for one in some] for kind, some in found.kinds.items()})
        return await self._shared(request, look, self._comparing)

    async def _shared(self, request: Request, look: Callable[[sqlite3.Connection], Any],
                      turn: asyncio.Lock) -> Response:
        async def make() -> Response:
            async with turn:
                found = await self._experiment.read(look, seconds=SECONDS)
            return Response.json(found)
        # Only a filter can be about the time.
        max_age = MAX_AGE if _filter(request) else math.inf
        return await self._live.shared(request, ("jobs",), make, max_age)


def _filter(request: Request) -> str:
    return fields.read_text(request.query, "filter", filters.MAX_CHARS)


def _kind(one: failures.Kind) -> Dict[str, Any]:
    """A kind for a page."""
    places = {name: [place._asdict() for place in getattr(one, name)]
              for name in ("hosts", "workers", "gpus")}
    return dict(one._asdict(), example=one.example._asdict(), **places)
