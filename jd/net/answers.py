"""What comes back from a call: the body in pieces, and what an error says, made safe for a terminal."""

import http.client
import json
from email.utils import parsedate_to_datetime
from typing import Any, Iterator, Mapping, Optional
from urllib.parse import urlsplit

CHUNK_BYTES = 256 * 1024
MAX_ERROR_BYTES = 64 * 1024
MAX_WORDS = 1000  # characters of a server's own words that an error message repeats
MAX_RETRY_AFTER = 60.0


def chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body in pieces. Raises HTTPException where it ends too early."""
    while True:
        try:
            chunk = answer.read(CHUNK_BYTES)
        except (ValueError, OverflowError) as error:  # http.client takes -1 for the size of a chunk
            raise http.client.HTTPException("a chunk has no size: %s" % error) from None
        if not chunk:
            break
        yield chunk
    if answer.length:  # http.client does not tell an early end from the end
        raise http.client.IncompleteRead(b"", answer.length)


def read(answer: http.client.HTTPResponse, limit: int) -> bytes:
    """The body, or its first bytes: somewhat more than `limit` when there is that much."""
    body = bytearray()
    for chunk in chunks(answer):
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body)


def error_body(answer: http.client.HTTPResponse) -> bytes:
    """The body of an error, as far as it came."""
    try:
        return read(answer, MAX_ERROR_BYTES)
    except (OSError, http.client.HTTPException):
        return b""  # the status has come, and it says enough


def object_in(body: bytes) -> Optional[Mapping[str, Any]]:
    """The JSON object that a body is; None for anything else."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def error_of(body: Optional[Mapping[str, Any]]) -> str:
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


def retry_after(value: Optional[str], now: float) -> Optional[float]:
    """Seconds from a Retry-After header, a number or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value.strip()[:9]), MAX_RETRY_AFTER)
    try:
        left = parsedate_to_datetime(value).timestamp() - now
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return max(0.0, min(left, MAX_RETRY_AFTER))
