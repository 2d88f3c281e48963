"""What a worker does right before a script starts."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, List, Tuple, cast

import pytest

from jd.messages import Assignment
from jd.worker.attempt.files import checkpointdir, jobdir
from jd.worker.attempt.process import jobprocess
from jd.worker.attempt.process.ward import Ward
from jd.worker.attempt.starting import Starter
from jd.worker.config import WorkerConfig
from jd.worker.log import WorkerLog
from jd.worker.uplink.connection import Connection
from jd.worker.uplink.heartbeats import Link


def starter_in(directory: Path) -> Starter:
    script = directory / "train.py"
    script.write_text("")
    config = WorkerConfig("exp", script, "http://s", directory=directory, environ={
        "HOME": str(directory), "JD_WORKSPACE_PATH": str(directory / "workspace")})
    link = Link("http://s", "n_egg_0", "cpu", dict)
    link.server_id = "aaaa"
    connection = SimpleNamespace(server="http://s", token=lambda: None, checkpoint_keys=lambda: (),
                                 certificate=None)
    return Starter(config, link, cast(Connection, connection),
                   cast(WorkerLog, SimpleNamespace(event=print, output=print)), lambda: None, Ward())


def test_a_job_has_its_directory_and_mark_whatever_an_attempt_that_ends_just_now_removes(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempt 1 was aborted, and another worker of the machine ends it as attempt 2 begins from scratch."""
    seen: List[Tuple[List[str], bool]] = []
    make = checkpointdir.make

    def while_it_ends(directory: Path) -> None:
        jobdir.tidy(directory.parent, directory.parent / "jd_checkpoint-1")
        make(directory)

    def started(assignment: Assignment, command: Any, *_: Any, **__: Any) -> Any:
        job_dir = Path(command.environ["JD_WORKER_JOB_DIR"])
        seen.append((os.listdir(str(job_dir)), (job_dir.parent / jobdir.MARKS / "7").exists()))
        return SimpleNamespace(fileno=lambda: None)
    monkeypatch.setattr(checkpointdir, "make", while_it_ends)
    monkeypatch.setattr(jobprocess, "start", started)
    starter_in(tmp_path)(Assignment(7, {}, 2, from_scratch=2), 0.0)
    assert seen == [(["jd_checkpoint-2"], True)]
