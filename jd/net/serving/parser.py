"""HTTP/1.1 requests: bytes in, events or an error out. No socket, no asyncio.

RFC 9110 (semantics) and RFC 9112 (messages). Where they leave a server the choice between guessing
and refusing, this refuses: a request that two programs read in two ways is how one is smuggled past
a proxy.

States, what is read in each, and what leaves it:

    REQUEST_LINE  one line (an empty one before it is skipped)   -> FIELDS
    FIELDS        lines up to an empty one, then RequestHead     -> FIXED or CHUNK_SIZE
    FIXED         Content-Length bytes as BodyChunk              -> END
    CHUNK_SIZE    one line                                       -> CHUNK, or TRAILERS after size 0
    CHUNK         that many bytes as BodyChunk                   -> CHUNK_END
    CHUNK_END     CRLF                                           -> CHUNK_SIZE
    TRAILERS      lines up to an empty one, checked and dropped  -> END
    END           EndOfRequest                                   -> REQUEST_LINE, or CLOSED
    CLOSED        nothing: the connection is not to be kept
"""

import enum
import re
from dataclasses import dataclass
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Union

from jd.net.serving.heads import END, LONGEST, MAX_LENGTH_DIGITS, Headers, KnownHeads, RequestHead
from jd.protocol import shown

