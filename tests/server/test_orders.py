"""Orders to many jobs that are cut short, and batches that are not whole yet."""

import asyncio
import json
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any, Awaitable, Callable, Dict, List

import pytest

from jd import killpoint
from jd import protocol as p
from jd.errors import StorageError
from jd.net.serving.server import HttpServer
from jd.server.api.access import Access
from jd.server.app import JobServer
from jd.server.creation.batch import from_list
from jd.server.creation.creator import Creator
from jd.server.driving import orders
from jd.server.driving.orders import Orders
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.operators import batches, bulk, tags, unfinished
from jd.server.store.pages import jobdetails, joblist, jobtable, standings, wholejob
from jd.server.store.policy import Policy
from jd.server.store.queue import jobs
from jd.server.store.search import conditions, scanning
from tests.server.store_support import put

JOBS = 7
BEFORE, AFTER = "orders.slice.before-commit", "orders.slice.after-commit"
Scene = Callable[[Experiment, Orders], Awaitable[Any]]


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "SLICE", 2)
    monkeypatch.setattr(bulk, "SERVED_SLICE", 1)
    monkeypatch.setattr(orders, "AGAIN", 0.001)


def play(workspace: Path, scene: Scene) -> Any:
    experiment = Experiment(workspace, "exp", Policy())

    async def main() -> Any:
        return await asyncio.wait_for(scene(experiment, Orders(experiment)), 20)
    try:
        return asyncio.run(main())
    finally:
        experiment.close()


def killed_at(point: str, times: int, workspace: Path, scene: Scene) -> None:
    """Play a scene in a child process that is killed when it comes to a point so often."""
    pid = os.fork()
    if pid == 0:
        killpoint._chosen, killpoint._left = point, times
        try:
            play(workspace, scene)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


async def create(experiment: Experiment, _orders: Orders) -> None:
    await Creator(experiment).create(from_list([{"x": number} for number in range(JOBS)]))


async def done(experiment: Experiment, _orders: Orders) -> None:
    await create(experiment, _orders)
    await experiment.write(lambda t: put(t, p.DONE, *range(1, JOBS + 1)))
    await experiment.write(lambda t: t.db.execute("UPDATE jobs SET attempt = 1, failures = 1") and None)


async def resume(experiment: Experiment, of: Orders) -> Dict[int, str]:
    await of.resume()
    await asyncio.gather(*of._begun.tasks)
    assert experiment.bulk is None and await experiment.read(unfinished.kept) is None
    return await statuses(experiment, of)


async def statuses(experiment: Experiment, _orders: Orders) -> Dict[int, str]:
    return dict(await experiment.read(lambda db: db.execute("SELECT id, status FROM jobs").fetchall()))


def order(action: str, **more: Any) -> Scene:
    async def scene(_experiment: Experiment, of: Orders) -> Any:
        return await of.asked(dict({"action": action}, **more), "where", 1000, bulk.BY_PROGRAM)
    return scene


@pytest.mark.parametrize("about", [{"where": ""}, {"ids": list(range(JOBS, 0, -1))}], ids=["filter", "ids"])
@pytest.mark.parametrize("point, times", [(BEFORE, 1), (BEFORE, 3), (AFTER, 1), (AFTER, 4)])
def test_an_order_that_was_cut_short_goes_on(about: Dict[str, Any], point: str, times: int, tmp_path: Path,
                                             caplog: pytest.LogCaptureFixture) -> None:
    play(tmp_path, create)
    killed_at(point, times, tmp_path, order(bulk.DELETE, reason="why", **about))
    found = play(tmp_path, resume)
    assert set(found.values()) == {p.DELETED}
    assert "the order to delete 7 jobs was cut short" in caplog.text
    assert "is done: 7 jobs were changed in all" in caplog.text
    assert play(tmp_path, histories) == ["deleted: why"] * JOBS


async def histories(experiment: Experiment, _orders: Orders) -> List[str]:
    return [row[0] for row in await experiment.read(lambda db: db.execute(
        "SELECT reason FROM job_history ORDER BY job_id").fetchall())]


