"""Many workers are told something at once: all hear it before those who have heard are served again."""

import asyncio
import json
from pathlib import Path
from typing import Any, List

import pytest

from jd import messages
from jd import protocol as p
from jd.net.serving import rush
from jd.server import waiting
from jd.server.dashboard.workers import Workers
from jd.server.store.fleet import commands
from tests.net.http_wire import Client, request, until
from tests.server.scenes import play
from tests.server.test_watching import Bench

COUNT = 4 * rush.FEW


def beat(name: str, version: int, wait: float = p.MAX_WAIT) -> bytes:
    return request("POST", p.HEARTBEAT, json.dumps(
        {"worker_id": name, "session": name, "wait": wait, "applied_version": version}).encode("ascii")
    ).replace(b"Host: jd.test", b"Host: 127.0.0.1")  # which is what lets it in


async def connect(bench: Bench) -> Client:
    return Client(*await asyncio.open_connection("127.0.0.1", bench.server.port))


async def worker(bench: Bench, name: str, told: List[str]) -> None:
    """Its heartbeats are held; it says at once that it has heard something."""
    client = await connect(bench)
    try:
        await client.send(beat(name, 0))
        while True:
            answer = (await client.answer()).json
            told.append(answer["desired_state"])
            await client.send(beat(name, answer["desired_version"]))
    finally:
        client.close()


def test_all_hear_of_a_command_before_who_has_heard_is_served_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: List[int] = []  # who were still to be told, when one came again that was

    async def scene(bench: Bench) -> None:
        told: List[str] = []
        from_json = messages.Heartbeat.from_json

        def read(body: Any) -> messages.Heartbeat:
            came = from_json(body)
            if came.applied_version:
                left.append(sum(ticket._future is not None or ticket.woken for ticket in bench.room.tickets))
            return came

        await bench.server.start("127.0.0.1", 0, 0)
        names = ["w%d" % number for number in range(COUNT)]
        workers = [asyncio.ensure_future(worker(bench, name, told)) for name in names]
        await until(lambda: sum(ticket._future is not None for ticket in bench.room.tickets) == COUNT)
        monkeypatch.setattr(messages.Heartbeat, "from_json", read)
        await Workers(bench.experiment, bench.server.live, bench.room)._tell(p.PAUSE, names)
        other = await connect(bench)
        await other.send(beat("other", 0, wait=0))
        await other.answer()  # between the two
        await until(lambda: len(left) == COUNT)
        assert told == [p.PAUSE] * COUNT
        other.close()
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        await bench.server.stop()

    monkeypatch.setattr(commands, "FIRST", rush.FEW // 2)  # in several calls
    monkeypatch.setattr(commands, "SLICE", rush.FEW)
    monkeypatch.setattr(waiting, "AT_ONCE", 4)  # so that the first have heard long before the last
    monkeypatch.setattr(rush, "LONGEST", 600.0)  # however slow this machine is
    play(lambda: Bench(tmp_path), scene, 60)
    assert left[0] <= rush.FEW
