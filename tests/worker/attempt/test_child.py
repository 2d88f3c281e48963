"""A child of this process, however it was begun."""

import os
import signal
import subprocess
import sys
from typing import Iterator

import pytest

from jd.worker.attempt.process.child import Child, End
from tests.support import python, wait_until


@pytest.fixture
def waiting() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with status 3 when its input does."""
    process = subprocess.Popen(python("-c", "import sys; sys.exit(len(input()))"), stdin=subprocess.PIPE)
    process.returncode = 0  # the Child waits for it
    yield process
    assert process.stdin is not None
    process.stdin.close()


def ended(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    process.stdin.write(b"abc\n")
    process.stdin.flush()


@pytest.mark.parametrize("system", ["with waitid", "without"])
def test_its_end_is_seen_and_told_once_and_for_all(waiting: "subprocess.Popen[bytes]", system: str,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    if system == "without":
        monkeypatch.delattr(os, "waitid", raising=False)
    child = Child(waiting.pid)
    assert not child.has_ended()
    ended(waiting)
    wait_until(child.has_ended)
    assert child.has_ended()
    end = child.reap()
    assert end.exit_code == 3 and end.peak_memory is not None and 1 << 20 < end.peak_memory < 1 << 30
    assert child.reap() == end and child.has_ended()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="the system cannot tell without reaping")
def test_its_process_id_stays_its_own_until_it_is_reaped(waiting: "subprocess.Popen[bytes]") -> None:
    child = Child(waiting.pid)
    ended(waiting)
    wait_until(child.has_ended)
    os.kill(child.pid, 0)
    child.reap()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


def test_a_signal_that_ended_it_is_told_as_subprocess_does(waiting: "subprocess.Popen[bytes]") -> None:
    os.kill(waiting.pid, signal.SIGKILL)
    assert Child(waiting.pid).reap().exit_code == -signal.SIGKILL


def test_of_a_child_that_somebody_else_has_reaped_nothing_is_known() -> None:
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    assert process.wait() == 3
    child = Child(process.pid)
    assert child.has_ended() and child.reap() == End(0, None)
