"""Published clients, which go without a word, and lose jobs and results without a word."""

from typing import Any, Dict, Optional, Tuple

import pytest

from jd import protocol as p
from jd.server.store.fleet import commands, presence, workers
from jd.server.store.pages import workerlist
from jd.server.store.pages.workerlist import WorkerQuery
from jd.server.store.queue.lease import UNTOLD
from tests.server.store_support import Desk

NEW = "node_Ab3xY9Kq2Z_0"  # since 1.28 no two have one name
OLD = "node_egg_0"


def idle(desk: Desk, worker_id: str = OLD, **fields: Any) -> workers.Answer:
    return desk.beat(worker_id, reported_status="idle", **fields)


def busy(desk: Desk, job_id: int, worker_id: str = OLD, **fields: Any) -> workers.Answer:
    return desk.beat(worker_id, reported_status="busy", current_job_id=job_id, **fields)


def report(desk: Desk, job_id: int, status: str = "DONE", message: str = "") -> None:
    """As the route does it."""
    desk.finish(job_id, status, message=message)
    desk.write(lambda t: presence.reported(t, job_id))


def later(desk: Desk, seconds: float) -> None:
    desk.now += seconds
    desk.write(lambda t: presence.drop_silent(t))


def tell(desk: Desk, action: str, worker_id: str = OLD) -> None:
    assert desk.write(lambda t: commands.tell(t, action, [worker_id], "dashboard")) == [worker_id]


def state(desk: Desk, worker_id: str = OLD) -> Tuple[str, Optional[str]]:
    found: Dict[str, Any] = desk.read(lambda db: workerlist.one(db, worker_id))
    return found["state"], found["left_reason"]


# ---- who is gone

def test_who_acknowledged_a_stop_has_left(desk: Desk) -> None:
    idle(desk)
    tell(desk, p.STOP)
    assert idle(desk).reply.pending
    assert state(desk) == ("idle", None)
    answer = idle(desk, applied_version=1)
    assert not answer.reply.pending and not answer.may_wait
    assert state(desk) == ("stopped", "stopped")
    assert desk.read(lambda db: workerlist.page(db, WorkerQuery())).total == 0


def test_who_is_stopped_during_a_job_has_left_when_that_was_reported(desk: Desk) -> None:
    desk.create(1)
    desk.claim(OLD)
    tell(desk, p.STOP)
    busy(desk, 1)
    busy(desk, 1, applied_version=1)
    assert state(desk) == ("stopping", None)
    report(desk, 1, "ABORTED", "Job aborted on node_egg_0: dashboard stop command.")
    idle(desk, applied_version=1)
    assert state(desk) == ("stopped", "stopped")


@pytest.mark.parametrize("action", [p.STOP, p.DRAIN])
def test_who_is_told_while_idle_ends_without_acknowledging_it(desk: Desk, action: str) -> None:
    """As 1.15 to 1.18 do on a stop, and all on a drain."""
    idle(desk)
    tell(desk, action)
    later(desk, 20.0)
    idle(desk)
    later(desk, presence.BACK - 1.0)
    assert state(desk)[0] == "idle"
    later(desk, 1.0)
    assert state(desk) == ("stopped", "stopped")


def test_who_runs_one_job_has_left_after_it(desk: Desk) -> None:
    desk.create(1)
    desk.claim(OLD)
    busy(desk, 1)
    assert state(desk)[0] == "busy"
    report(desk, 1)
    assert state(desk) == ("idle", None), "it has no job any more"
    later(desk, presence.BACK)
    assert state(desk) == ("stopped", "left after its job")
    idle(desk)
    assert state(desk) == ("idle", None), "it was only slow"


def test_who_asks_for_the_next_job_stays(desk: Desk) -> None:
    desk.create(2)
    desk.claim(OLD)
    report(desk, 1)
    desk.now += 3.0
    desk.claim(OLD)
    later(desk, presence.BACK)
    assert state(desk) == ("busy", None)
    later(desk, 400.0)
    assert state(desk) == ("busy", None)
    # The repeat of a result whose answer was lost says nothing of the job that it has now.
    report(desk, 1)
    later(desk, presence.BACK)
    assert state(desk)[0] == "busy"


def test_ours_are_not_expected(desk: Desk) -> None:
    desk.create(1)
    desk.claim(OLD, session="s")
    desk.finish(1, attempt=1)
    desk.write(lambda t: presence.reported(t, 1))
    later(desk, 10 * presence.BACK)
    assert state(desk)[0] == "busy", "its next heartbeat tells"


