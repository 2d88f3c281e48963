"""Making jobs while workers are served: read beside the loop, written in slices, one batch at a time."""

import asyncio
import itertools
from typing import Any, BinaryIO, Callable, Optional, Tuple

from jd import protocol as p
from jd.errors import StorageError
from jd.net.serving.routing import Request
from jd.net.serving.spool import spooled
from jd.server.creation.createrequest import Order
from jd.server.experiment import Experiment
from jd.server.store.operators import batches
from jd.server.store.operators.batches import Batch, Created
from jd.server.store.queue import jobs
from jd.server.waiting import WaitingRoom


class Creation:
    """Creates jobs in one experiment, and calls waiting workers to them.

    `progress` is (done, total) of the batch that is being written, None while there is none: also
    for one that is small enough to be written at once.
    """

    def __init__(self, experiment: Experiment, room: WaitingRoom) -> None:
        self._experiment = experiment
        self._room = room
        self._turn = asyncio.Lock()
        self._reading = asyncio.Lock()
        self.progress: Optional[Tuple[int, int]] = None

    async def read(self, request: Request, parse: Callable[[BinaryIO], Order]) -> Order:
        """What a request orders: `parse` is run beside the loop, one at a time.

        Raises HttpError, ProtocolError and StorageError. When it is cancelled the file is closed, which
        also ends `parse`.
        """
        request.check_json()
        directory = self._experiment.meta_dir
        async with spooled(request, directory) as file:
            async with self._reading:
                try:
                    return await asyncio.get_running_loop().run_in_executor(None, parse, file)
                except OSError as error:
                    raise StorageError("cannot keep the body in %s: %s" % (
                        directory, error.strerror)) from error

    async def create(self, batch: Batch, replace: bool = False) -> Created:
        """Add a batch, whole or not at all. With `replace` it takes the place of what is PENDING."""
        async with self._turn:
            return await self._write(batch, replace, batches.publish)

    async def load(self, batch: Batch, name: str) -> Optional[Created]:
        """Add the jobs of a file, once: None if a file with these very jobs was loaded before.

        So a server that is started again with the same command goes on where it was.
        """
        loop = asyncio.get_running_loop()
        digest = await loop.run_in_executor(None, batch.digest)
        async with self._turn:
            if await self._experiment.read(batches.is_loaded, digest):
                return None
            return await self._write(batch, False, batches.publish_file, name, digest)

    async def _write(self, batch: Batch, replace: bool, publish: Callable[..., Created],
                     *rest: Any) -> Created:
        experiment = self._experiment
        pending = (await experiment.read(jobs.counts))[p.PENDING] if replace else 0
        if batch.total + pending <= batches.SLICE:
            created = await experiment.write(_at_once, batch, replace, publish, rest, experiment.clock())
        else:
            created = await self._in_slices(batch, replace, publish, rest)
        self._room.call(created.total)
        return created

    async def _in_slices(self, batch: Batch, replace: bool, publish: Callable[..., Created],
                         rest: Any) -> Created:
        experiment = self._experiment
        start_id = await experiment.write(batches.begin)
        try:
            texts, next_id = batch.texts(), start_id
            self.progress = (0, batch.total)
            while True:
                part = list(itertools.islice(texts, batches.SLICE))
                if not part:
                    break
                await experiment.write(batches.add, next_id, part, batch)
                next_id += len(part)
                self.progress = (next_id - start_id, batch.total)
            while replace and await experiment.write(batches.set_aside, start_id,
                                                     experiment.clock(), batches.SLICE):
                pass
            return await experiment.write(publish, start_id, batch, *rest, experiment.clock())
        except BaseException:
            # A full disk, or a client that hung up: nothing of the batch stays.
            await asyncio.shield(self._abandon())
            raise
        finally:
            self.progress = None

    async def _abandon(self) -> None:
        while await self._experiment.write(batches.abandon):
            pass


def _at_once(db: Any, batch: Batch, replace: bool, publish: Callable[..., Created], rest: Any,
             now: float) -> Created:
    start_id = batches.begin(db)
    batches.add(db, start_id, list(batch.texts()), batch)
    if replace:
        while batches.set_aside(db, start_id, now):
            pass
    return publish(db, start_id, batch, *rest, now)
