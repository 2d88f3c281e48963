"""Answers that are streams: chunked transfer coding, who ends them, and what they cost the others."""

import asyncio
import ssl
from typing import AsyncIterator, List, Tuple

import pytest

from jd.net.serving.limits import Limits
from jd.net.serving.routing import Request, Response, Router
from jd.net.serving.tls import server_context
from tests.net.http_wire import Client, request, run, serving, until
from tests.support import ROOT

BOTH = ROOT / "tests" / "net_client" / "localhost.pem"  # a certificate and its key
OLD = b"GET / HTTP/1.0\r\nHost: jd.test\r\n\r\n"


class Source:
    """What a test streams: pieces, then a wait for `go_on` if it is to be held."""

    def __init__(self, *pieces: bytes, held: bool = False) -> None:
        self.pieces = pieces
        self.held = held
        self.asked = 0
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()
        self.closing = asyncio.Event()
        self.may_close = asyncio.Event()
        self.may_close.set()
        self.ended: List[str] = []

    async def stream(self) -> AsyncIterator[bytes]:
        try:
            for piece in self.pieces:
                self.asked += 1
                yield piece
            if self.held:
                self.waiting.set()
                await self.go_on.wait()
                yield b"more"
            self.ended.append("by itself")
        finally:
            self.closing.set()
            await self.may_close.wait()
            self.ended.append("closed")

    def router(self) -> Router:
        async def handler(_request: Request) -> Response:
            return Response(stream=self.stream(), content_type="text/csv")
        router = Router()
        router.add("GET", "/", handler)
        return router


async def chunks(client: Client) -> Tuple[bytes, int]:
    """The body of a chunked answer, and how many chunks it came in."""
    pieces: List[bytes] = []
    while True:
        size = int(await client.reader.readline(), 16)
        data = await client.reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        if not size:
            return b"".join(pieces), len(pieces)
        pieces.append(data[:-2])


def test_chunks_and_the_next_request_on_the_same_connection() -> None:
    async def scene() -> None:
        source = Source(b"a,b\n", b"", b"1,2\r\n" * 1000)
        async with serving(source.router()) as site:
            client = await site.client()
            for _ in range(2):
                await client.send(request("GET", "/"))
                status, headers = await client.head()
                assert (status, headers["content-type"]) == (200, "text/csv")
                assert headers["transfer-encoding"] == "chunked" and "content-length" not in headers
                assert await chunks(client) == (b"a,b\n" + b"1,2\r\n" * 1000, 2)
        assert source.ended == ["by itself", "closed"] * 2
    run(scene())


def test_pieces_leave_as_they_come() -> None:
    async def scene() -> None:
        source = Source(b"first", held=True)
        async with serving(source.router()) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            await client.head()
            assert await client.reader.readexactly(10) == b"5\r\nfirst\r\n"
            source.go_on.set()
            assert await chunks(client) == (b"more", 1)
    run(scene())


def test_old_clients_get_it_unchunked_and_closed() -> None:
    async def scene() -> None:
        async with serving(Source(b"one", b"two").router()) as site:
            client = await site.client()
            await client.send(OLD)
            _, headers = await client.head()
            assert headers["connection"] == "close"
            assert not {"transfer-encoding", "content-length"} & set(headers)
            assert await client.reader.read() == b"onetwo"
    run(scene())


def test_head_asks_for_nothing_of_the_stream() -> None:
    async def scene() -> None:
        source = Source(b"one")
        async with serving(source.router()) as site:
            client = await site.client()
            for _ in range(2):
                answer = await client.ask("HEAD", "/")
                assert answer.status == 200 and answer.headers["transfer-encoding"] == "chunked"
            assert source.asked == 0
    run(scene())


@pytest.mark.parametrize("leave", ["half-close", "reset"])
def test_stream_is_closed_when_its_client_goes(leave: str) -> None:
    async def scene() -> None:
        source = Source(b"one", held=True)
        async with serving(source.router()) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            await source.waiting.wait()
            if leave == "reset":
                client.writer.transport.abort()
            else:
                client.writer.write_eof()
            await site.connected(0)
            await until(lambda: source.ended == ["closed"])
    run(scene())


def test_stream_that_is_being_closed_is_left_in_peace() -> None:
    async def scene() -> None:
        source = Source(*[b"x" * 65536] * 1000)
        source.may_close.clear()
        async with serving(source.router()) as site:
            client = await site.client(limit=65536)
            await client.send(request("GET", "/"))
            await until(lambda: bool(site.server._connections))
            connection = next(iter(site.server._connections))
            await until(lambda: connection._drain_waiter is not None)
            client.writer.write_eof()
            await source.closing.wait()
            client.writer.transport.abort()
            await site.connected(0)
            source.may_close.set()
            await until(lambda: not asyncio.all_tasks() - {asyncio.current_task()} or bool(source.ended))
            assert source.ended == ["closed"]
    run(scene())


def test_client_that_reads_slowly_holds_the_stream_back() -> None:
    async def scene() -> None:
        piece = b"x" * 65536
        source = Source(*[piece] * 300)
        async with serving(source.router()) as site:
            client = await site.client(limit=65536)
            await client.send(request("GET", "/"))
            await client.head()
            connection = next(iter(site.server._connections))
            await until(lambda: connection._drain_waiter is not None)
            assert source.asked < 250
            assert await chunks(client) == (piece * 300, 300)
    run(scene())


