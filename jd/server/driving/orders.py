"""Orders: what is done to many jobs at once, in slices, so that workers are served in between."""

import asyncio
import bisect
import json
import logging
import sqlite3
from functools import partial
from typing import Any, Awaitable, Callable, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, TypeVar

from jd import fields
from jd import protocol as p
from jd.errors import DamagedFile, StorageError
from jd.killpoint import killpoint
from jd.net.serving.routing import HttpError
from jd.server.begun import Begun
from jd.server.creation.batch import job_text
from jd.server.experiment import Experiment
from jd.server.portion import Portion
from jd.server.store.operators import bulk, tags, unfinished
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, filters, scanning
from jd.server.store.transaction import Transaction
from jd.storage.reading import TookTooLong

MAX_REASON_CHARS = 500
AGAIN = 1.0  # seconds until a slice is tried again that could not be written

T = TypeVar("T")

_SAID = "an order to many jobs"

log = logging.getLogger("jd.server")


class Order(NamedTuple):
    """What is to be done, to these ids, or else to the jobs of the filter; `by` is who says so."""

    action: str
    reason: str
    ids: Optional[List[int]]
    filter: str
    keep_checkpoint: Optional[bool] = None  # of a retry
    priority: int = bulk.FIRST  # of what is prioritised
    by: str = bulk.ON_DASHBOARD
    add: Sequence[str] = ()  # tags
    remove: Sequence[str] = ()


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
        self._begun = Begun()

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
        return await self._begun.to_its_end(self._in_slices(order), _SAID)

    async def edit(self, job_id: int, body: Dict[str, Any]) -> None:
        """Give a PENDING job the parameters of a request. Raises ProtocolError, and as bulk.edit."""
        text = job_text(fields.take(body, "parameters", dict))
        why = reason(body)
        await self._experiment.values.when_there(
            lambda: self._experiment.write(lambda t: bulk.edit(t, job_id, text, why)))

    async def stop(self) -> None:
        """The server ends: what is left of an order is for the next one, which goes on with it."""
        await self._begun.stop()

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
        return await self._experiment.write(lambda t: _act(t, order, ids))

    async def resume(self) -> None:
        """Go on with an order that a server which has ended left half done, if there is one."""
        kept = await self._experiment.read(unfinished.kept)
        if kept is None or self._experiment.bulk is not None:
            return
        try:
            left = _Left.of_kept(kept)
        except (ValueError, TypeError, KeyError, RecursionError):
            await self._experiment.write(unfinished.forget)
            log.warning("an order to many jobs was cut short when the server ended, and what is left of it "
                        "cannot be read: some of its jobs were changed, and others were not")
            return
        log.warning("the order to %s %d jobs was cut short when the server ended, after %d of them: it goes "
                    "on", left.order.action, left.total, left.changed)
        self._experiment.bulk = (left.order.action, 0, left.total)  # no other one comes before it
        self._begun.start(self._go_on(left), _SAID)

    async def _go_on(self, left: "_Left") -> Done:
        done = await self._carried_out(left)
        log.warning("the order to %s jobs that was cut short is done: %d jobs were changed in all",
                    left.order.action, done.changed)
        return done

    async def _in_slices(self, order: Order) -> Done:
        try:
            by_status = await self._by_status(order)
            up_to = await self._experiment.read(jobs.last_id)
        except BaseException:
            self._experiment.bulk = None
            raise
        about = sum(by_status.values()) if order.ids is None else len(order.ids)
        if order.ids is not None:
            order = order._replace(ids=sorted(order.ids))
        left = _Left(order, self._experiment.clock(), up_to, about, _eligible(order.action, by_status))
        self._experiment.bulk = (order.action, 0, left.total)
        try:
            await self._check_lists(left)
            text = left.text()
            await self._experiment.write(lambda t: unfinished.begin(t, text))
        except BaseException:
            self._experiment.bulk = None
            raise
        return await self._carried_out(left)

    async def _check_lists(self, left: "_Left") -> None:
        """Raises ProtocolError for an order that would make too many lists of tags: half of it would be
        done when that is met."""
        order, read = left.order, self._experiment.read
        if order.action != bulk.TAG or await read(tags.has_room):
            return
        new: Set[str] = set()
        for part in bulk.passes(order.action):
            after: Optional[int] = 0
            while after is not None:
                found = await read(partial(_candidates, left=left._replace(after=after), part=part))
                new |= await read(partial(tags.new_lists, ids=found.ids, add=order.add, remove=order.remove))
                after = found.next
        if len(new) + await read(tags.count) > tags.MAX_LISTS:
            raise tags.too_many()

    async def _carried_out(self, left: "_Left") -> Done:
        experiment = self._experiment
        experiment.bulk = (left.order.action, min(left.changed, left.total), left.total)
        portions = [Portion(part.slice) for part in bulk.passes(left.order.action)]
        try:
            while left.part < len(portions):
                left = await self._when_it_can(partial(self._slice, left, portions[left.part]), left)
                experiment.bulk = (left.order.action, min(left.changed, left.total), left.total)
            await self._when_it_can(lambda: experiment.write(unfinished.forget), left)
            return Done(left.changed, max(0, left.about - left.changed))
        except asyncio.CancelledError:
            raise  # the server ends: the next one goes on
        except BaseException:
            await experiment.write(unfinished.forget)  # Begun tells of it
            raise
        finally:
            experiment.bulk = None
            # Only what is written is told to viewers.
            await experiment.write(lambda t: None)

    async def _when_it_can(self, step: Callable[[], Awaitable[T]], left: "_Left") -> T:
        """A step that a full disk, say, does not let through is tried again: half an order helps nobody."""
        said = False
        while True:
            try:
                return await step()
            except (TookTooLong, DamagedFile):
                raise
            except StorageError as error:
                if not said:
                    said = True
                    log.warning("the order to %s jobs waits, %d of %d are changed: %s",
                                left.order.action, left.changed, left.total, error)
                await asyncio.sleep(AGAIN)

    async def _slice(self, left: "_Left", portion: Portion) -> "_Left":
        """Carry out the next slice; what is left then."""
        order = left.order
        part = bulk.passes(order.action)[left.part]._replace(slice=portion.size)
        found = await self._experiment.read(lambda db: _candidates(db, left, part))
        rest = left._replace(part=left.part + 1, after=0) if found.next is None else left._replace(
            after=found.next)
        if not found.ids:
            return rest

        def write(t: Transaction) -> _Left:
            then = rest._replace(changed=rest.changed + _act(t, order, found.ids))
            unfinished.keep(t, then.come_to())
            killpoint("orders.slice.before-commit")
            return then

        then = await self._experiment.write(portion.timed(write))
        killpoint("orders.slice.after-commit")
        return then


