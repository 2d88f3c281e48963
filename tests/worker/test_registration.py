"""A worker's row, kept true by a thread that may fail."""

import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest

from jd.errors import StorageError
from jd.node.identity import Here
from jd.worker.local.registration import Registration
from jd.worker.local.registry import Registry
from jd.worker.local.rows import BUSY, IDLE, Row
from tests.support import free_env, wait_until

LOG = Path("/logs/a.log")


class Desk:
    def __init__(self, tmp_path: Path) -> None:
        self.registry = Registry("exp", free_env(tmp_path))
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


def test_a_registry_that_fails_is_said_once(desk: Desk) -> None:
    shutil.rmtree(str(desk.registry.path.parent))
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
    assert str(desk.registry.path) in line and "goes on without" in line


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
