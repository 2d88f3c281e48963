"""What people look for: metrics as columns, completions over time, everything as CSV."""

import asyncio
import time
from typing import AsyncIterator, Awaitable, Optional

from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.protocol import ProtocolError
from jd.server.dashboard.live import Live
from jd.server.downloads import stream_response
from jd.server.experiment import Experiment
from jd.server.store.files.resultfile import MAX_NAME_CHARS
from jd.server.store.pages import completions, export, resultcolumns
from jd.server.store.search import filters

MAX_HOST_CHARS = 200
PLOT_SECONDS = 30.0  # a million results take several; one at a time are looked for


class Results:
    """Results and completions of one experiment."""

    def __init__(self, experiment: Experiment, live: Live) -> None:
        self._experiment = experiment
        self._live = live
        # A million results take seconds: the other readers of the database stay free.
        self._turn = asyncio.Lock()

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/results/names", self.names)
        router.add("GET", "/web/results/columns", self.columns)
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
        """The jobs that have `metric`, as arrays."""
        metric = fields.read_text(request.query, "metric", MAX_NAME_CHARS)
        if not metric:
            raise ProtocolError("metric is missing from the URL: give the name of a result")
        limit = fields.read_whole(request.query, "limit", 1, resultcolumns.MAX_SHOWN, resultcolumns.MAX_SHOWN)
        wanted = _filter(request)

        async def make() -> Response:
            async with self._turn:
                now = self._experiment.clock()
                found = await self._experiment.read(
                    lambda db: resultcolumns.columns(db, metric, wanted, limit, now),
                    seconds=PLOT_SECONDS)
                return await asyncio.get_running_loop().run_in_executor(
                    None, Response.json, found._asdict())
        return await self._live.shared(request, ("jobs",), make)

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
