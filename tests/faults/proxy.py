"""A proxy between workers and their server that does to requests what networks do to them.

It reads each request whole and passes it on over a connection of its own. `weather` says which share of them
meets which trouble; without it all of them get through.
"""

import asyncio
import random
import socket
import struct
import threading
from typing import Awaitable, Callable, Dict, NamedTuple, Optional, Set, Tuple

from jd.net.serving.server import stop_listening

LONGEST_HEAD = 256 * 1024


class Weather(NamedTuple):
    """`share` of the requests, from 0 to 1, meet trouble of one of `kinds`, by chance."""

    kinds: Tuple[str, ...]
    share: float


class Gone(Exception):
    """The other side has closed its connection, or does not listen."""


class Proxy:
    """Listens on a free port of loopback; for `with`. `target` is the port of the server, None while nobody
    knows it. Attributes are set by any thread."""

    def __init__(self, seed: int) -> None:
        self.target: Optional[int] = None
        self.weather: Optional[Weather] = None
        self.met: Dict[str, int] = {}  # how many requests met which trouble
        self._chance = random.Random(seed)
        self._open: "Set[asyncio.Task[None]]" = set()
        self._loop = asyncio.new_event_loop()
        self._server: Optional[asyncio.AbstractServer] = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return "http://127.0.0.1:%d" % self._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    def calm(self) -> None:
        """No more trouble: what hangs is cut, so that nobody waits for the timeouts of real networks."""
        self.weather = None
        self._call(self._cut())

    def move(self) -> None:
        """Listen on another port, and no longer on this one."""
        self._call(self._close())
        self._call(self._listen())

    def _call(self, coroutine: "Awaitable[None]") -> None:
        async def run() -> None:
            await coroutine
        asyncio.run_coroutine_threadsafe(run(), self._loop).result(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=LONGEST_HEAD)

    async def _cut(self) -> None:
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(set(self._open))

    async def _close(self) -> None:
        assert self._server is not None
        await stop_listening([self._server])
        await self._cut()

    async def _end(self) -> None:
        """Close, with connections that were accepted a moment ago: their tasks have not begun, or close them
        in the next turn."""
        await self._close()
        while asyncio.all_tasks() - {asyncio.current_task()}:
            await self._cut()
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    # ---- one connection

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_Client(self, reader, writer).serve())
        self._open.add(task)
        try:
            await task
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    def trouble(self) -> str:
        """What the next request meets; "" for none."""
        weather = self.weather
        if weather is None or self._chance.random() >= weather.share:
            return ""
        kind = self._chance.choice(weather.kinds)
        self.met[kind] = self.met.get(kind, 0) + 1
        return kind

    def seconds(self, longest: float) -> float:
        """A pause by chance."""
        return self._chance.uniform(0.0, longest)

    def part(self, content: bytes) -> bytes:
        """The beginning of something, never all of it."""
        return content[:self._chance.randrange(max(1, len(content)))]


