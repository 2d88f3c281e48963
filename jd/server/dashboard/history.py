"""What has happened so far: the best of a metric over time, and what it has cost."""

import asyncio
import math
import sqlite3
import time
from typing import Any, Callable, Tuple

from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.protocol import ProtocolError
from jd.server.dashboard.live import Live
from jd.server.dashboard.sharing import MAX_AGE
from jd.server.experiment import Experiment
from jd.server.store.files.resultfile import MAX_NAME_CHARS
from jd.server.store.pages import bestsofar, cost, worktime
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
        router.add("GET", "/web/history/cost", self.cost)
        router.add("GET", "/web/history/cost.csv", self.cost_csv)

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

    async def cost(self, request: Request) -> Response:
        """Hours of the clock, of CPUs and of GPUs by sweep, tag, host or user."""
        by, now = fields.read_word(request.query, "by", cost.BY, cost.SWEEP), self._experiment.clock()

        def look(db: sqlite3.Connection) -> Any:
            found = cost.find(db, by, now)
            return {"kinds": worktime.KINDS, "now": now, "rest": found.rest, "users": found.users,
                    "rows": [dict(row._asdict(), hours=_hours(row.hours)) for row in found.rows],
                    "others": _hours(found.others), "total": _hours(found.total)}
        return await self._shared(request, ("jobs", "workers"), look, MAX_AGE)

    async def cost_csv(self, request: Request) -> Response:
        """The same as CSV, with all rows."""
        by, now = fields.read_word(request.query, "by", cost.BY, cost.SWEEP), self._experiment.clock()
        async with self._turn:
            text = await self._experiment.read(
                lambda db: cost.lines(cost.find(db, by, now, cost.MAX_LINES), by), seconds=READ_SECONDS)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        return Response(body=text.encode("utf-8"), content_type="text/csv; charset=utf-8", headers={
            "Content-Disposition": 'attachment; filename="%s-cost-%s-%s.csv"' % (
                self._experiment.name, by, stamp)})

    async def _shared(self, request: Request, topics: Tuple[str, ...],
                      look: Callable[[sqlite3.Connection], Any], max_age: float) -> Response:
        async def make() -> Response:
            async with self._turn:
                found = await self._experiment.read(look, seconds=READ_SECONDS)
                return await asyncio.get_running_loop().run_in_executor(None, Response.json, found)
        return await self._live.shared(request, topics, make, max_age)


def _hours(hours: cost.Hours) -> Any:
    return dict(hours._asdict(), wasted=hours.wasted)


def _switch(request: Request, key: str) -> bool:
    return fields.read_word(request.query, key, ("0", "1"), "0") == "1"
