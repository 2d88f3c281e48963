"""Making jobs while workers are served: read beside the loop, written in slices, one batch at a time."""

import asyncio
import itertools
import sys
from functools import partial
from typing import BinaryIO, Callable, Iterator, List, Optional, Sequence, Tuple, TypeVar

from jd import protocol as p
from jd.errors import StorageError
from jd.net.serving import tasks
from jd.net.serving.routing import Request
from jd.net.serving.spool import spooled
from jd.server.creation.batch import Batch
from jd.server.creation.createrequest import Order
from jd.server.experiment import Experiment
from jd.server.portion import Portion
from jd.server.store.operators import batches, digests
from jd.server.store.operators.batches import Created, Existing
from jd.server.store.operators.digests import Matching
from jd.server.store.queue import jobs
from jd.server.store.search import missing, values
from jd.server.store.transaction import Transaction

AT_ONCE = 500  # jobs that are written in one operation, if they are short
AT_ONCE_CHARACTERS = 128 * 1024  # of all of them: about what can be written in 50 ms
FIRST_CHARACTERS = 16 * 1024  # in the first operation, as long as it is not known how long they take
MOST_CHARACTERS = 1024 * 1024
_SERVED_STEPS = batches.SLICE // batches.SERVED_SLICE  # what one running job counts for

# Seconds that a thread keeps Python to itself while jobs are read, of the usual 5 ms: a heartbeat is some
# thirty statements, each of which may have to wait so long. At other times more switches only cost more.
SWITCH = 0.0005

T = TypeVar("T")
Publish = Callable[[Transaction, int, int], Created]


