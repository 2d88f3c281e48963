"""What comes back from a call: the body in pieces, and what an error says, made safe for a terminal."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from jd.net.answerhead import NotHttp
from jd.net.connection import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Mapping

CHUNK_BYTES = 256 * 1024
MAX_ERROR_BYTES = 64 * 1024
MAX_WORDS = 1000  # characters of a server's own words that an error message repeats
MAX_RETRY_AFTER = 60.0


def chunks(answer: Answer) -> Iterator[bytes]:
    """The body in pieces. Raises as `Answer.read`."""
    while True:
        chunk = answer.read(CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def read(answer: Answer, limit: int) -> bytes:
    """The body, or its first bytes: somewhat more than `limit` when there is that much."""
    body = bytearray()
    for chunk in chunks(answer):
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body)


def error_body(answer: Answer) -> bytes:
    """The body of an error, as far as it came."""
    try:
        return read(answer, MAX_ERROR_BYTES)
    except (OSError, NotHttp):
        return b""  # the status has come, and it says enough


def object_in(body: bytes) -> Mapping[str, Any] | None:
    """The JSON object that a body is; None for anything else."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def error_of(body: Mapping[str, Any] | None) -> str:
    """The text of the error envelope, `{"error": "..."}`; empty where there is none."""
    error = None if body is None else body.get("error")
    return error.strip() if isinstance(error, str) else ""


def words(text: str) -> str:
    """Somebody else's text, safe on a terminal: one line, printable, not endless."""
    shown = "".join(c if c.isprintable() else " " for c in text[:MAX_WORDS]).strip()
    return shown + "…" if len(text) > MAX_WORDS else shown


def origin(location: str) -> str:
    """Scheme and host of a Location; the rest may hold tokens."""
    try:
        parts = urlsplit(location)
        host = parts.hostname
        port = ":%d" % parts.port if parts.port else ""
    except ValueError:
        return "an unreadable address"
    return "%s://%s%s" % (parts.scheme, host, port) if host else "another path"


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds from a Retry-After header, a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value.strip()[:9]), MAX_RETRY_AFTER)
    from email.utils import parsedate_to_datetime  # which few servers make us need
    try:
        left = parsedate_to_datetime(value).timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, min(left, MAX_RETRY_AFTER))
