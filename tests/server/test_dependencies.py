"""Jobs that wait for others: handed out when these are DONE, skipped when one of them will not be."""

import asyncio
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jd import messages
from jd import protocol as p
from jd.server import sweeper
from jd.server.store.operators import bulk, dependencies
from jd.server.store.pages import jobtable
from jd.server.store.queue import needs
from tests.server.scenes import play
from tests.server.store_support import Desk
from tests.server.test_routes import Bench


def got(desk: Desk, **fields: Any) -> Optional[int]:
    """The job that an idle worker gets."""
    job: Optional[messages.Assignment] = desk.beat(**fields).reply.job
    return None if job is None else job.job_id


def history(desk: Desk, job_id: int) -> List[str]:
    return [line["reason"] for line in desk.job(job_id)["message"]]


def test_a_job_is_handed_out_when_all_that_it_waits_for_are_done(desk: Desk) -> None:
    desk.create(2)
    desk.create(3, after=[2, 1, 1])
    assert desk.job(3)["needs"] == ["after 1-2"]
    assert [got(desk, worker_id="v"), got(desk), got(desk, worker_id="u")] == [1, 2, None]
    desk.finish(1)
    desk.write(sweeper.step)
    assert got(desk, worker_id="v") is None
    desk.finish(2)
    desk.write(sweeper.step)
    assert desk.happened.pending == 3 and desk.job(3)["needs"] is None
    assert got(desk) == 3


def test_it_needs_what_its_batch_says_before_and_after(desk: Desk) -> None:
    desk.create(1)
    desk.create(1, after=[1], needs=["gpu"])
    assert desk.job(2)["needs"] == ["gpu", "after 1"]
    got(desk)
    desk.finish(1)
    assert got(desk, worker_id="g", tags=["gpu"]) is None
    desk.write(sweeper.step)
    assert got(desk) is None
    assert desk.read(needs.cannot_run) == []  # the worker with a GPU is there
    assert got(desk, worker_id="g", tags=["gpu"]) == 2


@pytest.mark.parametrize("ends", ["aborted", "deleted", "failed"])
def test_it_is_skipped_with_a_reason_and_so_is_what_waits_for_it(desk: Desk, ends: str) -> None:
    desk.create(2, max_attempts=1)
    desk.create(1, after=[1, 2])
    desk.create(1, after=[3])
    if ends == "failed":
        got(desk)
        desk.finish(1, "ABORTED")
    else:
        desk.write(lambda t: bulk.act(t, bulk.ABORT if ends == "aborted" else bulk.DELETE, [1], ""))
    desk.write(sweeper.step)
    desk.write(sweeper.step)
    status = "DELETED" if ends == "deleted" else "ABORTED"
    assert history(desk, 3) == ["skipped: job 1, which it waits for, is " + status]
    assert history(desk, 4) == ["skipped: job 3, which it waits for, is ABORTED"]
    assert desk.job(3)["retry_at"] is None and desk.job(3)["completion_timestamp"] == desk.now
    assert desk.status(2) == "PENDING"


def test_a_job_that_fails_and_is_tried_again_is_waited_for(desk: Desk) -> None:
    desk.create(1)
    desk.create(1, after=[1])
    got(desk)
    desk.finish(1, "ABORTED")
    desk.write(sweeper.step)
    assert desk.status(2) == "PENDING"


def test_what_was_skipped_waits_again_when_it_is_sent_back(desk: Desk) -> None:
    desk.create(1)
    desk.create(1, after=[1])
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [1], ""))
    desk.write(sweeper.step)
    desk.write(lambda t: bulk.act(t, bulk.RETRY, [1, 2], ""))
    desk.write(sweeper.step)
    assert got(desk) == 1 and got(desk, worker_id="v") is None
    desk.finish(1)
    desk.write(sweeper.step)
    assert got(desk) == 2


def test_many_are_let_go_in_steps(desk: Desk) -> None:
    desk.create(1)
    desk.create(10, after=[1])
    got(desk)
    desk.finish(1)
    for left in (6, 2, 0):
        desk.write(lambda t: dependencies.follow(t, 4))
        assert desk.sql("SELECT count(*) FROM jobs WHERE needs_id IS NOT NULL") == left


def test_a_waiting_list_is_no_tag_to_choose_and_nothing_that_cannot_run(desk: Desk) -> None:
    desk.create(2)
    desk.create(1, after=[1])
    assert desk.read(needs.cannot_run) == []
    assert desk.read(jobtable.columns)["needs"] == []


def test_equal_lists_are_kept_once_and_there_is_a_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependencies, "MAX_DEPENDENCIES", 2)
    monkeypatch.setattr(needs, "MAX_LISTS", 1)
    desk.create(300)
    desk.create(1, after=[1, 2])
    desk.create(1, after=[2, 1])
    desk.create(1, after=list(range(1, 301, 2)))
    assert desk.sql("SELECT count(*) FROM dependencies") == 2
    assert len(desk.job(303)["needs"][0]) < 150
    with pytest.raises(p.ProtocolError, match="different lists of jobs already"):
        desk.create(1, after=[3])


@pytest.mark.parametrize("more, says", [
    ({"after": [9]}, "there is no job 9"), ({"after": [1, 2, 3]}, "of the jobs 1 to 3 some do not exist"),
    ({"after": [3]}, "there is no job 3"), ({"after": "1"}, "after must be a list"),
    ({"after": [0]}, "positive whole number"), ({"after": [1], "replace": True}, "exclude each other"),
])
def test_what_cannot_be_waited_for_is_refused_and_makes_no_job(tmp_path: Path, more: Dict[str, Any],
                                                               says: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1, 2]}})
        status, answer = await bench.call("POST", p.CREATE_JOBS, dict({"parameters": {"x": [3]}}, **more))
        assert status == 400 and says in answer["error"]
        _, listed = await bench.call("GET", p.LIST_JOBS)
        assert listed["total_count"] == 2
        assert (await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [3]}, "after": []}))[0] == 200
        assert (await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [3]}, "after": None}))[0] == 200
    play(lambda: Bench(tmp_path), scenario)


def test_a_held_worker_gets_it_as_soon_as_it_may_go(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [1]}})
        await bench.call("POST", p.CREATE_JOBS, {"parameters": {"x": [2]}, "after": [1]})
        await bench.beat()
        held = asyncio.ensure_future(bench.beat(worker_id="v", wait=60))
        while not bench.server.room.of_worker("v"):
            await asyncio.sleep(0)
        await bench.call("POST", p.UPDATE_JOB_STATUS, {"job_id": 1, "status": "DONE"})
        await bench.experiment.write(sweeper.step)
        assert (await held)[1]["job"]["job_id"] == 2
    play(lambda: Bench(tmp_path), scenario)