class _Left(NamedTuple):
    """What is left of an order: of its jobs up to the id `up_to` those behind `after`, in the pass `part` and
    those that follow. Its filter is that of the time `now`; it is `about` so many jobs, of which it can
    change `total` and has `changed` some."""

    order: Order
    now: float
    up_to: int
    about: int
    total: int
    part: int = 0
    after: int = 0
    changed: int = 0

    def text(self) -> str:
        """The order, for the database."""
        return json.dumps(self._asdict())

    def come_to(self) -> str:
        """How far it has come, for the database."""
        return json.dumps([self.part, self.after, self.changed])

    @classmethod
    def of_kept(cls, kept: unfinished.Kept) -> "_Left":
        """Raises ValueError, TypeError, KeyError for one that another version has written."""
        told = json.loads(kept.order)
        order = Order(*told.pop("order"))
        if order.ids is not None:
            order = order._replace(ids=sorted(order.ids))
        if order.action not in bulk.ACTIONS:
            raise ValueError("no such action")
        left = cls(order, **told)
        if kept.come_to is not None:
            part, after, changed = json.loads(kept.come_to)
            left = left._replace(part=part, after=after, changed=changed)
        # What ran may wait by now, or be over. To do such an action again changes nothing else.
        return left if len(bulk.passes(order.action)) == 1 else left._replace(part=0, after=0)


def _act(t: Transaction, order: Order, ids: List[int]) -> int:
    return bulk.act(t, order.action, ids, order.reason, order.keep_checkpoint, order.priority, order.by,
                    order.add, order.remove)


def _candidates(db: sqlite3.Connection, left: _Left, part: bulk.Pass) -> scanning.Matching:
    ids = left.order.ids
    if ids is None:
        return bulk.candidates(db, conditions.compiled(db, left.order.filter, left.now), part, left.after,
                               left.up_to)
    first = bisect.bisect_right(ids, left.after)  # in an order of many they are sorted
    some = ids[first:first + part.slice]
    return scanning.Matching(bulk.in_statuses(db, some, part.statuses),
                             some[-1] if first + len(some) < len(ids) else None, len(some))


def _eligible(action: str, by_status: Dict[str, int]) -> int:
    return sum(n for status, n in by_status.items() if status in bulk.ELIGIBLE[action])


# ---- reading a request

def reason(body: Dict[str, Any]) -> str:
    """The reason that somebody gives, for the history of the jobs. Raises ProtocolError."""
    return fields.check_length(fields.take(body, "reason", str, ""), "reason", MAX_REASON_CHARS).strip()


def read(body: Dict[str, Any], filter_name: str, most_ids: int, by: str) -> Order:
    """An order as a request has it: `action`, and `ids` or a filter, which the request calls `filter_name`;
    `reason`, of a retry `keep_checkpoint`, of what is prioritised `priority`, of what is tagged `add` and
    `remove`. Raises ProtocolError."""
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
    order = Order(action, reason(body), None, "", keep, bulk.FIRST if priority is None else priority, by,
                  *_tags(body, action))
    if filter_name in body:
        text = fields.take(body, filter_name, str)
        filters.parse(text)
        return order._replace(filter=text)
    return order._replace(ids=ids_of(body, most_ids))


def _tags(body: Dict[str, Any], action: str) -> Tuple[Sequence[str], Sequence[str]]:
    """What a request says to `add` and to `remove`. Raises ProtocolError."""
    add, remove = fields.take_tags(body, "add"), fields.take_tags(body, "remove")
    if action != bulk.TAG and (add or remove):
        raise p.ProtocolError("add and remove are for the action %s, not for %s" % (bulk.TAG, action))
    if action == bulk.TAG and not add and not remove and not body.get("preview"):
        raise p.ProtocolError("there is no tag: give add or remove, lists of words")
    both = sorted(set(add).intersection(remove))
    if both:
        raise p.ProtocolError("the tag %s is to be added and to be removed: say one of them"
                              % p.shown(both[0]))
    return add, remove


def ids_of(body: Dict[str, Any], most: int) -> List[int]:
    """The `ids` of a request, each once. Raises ProtocolError."""
    given = fields.take_list(body, "ids", most, ": use a filter")
    return list(dict.fromkeys(fields.check_id(job_id, "ids") for job_id in given))
