"""slurm-scale, with programs in PATH that answer like squeue and sbatch."""

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jd import protocol
from jd.cli import slurm
from jd.cli.commands.control.slurm_scale import LONGEST_PAUSE, Scaler
from jd.cli.slurm import Submission, Tasks
from jd.errors import JdError, UsageError
from tests.cli.info_support import Machine, Stub, closed_port

SQUEUE = """
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "calls"), "a") as calls:
    calls.write(json.dumps(["squeue"] + sys.argv[1:]) + "\\n")
with open(os.path.join(here, "squeue.json")) as file:
    answer = json.load(file)
sys.stdout.write(answer.get("out", ""))
sys.stderr.write(answer.get("err", ""))
sys.exit(answer.get("status", 0))
"""
SBATCH = SQUEUE.replace("squeue", "sbatch").replace("sys.argv[1:])", "sys.argv[1:] + [os.environ.get("
                                                    "'JD_EXP_ID'), os.environ.get('JD_SERVER')])")


class Cluster:
    """Fake programs; `calls` is what was typed, sbatch's with JD_EXP_ID and JD_SERVER at the end."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        for name, source in (("squeue", SQUEUE), ("sbatch", SBATCH)):
            program = self.bin / name
            program.write_text("#!%s -IS\n%s" % (sys.executable, source))
            program.chmod(0o755)
        self.squeue()
        self.answer("sbatch", out="4711\n")
        self.template = directory / "jd array.sbatch"
        self.template.write_text("#!/bin/bash\n")
        self.machine = Machine(directory, PATH=str(self.bin))

    def answer(self, program: str, **answer: Any) -> None:
        (self.bin / (program + ".json")).write_text(json.dumps(answer))

    def squeue(self, *states: str) -> None:
        self.answer("squeue", out="".join(state + "\n" for state in states))

    @property
    def calls(self) -> List[List[str]]:
        path = self.bin / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def submitted(self) -> List[List[str]]:
        return [call for call in self.calls if call[0] == "sbatch"]

    def run(self, stub: Stub, *words: str) -> int:
        return self.machine.run("expId=exp", "slurm-scale", "server=" + stub.url,
                                "template=%s" % self.template, *words)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def jobs(**counts: int) -> Dict[str, int]:
    return {**dict.fromkeys(protocol.JOB_STATUSES_ALL, 0), **counts}


# ---- how many

@pytest.mark.parametrize("pending, served, queued, running, per_task, cap, more", [
    (0, 0, 0, 0, 1, 16, 0),
    (5, 0, 0, 0, 1, 16, 5),
    (500, 0, 0, 0, 1, 16, 16),
    (500, 4, 8, 4, 1, 16, 4),
    (3, 0, 3, 0, 1, 16, 0),  # those that wait will take them
    (3, 2, 0, 2, 1, 16, 3),  # those that run have jobs of their own
    (3, 0, 0, 2, 1, 16, 1),  # those that run are idle
    (0, 5, 0, 5, 1, 16, 0),
    (3, 50, 0, 2, 1, 16, 3),  # of others: workers elsewhere
    (100, 0, 0, 0, 10, 16, 10),
    (100, 10, 0, 10, 10, 16, 1),
    (1, 0, 0, 0, 10, 16, 1),
    (500, 0, 20, 0, 1, 16, 0),  # a cap that was lowered
])
def test_how_many_tasks_are_missing(pending: int, served: int, queued: int, running: int,
                                    per_task: int, cap: int, more: int) -> None:
    counts = jobs(PENDING=pending, SERVED=served)
    assert slurm.more_tasks(counts, Tasks(queued, running), per_task, cap) == more


# ---- one look

def test_nothing_is_submitted_without_apply(cluster: Cluster, stub: Stub,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster.run(stub) == 0
    out = capsys.readouterr().out
    assert "5 jobs pending, 2 served; 0 tasks of jd-exp queued, 0 running, at most 16" in out
    assert "would submit 5 tasks: sbatch --parsable --job-name=jd-exp --array=0-4 '" in out
    assert cluster.submitted == []


def test_apply_submits_what_is_missing(cluster: Cluster, stub: Stub,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    cluster.squeue("PENDING", "RUNNING", "COMPLETING")
    assert cluster.run(stub, "apply=true", "once=true", "max_workers=4",
                       "sbatch_args=-p short --comment='a b'") == 0
    assert cluster.calls[0] == ["squeue", "-h", "-r", "-u", str(os.getuid()), "-n", "jd-exp", "-o",
                                "%T"]
    assert cluster.submitted == [[
        "sbatch", "--parsable", "--job-name=jd-exp", "--array=0-1", "-p", "short", "--comment=a b",
        str(cluster.template), "exp", stub.url]]
    assert "submitted 2 tasks as job 4711" in capsys.readouterr().out


def test_a_published_server_reaches_the_tasks_as_it_was_given(
        cluster: Cluster, stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "server.url"
    path.write_text(stub.url + "\n")
    cluster.machine.run("expId=exp", "slurm-scale", "server=@%s" % path, "apply=true", "once=true",
                        "template=%s" % cluster.template)
    assert cluster.submitted[0][-1] == "@%s" % path


@pytest.mark.parametrize("answer, says", [
    ({"status": 1, "err": "slurm_load_jobs error: Unable to contact slurm controller\n"},
     "squeue failed with exit status 1: slurm_load_jobs error: Unable to contact"),
    ({"out": "Invalid job format: 4711\n"}, "squeue printed 'Invalid job format: 4711'")])
def test_nothing_is_submitted_when_squeue_fails(cluster: Cluster, stub: Stub, answer: Any,
                                                says: str) -> None:
    cluster.answer("squeue", **answer)
    with pytest.raises(JdError, match=says):
        cluster.run(stub, "apply=true", "once=true")
    assert cluster.submitted == []


def test_nothing_is_submitted_without_squeue_or_server(cluster: Cluster, stub: Stub) -> None:
    (cluster.bin / "squeue").unlink()
    with pytest.raises(JdError, match="squeue is not in PATH"):
        cluster.run(stub, "apply=true", "once=true")
    stub.url = closed_port()
    with pytest.raises(JdError, match="no answer from"):
        cluster.run(stub, "apply=true", "once=true")
    assert cluster.calls == []


def test_a_squeue_that_hangs_is_given_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "TIMEOUT", 0.2)
    (cluster.bin / "squeue").write_text("#!%s\nimport time\ntime.sleep(30)\n" % sys.executable)
    with pytest.raises(JdError, match="squeue did not answer within 0.2 s"):
        slurm.look("jd-exp", cluster.machine.environ)


@pytest.mark.parametrize("answer, says", [
    ({"status": 1, "err": "sbatch: error: invalid partition specified: short\n"},
     "sbatch failed with exit status 1: sbatch: error: invalid partition"),
    ({"out": "Submitted\n"}, "sbatch printed 'Submitted' instead of a job id")])
def test_what_sbatch_has_against_it_is_told(cluster: Cluster, stub: Stub, answer: Any,
                                            says: str) -> None:
    cluster.answer("sbatch", **answer)
    with pytest.raises(JdError, match=says):
        cluster.run(stub, "apply=true", "once=true")


@pytest.mark.parametrize("words", [
    "--array=1-9", "-a 1-9", "-a1-9", "-J x", "-Jx", "--job-name x", "--wrap=true", "'"])
def test_arguments_that_would_break_the_lookup_are_refused(words: str) -> None:
    with pytest.raises(UsageError, match="sbatch_args=: "):
        slurm.extra_arguments(words)


@pytest.mark.parametrize("content", [None, "echo hello\n"])
def test_a_template_that_is_none(cluster: Cluster, stub: Stub, content: Optional[str]) -> None:
    cluster.template.unlink()
    if content is not None:
        cluster.template.write_text(content)
    with pytest.raises(UsageError, match="template=: .*jd array.sbatch"):
        cluster.run(stub)


def test_a_large_array_is_submitted_in_parts(cluster: Cluster, stub: Stub) -> None:
    stub.answers[protocol.JOB_COUNTS] = (200, jobs(PENDING=5000))
    cluster.run(stub, "apply=true", "once=true", "max_workers=3000")
    assert cluster.submitted[0][3] == "--array=0-999"


# ---- again and again

class Loop:
    """A scaler whose server and clock are the test's."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.jobs = jobs(PENDING=4)
        self.said: List[str] = []
        self.warned: List[str] = []
        self.now = 0.0
        submission = Submission("jd-exp", cluster.template, [], cluster.machine.environ)
        self.scaler = Scaler(submission, lambda: self.jobs, 16, 1, 60.0, True, self.said.append,
                             self.warned.append)

    def step(self) -> float:
        pause = self.scaler.step(self.now)
        self.now += pause
        return pause


