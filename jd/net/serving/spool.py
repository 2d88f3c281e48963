"""A large body is kept in a file, for a reader that goes through it from its beginning to its end."""

import asyncio
import io
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import AsyncIterator, BinaryIO, Optional

from jd.errors import StorageError
from jd.files import scratch
from jd.net.serving.routing import Request

MEMORY = 256 * 1024  # bytes up to which a body is not worth a file


@asynccontextmanager
async def spooled(request: Request, directory: Path) -> AsyncIterator[BinaryIO]:
    """The body as a file, read from its beginning; it is gone when the context is left.

    A large one is in a file without a name in `directory`. Raises HttpError as `Request.stream`, and
    StorageError where it cannot be written. Leaving the context closes the file, also for a thread
    that still reads it: that gets a ValueError.
    """
    loop = asyncio.get_running_loop()
    file: BinaryIO = io.BytesIO()
    size = 0
    try:
        async for data in request.stream():
            size += len(data)
            if size <= MEMORY:
                file.write(data)
                continue
            try:
                # Disks stall: the loop must not.
                file = await loop.run_in_executor(None, _write, file, data, directory)
            except OSError as error:
                raise _full(directory, error) from error
        try:
            file.seek(0)  # the last of it is written by that
        except OSError as error:
            raise _full(directory, error) from error
        yield file
    finally:
        scratch.close(file)


def _full(directory: Path, error: OSError) -> StorageError:
    return StorageError("cannot keep the body in %s: %s" % (directory, error.strerror))


def _write(file: BinaryIO, data: bytes, directory: Path) -> BinaryIO:
    opened: Optional[BinaryIO] = None
    if isinstance(file, io.BytesIO):
        opened = tempfile.TemporaryFile(dir=str(directory))
        opened.write(file.getvalue())
    (opened or file).write(data)
    return opened or file
