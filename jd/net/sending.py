"""What goes out with a call: its body in pieces, and the answer that a server may give before the end.

An upload is streamed from its file, so that memory does not grow with it.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import select
import socket

from jd.errors import StorageError, UsageError
from jd.net.answerhead import NotHttp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Iterable, Iterator, Mapping, Union

    from jd.net.connection import Answer, Connection
    from jd.net.outbound import Address

    Piece = Union[bytes, "OpenFile"]

CHUNK_BYTES = 256 * 1024
# A server that refuses an upload half-way has answered by now; its answer is only to be picked up.
EARLY_ANSWER_SECONDS = 5.0
_TOGETHER = 64 * 1024  # bytes of a body that go out with the head of the request


def encoded(body: Mapping[str, Any], route: str) -> bytes:
    """A message as JSON. Raises UsageError for what cannot be written so."""
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError("the message for %s cannot be written as JSON: %s" % (route, error)) from None


def authorization(token: str | None, address: Address) -> str | None:
    """The Authorization header: of the token, else of the user in the URL. Raises UsageError."""
    if token is None:
        return address.basic
    if not token or not all("!" <= character <= "~" for character in token):
        raise UsageError("the token cannot be sent: it must be one word of printable ASCII characters",
                         "look for a stray space or line break in it")
    return "Bearer " + token


def unreadable(name: str, error: OSError) -> StorageError:
    """The error of a file that cannot be read."""
    return StorageError("%s cannot be read: %s" % (name, error.strerror or error))


class OpenFile:
    """A piece of a body that the system may send by itself. `sent` is how many of its bytes it has sent; the
    pieces that follow are the others."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        self.sent = 0


def file_body(prefix: bytes, file: BinaryIO, filename: str, size: int,
              suffix: bytes) -> Iterator[Piece]:
    """The parts of an upload. The end is held back until the file is known to have kept its size,
    so that a server never takes a half-written file for a whole one."""
    yield prefix
    whole = OpenFile(file, size)
    try:
        file.seek(0)  # what was written to it leaves its buffer so: the system sees no buffer
        # The descriptor of another kind, a gzip file say, is not of what it reads.
        if isinstance(getattr(file, "raw", file), io.FileIO):
            yield whole
        file.seek(whole.sent)
        left = size - whole.sent
        while left:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk:
                raise StorageError("%s shrank while it was sent: %d of %d bytes were there"
                                   % (filename, size - left, size),
                                   "write it to its end before it is uploaded")
            left -= len(chunk)
            yield chunk
        if file.read(1):
            raise StorageError("%s grew while it was sent, beyond the %d bytes it had" % (filename, size),
                               "write it to its end before it is uploaded")
    except OSError as error:
        raise unreadable(filename, error) from error
    yield suffix


def deliver(connection: Connection, method: str, target: str, headers: Mapping[str, str],
            body: Iterable[Piece]) -> Answer:
    """Send a request and return the answer, which a server may give before it has read all of the body."""
    pieces = iter(body)
    first = next(pieces, b"")
    together = first if isinstance(first, bytes) and len(first) <= _TOGETHER else b""
    try:
        connection.send_head(method, target, headers, together)
        for piece in pieces if together else itertools.chain((first,), pieces):
            if not _sent(connection, piece):
                connection.whole = False
                break
    except OSError:
        connection.whole = False
        # Not the failure to send is the news but why the server stopped reading, if it says so.
        connection.sock.settimeout(min(connection.sock.gettimeout() or EARLY_ANSWER_SECONDS,
                                       EARLY_ANSWER_SECONDS))
        try:
            return connection.answer(method)
        except (OSError, NotHttp):
            pass
        raise
    return connection.answer(method)


def _sent(connection: Connection, piece: Piece) -> bool:
    """Send one piece of a body; False if the server answered, or hung up, before it was through."""
    if isinstance(piece, OpenFile):
        return _send_file(connection, piece)
    sock = connection.sock
    if not _can_be_polled(connection):
        sock.sendall(piece)
        return True
    rest = memoryview(piece)
    while rest:
        if not _takes_more(sock):
            return False
        rest = rest[sock.send(rest):]
    return True


def _send_file(connection: Connection, whole: OpenFile) -> bool:
    """As `_sent`, for as much as the system sends by itself: to read and send it takes twice the time of the
    processor."""
    if not _can_be_polled(connection) or not hasattr(os, "sendfile"):
        return True
    sock = connection.sock
    while whole.sent < whole.size:
        if not _takes_more(sock):
            return False
        try:
            sent = os.sendfile(sock.fileno(), whole.file.fileno(), whole.sent,
                               min(CHUNK_BYTES, whole.size - whole.sent))
        except OSError:
            break  # of file or socket; whoever reads the one and sends to the other finds out, if they cannot
        if not sent:
            break  # the file has become shorter
        whole.sent += sent
    return True


def _can_be_polled(connection: Connection) -> bool:
    # Over TLS a readable socket may mean a session ticket only.
    return not connection.secure and hasattr(select, "poll")


def _takes_more(sock: socket.socket) -> bool:
    """Wait until the connection takes more; False if the server answered, or hung up.

    A server that refuses an upload need not read on: waiting for it to would end in a timeout, with
    its answer unread. Raises socket.timeout.
    """
    poll = select.poll()  # unlike select.select it takes descriptors above 1023
    poll.register(sock, select.POLLIN | select.POLLOUT)
    timeout = sock.gettimeout()
    events = poll.poll(None if timeout is None else timeout * 1000)
    if not events:
        raise socket.timeout("timed out")
    return not events[0][1] & ~select.POLLOUT
