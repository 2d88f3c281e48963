"""docs/tutorial.md with Slurm: the same two rounds, typed as the page has them, on a real one."""

import shutil
import subprocess
from pathlib import Path
from typing import List

import pytest

from tests.examples.page import Block, blocks, save, told
from tests.slurm.cluster import Cluster, on_slurm
from tests.slurm.sweep import install
from tests.support import ROOT, left_running, wait_until

pytestmark = on_slurm
PAGE = blocks("docs/tutorial.md")
SLURM = [block for block in PAGE if block.title.startswith("slurm")]


@pytest.mark.parametrize("block", SLURM, ids=[block.title for block in SLURM])
def test_two_rounds(cluster: Cluster, tmp_path: Path, block: Block) -> None:
    environ = cluster.environ(tmp_path, JD_SCRATCH=tmp_path, JD_SERVER_PORT=0, JD_SERVER_DASHBOARD_PORT=0,
                              COLUMNS=120)
    environ["PATH"] = "%s:%s" % (install(tmp_path), environ["PATH"])
    (tmp_path / "home" / "JobDistributor").symlink_to(ROOT)
    here = tmp_path / "here"
    here.mkdir()
    for python in (block for block in PAGE if block.kind == "python"):
        save(python, here)
    shutil.copy(str(ROOT / "slurm" / "jd_array.sbatch"), str(here))
    try:
        done = subprocess.run(["bash", "-e", "-c", block.text], cwd=str(here), env=environ, timeout=240,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr + logs(here)
        wait_until(lambda: not left_running(str(here)), 60, "workers and server have ended")
    finally:
        cluster.type("scancel", "--name=jd-server", status=None)
    (*_, rounds) = [other.printed for other in PAGE if other.text == "python tune.py\n"]
    expected: List[List[str]] = [["tune:", *line[1:]] if line[0] == "fit:" else line
                                 for line in told(rounds)]  # the experiment is the one that is exported
    assert [line for line in told(done.stdout) if line in expected] == expected, done.stdout


def logs(directory: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in sorted(directory.glob("*.log")))
