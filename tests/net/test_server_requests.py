"""Requests and answers over real sockets."""

import asyncio
import hashlib
from pathlib import Path
from typing import List

import pytest

from jd import __version__
from jd.errors import StorageError
from jd.net.serving.connection import Phase
from jd.net.serving.parser import ParserLimits
from jd.net.serving.routing import HttpError, Request, Response, Router
from jd.net.serving.server import Limits
from jd.protocol import ProtocolError
from tests.net.http_wire import request, run, serving, until


async def hello(request: Request) -> Response:
    return Response.text("hello %s" % request.query.get("name", "you"))


async def echo(request: Request) -> Response:
    return Response(body=await request.read())


async def parsed(request: Request) -> Response:
    return Response.json(await request.json())


async def ignore(request: Request) -> Response:
    return Response.text("ignored")


async def crash(request: Request) -> Response:
    raise {"storage": StorageError("disk full"), "protocol": ProtocolError("bad"),
           "http": HttpError(409, "taken")}.get(request.query["kind"], KeyError("x"))


@pytest.fixture
def router() -> Router:
    router = Router()
    router.add("GET", "/hello", hello)
    router.add("POST", "/echo", echo, max_body=1 << 20)
    router.add("POST", "/json", parsed)
    router.add("POST", "/ignore", ignore, max_body=1 << 20)
    router.add("GET", "/crash", crash)
    return router


def test_keep_alive_and_headers(router: Router) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            for name in ("a", "b", "c"):
                answer = await client.ask("GET", "/hello?name=" + name)
                assert (answer.status, answer.body) == (200, b"hello " + name.encode())
            assert site.server.connections == 1
            headers = answer.headers
            assert headers.pop("date").endswith(" gmt")
            assert headers == {
                "server": "jd/" + __version__, "connection": "keep-alive", "content-length": "7",
                "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff",
                "cache-control": "no-store"}
    run(scene())


@pytest.mark.parametrize("head", [
    b"GET /hello HTTP/1.0\r\n\r\n", b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"])
def test_close_when_the_client_wants_it(router: Router, head: bytes) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            await client.send(head)
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"hello you", "close")
            assert await client.at_end()
            await site.connected(0)
    run(scene())


def test_pipelined_requests_are_answered_in_order(router: Router) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            await client.send(request("GET", "/hello?name=1") + request("POST", "/echo", b"two")
                              + request("GET", "/hello?name=3") + b"NOT / HTTP\r\n\r\n")
            assert [(await client.answer()).body for _ in range(3)] == [b"hello 1", b"two", b"hello 3"]
            assert (await client.answer()).status == 400
            assert await client.at_end()
    run(scene())


def test_head_has_the_length_but_no_body(router: Router) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            answer = await client.ask("HEAD", "/hello")
            assert (answer.status, answer.headers["content-length"]) == (200, "9")
            assert (await client.ask("HEAD", "/nowhere")).status == 404
            assert (await client.ask("GET", "/hello")).body == b"hello you"
    run(scene())


def test_statuses_without_a_body() -> None:
    async def empty(request: Request) -> Response:
        return Response(int(request.query["status"]), b"never sent")

    async def scene() -> None:
        router = Router()
        router.add("GET", "/", empty)
        async with serving(router) as site:
            client = await site.client()
            for status in (204, 304):
                answer = await client.ask("GET", "/?status=%d" % status)
                assert answer.status == status and "content-length" not in answer.headers
    run(scene())


def test_headers_of_the_handler_win() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, b"", "text/css", {"cache-control": "max-age=60", "X-Jd": "1"})

    async def scene() -> None:
        router = Router()
        router.add("GET", "/", handler)
        async with serving(router) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            block = await client.reader.readuntil(b"\r\n\r\n")
            assert block.lower().count(b"cache-control") == 1 and b"max-age=60" in block
            assert b"X-Jd: 1\r\n" in block
    run(scene())


