"""Work of several steps that a request has begun: it goes on to its end when its client leaves.

A handler is cancelled then. Half of what was asked for would be done, which is hard to tell from the rest,
and nobody would hear of it.
"""

import asyncio
import logging
from functools import partial
from typing import Any, Coroutine, Set, TypeVar

from jd.errors import reason
from jd.net.serving import tasks
from jd.net.serving.routing import HttpError
from jd.protocol import ProtocolError

T = TypeVar("T")

log = logging.getLogger("jd.server")


class Begun:
    """All such work. `said` names one of it in the log where it fails: "a command to workers"."""

    def __init__(self) -> None:
        self.tasks: "Set[asyncio.Task[Any]]" = set()

    async def to_its_end(self, work: Coroutine[Any, Any, T], said: str) -> T:
        """Await work, which goes on where this is cancelled."""
        return await asyncio.shield(self.start(work, said))

    def start(self, work: Coroutine[Any, Any, T], said: str) -> "asyncio.Task[T]":
        """Begin work that nobody need await."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)  # the loop itself holds no task that waits
        task.add_done_callback(partial(self._ended, said))
        return task

    async def stop(self, grace: float = 0.0) -> None:
        """The server ends: give what has begun so many seconds, and cancel the rest."""
        if self.tasks and grace:
            await asyncio.wait(self.tasks, timeout=grace)
        await tasks.end(list(self.tasks))

    def _ended(self, said: str, task: "asyncio.Task[Any]") -> None:
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # Whoever asked may have gone.
        if error is not None and not isinstance(error, (HttpError, ProtocolError)):
            log.warning("%s was not carried out to its end: %s", said, reason(error))
