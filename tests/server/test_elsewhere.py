"""A retry goes to another host, else to another worker, than where the job failed, while there is one."""

from typing import Any, Optional

import pytest

from jd import protocol as p
from jd.server import sweeper
from jd.server.store.fleet import commands
from jd.server.store.operators import bulk
from jd.server.store.queue import claim, elsewhere
from tests.server.store_support import Desk
from tests.server.test_held_claims import held
from tests.server.test_jobs_store import work
from tests.server.test_needs import create, got, job_of
from tests.server.test_watching import Bench, Run

SOON = 30.0  # seconds until the first retry


def failed(desk: Desk, *names: str, status: str = "ABORTED", **terms: Any) -> None:
    """Job 1 has failed on each of these workers, one after the other, and is PENDING again."""
    desk.create(1, **terms)
    for name in names:
        desk.write(lambda t: t.db.execute("UPDATE jobs SET status = 'PENDING', retry_at = NULL,"
                                          " elsewhere_until = NULL WHERE id = 1"))
        desk.finish(1, status, attempt=desk.claim(name, host=host(name)).attempt)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET retry_at = ?", (desk.now,)))
    desk.write(sweeper.step)
    assert desk.status(1) == "PENDING"


def host(name: str) -> str:
    return name.split("_")[0]


def gets(desk: Desk, name: str, **fields: Any) -> Optional[int]:
    return got(desk, name, host=host(name), **fields)


def test_another_worker_is_given_it(desk: Desk) -> None:
    desk.beat("n_egg_1", host="n")
    failed(desk, "n_egg_0")
    desk.create(1)
    assert gets(desk, "n_egg_0") == 2
    assert gets(desk, "n_egg_1") == 1


def test_another_host_is_given_it_where_there_is_one(desk: Desk) -> None:
    desk.beat("m_egg_0", host="m")
    failed(desk, "n_egg_0")
    assert [gets(desk, name) for name in ("n_egg_0", "n_egg_1", "m_egg_0")] == [None, None, 1]


def test_all_that_it_has_failed_on_count(desk: Desk) -> None:
    for name in ("a_egg_0", "b_egg_0", "c_egg_0"):
        desk.beat(name, host=host(name))
    failed(desk, "a_egg_0", "b_egg_0", max_attempts=9)
    assert [gets(desk, name) for name in ("a_egg_0", "b_egg_0", "c_egg_0")] == [None, None, 1]


def test_who_is_alone_is_given_it_again(desk: Desk) -> None:
    failed(desk, "n_egg_0")
    assert gets(desk, "n_egg_0") == 1


def test_where_it_failed_everywhere_anybody_is_given_it(desk: Desk) -> None:
    desk.beat("b_egg_0", host="b")
    failed(desk, "a_egg_0", "b_egg_0", max_attempts=9)
    assert gets(desk, "a_egg_0") == 1


@pytest.mark.parametrize("unable", [
    "UPDATE workers SET left_at = 1 WHERE worker_id = 'm_egg_0'",
    "UPDATE workers SET desired_state = 'pause' WHERE worker_id = 'm_egg_0'",
    "UPDATE workers SET failing = 1 WHERE worker_id = 'm_egg_0'",
    "UPDATE workers SET last_seen = last_seen - 201 WHERE worker_id = 'm_egg_0'",
])
def test_nobody_waits_for_a_worker_that_takes_nothing(desk: Desk, unable: str) -> None:
    desk.beat("m_egg_0", host="m")
    failed(desk, "n_egg_0")
    desk.write(lambda t: t.db.execute(unable))
    assert gets(desk, "n_egg_0") == 1


def test_nobody_waits_for_a_worker_that_has_not_what_it_needs(desk: Desk) -> None:
    desk.beat("m_egg_0", host="m")
    desk.create(1, needs=["gpu"])
    desk.finish(1, "ABORTED", attempt=desk.claim("n_egg_0", host="n", tags=["gpu"]).attempt)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET retry_at = ?", (desk.now,)))
    desk.write(sweeper.step)
    assert gets(desk, "n_egg_0", tags=["gpu"]) == 1


