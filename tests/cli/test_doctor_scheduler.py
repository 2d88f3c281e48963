"""What schedulers and containers say, and what the page of `doctor` makes of it."""

import math
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import pytest

from jd.cli.checkup import batch
from jd.cli.checkup.finding import OK, WARNING
from jd.node import scheduler

SLURM = {"SLURM_JOB_ID": "4711"}


@pytest.mark.parametrize("environ, shown", [
    ({"SLURM_JOB_ID": "4711"}, "Slurm job 4711"),
    ({"SLURM_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "0"}, "Slurm job 4711, task 0"),
    ({"PBS_JOBID": "12.head", "PBS_ARRAY_INDEX": "3"}, "PBS job 12.head, task 3"),
    ({"PBS_JOBID": "12.head", "PBS_ARRAYID": "4"}, "PBS job 12.head, task 4"),
    ({"LSB_JOBID": "7", "LSB_JOBINDEX": "0"}, "LSF job 7"),
    ({"LSB_JOBID": "7", "LSB_JOBINDEX": "2"}, "LSF job 7, task 2"),
    ({"JOB_ID": "9", "SGE_TASK_ID": "undefined"}, "SGE job 9"),
    ({"JOB_ID": "9", "SGE_TASK_ID": "5"}, "SGE job 9, task 5"),
    ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes"),
])
def test_schedulers_are_told_apart(environ: Dict[str, str], shown: str) -> None:
    found = scheduler.detect(environ)
    assert found is not None and found.shown == shown
    assert batch.surroundings(environ, Path("/nowhere"))[0].what == shown


@pytest.mark.parametrize("environ", [{}, {"JOB_ID": "9"}, {"SLURM_JOB_ID": " "}, {"SGE_TASK_ID": "1"}])
def test_no_scheduler(environ: Dict[str, str], tmp_path: Path) -> None:
    assert scheduler.detect(environ) is None
    assert batch.time_left(environ) == [] and batch.scratch(environ) == []
    assert [f.what for f in batch.surroundings(environ, tmp_path)] == ["none: this is no batch job"]


def test_a_job_that_was_requeued() -> None:
    found = scheduler.detect({**SLURM, "SLURM_RESTART_COUNT": "2"})
    assert found is not None and found.restarts == 2
    what = batch.surroundings({**SLURM, "SLURM_RESTART_COUNT": "2"}, Path("/nowhere"))[0].what
    assert what == "Slurm job 4711, started again 2 times"


@pytest.mark.parametrize("text, seconds", [
    ("1-02:03:04\n", 93784.0), ("10:00:00", 36000.0), ("9:59", 599.0), ("0:00", 0.0),
    ("100-00:00:01", 8640001.0),
    ("UNLIMITED", math.inf), ("INVALID", 0.0), ("NOT_SET", None), ("", None), ("\n", None),
    ("slurm_load_jobs error", None), ("5", None), ("1-2-3:04", None), ("-1:00", None), ("1:2:3:4", None),
    ("59:59\n1:00", 3599.0), ("٣:٤", None),
])
def test_time_left_as_squeue_prints_it(text: str, seconds: Optional[float]) -> None:
    assert scheduler.parse_time_left(text) == seconds


class Squeue:
    def __init__(self, output: str) -> None:
        self.output = output
        self.commands: List[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> str:
        self.commands.append(command)
        return self.output


def test_the_end_time_is_asked_for_first() -> None:
    squeue = Squeue("1:00")
    left = batch.time_left({**SLURM, "SLURM_JOB_END_TIME": "10000"}, now=2800.0, run=squeue)
    assert [(f.level, f.what) for f in left] == [(OK, "2h 00m left of this job")]
    assert squeue.commands == []


def test_squeue_is_asked_for_this_very_task() -> None:
    squeue = Squeue("1:00:00\n")
    batch.time_left({**SLURM, "SLURM_ARRAY_JOB_ID": "4700", "SLURM_ARRAY_TASK_ID": "3"}, run=squeue)
    assert squeue.commands == [["squeue", "-h", "-j", "4700_3", "-o", "%L"]]


@pytest.mark.parametrize("output, level, words", [
    ("9:59", WARNING, "9m 59s left"), ("INVALID", WARNING, "0s left"), ("10:00", OK, "10m 00s left"),
    ("UNLIMITED", OK, "no time limit"), ("NOT_SET", OK, "unknown"), ("", OK, "unknown"),
])
def test_little_time_is_a_warning(output: str, level: str, words: str) -> None:
    finding, = batch.time_left(SLURM, run=Squeue(output))
    assert finding.level == level and words in finding.what


def test_without_squeue_time_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [f.what for f in batch.time_left(SLURM)] == ["time left is unknown"]


@pytest.mark.parametrize("environ, mark, name", [
    ({"APPTAINER_CONTAINER": "/x.sif"}, None, "Apptainer"),
    ({"SINGULARITY_CONTAINER": "/x.sif"}, None, "Singularity"),
    ({}, ".dockerenv", "Docker"), ({}, "run/.containerenv", "Podman"), ({}, None, None),
])
def test_containers(environ: Dict[str, str], mark: Optional[str], name: Optional[str],
                    tmp_path: Path) -> None:
    if mark:
        (tmp_path / mark).parent.mkdir(exist_ok=True)
        (tmp_path / mark).touch()
    assert scheduler.container(environ, tmp_path) == name
    assert any("container: %s" % name in f.what for f in batch.surroundings(environ, tmp_path)) == bool(name)


def mounts(tmp_path: Path, *lines: str) -> Path:
    table = tmp_path / "mounts"
    table.write_text("\n".join(["rootfs / ext4 rw 0 0", *lines]) + "\n")
    return table


def test_a_cache_on_a_network_in_a_batch_job(tmp_path: Path) -> None:
    (tmp_path / "nfs").mkdir()
    (tmp_path / "local").mkdir()
    table = mounts(tmp_path, "srv:/home %s nfs4 rw 0 0" % (tmp_path / "nfs"))
    environ = {**SLURM, "SLURM_TMPDIR": str(tmp_path / "local"), "JD_SCRATCH": str(tmp_path / "nfs"),
               "TMPDIR": str(tmp_path / "gone"), "JD_CACHE_PATH": str(tmp_path / "nfs/cache")}
    found = batch.scratch(environ, table)
    assert [f.level for f in found] == [OK, OK, WARNING, WARNING]
    assert "JD_SCRATCH=" in found[0].what and "network file system" in found[0].what
    assert found[1].what == "node-local scratch: SLURM_TMPDIR=%s" % (tmp_path / "local")
    assert "TMPDIR is" in found[2].what and "no directory here" in found[2].what
    assert found[3].advice == 'export JD_CACHE_PATH="$SLURM_TMPDIR/.jd_cache" in the batch script'
    environ["JD_CACHE_PATH"] = str(tmp_path / "local/cache")
    assert [f.level for f in batch.scratch(environ, table)] == [OK, OK, WARNING]
