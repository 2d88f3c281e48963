"""docs/air-gapped.md, word for word, on a Debian with python3 and nothing else, without a network."""

import shutil
from pathlib import Path
from typing import Iterator

import pytest

from tests.airgap.bundles import JOBS, commands
from tests.bareroot import PACKAGES, PATH, Network, bare_root, copy_root, needs_bare_root, run_in

__all__ = ["bare_root"]
pytestmark = [pytest.mark.slow, needs_bare_root]

# What the bare root has besides python3: by itself, and for that.
MORE = [*PACKAGES[1:], "openssl"]


@pytest.fixture(scope="module")
def root(bare_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bare root with python3 alone, for all tests here; gone when they end."""
    place = copy_root(bare_root, tmp_path_factory.mktemp("debian") / "root")
    try:
        run_inside(place, "dpkg --purge " + " ".join(MORE), 120)
        yield place
    finally:
        shutil.rmtree(str(place), ignore_errors=True)


def run_inside(root: Path, script: str, timeout: float) -> str:
    """Run commands in the root, without a network, from /root; what they printed.

    Its mounts and processes end with it.
    """
    with Network() as network:
        done = run_in(root, ["sh", "-eux", "-c", "exec 2>&1; " + script], timeout, network=network,
                      cwd="/root", env={"HOME": "/root", "PATH": PATH})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("missing", ["pip", "ensurepip", "setuptools"])
def test_it_is_bare(root: Path, missing: str) -> None:
    said = run_inside(root, "! python3 -c 'import %s'" % missing, 60)
    assert "No module named '%s'" % missing in said


def test_the_page_can_be_followed(root: Path, carried: Path) -> None:
    for path in carried.glob("*.tar.gz*"):
        shutil.copy(str(path), str(root / "root"))
    finished = ("until ./jd-worker.pyz expId=digits-tune server-info json=true > info.json && "
                "grep -q '\"DONE\": %d' info.json; do sleep 0.1; done; cat info.json\n" % JOBS)
    # What the page has for pip is for machines with pip.
    said = run_inside(root, commands("Carry it in") + commands("One file") + finished
                             + commands("install.sh") + commands("Upgrade"), 300)
    assert said.count("The %d best of %d settings" % (JOBS, JOBS)) == 2
    home = root / "root"
    assert len(list((home / "jd_server" / "digits-tune" / "data").glob("*/result.json"))) == JOBS
    assert (home / "jd-worker" / "bin" / "jd_server").is_file()
    assert (home / "bin" / "jd-worker").is_symlink()