class Creator:
    """Creates jobs in one experiment.

    `progress` is (done, total) of the batch that is being written, None while there is none: also
    for one that is small enough to be written at once.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._turn = asyncio.Lock()
        self._reading = asyncio.Lock()
        self.progress: Optional[Tuple[int, int]] = None
        self._tidying: Optional["asyncio.Task[None]"] = None
        self._closed = False

    def start(self) -> None:
        """Remove, beside everything else, what a server before has left of a batch."""
        self._tidying = asyncio.get_running_loop().create_task(self._tidy())

    async def stop(self) -> None:
        """The server ends. A batch that is being written is given up by its maker then, and what there is of
        it is left to the next start: to remove a million jobs takes a while."""
        self._closed = True
        await tasks.end([self._tidying])

    async def _tidy(self) -> None:
        async with self._turn:
            await self._abandon()

    async def read(self, request: Request, parse: Callable[[BinaryIO], Order]) -> Order:
        """What a request orders: `parse` is run beside the loop, one at a time.

        Raises HttpError, ProtocolError and StorageError. When it is cancelled the file is closed, which
        also ends `parse`.
        """
        request.check_json()
        directory = self._experiment.meta_dir
        async with spooled(request, directory) as file:
            try:
                return await self.beside(lambda: parse(file))
            except OSError as error:
                raise StorageError("cannot keep the body in %s: %s" % (directory, error.strerror)) from error

    async def beside(self, parse: Callable[[], T]) -> T:
        """What reads jobs, run beside the loop, one at a time."""
        async with self._reading:
            usual = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH)
            try:
                return await asyncio.get_running_loop().run_in_executor(None, parse)
            finally:
                sys.setswitchinterval(usual)

    async def create(self, batch: Batch, replace: Sequence[str] = (), unique: bool = False,
                     file: Optional[str] = None) -> Created:
        """Add a batch, whole or not at all. It takes the place of jobs in the statuses of `replace`; with
        `unique` only those of its jobs are made that do not exist yet (`store.operators.digests`). That of a
        jobs `file` is loaded: one that was before is known as a whole."""
        if file is not None:
            return await self.load(batch, file) or Created(0, 0, "Unchanged", Existing(batch.total, 0, ()))
        async with self._turn:
            if not unique:
                return await self._write(batch, replace, batches.publish)
            existing = await self.existing(batch)
            if existing.total == batch.total:
                return Created(0, 0, "Unchanged", existing)
            created = await self._write(batch.without(existing.ids), (), batches.publish)
            return created._replace(existing=existing)

    async def load(self, batch: Batch, name: str) -> Optional[Created]:
        """Add the jobs of a file that do not exist yet: None if a file with these very jobs was loaded
        before.

        So a server that is started again with the same command goes on where it was, and a file that has
        grown adds what is new.
        """
        loop = asyncio.get_running_loop()
        digest = await loop.run_in_executor(None, batch.digest)
        async with self._turn:
            if await self._experiment.read(lambda db: batches.is_loaded(db, digest)):
                return None
            existing = await self.existing(batch)
            if existing.total == batch.total:
                created = Created(0, 0, "Unchanged")
                await self._experiment.write(
                    partial(batches.remember_file, created=created, name=name, digest=digest))
            else:
                created = await self._write(batch.without(existing.ids) if existing.total else batch, (),
                                            partial(batches.publish_file, name=name, digest=digest))
            return created._replace(existing=existing)

    async def existing(self, batch: Batch) -> Existing:
        """Which jobs of a batch exist already. Workers are served in between."""
        last_id = await self._experiment.read(jobs.last_id)
        portion = Portion(digests.SLICE)
        while last_id and await self._experiment.write(portion.timed(
                partial(digests.catch_up, limit=portion.size))):
            pass
        matching = Matching(last_id)
        texts = batch.texts()
        for _ in range(0, batch.total if last_id else 0, batches.SLICE):
            part = list(itertools.islice(texts, batches.SLICE))
            await self._experiment.read(partial(matching.look_up, texts=part))
        return Existing(matching.found, matching.deleted, matching.ids or [0] * batch.total)

    async def _write(self, batch: Batch, replace: Sequence[str], publish: Publish) -> Created:
        if await self._experiment.read(batches.is_being_written):
            await self._abandon()  # one that was given up, while the disk was too full for this
        counts = await self._experiment.read(jobs.counts) if replace else {}
        steps = sum(counts[status] * (_SERVED_STEPS if status == p.SERVED else 1) for status in replace)
        if (batch.total + steps <= min(AT_ONCE, batches.SLICE)
                and sum(map(len, batch.texts())) <= AT_ONCE_CHARACTERS):
            return await self._experiment.write(lambda t: _at_once(t, batch, replace, publish))
        return await self._in_slices(batch, replace, publish)

    async def _in_slices(self, batch: Batch, replace: Sequence[str], publish: Publish) -> Created:
        experiment, replaced = self._experiment, 0
        try:
            # So what is missing is of one batch at most, and who waits for it is not overtaken.
            await experiment.values.all_there()
            start_id = await experiment.write(batches.begin)
            await self._write_jobs(batch, start_id)
            self.progress = (batch.total, batch.total)
            step, portion = -1 if replace else 0, Portion(batches.SLICE)
            while step:
                step = await experiment.write(portion.timed(
                    partial(batches.set_aside, start_id=start_id, statuses=replace, limit=portion.size)))
                replaced += step
            return await experiment.write(
                lambda t: _published(t, batch, start_id, publish, replaced if replace else None))
        except BaseException:
            # A full disk, or a client that hung up: nothing of the batch stays.
            await asyncio.shield(self._abandon())
            raise
        finally:
            self.progress = None

    async def _write_jobs(self, batch: Batch, start_id: int) -> None:
        experiment, texts, done = self._experiment, batch.texts(), 0
        # Of characters: what a job costs is what its parameters cost, and it may have one or a thousand.
        portion = Portion(MOST_CHARACTERS, first=FIRST_CHARACTERS)
        while done < batch.total:
            self.progress = (done, batch.total)
            part = _part(texts, portion.size)
            await experiment.write(portion.timed(
                partial(batches.add, first_id=start_id + done, texts=part, terms=batch.terms,
                        with_values=False)))
            done += len(part)

    async def _abandon(self) -> None:
        portion = Portion(batches.SLICE)
        left = True
        while left and not self._closed:
            left = await self._experiment.write(portion.timed(
                partial(batches.abandon, limit=portion.size)))


def _part(texts: Iterator[str], characters: int) -> List[str]:
    """The next jobs: one at least, and of more than one no more than so many characters and one job have."""
    part = []
    for text in itertools.islice(texts, batches.SLICE):
        part.append(text)
        characters -= len(text)
        if characters <= 0:
            break
    return part


def _at_once(t: Transaction, batch: Batch, replace: Sequence[str], publish: Publish) -> Created:
    start_id, follow = batches.begin(t), values.are_missing(t.db)
    batches.add(t, start_id, list(batch.texts()), batch.terms, with_values=not follow)
    steps = sum(iter(lambda: batches.set_aside(t, start_id, replace), 0))
    if follow:
        # Behind those of the jobs before, which have been made a moment ago.
        return _published(t, batch, start_id, publish, steps if replace else None)
    return publish(t, start_id, batch.total)._replace(replaced=steps if replace else None)


def _published(t: Transaction, batch: Batch, start_id: int, publish: Publish,
               replaced: Optional[int]) -> Created:
    """A batch is whole whose values are still to be written."""
    missing.follow(t, batch.names, start_id, batch.total)
    return publish(t, start_id, batch.total)._replace(replaced=replaced)
