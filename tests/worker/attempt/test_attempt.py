"""An attempt through its phases, without a server: threads of its own, a fake script."""

import threading
from pathlib import Path
from typing import Any, Callable, List, Optional

import pytest

from jd import threads
from jd.errors import JdError
from jd.messages import Assignment
from jd.threads import NoThread
from jd.worker.attempt.attempt import SAVE_TIME, Attempt, Plan, needs_restoring
from jd.worker.attempt.files.jobfiles import Saved
from jd.worker.attempt.process.jobprocess import STOPPED_LOST, STOPPED_PREEMPTED
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.verdict import Ended


class FakeProcess:
    def __init__(self) -> None:
        self.stop_reason: Optional[str] = None
        self.ended: Optional[Ended] = None
        self.killed = False

    def step(self, now: float) -> Optional[Ended]:
        return self.ended

    def stop(self, now: float, grace: float, reason: str) -> None:
        self.stop_reason = self.stop_reason or reason

    def deadline(self) -> Optional[float]:
        return 77.0

    def fileno(self) -> Optional[int]:
        return 5

    def tail(self) -> str:
        return "tail"

    def kill(self) -> None:
        self.killed = True


class FakeJobFiles:
    def __init__(self) -> None:
        self.outcome: Optional[Saved] = None
        self.calls: List[Any] = []

    def start(self) -> None:
        self.calls.append("start")

    def look(self, now: float) -> None:
        pass

    def deadline(self) -> Optional[float]:
        return None

    def finish(self, exit_code: int, stopped: bool) -> None:
        self.calls.append(("finish", exit_code, stopped))

    def give_up(self) -> Saved:
        return Saved("gave up", Path("/waiting"))

    def cancel(self) -> None:
        self.calls.append("cancel")


class Bench:
    def __init__(self) -> None:
        self.process, self.files = FakeProcess(), FakeJobFiles()
        self.woken = threading.Event()
        self.started: List[float] = []
        self.start_failure: Optional[StartFailure] = None

    def run(self, restore: Optional[Callable[[threading.Event], None]] = None) -> Attempt:
        def start(now: float) -> Any:
            if self.start_failure is not None:
                raise self.start_failure
            self.started.append(now)
            return self.process
        files: Any = lambda: self.files  # noqa: E731
        return Attempt(Plan(Assignment(1, {}, 2), restore, start, files, self.woken.set), 1.0)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_from_start_to_result(bench: Bench) -> None:
    run = bench.run()
    assert bench.started == [1.0] and bench.files.calls == ["start"]
    assert (run.fileno(), run.tail(), run.deadline()) == (5, "tail", 77.0)
    assert run.step(2.0) is None
    bench.process.ended = Ended(3, 1.0, "tail")
    assert run.step(3.0) is None  # its files are still on their way
    assert bench.files.calls[1:] == [("finish", 3, False)]
    bench.files.outcome = Saved("collected", Path("/waiting"))
    ended = run.step(4.0)
    assert ended == Ended(3, 1.0, "tail", False, "collected", Path("/waiting"))
    assert len(bench.files.calls) == 2


def test_the_script_starts_when_restoring_is_over(bench: Bench) -> None:
    go = threading.Event()
    run = bench.run(lambda cancelled: (go.wait(60), None)[1])
    assert run.step(2.0) is None and bench.started == []
    assert (run.fileno(), run.tail(), run.deadline()) == (None, "", None)
    go.set()
    assert bench.woken.wait(60)
    assert run.step(3.0) is None and bench.started == [3.0]


@pytest.mark.parametrize("error", [JdError("bad archive"), ValueError("bug")])
def test_what_cannot_be_restored_does_not_start(bench: Bench, error: Exception) -> None:
    def restore(cancelled: threading.Event) -> None:
        raise error
    run = bench.run(restore)
    assert bench.woken.wait(60)
    with pytest.raises(StartFailure, match="bad archive|ValueError: bug"):
        run.step(2.0)
    assert bench.started == []


@pytest.mark.parametrize("restored", [False, True])
def test_without_a_thread_for_its_files_a_job_does_not_start(bench: Bench, monkeypatch: pytest.MonkeyPatch,
                                                             restored: bool) -> None:
    def none_left(*_: Any, **__: Any) -> None:
        raise NoThread("no further thread can be started; raise ulimit -u")
    monkeypatch.setattr(bench.files if not restored else threads, "start", none_left)
    with pytest.raises(StartFailure, match="ulimit -u"):
        bench.run((lambda cancelled: None) if restored else None)
    assert bench.started == []


def test_a_script_that_cannot_start_says_so_at_once(bench: Bench) -> None:
    bench.start_failure = StartFailure("no")
    with pytest.raises(StartFailure):
        bench.run()
    assert bench.files.calls == ["start", "cancel"]


@pytest.mark.parametrize("reason", [STOPPED_PREEMPTED, STOPPED_LOST])
def test_stopped_while_restoring(bench: Bench, reason: str) -> None:
    seen: List[threading.Event] = []

    def restore(cancelled: threading.Event) -> None:
        seen.append(cancelled)
        assert cancelled.wait(60)
    run = bench.run(restore)
    run.stop(2.0, 20.0, reason)
    assert run.stop_reason == reason
    assert run.step(2.0) is not None
    assert bench.woken.wait(60) and seen[0].is_set() and bench.started == []


def test_a_stopped_script_has_little_time_for_its_files(bench: Bench) -> None:
    run = bench.run()
    run.stop(10.0, 20.0, STOPPED_PREEMPTED)
    bench.process.ended = Ended(0, 1.0)
    assert run.step(12.0) is None
    assert bench.files.calls[1:] == [("finish", 0, True)]
    limit = 30.0 + SAVE_TIME
    assert run.deadline() == limit
    assert run.step(limit - 0.1) is None
    ended = run.step(limit)
    assert ended is not None and (ended.note, ended.waiting_files) == ("gave up", Path("/waiting"))
    assert run.stop_reason == STOPPED_PREEMPTED


def test_stopped_while_its_files_are_sent_it_ends_as_it_ended(bench: Bench) -> None:
    run = bench.run()
    bench.process.ended = Ended(0, 1.0)
    run.step(2.0)
    run.stop(5.0, 20.0, STOPPED_PREEMPTED)
    assert run.stop_reason is None and run.deadline() == 25.0 + SAVE_TIME
    assert run.step(25.0 + SAVE_TIME) is not None


def test_of_a_lost_attempt_nothing_is_sent_any_more(bench: Bench) -> None:
    run = bench.run()
    bench.process.ended = Ended(0, 1.0)
    run.step(2.0)
    run.stop(5.0, 20.0, STOPPED_LOST)
    assert bench.files.calls[-1] == "cancel"
    assert run.stop_reason == STOPPED_LOST and run.step(5.0) is not None


def test_killed_with_the_worker(bench: Bench) -> None:
    run = bench.run()
    run.kill()
    assert bench.process.killed and bench.files.calls[-1] == "cancel"


@pytest.mark.parametrize("attempt, from_scratch, wanted", [
    (None, None, True), (1, None, False), (2, None, True), (2, 2, False), (3, 2, True)])
def test_the_server_is_asked_for_a_checkpoint_only_where_it_may_have_one(
        attempt: Optional[int], from_scratch: Optional[int], wanted: bool) -> None:
    assert needs_restoring(Assignment(1, {}, attempt, from_scratch=from_scratch)) is wanted
