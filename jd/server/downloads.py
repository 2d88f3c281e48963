"""Stored files on their way out."""

import asyncio
from pathlib import Path
from typing import Optional

from jd.net.routing import HttpError, Response


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
