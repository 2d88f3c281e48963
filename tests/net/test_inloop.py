"""What threads have done reaches those who wait in a loop, and nobody where that is closed."""

import asyncio
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Event
from typing import Any, List

import pytest

from jd.net.serving import inloop, turns


def test_a_value_and_a_failure_are_passed_on() -> None:
    async def main() -> List[Any]:
        with ThreadPoolExecutor() as threads:
            return list(await asyncio.gather(*[inloop.awaited(threads.submit(int, text)) for text in "7x"],
                                             return_exceptions=True))
    seven, failed = asyncio.run(main())
    assert seven == 7
    assert isinstance(failed, ValueError)


def test_who_gives_up_cancels_the_work() -> None:
    work: "Future[int]" = Future()

    async def main() -> None:
        answer = inloop.awaited(work)
        answer.cancel()
        await asyncio.wait([answer])
        await asyncio.sleep(0)
    asyncio.run(main())
    assert work.cancelled()


def test_work_that_is_cancelled_is_waited_for_no_more() -> None:
    async def main() -> None:
        work: "Future[int]" = Future()
        answer = inloop.awaited(work)
        work.cancel()
        await answer
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


@pytest.mark.parametrize("is_seen", [True, False])
def test_work_that_is_done_when_its_loop_is_closed_is_no_error(
        is_seen: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    work: "Future[int]" = Future()

    async def main() -> asyncio.AbstractEventLoop:
        inloop.awaited(work)
        return asyncio.get_running_loop()
    loop = asyncio.run(main())
    monkeypatch.setattr(loop, "is_closed", lambda: is_seen)  # False is a moment before that
    with caplog.at_level(logging.ERROR):
        work.set_result(1)
    assert not caplog.records


def test_a_loop_ends_after_what_it_has_given_to_threads() -> None:
    begun, go_on, over = Event(), Event(), Event()

    def work() -> None:
        begun.set()
        go_on.wait(30)
        over.set()

    async def main() -> None:
        waiting = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(None, work))
        while not begun.is_set():
            await asyncio.sleep(0)
        waiting.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
    turns.run(main())
    assert over.is_set()


def test_each_turn_calls_one_of_what_threads_hand_over_in_its_order() -> None:
    async def main() -> List[int]:
        in_turn, turn = inloop.InTurn(asyncio.get_running_loop()), 0
        called: List[int] = []
        for _ in range(3):
            in_turn(lambda: called.append(turn))
        while len(called) < 3:
            await asyncio.sleep(0)
            turn += 1
        in_turn(lambda: called.append(-1))  # when there is nothing left it begins again
        while len(called) < 4:
            await asyncio.sleep(0)
        return called
    first, second, third, last = asyncio.run(main())
    assert (second, third, last) == (first + 1, first + 2, -1)


def test_nothing_is_lost_that_several_threads_hand_over_at_once() -> None:
    called: List[int] = []

    async def main() -> None:
        in_turn = inloop.InTurn(asyncio.get_running_loop())
        with ThreadPoolExecutor(8) as threads:
            for number in range(2000):
                threads.submit(in_turn, partial(called.append, number))
        while len(called) < 2000:
            await asyncio.sleep(0)
    asyncio.run(asyncio.wait_for(main(), 20))
    assert sorted(called) == list(range(2000))


def test_one_that_raises_keeps_no_other() -> None:
    def fail() -> None:
        raise ValueError("odd")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)
        in_turn, called = inloop.InTurn(loop), asyncio.Event()
        in_turn(fail)
        in_turn(called.set)
        await asyncio.wait_for(called.wait(), 20)
    asyncio.run(main())