def test_bodies_fixed_and_chunked(router: Router) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            assert (await client.ask("POST", "/echo", b"x" * 300_000)).body == b"x" * 300_000
            await client.send(b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in (b"3\r\nabc\r", b"\n2;x\r\nde", b"\r\n0\r\n", b"\r\n"):
                await client.send(piece)
            assert (await client.answer()).body == b"abcde"
            assert (await client.ask("GET", "/hello")).status == 200
    run(scene())


def test_continue_is_sent_when_the_handler_reads(router: Router) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            for target, status in (("/echo", 100), ("/ignore", 200), ("/nowhere", 404)):
                client = await site.client()
                await client.send(request("POST", target, expect="100-continue", content_length="2"))
                got, headers = await client.head()
                assert got == status
                if status == 100:
                    await client.send(b"ok")
                    assert (await client.answer()).body == b"ok"
                else:
                    assert headers["connection"] == "close"
    run(scene())


def test_no_continue_for_a_body_that_has_come(router: Router) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            assert (await client.ask("POST", "/echo", b"ok", expect="100-continue")).body == b"ok"
    run(scene())


def test_body_that_nobody_reads(router: Router) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            complete = await client.ask("POST", "/ignore", b"complete")
            assert complete.headers["connection"] == "keep-alive"
            await client.send(request("POST", "/ignore", b"half", content_length="8"))
            half = await client.answer()
            assert (half.body, half.headers["connection"]) == (b"ignored", "close")
            await client.send(b"rest")
            assert await client.at_end()
    run(scene())


# ---- errors

ERRORS = [
    (b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    (b"PUT /hello HTTP/1.1\r\nHost: h\r\n\r\n", 405),
    (b"GET /%ff HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    (b"GET /hello HTTP/1.1\r\n\r\n", 400),
    (b"GET /hello HTTP/3.0\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n", 414),
    (b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"x" * 40000, 431),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: br\r\n\r\n", 501),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx", 400),
    (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999999\r\n\r\n", 413),
    (b"POST /json HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}", 415),
    (request("POST", "/json", b"{}}"), 400),
    (request("POST", "/json", b"{}", origin="http://evil.example"), 403),
    (request("GET", "/crash?kind=storage"), 503), (request("GET", "/crash?kind=protocol"), 400),
    (request("GET", "/crash?kind=http"), 409), (request("GET", "/crash?kind=other"), 500),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
]


@pytest.mark.parametrize("data, status", ERRORS)
def test_every_error_has_the_same_envelope(router: Router, data: bytes, status: int) -> None:
    async def scene() -> None:
        async with serving(router) as site:
            client = await site.client()
            await client.send(data)
            answer = await client.answer()
            assert answer.status == status
            assert answer.headers["content-type"] == "application/json"
            assert list(answer.json) == ["success", "error"]
            assert answer.json["success"] is False and answer.json["error"]
            if status == 405:
                assert answer.headers["allow"] == "get, head"
            if answer.headers["connection"] == "close":
                assert await client.at_end()
            else:
                assert (await client.ask("GET", "/hello")).status == 200
    run(scene())


def test_limits_of_the_parser_can_be_set(router: Router) -> None:
    async def scene() -> None:
        async with serving(router, Limits(parser=ParserLimits(request_line=20))) as site:
            client = await site.client()
            assert (await client.ask("GET", "/hello?name=somebody")).status == 414
    run(scene())


def test_peer_is_known() -> None:
    async def handler(request: Request) -> Response:
        return Response.text("%s %s" % (request.peer, request.secure))

    async def scene() -> None:
        router = Router()
        router.add("GET", "/", handler)
        async with serving(router) as site:
            assert (await (await site.client()).ask("GET", "/")).body == b"127.0.0.1 False"
    run(scene())


# ---- files

def test_file_is_sent_from_its_position_and_closed(tmp_path: Path) -> None:
    content = bytes(range(256)) * 8192  # 2 MiB: several pieces
    (tmp_path / "f").write_bytes(content)
    files: List[Response] = []

    async def handler(request: Request) -> Response:
        file = open(tmp_path / "f", "rb")
        file.seek(100)
        files.append(Response.attachment(file, "results.csv"))
        return files[-1]

    async def scene() -> None:
        router = Router()
        router.add("GET", "/", handler)
        async with serving(router) as site:
            client = await site.client()
            answer = await client.ask("GET", "/")
            assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content[100:]).digest()
            assert "results.csv" in answer.headers["content-disposition"]
            head = await client.ask("HEAD", "/")
            assert head.headers["content-length"] == str(len(content) - 100)
            await site.reach(Phase.IDLE)
            assert [response.file.closed for response in files if response.file] == [True, True]
    run(scene())


def test_file_that_became_shorter_breaks_the_connection(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"short")

    async def handler(request: Request) -> Response:
        return Response(file=open(tmp_path / "f", "rb"), length=10)

    async def scene() -> None:
        router = Router()
        router.add("GET", "/", handler)
        async with serving(router) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            assert (await client.head())[1]["content-length"] == "10"
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.reader.readexactly(10)
    run(scene())


def test_slow_reader_makes_the_file_wait(tmp_path: Path) -> None:
    size = 24 * 1024 * 1024
    with open(tmp_path / "f", "wb") as file:
        file.truncate(size)
    waiting = []

    async def handler(request: Request) -> Response:
        return Response(file=open(tmp_path / "f", "rb"))

    async def scene() -> None:
        router = Router()
        router.add("GET", "/", handler)
        async with serving(router) as site:
            client = await site.client(limit=4096)
            await client.send(request("GET", "/"))
            connection = await site.reach(Phase.REQUEST)
            await until(lambda: connection._drain_waiter is not None)
            await client.head()
            assert connection._transport is not None
            left = size
            while left:
                left -= len(await client.reader.read(1 << 20))
                waiting.append(connection._transport.get_write_buffer_size())
            limits = site.server.limits
            assert 0 < max(waiting) <= limits.write_buffer + limits.file_chunk
    run(scene())


# ---- large uploads

def test_upload_streams_through_bounded_memory() -> None:
    size, piece = 30 * 1024 * 1024, b"0123456789abcdef" * 4096
    peak = 0

    async def handler(request: Request) -> Response:
        nonlocal peak
        digest = hashlib.md5()
        async for data in request.stream():
            digest.update(data)
            for _ in range(3):  # slower than the sender
                await asyncio.sleep(0)
                peak = max(peak, request.body.buffered)
        return Response.text(digest.hexdigest())

    async def scene() -> None:
        router = Router()
        router.add("POST", "/", handler, max_body=size)
        async with serving(router) as site:
            client = await site.client()
            await client.send(request("POST", "/", content_length=str(size)))
            for _ in range(size // len(piece)):
                await client.send(piece)
            answer = await client.answer()
            assert answer.body.decode() == hashlib.md5(piece * (size // len(piece))).hexdigest()
            # One read of the transport, 256 KiB, may come on top of the limit.
            assert 0 < peak <= site.server.limits.body_buffer + 256 * 1024
    run(scene())
