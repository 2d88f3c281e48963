"""What one connection may use: sizes in bytes, times in seconds."""

import resource
from dataclasses import dataclass
from typing import NamedTuple

from jd.net.serving.parser import ParserLimits


@dataclass(frozen=True)
class Limits:
    """Limits of one HttpServer; what a route accepts as a body is declared at the route."""

    parser: ParserLimits = ParserLimits()
    # Every worker holds one connection open while it is idle; 10,000 of them are normal.
    max_connections: int = 20_000
    backlog: int = 2048  # a cluster starts its workers in the same second

    body_buffer: int = 256 * 1024  # of a body, before the client is made to wait
    pipeline_buffer: int = 64 * 1024  # of requests behind the one that is being answered
    write_buffer: int = 256 * 1024  # of an answer, before the handler is made to wait
    file_chunk: int = 256 * 1024

    head_timeout: float = 20.0  # from the first byte of a request to the end of its header section
    idle_timeout: float = 75.0  # between requests; longer than the 60 s of common proxies
    body_timeout: float = 30.0  # without a byte of a body that is due
    body_rate: float = 500.0  # bytes per second on average, judged after body_timeout
    write_timeout: float = 60.0  # without the client taking a byte of its answer

    # Bytes and time that are read and dropped after a refusal, so that a client that is still
    # sending sees the answer: closing a socket with unread input resets it (RFC 9112, 9.6).
    linger_bytes: int = 256 * 1024 * 1024
    linger_timeout: float = 30.0
    short_linger: float = 1.0  # when there are too many connections, or the server stops

    sweep_interval: float = 1.0


class Room(NamedTuple):
    """How far a process may use up its file descriptors. The system gives out the lowest number that
    is free: that of a new connection tells how many are taken, by whatever."""

    refuse: float  # from this number on a connection is answered that there is no room
    drop: float  # from this one on it is closed without a word: saying it takes a while
    at_once: int  # connections that a listener accepts before it looks at the first of them


# Descriptors that connections leave to databases, uploads and whatever else the process opens.
_LEAST_KEPT = 10
_MOST_KEPT = 512


def room() -> Room:
    """What `ulimit -n` leaves for connections."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return Room(float("inf"), float("inf"), _MOST_KEPT // 16)
    kept = max(_LEAST_KEPT, min(_MOST_KEPT, files // 8))
    # It takes asyncio some four turns to close what it accepted, and there are up to three listeners.
    return Room(files - kept, files - kept // 2, max(1, kept // 16))
