"""What an attempt has printed, for programs and for pages."""

import asyncio
from pathlib import Path
from typing import Any, Dict, Generator, List, Mapping, Optional

from jd import fields
from jd.net.serving.routing import Response
from jd.protocol import ProtocolError
from jd.server.downloads import in_steps, stream_response
from jd.server.store.files import outputs
from jd.server.store.files.outputs import Stretch
from jd.server.store.pages.jobdetails import Output

MAX_LIMIT = 1024 * 1024
MIN_LIMIT = 16
LIMIT = 256 * 1024
FARTHEST = 2 ** 53
PARTIAL = 3  # bytes: of a character that has begun before


async def part(data_dir: Path, job_id: int, found: Output, query: Mapping[str, str],
               last: Optional[int] = None) -> Response:
    """The part that the query asks for, in bytes: at most `limit` from `offset` on, or the `last` ones. If it
    names neither it is from the beginning, or where `last` is given here, that many of the end.

    Raises ProtocolError for a number that is none.
    """
    limit = fields.read_whole(query, "limit", MIN_LIMIT, MAX_LIMIT, LIMIT)
    offset = fields.read_whole(query, "offset", 0, FARTHEST, 0)
    end = fields.read_whole(query, "last", MIN_LIMIT, MAX_LIMIT, last or 0)
    if "offset" in query:
        if "last" in query:
            raise ProtocolError("offset and last were given; one of them says where to begin")
        end = 0

    def look() -> Dict[str, Any]:
        stretches = kept(data_dir, job_id, found, found.running and not end)
        size = stretches[-1].end if stretches else found.size or 0
        wanted = max(0, size - end) if end else offset
        read = outputs.part(stretches, wanted, max(limit, end), found.running)
        gap = read.offset - wanted
        return {"job_id": job_id, "status": found.status, "attempt": found.attempt,
                "running": found.running, "size": size, "offset": read.offset, "output": read.text,
                "next": read.next, "left_out": gap if read.text and gap > PARTIAL else 0,
                "tail_only": found.size is None and found.output != ""}

    return Response.json(await asyncio.get_running_loop().run_in_executor(None, look))


async def download(data_dir: Path, name: str, job_id: int, found: Output) -> Response:
    """All of it, as an attachment; `name` is the experiment's."""
    file_name = "%s-job-%d-attempt-%d-output.log" % (name, job_id, found.attempt or 0)
    return stream_response(in_steps(whole(data_dir, job_id, found)), "text/plain; charset=utf-8", file_name)


def whole(data_dir: Path, job_id: int, found: Output) -> Generator[bytes, None, None]:
    """All of it, with a line where something is left out. Raises OSError."""
    yield from outputs.whole(kept(data_dir, job_id, found))


def kept(data_dir: Path, job_id: int, found: Output, follows: bool = False) -> List[Stretch]:
    """What there is of an attempt's output; see `store.files.outputs`. Raises OSError."""
    if found.attempt is None:
        return []
    return outputs.kept(data_dir, job_id, found.attempt, found.output, found.size, follows)
