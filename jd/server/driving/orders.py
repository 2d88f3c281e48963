"""Orders: what is done to many jobs at once, in slices, so that workers are served in between."""

import asyncio
import logging
from typing import Any, AsyncIterator, Awaitable, Dict, List, NamedTuple, Optional, Set

from jd import fields
from jd import protocol as p
from jd.errors import reason as reason_of
from jd.net.serving.routing import HttpError
from jd.server.creation.batch import job_text
from jd.server.experiment import Experiment
from jd.server.store.operators import bulk
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, filters, scanning

log = logging.getLogger("jd.server")

MAX_REASON_CHARS = 500


class Order(NamedTuple):
    """What is to be done, to these ids, or else to the jobs of the filter; `by` is who says so."""

    action: str
    reason: str
    ids: Optional[List[int]]
    filter: str
    keep_checkpoint: Optional[bool] = None  # of a retry
    priority: int = bulk.FIRST  # of what is prioritised
    by: str = bulk.ON_DASHBOARD


class Done(NamedTuple):
    """How many jobs an order has changed, and how many it passed over."""

    changed: int
    skipped: int

    def to_json(self) -> Dict[str, Any]:
        """The answer to who has asked for it."""
        return {"success": True, "changed": self.changed, "skipped": self.skipped}


class Preview(NamedTuple):
    """What an order would find: jobs by status, and how many of them it would change."""

    by_status: Dict[str, int]
    eligible: int

    def to_json(self) -> Dict[str, Any]:
        """The answer to who has asked for it."""
        return {"matching": sum(self.by_status.values()), "by_status": self.by_status,
                "eligible": self.eligible}


class Orders:
    """The orders of one experiment: of large ones there is one at a time."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._running: Set["asyncio.Task[Done]"] = set()

    async def asked(self, body: Dict[str, Any], filter_name: str, most_ids: int, by: str) -> Dict[str, Any]:
        """The answer to what a request orders (see `read`): it is carried out, or with `preview` only told.

        A large order goes on when whoever awaits it is cancelled. Raises ProtocolError, and HttpError (409)
        where another large one is being carried out.
        """
        order = read(body, filter_name, most_ids, by)
        if fields.take(body, "preview", bool, False):
            return (await self._preview(order)).to_json()
        return (await self._carry_out(order)).to_json()

    async def _preview(self, order: Order) -> Preview:
        by_status = await self._by_status(order)
        return Preview(by_status, _eligible(order.action, by_status))

    async def _carry_out(self, order: Order) -> Done:
        if order.ids is not None and len(order.ids) <= bulk.passes(order.action)[-1].slice:
            changed = await self._write(order, order.ids)
            return Done(changed, len(order.ids) - changed)
        if self._experiment.bulk is not None:
            raise HttpError(409, "jobs are being changed already (%s, %d of %d); wait until that is "
                                 "done" % self._experiment.bulk)
        self._experiment.bulk = (order.action, 0, 0)
        # It goes on when the client is gone: half of it would be hard to tell from the rest.
        task = asyncio.ensure_future(self._in_slices(order))
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    async def edit(self, job_id: int, body: Dict[str, Any]) -> None:
        """Give a PENDING job the parameters of a request. Raises ProtocolError, and as bulk.edit."""
        text = job_text(fields.take(body, "parameters", dict))
        why = reason(body)
        await self._experiment.write(lambda t: bulk.edit(t, job_id, text, why))

    def _ended(self, task: "asyncio.Task[Done]") -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        # Whoever asked may have gone.
        if error is not None and not isinstance(error, (HttpError, p.ProtocolError)):
            log.warning("an order to many jobs was not carried out to its end: %s", reason_of(error))

    async def count(self, text: str, after: int = 0) -> scanning.Counted:
        """One step of counting the jobs of a filter, by status."""
        now = self._experiment.clock()
        return await self._experiment.read(
            lambda db: scanning.count(db, conditions.compiled(db, text, now), after))

    async def _by_status(self, order: Order) -> Dict[str, int]:
        """How many jobs an order is about, by status."""
        if order.ids is not None:
            ids = order.ids
            return await self._experiment.read(lambda db: bulk.statuses_of(db, ids))
        total: Dict[str, int] = {}
        after: Optional[int] = 0
        while after is not None:
            step = await self.count(order.filter, after)
            for status, n in step.matching.items():
                total[status] = total.get(status, 0) + n
            after = step.next
        return total

    async def _write(self, order: Order, ids: List[int]) -> int:
        return await self._experiment.write(lambda t: bulk.act(
            t, order.action, ids, order.reason, order.keep_checkpoint, order.priority, order.by))

    async def _in_slices(self, order: Order) -> Done:
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
            return Done(changed, max(0, about - changed))
        finally:
            experiment.bulk = None
            # Only what is written is told to viewers.
            await experiment.write(lambda t: None)

    async def _slices(self, order: Order) -> AsyncIterator[List[int]]:
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


def _eligible(action: str, by_status: Dict[str, int]) -> int:
    return sum(n for status, n in by_status.items() if status in bulk.ELIGIBLE[action])


# ---- reading a request

def reason(body: Dict[str, Any]) -> str:
    """The reason that somebody gives, for the history of the jobs. Raises ProtocolError."""
    return fields.check_length(fields.take(body, "reason", str, ""), "reason", MAX_REASON_CHARS).strip()


def read(body: Dict[str, Any], filter_name: str, most_ids: int, by: str) -> Order:
    """An order as a request has it: `action`, and `ids` or a filter, which the request calls `filter_name`;
    `reason`, of a retry `keep_checkpoint`, of what is prioritised `priority`. Raises ProtocolError."""
    action = fields.take_word(body, "action", bulk.ACTIONS)
    if ("ids" in body) == (filter_name in body):
        raise p.ProtocolError("give exactly one of ids (a list) or %s (a text; \"\" means all jobs)"
                              % filter_name)
    keep = fields.take(body, "keep_checkpoint", bool, None)
    if keep is not None and action != bulk.RETRY:
        raise p.ProtocolError("keep_checkpoint is for the action %s, not for %s" % (bulk.RETRY, action))
    priority = fields.take_whole(body, "priority", -p.MAX_PRIORITY, p.MAX_PRIORITY)
    if priority is not None and action != bulk.PRIORITISE:
        raise p.ProtocolError("priority is for the action %s, not for %s" % (bulk.PRIORITISE, action))
    order = Order(action, reason(body), None, "", keep, bulk.FIRST if priority is None else priority, by)
    if filter_name in body:
        text = fields.take(body, filter_name, str)
        filters.parse(text)
        return order._replace(filter=text)
    return order._replace(ids=ids_of(body, most_ids))


def ids_of(body: Dict[str, Any], most: int) -> List[int]:
    """The `ids` of a request, each once. Raises ProtocolError."""
    given = fields.take_list(body, "ids", most, ": use a filter")
    return list(dict.fromkeys(fields.check_id(job_id, "ids") for job_id in given))
