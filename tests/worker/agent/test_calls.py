"""What the answers of a server mean, and when the next call is due; without a worker."""

from pathlib import Path
from typing import Any, List, cast

import pytest

from jd import protocol
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.messages import Assignment
from jd.net.retry import Backoff
from jd.worker.agent.calls import MAX_RENAMES, OVERDUE, Calls, Heard
from jd.worker.uplink.callthread import CallThread
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import CALL_TIMEOUT, HASTE, Link
from jd.worker.uplink.outage import Outage
from jd.worker.uplink.outbox import Outbox, in_directory
from tests.worker.bench import ALL, SERVER, FakeCallThread, longest

RUNNING = Assignment(5, {}, 1)


class Desk:
    """Calls whose server the test plays."""

    def __init__(self, tmp_path: Path) -> None:
        self.logged: List[str] = []
        log = self.logged.append
        self.thread = FakeCallThread()
        self.link = Link(SERVER, "n_egg_0", "cpu", dict)
        names = ("n_egg_%d" % number for number in range(1, 100))
        self.calls = Calls(self.link, cast(CallThread, self.thread),
                           Delivery(Outbox(in_directory(tmp_path / "outbox"), log), self.link, log),
                           Outage(Backoff(1.0, 60.0, longest), log), lambda: next(names), log)

    def claim(self, now: float = 100.0) -> None:
        self.calls.send(self.link.claim(hold=True), now)

    def beat(self, now: float = 100.0) -> None:
        self.calls.send(self.link.beat(RUNNING, "", hold=True), now)

    def reply(self, now: float, took: float = 5.0, **fields: Any) -> Heard:
        body = {"heartbeat_interval": 57.0, "extensions": ALL, "server_id": "data", **fields}
        self.thread.answer(body, None, took)
        (heard,) = self.calls.collect(now)
        return heard

    def fail(self, error: JdError, now: float, took: float = 0.1) -> List[Heard]:
        self.thread.answer(None, error, took)
        return self.calls.collect(now)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_results_that_others_hold_are_looked_for_soon_again(desk: Desk,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds them may have crashed, and its job is given to somebody else when its lease is over."""
    looks: List[float] = []
    now = [100.0]
    monkeypatch.setattr(Delivery, "look_on_disk", lambda _: looks.append(now[0]))
    monkeypatch.setattr(Delivery, "others_hold", property(lambda _: now[0] < 150.0))
    while now[0] < 600.0:
        desk.claim(now[0])
        desk.reply(now[0])
        now[0] += 10.0
    assert looks == [100.0, 130.0, 160.0, 460.0]


def test_a_job_is_handed_on_and_its_first_heartbeat_is_due_soon(desk: Desk) -> None:
    assert not desk.calls.met
    desk.claim()
    heard = desk.reply(101.0, job={"job_id": 5, "parameters": {}, "status": "SERVED", "attempt": 1})
    assert heard.reply is not None and heard.reply.job == RUNNING
    assert desk.calls.met and (desk.calls.heard_at, desk.calls.beat_at) == (101.0, 104.0)


def test_a_held_heartbeat_that_was_held_in_full_is_followed_at_once(desk: Desk) -> None:
    desk.claim()
    desk.reply(100.0)
    desk.beat()
    desk.reply(157.0, took=57.0)
    assert desk.calls.beat_at == 157.0
    desk.beat(157.0)
    desk.reply(160.0, took=3.0)
    assert desk.calls.beat_at == 157.0 + 57.0


def test_empty_answers_that_come_too_soon_are_asked_for_more_and_more_seldom(desk: Desk) -> None:
    desk.claim()
    desk.reply(100.0)  # from now on claims are held
    pauses = []
    for _ in range(3):
        desk.claim()
        desk.reply(100.0, took=0.1)
        pauses.append(desk.calls.claim_at - 100.0)
    assert pauses == [1.0, 2.0, 4.0]
    desk.claim()
    desk.reply(100.0)
    assert desk.calls.claim_at == 100.0


def test_a_server_that_is_away_is_asked_again_after_a_pause(desk: Desk) -> None:
    desk.claim()
    assert desk.fail(ServerUnreachable("refused"), 101.0) == []
    assert (desk.calls.away_since, desk.calls.not_before) == (101.0, 102.0)
    desk.claim(102.0)
    desk.reply(103.0)
    assert desk.calls.away_since is None and "is back" in desk.logged[-1]


def test_a_call_that_does_not_end_is_given_up(desk: Desk) -> None:
    desk.calls.send(desk.link.claim(), 100.0)
    assert desk.calls.overdue_at == 100.0 + CALL_TIMEOUT + OVERDUE
    desk.calls.collect(desk.calls.overdue_at - 1.0)
    assert desk.calls.in_flight is not None
    desk.calls.collect(desk.calls.overdue_at)
    assert desk.calls.in_flight is None and desk.calls.away_since is not None


def test_a_name_that_is_taken_is_changed_but_not_for_ever(desk: Desk) -> None:
    for number in range(1, MAX_RENAMES + 1):
        desk.claim()
        assert desk.fail(ServerRefused(409, "in use"), 100.0) == []
        assert desk.link.worker_id == "n_egg_%d" % number
    desk.claim()
    desk.fail(ServerRefused(409, "in use"), 100.0)
    assert desk.link.worker_id == "n_egg_%d" % MAX_RENAMES and desk.calls.away_since is not None


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_not_authorised_hears_of_it(desk: Desk, status: int) -> None:
    desk.claim()
    (heard,) = desk.fail(ServerRefused(status, "no"), 100.0)
    assert heard.denied is not None and desk.calls.away_since is None
    desk.calls.pause_denied(heard.denied, 100.0)
    assert desk.calls.not_before == 160.0


def test_a_job_that_is_somebody_elses_is_told(desk: Desk) -> None:
    desk.beat()
    (heard,) = desk.fail(ServerRefused(409, "attempt 2 runs"), 100.0)
    assert heard.lost is not None and heard.denied is None


@pytest.mark.parametrize("held", [True, False])
def test_a_held_heartbeat_ends_with_the_job(desk: Desk, held: bool) -> None:
    desk.claim()
    desk.reply(100.0)
    desk.calls.send(desk.link.beat(RUNNING, "", hold=held), 100.0)
    desk.calls.job_ended(101.0, 2.0)
    assert (desk.calls.in_flight is None) == held
    assert desk.calls.claim_at == 103.0


def test_a_short_lease_leaves_time_for_another_heartbeat(desk: Desk) -> None:
    desk.claim()
    heard = desk.reply(100.0, heartbeat_interval=10.0, lease=30.0,
                       job={"job_id": 5, "parameters": {}, "status": "SERVED", "attempt": 1})
    assert heard.reply is not None and desk.calls.beat_at == 103.0
    desk.beat(103.0)
    call = desk.thread.sent[-1]
    # What is never answered is given up, after a pause tried again, and all within the lease.
    assert (call.held, call.timeout, call.body["wait"]) == (10.0, 15.0, 10.0)
    desk.fail(ServerUnreachable("no answer"), 103.0, took=4.0)
    assert desk.calls.not_before == 104.0
    for _ in range(8):
        desk.beat(110.0)
        desk.fail(ServerUnreachable("refused"), 110.0)
    assert desk.calls.not_before == 120.0
    desk.calls.pause_denied(ServerRefused(401, "no"), 120.0)
    assert desk.calls.not_before == 130.0
    desk.claim(130.0)
    assert desk.calls.overdue_at == 130.0 + desk.thread.sent[-1].timeout + 10.0


def test_the_first_heartbeat_of_a_job_comes_sooner_under_a_very_short_lease(desk: Desk) -> None:
    desk.claim()
    desk.reply(100.0, heartbeat_interval=1.0, lease=3.0,
               job={"job_id": 5, "parameters": {}, "status": "SERVED", "attempt": 1})
    assert desk.calls.beat_at == 101.0
    desk.beat(101.0)
    assert (desk.thread.sent[-1].held, desk.thread.sent[-1].timeout) == (1.0, 1.0 + HASTE)
    desk.reply(102.0, took=1.0, heartbeat_interval=1.0, lease=3.0)
    assert desk.calls.beat_at == 102.0


def test_without_a_job_there_is_no_hurry(desk: Desk) -> None:
    desk.claim()
    desk.reply(100.0, lease=3.0, job={"job_id": 5, "parameters": {}, "status": "SERVED", "attempt": 1})
    desk.claim()
    desk.reply(101.0, heartbeat_interval=180.0)
    for _ in range(8):
        desk.claim(110.0)
        desk.fail(ServerUnreachable("refused"), 110.0)
    assert desk.calls.not_before == 170.0 and desk.thread.sent[-1].timeout == 180.0 + CALL_TIMEOUT


def test_a_command_is_obeyed_once(desk: Desk) -> None:
    desk.claim()
    desk.reply(100.0, desired_state=protocol.PAUSE, desired_version=3)
    assert desk.calls.desired_state == protocol.PAUSE and desk.link.owes_acknowledgement
    desk.claim()
    desk.reply(100.0, desired_state=protocol.RUN, desired_version=2)
    assert desk.calls.desired_state == protocol.PAUSE
