"""Stored files, and what is made of them, on their way out."""

import asyncio
import threading
from pathlib import Path
from typing import AsyncIterator, Generator, Optional

from jd.net.serving.routing import HttpError, Response


async def file_response(path: Path, download_as: Optional[str] = None) -> Response:
    """Stream a stored file; a file that has gone from the disk is a 404 that names it."""
    loop = asyncio.get_running_loop()
    try:
        opened = await loop.run_in_executor(None, open, str(path), "rb")
    except FileNotFoundError:
        raise HttpError(404, "%s was removed from the server's disk" % path.name) from None
    if download_as is not None:
        return Response.attachment(opened, download_as)
    return Response(file=opened)


def stream_response(stream: AsyncIterator[bytes], content_type: str, download_as: str) -> Response:
    """A download that is made while it is sent; `download_as` is a plain ASCII name without quotes."""
    return Response(stream=stream, content_type=content_type,
                    headers={"Content-Disposition": 'attachment; filename="%s"' % download_as})


async def in_steps(pieces: Generator[bytes, None, None]) -> AsyncIterator[bytes]:
    """What a generator gives, each step of it run in an executor.

    However it is left, the generator is closed, after the step that is being run.
    """
    loop = asyncio.get_running_loop()
    turn = threading.Lock()

    def step() -> Optional[bytes]:
        with turn:
            return next(pieces, None)

    def close() -> None:
        with turn:
            pieces.close()

    try:
        while True:
            data = await loop.run_in_executor(None, step)
            if data is None:
                return
            if data:
                yield data
    finally:
        loop.run_in_executor(None, close)
