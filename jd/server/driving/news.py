"""Whether jobs have changed, looked up once for all who wait for it."""

import asyncio
import logging
from typing import Optional

from jd.errors import StorageError
from jd.net.serving import tasks
from jd.server.experiment import Experiment
from jd.server.store.pages import summary
from jd.server.store.transaction import Happened
from jd.threads import Reported

log = logging.getLogger("jd.server")

INTERVAL = 0.5  # seconds between two looks


class News:
    """Tells that jobs have changed. It looks only while somebody waits, and after something was written.

    What has changed is counted in the database (`changes`), so who has seen a number can ask for what came
    after it.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._number = -1  # as last looked up
        self._unseen = True  # something was written since
        self._waiting = 0
        self._told: Optional["asyncio.Future[None]"] = None  # done when there is another number
        self._task: Optional["asyncio.Task[None]"] = None
        self.closed = False
        experiment.on_commit(self._written)

    async def beyond(self, seen: int, seconds: float) -> None:
        """Wait until jobs have changed since the number was `seen`, for so long at most. Returns early when
        the server stops."""
        if self.closed:
            return  # nobody would end the task that looks
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        self._waiting += 1
        try:
            if self._task is None:
                self._task = loop.create_task(self._watch())
            while self._number <= seen and not self.closed and loop.time() < until:
                if self._told is None:
                    self._told = loop.create_future()
                await asyncio.wait([self._told], timeout=until - loop.time())
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """The server stops: nobody waits any more."""
        self.closed = True
        self._tell()
        await tasks.end([self._task])

    def _written(self, _happened: Happened) -> None:
        self._unseen = True

    async def _watch(self) -> None:
        looking = Reported("who waits for jobs is not told what is new", log.warning)
        try:
            while self._waiting:
                if self._unseen:
                    self._unseen = False
                    with looking:
                        await self._look()
                    self._unseen = self._unseen or looking.trouble is not None  # it is tried again
                await asyncio.sleep(INTERVAL)
        finally:
            self._task = None

    async def _look(self) -> None:
        try:
            number = (await self._experiment.look_up(summary.changes))["jobs"]
        except StorageError:
            self._unseen = True  # it is tried again
            return
        if number != self._number:
            self._number = number
            self._tell()

    def _tell(self) -> None:
        if self._told is not None:
            self._told.set_result(None)
            self._told = None
