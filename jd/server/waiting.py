"""The waiting room: idle heartbeats that are held open until there is a job or a command.

A ticket is taken before the store is asked, so that a job which appears in between is not
missed; a ticket that was called but is not needed calls the next.
"""

import asyncio
from collections import OrderedDict
from typing import Any, Awaitable, Optional, TypeVar

T = TypeVar("T")


class Ticket:
    """One held heartbeat. Use it as a context manager.

    A call counts until `look` has followed it through, so that none is lost when the client
    disconnects halfway.
    """

    def __init__(self, room: "WaitingRoom", worker_id: str) -> None:
        self.worker_id = worker_id
        self._room = room
        self._calls = 0
        self._followed = 0
        self._future: Optional["asyncio.Future[None]"] = None

    @property
    def called(self) -> bool:
        """Whether there is a call that was not followed yet."""
        return self._calls > self._followed

    def __enter__(self) -> "Ticket":
        self._room.tickets[self] = None
        return self

    def __exit__(self, *_: Any) -> None:
        del self._room.tickets[self]
        if self.called:
            self._room.call(1)

    def call(self) -> None:
        """Tell the holder to look again."""
        self._calls += 1
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """Wait for a call, at most so long. Returns whether there is one to follow."""
        if not self.called:
            self._future = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._future], timeout=max(0.0, seconds))
            self._future = None
        return self.called

    async def look(self, answer: Awaitable[T]) -> T:
        """Follow the calls so far by awaiting `answer`."""
        calls = self._calls
        result = await answer
        self._followed = calls
        return result


class WaitingRoom:
    """All held heartbeats, first come first called."""

    def __init__(self) -> None:
        self.tickets: "OrderedDict[Ticket, None]" = OrderedDict()
        self.closed = False

    def ticket(self, worker_id: str) -> Ticket:
        """A ticket for one heartbeat of a worker."""
        return Ticket(self, worker_id)

    def call(self, count: int) -> None:
        """So many jobs became PENDING: call as many, not everybody."""
        for ticket in self.tickets:
            if count <= 0:
                return
            if not ticket.called:
                ticket.call()
                count -= 1

    def call_worker(self, worker_id: str) -> None:
        """There is a command for this worker."""
        for ticket in self.tickets:
            if ticket.worker_id == worker_id:
                ticket.call()

    def close(self) -> None:
        """The server stops: everybody gets an answer, and nobody waits any more."""
        self.closed = True
        for ticket in self.tickets:
            ticket.call()