def test_viewer_that_does_not_read_is_disconnected() -> None:
    async def scene() -> None:
        source = Source(*[b"x" * 65536] * 1000)
        async with serving(source.router(), Limits(write_timeout=60)) as site:
            client = await site.client(limit=65536)
            await client.send(request("GET", "/"))
            await until(lambda: bool(site.server._connections))
            connection = next(iter(site.server._connections))
            await until(lambda: connection._drain_waiter is not None)
            site.later(1)  # notes how far it is
            site.later(59)
            assert site.server.connections == 1
            site.later(62)
            await site.connected(0)
            await until(lambda: source.ended == ["closed"])
    run(scene())


def test_stream_without_news_is_not_stalled() -> None:
    async def scene() -> None:
        source = Source(b"one", held=True)
        async with serving(source.router()) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            await source.waiting.wait()
            await client.head()
            site.later(100000)
            source.go_on.set()
            assert await chunks(client) == (b"onemore", 2)
    run(scene())


def test_stop_does_not_wait_for_streams() -> None:
    async def scene() -> None:
        source = Source(b"one", held=True)
        async with serving(source.router()) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            await source.waiting.wait()
            await site.server.stop(1000)
            assert source.ended == ["closed"] and site.server.connections == 0
    run(scene())


def test_the_same_over_tls() -> None:
    async def scene() -> None:
        piece = b"x" * 65536
        trust = ssl.create_default_context(cafile=str(BOTH))
        trust.check_hostname = False
        sources = [Source(*[piece] * 100), Source(b"one", held=True), Source(b"one", held=True)]
        router = Router()
        for number, source in enumerate(sources):
            async def handler(_request: Request, source: Source = source) -> Response:
                return Response(stream=source.stream())
            router.add("GET", "/%d" % number, handler)
        async with serving(router, ssl_context=server_context(BOTH, BOTH)) as site:
            first = await site.client(ssl=trust, limit=65536)
            await first.send(request("GET", "/0"))
            await first.head()
            assert await chunks(first) == (piece * 100, 100)
            first.close()
            leaving, staying = [await site.client(ssl=trust) for _ in range(2)]
            await leaving.send(request("GET", "/1"))
            await sources[1].waiting.wait()
            leaving.close()
            await until(lambda: sources[1].ended == ["closed"])
            await staying.send(request("GET", "/2"))
            await sources[2].waiting.wait()
            await site.server.stop(1000)
            assert sources[2].ended == ["closed"]
    run(scene())


def test_stream_that_begins_when_the_server_stops_is_refused() -> None:
    async def scene() -> None:
        source = Source(b"one", held=True)
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def handler(_request: Request) -> Response:
            begun.set()
            await go_on.wait()
            return Response(stream=source.stream())
        router = Router()
        router.add("GET", "/", handler)
        async with serving(router) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            await begun.wait()
            stopping = asyncio.ensure_future(site.server.stop(1000))
            await site.server.stopping.wait()
            go_on.set()
            answer = await client.answer()
            assert answer.status == 503 and "stops" in answer.json["error"]
            await stopping
            assert source.asked == 0
    run(scene())


@pytest.mark.parametrize("asked", [request("GET", "/"), OLD], ids=["chunked", "closed"])
def test_stream_that_fails_is_cut_off(asked: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"one"
        raise OSError("the disk is gone")

    async def handler(_request: Request) -> Response:
        return Response(stream=failing())

    async def scene() -> None:
        router = Router()
        router.add("GET", "/", handler)
        async with serving(router) as site:
            client = await site.client()
            await client.send(asked)
            rest = await client.reader.read()
            assert not rest.endswith(b"0\r\n\r\n")
    run(scene())
    assert "could not be sent" in caplog.text


def test_stream_with_an_unusable_header_is_closed() -> None:
    class Stream:
        closed = False

        def __aiter__(self) -> "Stream":
            return self

        async def __anext__(self) -> bytes:
            raise StopAsyncIteration

        async def aclose(self) -> None:
            self.closed = True

    async def scene() -> None:
        stream = Stream()

        async def handler(_request: Request) -> Response:
            return Response(stream=stream, headers={"X-Name": "a\nb"})
        router = Router()
        router.add("GET", "/", handler)
        assert (await router.dispatch(Request("GET", "/"))).status == 500
        assert stream.closed
    run(scene())


def test_traffic_is_counted() -> None:
    async def scene() -> None:
        async with serving(Source(b"one").router()) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            await client.head()
            await chunks(client)
            await client.ask("GET", "/none")
            await client.send(b"nonsense\r\n\r\n")
            await client.answer()
            await client.at_end()
            traffic = site.server.traffic
            assert traffic.answers == {"2xx": 1, "3xx": 0, "4xx": 2, "5xx": 0}
            assert traffic.bytes_in == len(request("GET", "/") + request("GET", "/none")) + 12
            assert traffic.bytes_out > 300
    run(scene())
