"""What the server repeats goes on, whatever one step meets."""

import asyncio
import logging
from pathlib import Path
from typing import Any, List
from unittest.mock import Mock

import pytest

from jd.errors import StorageError
from jd.hub import app as hub_app
from jd.net.serving.server import HttpServer
from jd.server import sweeper
from jd.server.creation.batch import from_list
from jd.server.dashboard import live
from jd.server.driving import news, orders
from jd.server.store.fleet import retention
from jd.server.store.queue import lease
from tests.hub.hub_support import Bench as HubBench
from tests.server.scenes import play
from tests.server.test_watching import Bench

MET = [MemoryError(), ValueError("odd"), StorageError("the disk is full")]


class Failing:
    """Raises the first time it is called, and counts; `again` is set at the second."""

    def __init__(self, error: Exception, then: Any = None) -> None:
        self.calls = 0
        self.again = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._error = error
        self._then = then

    def __call__(self, *_: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise self._error
        self._loop.call_soon_threadsafe(self.again.set)  # some are called in the database's thread
        return self._then

    async def awaited(self, *_: Any) -> Any:
        return self()


async def ended(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("error", MET)
def test_leases_are_looked_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception,
                                 caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(sweeper, "INTERVAL", 0.001)

    async def scene(bench: Bench) -> None:
        expire = Failing(error, 0)
        monkeypatch.setattr(lease, "expire", expire)
        task = asyncio.ensure_future(sweeper.run(bench.experiment))
        await asyncio.wait_for(expire.again.wait(), 15)
        await ended(task)
    play(lambda: Bench(tmp_path), scene)
    assert "leases and the like are not looked after: " in caplog.text


def test_a_part_that_fails_again_and_again_does_not_keep_the_others(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch,
                                                                    caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(sweeper, "INTERVAL", 0.001)

    def odd(*_: Any) -> None:
        raise ValueError("odd")

    async def scene(bench: Bench) -> None:
        monkeypatch.setattr(retention, "prune", odd)
        monkeypatch.setattr(lease, "expire", lambda t, _: t.db.execute(
            "INSERT OR REPLACE INTO settings VALUES ('expired', '1')"))
        task = asyncio.ensure_future(sweeper.run(bench.experiment))
        while "are not forgotten: ValueError" not in caplog.text:
            await asyncio.sleep(0.001)
        await ended(task)
        assert bench.experiment.read_now(
            lambda db: db.execute("SELECT 1 FROM settings WHERE name = 'expired'").fetchone())
    play(lambda: Bench(tmp_path), scene)
    assert caplog.text.count("workers that are gone are not forgotten: ValueError: odd") == 1


@pytest.mark.parametrize("error", MET)
def test_a_hub_forgets_what_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                    error: Exception) -> None:
    monkeypatch.setattr(hub_app, "PRUNE_INTERVAL", 0.001)
    bench = HubBench(tmp_path)

    async def scene() -> None:
        write = Failing(error, 0)
        monkeypatch.setattr(bench.data, "write", write.awaited)
        task = asyncio.ensure_future(bench.hub._prune())
        await asyncio.wait_for(write.again.wait(), 15)
        await ended(task)
    asyncio.run(scene())
    bench.hub._signin.close()
    bench.data.close()


@pytest.mark.parametrize("error", MET)
def test_dashboards_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.001)

    async def scene(bench: Bench) -> None:
        shown = bench.server.live
        refresh = Failing(error)
        monkeypatch.setattr(shown, "_refresh", refresh.awaited)
        shown.viewers = 1
        dirty = asyncio.Event()
        task = asyncio.ensure_future(shown._watch(dirty))
        while not refresh.again.is_set():
            dirty.set()
            await asyncio.sleep(0)
        await ended(task)
    play(lambda: Bench(tmp_path), scene)


@pytest.mark.parametrize("error", MET)
def test_who_waits_for_jobs_hears_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                          error: Exception) -> None:
    monkeypatch.setattr(news, "INTERVAL", 0.001)

    async def scene(bench: Bench) -> None:
        look_up = Failing(error, {"jobs": 7})
        monkeypatch.setattr(bench.experiment, "look_up", look_up.awaited)
        await bench.server.news.beyond(0, 15.0)
        assert look_up.calls > 1
    play(lambda: Bench(tmp_path), scene)


def test_everybody_is_told_what_was_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(bench: Bench) -> None:
        told: List[Any] = []
        bench.experiment._listeners[:] = [Failing(ValueError("odd")), told.append]
        await bench.experiment.write(lambda t: None)
        while not told:
            await asyncio.sleep(0)
    play(lambda: Bench(tmp_path), scene)
    assert "not everybody was told what was written: ValueError: odd" in caplog.text


def test_one_connection_does_not_keep_the_others_from_being_looked_after() -> None:
    server = HttpServer(Mock())
    broken, other = Mock(**{"check.side_effect": ValueError("odd")}), Mock()
    server._connections.update([broken, other])
    server.sweep(1.0)
    broken.check.assert_called_once_with(1.0)
    other.check.assert_called_once_with(1.0)


def test_an_order_that_is_not_carried_out_to_its_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def scene(bench: Bench) -> None:
        placed = orders.Orders(bench.experiment)
        monkeypatch.setattr(placed, "_by_status", Failing(StorageError("the disk is full")).awaited)
        with pytest.raises(StorageError):
            await placed.asked({"action": "abort", "filter": ""}, "filter", 10, "test")
        await asyncio.sleep(0)
    play(lambda: Bench(tmp_path), scene)
    assert "not carried out to its end: the disk is full" in caplog.text


def test_a_server_that_stops_leaves_nothing_behind_in_its_loop(tmp_path: Path,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(bench: Bench) -> None:
        server, before, begun = bench.server, asyncio.all_tasks(), asyncio.Event()

        async def stuck(*_: Any) -> None:
            begun.set()
            await asyncio.Event().wait()
        monkeypatch.setattr(server.orders, "_slice", stuck)
        await server.creation.create(from_list([{"x": 1}]))
        await server.start("127.0.0.1", 0, 0)
        waits = asyncio.ensure_future(server.news.beyond(10 ** 9, 60))
        order = asyncio.ensure_future(server.orders.asked({"action": "delete", "where": ""}, "where", 1,
                                                          "me"))
        await begun.wait()
        await server.stop()
        with pytest.raises(asyncio.CancelledError):
            await order
        await waits
        await server.news.beyond(10 ** 9, 60)  # asked too late
        assert asyncio.all_tasks() == before
    play(lambda: Bench(tmp_path), scene)
