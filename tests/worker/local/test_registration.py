"""A worker's row, kept true by a thread that may fail."""

import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest

from jd.errors import StorageError
from jd.node.identity import Here
from jd.worker.local import registration
from jd.worker.local.registration import Registration
from jd.worker.local.registry import Registry
from jd.worker.local.rows import BUSY, IDLE, Row
from tests.support import free_env, wait_until

LOG = Path("/logs/a.log")


class Desk:
    def __init__(self, tmp_path: Path) -> None:
        self.home = tmp_path / "home"
        self.home.mkdir()
        environ = dict(free_env(tmp_path), HOME=str(self.home))
        environ.pop("JD_CACHE_PATH", None)
        self.registry = Registry("exp", environ)
        (self.worker_id,) = self.registry.reserve([0], {}, Here(), 1.0)
        self.logged: List[str] = []
        self.registration = self.make(0.001)

    def make(self, spacing: float) -> Registration:
        return Registration(self.registry, self.worker_id, self.logged.append, spacing, lambda: 99.0)

    def show(self, status: str = IDLE, job_id: Optional[int] = None, heard: Optional[float] = None,
             worker_id: Optional[str] = None) -> None:
        self.registration.show(worker_id or self.worker_id, LOG, status, job_id, heard)

    def until(self, **fields: Any) -> None:
        def row() -> List[Row]:
            return [row for row in self.registry.rows()
                    if all(getattr(row, name) == value for name, value in fields.items())]
        wait_until(row, message=str(fields))


def full(*_: Any) -> bool:
    raise StorageError("the disk is full")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.registration.leave()


def test_changes_arrive_and_the_row_goes_with_its_worker(desk: Desk) -> None:
    desk.show(BUSY, 7)
    desk.until(status=BUSY, current_job_id=7, last_ping_at=None)
    desk.show(BUSY, 7, heard=0.5)
    desk.until(last_ping_at=99.0)
    desk.show(IDLE, None, heard=0.5)
    desk.until(status=IDLE, current_job_id=None, last_ping_at=99.0)
    desk.registration.leave()
    assert desk.registry.rows() == [] and desk.logged == []


def test_another_name(desk: Desk) -> None:
    desk.show(worker_id="node_bird_0")
    desk.until(worker_id="node_bird_0", log_path=str(LOG))
    desk.registration.leave()
    assert desk.registry.rows() == []


def test_nothing_is_written_when_nothing_changes_and_little_when_much_does(
        desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    written: List[Any] = []
    arrived, more = threading.Event(), threading.Event()

    def update(worker_id: str, status: str, job_id: Optional[int], *_: Any) -> None:
        written.append(job_id)
        (more if arrived.is_set() else arrived).set()
    monkeypatch.setattr(desk.registry, "update", update)
    desk.registration = desk.make(600.0)
    desk.show(BUSY, 1)
    assert arrived.wait(60)
    for job_id in range(2, 100):
        desk.show(BUSY, job_id)
        desk.show(BUSY, job_id)
    assert not more.wait(0.2)
    desk.registration.leave()  # at once, whatever the pause
    assert written == [1]
    assert desk.registry.rows() == []


def test_a_registry_that_fails_is_said_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.registry, "update", full)
    failures: List[float] = []
    original = desk.registration._write

    def counted(shown: Any) -> None:
        failures.append(0.0)
        original(shown)
    desk.registration._write = counted  # type: ignore[method-assign]

    def tried_again() -> bool:
        desk.show(BUSY, 1)
        return len(failures) > 2

    wait_until(tried_again)
    desk.show(BUSY, 9)
    desk.registration.leave()
    (line,) = desk.logged
    assert "the worker goes on" in line and "disk is full" in line


@pytest.mark.parametrize("error", [OSError(28, "the disk is full"), MemoryError(), ValueError("odd")])
def test_whatever_a_registry_meets_it_is_written_again(desk: Desk, monkeypatch: pytest.MonkeyPatch,
                                                       error: Exception) -> None:
    met = threading.Event()

    def once(*_: Any) -> bool:
        monkeypatch.undo()
        met.set()
        raise error
    monkeypatch.setattr(desk.registry, "update", once)
    desk.show(BUSY, 1)
    assert met.wait(60)
    desk.until(status=BUSY, current_job_id=1)


