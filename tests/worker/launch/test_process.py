"""What the loop of a worker waits for."""

import os
from types import SimpleNamespace
from typing import Any, Optional, cast

import pytest

from jd.worker.agent.agent import Agent
from jd.worker.launch import process
from jd.worker.launch.signals import Signals


class Job:
    """One whose output ends; `ends` is called when that is read."""

    def __init__(self, ends: Any) -> None:
        self.output, write_end = os.pipe()
        os.close(write_end)
        self._ends = ends
        self.reads = 0

    def fileno(self) -> Optional[int]:
        return None if self.reads else self.output

    def read(self, now: float) -> None:
        self.reads += 1
        os.close(self.output)
        self._ends()


def wait(job: Job, signals: Signals) -> None:
    process._wait(cast(Agent, SimpleNamespace(job=job)), signals, None)


def test_the_end_of_the_output_and_that_of_the_script_are_one_turn() -> None:
    with Signals() as signals:
        job = Job(signals.wake)
        wait(job, signals)
        assert job.reads == 1
        with pytest.raises(BlockingIOError):
            os.read(signals.fileno(), 1)


def test_a_script_that_closes_its_output_and_goes_on_is_not_waited_for() -> None:
    with Signals() as signals:
        job = Job(lambda: None)
        wait(job, signals)
        assert job.reads == 1
