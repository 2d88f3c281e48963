"""One Slurm for all tests here, and what takes minutes on it, begun before the first test."""

from typing import Iterator, NamedTuple

import pytest

from tests.slurm.cluster import NODES, Cluster
from tests.slurm.sweep import Sweep


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two idle nodes; see `needs_slurm`."""
    with Cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


class Limited(NamedTuple):
    """Sweeps with a worker that is about to reach its time limit, and the job it is in."""

    warned: Sweep  # by the drain signal
    warned_job: str
    unwarned: Sweep  # whose script does not mind SIGTERM either
    unwarned_job: str


@pytest.fixture(scope="session")
def limited(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    """The shortest time limit is a minute, so the other tests run meanwhile.

    They preempt nothing on the first node.
    """
    with Sweep(cluster, tmp_path_factory.mktemp("warned"), jobs=2, open_gate=False) as warned, \
            Sweep(cluster, tmp_path_factory.mktemp("unwarned"), jobs=2, open_gate=False,
                  careful=False) as unwarned:
        short = ("--array=0", "--time=1", "--nodelist=" + NODES[0])
        yield Limited(
            warned, warned.submit("jd_array.sbatch", "--signal=B:USR2@20", *short),
            # The template's drain signal is replaced by one that means nothing.
            unwarned, unwarned.submit("jd_array.sbatch", "--signal=B:CONT@1", *short))
