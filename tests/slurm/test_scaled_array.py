"""jd_worker_cli slurm-scale with the real squeue and sbatch."""

import subprocess
from pathlib import Path

import pytest

from tests.e2e.processes import EXPERIMENT
from tests.slurm.cluster import TEMPLATES, Cluster, needs_slurm
from tests.slurm.sweep import Sweep

pytestmark = [pytest.mark.slow, needs_slurm]

NAME = "jd-" + EXPERIMENT


def scale(cluster: Cluster, sweep: Sweep, *words: str, cap: int = 4, status: int = 0,
          **environ: str) -> str:
    """One look; returns what it prints."""
    done = subprocess.run(
        [str(sweep.programs / "jd_worker_cli"), "expId=" + EXPERIMENT, "slurm-scale",
         "template=%s" % (TEMPLATES / "jd_array.sbatch"), "once=true", "max_workers=%d" % cap,
         *words],
        env=dict(cluster.environ(sweep.directory, **sweep.variables()), **environ), timeout=60,
        cwd=str(sweep.directory), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True)
    assert done.returncode == status, done.stdout
    return done.stdout


def test_a_sweep_gets_the_tasks_that_it_needs_and_no_more(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=6, open_gate=False) as sweep:
        try:
            assert "would submit 4 tasks" in scale(cluster, sweep)
            assert not cluster.type("squeue", "-h", "-n", NAME).stdout
            assert "submitted 4 tasks as job " in scale(cluster, sweep, "apply=true")
            # Queued or running: they count either way.
            assert "submitted" not in scale(cluster, sweep, "apply=true")
            sweep.until_at_gate(4)
            said = scale(cluster, sweep, "apply=true")
            assert "2 jobs pending, 4 served" in said and "4 running, at most 4" in said
            assert "submitted 2 tasks" in scale(cluster, sweep, "apply=true",
                                                "sbatch_args=--comment='two more'", cap=8)
            sweep.open()
            sweep.until_done()
            sweep.check()
            assert "submitted" not in scale(cluster, sweep, "apply=true")
        finally:
            cluster.type("scancel", "--signal=KILL", "--full", "--name=" + NAME, status=None)
            cluster.type("scancel", "--name=" + NAME, status=None)


def test_nothing_is_submitted_when_the_controller_is_away(cluster: Cluster, tmp_path: Path) -> None:
    conf = tmp_path / "slurm.conf"
    conf.write_text("".join(
        line if not line.startswith("SlurmctldPort=") else "SlurmctldPort=1\nMessageTimeout=2\n"
        for line in cluster.conf.read_text().splitlines(keepends=True)))
    with Sweep(cluster, tmp_path, jobs=1, open_gate=False) as sweep:
        said = scale(cluster, sweep, "apply=true", status=1, SLURM_CONF=str(conf))
        assert "error: squeue failed with exit status 1" in said
