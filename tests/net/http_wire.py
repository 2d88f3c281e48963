"""Raw bytes to a real server on loopback, and back."""

import asyncio
import json
import ssl
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, List, NamedTuple, Optional, Tuple, TypeVar

from jd.net.serving.connection import Connection, Phase
from jd.net.serving.parser import NEED_DATA, BodyChunk, Event, ParserLimits, RequestParser
from jd.net.serving.routing import Router
from jd.net.serving.rush import Rush
from jd.net.serving.server import HttpServer, Limits
from tests.support import PATIENCE

T = TypeVar("T")


def run(test: Awaitable[T], timeout: float = PATIENCE) -> T:
    """Run a coroutine in a loop of its own; a hang is a failure."""
    async def bounded() -> T:
        return await asyncio.wait_for(test, timeout)
    return asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until `condition` holds; `run` bounds the wait."""
    while not condition():
        await asyncio.sleep(0)


class Answer(NamedTuple):
    status: int
    headers: Dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body.decode("utf-8"))


class Client:
    """A connection that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Tuple[int, Dict[str, str]]:
        block = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in block[1:] if line)
        return int(block[0].split()[1]), headers

    async def answer(self, method: str = "GET") -> Answer:
        status, headers = await self.head()
        size = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        return Answer(status, headers, await self.reader.readexactly(size))

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        await self.send(request(method, target, body, **headers))
        return await self.answer(method)

    async def at_end(self) -> bool:
        """Wait for the server to close; whether it said nothing more."""
        return await self.reader.read() == b""

    def close(self) -> None:
        self.writer.close()


def request(method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
    """A request; `content_type="…"` is the header Content-Type. A body of JSON says so."""
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: jd.test"]
    if body:
        headers.setdefault("content_length", str(len(body)))
        if body[:1] in b'{["':
            headers.setdefault("content_type", "application/json")
    lines += ["%s: %s" % (name.replace("_", "-"), value) for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class Site:
    """A server under test and the clients it has."""

    def __init__(self, server: HttpServer, port: int) -> None:
        self.server = server
        self.port = port
        self.clients: List[Client] = []

    async def client(self, **options: Any) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.clients.append(client)
        return client

    async def connected(self, count: int) -> None:
        """Wait until the server has so many connections."""
        await until(lambda: self.server.connections == count)

    async def reach(self, phase: Phase) -> Connection:
        """Wait until the only connection is in a phase."""
        await until(lambda: [each.phase for each in self.server._connections] == [phase])
        return next(iter(self.server._connections))

    def later(self, seconds: float) -> None:
        """The server's look at the clock, so many seconds from now."""
        self.server.sweep(asyncio.get_running_loop().time() + seconds)


@asynccontextmanager
async def serving(router: Router, limits: Limits = Limits(),
                  ssl_context: Optional[ssl.SSLContext] = None,
                  rush: Optional[Rush] = None) -> AsyncIterator[Site]:
    server = HttpServer(router, limits, ssl_context, rush)
    site = Site(server, await server.start("127.0.0.1", 0))
    try:
        yield site
    finally:
        for each in site.clients:
            each.close()
        await server.stop(0)


# ---- the parser without a server

def events(data: bytes, size: int,
           limits: ParserLimits = ParserLimits()) -> Tuple[List[Event], RequestParser]:
    """What the parser makes of `data` fed in pieces of `size`; neighbouring chunks are joined."""
    parser = RequestParser(limits)
    found: List[Event] = []
    for at in range(0, len(data), size):
        parser.receive(data[at:at + size])
        while True:
            event = parser.next_event()
            if event is NEED_DATA:
                break
            before = found[-1] if found else None
            if isinstance(event, BodyChunk) and isinstance(before, BodyChunk):
                found[-1] = BodyChunk(before.data + event.data)
            else:
                found.append(event)
    return found, parser
