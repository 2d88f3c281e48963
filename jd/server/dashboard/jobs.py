"""The table of jobs: a page of it, how many match, and what is done to jobs."""

import asyncio
import sqlite3
from typing import Any, Dict, Tuple

from jd import fields
from jd import protocol as p
from jd.net.serving.routing import Request, Response, Router
from jd.server.dashboard.live import Live
from jd.server.driving import orders
from jd.server.experiment import Experiment
from jd.server.store.operators import bulk
from jd.server.store.pages import jobtable
from jd.server.store.search import conditions, filters

DEFAULT_LIMIT = 50
MAX_ACT_BODY = 256 * 1024  # MAX_IDS ids
MAX_EDIT_BODY = 2 * p.MAX_PARAMETERS_BYTES


class JobTable:
    """`/web/jobs` of one experiment."""

    def __init__(self, experiment: Experiment, live: Live, given: orders.Orders) -> None:
        self._experiment = experiment
        self._live = live
        self._orders = given

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/jobs", self.page)
        router.add("GET", "/web/jobs/count", self.count)
        router.add("POST", "/web/jobs/act", self.act, max_body=MAX_ACT_BODY)
        router.add("POST", "/web/jobs/<int:id>/parameters", self.edit, max_body=MAX_EDIT_BODY)

    async def page(self, request: Request) -> Response:
        """A page of the table, made once for all who look at it."""
        async def make() -> Response:
            return await self._page(request)
        return await self._live.shared(request, ("jobs",), make)

    async def _page(self, request: Request) -> Response:
        text = fields.read_text(request.query, "filter", filters.MAX_CHARS)
        sort = fields.read_text(request.query, "sort", p.MAX_NAME_CHARS, "id") or "id"
        after = fields.read_text(request.query, "after", jobtable.MAX_CURSOR_CHARS)
        limit = fields.read_whole(request.query, "limit", 1, jobtable.MAX_LIMIT, DEFAULT_LIMIT)
        now = self._experiment.clock()

        def look(db: sqlite3.Connection) -> Tuple[jobtable.TablePage, Dict[str, Any]]:
            wanted, by = conditions.compiled(db, text, now), jobtable.order(db, sort)
            place = jobtable.cursor(after, by) if after else None
            return jobtable.page(db, wanted, by, place, limit), jobtable.columns(db)

        found, columns = await self._experiment.read(look)
        # Jobs may have 64 KiB of parameters each.
        return await asyncio.get_running_loop().run_in_executor(None, Response.json, {
            "columns": columns, "jobs": found.jobs, "next": found.next, "scanned": found.scanned,
            "total": found.total})

    async def count(self, request: Request) -> Response:
        """One step of counting what matches, by status."""
        text = fields.read_text(request.query, "filter", filters.MAX_CHARS)
        after = fields.read_whole(request.query, "after", 0, fields.MAX_ID, 0)
        found = await self._orders.count(text, after)
        return Response.json({"matching": found.matching, "next": found.next, "scanned": found.scanned})

    async def act(self, request: Request) -> Response:
        """Do something to jobs, or with `preview` tell what that would be."""
        return Response.json(await self._orders.asked(
            await request.json_object(), "filter", p.MAX_IDS, bulk.ON_DASHBOARD))

    async def edit(self, request: Request) -> Response:
        """Give a PENDING job other parameters."""
        job_id = fields.check_id(request.params["id"], "id")
        await self._orders.edit(job_id, await request.json_object())
        return Response.json({"success": True})
