"""slurm/jd_array.sbatch, unedited, on a real Slurm of two nodes."""

from pathlib import Path

from tests.slurm.cluster import Cluster, on_slurm
from tests.slurm.sweep import Sweep

pytestmark = on_slurm


def test_an_array_finishes_a_sweep(cluster: Cluster, tmp_path: Path) -> None:
    with Sweep(cluster, tmp_path, jobs=12) as sweep:
        job = sweep.submit("jd_array.sbatch")
        sweep.until_done()
        cluster.until(job, "COMPLETED")  # nothing is left to do: no task stays
        sweep.check()
        sweep.check_places()
