"""The jobs files of a start: large ones are read, and their jobs created, while the server serves.

No job of a file is there before all of them are, and all files are read before jobs of the first are
created: so a fault at the end of the last one adds nothing. It ends the server. Until all is loaded there is
work left, so that nobody leaves since there are no jobs.
"""

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import AsyncIterator, Callable, List, NamedTuple, Optional, Sequence

from jd.errors import UsageError
from jd.net.serving import tasks
from jd.protocol import ProtocolError
from jd.server.app import JobServer
from jd.server.command.announcer import Announcer, say_loaded
from jd.server.creation import jobfile
from jd.server.creation.batch import Batch
from jd.server.store.operators import batches

AT_ONCE = 1024 * 1024  # bytes of files that are read before the server starts: a third of a second
FEW = 20_000  # jobs that are created before others are told where the server is


class JobsFile(NamedTuple):
    """A file of a start; `batch` is None where it is yet to be read."""

    path: Path
    size: int
    batch: Optional[Batch] = None


def begin(paths: Sequence[Path]) -> List[JobsFile]:
    """Files, as far as they are looked at before the server starts; small ones are read. Raises
    UsageError."""
    files = [JobsFile(path, jobfile.size(path)) for path in paths]
    at_once = sum(file.size for file in files) <= AT_ONCE
    return [file._replace(batch=jobfile.read(file.path)) if at_once else file for file in files]


def read(files: Sequence[JobsFile]) -> List[JobsFile]:
    """All of them read. Raises UsageError."""
    return [file if file.batch is not None else file._replace(batch=jobfile.read(file.path))
            for file in files]


class Loading:
    """The jobs files of one start. `expect` comes before the server listens, `run` when it does."""

    def __init__(self, server: JobServer, files: Sequence[JobsFile], say: Announcer) -> None:
        self._server = server
        self._files = files
        self._say = say

    @property
    def is_short(self) -> bool:
        """Whether it takes no time that is worth mentioning."""
        return sum(FEW + 1 if file.batch is None else file.batch.total for file in self._files) <= FEW

    async def expect(self) -> None:
        """From now on there is work left."""
        if self._files:
            await self._server.experiment.write(batches.expect)

    async def run(self) -> None:
        """Read what is yet to be read, create what is new, and tell of it.

        Raises UsageError. Where it is cancelled nothing of the file is added that was being read or written.
        """
        for file in [await self._read(file) for file in self._files]:
            await self._create(file)
        if self._files:
            await self._server.experiment.write(batches.all_loaded)

    async def _read(self, file: JobsFile) -> JobsFile:
        if file.batch is not None:
            return file
        # When this is cancelled the file is closed, which also ends the thread.
        with jobfile.opened(file.path) as opened:
            handle = opened.fileno()
            async with self._telling("reading", file, file.size, lambda: os.lseek(handle, 0, os.SEEK_CUR)):
                return file._replace(batch=await self._server.creation.beside(
                    lambda: jobfile.parsed(file.path, opened)))

    async def _create(self, file: JobsFile) -> None:
        """Raises UsageError for a file that is too much together with what the experiment has already."""
        creation, batch = self._server.creation, file.batch
        assert batch is not None
        try:
            async with self._telling("creating", file, batch.total, lambda: (creation.progress or (0, 0))[0]):
                created = await creation.load(batch, file.path.name)
        except ProtocolError as error:
            raise UsageError("jobs file %s: %s" % (file.path, error)) from None
        say_loaded(self._say, file.path.name, batch.total, created)

    @asynccontextmanager
    async def _telling(self, step: str, file: JobsFile, total: int,
                       done: Callable[[], int]) -> AsyncIterator[None]:
        """Tell meanwhile how far it is."""
        with self._say.progress(step, file.path.name, total) as shown:
            async def tell() -> None:
                while True:
                    await asyncio.sleep(shown.interval)
                    shown.update(done())

            task = asyncio.get_running_loop().create_task(tell())
            try:
                yield
            finally:
                await tasks.end([task])
