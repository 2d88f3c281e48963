"""The values of many jobs are written after the jobs, in slices, while the server serves (see
`store.search.missing`)."""

import asyncio
import logging
import sqlite3
from functools import partial
from typing import Awaitable, Callable, Optional, TypeVar

from jd.errors import StorageError, reason
from jd.net.serving import tasks
from jd.server.portion import Portion
from jd.server.store.search import values
from jd.server.store.search.missing import Filling
from jd.server.store.transaction import Happened, Transaction

MOST_JOBS = 5_000  # that are looked at in one operation
MOST_VALUES = 100_000  # that are written in one

T = TypeVar("T")
log = logging.getLogger("jd.server")


class LaterValues:
    """Writes the values of an experiment that are missing. `write` and `read` are those of the experiment."""

    def __init__(self, write: Callable[[Callable[[Transaction], bool]], Awaitable[bool]],
                 read: Callable[[Callable[[sqlite3.Connection], bool]], Awaitable[bool]]) -> None:
        self._write = write
        self._read = read
        self._filling: "Optional[asyncio.Task[None]]" = None
        self._closed = False

    def told(self, happened: Happened) -> None:
        """Begin where jobs were made whose values are to follow."""
        if happened.values_follow and not self._closed:
            self.begin()

    def begin(self) -> "asyncio.Task[None]":
        """Write what is missing, if anything is, beside everything else."""
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(self._fill())
            self._filling.add_done_callback(_tell)
        return self._filling

    async def all_there(self) -> None:
        """Wait until nothing is missing. Raises StorageError."""
        while await self._read(values.are_missing):
            if self._closed:
                raise StorageError("the server ends before all jobs can be searched", "ask again later")
            filling = self.begin()
            await asyncio.wait([filling])
            if not filling.cancelled():
                filling.result()

    async def when_there(self, step: Callable[[], Awaitable[T]]) -> T:
        """What a step returns, which is made once more where it was too early for what it looks for."""
        while True:
            try:
                return await step()
            except values.NotThereYet:
                await self.all_there()

    async def stop(self) -> None:
        """The server ends: what is missing is left to the next one."""
        self._closed = True
        await tasks.end([self._filling])

    async def _fill(self) -> None:
        filling, jobs, written = Filling(), Portion(MOST_JOBS), Portion(MOST_VALUES)
        while await self._read(values.are_missing):
            more = await self._write(jobs.timed(partial(filling.take, limit=jobs.size)))
            if filling.is_full or not more:
                while await self._write(written.timed(partial(filling.write, limit=written.size))):
                    pass


def _tell(filling: "asyncio.Task[None]") -> None:
    error = None if filling.cancelled() else filling.exception()
    if error is not None:
        log.warning("jobs cannot be searched by their parameters yet: %s", reason(error))