class _Client:
    """One connection of a client, request by request."""

    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer

    async def serve(self) -> None:
        try:
            while True:
                request = await _message(self._reader)
                await TROUBLES[self._proxy.trouble()](self, request)
        except (Gone, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass

    async def ask(self, request: bytes) -> bytes:
        """The server's answer. Raises Gone where it gives none, or the client no longer waits for it."""
        if self._proxy.target is None:
            raise Gone
        reader, writer = await asyncio.open_connection("127.0.0.1", self._proxy.target, limit=LONGEST_HEAD)
        try:
            writer.write(request)
            return await self._unless_left(_message(reader))
        finally:
            writer.transport.abort()

    async def wait_for_ever(self) -> None:
        """Until the client has given up."""
        await self._unless_left(asyncio.sleep(3600, b""))

    async def _unless_left(self, waiting: "Awaitable[bytes]") -> bytes:
        """What is waited for. Raises Gone where the client closes its connection meanwhile."""
        wanted = asyncio.ensure_future(waiting)
        left = asyncio.ensure_future(self._reader.read(1))  # it says nothing before it has its answer
        try:
            await asyncio.wait({wanted, left}, return_when=asyncio.FIRST_COMPLETED)
            if not wanted.done():
                raise Gone
            return wanted.result()
        finally:
            for task in (wanted, left):
                task.cancel()
            await asyncio.wait({wanted, left})

    async def tell(self, answer: bytes) -> None:
        self._writer.write(answer)
        await self._writer.drain()

    def reset(self) -> None:
        """Close with RST, as a firewall or a crash does."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    # ---- what may happen to a request

    async def nothing(self, request: bytes) -> None:
        await self.tell(await self.ask(request))

    async def delayed(self, request: bytes) -> None:
        await asyncio.sleep(self._proxy.seconds(1.0))
        answer = await self.ask(request)
        await asyncio.sleep(self._proxy.seconds(1.0))
        await self.tell(answer)

    async def dropped(self, request: bytes) -> None:
        raise Gone

    async def answer_dropped(self, request: bytes) -> None:
        await self.ask(request)
        raise Gone

    async def was_reset(self, request: bytes) -> None:
        await self.ask(request)
        self.reset()

    async def truncated(self, request: bytes) -> None:
        """The server gets a part of it."""
        if self._proxy.target is not None:
            _, writer = await asyncio.open_connection("127.0.0.1", self._proxy.target)
            writer.write(self._proxy.part(request))
            await writer.drain()
            writer.close()
        raise Gone

    async def answer_truncated(self, request: bytes) -> None:
        await self.tell(self._proxy.part(await self.ask(request)))
        raise Gone

    async def twice(self, request: bytes) -> None:
        """Two arrive at once, and the client gets the later answer."""
        await self.ask(request)
        await self.tell(await self.ask(request))

    async def reordered(self, request: bytes) -> None:
        """A second one arrives when others have come in between."""
        await self.tell(await self.ask(request))
        asyncio.ensure_future(_later(self._proxy, request, 0.2 + self._proxy.seconds(2.0)))

    async def half_open(self, request: bytes) -> None:
        """Nobody is there any more, and nobody says so."""
        await self.wait_for_ever()

    async def answer_half_open(self, request: bytes) -> None:
        await self.ask(request)
        await self.wait_for_ever()

    async def bad_gateway(self, request: bytes) -> None:
        await self.tell(_refusal("502 Bad Gateway"))

    async def answer_lost_by_gateway(self, request: bytes) -> None:
        """The server has done it, and the client hears that it failed."""
        await self.ask(request)
        await self.tell(_refusal("504 Gateway Timeout"))

    async def internal_error(self, request: bytes) -> None:
        await self.ask(request)
        await self.tell(_refusal("500 Internal Server Error"))


TROUBLES: Dict[str, Callable[[_Client, bytes], "Awaitable[None]"]] = {
    "": _Client.nothing,
    "delayed": _Client.delayed,
    "dropped": _Client.dropped,
    "answer dropped": _Client.answer_dropped,
    "reset": _Client.was_reset,
    "truncated": _Client.truncated,
    "answer truncated": _Client.answer_truncated,
    "twice": _Client.twice,
    "reordered": _Client.reordered,
    "half-open": _Client.half_open,
    "answer half-open": _Client.answer_half_open,
    "502 before": _Client.bad_gateway,
    "504 after": _Client.answer_lost_by_gateway,
    "500 after": _Client.internal_error,
}
KINDS = tuple(kind for kind in TROUBLES if kind)


async def _later(proxy: Proxy, request: bytes, pause: float) -> None:
    await asyncio.sleep(pause)
    if proxy.target is None:
        return
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.target)
        writer.write(request)
        try:
            await asyncio.wait_for(_message(reader), 2.0)  # a heartbeat is not held for a client of the past
        finally:
            writer.transport.abort()
    except (Gone, OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
        pass


async def _message(reader: asyncio.StreamReader) -> bytes:
    """A request or an answer. Raises Gone where there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        raise Gone from None
    fields = {name.strip().lower(): value.strip()
              for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
    if b"content-length" in fields:
        return head + await reader.readexactly(int(fields[b"content-length"]))
    if fields.get(b"transfer-encoding") == b"chunked":
        return head + await _chunks(reader)
    if head.startswith(b"HTTP/") and fields.get(b"connection") == b"close":
        return head + await reader.read()
    return head


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    read = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line, 16)
        read += line + await reader.readexactly(size + 2)
        if size == 0:
            return read


def _refusal(status: str) -> bytes:
    head = "HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n" % status
    return head.encode("ascii") + b"\r\n"
