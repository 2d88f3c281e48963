"""Starting, stopping, TLS."""

import asyncio
import gc
import shutil
import socket
import ssl
import struct
import subprocess
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

import pytest

from jd.errors import JdError
from jd.net.serving.connection import Phase
from jd.net.serving.routing import Request, Response, Router
from jd.net.serving.server import HttpServer, PortTaken
from tests.net.http_wire import Client, Site, request, run, serving, until


def one(handler: Callable[[Request], object]) -> Router:
    router = Router()
    router.add("GET", "/", handler)  # type: ignore[arg-type]
    router.add("POST", "/", handler, max_body=1 << 30)  # type: ignore[arg-type]
    return router


async def hello(request: Request) -> Response:
    return Response.text("hello")


# ---- start

def refused(host: str, port: int) -> str:
    async def scene() -> str:
        with pytest.raises(JdError) as caught:
            await HttpServer(one(hello)).start(host, port)
        return str(caught.value)
    return run(scene())


def test_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = refused("127.0.0.1", port)
    assert "127.0.0.1 port %d" % port in message and "another program" in message


def test_address_of_another_machine() -> None:
    assert "does not have the address" in refused("203.0.113.7", 0)


def test_name_that_is_none() -> None:
    assert "the name is unknown" in refused("no..name", 0)