@pytest.mark.parametrize("missed", [None, 300.0])
def test_a_server_that_could_not_listen_does_not_count_that(desk: Desk, missed: Any) -> None:
    desk.create(1)
    desk.claim(OLD)
    report(desk, 1)
    desk.now += 300.0
    desk.write(lambda t: presence.seen(t) if missed is None else presence.seen(t, missed))
    later(desk, presence.BACK - 1.0)
    assert state(desk)[0] == "idle"
    later(desk, 1.0)
    assert state(desk)[0] == "stopped"


# ---- what it has lost

@pytest.mark.parametrize("worker_id, unheard", [(NEW, 35.0), (OLD, 190.0)])
def test_the_answer_with_a_job_was_lost(desk: Desk, worker_id: str, unheard: float) -> None:
    desk.create(1)
    desk.claim(worker_id)
    desk.now += unheard - 0.5
    assert idle(desk, worker_id).reply.job is None, "the answer may be on its way, or another has that name"
    desk.now += 0.5
    job = idle(desk, worker_id).reply.job
    assert job is not None and (job.job_id, job.attempt) == (1, 2)
    assert desk.sql("SELECT verdict FROM attempts WHERE number = 1") == p.VERDICT_LOST
    assert "asks for a job" in str(desk.job(1)["message"])


def test_two_heartbeats_that_waited_for_a_server_take_no_job_from_each_other(desk: Desk) -> None:
    """All but the last are of a client that has given them up; which is the last nobody knows."""
    desk.create(3)
    assert [desk.claim(NEW).job_id for _ in range(3)] == [1, 2, 3]
    desk.now += 57.0
    busy(desk, 1, NEW)
    desk.now += 57.0
    report(desk, 1)
    desk.now += 3.0
    assert desk.claim(NEW).job_id == 2
    assert desk.counts() == {"DONE": 1, "SERVED": 1, "PENDING": 1}


def test_a_result_was_lost(desk: Desk) -> None:
    desk.create(2)
    desk.claim(NEW)
    desk.now += 600.0
    busy(desk, 1, NEW)
    desk.now += 3.0
    job = idle(desk, NEW).reply.job
    assert job is not None and (job.job_id, job.attempt) == (1, 2)


def test_who_shares_a_name_takes_nothing_from_the_other(desk: Desk) -> None:
    """Words are few: of two workers with a name of before 1.28 one runs a long job, one many short ones."""
    desk.create(1)
    desk.claim(OLD)
    desk.now += p.IDLE_INTERVAL - 1.0
    for _ in range(20):
        idle(desk)
        desk.now += 1.0
        busy(desk, 1)
        desk.now += p.BUSY_INTERVAL - 1.0
    idle(desk)
    assert desk.job(1)["attempt"] == 1 and desk.status(1) == "SERVED"
    desk.now += 11.0
    idle(desk)
    assert desk.job(1)["attempt"] == 2, "nobody has it"


def test_the_job_of_a_session_is_not_a_base_clients(desk: Desk) -> None:
    desk.create(1)
    desk.claim(OLD, session="s")
    desk.now += UNTOLD
    idle(desk)
    assert desk.job(1)["attempt"] == 1 and desk.status(1) == "SERVED"


# ---- a stop from the dashboard is no failure

def test_a_stop_during_a_job_is_the_operators(desk: Desk) -> None:
    desk.create(1)
    desk.claim(OLD)
    report(desk, 1, "ABORTED", "Job aborted on node_egg_0: dashboard stop command.")
    assert desk.sql("SELECT verdict FROM attempts") == p.VERDICT_STOPPED
    assert desk.sql("SELECT failures FROM jobs") == 0
    assert desk.sql("SELECT retry_at IS NOT NULL FROM jobs"), "nobody has given the job up"
    assert desk.sql("SELECT failures_in_row FROM workers") == 0
    # Its answer was lost, and it reports once more.
    report(desk, 1, "ABORTED", "Job aborted on node_egg_0: dashboard stop command.")


@pytest.mark.parametrize("message", [
    "Job failed on node_egg_0. Exit code 1. Last output: dashboard stop command.",
    "Job aborted on node_fox_0: dashboard stop command."])
def test_what_a_script_prints_is_no_stop(desk: Desk, message: str) -> None:
    desk.create(1)
    desk.claim(OLD)
    report(desk, 1, "ABORTED", message)
    assert desk.sql("SELECT verdict FROM attempts") == p.VERDICT_FAILED