def test_after_the_pause_of_a_retry_anybody_is_given_it(desk: Desk) -> None:
    failed(desk, "n_egg_0", aborted_job_reset_timeout=100)
    desk.now += 99.0
    desk.beat("m_egg_0", host="m", reported_status="busy")
    assert gets(desk, "n_egg_0") is None
    desk.now += 1.0
    desk.write(sweeper.step)
    assert desk.happened.pending == 1  # who waits is called
    assert gets(desk, "n_egg_0") == 1


def test_what_was_given_back_did_not_fail(desk: Desk) -> None:
    desk.beat("m_egg_0", host="m")
    desk.create(1)
    desk.claim("n_egg_0", host="n")
    desk.write(lambda t: t.db.execute("UPDATE jobs SET elsewhere_until = ?", (desk.now + 99,)))
    assert gets(desk, "n_egg_0", released={"job_id": 1, "attempt": 1, "reason": ""}) == 1


def test_a_server_that_starts_with_its_clock_put_back_holds_no_job(desk: Desk) -> None:
    failed(desk, "n_egg_0", aborted_job_reset_timeout=100)
    desk.now -= 86400.0
    desk.write(elsewhere.restart)
    assert desk.sql("SELECT elsewhere_until FROM jobs") == desk.now + 100.0


def test_sent_back_by_hand_it_goes_to_anybody(desk: Desk) -> None:
    desk.beat("m_egg_0", host="m")
    failed(desk, "n_egg_0", max_attempts=5)
    desk.finish(1, "ABORTED", attempt=desk.claim("m_egg_0", host="m").attempt)
    desk.beat("o_egg_0", host="o")
    desk.write(lambda t: bulk.act(t, bulk.RETRY, [1], ""))
    assert gets(desk, "n_egg_0") == 1


def test_a_worker_with_little_time_passes_over_likewise(desk: Desk) -> None:
    desk.beat("m_egg_0", host="m")
    failed(desk, "n_egg_0", min_time=10)
    desk.create(1, min_time=900)
    desk.create(1, min_time=20)
    desk.create(1, min_time=10)
    assert gets(desk, "n_egg_0", time_left=60.0) == 3
    assert gets(desk, "m_egg_0", time_left=60.0) == 1


def test_a_claim_passes_over_so_many_at_most(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elsewhere, "MOST", 3)
    desk.beat("m_egg_0", host="m")
    desk.create(5)
    for job_id in range(1, 6):
        desk.finish(job_id, "ABORTED", attempt=desk.claim("n_egg_0", host="n").attempt)
    desk.now += SOON
    desk.write(sweeper.step)
    desk.write(lambda t: commands.tell(t, p.RUN, ["n_egg_0"], "test"))
    assert gets(desk, "n_egg_0") is None
    assert gets(desk, "m_egg_0") == 1


def test_jobs_that_are_new_are_not_looked_at(desk: Desk) -> None:
    desk.create(500)

    new = desk.read(claim.next_job)
    assert new is not None

    def look(db: Any) -> None:
        assert not elsewhere.Elsewhere(db, "w", desk.now).passes_over(new)

    assert work(desk, look) == 0


# ---- who waits is called

async def came_back(bench: Bench) -> None:
    """Job 1 has failed on the worker bad, and its retry is due; good is another worker."""
    await create(bench)
    await bench.beat(worker_id="bad", session="bad")
    result = {"job_id": 1, "attempt": 1, "status": "ABORTED"}
    await bench.beat(worker_id="bad", session="bad", finished=result)
    await bench.beat(worker_id="good", session="good")
    bench.now += SOON


def test_who_passes_it_over_has_the_others_look(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await came_back(bench)
        bad = await held(bench, "bad")
        good = await held(bench, "good")
        await bench.experiment.write(sweeper.step)
        assert await job_of(good) == 1
        assert not bad.done()
        bench.room.close()
        await bad

    run(scenario)


def test_who_has_passed_it_over_is_given_it_when_nobody_else_takes_jobs(run: Run) -> None:
    async def scenario(bench: Bench) -> None:
        await came_back(bench)
        bad = await held(bench, "bad")
        await bench.experiment.write(sweeper.step)
        await bench.experiment.write(lambda t: commands.tell(t, p.PAUSE, ["good"], "dashboard"))
        assert await job_of(bad) == 1

    run(scenario)
