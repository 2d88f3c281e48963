"""No turn of a server's loop is long, however much is ready at once."""

import asyncio
import gc
import selectors
import socket
from typing import Any, Iterator, List, Set

import pytest

from jd.net.serving import turns
from jd.net.serving.turns import AT_ONCE, WHOLE, FewAtOnce

READY = 3 * AT_ONCE + 1


@pytest.fixture
def ready() -> Iterator[List[socket.socket]]:
    """Sockets from which a byte can be read."""
    pairs = [socket.socketpair() for _ in range(READY)]
    for _, theirs in pairs:
        theirs.send(b"x")
    yield [ours for ours, _ in pairs]
    for pair in pairs:
        for sock in pair:
            sock.close()


@pytest.fixture
def selector(ready: List[socket.socket]) -> Iterator[FewAtOnce]:
    with FewAtOnce() as made:
        for sock in ready:
            made.register(sock, selectors.EVENT_READ, sock)
        yield made


def test_each_that_is_ready_has_its_turn_before_one_has_a_second(selector: FewAtOnce) -> None:
    turns_taken = [selector.select(0) for _ in range(4)]
    assert [len(some) for some in turns_taken] == [AT_ONCE, AT_ONCE, AT_ONCE, 1]
    assert len({key.fd for some in turns_taken for key, _ in some}) == READY
    assert all(events == selectors.EVENT_READ for some in turns_taken for _, events in some)


def test_it_gives_way_before_each_turn(ready: List[socket.socket]) -> None:
    given_way: List[bool] = []
    with FewAtOnce(lambda: given_way.append(True)) as selector:
        for sock in ready:
            selector.register(sock, selectors.EVENT_READ)
        for turn in range(5):
            selector.select(0)
            assert len(given_way) == turn + 1

    async def main() -> int:
        before = len(given_way)
        await asyncio.sleep(0)
        return len(given_way) - before

    assert turns.run(main(), lambda: given_way.append(True)) == 1


def test_of_one_that_is_gone_or_waits_for_something_else_nothing_is_told(
        selector: FewAtOnce, ready: List[socket.socket]) -> None:
    seen = {key.fd for key, _ in selector.select(0)}
    gone, other = [sock for sock in ready if sock.fileno() not in seen][:2]
    selector.unregister(gone)
    selector.register(gone, selectors.EVENT_WRITE, "somebody new")
    selector.modify(other, selectors.EVENT_WRITE, other)
    told = {key.fd: events for _ in range(3) for key, events in selector.select(0)}
    assert gone.fileno() not in told
    assert told[other.fileno()] == 0
    # They are when it has looked again.
    again = {key.fd: (key.data, events) for _ in range(4) for key, events in selector.select(0)}
    assert again[gone.fileno()] == ("somebody new", selectors.EVENT_WRITE)


def test_what_is_due_happens_between_those_that_are_ready(ready: List[socket.socket]) -> None:
    async def main() -> List[int]:
        loop, read, seen_at_turns = asyncio.get_running_loop(), 0, []

        def take(sock: socket.socket) -> None:
            nonlocal read
            read += len(sock.recv(1))

        for sock in ready:
            loop.add_reader(sock, take, sock)
        while read < READY:
            await asyncio.sleep(0)
            seen_at_turns.append(read)
        return seen_at_turns

    seen = turns.run(main())
    assert max(after - before for before, after in zip(seen, seen[1:])) <= AT_ONCE


def test_run_ends_what_its_loop_has_begun_and_leaves_the_collector_as_it_was() -> None:
    ended: Set[str] = set()
    usual, callbacks = gc.get_threshold(), list(gc.callbacks)
    gc.set_threshold(701, 9, 8)  # as somebody else may have chosen

    async def go_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.add("task")

    async def main() -> str:
        asyncio.ensure_future(go_on())
        asyncio.get_running_loop().run_in_executor(None, ended.add, "thread")
        await asyncio.sleep(0)
        return "result"

    try:
        assert turns.run(main()) == "result"
        assert (gc.get_threshold(), gc.callbacks) == ((701, 9, 8), callbacks)
    finally:
        gc.set_threshold(*usual)
    assert ended == {"task", "thread"}


@pytest.mark.parametrize("garbage, whole", [(0, []), (3000, [2 * WHOLE])])
def test_what_has_survived_is_looked_at_again_only_where_much_has_come(
        monkeypatch: pytest.MonkeyPatch, garbage: int, whole: List[int]) -> None:
    monkeypatch.setattr(turns, "GROWN", 1.0)
    monkeypatch.setattr(turns, "GROWN_BY", 2000)
    spared: List[int] = []
    kept: List[List[Any]] = []

    def watch(phase: str, about: object) -> None:
        if phase == "start":
            spared.append(gc.get_freeze_count())

    async def main() -> None:
        gc.callbacks.append(watch)  # after the loop's own
        for number in range(3 * WHOLE + 2):
            gc.collect(0)
            if number == WHOLE + 1:
                kept.extend([] for _ in range(garbage))
            await asyncio.sleep(0)

    gc.disable()  # but for these
    try:
        turns.run(main())
    finally:
        gc.enable()
        gc.callbacks.remove(watch)
        gc.unfreeze()
    assert [number for number, count in enumerate(spared) if not count] == whole
