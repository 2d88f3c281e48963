"""Heartbeats go on while files are sent, however long that takes."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List, cast

import pytest

from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.messages import Assignment, Result
from jd.worker.attempt.process.ward import Ward
from jd.worker.attempt.starting import Starter
from jd.worker.config import WorkerConfig
from jd.worker.log import WorkerLog
from jd.worker.uplink.callthread import Call
from jd.worker.uplink.connection import Connection
from jd.worker.uplink.delivery import FILES_TIMEOUT, Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.meanwhile import Meanwhile
from jd.worker.uplink.outbox import Entry, Outbox, in_directory
from jd.worker.uplink.waitingfiles import WaitingFiles

BEAT = Call("beat", "/worker/heartbeat", {}, 2.0)
LOGGED: List[str] = []
WAIT = 60.0  # for what comes in milliseconds


class Server:
    """Counts the heartbeats that it gets, and answers them with these errors, then well."""

    def __init__(self, *errors: JdError) -> None:
        self.errors = list(errors)
        self.beats = threading.Semaphore(0)
        self.got = 0

    def __call__(self, call: Call) -> object:
        assert call is BEAT
        self.got += 1
        self.beats.release()
        if self.errors:
            raise self.errors.pop(0)
        return {}


def test_they_are_repeated_until_the_files_are_sent() -> None:
    server = Server(ServerUnreachable("no answer"))
    with Meanwhile(server, BEAT, 0.01, 1000.0, LOGGED.append) as meanwhile:
        for _ in range(3):
            assert server.beats.acquire(timeout=WAIT)
    got = server.got
    assert meanwhile._thread is not None and not meanwhile._thread.is_alive()
    assert got == server.got  # none comes later


@pytest.mark.parametrize("error", [MemoryError(), ValueError("odd")])
def test_they_go_on_whatever_one_has_met(error: Any) -> None:
    server = Server(error)
    with Meanwhile(server, BEAT, 0.01, 1000.0, LOGGED.append):
        for _ in range(3):
            assert server.beats.acquire(timeout=WAIT)
    assert "a heartbeat while files were sent failed: " in LOGGED[-1]


def test_they_end_where_the_job_is_somebody_elses() -> None:
    server = Server(ServerRefused(409, "attempt 2 runs"))
    with Meanwhile(server, BEAT, 0.01, 1000.0, LOGGED.append) as meanwhile:
        assert meanwhile._thread is not None
        meanwhile._thread.join(WAIT)
        assert not meanwhile._thread.is_alive() and server.got == 1


def test_they_end_when_what_they_wait_for_must_have_ended() -> None:
    server = Server()
    with Meanwhile(server, BEAT, 0.01, 0.05, LOGGED.append) as meanwhile:
        assert meanwhile._thread is not None
        meanwhile._thread.join(WAIT)
        assert not meanwhile._thread.is_alive() and server.got == 5


def test_without_a_heartbeat_there_is_no_thread() -> None:
    with Meanwhile(Server(), None, 1.0, 10.0, LOGGED.append) as meanwhile:
        assert meanwhile._thread is None


def test_a_starter_repeats_them_while_it_sends_what_waited(tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    config = WorkerConfig("exp", tmp_path / "train.py", "http://s", environ={"HOME": str(tmp_path)})
    order: List[str] = []
    beats = threading.Semaphore(0)

    def deliver(call: Call) -> object:
        order.append(call.kind)
        beats.release()
        return {}

    def send(files: WaitingFiles, *_: Any) -> None:
        for _beat in range(2):
            assert beats.acquire(timeout=WAIT)
        order.append("files")

    monkeypatch.setattr(WaitingFiles, "send", send)
    link = Link("http://s", "n_egg_0", "cpu", dict)
    link.lease = 0.03
    starter = Starter(config, link,
                      cast(Connection, SimpleNamespace(deliver=deliver, server="", token=None,
                                                       checkpoint_keys=None, certificate=None)),
                      cast(WorkerLog, SimpleNamespace(event=None)), lambda: None, cast(Ward, None))
    entry = Entry(Result(7, "DONE", attempt=2), "http://s", None, "w", 0.0, None, tmp_path / "a.files")
    starter.deliver(Call("report", "/update_job_status", {}, 480.0, entry=entry, meanwhile=BEAT))
    assert order[:2] == ["beat", "beat"] and order[-1] == "report" and "files" in order


# ---- which heartbeat it is

class Desk:
    """Results that wait with files, at a worker with a lease of 5 s."""

    def __init__(self, tmp_path: Path) -> None:
        said: List[str] = []
        self.files = tmp_path / "outbox" / "a.files"
        self.outbox = Outbox(in_directory(tmp_path / "outbox"), said.append)
        self.link = Link("http://s", "n_egg_0", "cpu", dict)
        self.link.lease = 5.0
        self.delivery = Delivery(self.outbox, self.link, said.append)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_until_its_files_have_arrived_the_job_is_still_ours(desk: Desk) -> None:
    desk.delivery.hold(Result(7, "DONE", attempt=2), waiting_files=desk.files)
    for call, timeout in ((desk.delivery.own_call(False, 0.0), FILES_TIMEOUT),
                          (desk.delivery.leaving_call(False, 30.0, 0.0), 30.0)):
        assert call is not None and call.meanwhile is not None and call.timeout == timeout
        body = call.meanwhile.body
        assert (body["reported_status"], body["current_job_id"], call.meanwhile.held) == ("busy", 7, 0.0)


def test_files_of_others_do_not_hold_up_the_heartbeat_of_the_job_that_runs(desk: Desk) -> None:
    desk.outbox.put(Result(7, "DONE", attempt=2), "http://s", None, "other", desk.files)
    desk.delivery.look_on_disk()
    running = desk.link.beat(Assignment(9, {}, 1), "")
    call = desk.delivery.backlog_call(lambda: running)
    assert call is not None and call.meanwhile is running and call.timeout == FILES_TIMEOUT
    idle = desk.delivery.backlog_call()
    assert idle is not None and idle.meanwhile is None


def test_a_result_alone_is_sent_alone(desk: Desk) -> None:
    desk.delivery.hold(Result(7, "DONE", attempt=2), alone=True)
    call = desk.delivery.own_call(False, 0.0)
    assert call is not None and call.meanwhile is None and call.timeout == desk.link.patience == 2.0
