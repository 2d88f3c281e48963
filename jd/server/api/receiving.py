"""Files on their way in: multipart bodies, read piece by piece."""

import asyncio
import functools
import io
from typing import Callable, Dict, Optional, Tuple

from jd import fields
from jd import protocol as p
from jd.net.multipart import MultipartParser, PartData, PartEnd, PartEvent, PartHead, boundary_of
from jd.net.serving.routing import HttpError, Request
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.queue import attempts

MAX_FIELD = 1024  # bytes
GATHERED = 1024 * 1024  # bytes of a file that are written at once: to hand them to a thread takes its time


class Receiver:
    """One upload: its fields in memory, its file, which is the part `part_name`, streamed to disk.

    `reach` is the user whose attempts may get files; None: everybody's. Use it as a context manager, after
    which a file that was not put in its place is gone.
    """

    def __init__(self, experiment: Experiment, part_name: str, reach: Optional[str]) -> None:
        """Raises StorageError where the data directory cannot be written."""
        self.incoming = files.Incoming(experiment.data_dir)
        self.reach = reach
        self.filename: Optional[str] = None
        self._experiment = experiment
        self._part_name = part_name
        self._named: Optional[Tuple[int, Optional[int]]] = None  # before the file: still to be checked
        self._fields: Dict[str, bytearray] = {}
        self._current: Optional[str] = None
        self._has_file = False
        self._writing: "Optional[asyncio.Future[None]]" = None

    async def __aenter__(self) -> "Receiver":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writing is not None:
            self._writing.cancel()
        self.incoming.discard()

    async def receive(self, request: Request) -> None:
        """Read the whole body. Raises HttpError or ProtocolError for what is wrong with it, and as
        attempts.check_running: before the file is read where its job is named before it, so that one that
        will not be taken is not written first."""
        parser = MultipartParser(boundary_of(request.headers.get("content-type", "")))
        # Used in turn, again and again: new memory for each would be made page by page.
        gathered, other = io.BytesIO(), io.BytesIO()
        async for chunk in request.stream():
            for event in parser.receive(chunk):
                if not self._take(event) and isinstance(event, PartData):
                    gathered.write(event.data)
            if self._named is not None:
                named, self._named = self._named, None
                await self._check(*named)
            if gathered.tell() >= GATHERED:
                await self._begin(functools.partial(self._write, gathered))
                gathered, other = other, gathered
        if not parser.finished:
            raise HttpError(400, "the multipart body ends before its closing boundary")
        if not self._has_file:
            raise HttpError(400, "the file part %r is missing" % self._part_name)
        await self._begin(functools.partial(self._write, gathered))
        await self._begin(self.incoming.settle)
        await self._written()

    async def _begin(self, write: Callable[[], None]) -> None:
        """Have a thread write when it has written what it was given before: more is received meanwhile.
        Disks stall, and the loop must not."""
        await self._written()
        self._writing = asyncio.get_running_loop().run_in_executor(None, write)

    async def _written(self) -> None:
        if self._writing is not None:
            await self._writing

    async def _check(self, job_id: int, attempt: Optional[int]) -> None:
        await self._experiment.look_up(lambda db: attempts.check_running(db, job_id, attempt, self.reach))

    def job(self) -> Tuple[int, Optional[int]]:
        """The job and, where given, the attempt that the file belongs to."""
        texts = {name: value.decode("utf-8", "replace") for name, value in self._fields.items()}
        return fields.read_id(texts, "job_id"), fields.read_id(texts, "attempt", None)

    def path(self) -> Optional[str]:
        """Where the file lay in its job's directory; None directly in it, or where the client did not say.
        Raises ProtocolError."""
        given = self._fields.get("path")
        return None if given is None else files.check_path(given.decode("utf-8", "surrogateescape"))

    def _take(self, event: PartEvent) -> bool:
        """Take in what is not file data; whether it was that."""
        if isinstance(event, PartHead):
            self._current = event.name
            if event.name == self._part_name:
                if self._has_file:
                    raise HttpError(400, "the file part %r is there twice" % self._part_name)
                self._has_file = True
                self.filename = event.filename
                if "job_id" in self._fields:
                    self._named = self.job()
            elif event.name in self._fields:
                raise HttpError(400, "field %s is there twice" % p.shown(event.name))
            else:
                self._fields[event.name] = bytearray()
            return True
        if isinstance(event, PartEnd):
            return True
        if self._current == self._part_name:
            return False
        field = self._fields[self._current or ""]
        field += event.data
        if len(field) > MAX_FIELD:
            raise HttpError(400, "field %s is longer than %d bytes" % (
                p.shown(self._current), MAX_FIELD))
        return True

    def _write(self, gathered: io.BytesIO) -> None:
        size = gathered.tell()
        if self.incoming.size + size > p.MAX_FILE_BYTES:
            raise HttpError(413, "the file is larger than %d MB, the most that is taken"
                            % (p.MAX_FILE_BYTES // 2 ** 20))
        with gathered.getbuffer() as buffer:
            self.incoming.write(buffer[:size])
        gathered.seek(0)
