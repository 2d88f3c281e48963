"""In a rush who waits to be answered goes before the next request of who was."""

import asyncio
import ssl
from typing import Any, Dict, List, Optional, Tuple

import pytest

from jd.net.serving import rush
from jd.net.serving.connection import Phase
from jd.net.serving.routing import Request, Response, Router
from jd.net.serving.rush import AT_ONCE, FEW, Rush
from jd.net.serving.server import Limits
from jd.net.serving.tls import server_context
from tests.net.http_wire import request, run, serving, until
from tests.net.test_server_tls import BOTH


def begun(count: int) -> Rush:
    """So many are to be answered."""
    made = Rush()
    for _ in range(count):
        made.begin()
    return made


def put_off(made: Rush, count: int) -> List[int]:
    """Put so many off; in which order they go on."""
    gone: List[int] = []
    for number in range(count):
        made.put_off(lambda number=number: gone.append(number))  # type: ignore[misc]
    return gone


def test_who_is_put_off_goes_on_when_few_are_left_to_be_answered_some_in_a_turn() -> None:
    async def scene() -> None:
        made = begun(FEW + 2)
        gone, turns = put_off(made, 3 * AT_ONCE), [0]
        made.end()
        for _ in range(10):
            await asyncio.sleep(0)
        assert made.is_on and not gone
        made.end()
        assert not made.is_on
        while len(gone) < 3 * AT_ONCE:
            await asyncio.sleep(0)
            turns.append(len(gone))
        assert max(after - before for before, after in zip(turns, turns[1:])) == AT_ONCE
        assert gone == sorted(gone)
    run(scene())


def test_nobody_starves_in_a_rush_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        made = begun(FEW + 1)
        gone = put_off(made, 2 * AT_ONCE)
        await until(lambda: len(gone) == 2 * AT_ONCE)
        assert made.is_on
    monkeypatch.setattr(rush, "LONGEST", 0.0)
    run(scene())


def test_nobody_starves_where_a_rush_ends_and_begins_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        made, loop = begun(FEW + 1), asyncio.get_running_loop()
        gone = put_off(made, 2 * AT_ONCE)

        def turn() -> None:
            if len(gone) < 2 * AT_ONCE:
                loop.call_soon(turn)  # before the next look
                made.end()
                made.begin()
        turn()
        await until(lambda: len(gone) == 2 * AT_ONCE)
    monkeypatch.setattr(rush, "LONGEST", 0.0)
    run(scene())


def test_a_rush_lasts_while_more_are_about_to_be_told() -> None:
    async def scene() -> None:
        made = Rush()
        with made.lasting():
            gone = put_off(made, 1)
            for _ in range(10):  # such as the next slice of a command
                made.begin()
                await asyncio.sleep(0)
                made.end()
            assert made.is_on and not gone
        assert not made.is_on
        await until(lambda: len(gone) == 1)
    run(scene())


def test_one_that_fails_keeps_nobody_back() -> None:
    def fail() -> None:
        raise ValueError("a test")

    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        made = begun(FEW + 1)
        made.put_off(fail)
        gone = put_off(made, 2 * AT_ONCE)
        made.end()
        await until(lambda: len(gone) == 2 * AT_ONCE)
    run(scene())


def routes() -> Router:
    async def answer(request: Request) -> Response:
        return Response(body=request.path.encode(), next_waits=request.path == "/woken")

    router = Router()
    for path in ("/woken", "/other"):
        router.add("GET", path, answer)
    return router


def both_sides(tls: bool) -> Tuple[Optional[ssl.SSLContext], Dict[str, Any]]:
    """What a server is given, and what a client."""
    if not tls:
        return None, {}
    trust = ssl.create_default_context(cafile=str(BOTH))
    trust.check_hostname = False
    return server_context(BOTH, BOTH), {"ssl": trust}


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_client_that_was_answered_waits_and_others_do_not(at_once: bool, tls: bool) -> None:
    """Also where its next request had come before it was answered."""
    async def scene() -> None:
        made = begun(FEW + 1)
        context, options = both_sides(tls)
        async with serving(routes(), Limits(), context, made) as site:
            woken = await site.client(**options)
            await woken.send(request("GET", "/woken") * (1 + at_once))
            assert (await woken.answer()).body == b"/woken"
            if not at_once:
                await woken.send(request("GET", "/woken"))
            next_one = asyncio.ensure_future(woken.answer())
            other = await site.client(**options)
            for _ in range(20):
                assert (await other.ask("GET", "/other")).body == b"/other"
            assert not next_one.done()
            made.end()
            assert (await next_one).body == b"/woken"
            assert (await woken.ask("GET", "/other")).body == b"/other"
    run(scene())


def test_a_client_that_leaves_meanwhile_is_noticed_when_its_turn_comes() -> None:
    async def scene() -> None:
        made = begun(FEW + 1)
        async with serving(routes(), rush=made) as site:
            client = await site.client()
            await client.ask("GET", "/woken")
            await site.reach(Phase.IDLE)
            client.close()
            made.end()
            await site.connected(0)
    run(scene())


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_stops_waits_for_nobody_that_is_put_off(tls: bool) -> None:
    """Before Python 3.11 TLS waited for a farewell that was not read."""
    async def scene() -> None:
        made = begun(FEW + 1)
        context, options = both_sides(tls)
        async with serving(routes(), Limits(), context, made) as site:
            client = await site.client(**options)
            await client.ask("GET", "/woken")
            await site.reach(Phase.IDLE)
            await asyncio.gather(site.server.stop(600), client.at_end())
            made.end()
            await asyncio.sleep(0)
    run(scene())
