"""Whom a stop signals, and whom never."""

import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jd.cli.commands.control.scale import free_slots, surplus
from jd.node.descendants import Descendants
from jd.node.identity import Here, ProcessIdentity
from jd.worker.local import signalling
from jd.worker.local.registry import Registry
from jd.worker.local.rows import BUSY, PAUSED, STARTING, Row
from jd.worker.local.signalling import FAILED, GONE, KILLED, STOPPED, Outcome
from tests.support import PATIENCE, free_env, in_time, python, wait_until
from tests.worker.registered import row

SLEEPS = "import time; print(flush=True); time.sleep(600)"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS


class Sleeper:
    """A process that stands in for a worker, with the row that it would have."""

    def __init__(self, source: str = SLEEPS) -> None:
        self.process = subprocess.Popen(python("-c", source), stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        here = Here()
        identity = ProcessIdentity(here.own.boot_id, self.process.pid,
                                   here.start_time(self.process.pid) or "")
        self.row = row(pid=self.process.pid, identity=identity)

    def end(self) -> None:
        if self.is_running():
            self.process.kill()
        self.process.communicate()

    def is_running(self) -> bool:
        return Here().start_time(self.process.pid) is not None


@pytest.fixture
def sleeper() -> Iterator[Sleeper]:
    sleeper = Sleeper()
    yield sleeper
    sleeper.end()


def stop(tmp_path: Path, *rows: Row, **more: Any) -> List[Outcome]:
    return signalling.stop(rows, Here(), free_env(tmp_path), lambda outcome: None, **more)


@pytest.fixture(params=["pidfd", "polling"])
def both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "polling":
        monkeypatch.setattr(signalling, "_pidfd", lambda pid: None)
    elif not hasattr(os, "pidfd_open"):
        pytest.skip("needs os.pidfd_open")


def test_a_worker_is_stopped(both_ways: None, tmp_path: Path, sleeper: Sleeper) -> None:
    (outcome,) = in_time(lambda: stop(tmp_path, sleeper.row, kill_after=10 * PATIENCE))
    assert (outcome.outcome, outcome.pid) == (STOPPED, sleeper.process.pid)
    assert not sleeper.is_running()


def test_who_does_not_stop_is_killed(both_ways: None, tmp_path: Path) -> None:
    sleeper = Sleeper(IGNORES)
    (outcome,) = stop(tmp_path, sleeper.row, kill_after=0.05)
    assert outcome.outcome == KILLED and not sleeper.is_running()
    sleeper.end()


@pytest.mark.parametrize("change, outcome, words", [
    ({"identity": {"start_time": "1"}}, GONE, ""),  # the pid belongs to somebody else now
    ({"identity": {"boot_id": "another"}}, GONE, ""),
    ({"host": "gpunode07", "identity": {"boot_id": "another"}}, FAILED,
     "it runs on host gpunode07; run this there"),
    ({"pid_namespace": "pid:[1]"}, FAILED, "another container"),
    ({"status": STARTING}, FAILED, "just being started"),
])
def test_who_is_never_signalled(both_ways: None, tmp_path: Path, sleeper: Sleeper,
                                change: Dict[str, Any], outcome: str, words: str) -> None:
    identity = sleeper.row.identity
    assert identity is not None
    changed = sleeper.row._replace(**dict(change, identity=identity._replace(**change.get("identity", {}))))
    (told,) = stop(tmp_path, changed)
    assert told.outcome == outcome and words in told.problem
    assert signalling.drain([changed], Here())[0] == []
    assert sleeper.is_running()


def test_only_ended_workers_leave_the_registry(tmp_path: Path, sleeper: Sleeper) -> None:
    mine = Registry("e", free_env(tmp_path))
    names = mine.reserve([0, 1], {}, Here(), 1.0)
    gone, there = row(names[0], pid=2 ** 22 + 1), row(names[1], pid_namespace="pid:[1]")
    assert [o.outcome for o in stop(tmp_path, gone, there)] == [GONE, FAILED]
    assert [left.worker_id for left in mine.rows()] == [names[1]]


def test_how_long_a_worker_has() -> None:
    assert signalling.patience(row()) == 30.0
    assert signalling.patience(row(config={"grace": 20.0})) == 30.0
    assert signalling.patience(row(config={"grace": 600.0})) == 610.0


def test_descendants_are_ended_and_nobody_else(sleeper: Sleeper) -> None:
    source = ("import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', %r], "
              "start_new_session=True); print(p.pid, flush=True); p.wait()" % "import time; time.sleep(600)")
    parent = subprocess.Popen(python("-c", source), stdout=subprocess.PIPE)
    assert parent.stdout is not None
    grandchild = int(parent.stdout.readline())
    here = Here()
    below = Descendants(parent.pid, here)
    assert set(below.started) == {grandchild}
    below.started[sleeper.process.pid] = "1"  # a pid that was given to somebody else
    below.kill()
    wait_until(lambda: here.start_time(grandchild) is None)
    parent.communicate()
    assert sleeper.is_running()
    assert os.getpid() not in Descendants(os.getppid(), here).started


# ---- scale

def test_whom_scale_stops() -> None:
    rows = [row("n_egg_0"), row("n_egg_1", status=BUSY, current_job_id=4), row("n_egg_2"),
            row("n_egg_10", status=PAUSED), row("n_egg_11", status=BUSY, current_job_id=9)]
    assert [r.slot for r in surplus(rows, 3)] == [10, 2]
    assert [r.slot for r in surplus(rows, 1)] == [10, 2, 0, 11]


def test_free_slots() -> None:
    assert free_slots([], 2) == [0, 1]
    assert free_slots([0, 2, 3, 9], 3) == [1, 4, 5]
