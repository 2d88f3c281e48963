"""What Slurm does to running jobs: every job of the sweep is done once all the same."""

from pathlib import Path

from tests.slurm.cluster import HIGH, NODES, Cluster, on_slurm
from tests.slurm.sweep import Sweep

pytestmark = on_slurm


def test_requeue(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=4, open_gate=False) as sweep:
        job = sweep.submit("jd_array.sbatch", "--array=0-1")
        sweep.until_at_gate(2)
        cluster.type("scontrol", "requeue", job)
        sweep.until_pending(4)
        sweep.open()
        sweep.until_done()
        sweep.check(interrupted=2)
        sweep.check_places()
        assert {task["Restarts"] for task in cluster.facts(job)} == {"1"}


def test_preemption(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=4, open_gate=False) as sweep:
        job = sweep.submit("jd_array.sbatch", "--array=0-1", "--nodelist=" + NODES[1])
        sweep.until_at_gate(2)
        urgent = cluster.type("sbatch", "--parsable", "--partition=" + HIGH,
                              "--nodelist=" + NODES[1], "--exclusive",
                              "--output=/dev/null", "--wrap=sleep 2", cwd=tmp_path).stdout.strip()
        sweep.until_pending(4)
        sweep.open()
        cluster.until(urgent, "COMPLETED")
        sweep.until_done()
        sweep.check(interrupted=2)
        assert {task["Restarts"] for task in cluster.facts(job)} == {"1"}


def test_signals(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=4, open_gate=False) as sweep:
        drained = sweep.submit("jd_array.sbatch", "--array=0")
        stopped = sweep.submit("jd_array.sbatch", "--array=0")
        sweep.until_at_gate(2)
        cluster.type("scancel", "--signal=USR2", "--batch", drained)
        cluster.type("scancel", "--signal=TERM", "--batch", stopped)
        cluster.until(stopped, "FAILED")  # 143: there is work for another
        sweep.open()
        cluster.until(drained, "COMPLETED")
        sweep.submit("jd_array.sbatch", "--array=0")
        sweep.until_done()
        sweep.check(interrupted=1)
