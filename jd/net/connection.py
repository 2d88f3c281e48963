"""An open connection to a server: a request goes out, its answer comes in, and perhaps another (RFC 9112).

It is made by jd/net/outbound.py. http.client would do, but brings `ssl` and all that reads e-mail: twice what
a short command takes otherwise, and a good part of what each call of a worker costs.
"""

from __future__ import annotations

import os
import re
import select
import time

from jd.net import answerhead
from jd.net.answerhead import Head, NotHttp

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    import ssl
    from typing import Mapping

_HEAD_PIECE = 16 * 1024  # bytes that are asked of the system for a head: most answers are shorter
_MOST_INTERIM = 20  # answers 1xx before the one that counts
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_MAX_LINE = 1024  # of the size of a chunk
_MAX_LINES = 16 * 1024  # of the extensions of all chunks, and of the trailers


class CutShort(ConnectionError):
    """The connection was closed before the answer was complete."""


class Answer:
    """What a server answers. `length` is how much of the body is known to come yet, in bytes; None where that
    is not known. `ended`: all of it has been read."""

    def __init__(self, connection: Connection, head: Head) -> None:
        self._connection = connection
        self._head = head
        self._lines = 0  # bytes of lines between the chunks
        self.length = 0 if head.chunked else head.length
        self.ended = head.length == 0

    @property
    def status(self) -> int:
        """The status, 200 for success."""
        return self._head.status

    @property
    def reason(self) -> str:
        """What the status line says of it."""
        return self._head.reason

    @property
    def keep(self) -> bool:
        """Whether the connection can be used for another request when this has `ended`."""
        return self._head.keep

    def field(self, name: str) -> str | None:
        """The value of a header field."""
        return self._head.fields.get(name.lower())

    def read(self, size: int) -> bytes:
        """The next bytes of the body, at most `size`; none at its end.

        Raises CutShort where it ends too early, NotHttp for chunks that are none, OSError.
        """
        if self._head.chunked and not self.length and not self.ended:
            self._begin_chunk()
        if self.ended:
            return b""
        data = self._connection.received(size if self.length is None else min(size, self.length))
        if self.length is None:
            self.ended = not data
            return data
        if not data:
            raise CutShort("the body has %d bytes less than it should" % self.length)
        self.length -= len(data)
        if not self.length:
            if not self._head.chunked:
                self.ended = True
            else:
                self._connection.line(0)
        return data

    def _begin_chunk(self) -> None:
        line = self._connection.line(_MAX_LINE)
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise NotHttp("a chunk of its answer has no size")
        self._count(len(line) - len(size.group(1)))
        self.length = int(size.group(1), 16)
        if self.length:
            return
        while line:  # trailers, which nothing here needs
            line = self._connection.line(_MAX_LINES)
            self._count(len(line) + 2)
        self.ended = True

    def _count(self, size: int) -> None:
        self._lines += size
        if self._lines > _MAX_LINES:
            raise NotHttp("between the chunks of its answer is more than there may be")


class Connection:
    """A connected socket. `secure`: TLS is spoken on it. `proven` is the token that its server has shown to
    know."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.secure = False
        self.proven: str | None = None
        self.heard = False  # whether a byte of the answer to the last request has come
        self.whole = True  # whether the last request went out to its end
        self._buffer = bytearray()
        self._process = os.getpid()
        self._rested = 0.0

    def close(self) -> None:
        """Close it."""
        self.sock.close()

    def secured(self, context: ssl.SSLContext, host: str) -> None:
        """Speak TLS with `host` from now on. Raises OSError, and NotHttp where it has spoken before."""
        if self._buffer:
            raise NotHttp("it goes on where it should wait")
        self.sock = context.wrap_socket(self.sock, server_hostname=host)
        self.secure = True

    # ---- sending

    def send_head(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send the head of a request, and the beginning of its body. Raises OSError, and ValueError for what
        cannot stand in a head."""
        lines = ["%s %s HTTP/1.1" % (method, target)]
        lines += ["%s: %s" % field for field in headers.items()]
        text = "\r\n".join(lines)
        if any(not line.isprintable() for line in lines) or " " in target:
            raise ValueError("a header that would end its line cannot be sent")
        self.heard, self.whole = False, True
        self.sock.sendall(text.encode("latin-1") + b"\r\n\r\n" + body)

    def answer(self, method: str) -> Answer:
        """The answer to the request with this method, when its head has come.

        Raises NotHttp, CutShort, OSError.
        """
        for _ in range(_MOST_INTERIM):
            head = answerhead.parsed(self._head(), method)
            if head.status >= 200:
                return Answer(self, head)
            if head.status == 101:
                break
        raise NotHttp("it goes on with answers that are none")

    # ---- keeping

    def rest(self) -> None:
        """Nothing is to come until the next request."""
        self._rested = time.monotonic()

    def is_usable(self, seconds: float) -> bool:
        """Whether it can be used for another request: it has rested for at most so long, its server has not
        closed it nor said more than it was asked, and it is none of the process that this one was forked
        from."""
        if self._process != os.getpid() or self._buffer or time.monotonic() - self._rested > seconds:
            return False
        return not is_readable(self.sock)

    # ---- receiving

    def received(self, size: int) -> bytes:
        """The next bytes, at most `size`; none where the server has closed. Raises OSError."""
        if not self._buffer:
            return self.sock.recv(size)
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        return data

    def line(self, limit: int) -> bytes:
        """The next line without its end, of at most `limit` bytes. Raises NotHttp, CutShort, OSError."""
        looked_at = 0
        while True:
            end = self._buffer.find(b"\n", looked_at)
            if end - 1 > limit or (end < 0 and len(self._buffer) - 1 > limit):
                raise NotHttp("between the chunks of its answer is more than there may be")
            if end >= 0:
                break
            looked_at = len(self._buffer)
            self._receive()
        line = bytes(self._buffer[:end])
        del self._buffer[:end + 1]
        if line[-1:] != b"\r":
            raise NotHttp("a line between the chunks of its answer ends in a line feed alone")
        return line[:-1]

    def _head(self) -> bytes:
        looked_at, end = 0, -1
        while end < 0:
            if not self._buffer or looked_at:
                self._receive()
            end = answerhead.end_of(self._buffer, looked_at)
            looked_at = len(self._buffer)
        head = bytes(self._buffer[:end])
        del self._buffer[:end + 4]
        return head

    def _receive(self) -> None:
        data = self.sock.recv(_HEAD_PIECE)
        if not data:
            raise CutShort("the connection was closed")
        self.heard = True
        self._buffer += data


def is_readable(sock: socket.socket) -> bool:
    """Whether something has come, or the other end has closed."""
    pending = getattr(sock, "pending", None)  # of TLS: a record is read whole
    if pending is not None and pending():
        return True
    if hasattr(select, "poll"):
        poll = select.poll()  # unlike select.select it takes descriptors above 1023
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
