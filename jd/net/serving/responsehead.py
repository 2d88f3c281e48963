"""The head of an answer: its status line and header section as bytes (RFC 9112)."""

import email.utils
import functools
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
    if not response.headers and response.stream is None and response.status not in BODILESS:
        return b"%b%d\r\n\r\n" % (_usual(response.status, response.content_type, keep, _http_date()), length)
    headers = _own_headers(response.status, response.content_type, keep, _http_date())
    headers.update(_framing(response, length, chunked))
    given = {name.lower() for name in response.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in given}
    return _encoded(response.status, {**headers, **response.headers}) + b"\r\n\r\n"


@functools.lru_cache(maxsize=64)
def _usual(status: int, content_type: str, keep: bool, date: str) -> bytes:
    """The head of an answer that has no headers of its own, up to the length of its body: for the most part
    they are the same for a second."""
    return _encoded(status, {**_own_headers(status, content_type, keep, date), "Content-Length": ""})


def _own_headers(status: int, content_type: str, keep: bool, date: str) -> Dict[str, str]:
    headers = {
        "Date": date,
        "Server": "jd/" + __version__,
        "Connection": "keep-alive" if keep else "close",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    if status not in BODILESS:
        headers["Content-Type"] = content_type
    return headers


def _encoded(status: int, headers: Dict[str, str]) -> bytes:
    lines = ["HTTP/1.1 %d %s" % (status, _REASONS.get(status, "Unknown"))]
    return "\r\n".join(lines + ["%s: %s" % item for item in headers.items()]).encode("latin-1")


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
