"""The waiting room: heartbeats that are held open until there is something to answer.

An idle worker waits for a job or a command; a busy one for a command, for the end of its attempt
by somebody else, or for somebody who looks at its job's output. Either is answered when somebody looks at
its log.

A ticket is taken before the store is asked, so that a job which appears in between is not
missed; a ticket that was called for a job but does not take it calls the next. One whose worker cannot run
what there is has all others look, each once for what has happened since it looked last. Thousands may be
called at once: the loop wakes AT_ONCE of them in a turn, and serves others in between.

Whom something concerns that was written is called here only (`WaitingRoom.tell`).
"""

import asyncio
import gc
import heapq
from collections import OrderedDict, deque
from typing import Awaitable, Deque, Dict, List, Optional, Tuple, TypeVar

from jd.net.serving.rush import Rush
from jd.server.store.transaction import Happened
from jd.server.watching import Watching
from jd.server.workerlogs import WorkerLogs

T = TypeVar("T")
K = TypeVar("K")

AT_ONCE = 64
WAITS = 256  # that begin or end until garbage is looked for
_FEW = 64  # entries that are not worth tidying up


class Ticket:
    """One held heartbeat. Use it as a context manager.

    `job_id` is None for an idle worker; a busy one is not called for jobs. A call counts until
    `look` has followed it through, so that none is lost when the client disconnects halfway.
    """

    def __init__(self, room: "WaitingRoom", worker_id: str, session: Optional[str], idle: bool,
                 job_id: Optional[int], leaves_when_empty: bool) -> None:
        self.worker_id = worker_id
        self.session = session
        self.idle = idle
        self.job_id = job_id
        self.leaves_when_empty = leaves_when_empty
        self.superseded = False
        self.nudged = False  # its worker is to send its log
        self.looked = 0  # at how many changes of the queue it has looked
        self.number = 0  # of those that came before it, in the room
        self.queued = False  # in the room's line of those that can be called
        self.woken = False  # from its last wait, and is to be answered
        self._room = room
        self._calls = 0
        self._begun = 0  # calls that a look has begun to follow
        self._followed = 0
        self._for_job = 0  # the number of the latest call for a job that there is
        self._for_command = 0  # and for what this worker is told
        self._future: Optional["asyncio.Future[None]"] = None

    @property
    def called(self) -> bool:
        """Whether there is a call that was not followed yet."""
        return self._calls > self._followed

    @property
    def called_for_job(self) -> bool:
        """Whether one of these is for a job."""
        return self._for_job > self._followed

    @property
    def called_for_command(self) -> bool:
        """Whether one of these is for a command."""
        return self._for_command > self._followed

    @property
    def is_to_look(self) -> bool:
        """Whether there is a call for which no look has begun; one that has begun may have come too early for
        what happens now."""
        return self._calls > self._begun

    def __enter__(self) -> "Ticket":
        self._room.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._room.remove(self)
        self._not_woken()
        if self.called_for_job:
            self.pass_on()

    def call(self) -> None:
        """Tell the holder to look again."""
        self._calls += 1
        self._wake()

    def call_for_job(self) -> None:
        """There is a job, which is somebody else's if this one does not take it."""
        self.call()
        self._for_job = self._calls

    def call_for_command(self) -> None:
        """There is a command."""
        self.call()
        self._for_command = self._calls

    def pass_on(self) -> None:
        """Call somebody else: the job that this ticket was called for is not taken."""
        self._room.call(1)

    def leave_to_others(self) -> None:
        """Have all others look that did not yet: the jobs that there are cannot run here."""
        self._room.call_unlooked(self.looked)

    def supersede(self) -> None:
        """End older heartbeats of the same process: it has given up waiting for their answers."""
        for other in self._room.of_worker(self.worker_id):
            if other is not self and other.session == self.session and self.session is not None:
                other.superseded = True
                other._wake()

    def hand_over(self) -> None:
        """Let the newer heartbeats of its worker look again: the job that this one got is for them."""
        self._room.call_worker(self.worker_id)

    async def wait(self, seconds: float) -> bool:
        """Wait for a call, at most so long. Returns whether there is one to follow.

        Returns early when the heartbeat is superseded."""
        if not self.called:
            self._not_woken()
            self._room.look_for_garbage()
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            # `asyncio.wait` would make a dozen objects more for each.
            timer = loop.call_later(max(0.0, seconds), _end, self._future)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
                self._room.look_for_garbage()
        return self.called

    async def look(self, answer: Awaitable[T]) -> T:
        """Follow the calls so far by awaiting `answer`."""
        calls, self.looked = self._calls, self._room.changes
        self._begun = calls
        self._room.line_up(self)
        result = await answer
        self._followed = calls
        return result

    def _wake(self) -> None:
        if self._future is not None:
            if not self.woken:
                self.woken = True
                self._room.rush.begin()
            self._room.wakes.wake(self._future)

    def _not_woken(self) -> None:
        if self.woken:
            self.woken = False
            self._room.rush.end()


class Wakes:
    """Wakes those who wait, in turn."""

    def __init__(self) -> None:
        self._waiting: "Deque[asyncio.Future[None]]" = deque()

    def wake(self, waiter: "asyncio.Future[None]") -> None:
        """End the wait for a future of this loop, in one of its next turns."""
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            waiter.get_loop().call_soon(self._wake_some)

    def _wake_some(self) -> None:
        for _ in range(min(AT_ONCE, len(self._waiting))):
            _end(self._waiting.popleft())
        if self._waiting:
            self._waiting[0].get_loop().call_soon(self._wake_some)


