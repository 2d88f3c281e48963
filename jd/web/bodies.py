"""Reads the body of a request that a page sends."""

from typing import Any, Dict

from jd import protocol as p
from jd.net.serving.routing import Request


async def json_object(request: Request) -> Dict[str, Any]:
    """The body, which every write from a page has: its type keeps other sites' forms out.

    Raises ProtocolError, and HttpError as `Request.json`.
    """
    body = await request.json()
    if not isinstance(body, dict):
        raise p.ProtocolError("a JSON object is needed, not %s" % p.shown(body))
    return body
