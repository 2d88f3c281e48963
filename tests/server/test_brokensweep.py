"""A sweep whose first attempts all failed pauses itself, and says why."""

from typing import Optional

import pytest

from jd.server.store import policy
from jd.server.store.operators import options
from tests.server.store_support import Desk

FIRST = 10


def fail(desk: Desk, worker: str, times: int = 1, tail: str = "") -> None:
    """Let a worker fail the next jobs of the queue."""
    for _ in range(times):
        job = desk.claim(worker, session=worker)
        desk.finish(job.job_id, "ABORTED", attempt=job.attempt, exit_code=1, message="exit status 1",
                    output_tail=tail)
        desk.policy = desk.policy._replace(**desk.happened.settings)


def because(desk: Desk) -> Optional[str]:
    return desk.read(policy.paused_because)


def test_ten_failures_at_the_start_pause_the_sweep_and_say_the_last_line(desk: Desk) -> None:
    desk.create(30)
    fail(desk, "a", 5)
    fail(desk, "b", 4)
    assert not desk.policy.paused and because(desk) is None
    fail(desk, "b", tail="Traceback\nModuleNotFoundError: No module named 'torch'\n\n")
    assert desk.policy.paused
    assert because(desk) == ("its first 10 attempts all failed; the last: exit status 1: "
                             "ModuleNotFoundError: No module named 'torch'")
    assert desk.happened.said == ["the experiment pauses itself, since " + str(because(desk))]
    reply = desk.beat("a", session="a").reply
    assert reply.job is None and reply.paused_because == because(desk)


def test_a_success_among_them_ends_the_counting_until_jobs_are_created(desk: Desk) -> None:
    desk.policy = desk.policy._replace(pause_failing=False)
    desk.create(60)
    fail(desk, "a", 9)
    job = desk.claim("b", session="b")
    desk.finish(job.job_id, attempt=job.attempt)
    fail(desk, "a", FIRST)
    fail(desk, "b", FIRST)
    assert not desk.policy.paused
    desk.create(1)
    fail(desk, "a", 9)
    fail(desk, "b")
    assert desk.policy.paused


def test_one_worker_among_others_pauses_nothing_and_one_alone_does(desk: Desk) -> None:
    desk.create(60)
    desk.claim("healthy", session="healthy")
    fail(desk, "a", 2 * FIRST)
    assert not desk.policy.paused
    desk.beat("healthy", session="healthy", reported_status="busy", leave=True)
    fail(desk, "a")
    assert desk.policy.paused


def test_who_goes_on_is_not_stopped_by_the_next_failure(desk: Desk) -> None:
    desk.create(60)
    fail(desk, "a", FIRST)
    assert desk.policy.paused
    desk.write(lambda t: options.save(t, {"paused": False}))
    desk.policy = desk.policy._replace(paused=False)
    assert because(desk) is None and desk.happened.pending == 50
    fail(desk, "a", FIRST - 1)
    assert not desk.policy.paused
    fail(desk, "a")
    assert desk.policy.paused


def test_it_can_be_switched_off(desk: Desk) -> None:
    desk.create(60)
    desk.policy = desk.policy._replace(pause_broken=False)
    fail(desk, "a", 2 * FIRST)
    assert not desk.policy.paused


@pytest.mark.parametrize("verdict", ["preempted"])
def test_what_is_no_failure_does_not_count(desk: Desk, verdict: str) -> None:
    desk.create(3)
    for _ in range(2 * FIRST):
        job = desk.claim("a", session="a")
        desk.finish(job.job_id, "ABORTED", attempt=job.attempt, verdict=verdict)
    assert not desk.happened.settings and because(desk) is None
