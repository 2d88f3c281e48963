"""The head of an answer: its status line and header section as bytes (RFC 9112)."""

import email.utils
import http
import time
from typing import Dict, Tuple

from jd import __version__
from jd.net.serving.routing import Response

BODILESS = (204, 304)  # RFC 9110, 6.4.1; 1xx is no final answer
_REASONS: Dict[int, str] = {status.value: status.phrase for status in http.HTTPStatus}


def head_bytes(response: Response, length: int, chunked: bool, keep: bool) -> bytes:
    """Status line and header section of an answer. `length` is that of its body, unless it is `chunked` or
    a stream; `keep` says that the connection may be used again."""
    headers = {
        "Date": _http_date(),
        "Server": "jd/" + __version__,
        "Connection": "keep-alive" if keep else "close",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    if response.status not in BODILESS:
        headers["Content-Type"] = response.content_type
    headers.update(_framing(response, length, chunked))
    given = {name.lower() for name in response.headers}
    lines = ["HTTP/1.1 %d %s" % (response.status, _REASONS.get(response.status, "Unknown"))]
    lines += ["%s: %s" % item for item in headers.items() if item[0].lower() not in given]
    lines += ["%s: %s" % item for item in response.headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _framing(response: Response, length: int, chunked: bool) -> Dict[str, str]:
    """The header that tells the client where the body ends, if one does."""
    if response.status in BODILESS:
        return {}
    if response.stream is None:
        return {"Content-Length": str(length)}
    return {"Transfer-Encoding": "chunked"} if chunked else {}


_date: Tuple[int, str] = (0, "")


def _http_date() -> str:
    """The present time as in RFC 9110, 5.6.7; worked out once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, email.utils.formatdate(now, usegmt=True))
    return _date[1]
