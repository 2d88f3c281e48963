"""`replace` of a batch: all that was there before goes to DELETED, and nothing is lost by that."""

import asyncio
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd import protocol as p
from jd.server.creation import creator
from jd.server.creation.batch import from_grid
from jd.server.store.operators import batches, bulk
from jd.server.store.queue import attempts, retry
from tests.server.parts_bench import PartsBench, run_bench
from tests.server.store_support import Desk

SAID = "replaced by new jobs"
BUSY: Dict[str, Any] = {"session": "s", "reported_status": "busy", "current_job_id": 3, "attempt": 1}


def one_of_each(desk: Desk) -> None:
    """1 is DONE, 2 is to be tried again, 3 runs, 4 waits, 5 was deleted before, 6 is over."""
    desk.create(6)
    for job_id, status in ((1, "DONE"), (2, "ABORTED")):
        claimed = desk.claim(session="s")
        assert claimed.job_id == job_id
        desk.finish(job_id, status, attempt=1)
    desk.write(lambda t: bulk.act(t, bulk.DELETE, [5], "before"))
    desk.write(lambda t: bulk.act(t, bulk.ABORT, [6], ""))
    assert desk.claim(session="s").job_id == 3


def statuses(desk: Desk) -> List[Any]:
    return [desk.status(job_id) for job_id in range(1, 8)]


def test_jobs_of_every_status_make_room_and_are_restored_to_what_they_were(desk: Desk) -> None:
    one_of_each(desk)
    created = desk.add(from_grid({"y": [1]}), replace=batches.REPLACE_ALL)
    assert created[:3] == (7, 1, "Created")
    assert statuses(desk) == ["DELETED"] * 6 + ["PENDING"]
    assert [desk.job(job_id)["message"][-1]["reason"] for job_id in (1, 4)] == [SAID, SAID]
    assert desk.job(3)["message"][-1]["reason"] == "attempt 1 stopped on w: " + SAID
    assert desk.job(5)["message"][-1]["reason"] == "deleted: before"
    desk.now += 10_000
    desk.write(lambda t: retry.retry_due(t, 100))
    assert desk.claim("v").job_id == 7 and desk.beat("u").reply.job is None, "none of the old comes back"
    desk.write(lambda t: bulk.act(t, bulk.RESTORE, range(1, 8), ""))
    # What ran or was to be tried again waits for that.
    assert statuses(desk) == ["DONE", "PENDING", "PENDING", "PENDING", "PENDING", "ABORTED", "SERVED"]


def test_a_worker_of_a_job_that_was_replaced_is_told(desk: Desk) -> None:
    one_of_each(desk)
    desk.add(from_grid({"y": [1]}), replace=batches.REPLACE_ALL)
    with pytest.raises(attempts.StaleAttempt):
        desk.beat(**BUSY)
    assert desk.claim(session="s").job_id == 7


def test_a_batch_that_is_given_up_brings_all_back(desk: Desk) -> None:
    one_of_each(desk)
    start_id = desk.write(batches.begin)
    desk.write(lambda t: batches.add(t, start_id, ['{"y": 1}']))
    while desk.write(lambda t: batches.set_aside(t, start_id, batches.REPLACE_ALL, 1)):
        pass
    assert statuses(desk) == ["DELETED"] * 6 + [None]
    while desk.write(lambda t: batches.abandon(t, 1)):
        pass
    assert statuses(desk) == ["DONE", "PENDING", "PENDING", "PENDING", "DELETED", "ABORTED", None]


@pytest.mark.parametrize("slices", [False, True])
def test_published_clients_find_a_list_without_the_old_jobs(tmp_path: Path, slices: bool,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    if slices:
        monkeypatch.setattr(batches, "SLICE", 2)

    async def scenario(bench: PartsBench) -> None:
        async def listed(query: str = "") -> List[Any]:
            page = (await bench.get("/api/jobs?per_page=2" + query)).json
            assert page["total_count"] >= len(page["jobs"])
            return [job["id"] for job in page["jobs"]]

        await bench.post(p.CREATE_JOBS, {"parameters": {"x": [1, 2, 3]}})
        assert await bench.beat()
        await bench.upload(1, "metrics.csv", "a\n1\n")
        await bench.finish(1)
        assert await bench.beat()
        made = (await bench.post(p.CREATE_JOBS, {"jobs": [{"x": 7}, {"x": 8}], "replace": True})).json
        assert (made["action"], made["total_jobs"], made["start_id"]) == ("Created", 2, 4)
        assert made["replaced"] == 3
        assert made["message"] == "Created jobs: 2, with ids 4 to 5; replaced jobs, now DELETED: 3"
        assert await listed() == [4, 5] and await listed("&page=2") == []
        assert await listed("&status=DELETED") == [1, 2]
        assert await listed("&ids=1,4") == [1, 4] and await listed("&search=2") == [2]
        assert await listed('&search=%22x%22') == [4, 5]
        answer = await bench.get("/api/jobs/1/uploads/download?filename=metrics.csv")
        assert (answer.status, answer.content) == (200, b"a\n1\n")
        # A client of the base goes on with the job: what it reports is not taken, and it takes the next.
        refused = await bench.post(p.UPDATE_JOB_STATUS, {"job_id": 2, "status": "DONE"})
        assert (refused.status, refused.json["error"][:16]) == (400, "job 2 is DELETED")
        job = await bench.beat()
        assert job is not None and job["job_id"] == 4
    run_bench(tmp_path, scenario)


def test_pending_is_replaced_alone_where_that_is_asked_for(tmp_path: Path) -> None:
    async def scenario(bench: PartsBench) -> None:
        await bench.post(p.CREATE_JOBS, {"parameters": {"x": [1, 2, 3]}})
        await bench.beat()
        made = (await bench.post(p.CREATE_JOBS, {"jobs": [{"x": 7}], "replace": "pending"})).json
        assert (made["action"], made["replaced"]) == ("Appended", 2)
        counts = (await bench.get(p.JOB_COUNTS)).json
        assert (counts["SERVED"], counts["DELETED"], counts["PENDING"]) == (1, 2, 1)
        made = (await bench.post(p.CREATE_JOBS, {"jobs": [{"x": 7}], "replace": False})).json
        assert made["action"] == "Appended" and "replaced" not in made
    run_bench(tmp_path, scenario)


def test_many_running_jobs_are_stopped_a_few_at_a_time(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creator, "_SERVED_STEPS", batches.SLICE)
    monkeypatch.setattr(batches, "SERVED_SLICE", 1)

    async def scenario(bench: PartsBench) -> None:
        await bench.post(p.CREATE_JOBS, {"parameters": {"x": [1, 2]}})
        for worker in ("w", "v"):
            assert await bench.beat(worker)
        taken: List[List[int]] = []
        bench.experiment.on_commit(lambda happened: taken.append(list(happened.taken_away)))
        await asyncio.wait_for(bench.post(p.CREATE_JOBS, {"jobs": [{"x": 7}], "replace": True}), 20)
        assert [one for one in taken if one] == [[1], [2]]
    run_bench(tmp_path, scenario)
