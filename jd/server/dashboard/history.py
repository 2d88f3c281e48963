"""What has happened so far: the best of a metric over time, who ran what when, and what it has cost."""

import asyncio
import math
import sqlite3
import time
from typing import Any, Callable, Optional, Tuple

from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.protocol import MAX_NAME_CHARS, ProtocolError, shown
from jd.server.dashboard.live import Live
from jd.server.dashboard.sharing import MAX_AGE
from jd.server.experiment import Experiment
from jd.server.store.files import resultfile
from jd.server.store.pages.history import bestsofar, cost, timeline
from jd.server.store.pages.history.worktime import KINDS
from jd.server.store.search import filters

READ_SECONDS = 30.0  # a million attempts take several; one question at a time is looked up
MAX_ROWS = 10_000_000  # before those that are asked for
MAX_SECONDS = 1e11  # in a query; some thousand years


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
        router.add("GET", "/web/history/workers", self.workers)
        router.add("GET", "/web/history/cost", self.cost)
        router.add("GET", "/web/history/cost.csv", self.cost_csv)

    async def best(self, request: Request) -> Response:
        """A metric of the finished jobs in their order, and the best so far."""
        metric = fields.read_text(request.query, "metric", resultfile.MAX_NAME_CHARS)
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

    async def workers(self, request: Request) -> Response:
        """Workers or hosts over a window of time: the last seconds up to now, or between two moments."""
        now, query = self._experiment.clock(), request.query
        start, end = _moment(request, "from"), _moment(request, "to")
        last = _moment(request, "last")
        if last is not None:
            start, end = now - max(last, timeline.MIN_SECONDS), now
        if start is not None and end is not None and end <= start:
            raise ProtocolError("to must be later than from")
        asked = timeline.Asked(
            start, end, fields.read_word(query, "by", ("", *timeline.BY), "") or None,
            fields.read_text(query, "host", MAX_NAME_CHARS),
            fields.read_word(query, "sort", timeline.SORTS, timeline.NAME),
            fields.read_whole(query, "first", 0, MAX_ROWS, 0),
            fields.read_whole(query, "columns", 1, timeline.MAX_COLUMNS, 240))

        def look(db: sqlite3.Connection) -> Any:
            found = timeline.find(db, asked, now)
            rows = [dict(row._asdict(), cells=row.cells and row.cells._asdict()) for row in found.rows]
            return dict(found._asdict(), kinds=KINDS, now=now, rows=rows, total=found.total._asdict())
        return await self._shared(request, ("jobs", "workers"), look, MAX_AGE)

    async def cost(self, request: Request) -> Response:
        """Hours of the clock, of CPUs and of GPUs by sweep, tag, host or user."""
        by, now = fields.read_word(request.query, "by", cost.BY, cost.SWEEP), self._experiment.clock()

        def look(db: sqlite3.Connection) -> Any:
            found = cost.find(db, by, now)
            return {"kinds": KINDS, "now": now, "rest": found.rest, "users": found.users,
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


def _moment(request: Request, key: str) -> Optional[float]:
    """A number of seconds of a query, None where it is not there."""
    text = fields.read_text(request.query, key, 40)
    try:
        found = float(text) if text else None
    except ValueError:
        found = math.nan
    if found is not None and not abs(found) <= MAX_SECONDS:
        raise ProtocolError("%s must be a number of seconds, not %s" % (key, shown(text)))
    return found


def _hours(hours: cost.Hours) -> Any:
    return dict(hours._asdict(), wasted=hours.wasted)


def _switch(request: Request, key: str) -> bool:
    return fields.read_word(request.query, key, ("0", "1"), "0") == "1"