class WaitingRoom:
    """All held heartbeats; those of idle workers first come first called."""

    def __init__(self) -> None:
        self.tickets: "OrderedDict[Ticket, None]" = OrderedDict()  # of idle workers
        self.closed = False
        self.wakes = Wakes()
        self.rush = Rush()  # of those who were woken
        self.changes = 0  # how often jobs have become PENDING
        # Those of idle workers that have no call to follow, by number; with some that have, or are gone, and
        # are passed over once. So a call costs the same however many were called before.
        self._line: List[Tuple[int, Ticket]] = []
        self._came = 0
        self._waits = 0  # that have begun or ended since garbage was looked for
        self._all_looked = 0  # at so many changes all have looked, or are called to
        self.watching = Watching(self.call_job)
        self.logs = WorkerLogs(self.nudge)
        # A worker may have several: one whose answer it no longer awaits, and the next.
        self._of_worker: Dict[str, Dict[Ticket, None]] = {}
        self._of_job: Dict[int, Dict[Ticket, None]] = {}

    def ticket(self, worker_id: str, session: Optional[str] = None, idle: bool = True,
               job_id: Optional[int] = None, leaves_when_empty: bool = False) -> Ticket:
        """A ticket for one heartbeat of a worker, which may want to know when no job is left."""
        return Ticket(self, worker_id, session, idle, job_id, leaves_when_empty)

    def look_for_garbage(self) -> None:
        """A heartbeat begins to wait, or has waited. The collector counts what was made less what is gone.
        Where thousands are answered and come again that is little, and in the end it looks at all that is new
        at once: so it is told to look before that is much. What is not held is gone a moment later."""
        self._waits += 1
        if self._waits == WAITS:
            self._waits = 0
            gc.collect(0)

    def add(self, ticket: Ticket) -> None:
        """Take in a heartbeat."""
        ticket.looked = self.changes
        if ticket.idle:
            self._came += 1
            ticket.number = self._came
            self.tickets[ticket] = None
            self.line_up(ticket)
        self._of_worker.setdefault(ticket.worker_id, {})[ticket] = None
        if ticket.job_id is not None:
            self._of_job.setdefault(ticket.job_id, {})[ticket] = None

    def remove(self, ticket: Ticket) -> None:
        """Let a heartbeat go."""
        self.tickets.pop(ticket, None)
        _remove(self._of_worker, ticket.worker_id, ticket)
        if ticket.job_id is not None:
            _remove(self._of_job, ticket.job_id, ticket)

    def line_up(self, ticket: Ticket) -> None:
        """It can be called from now on, in the place that it came in."""
        if ticket.queued or ticket not in self.tickets:
            return
        if len(self._line) > 2 * len(self.tickets) + _FEW:  # they come and go, and nobody is called
            gone = [entry for entry in self._line if entry[1] not in self.tickets]
            self._line = [entry for entry in self._line if entry[1] in self.tickets]
            heapq.heapify(self._line)
            for _, other in gone:
                other.queued = False
        ticket.queued = True
        heapq.heappush(self._line, (ticket.number, ticket))

    def of_worker(self, worker_id: str) -> Tuple[Ticket, ...]:
        """The held heartbeats of a worker, in the order of their arrival."""
        return tuple(self._of_worker.get(worker_id, ()))

    def tell(self, happened: Happened) -> None:
        """Call those whom something concerns that was committed."""
        if happened.pending:
            self.changes += 1
            self.call(happened.pending)
        for worker_id in happened.commanded:
            self.call_worker(worker_id)
        for job_id in happened.taken_away:
            self.call_job(job_id)
        if happened.nothing_left:
            for ticket in self.tickets:
                if ticket.leaves_when_empty and not ticket.is_to_look:
                    ticket.call()
        if "lease" in happened.settings:
            for job_id in tuple(self._of_job):
                self.call_job(job_id)  # how long their heartbeats may be held

    def call(self, count: int) -> None:
        """So many jobs became PENDING: call as many, not everybody."""
        while count > 0 and self._line:
            ticket = heapq.heappop(self._line)[1]
            ticket.queued = False
            if ticket in self.tickets and not ticket.is_to_look:
                ticket.call_for_job()
                count -= 1

    def call_unlooked(self, changes: int) -> None:
        """Call all who have looked at fewer changes of the queue."""
        if changes <= self._all_looked:
            return
        self._all_looked = changes
        for ticket in self.tickets:
            if ticket.looked < changes and not ticket.is_to_look:
                ticket.call_for_job()

    def call_worker(self, worker_id: str) -> None:
        """There is a command for this worker."""
        for ticket in self.of_worker(worker_id):
            ticket.call_for_command()

    def nudge(self, worker_id: str) -> None:
        """Somebody looks at the log of this worker: a heartbeat that is held is answered."""
        for ticket in self.of_worker(worker_id):
            ticket.nudged = True
            ticket.call()

    def call_job(self, job_id: int) -> None:
        """The worker of this job is to say or to hear something: its output is wanted, or its
        attempt was ended by somebody else."""
        for ticket in tuple(self._of_job.get(job_id, ())):
            ticket.call()

    def close(self) -> None:
        """The server stops: everybody gets an answer, and nobody waits any more."""
        self.closed = True
        for worker_id in tuple(self._of_worker):
            self.call_worker(worker_id)


def _end(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def _remove(tickets: Dict[K, Dict[Ticket, None]], key: K, ticket: Ticket) -> None:
    of_key = tickets[key]
    del of_key[ticket]
    if not of_key:
        del tickets[key]
