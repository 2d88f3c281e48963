"""What has happened so far: the best of a metric over time."""

import asyncio
import math
import sqlite3
from typing import Any, Callable, Tuple

from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.protocol import ProtocolError
from jd.server.dashboard.live import Live
from jd.server.dashboard.sharing import MAX_AGE
from jd.server.experiment import Experiment
from jd.server.store.files.resultfile import MAX_NAME_CHARS
from jd.server.store.pages import bestsofar
from jd.server.store.search import filters

READ_SECONDS = 30.0  # a million attempts take several; one question at a time is looked up


class History:
    """The history of one experiment."""

    def __init__(self, experiment: Experiment, live: Live) -> None:
        self._experiment = experiment
        self._live = live
        # A million attempts take seconds: the other readers of the database stay free.
        self._turn = asyncio.Lock()

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/history/best", self.best)

    async def best(self, request: Request) -> Response:
        """A metric of the finished jobs in their order, and the best so far."""
        metric = fields.read_text(request.query, "metric", MAX_NAME_CHARS)
        if not metric:
            raise ProtocolError("metric is missing from the URL: give the name of a result")
        text = fields.read_text(request.query, "filter", filters.MAX_CHARS)
        asked = bestsofar.Asked(metric, text, _switch(request, "less"), _switch(request, "spent"))
        limit = fields.read_whole(request.query, "limit", 1, bestsofar.MAX_SHOWN, bestsofar.MAX_SHOWN)
        now = self._experiment.clock()

        def look(db: sqlite3.Connection) -> Any:
            found = bestsofar.find(db, asked, limit, now)
            return dict(found._asdict(), spread=found.spread and found.spread._asdict())
        # Only a filter can be about the time.
        return await self._shared(request, ("jobs",), look, MAX_AGE if text else math.inf)

    async def _shared(self, request: Request, topics: Tuple[str, ...],
                      look: Callable[[sqlite3.Connection], Any], max_age: float) -> Response:
        async def make() -> Response:
            async with self._turn:
                found = await self._experiment.read(look, seconds=READ_SECONDS)
                return await asyncio.get_running_loop().run_in_executor(None, Response.json, found)
        return await self._live.shared(request, topics, make, max_age)


def _switch(request: Request, key: str) -> bool:
    return fields.read_word(request.query, key, ("0", "1"), "0") == "1"
