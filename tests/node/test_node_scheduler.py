"""What says that something started us which may start another."""

from pathlib import Path
from typing import Dict

import pytest

from jd.node import scheduler


@pytest.mark.parametrize("environ, managed", [
    ({}, False), ({"SLURM_JOB_ID": "4711"}, True), ({"PBS_JOBID": "1.pbs"}, True), ({"LSB_JOBID": "2"}, True),
    ({"JOB_ID": "3"}, False), ({"JOB_ID": "3", "SGE_TASK_ID": "undefined"}, True),
    ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True), ({"APPTAINER_CONTAINER": "/x.sif"}, True)])
def test_batch_jobs_and_containers_are_managed(tmp_path: Path, environ: Dict[str, str],
                                               managed: bool) -> None:
    assert scheduler.is_managed(environ, tmp_path) is managed


def test_docker_leaves_a_mark(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").write_text("")
    assert scheduler.is_managed({}, tmp_path)