def test_every_address_of_a_name_gets_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    found = [(*kind, (address, 0)) for address in ("127.0.0.1", "203.0.113.7", "127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)

    async def scene() -> None:
        server = HttpServer(one(hello))
        port = await server.start("two.example", 0)
        monkeypatch.undo()
        try:
            for address in ("127.0.0.1", "127.0.0.2"):
                client = Client(*await asyncio.open_connection(address, port))
                assert (await client.ask("GET", "/")).status == 200
                client.close()
        finally:
            await server.stop(0)
    run(scene())


def test_localhost() -> None:
    async def scene() -> None:
        server = HttpServer(one(hello))
        port = await server.start("localhost", 0)
        try:
            client = Client(*await asyncio.open_connection("localhost", port))
            assert (await client.ask("GET", "/")).status == 200
            client.close()
        finally:
            await server.stop(0)
    run(scene())


def test_two_servers_in_one_loop() -> None:
    async def other(request: Request) -> Response:
        return Response.text("other")

    async def scene() -> None:
        async with serving(one(hello)) as first, serving(one(other)) as second:
            assert (await (await first.client()).ask("GET", "/")).body == b"hello"
            await first.server.stop(0)
            assert (await (await second.client()).ask("GET", "/")).body == b"other"
    run(scene())


def test_dead_peers_are_noticed_by_the_system() -> None:
    async def scene() -> None:
        async with serving(one(hello)) as site:
            await site.client()
            connection = await site.reach(Phase.IDLE)
            assert connection._transport is not None
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    run(scene())


# ---- stop

async def cannot_connect(site: Site) -> bool:
    try:
        await site.client()
    except ConnectionRefusedError:
        return True
    return False


def test_stop_closes_idle_connections_at_once() -> None:
    async def scene() -> None:
        async with serving(one(hello)) as site:
            idle, partial = await site.client(), await site.client()
            await idle.ask("GET", "/")
            await partial.send(b"GET /")
            await until(lambda: {each.phase for each in site.server._connections}
                        == {Phase.IDLE, Phase.HEAD})
            await site.server.stop(1000)
            assert await idle.at_end() and await partial.at_end()
            assert site.server.connections == 0
            assert await cannot_connect(site)
    run(scene())


@pytest.mark.parametrize("turns", range(5))
def test_what_is_accepted_as_the_server_stops_is_closed_at_once(turns: int) -> None:
    async def scene() -> None:
        server = HttpServer(one(hello))
        address = "127.0.0.1", await server.start("127.0.0.1", 0)
        with ExitStack() as clients:
            for _ in range(8):
                client = clients.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(address)
            for _ in range(turns):  # until the server has seen none of them, some of asyncio's steps, or all
                await asyncio.sleep(0)
            await asyncio.wait_for(server.stop(1000), 20)
        assert server.connections == 0

    with warnings.catch_warnings(record=True) as lost:
        warnings.simplefilter("always")
        run(scene())
        gc.collect()
    assert [str(warning.message) for warning in lost] == []


def test_held_handler_answers_when_the_server_stops() -> None:
    async def scene() -> None:
        entered = asyncio.Event()

        async def held(request: Request) -> Response:
            entered.set()
            await site.server.stopping.wait()
            return Response.text("going down")

        async with serving(one(held)) as site:
            client = await site.client()
            await client.send(request("GET", "/") + request("GET", "/"))
            await entered.wait()
            stopping = asyncio.ensure_future(site.server.stop(1000))
            answer = await client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"going down", "close")
            assert await client.at_end()  # the pipelined request is not served
            assert not stopping.done()  # it lingers, for a client that may be sending
            site.later(2)
            await stopping
    run(scene())


def test_stop_waits_for_an_upload_and_for_its_answer() -> None:
    async def count(request: Request) -> Response:
        await request.read()
        return Response(body=b"x" * (8 << 20))

    async def scene() -> None:
        async with serving(one(count)) as site:
            client = await site.client()
            await client.send(request("POST", "/", b"first", content_length="10"))
            await site.reach(Phase.REQUEST)
            stopping = asyncio.ensure_future(site.server.stop(1000))
            await site.server.stopping.wait()
            assert not stopping.done()
            await client.send(b"later")
            assert len((await client.answer()).body) == 8 << 20
            await stopping
    run(scene())


def test_connection_closes_after_the_answer_that_stop_found_under_way() -> None:
    async def big(request: Request) -> Response:
        return Response(body=b"x" * (16 << 20))

    async def scene() -> None:
        async with serving(one(big)) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            connection = await site.reach(Phase.REQUEST)
            await until(lambda: connection._drain_waiter is not None)
            stopping = asyncio.ensure_future(site.server.stop(1000))
            assert len((await client.answer()).body) == 16 << 20
            assert await client.at_end()
            await stopping
    run(scene())


def test_after_the_grace_period_the_rest_is_cancelled() -> None:
    async def scene() -> None:
        entered, cancelled = asyncio.Event(), asyncio.Event()

        async def stubborn(request: Request) -> Response:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return Response()

        async with serving(one(stubborn)) as site:
            client = await site.client()
            await client.send(request("GET", "/"))
            await entered.wait()
            await site.server.stop(0.01)
            assert cancelled.is_set() and site.server.connections == 0
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await client.answer()
    run(scene())


def test_stop_without_start() -> None:
    server = HttpServer(one(hello))
    run(server.stop(0))
    assert server.connections == 0 and not server.is_stopping


# ---- TLS

@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", str(path), "-out", "-", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    with open(path, "ab") as file:
        file.write(made.stdout)
    return path


def test_tls(certificate: Path, tmp_path: Path) -> None:
    content = b"0123456789abcdef" * 100_000
    (tmp_path / "f").write_bytes(content)

    async def handler(request: Request) -> Response:
        if request.method == "POST":
            return Response.text("%d %s" % (len(await request.read()), request.secure))
        return Response(file=open(tmp_path / "f", "rb"))

    async def scene() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        trust = ssl.create_default_context(cafile=str(certificate))
        router = one(handler)
        router.add("PUT", "/", handler, max_body=1)
        async with serving(router, ssl_context=context) as site:
            client = await site.client(ssl=trust)
            assert (await client.ask("GET", "/")).body == content
            assert (await client.ask("POST", "/", b"x" * 3_000_000)).body == b"3000000 True"
            assert (await client.ask("PUT", "/", b"x" * 3_000_000)).status == 413
            client.close()
            await site.connected(0)
            plain = await site.client()
            await plain.send(request("GET", "/"))
            assert await plain.at_end()
    run(scene())


def test_tls_and_a_client_that_leaves_as_its_connection_is_closed(certificate: Path) -> None:
    """Asyncio's transport of TLS, closed twice, fails at the next call; which calls depends on the Python."""
    async def scene() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        trust = ssl.create_default_context(cafile=str(certificate))
        async with serving(one(hello), ssl_context=context) as site:
            client = await site.client(ssl=trust)
            await client.ask("GET", "/")
            connection = await site.reach(Phase.IDLE)
            connection.stop()
            connection.eof_received()
            site.later(1000)
            connection.kill()
            await site.connected(0)
    run(scene())


def test_tls_and_a_client_that_leaves_unanswered(certificate: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        entered, cancelled = asyncio.Event(), asyncio.Event()

        async def held(request: Request) -> Response:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return Response()

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        trust = ssl.create_default_context(cafile=str(certificate))
        async with serving(one(held), ssl_context=context) as site:
            client = await site.client(ssl=trust)
            await client.send(request("GET", "/"))
            await entered.wait()
            task = next(iter(site.server._connections))._task
            # A reset: the connection is lost before anybody has closed it (SO_LINGER, socket(7)).
            client.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()
            await cancelled.wait()
            await site.connected(0)
            assert task is not None
            await asyncio.wait([task])
            assert task.cancelled()
    run(scene())
    assert caplog.records == []


# ---- the next port

def test_the_next_port_is_tried_where_one_is_taken() -> None:
    async def scene() -> None:
        first, second = HttpServer(one(hello)), HttpServer(one(hello))
        port = await first.start("127.0.0.1", 0)
        try:
            with pytest.raises(PortTaken, match="port %d" % port):
                await second.start("127.0.0.1", port)
            assert port < await second.start("127.0.0.1", port, 20) <= port + 20
        finally:
            await asyncio.gather(first.stop(0), second.stop(0))

    run(scene())


def test_another_reason_is_no_reason_to_try_the_next() -> None:
    async def scene() -> None:
        with pytest.raises(JdError, match="192.0.2.1 port 5000"):
            await HttpServer(one(hello)).start("192.0.2.1", 5000, 20)

    run(scene())
