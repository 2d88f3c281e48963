"""What people look for: metrics as columns, completions over time, everything as CSV."""

import asyncio
import math
import sqlite3
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Optional

from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.protocol import ProtocolError
from jd.server.dashboard.live import Live
from jd.server.dashboard.sharing import MAX_AGE
from jd.server.downloads import stream_response
from jd.server.experiment import Experiment
from jd.server.store.files.resultfile import MAX_NAME_CHARS
from jd.server.store.pages import completions, export
from jd.server.store.pages.results import leaders, metricvalues, resultcolumns, resultgroups
from jd.server.store.search import filters

MAX_HOST_CHARS = 200
PLOT_SECONDS = 30.0  # a million results take several; one at a time are looked for
RECENT_SECONDS = 5.0  # what charts are counted from is kept for the next one so long


class Results:
    """Results and completions of one experiment."""

    def __init__(self, experiment: Experiment, live: Live) -> None:
        self._experiment = experiment
        self._live = live
        # A million results take seconds: the other readers of the database stay free.
        self._turn = asyncio.Lock()
        self._recent = metricvalues.Recent()
        self._forget: Optional[asyncio.TimerHandle] = None

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/results/names", self.names)
        router.add("GET", "/web/results/columns", self.columns)
        router.add("GET", "/web/results/boxes", self.boxes)
        router.add("GET", "/web/results/cells", self.cells)
        router.add("GET", "/web/results/leaders", self.leaders)
        router.add("GET", "/web/completions", self.completions)
        router.add("GET", "/web/export.csv", self.csv)

    async def names(self, request: Request) -> Response:
        """The parameters and results that jobs have."""
        async def make() -> Response:
            found = await self._experiment.read(resultcolumns.names)
            return Response.json({"parameters": [name._asdict() for name in found.parameters],
                                  "results": [name._asdict() for name in found.results]})
        return await self._live.shared(request, ("jobs",), make)

    async def columns(self, request: Request) -> Response:
        """Jobs that have `metric`, as arrays."""
        metric, wanted, now = _metric(request), _filter(request), self._experiment.clock()
        limit = fields.read_whole(request.query, "limit", 1, resultcolumns.MAX_SHOWN, resultcolumns.MAX_SHOWN)
        return await self._plotted(
            request, lambda db: resultcolumns.columns(db, metric, wanted, limit, now,
                                                       self._recent.find)._asdict())

    async def boxes(self, request: Request) -> Response:
        """`metric` by the values of the parameter or result `by`."""
        asked, by, now = _question(request), _name(request, "by"), self._experiment.clock()

        def look(db: sqlite3.Connection) -> Any:
            found = resultgroups.boxes(db, asked, by, now, self._recent.find)
            return {"total": found.total, "boxes": [box._asdict() for box in found.boxes]}
        return await self._plotted(request, look)

    async def cells(self, request: Request) -> Response:
        """`metric` by the values of two parameters or results, `across` and `down`."""
        asked, now = _question(request), self._experiment.clock()
        across, down = _name(request, "across"), _name(request, "down")
        log = (_switch(request, "across_log"), _switch(request, "down_log"))

        def look(db: sqlite3.Connection) -> Any:
            found = resultgroups.cells(db, asked, across, down, log, now, self._recent.find)
            axes = {name: dict(axis._asdict(), bins=[one._asdict() for one in axis.bins])
                    for name, axis in (("across", found.across), ("down", found.down))}
            return dict(axes, cells=[cell._asdict() for cell in found.cells])
        return await self._plotted(request, look)

    async def leaders(self, request: Request) -> Response:
        """The first jobs that have `metric`, by it or by `sort`, with their values of `columns`."""
        asked, now = _question(request), self._experiment.clock()
        limit = fields.read_whole(request.query, "limit", 1, leaders.MAX_LEADERS)
        columns = leaders.listed(fields.read_text(request.query, "columns", leaders.MAX_COLUMN_CHARS))
        order = leaders.Order(fields.read_text(request.query, "sort", filters.MAX_CHARS) or None,
                              _switch(request, "down"))

        def look(db: sqlite3.Connection) -> Any:
            found = leaders.leaders(db, asked, order, limit, columns, now, self._recent.find)
            return {"total": found.total, "rows": [row._asdict() for row in found.rows]}
        return await self._plotted(request, look)

    async def _plotted(self, request: Request, look: Callable[[sqlite3.Connection], Any]) -> Response:
        async def make() -> Response:
            async with self._turn:
                loop = asyncio.get_running_loop()
                if self._forget is not None:
                    self._forget.cancel()
                try:
                    found = await self._experiment.read(look, seconds=PLOT_SECONDS)
                finally:
                    self._forget = loop.call_later(RECENT_SECONDS, self._recent.forget)
                return await loop.run_in_executor(None, Response.json, found)
        # Only a filter can be about the time.
        max_age = MAX_AGE if _filter(request) else math.inf
        return await self._live.shared(request, ("jobs",), make, max_age)

    async def completions(self, request: Request) -> Response:
        """Ended attempts by minute, hour or day, on one host or all."""
        unit = fields.read_word(request.query, "unit", tuple(completions.SECONDS), completions.HOUR)
        host = fields.read_text(request.query, "host", MAX_HOST_CHARS)

        async def make() -> Response:
            now = self._experiment.clock()
            series = await self._experiment.read(lambda db: completions.series(db, unit, host, now))
            hosts = await self._experiment.read(lambda db: completions.hosts(db, now))
            return Response.json(dict(series._asdict(), hosts=hosts))
        return await self._live.shared(request, ("jobs",), make)

    async def csv(self, request: Request) -> Response:
        """Jobs, their parameters and results as CSV, written while it is sent."""
        now, wanted = self._experiment.clock(), _filter(request)
        table = await self._experiment.read(lambda db: export.begin(db, wanted, now))
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        return stream_response(self._lines(table), "text/csv; charset=utf-8",
                               "%s-%s.csv" % (self._experiment.name, stamp))

    async def _lines(self, table: export.CsvTable) -> AsyncIterator[bytes]:
        def part_behind(job_id: int) -> Awaitable[export.CsvPart]:
            return self._experiment.read(lambda db: export.lines(db, table, job_id))

        yield export.header(table).encode("utf-8")
        after: Optional[int] = 0
        while after is not None:
            part = await part_behind(after)
            if part.lines:
                yield part.lines.encode("utf-8")
            after = part.after


def _filter(request: Request) -> str:
    return fields.read_text(request.query, "filter", filters.MAX_CHARS)


def _metric(request: Request) -> str:
    return _name(request, "metric", MAX_NAME_CHARS)


def _name(request: Request, key: str, limit: int = filters.MAX_CHARS) -> str:
    found = fields.read_text(request.query, key, limit)
    if not found:
        raise ProtocolError("%s is missing from the URL: give the name of a result%s" % (
            key, "" if key == "metric" else " or a parameter"))
    return found


def _question(request: Request) -> resultgroups.Question:
    return resultgroups.Question(_metric(request), _filter(request), _switch(request, "less"))


def _switch(request: Request, key: str) -> bool:
    return fields.read_word(request.query, key, ("0", "1"), "0") == "1"
