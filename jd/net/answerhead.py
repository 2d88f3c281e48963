"""The head of an HTTP/1.1 answer: bytes in, a Head or an error out (RFC 9112). No socket.

Where the standard leaves a client the choice between guessing where a body ends and giving up, this gives up:
an answer that two programs read in two ways is how somebody else's answer is slipped in. Folded lines are
joined, as a client has to (5.2).
"""

from __future__ import annotations

import re

from jd.shape import NamedTuple

MAX_BYTES = 64 * 1024
MAX_FIELDS = 100
MAX_LENGTH_DIGITS = 18
NOT_AT_ALL = "it does not speak HTTP"  # what a NotHttp says of something that is no answer of this protocol

_CONTROL = "the head of its answer has control characters, or a line feed alone"
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: (.*))?", re.DOTALL)
_BEGINNING = b"HTTP/1."
_LONE_FEED = re.compile(rb"(?<!\r)\n")
# RFC 9110, 5.6.2 (token) and 5.5 (field values: no control character but the tab).
_TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TEXT = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])


class NotHttp(Exception):
    """What answers does not speak HTTP/1.1, or not so that it can be understood."""


class Head(NamedTuple):
    """Status line and header fields, checked.

    `fields` are values by lower-case name, decoded as ISO 8859-1, those of a repeated one joined. `length` is
    that of the body in bytes: None where it is chunked, or ends with the connection. `keep` is whether the
    server keeps the connection.
    """

    status: int
    reason: str
    fields: dict[str, str]
    length: int | None
    chunked: bool
    keep: bool


def end_of(received: bytearray, looked_at: int) -> int:
    """Where the empty line ends a head that has come this far; -1 until it has come. The first `looked_at`
    bytes were there the last time.

    Raises NotHttp as soon as it can be no head, so that nobody waits for the end of one.
    """
    end = received.find(b"\r\n\r\n", max(0, looked_at - 3))
    if not received.startswith(_BEGINNING[:len(received)]):
        raise NotHttp(NOT_AT_ALL)
    if end > MAX_BYTES or (end < 0 and len(received) > MAX_BYTES):
        raise NotHttp("the head of its answer is longer than %d bytes" % MAX_BYTES)
    if end < 0 and _LONE_FEED.search(received, looked_at):
        raise NotHttp(_CONTROL)
    return end


def parsed(head: bytes, method: str) -> Head:
    """The head of the answer to a request, given without its last, empty line. Raises NotHttp."""
    if head.translate(None, _TEXT) != b"\r\n" * head.count(b"\r\n"):
        raise NotHttp(_CONTROL)
    lines = head.split(b"\r\n")
    first = _STATUS_LINE.fullmatch(lines[0])
    if first is None:
        raise NotHttp(NOT_AT_ALL)
    fields = _fields(lines)
    status, minor = int(first.group(2)), int(first.group(1))
    chunked = _is_chunked(fields, minor)
    length = None if chunked else _length(fields)
    if status < 200 or status in (204, 304) or method == "HEAD" or (method == "CONNECT" and status < 300):
        chunked, length = False, 0
    options = [word.strip().lower() for word in fields.get("connection", "").split(",")]
    keep = "close" not in options and (minor > 0 or "keep-alive" in options) and (
        chunked or length is not None)
    return Head(status, (first.group(3) or b"").decode("latin-1").strip(), fields, length, chunked, keep)


def _fields(lines: list[bytes]) -> dict[str, str]:
    if len(lines) > MAX_FIELDS + 1:
        raise NotHttp("its answer has more than %d header fields" % MAX_FIELDS)
    fields: dict[str, str] = {}
    name = ""
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t") and name:
            fields[name] += " " + line.strip(b" \t").decode("latin-1")
            continue
        called, colon, value = line.partition(b":")
        if not colon or not called or called.translate(None, _TOKEN):
            raise NotHttp("a header line of its answer has no name")
        name = called.decode("ascii").lower()
        text = value.strip(b" \t").decode("latin-1")
        fields[name] = text if name not in fields else "%s, %s" % (fields[name], text)
    return fields


def _is_chunked(fields: dict[str, str], minor: int) -> bool:
    codings = fields.get("transfer-encoding")
    if codings is None:
        return False
    if codings.lower() != "chunked" or minor == 0:
        raise NotHttp("its answer has a Transfer-Encoding that was not asked for")
    if "content-length" in fields:
        raise NotHttp("its answer has both Content-Length and Transfer-Encoding")
    return True


def _length(fields: dict[str, str]) -> int | None:
    told = fields.get("content-length")
    if told is None:
        return None
    if not (told.isascii() and told.isdigit()) or len(told) > MAX_LENGTH_DIGITS:
        raise NotHttp("its answer has a Content-Length that is no number, or several")
    return int(told)
