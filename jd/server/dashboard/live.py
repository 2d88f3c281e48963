"""What is live: one summary for all viewers, sent when something changed."""

import asyncio
import json
import logging
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Hashable, Optional, Tuple

from jd.errors import StorageError
from jd.net.serving import tasks
from jd.net.serving.routing import HttpError, Request, Response, Route, Router
from jd.server.creation.creator import Creator
from jd.server.dashboard.sharing import MAX_AGE, Shared
from jd.server.experiment import Experiment
from jd.server.store.operators import endrule
from jd.server.store.pages import summary
from jd.server.store.pages.summary import Workers
from jd.server.store.policy import paused_because
from jd.server.store.queue import codes, needs
from jd.server.store.transaction import Happened
from jd.threads import Reported

INTERVAL = 0.5  # seconds between two summaries
PING = 15.0  # seconds: shorter than what proxies let a silent connection live
RETRY = 2000  # milliseconds after which a browser connects again
MAX_VIEWERS = 1000
# Throughput says nothing new more often, in seconds and in digits: every other summary would differ.
RATE_STEP = 10.0
RATE_DIGITS = 3

log = logging.getLogger("jd.server")

Guard = Callable[[Request, Optional[Route]], Awaitable[None]]


class Live:
    """The summary of one experiment and its viewers. `start`, then `stop`.

    It is worked out once for all viewers, when something was written and at most every INTERVAL
    seconds; never while nobody looks. A viewer that reads slowly gets the latest one, not all.
    """

    def __init__(self, experiment: Experiment, creator: Creator, guard: Guard) -> None:
        """`guard` says now and then whether a viewer still is signed in: it raises HttpError."""
        self._experiment = experiment
        self._creator = creator
        self._guard = guard
        self._shared = Shared()
        self._dirty: Optional[asyncio.Event] = None  # exists from `start` on
        self._turn = asyncio.Lock()
        self._news: Optional["asyncio.Future[None]"] = None  # done when there is another event
        self._event = b""
        self._version = 0  # of what the event says
        self._looked_at = 0.0
        self._unseen = False  # something was written since the last look
        self._body: Dict[str, Any] = {}
        self._workers: Optional[Tuple[int, Workers]] = None
        self._task: Optional["asyncio.Task[None]"] = None
        self._stopped = False
        self.viewers = 0
        experiment.on_commit(self._written)

    def start(self) -> None:
        """Begin to look for changes. Call it in the loop."""
        self._dirty = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._watch(self._dirty))

    async def stop(self) -> None:
        """Let every viewer go."""
        self._stopped = True
        self._tell()
        await tasks.end([self._task])

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/summary", self._summary)
        router.add("GET", "/web/events", self._events)

    async def shared(self, request: Request, topics: Tuple[str, ...],
                     make: Callable[[], Awaitable[Response]], max_age: float = MAX_AGE) -> Response:
        """The answer to a GET, made once for all who ask the same while `topics` do not change, and anew
        after `max_age` seconds."""
        numbers = await self._experiment.read(summary.changes)
        key = (request.path, tuple(sorted(request.query.items())))
        version: Hashable = tuple(numbers[topic] for topic in topics)
        return await self._shared.get(key, version, make, max_age)

    # ---- routes

    async def _summary(self, _request: Request) -> Response:
        return Response.json(await self._look())

    async def _events(self, request: Request) -> Response:
        if self.viewers >= MAX_VIEWERS:
            raise HttpError(503, "%d viewers are connected, which is all that this server takes; close "
                                 "some dashboards" % self.viewers)
        # The last look may be of long ago, or older than what was written while nobody looked.
        await self._refresh(0.0 if self._unseen else INTERVAL)
        return Response(stream=self._viewer(request), content_type="text/event-stream",
                        headers={"X-Accel-Buffering": "no"})  # tells nginx to pass events on at once

    async def _viewer(self, request: Request) -> AsyncIterator[bytes]:
        self.viewers += 1
        loop = asyncio.get_running_loop()
        try:
            yield b"retry: %d\n\n" % RETRY
            sent, ping_at = 0, loop.time() + PING
            while not self._stopped:
                if loop.time() >= ping_at:
                    ping_at += PING
                    await self._guard(request, None)
                    yield b": ping\n\n"
                elif self._version != sent:
                    sent = self._version
                    yield self._event
                else:
                    await self._news_within(ping_at - loop.time())
        except (HttpError, StorageError):
            return  # signed out, say: the browser learns it when it connects again
        finally:
            self.viewers -= 1

    async def _news_within(self, seconds: float) -> None:
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._news], timeout=max(0.0, seconds))

    # ---- looking

    def _written(self, _happened: Happened) -> None:
        self._unseen = True
        if self._dirty is not None:
            self._dirty.set()

    async def _watch(self, dirty: asyncio.Event) -> None:
        looking = Reported("dashboards are not told what is new", log.warning)
        while True:
            await dirty.wait()
            dirty.clear()
            if self.viewers:
                with looking:
                    try:
                        await self._refresh()
                    except StorageError:
                        pass  # who writes or asks is told; the next write brings the next look
            await asyncio.sleep(INTERVAL)

    async def _refresh(self, max_age: float = 0.0) -> None:
        """Look, unless somebody did within `max_age` seconds; tell the viewers if something is new."""
        async with self._turn:
            began = time.monotonic()
            if self._version and began - self._looked_at < max_age:
                return
            self._unseen = False
            body = await self._look()
            changed = {**body, "now": 0} != {**self._body, "now": 0}
            self._body, self._looked_at = body, began
            # Also where only the time is new: browsers set their clocks by it when they connect.
            self._event = b"event: summary\ndata: %b\n\n" % json.dumps(
                body, separators=(",", ":")).encode("ascii")
            if changed:
                self._version += 1
                self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set_result(None)
            self._news = None

    async def _look(self) -> Dict[str, Any]:
        """The summary, as it goes to browsers."""
        experiment = self._experiment
        now, policy = experiment.clock(), experiment.policy
        about = now // RATE_STEP * RATE_STEP
        found = await experiment.read(lambda db: summary.take(db, about, policy))
        per_hour = None if policy.paused else _rounded(found.per_hour)
        workers = await self._workers_at(found.changes["workers"])
        mix = await experiment.read(codes.mix)
        creating, bulk = self._creator.progress, experiment.bulk
        return {
            "now": now,
            "jobs": found.jobs,
            "total": found.total,
            "finished": found.finished,
            "coming_back": found.coming_back,
            "next_retry": found.next_retry,
            "per_hour": per_hour,
            "eta": None if policy.paused else _rounded(found.eta(about, workers.at_work)),
            "workers": workers._asdict(),
            "creating": None if creating is None else {"done": creating[0], "total": creating[1]},
            "bulk": None if bulk is None else {"action": bulk[0], "done": bulk[1], "total": bulk[2]},
            "paused": policy.paused,
            "paused_because": await experiment.read(paused_because),
            "ended": await experiment.read(endrule.ended),
            "cannot_run": [one._asdict() for one in await experiment.read(needs.cannot_run)],
            "codes": None if mix is None else mix.to_json(),
            "changes": found.changes,
        }

    async def _workers_at(self, change: int) -> Workers:
        """The workers in numbers: counted anew only when one of them changed."""
        if self._workers is None or self._workers[0] != change:
            self._workers = (change, await self._experiment.read(summary.workers))
        return self._workers[1]


def _rounded(number: Optional[float]) -> Optional[float]:
    return None if number is None else float("%.*g" % (RATE_DIGITS, number))
