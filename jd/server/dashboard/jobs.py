"""The table of jobs: a page of it, how many match, and what is done to jobs."""

import asyncio
import sqlite3
from typing import Any, AsyncIterator, Awaitable, Dict, List, NamedTuple, Optional, Set, Tuple

from jd import fields
from jd import protocol as p
from jd.net.serving.routing import HttpError, Request, Response, Router
from jd.server.creation.batch import job_text
from jd.server.dashboard.live import Live
from jd.server.experiment import Experiment
from jd.server.store.operators import bulk
from jd.server.store.pages import jobtable
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, filters, scanning

MAX_REASON_CHARS = 500
DEFAULT_LIMIT = 50
MAX_ACT_BODY = 256 * 1024  # MAX_IDS ids
MAX_EDIT_BODY = 2 * p.MAX_PARAMETERS_BYTES


class _Order(NamedTuple):
    """What `POST /web/jobs/act` asks for: to these ids, or else to the jobs of the filter."""

    action: str
    reason: str
    ids: Optional[List[int]]
    filter: str
    keep_checkpoint: Optional[bool] = None  # of a retry


class JobTable:
    """`/web/jobs` of one experiment."""

    def __init__(self, experiment: Experiment, live: Live) -> None:
        self._experiment = experiment
        self._live = live
        self._running: Set["asyncio.Task[Tuple[int, int]]"] = set()

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

        def look(db: sqlite3.Connection) -> Tuple[jobtable.TablePage, Dict[str, List[str]]]:
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
        found = await self._count(text, after)
        return Response.json({"matching": found.matching, "next": found.next, "scanned": found.scanned})

    async def _count(self, text: str, after: int = 0) -> scanning.Counted:
        now = self._experiment.clock()
        return await self._experiment.read(
            lambda db: scanning.count(db, conditions.compiled(db, text, now), after))

    # ---- actions

    async def act(self, request: Request) -> Response:
        """Do something to jobs, or with `preview` tell what that would be."""
        body = await request.json_object()
        order = _order(body)
        if fields.take(body, "preview", bool, False):
            by_status = await self._by_status(order)
            return Response.json({
                "matching": sum(by_status.values()), "by_status": by_status,
                "eligible": _eligible(order.action, by_status)})
        if order.ids is not None and len(order.ids) <= bulk.passes(order.action)[-1].slice:
            changed = await self._write(order, order.ids)
            return _answer(changed, len(order.ids) - changed)
        if self._experiment.bulk is not None:
            raise HttpError(409, "jobs are being changed already (%s, %d of %d); wait until that is "
                                 "done" % self._experiment.bulk)
        self._experiment.bulk = (order.action, 0, 0)
        # It goes on when the browser is closed: half of it would be hard to tell from the rest.
        task = asyncio.ensure_future(self._in_slices(order))
        self._running.add(task)
        task.add_done_callback(self._ended)
        done, skipped = await asyncio.shield(task)
        return _answer(done, skipped)

    def _ended(self, task: "asyncio.Task[Tuple[int, int]]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked for it may have gone

    async def _by_status(self, order: _Order) -> Dict[str, int]:
        """How many jobs an order is about, by status."""
        if order.ids is not None:
            ids = order.ids
            return await self._experiment.read(lambda db: bulk.statuses_of(db, ids))
        total: Dict[str, int] = {}
        after: Optional[int] = 0
        while after is not None:
            step = await self._count(order.filter, after)
            for status, n in step.matching.items():
                total[status] = total.get(status, 0) + n
            after = step.next
        return total

    async def _write(self, order: _Order, ids: List[int]) -> int:
        return await self._experiment.write(lambda t: bulk.act(
            t, order.action, ids, order.reason, order.keep_checkpoint))

    async def _in_slices(self, order: _Order) -> Tuple[int, int]:
        """Carry out a large order. Returns how many jobs were changed and skipped."""
        experiment = self._experiment
        try:
            by_status = await self._by_status(order)
            about = sum(by_status.values()) if order.ids is None else len(order.ids)
            total = _eligible(order.action, by_status)
            experiment.bulk = (order.action, 0, total)
            changed = 0
            async for ids in self._slices(order):
                changed += await self._write(order, ids)
                experiment.bulk = (order.action, min(changed, total), total)
            return changed, max(0, about - changed)
        finally:
            experiment.bulk = None
            # Only what is written is told to viewers.
            await experiment.write(lambda t: None)

    async def _slices(self, order: _Order) -> AsyncIterator[List[int]]:
        """Ids for one operation each."""
        for part in bulk.passes(order.action):
            slices = (self._slices_of_ids(order.ids, part) if order.ids is not None
                      else self._slices_of_filter(order.filter, part))
            async for ids in slices:
                yield ids

    async def _slices_of_ids(self, ids: List[int], part: bulk.Pass) -> AsyncIterator[List[int]]:
        chosen = await self._experiment.read(lambda db: bulk.in_statuses(db, ids, part.statuses))
        for start in range(0, len(chosen), part.slice):
            yield chosen[start:start + part.slice]

    async def _slices_of_filter(self, text: str, part: bulk.Pass) -> AsyncIterator[List[int]]:
        def slice_behind(job_id: int) -> Awaitable[scanning.Matching]:
            return self._experiment.read(lambda db: bulk.candidates(
                db, conditions.compiled(db, text, now), part, job_id, up_to))

        now = self._experiment.clock()
        up_to = await self._experiment.read(jobs.last_id)
        after: Optional[int] = 0
        while after is not None:
            found = await slice_behind(after)
            if found.ids:
                yield found.ids
            after = found.next

    async def edit(self, request: Request) -> Response:
        """Give a PENDING job other parameters."""
        job_id = fields.check_id(request.params["id"], "id")
        body = await request.json_object()
        text = job_text(fields.take(body, "parameters", dict))
        reason = _reason(body)
        await self._experiment.write(lambda t: bulk.edit(t, job_id, text, reason))
        return Response.json({"success": True})


def _answer(changed: int, skipped: int) -> Response:
    return Response.json({"success": True, "changed": changed, "skipped": skipped})


def _eligible(action: str, by_status: Dict[str, int]) -> int:
    return sum(n for status, n in by_status.items() if status in bulk.ELIGIBLE[action])


def _reason(body: Dict[str, Any]) -> str:
    return fields.check_length(fields.take(body, "reason", str, ""), "reason", MAX_REASON_CHARS).strip()


def _order(body: Dict[str, Any]) -> _Order:
    action = fields.take_word(body, "action", bulk.ACTIONS)
    if ("ids" in body) == ("filter" in body):
        raise p.ProtocolError("give exactly one of ids (a list) or filter (a text; \"\" means all jobs)")
    keep = fields.take(body, "keep_checkpoint", bool, None)
    if keep is not None and action != bulk.RETRY:
        raise p.ProtocolError("keep_checkpoint is for the action %s, not for %s" % (bulk.RETRY, action))
    if "filter" in body:
        text = fields.take(body, "filter", str)
        filters.parse(text)
        return _Order(action, _reason(body), None, text, keep)
    ids = fields.take_list(body, "ids", p.MAX_IDS, ": use a filter")
    return _Order(action, _reason(body),
                  list(dict.fromkeys(fields.check_id(job_id, "ids") for job_id in ids)), "", keep)