# RFC 9110, 5.6.2 (token) and 5.5 (field values: no control character but the tab).
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# RFC 9112, 2.3 and 3.2: origin-form, absolute-form, or the asterisk. No fragment, no raw octet: all
# that they let through is printable ASCII.
_VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")
_ORIGIN_FORM = re.compile(rb"/[!\"$-~]*")
_ABSOLUTE_FORM = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([!\"$-.0->A-~]+)([/?][!\"$-~]*)?")
# RFC 3986, 3.2.2 and 3.2.3, without percent-encoding: host name, IPv4 or [IPv6], and a port.
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
# RFC 9112, 7.1. Sixteen digits are 2**64: more is nobody's chunk.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?")
# What decides who is let in and what a body means: two of them are two answers.
_ONCE = frozenset(("host", "origin", "authorization", "content-type"))
_DIGITS = re.compile(r"[0-9]+")


class ParseError(Exception):
    """The bytes are no request that will be served. `status` is the answer; then close."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ParserLimits(NamedTuple):
    """What a peer may make us hold before it has told us who it is. Sizes in bytes."""

    request_line: int = 8 * 1024  # the minimum that RFC 9112, 3 recommends
    header_bytes: int = 32 * 1024  # a JWT and cookies are about 2 KiB
    header_count: int = 100
    chunk_line: int = 1024
    extension_bytes: int = 16 * 1024  # all chunk extensions of a request: they can dwarf the body
    trailer_bytes: int = 8 * 1024


class BodyChunk(NamedTuple):
    """The next bytes of the body, never empty."""

    data: bytes


@dataclass(frozen=True)
class EndOfRequest:
    """The request has been received completely."""


class NeedData(enum.Enum):
    """The type of NEED_DATA: nothing happens before more bytes come."""

    NEED_DATA = "NEED_DATA"


NEED_DATA = NeedData.NEED_DATA
Event = Union[RequestHead, BodyChunk, EndOfRequest, NeedData]


class _State(enum.IntEnum):  # a number: it is looked up with each step, and finding a name costs more
    REQUEST_LINE = 1
    FIELDS = 2
    FIXED = 3
    CHUNK_SIZE = 4
    CHUNK = 5
    CHUNK_END = 6
    TRAILERS = 7
    END = 8
    CLOSED = 9


class RequestParser:
    """Turns what a client sends on one connection into events.

    Call `receive` with what came, then `next_event` until it returns NEED_DATA. What follows a
    request (pipelining) waits in the buffer until `next_event` is called again. `known` is what it shares
    with other parsers of the same limits.
    """

    __slots__ = ("_limits", "_buffer", "_scanned", "_state", "_eof", "_error", "_blank_skipped",
                 "_request_line", "_fields", "_field_bytes", "_field_count", "_remaining",
                 "_extension_bytes", "_keep_alive", "_known", "_whole_head", "_piece")

    def __init__(self, limits: ParserLimits = ParserLimits(), known: Optional[KnownHeads] = None) -> None:
        self._limits = limits
        self._known = KnownHeads() if known is None else known
        self._whole_head = b""  # of the head that is being parsed, if all of it was there at the first look
        self._buffer = bytearray()
        self._piece = b""  # of a body, which came when nothing else waited: it goes on as it is
        self._scanned = 0  # no line feed in the buffer before this
        self._state = _State.REQUEST_LINE
        self._eof = False
        self._error: Optional[ParseError] = None
        self._keep_alive = True
        self._remaining = 0
        self._extension_bytes = 0
        self._start_over()

    def _start_over(self) -> None:
        self._blank_skipped = False
        self._whole_head = b""
        self._request_line: Tuple[str, str, Tuple[int, int]] = ("", "", (1, 1))
        self._start_fields()

    def _start_fields(self) -> None:
        self._fields: List[Tuple[str, str]] = []
        self._field_bytes = 0
        self._field_count = 0

    @property
    def buffered(self) -> int:
        """Bytes received that no event has carried away yet."""
        return len(self._piece) + len(self._buffer)

    @property
    def idle(self) -> bool:
        """Whether no byte of a next request has come."""
        return self._state is _State.REQUEST_LINE and not self._buffer

    def receive(self, data: Union[bytes, memoryview]) -> None:
        """Take what came from the peer; b"" is its end of file."""
        if not data:
            self._eof = True
        elif self._error is None and self._state is not _State.CLOSED:
            if self._state in _BODY and not self.buffered:
                self._piece, data = bytes(data[:self._remaining]), data[self._remaining:]
            self._buffer += data

    def next_event(self) -> Event:
        """The next event. Raises ParseError, and then the same again."""
        if self._error is not None:
            raise self._error
        try:
            while True:
                event = _STEPS[self._state](self)
                if event is NEED_DATA and self._eof and not self.idle \
                        and self._state is not _State.CLOSED:
                    raise ParseError(400, "the connection ended in the middle of a request")
                if event is not None:
                    return event
        except ParseError as error:
            self._error = error
            self._piece = b""
            self._buffer.clear()
            raise

    # ---- steps: each returns an event, or None where the state changed and more may follow

    def _read_request_line(self) -> Optional[Event]:
        head = self._known_head()
        if head is not None:
            return head
        if self._buffer and not _TOKEN.match(self._buffer, 0, 1) and self._buffer[0] not in b"\r\n":
            raise ParseError(400, "this is no HTTP request: it starts with byte 0x%02x%s" % (
                self._buffer[0],
                " (a TLS handshake? this port speaks plain http://)" * (self._buffer[0] == 0x16)))
        line = self._line(self._limits.request_line, 414, "the request line")
        if line is None:
            return NEED_DATA
        if not line and not self._blank_skipped:
            self._blank_skipped = True  # RFC 9112, 2.2: some clients end a body with a CRLF of theirs
            return None
        self._request_line = _parse_request_line(line)
        self._state = _State.FIELDS
        return None

    def _read_fields(self) -> Optional[Event]:
        line = self._field_line(self._limits.header_bytes)
        if line is None:
            return NEED_DATA
        if line:
            self._fields.append(_parse_field(line))
            return None
        method, target, version = self._request_line
        head = _make_head(method, target, version, self._fields)
        if self._whole_head:
            self._known.keep(self._whole_head, head)
        self._start_over()
        return self._begin_body(head)

    def _known_head(self) -> Optional[RequestHead]:
        """A head with these bytes that was parsed before; looked for once, and not behind an empty line."""
        if self._scanned or self._blank_skipped:
            return None
        end = self._buffer.find(END, 0, LONGEST) + len(END)
        # With more digits at its end it may not come near the limit either.
        if end <= len(END) or end + MAX_LENGTH_DIGITS > self._limits.header_bytes:
            return None
        head = bytes(self._buffer[:end])
        known = self._known.find(head)
        if known is None:
            self._whole_head = head
            return None
        del self._buffer[:end]
        return self._begin_body(known)

    def _begin_body(self, head: RequestHead) -> RequestHead:
        self._keep_alive = head.keep_alive
        self._extension_bytes = 0
        if head.content_length is None:
            self._state = _State.CHUNK_SIZE
        else:
            self._remaining = head.content_length
            self._state = _State.FIXED if head.content_length else _State.END
        return head

    def _read_fixed(self) -> Optional[Event]:
        chunk = self._body_chunk()
        if not self._remaining:
            self._state = _State.END
        return chunk

    def _read_chunk_size(self) -> Optional[Event]:
        line = self._line(self._limits.chunk_line, 400, "a chunk size")
        if line is None:
            return NEED_DATA
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise ParseError(400, "a chunk of the body has no valid size: %s"
                             % shown(line[:20].decode("latin-1")))
        self._extension_bytes += len(match.group(2) or b"")
        if self._extension_bytes > self._limits.extension_bytes:
            raise ParseError(400, "the chunk extensions are longer than the allowed %d bytes"
                             % self._limits.extension_bytes)
        self._remaining = int(match.group(1), 16)
        self._state = _State.CHUNK if self._remaining else _State.TRAILERS
        return None

    def _read_chunk(self) -> Optional[Event]:
        chunk = self._body_chunk()
        if not self._remaining:
            self._state = _State.CHUNK_END
        return chunk

    def _read_chunk_end(self) -> Optional[Event]:
        if self._buffer[:2] != b"\r\n"[:len(self._buffer)]:
            raise ParseError(400, "a chunk of the body is longer than its size says")
        if len(self._buffer) < 2:
            return NEED_DATA
        del self._buffer[:2]
        self._state = _State.CHUNK_SIZE
        return None

    def _read_trailers(self) -> Optional[Event]:
        # RFC 9110, 6.5.1: nothing here needs trailers, and merging them into the header is unsafe.
        line = self._field_line(self._limits.trailer_bytes)
        if line is None:
            return NEED_DATA
        if line:
            _parse_field(line)
            return None
        self._start_fields()
        self._state = _State.END
        return None

    def _end(self) -> Optional[Event]:
        self._state = _State.REQUEST_LINE if self._keep_alive else _State.CLOSED
        if not self._keep_alive:
            self._buffer.clear()
        return EndOfRequest()

    def _closed(self) -> Optional[Event]:
        return NEED_DATA

    # ---- the buffer

    def _line(self, limit: int, status: int, what: str) -> Optional[bytes]:
        """The next line without its CRLF, or None until it is complete."""
        end = self._buffer.find(b"\n", self._scanned)
        # One more byte may be the CR of a line that is exactly as long as allowed.
        if (len(self._buffer) - 1 if end < 0 else end - 1) > limit:
            raise ParseError(status, "%s is longer than the allowed %d bytes" % (what, limit))
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        if end == 0 or self._buffer[end - 1] != 0x0D:
            raise ParseError(400, "%s ends in a line feed alone; CR LF is needed" % what)
        line = bytes(self._buffer[:end - 1])
        del self._buffer[:end + 1]
        self._scanned = 0
        return line

    def _field_line(self, limit: int) -> Optional[bytes]:
        try:
            line = self._line(limit - self._field_bytes, 431, "a header line")
        except ParseError as error:
            if error.status != 431:
                raise
            raise ParseError(431, "the header section is longer than the allowed %d bytes"
                             % limit) from None
        if line:
            self._field_bytes += len(line) + 2
            self._field_count += 1
            if self._field_count > self._limits.header_count:
                raise ParseError(431, "there are more than the allowed %d header fields"
                                 % self._limits.header_count)
        return line

    def _body_chunk(self) -> Event:
        if self._piece:
            piece, self._piece = self._piece, b""
            self._remaining -= len(piece)
            return BodyChunk(piece)
        size = min(self._remaining, len(self._buffer))
        if not size:
            return NEED_DATA
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        self._remaining -= size
        return BodyChunk(data)


_BODY = (_State.FIXED, _State.CHUNK)
_STEPS: Dict[_State, Callable[[RequestParser], Optional[Event]]] = {
    _State.REQUEST_LINE: RequestParser._read_request_line,
    _State.FIELDS: RequestParser._read_fields,
    _State.FIXED: RequestParser._read_fixed,
    _State.CHUNK_SIZE: RequestParser._read_chunk_size,
    _State.CHUNK: RequestParser._read_chunk,
    _State.CHUNK_END: RequestParser._read_chunk_end,
    _State.TRAILERS: RequestParser._read_trailers,
    _State.END: RequestParser._end,
    _State.CLOSED: RequestParser._closed,
}


# ---- grammar. Values of fields are never put into a message: they may be secrets.

def _parse_request_line(line: bytes) -> Tuple[str, str, Tuple[int, int]]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise ParseError(400, "the request line must be METHOD TARGET VERSION with single spaces")
    method, target, version_text = parts
    version = _VERSION.fullmatch(version_text)
    if version is None:
        raise ParseError(400, "the request line does not end in an HTTP version such as HTTP/1.1")
    numbers = (int(version.group(1)), int(version.group(2)))
    if numbers not in ((1, 0), (1, 1)):
        raise ParseError(505, "HTTP version %d.%d is not spoken here; use HTTP/1.1" % numbers)
    if not _TOKEN.fullmatch(method):
        raise ParseError(400, "the method of the request is not a token (RFC 9110, 5.6.2)")
    asterisk = target == b"*" and method == b"OPTIONS"
    if not (asterisk or _ORIGIN_FORM.fullmatch(target) or _ABSOLUTE_FORM.fullmatch(target)):
        raise ParseError(400, "the target of the request is neither a /path nor an http:// URL "
                              "made of printable ASCII")
    return method.decode("ascii"), target.decode("ascii"), numbers


def _parse_field(line: bytes) -> Tuple[str, str]:
    if line[:1] in (b" ", b"\t"):
        raise ParseError(400, "a header line starts with a space: folded lines are not allowed "
                              "(RFC 9112, 5.2)")
    name, colon, value = line.partition(b":")
    if not colon:
        raise ParseError(400, "a header line has no colon")
    if not _TOKEN.fullmatch(name):
        raise ParseError(400, "%s is no header name; letters, digits and -_ are, "
                              "with no space before the colon" % shown(name.decode("latin-1")))
    if _CONTROL.search(value):
        raise ParseError(400, "header %s contains a control character" % name.decode("ascii"))
    return name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")


def _make_head(method: str, target: str, version: Tuple[int, int],
               fields: List[Tuple[str, str]]) -> RequestHead:
    headers: Headers = {}
    for name, value in fields:
        if name not in headers:
            headers[name] = value
        elif name in _ONCE:
            raise ParseError(400, "there is more than one header %s" % name.title())
        else:
            headers[name] += ("; " if name == "cookie" else ", ") + value
    target = _settle_host(target, version, headers)
    length = _body_length(version, headers)
    options = {word.strip().lower() for word in headers.get("connection", "").split(",")}
    keep_alive = "close" not in options and (version == (1, 1) or "keep-alive" in options)
    expect = headers.get("expect", "").lower() if version == (1, 1) else ""
    if expect not in ("", "100-continue"):
        raise ParseError(417, "the only expectation that can be met is 100-continue")
    return RequestHead(method, target, version, headers, length, keep_alive,
                       expect_continue=bool(expect) and length != 0)


def _settle_host(target: str, version: Tuple[int, int], headers: Headers) -> str:
    """The target as a path; the host of an absolute one overrides the header (RFC 9112, 3.2.2)."""
    if "host" in headers:
        if not _HOST.fullmatch(headers["host"]):
            raise ParseError(400, "the Host header must be a host name or address with or "
                                  "without a port")
    elif version == (1, 1):
        raise ParseError(400, "the Host header is missing (RFC 9112, 3.2)")
    absolute = _ABSOLUTE_FORM.fullmatch(target.encode("ascii"))
    if absolute is None:
        return target
    host = absolute.group(1).decode("ascii")
    if not _HOST.fullmatch(host):
        raise ParseError(400, "the URL in the request line has no valid host")
    headers["host"] = host
    path = (absolute.group(2) or b"/").decode("ascii")
    return path if path.startswith("/") else "/" + path


def _body_length(version: Tuple[int, int], headers: Headers) -> Optional[int]:
    """How long the body is, None if chunked (RFC 9112, 6.3)."""
    codings = headers.get("transfer-encoding")
    lengths = headers.get("content-length")
    if codings is not None:
        if lengths is not None:
            raise ParseError(400, "Content-Length and Transfer-Encoding exclude each other")
        if version == (1, 0):
            raise ParseError(400, "Transfer-Encoding does not exist in HTTP/1.0")
        words = [word.strip().lower() for word in codings.split(",")]
        if words == ["chunked"]:
            return None
        if "chunked" in words[:-1] or "" in words:
            raise ParseError(400, "Transfer-Encoding must end in a single chunked")
        raise ParseError(501, "the only transfer coding known here is chunked")
    if lengths is None:
        return 0
    values = {value.strip() for value in lengths.split(",")}
    if len(values) != 1:
        raise ParseError(400, "there are several different Content-Length values")
    value = values.pop()
    if not _DIGITS.fullmatch(value):
        raise ParseError(400, "Content-Length must be digits only")
    if len(value) > MAX_LENGTH_DIGITS:
        raise ParseError(413, "Content-Length is too large to be served by anyone")
    return int(value)
