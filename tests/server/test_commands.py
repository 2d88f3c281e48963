"""What workers are told, and how far it is."""

import sqlite3
from typing import Any, Callable, Dict, List, cast

import pytest

from jd import messages
from jd import protocol as p
from jd.server.store.fleet import commands, standing, workers
from jd.server.store.fleet.commands import CANCEL, Selection
from jd.server.store.pages import workerlist
from jd.server.store.policy import Policy
from tests.server.store_support import Desk
from tests.server.test_statements import Counting

Row = Callable[..., Dict[str, Any]]
Tell = Callable[..., List[str]]


@pytest.fixture
def tell(desk: Desk) -> Tell:
    """Tell worker w something; whether it was something new."""
    def say(action: str, *workers: Any) -> List[str]:
        return desk.write(lambda t: commands.tell(t, action, workers or ("w",), "dashboard"))
    return say


@pytest.fixture
def row(desk: Desk) -> Row:
    return lambda worker_id="w": desk.read(lambda db: workerlist.one(db, worker_id))


def take_command(desk: Desk, worker_id: str = "w", **fields: Any) -> messages.HeartbeatReply:
    """The worker hears what it is told, and says that it has it."""
    told = desk.beat(worker_id, applied_version=0, **fields).reply
    return desk.beat(worker_id, applied_version=told.desired_version, **fields).reply


def test_a_command_is_queued_until_the_worker_takes_it(desk: Desk, tell: Tell, row: Row) -> None:
    desk.beat(reported_status="idle", session="s")
    desk.now += 1
    assert tell(p.DRAIN) == ["w"]
    assert (row()["queued"], row()["pending"], row()["state"]) == ("drain", True, "idle")
    assert (row()["requested_at"], row()["requested_by"]) == (desk.now, "dashboard")
    told = desk.beat(session="s").reply
    assert (told.desired_state, told.desired_version, told.pending) == ("drain", 1, True)
    assert row()["acknowledged_at"] is None
    desk.now += 1
    assert not desk.beat(session="s", applied_version=1).reply.pending
    assert (row()["queued"], row()["pending"], row()["state"]) == (None, False, "draining")
    assert (row()["acknowledged_at"], row()["done_at"]) == (desk.now, None)
    assert [line["event"] for line in row()["history"]] == ["applied drain", "queued drain", "started"]
    assert [line["source"] for line in row()["history"]] == ["worker", "dashboard", "worker"]


def test_no_job_is_handed_out_while_a_command_is_queued(desk: Desk, tell: Tell) -> None:
    desk.beat()
    tell(p.PAUSE)
    desk.create(1)
    assert desk.beat().reply.job is None
    tell(CANCEL)
    assert desk.beat().reply.job is None
    assert desk.beat(applied_version=2).reply.job is not None


@pytest.mark.parametrize("queued, then, desired", [
    ("pause", "stop", "stop"), ("pause", "drain", "drain"), ("drain", "stop", "stop"),
    ("stop", "drain", "stop"), ("stop", "pause", "stop"), ("drain", "pause", "drain"),
    ("drain", "run", "drain"), ("pause", "run", "pause"),
])
def test_of_several_queued_commands_the_stronger_holds(desk: Desk, tell: Tell, row: Row, queued: str,
                                                       then: str, desired: str) -> None:
    desk.beat()
    tell(queued)
    assert tell(then) == (["w"] if desired == then else [])
    assert row()["desired_state"] == desired
    tell(CANCEL)
    assert (row()["desired_state"], row()["queued"]) == ("run", None)


def test_a_command_that_was_taken_gives_way_to_any_other(desk: Desk, tell: Tell, row: Row) -> None:
    desk.beat(reported_status="busy")
    tell(p.DRAIN)
    take_command(desk, reported_status="busy")
    assert tell(p.RUN) == ["w"]
    assert (row()["queued"], row()["state"]) == ("run", "draining")
    assert desk.beat(reported_status="busy", applied_version=1).reply.desired_version == 2


def test_what_is_so_already_is_nothing_new(desk: Desk, tell: Tell, row: Row) -> None:
    desk.beat()
    assert tell(p.RUN) == []
    tell(p.PAUSE)
    assert tell(p.PAUSE) == []
    assert row()["desired_version"] == 1


def test_cancel_reverts_to_what_was_before_with_a_new_version(desk: Desk, tell: Tell, row: Row) -> None:
    desk.beat()
    tell(p.PAUSE)
    take_command(desk)
    tell(p.DRAIN)
    tell(p.STOP)
    assert tell(CANCEL) == ["w"]
    assert (row()["desired_state"], row()["desired_version"], row()["queued"]) == ("pause", 4, None)
    assert row()["state"] == "paused"
    assert tell(CANCEL) == []
    assert row()["history"][0]["event"] == "cancelled stop"


def test_there_is_nothing_to_cancel_once_a_command_was_taken(desk: Desk, tell: Tell) -> None:
    desk.beat()
    tell(p.PAUSE)
    take_command(desk)
    assert tell(CANCEL) == []


