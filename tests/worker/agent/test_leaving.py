"""Why a worker leaves, and how long that may take, without a worker."""

import math
from typing import List, Optional

import pytest

from jd import protocol
from jd.errors import EXIT_FAILURE, EXIT_OK, EXIT_TERMINATED
from jd.messages import Assignment, HeartbeatReply
from jd.worker.agent.leaving import BOUNDED_TIME, LEAVE_TIME, PATIENCE, Departure, Leaving
from jd.worker.limits import RESERVE, Limits


def leaving(limits: Limits = Limits(), once: bool = False, logged: Optional[List[str]] = None) -> Leaving:
    return Leaving(limits, once, ([] if logged is None else logged).append)


def looked(way: Leaving, now: float = 100.0, idle_since: float = 100.0, away_since: Optional[float] = None,
           state: str = protocol.RUN, last_verdict: Optional[str] = None) -> Optional[Departure]:
    way.look(now, idle_since, away_since, state, last_verdict)
    return way.departure


def test_without_a_reason_a_worker_stays() -> None:
    way = leaving()
    assert looked(way) is None and not way.is_asked and way.next_look(100.0, 100.0, None) == []


@pytest.mark.parametrize("state", [protocol.DRAIN, protocol.STOP])
def test_a_server_may_ask_for_it(state: str) -> None:
    found = looked(leaving(), state=state)
    assert found is not None and (found.why, found.status) == ("the server asked it to " + state, EXIT_OK)


def test_who_gives_up_fails() -> None:
    way = leaving()
    way.give_up("no token")
    found = looked(way)
    assert found is not None and (found.why, found.status) == ("no token", EXIT_FAILURE)


def test_the_first_reason_counts() -> None:
    way = leaving()
    way.signal("SIGTERM")
    way.give_up("no token")
    found = looked(way, state=protocol.DRAIN)
    assert found is not None and (found.why, found.status) == ("stopped by SIGTERM", EXIT_OK)
    assert way.why_stopped == "stopped by SIGTERM"


def test_a_worker_that_drains_leaves_when_it_has_no_job() -> None:
    way = leaving()
    way.drain("SIGUSR2")
    assert way.departure is None and way.is_asked
    assert way.why_stopped == "drained by SIGUSR2, for want of time"
    found = looked(way)
    assert found is not None and found.why == "drained by SIGUSR2"


def test_one_job_and_no_more() -> None:
    way = leaving(once=True)
    assert looked(way) is None
    found = looked(way, last_verdict=protocol.VERDICT_DONE)
    assert found is not None and found.why == "one job is finished (once=true)"


def test_who_wants_one_job_does_not_wait_for_ever_for_its_server() -> None:
    way = leaving(once=True)
    assert looked(way, 100.0 + BOUNDED_TIME - 1.0, away_since=100.0) is None
    assert way.next_look(150.0, 150.0, 100.0) == [100.0 + BOUNDED_TIME]
    found = looked(way, 100.0 + BOUNDED_TIME, away_since=100.0)
    assert found is not None and (found.status, found.limit) == (EXIT_FAILURE, 0.0)


def test_a_worker_may_be_idle_too_long() -> None:
    way = leaving(Limits(idle_exit=60.0))
    assert looked(way, 159.0, 100.0) is None
    assert way.next_look(110.0, 100.0, None) == [160.0]
    found = looked(way, 160.0, 100.0)
    assert found is not None and "idle_timeout" in found.why


def reply(**fields: object) -> HeartbeatReply:
    return HeartbeatReply.from_json(dict({"heartbeat_interval": 1.0}, **fields))


def test_an_answer_without_a_job_may_be_the_end() -> None:
    way = leaving(Limits(exit_when_empty=True))
    way.after(reply(), tells_empty=True)
    assert way.departure is None
    way.after(reply(empty=True), tells_empty=True)
    assert way.departure is not None and "exit_when_empty" in way.departure.why


def test_that_a_server_does_not_tell_is_said_once() -> None:
    logged: List[str] = []
    way = leaving(Limits(exit_when_empty=True), logged=logged)
    for _ in range(2):
        way.after(reply(), tells_empty=False)
    assert way.departure is None and len(logged) == 1 and "no effect" in logged[0]


