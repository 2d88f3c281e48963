"""Too much, too slow, too many: what the server does about it."""

import asyncio
import socket
from typing import List
from unittest.mock import Mock

import pytest

from jd.net.serving import server as serving_server
from jd.net.serving.connection import Phase
from jd.net.serving.routing import Request, Response, Router
from jd.net.serving.server import Limits
from tests.net.http_wire import Client, Site, request, run, serving, until


class Gate:
    """Handlers that a test holds and releases."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.router = Router()
        self.router.add("GET", "/hold", self.hold)
        self.router.add("POST", "/hold", self.hold_then_read, max_body=1 << 30)
        self.router.add("POST", "/small", self.read, max_body=1000)
        self.router.add("GET", "/big", self.big)

    async def hold(self, request: Request) -> Response:
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return Response.text("held")

    async def hold_then_read(self, request: Request) -> Response:
        await self.hold(request)
        return await self.read(request)

    async def read(self, request: Request) -> Response:
        return Response.text(str(len(await request.read())))

    async def big(self, request: Request) -> Response:
        return Response(body=b"x" * (16 << 20))


# ---- too much

@pytest.mark.parametrize("chunked", [False, True])
def test_client_that_is_still_sending_reads_the_413(chunked: bool) -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            client = await site.client()
            if chunked:
                await client.send(request("POST", "/small", transfer_encoding="chunked"))
            else:
                await client.send(request("POST", "/small", content_length=str(160 << 16)))
            # A client on urllib reads nothing before it has sent everything.
            for _ in range(160):
                await client.send((b"10000\r\n" if chunked else b"") + b"x" * 65536 + b"\r\n" * chunked)
            answer = await client.answer()
            assert answer.status == 413 and "1000 bytes" in answer.json["error"]
            assert answer.headers["connection"] == "close"
            assert await client.at_end()
    run(scene())


def test_announced_excess_is_refused_without_reading() -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            client = await site.client()
            assert (await client.ask("POST", "/small", content_length="1001")).status == 413
            client = await site.client()
            await client.send(request("POST", "/small", content_length="1001", expect="100-continue"))
            assert (await client.head())[0] == 413
    run(scene())


def test_lingering_ends_with_its_bytes_and_its_time() -> None:
    async def scene() -> None:
        async with serving(Gate().router, Limits(linger_bytes=100_000)) as site:
            client = await site.client()
            assert (await client.ask("POST", "/small", content_length="9999999")).status == 413
            with pytest.raises(ConnectionError):
                while True:
                    await client.send(b"x" * 65536)
            await site.connected(0)
            client = await site.client()
            assert (await client.ask("POST", "/small", content_length="9999999")).status == 413
            site.later(29)
            await client.send(b"x")
            await site.reach(Phase.LINGER)
            site.later(31)
            await site.connected(0)
    run(scene())


def test_a_connection_that_was_reset_cannot_be_shut_down_and_that_is_no_failure() -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            await site.client()
            connection = await site.reach(Phase.IDLE)

            class Reset(asyncio.Transport):
                """The system knows that the client has reset it, and the loop has not been told."""

                aborted = False

                def is_closing(self) -> bool:
                    return False

                def can_write_eof(self) -> bool:
                    return True

                def write_eof(self) -> None:
                    raise OSError(107, "Transport endpoint is not connected")

                def abort(self) -> None:
                    self.aborted = True

            real, reset = connection._transport, Reset()
            connection._transport = reset
            connection._linger(1.0)
            assert reset.aborted and connection.phase is Phase.CLOSED
            assert real is not None
            real.abort()
    run(scene())


def test_pipelining_is_bounded() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router) as site:
            client = await site.client()
            one = request("GET", "/hold")
            count = 20_000  # 0.8 MB
            sending = asyncio.ensure_future(client.send(one * count))
            await gate.entered.wait()
            connection = await site.reach(Phase.REQUEST)
            await until(lambda: connection._paused_at is not None)
            assert connection._parser.buffered <= site.server.limits.pipeline_buffer + 256 * 1024
            gate.release.set()
            for _ in range(2000):
                assert (await client.answer()).body == b"held"
            sending.cancel()
    run(scene())


def test_too_many_connections() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router, Limits(max_connections=2)) as site:
            first, second, third = [await site.client() for _ in range(3)]
            answer = await third.answer()
            assert answer.status == 503 and answer.json["success"] is False
            assert await third.at_end()
            third.close()
            await site.connected(2)
            gate.release.set()
            for client in (first, second):
                assert (await client.ask("GET", "/hold")).status == 200
            first.close()
            await site.connected(1)
            assert (await (await site.client()).ask("GET", "/hold")).status == 200
    run(scene())


# ---- too slow

async def refused(client: Client, status: int) -> None:
    answer = await client.answer()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert list(answer.json) == ["success", "error"]
    assert await client.at_end()


def test_slow_header_gets_408_however_it_drips() -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            client = await site.client()
            await client.send(b"GET / HTTP/1.1\r\nHos")
            await site.reach(Phase.HEAD)
            site.later(15)
            await client.send(b"t: h\r\nX-A: b\r\n")
            connection = await site.reach(Phase.HEAD)
            await until(lambda: connection._parser.buffered == 0)
            site.later(21)
            await refused(client, 408)
    run(scene())


def test_silent_connections_are_closed_without_a_word() -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            fresh = await site.client()
            await site.reach(Phase.IDLE)
            site.later(19)
            assert site.server.connections == 1
            site.later(21)
            assert await fresh.at_end()
            await site.connected(0)
            used = await site.client()
            await used.ask("GET", "/nowhere")
            await site.reach(Phase.IDLE)
            site.later(74)
            assert (await used.ask("GET", "/nowhere")).status == 404
            await site.reach(Phase.IDLE)
            site.later(76)
            assert await used.at_end()
    run(scene())


def test_held_handler_has_all_the_time() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router) as site:
            client = await site.client()
            await client.send(request("GET", "/hold"))
            await gate.entered.wait()
            site.later(100_000)
            gate.release.set()
            assert (await client.answer()).body == b"held"
    run(scene())


def test_body_that_stops_gets_408() -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            client = await site.client()
            await client.send(request("POST", "/small", b"half", content_length="100"))
            connection = await site.reach(Phase.REQUEST)
            await until(lambda: connection._body is not None and connection._body.received == 4)
            site.later(29)
            assert connection._body is not None and not connection._body.failed
            site.later(31)
            await refused(client, 408)
    run(scene())


def test_body_that_crawls_gets_408() -> None:
    async def scene() -> None:
        async with serving(Gate().router, Limits(body_timeout=1000.0, body_rate=1.0)) as site:
            client = await site.client()
            await client.send(request("POST", "/small", b"x" * 500, content_length="1000"))
            connection = await site.reach(Phase.REQUEST)
            connection._since -= 1001  # it began that long ago, and its last byte came now
            await until(lambda: connection._body is not None and connection._body.received == 500)
            site.later(0)
            await refused(client, 408)
    run(scene())


def test_client_is_not_blamed_for_a_slow_handler() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router) as site:
            client = await site.client()
            size = 20 << 20
            sending = asyncio.ensure_future(client.send(
                request("POST", "/hold", content_length=str(size)) + b"x" * size))
            connection = await site.reach(Phase.REQUEST)
            await until(lambda: connection._paused_at is not None)
            site.later(1000)
            gate.release.set()
            assert (await client.answer()).body == b"%d" % size
            await sending
    run(scene())


def test_clocks_of_a_body_stand_still_while_nobody_reads() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router) as site:
            client = await site.client()
            size = 20 << 20
            sending = asyncio.ensure_future(client.send(
                request("POST", "/hold", content_length=str(size + 1)) + b"x" * size))
            connection = await site.reach(Phase.REQUEST)
            await until(lambda: connection._paused_at is not None)
            connection._since -= 100_000  # all of this was that long ago
            connection._progress -= 100_000
            assert connection._paused_at is not None and connection._body is not None
            connection._paused_at -= 100_000
            gate.release.set()
            await until(lambda: connection._paused_at is None)
            site.later(0)
            assert not connection._body.failed
            await sending
            await client.send(b"x")
            assert (await client.answer()).body == b"%d" % (size + 1)
    run(scene())


def test_client_that_says_nothing_after_continue_gets_408() -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            client = await site.client()
            await client.send(request("POST", "/small", expect="100-continue", content_length="2"))
            assert (await client.head())[0] == 100
            site.later(31)
            await refused(client, 408)
    run(scene())


def test_client_that_waits_for_continue_is_not_slow() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router) as site:
            client = await site.client()
            await client.send(request("POST", "/hold", expect="100-continue", content_length="2"))
            await gate.entered.wait()
            site.later(1000)
            gate.release.set()
            assert (await client.head())[0] == 100
            await client.send(b"ok")
            assert (await client.answer()).body == b"2"
    run(scene())


def test_client_that_does_not_read_is_disconnected() -> None:
    async def scene() -> None:
        async with serving(Gate().router) as site:
            sock = socket.create_connection(("127.0.0.1", site.port))
            with sock:
                sock.sendall(request("GET", "/big"))
                connection = await site.reach(Phase.REQUEST)
                await until(lambda: connection._drain_waiter is not None)
                site.later(59)
                assert site.server.connections == 1
                site.later(59 + 61)
                await site.connected(0)
    run(scene())


def test_sweep_runs_by_itself() -> None:
    async def scene() -> None:
        async with serving(Gate().router, Limits(head_timeout=0.01, sweep_interval=0.01)) as site:
            client = await site.client()
            assert await client.at_end()
            client = await site.client()
            await client.send(b"GET")
            await refused(client, 408)
    run(scene())


def test_many_connections_are_looked_at_in_several_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_server, "_CHECKED", 2)

    async def scene() -> None:
        async with serving(Gate().router, Limits(sweep_interval=0.01)) as site:
            turn, checked = 0, []
            others = [Mock(**{"check.side_effect": lambda _now: checked.append(turn)}) for _ in range(5)]
            site.server._connections.update(others)
            while len(checked) < 10:  # in two passes
                await asyncio.sleep(0)
                turn += 1
            site.server._connections.difference_update(others)
        assert all(checked.count(one) <= 2 for one in checked)
        assert all(other.check.call_count == 2 for other in others)
    run(scene())


# ---- gone

def test_disconnect_cancels_the_handler() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router) as site:
            client = await site.client()
            await client.send(request("GET", "/hold"))
            await gate.entered.wait()
            client.close()
            await gate.cancelled.wait()
            await site.connected(0)
    run(scene())


def test_reset_cancels_a_handler_that_waits_for_its_body() -> None:
    async def scene() -> None:
        gate = Gate()
        async with serving(gate.router) as site:
            client = await site.client()
            await client.send(request("POST", "/small", b"x", content_length="9"))
            connection = await site.reach(Phase.REQUEST)
            task = connection._task
            client.writer.transport.abort()
            await site.connected(0)
            await until(lambda: task is not None and task.cancelled())
    run(scene())


def test_idle_and_partial_connections_may_leave() -> None:
    async def scene(site: Site, sent: List[bytes]) -> None:
        for data in sent:
            client = await site.client()
            await client.send(data)
            await until(lambda: site.server.connections == 1)
            client.writer.write_eof()
            assert await client.at_end()
            client.close()
            await site.connected(0)

    async def both() -> None:
        async with serving(Gate().router) as site:
            await scene(site, [b"", b"GET / HT", b"\r\n"])
    run(both())
