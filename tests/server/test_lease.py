"""How long a lease is, and that a worker which does as it is told keeps its job."""

from typing import Any, Dict

import pytest

from jd import messages
from jd import protocol as p
from jd.server.store.fleet import workers
from jd.server.store.operators import options
from jd.server.store.policy import Policy
from jd.server.store.queue import lease
from tests.server.store_support import Desk

BUSY: Dict[str, Any] = {"reported_status": "busy", "current_job_id": 1}


@pytest.fixture
def policy() -> Policy:
    return Policy(lease=30.0)


def change_lease(desk: Desk, seconds: float) -> None:
    desk.write(lambda t: options.save(t, {"lease": seconds}))
    desk.policy = desk.policy._replace(lease=seconds)


def expire(desk: Desk) -> None:
    desk.write(lambda t: lease.expire(t, 100))


@pytest.mark.parametrize("seconds, interval", [(3.0, 1.0), (30.0, 10.0), (171.0, 57.0), (600.0, 57.0)])
@pytest.mark.parametrize("own", [True, False])
def test_a_worker_is_told_a_third_of_the_lease_of_its_job(desk: Desk, seconds: float, interval: float,
                                                          own: bool) -> None:
    desk.policy = Policy(lease=60.0 if own else seconds)
    desk.create(1, **({"idle_timeout": seconds} if own else {}))
    for fields in ({}, {}, dict(BUSY, attempt=1)):  # the claim, the same job again, a heartbeat
        reply = desk.beat(session="s", **fields).reply
        assert (reply.interval, reply.lease) == (interval, seconds)
    assert desk.sql("SELECT lease_until FROM jobs") == desk.now + seconds


def test_a_worker_without_a_job_is_told_no_lease(desk: Desk) -> None:
    reply = desk.beat(session="s").reply
    assert (reply.interval, reply.lease) == (p.IDLE_INTERVAL, None) and "lease" not in reply.to_json()


def test_a_client_that_cannot_be_told_may_be_heard_of_after_three_minutes(desk: Desk) -> None:
    desk.create(1)
    told = desk.beat().reply
    assert (told.interval, told.lease) == (p.BUSY_INTERVAL, lease.UNTOLD)
    assert desk.happened.untold
    desk.now += 200  # of a published client: 180 s, and what a call may take
    expire(desk)
    desk.beat(**BUSY)
    for _ in range(5):
        desk.now += 2 * p.BUSY_INTERVAL
        expire(desk)
        desk.beat(**BUSY)
    assert desk.status(1) == "SERVED"
    (line,) = desk.job(1)["message"]
    assert line["reason"] == ("its lease is 237 s, not 30 s: its worker cannot be told how often it has to "
                              "be heard of")
    desk.now += lease.UNTOLD
    expire(desk)
    assert desk.job(1)["message"][1]["reason"].endswith("no heartbeat for 237 s")


def test_nothing_is_said_of_a_lease_that_every_client_keeps(desk: Desk) -> None:
    desk.create(1, idle_timeout=240)
    desk.beat()
    assert not desk.happened.untold and desk.job(1)["message"] == []


def test_a_shorter_lease_takes_nothing_from_what_a_worker_was_promised(desk: Desk) -> None:
    change_lease(desk, 600.0)
    desk.create(1)
    desk.beat(session="s")
    began = desk.now
    desk.now += 1
    change_lease(desk, 3.0)
    desk.now += 56  # it was told so
    expire(desk)
    assert desk.beat(session="s", attempt=1, **BUSY).reply.interval == 1.0
    assert desk.sql("SELECT lease_until FROM jobs") == began + 600.0


def test_a_longer_lease_holds_at_once_since_workers_are_told_so(desk: Desk) -> None:
    change_lease(desk, 3.0)
    desk.create(1)
    desk.beat(session="s")
    desk.now += 1
    change_lease(desk, 600.0)
    desk.beat(session="s", attempt=1, **BUSY)
    beat = messages.Heartbeat("w", session="s", attempt=1, **BUSY)  # it is held meanwhile, and told this
    told, = desk.read(lambda db: workers.told(db, [beat], desk.policy))
    assert told.reply.interval == p.BUSY_INTERVAL
    desk.now += p.BUSY_INTERVAL
    expire(desk)
    assert desk.status(1) == "SERVED"


def test_a_lease_from_before_that_is_too_short_to_be_kept_is_the_shortest(desk: Desk) -> None:
    desk.create(1)
    desk.write(lambda t: t.db.execute("UPDATE jobs SET lease = 1"))
    assert desk.beat(session="s").reply.lease == p.MIN_LEASE


def test_after_a_restart_the_lease_of_each_is_full(desk: Desk) -> None:
    desk.create(3, idle_timeout=5)
    for worker, session in (("w", "s"), ("v", None)):
        desk.beat(worker, session=session)
    desk.now += 10_000
    desk.write(lease.restart)
    until = desk.read(lambda db: [row[0] - desk.now for row in db.execute(
        "SELECT lease_until FROM jobs WHERE status = 'SERVED' ORDER BY id")])
    assert until == [5.0, lease.UNTOLD]
