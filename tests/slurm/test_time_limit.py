"""What happens to jobs whose worker reaches its time limit. The last file: see the fixture `limited`."""

from tests.slurm.cluster import Cluster, on_slurm
from tests.slurm.conftest import Limited

pytestmark = on_slurm


def test_a_worker_that_is_warned_ends_before_the_limit(cluster: Cluster, limited: Limited) -> None:
    sweep = limited.warned
    cluster.until(limited.warned_job, "COMPLETED", timeout=150)
    sweep.open()
    sweep.submit("jd_array.sbatch", "--array=0")
    sweep.until_done()
    sweep.check(interrupted=1)


def test_a_worker_that_is_not_warned_releases_its_job_at_the_limit(
        cluster: Cluster, limited: Limited) -> None:
    sweep = limited.unwarned
    cluster.until(limited.unwarned_job, "TIMEOUT", timeout=150)
    sweep.open()
    sweep.submit("jd_array.sbatch", "--array=0")
    sweep.until_done()
    sweep.check(interrupted=1)