def test_a_pause_is_done_when_the_worker_has_no_job(desk: Desk, tell: Tell, row: Row) -> None:
    desk.create(1)
    desk.beat()
    tell(p.PAUSE)
    take_command(desk, reported_status="busy", current_job_id=1, attempt=1)
    assert (row()["state"], row()["done_at"]) == ("busy", None)
    assert row()["acknowledged_at"] == desk.now
    desk.now += 60
    desk.finish(1)
    desk.beat(applied_version=1)
    assert (row()["state"], row()["done_at"]) == ("paused", desk.now)


@pytest.mark.parametrize("taken", [True, False])
def test_a_worker_that_has_left_has_done_what_it_was_told(desk: Desk, tell: Tell, row: Row,
                                                          taken: bool) -> None:
    desk.beat(session="s")
    tell(p.STOP)
    if taken:
        take_command(desk, session="s")
    desk.now += 1
    desk.beat(session="s", leave=True, reported_status="busy", applied_version=int(taken))
    assert (row()["state"], row()["done_at"], row()["queued"]) == ("stopped", desk.now, None)
    assert not row()["pending"]


def test_workers_that_have_left_are_told_nothing(desk: Desk, tell: Tell) -> None:
    desk.beat(session="s")
    desk.beat(session="s", leave=True)
    assert tell(p.STOP) == []
    assert desk.read(lambda db: commands.affected(db, p.STOP, Selection())) == []
    assert desk.read(lambda db: commands.affected(db, p.STOP, Selection(["w", "nobody"]))) == []


def test_a_new_process_is_not_told_what_the_one_before_it_was(desk: Desk, tell: Tell, row: Row) -> None:
    desk.beat(session="a")
    tell(p.STOP)
    desk.beat(session="a", leave=True, reported_status="busy")
    assert desk.beat(session="b").reply.desired_state == "run"
    assert (row()["requested_at"], row()["done_at"], row()["queued"]) == (None, None, None)


def test_workers_are_chosen_by_id_host_launch_or_all(desk: Desk) -> None:
    for worker_id, host in [("a_egg_0", "A"), ("a_egg_1", "A"), ("a_fox_0", "A"), ("b_egg_0", "B")]:
        desk.beat(worker_id, host=host)
    desk.write(lambda t: commands.tell(t, p.PAUSE, ["a_egg_1"], "dashboard"))

    def chosen(*selection: Any) -> List[str]:
        return desk.read(lambda db: commands.affected(db, p.PAUSE, Selection(*selection)))
    assert chosen() == ["a_egg_0", "a_fox_0", "b_egg_0"]
    assert chosen(None, "A") == ["a_egg_0", "a_fox_0"]
    assert chosen(None, "A", "egg") == ["a_egg_0"]
    assert chosen(["b_egg_0", "b_egg_0", "a_egg_1"]) == ["b_egg_0"]
    assert desk.read(lambda db: commands.affected(db, CANCEL, Selection())) == ["a_egg_1"]


def test_thousands_are_told_in_their_order_with_a_few_statements(desk: Desk, tell: Tell, row: Row) -> None:
    """With statements for each, the thread that writes waited for Python's interpreter as often."""
    names = ["w%d" % number for number in range(3 * standing.AT_ONCE)]
    beats = [messages.Heartbeat(name, session=name) for name in names]
    desk.write(lambda t: [workers.heartbeat(t, beat) for beat in beats])
    tell(p.STOP, *names[:2])
    counting = Counting(desk.database._writer_connection)
    desk.database._writer_connection = cast(sqlite3.Connection, counting)
    backwards = list(reversed(names))
    assert tell(p.PAUSE, *backwards, *backwards, "nobody") == backwards[:-2]
    assert len(counting.statements) < 30, "\n".join(counting.statements)
    assert (row("w7")["queued"], row("w0")["queued"]) == ("pause", "stop")
    assert tell(CANCEL, *names) == names
    assert [line["event"] for line in row("w0")["history"]] == ["cancelled stop", "queued stop", "started"]
    assert [line["event"] for line in row("w7")["history"]] == ["cancelled pause", "queued pause", "started"]


def test_who_is_told_the_same_is_given_the_same_answer(desk: Desk, tell: Tell) -> None:
    beats = [messages.Heartbeat("w%d" % number, session="s%d" % number) for number in range(4)]
    desk.write(lambda t: [workers.heartbeat(t, beat) for beat in beats])
    tell(p.PAUSE, "w0", "w1", "w3")
    beats[3] = beats[3]._replace(session="another")
    first, second, third, last = desk.read(lambda db: workers.told(db, beats, Policy()))
    assert first is second and first.reply.desired_state == "pause" and not first.may_wait
    assert third.reply.desired_state == "run" and third.may_wait
    assert last.reply == first.reply and last is not first  # and knows that it is another process