def test_failures_are_said_and_the_pauses_grow(cluster: Cluster) -> None:
    loop = Loop(cluster)
    cluster.answer("squeue", status=1, err="down\n")
    assert [loop.step() for _ in range(8)] == [120, 240, 480, 960, 1920, 3600, 3600, LONGEST_PAUSE]
    assert len(loop.warned) == 8 and "down; nothing is submitted, next look in 2m 00s" in loop.warned[0]
    assert cluster.submitted == []
    cluster.squeue()
    assert loop.step() == 60.0
    assert len(cluster.submitted) == 1


def test_what_is_there_is_not_submitted_again(cluster: Cluster) -> None:
    loop = Loop(cluster)
    loop.step()
    cluster.squeue(*["PENDING"] * 4)
    loop.step()
    loop.step()
    assert len(cluster.submitted) == 1
    assert len(loop.said) == 3  # what changed, once


def test_tasks_that_end_at_once_are_replaced_ever_more_slowly(cluster: Cluster) -> None:
    loop = Loop(cluster)
    times: List[float] = []
    while len(times) < 5:
        before = len(cluster.submitted)
        now = loop.now
        loop.step()
        if len(cluster.submitted) > before:
            times.append(now)
    assert [b - a for a, b in zip(times, times[1:])] == [180.0, 300.0, 540.0, 1020.0]
    assert len(loop.warned) == 4 and "4 tasks of jd-exp ended and no job is over" in loop.warned[0]


def test_progress_ends_the_slowness(cluster: Cluster) -> None:
    loop = Loop(cluster)
    loop.step()
    loop.step()
    assert len(cluster.submitted) == 1
    loop.jobs = jobs(PENDING=3, DONE=1)
    loop.step()
    assert len(cluster.submitted) == 2