def test_it_goes_on_before_another_one_can_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one at a time, and what is left of it would be written over."""
    play(tmp_path, create)
    killed_at(AFTER, 1, tmp_path, order(bulk.DELETE, where=""))
    seen: List[Any] = []

    async def scene(experiment: Experiment, _orders: Orders) -> None:
        async def listen(*_arguments: Any) -> int:
            seen.append(experiment.bulk)
            raise StorageError("the port is taken")
        monkeypatch.setattr(HttpServer, "start", listen)
        server = JobServer(experiment, Access("127.0.0.1", None, False))
        with pytest.raises(StorageError, match="the port is taken"):
            await server.start("127.0.0.1", 0, 0)
        assert experiment.bulk is None
    play(tmp_path, scene)
    assert seen == [("delete", 0, JOBS)]
    assert set(play(tmp_path, resume).values()) == {p.DELETED}


def test_a_retry_that_goes_on_is_the_one_that_was_ordered(tmp_path: Path) -> None:
    play(tmp_path, done)
    killed_at(AFTER, 2, tmp_path,
              order(bulk.RETRY, where="status=DONE", keep_checkpoint=True, reason="again"))

    async def meanwhile(experiment: Experiment, _orders: Orders) -> None:
        await experiment.write(lambda t: put(t, p.DONE, 1))
    play(tmp_path, meanwhile)
    found = play(tmp_path, resume)
    assert found.pop(1) == p.DONE and set(found.values()) == {p.PENDING}
    assert play(tmp_path, histories) == ["sent back to the queue by hand: again"] * JOBS


def test_what_ran_and_waits_again_is_aborted_and_tagged_as_well(tmp_path: Path) -> None:
    """Jobs that run come last, and the server's end may have given them back."""
    async def running(experiment: Experiment, of: Orders) -> None:
        await create(experiment, of)
        await experiment.write(lambda t: t.db.execute(
            "UPDATE jobs SET status = 'SERVED', attempt = 1 WHERE id IN (1, 2, 5)") and None)
        await experiment.write(lambda t: t.db.executemany(
            "INSERT INTO attempts (job_id, number, worker_id, started_at) VALUES (?, 1, 'w', 1)",
            [(1,), (2,), (5,)]) and None)

    async def given_back(experiment: Experiment, _orders: Orders) -> None:
        await experiment.write(lambda t: t.db.execute(
            "UPDATE jobs SET status = 'PENDING' WHERE status = 'SERVED'") and None)

    play(tmp_path, running)
    killed_at(AFTER, 3, tmp_path, order(bulk.ABORT, ids=list(range(1, JOBS + 1))))
    play(tmp_path, given_back)
    assert set(play(tmp_path, resume).values()) == {p.ABORTED}
    killed_at(AFTER, 2, tmp_path, order(bulk.TAG, where="", add=["mine"]))
    play(tmp_path, resume)

    async def tagged(experiment: Experiment, of: Orders) -> Any:
        return await of.asked({"action": bulk.DELETE, "where": "tag=mine", "preview": True}, "where", 9, "me")
    assert play(tmp_path, tagged)["matching"] == JOBS


def test_too_many_lists_of_tags_are_told_before_the_first_job_is_changed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tags, "MAX_LISTS", 5)

    async def scene(experiment: Experiment, of: Orders) -> None:
        await create(experiment, of)
        for job_id, word in enumerate("abc", JOBS - 2):
            await experiment.write(lambda t: tags.change(t, [job_id], [word], []))
        before = await experiment.read(tags_of)
        with pytest.raises(p.ProtocolError, match="more than 5 different lists of tags"):
            await order(bulk.TAG, where="", add=["z"])(experiment, of)
        assert await experiment.read(tags_of) == before and experiment.bulk is None
        told = await order(bulk.TAG, where="id<7", add=["z"], remove=["a", "b"])(experiment, of)
        assert told["changed"] == 6
        assert await experiment.read(tags.count) == 4
    play(tmp_path, scene)


def tags_of(db: sqlite3.Connection) -> List[Any]:
    return db.execute("SELECT id, tags_id FROM jobs").fetchall()


def test_jobs_that_came_after_the_order_are_not_meant(tmp_path: Path) -> None:
    play(tmp_path, create)
    killed_at(AFTER, 1, tmp_path, order(bulk.DELETE, where=""))
    play(tmp_path, create)
    found = play(tmp_path, resume)
    assert list(found.values()) == [p.DELETED] * JOBS + [p.PENDING] * JOBS