@pytest.mark.parametrize("signalled, has_result, may_stay, left, limit", [
    (False, False, False, None, LEAVE_TIME),
    (False, True, False, None, BOUNDED_TIME),
    (False, True, True, None, math.inf),
    (False, True, True, math.inf, math.inf),
    (False, True, False, 1000.0, 1000.0 - RESERVE),
    (False, True, True, 1000.0, 1000.0 - RESERVE),
    (True, True, True, 1000.0, LEAVE_TIME)])
def test_a_result_is_worth_all_the_time_that_is_left_but_not_after_a_signal(
        signalled: bool, has_result: bool, may_stay: bool, left: Optional[float], limit: float) -> None:
    way = leaving(Limits(left=lambda: left))
    if signalled:
        way.signal("SIGTERM")
    departure = way.departure or Departure("why", may_stay=may_stay)
    way.begin(departure, 100.0, has_result, may_abandon=False)
    assert (departure.deadline, departure.patience) == (100.0 + limit, 100.0 + PATIENCE)
    way.begin(departure, 100.0, has_result, may_abandon=True)
    assert departure.patience == 100.0


# ---- what it ends with

def ended(way: Leaving, last_verdict: Optional[str] = None) -> int:
    found = looked(way, last_verdict=last_verdict)
    assert found is not None
    return way.exit_status(found, last_verdict)


def managed(once: bool = False) -> Leaving:
    """Of a worker in the foreground of a container or a batch job."""
    return Leaving(Limits(), once, print, status_tells=True, may_have_successor=True)


@pytest.mark.parametrize("name, reply, status", [
    ("SIGTERM", None, EXIT_TERMINATED),  # it was stopped before it heard anything
    ("SIGTERM", HeartbeatReply(), EXIT_TERMINATED),
    ("SIGTERM", HeartbeatReply(empty=False), EXIT_TERMINATED),
    ("SIGTERM", HeartbeatReply(empty=True), EXIT_OK),
    ("SIGTERM", HeartbeatReply(job=Assignment(5, {})), EXIT_TERMINATED),
    ("SIGINT", HeartbeatReply(empty=False), EXIT_OK),
    ("SIGHUP", HeartbeatReply(empty=False), EXIT_OK)])
def test_who_is_stopped_while_jobs_are_left_asks_for_another_worker(
        name: str, reply: Optional[HeartbeatReply], status: int) -> None:
    way, alone = managed(), leaving()
    for one in (way, alone):
        if reply is not None:
            one.heard(reply)
        one.signal(name)
    assert ended(way) == status
    assert ended(way, protocol.VERDICT_PREEMPTED) == status
    assert ended(alone) == EXIT_OK


def test_who_leaves_already_does_not() -> None:
    way = managed()
    way.drain("SIGUSR2")
    assert ended(way) == EXIT_OK
    way.signal("SIGTERM")
    assert ended(way) == EXIT_OK
    failing = managed()
    failing.give_up("no token")
    assert ended(failing) == EXIT_FAILURE
    failing.signal("SIGTERM")
    assert ended(failing) == EXIT_FAILURE


@pytest.mark.parametrize("signalled", [False, True])
@pytest.mark.parametrize("verdict, status", [
    (protocol.VERDICT_DONE, EXIT_OK), (protocol.VERDICT_FAILED, EXIT_FAILURE),
    (protocol.VERDICT_LOST, EXIT_FAILURE), (protocol.VERDICT_TIMEOUT, EXIT_FAILURE)])
def test_who_has_run_its_one_job_tells_how_that_ended(verdict: str, status: int, signalled: bool) -> None:
    way, background, several = managed(once=True), leaving(once=True), managed()
    for one in (way, background):
        if signalled:
            one.signal("SIGTERM")
    assert (ended(way, verdict), ended(background, verdict)) == (status, EXIT_OK)
    several.drain("SIGUSR2")
    assert ended(several, verdict) == EXIT_OK
