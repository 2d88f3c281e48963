"""Curves of what jobs report: on a job's page, and one metric of many jobs."""

import asyncio
import math
import sqlite3
from typing import Optional

from jd import fields
from jd import protocol as p
from jd.net.serving.routing import JSON_TYPE, Request, Response, Router
from jd.protocol import ProtocolError
from jd.server import curveanswers
from jd.server.dashboard.live import Live
from jd.server.experiment import Experiment
from jd.server.store.files.resultfile import MAX_NAME_CHARS
from jd.server.store.pages import curves, runparameters
from jd.server.store.pages.curves import Question
from jd.server.store.search import filters
from jd.server.watching import Watching

SECONDS = 30.0  # that a reading may take; one at a time is made
MOST_WATCHED = 50  # running jobs of one answer whose workers are to send often
BEST = 20
MAX_SINCE = 2 ** 53


class Curves:
    """The curves of one experiment."""

    def __init__(self, experiment: Experiment, live: Live, watching: Watching) -> None:
        self._experiment = experiment
        self._live = live
        self._watching = watching
        # A thousand curves take a while: the other readers of the database stay free.
        self._turn = asyncio.Lock()

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/job/curves", self.job)
        router.add("GET", "/web/curves", self.overlay)
        router.add("GET", "/web/curves/names", self.names)
        router.add("GET", "/web/curves/parameters", self.parameters)

    async def job(self, request: Request) -> Response:
        """What an attempt of `?id=N` has reported; only how many reports these are, if there are no more than
        `since`."""
        job_id, attempt = fields.read_id(request.query, "id"), fields.read_id(request.query, "attempt", None)
        since = fields.read_whole(request.query, "since", 0, MAX_SINCE, 0)
        self._watching.look(job_id)

        async def make() -> Response:
            def look(db: sqlite3.Connection) -> bytes:
                found = curves.of_job(db, job_id, attempt)
                if "since" in request.query and found.taken == since:
                    return curveanswers.count(found)
                return curveanswers.of_job(db, found)
            return _json(await self._experiment.read(look, seconds=SECONDS))
        return await self._live.shared(request, ("reports", "jobs"), make)

    async def overlay(self, request: Request) -> Response:
        """`metric` of some jobs: of `ids`, of a `filter`, or the `best` of it."""
        asked, now = _question(request), self._experiment.clock()

        async def make() -> Response:
            async with self._turn:
                found = await self._experiment.read(lambda db: curves.overlay(db, asked, now),
                                                    seconds=SECONDS)
                for job_id in curves.running(found)[:MOST_WATCHED]:
                    self._watching.look(job_id)
                return _json(await asyncio.get_running_loop().run_in_executor(
                    None, curveanswers.overlay, asked.metric, found))
        return await self._live.shared(request, ("reports", "jobs"), make)

    async def names(self, request: Request) -> Response:
        """The metrics that jobs have reported."""
        async def make() -> Response:
            return Response.json({"metrics": await self._experiment.read(curves.names)})
        return await self._live.shared(request, ("reports",), make, math.inf)

    async def parameters(self, request: Request) -> Response:
        """The parameters in which the jobs of `ids` differ."""
        ids = fields.read_ids(request.query, "ids")
        if len(ids) > runparameters.MAX_JOBS:
            raise ProtocolError("ids has %d entries; at most %d" % (len(ids), runparameters.MAX_JOBS))

        async def make() -> Response:
            found = await self._experiment.read(lambda db: runparameters.differing(db, ids))
            return await asyncio.get_running_loop().run_in_executor(None, Response.json, found._asdict())
        return await self._live.shared(request, ("jobs",), make)


def _json(body: bytes) -> Response:
    return Response(200, body, JSON_TYPE)


def _question(request: Request) -> Question:
    query = request.query
    metric = fields.read_text(query, "metric", MAX_NAME_CHARS)
    if not metric:
        raise ProtocolError("metric is missing from the URL: give the name of a metric that jobs report")
    ids = fields.read_ids(query, "ids") if "ids" in query else None
    chosen = ids is not None or "filter" in query
    low, high = _end(request, "from"), _end(request, "to")
    if low is not None and high is not None and low > high:
        raise ProtocolError("from is %r and to is %r: give the lower end first" % (low, high))
    return Question(
        metric, ids, fields.read_text(query, "filter", filters.MAX_CHARS),
        fields.read_whole(query, "best", 1, curves.MAX_CURVES, None if chosen else BEST),
        fields.read_word(query, "less", ("0", "1"), "0") == "1",
        fields.read_whole(query, "limit", 1, curves.MAX_CURVES, curves.MAX_CURVES),
        fields.read_word(query, "x", curves.AXES, curves.STEP), low, high)


def _end(request: Request, name: str) -> Optional[float]:
    """An end of the x axis, which may be any number."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ProtocolError("%s must be a number, not %s" % (name, p.shown(text)))
    return found