def test_what_cannot_be_read_is_told_and_forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def odd(experiment: Experiment, _orders: Orders) -> None:
        await experiment.write(lambda t: unfinished.begin(t, json.dumps({"order": ["fly"] * 7})))
    play(tmp_path, create)
    play(tmp_path, odd)
    assert set(play(tmp_path, resume).values()) == {p.PENDING}
    assert "some of its jobs were changed" in caplog.text


def test_a_disk_that_is_full_for_a_moment_does_not_cut_it_short(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real, full = bulk.act, [True, True]

    def act(*arguments: Any) -> int:
        if len(full) == 2 or full and arguments[2][0] > 4:
            full.pop()
            raise StorageError("database or disk is full")
        return real(*arguments)

    play(tmp_path, create)
    monkeypatch.setattr(bulk, "act", act)
    assert play(tmp_path, order(bulk.DELETE, where=""))["changed"] == JOBS
    assert full == [] and "database or disk is full" in caplog.text


def test_neither_does_one_that_is_full_when_it_is_done(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be carried out once more by the next server, on jobs that have become others."""
    real, full = unfinished.forget, [True]

    def forget(t: Any) -> None:
        real(t)
        if full and t.db.execute("SELECT count(*) FROM jobs WHERE status = 'DELETED'").fetchone()[0]:
            full.pop()
            raise StorageError("database or disk is full")

    play(tmp_path, create)
    monkeypatch.setattr(unfinished, "forget", forget)
    assert play(tmp_path, order(bulk.DELETE, where=""))["changed"] == JOBS
    assert full == []

    async def kept(experiment: Experiment, _orders: Orders) -> Any:
        return await experiment.read(unfinished.kept)
    assert play(tmp_path, kept) is None


def test_what_is_written_with_a_slice_does_not_grow_with_the_order(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice takes as many jobs as can be written in a time: it would be spent on the list of ids."""
    written: List[str] = []
    monkeypatch.setattr(unfinished, "keep", lambda t, come_to: written.append(come_to))
    play(tmp_path, create)
    play(tmp_path, order(bulk.DELETE, ids=list(range(1, 1000))))
    assert written and max(map(len, written)) < 50


def test_a_batch_shows_when_it_is_whole(tmp_path: Path) -> None:
    """For who counts, lists, waits, gives orders and asks by id."""
    async def scene(experiment: Experiment, of: Orders) -> None:
        await create(experiment, of)
        first = await experiment.write(batches.begin)
        await experiment.write(lambda t: batches.add(t, first, ['{"x": 1}', '{"x": 2}', '{"y": 3}']))
        assert await shown(experiment) == (JOBS,) * 14
        assert (await of.asked({"action": bulk.PRIORITISE, "where": ""}, "where", 9, "me"))["changed"] == JOBS
        await experiment.write(lambda t: batches.publish(t, first, 3))
        assert await shown(experiment) == (JOBS + 3,) * 14
    play(tmp_path, scene)


async def shown(experiment: Experiment) -> Any:
    def look(db: sqlite3.Connection) -> Any:
        everything = conditions.compiled(db, "", 0.0)
        of_x = conditions.compiled(db, "status=PENDING id>0", 0.0)
        by_id = jobtable.order(db, "id")
        return (jobs.counts(db)[p.PENDING],
                joblist.select(db, joblist.JobQuery(per_page=100)).total,
                len(joblist.select(db, joblist.JobQuery(per_page=100)).jobs),
                len(joblist.statuses(db, range(1, 100))),
                sum(standings.of_filter(db, everything).by_status.values()),
                len(jobtable.page(db, everything, by_id, None, 100).jobs),
                sum(scanning.count(db, of_x).matching.values()),
                len(scanning.matching(db, of_x, 0, 100).ids),
                sum(standings.of_ids(db, standings.runs(range(1, 100))).by_status.values()),
                sum(bulk.statuses_of(db, range(1, 100)).values()),
                *(sum(is_there(db, ask, job_id) for job_id in range(1, 20))
                  for ask in (jobdetails.job, wholejob.job, files.uploads,
                              lambda db, job_id: jobdetails.output(db, job_id, None))))
    return await experiment.read(look)


def is_there(db: sqlite3.Connection, ask: Callable[[sqlite3.Connection, int], Any], job_id: int) -> bool:
    try:
        ask(db, job_id)
    except jobs.NoSuchJob:
        return False
    return True


def test_a_driver_of_many_leaves_it_out_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "FEW", 0)
    test_a_batch_shows_when_it_is_whole(tmp_path)
