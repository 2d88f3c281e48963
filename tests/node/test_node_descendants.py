"""What is left of a session, found by its number and by its environment, and killed."""

import os
import subprocess
import sys
from typing import Any, Iterator, List

import pytest

from jd.node import descendants

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


class Sleepers:
    """Processes that sleep, each in a session of its own."""

    def __init__(self) -> None:
        self.started: List["subprocess.Popen[bytes]"] = []

    def __call__(self, **environ: str) -> "subprocess.Popen[bytes]":
        self.started.append(subprocess.Popen(["sleep", "600"], env=dict(environ, PATH=os.defpath),
                                             start_new_session=True))
        return self.started[-1]


@pytest.fixture
def sleeper() -> Iterator[Any]:
    sleepers = Sleepers()
    yield sleepers
    for process in sleepers.started:
        process.kill()
        process.wait(60)


def test_all_of_a_job_and_nothing_else_is_killed(sleeper: Sleepers) -> None:
    leader, marked = sleeper(), sleeper(ONE="1", TWO="2", MORE="3")
    others = [sleeper(ONE="1"), sleeper(ONE="1", TWO="22"), sleeper()]
    descendants.end_session(leader.pid, ["ONE=1", "TWO=2"])
    assert (leader.wait(60), marked.wait(60)) == (-9, -9)
    assert [other.poll() for other in others] == [None] * 3


def test_without_marks_it_is_the_session_alone(sleeper: Sleepers) -> None:
    leader, other = sleeper(), sleeper()
    descendants.end_session(leader.pid, [])
    assert leader.wait(60) == -9 and other.poll() is None


def test_a_session_that_has_ended_is_nothing(sleeper: Sleepers) -> None:
    leader, other = sleeper(), sleeper()
    leader.kill()
    leader.wait(60)
    descendants.end_session(leader.pid, ["ONE=1"])
    assert other.poll() is None