def test_a_worker_whose_home_was_away_enters_itself_again(desk: Desk) -> None:
    desk.registration.token = lambda: "newer"
    desk.show(IDLE)
    desk.until(status=IDLE, log_path="")
    before = desk.registry.row(desk.worker_id)
    away = desk.home.rename(desk.home.parent / "away")

    def told() -> bool:
        desk.show(BUSY, 1)
        return bool(desk.logged)
    wait_until(told)
    assert "would be %s" % desk.registry.path in desk.logged[0] and "pid %d" % os.getpid() in desk.logged[0]
    assert not desk.home.exists()  # a disk that is away gets no stand-in
    shutil.rmtree(str(away))
    desk.home.mkdir()
    desk.until(status=BUSY, current_job_id=1)
    found = desk.registry.row(desk.worker_id)
    assert found is not None and before is not None and found.worker_token == "newer"
    assert found.log_path == str(LOG)
    assert found._replace(status=IDLE, current_job_id=None, worker_token="", log_path="") == before

    def told_more() -> bool:
        desk.show(BUSY, 1)
        return len(desk.logged) == 2
    wait_until(told_more)
    assert "entered again" in desk.logged[1]
    desk.registration.leave()
    assert desk.registry.rows() == []


def test_so_does_one_whose_registry_was_removed(desk: Desk) -> None:
    desk.registration.begin()
    desk.show(IDLE)
    desk.until(status=IDLE)
    desk.registry.remove([desk.worker_id])
    desk.show(BUSY, 1)
    desk.until(status=BUSY, current_job_id=1)


@pytest.mark.parametrize("again", [False, True], ids=["away", "another in its place"])
def test_so_does_one_that_has_nothing_to_write(desk: Desk, again: bool,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker hears of its server every few minutes only."""
    monkeypatch.setattr(registration, "LOOK", 0.01)
    desk.show(IDLE)
    desk.until(status=IDLE)
    os.rename(str(desk.registry.path), str(desk.registry.path) + ".damaged")
    if again:
        desk.registry.reserve([7], {}, Here(), 1.0)
    desk.until(worker_id=desk.worker_id, status=IDLE)


def test_so_does_one_whose_registry_is_replaced_right_after_its_write(desk: Desk,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """The row is in the file of before, however soon after the write there is another."""
    monkeypatch.setattr(registration, "LOOK", 0.01)
    update = desk.registry.update
    replaced: List[str] = []

    def update_and_replace(*given: Any) -> bool:
        drained = update(*given)
        if not replaced:
            os.rename(str(desk.registry.path), str(desk.registry.path) + ".damaged")
            replaced.extend(desk.registry.reserve([7], {}, Here(), 1.0))
        return drained
    monkeypatch.setattr(desk.registry, "update", update_and_replace)
    desk.show(IDLE)
    wait_until(lambda: replaced)
    desk.until(worker_id=desk.worker_id, status=IDLE)


def test_a_drain_of_before_is_not_meant_for_one_that_enters_again(desk: Desk) -> None:
    desk.show(IDLE)
    desk.until(status=IDLE)
    desk.registry.remove([desk.worker_id])
    desk.registry.set_draining()
    desk.show(BUSY, 1)
    desk.until(status=BUSY)
    assert not desk.registration.drained
    desk.registry.set_draining()

    def drained() -> bool:
        desk.show(BUSY, 1, heard=time.monotonic())
        return desk.registration.drained
    wait_until(drained)


def test_a_registry_that_hangs_holds_nobody_up(
        desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, over, ended = threading.Event(), threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        hanging.set()
        over.wait(60)
        ended.set()
        raise StorageError("at last")
    monkeypatch.setattr(desk.registry, "update", hang)
    desk.show(BUSY, 1)
    assert hanging.wait(60)
    desk.show(BUSY, 2)
    desk.registration.leave(timeout=0.05)
    assert not ended.is_set()
    over.set()


def test_a_locked_registry_is_written_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(str(desk.registry.path), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with monkeypatch.context() as impatient:
        impatient.setattr("jd.worker.local.registry.BUSY_TIMEOUT", 0.01)
        desk.show(BUSY, 1)

        def complained() -> bool:
            desk.show(BUSY, 1)
            return bool(desk.logged)

        wait_until(complained)
    # From here on the test itself reads what the worker writes: each waits for the other.
    other.execute("COMMIT")
    other.close()
    desk.until(status=BUSY, current_job_id=1)


def test_changes_between_two_writes_wake_nobody(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job of milliseconds changes the row twice."""
    turns: List[bool] = []
    slow = desk.make(60.0)
    condition = slow._changed

    def waited(predicate: Any, timeout: Optional[float] = None) -> bool:
        turns.append(True)
        return bool(threading.Condition.wait_for(condition, predicate, timeout))
    monkeypatch.setattr(condition, "wait_for", waited)
    slow.show(desk.worker_id, LOG, BUSY, 1, 1.0)
    desk.until(current_job_id=1)
    for number in range(2, 50):
        slow.show(desk.worker_id, LOG, BUSY, number, float(number))
    slow.leave()
    assert len(turns) == 2, "for the first change, and for the end"
    assert desk.registry.rows() == []
