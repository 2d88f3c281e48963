"""docs/air-gapped.md, word for word, on a Debian with python3 and nothing else, without a network."""

import shutil
from pathlib import Path
from typing import Iterator

import pytest

from tests.airgap import debian
from tests.airgap.bundles import JOBS, commands

pytestmark = pytest.mark.skipif(bool(debian.why_not()), reason=debian.why_not() or "it can be had")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bare root, for all tests here; gone when they end."""
    place = tmp_path_factory.mktemp("debian") / "root"
    try:
        debian.make_root(place)
        yield place
    finally:
        shutil.rmtree(str(place), ignore_errors=True)


@pytest.mark.parametrize("missing", ["pip", "ensurepip", "setuptools"])
def test_it_is_bare(root: Path, missing: str) -> None:
    said = debian.run_inside(root, "! python3 -c 'import %s'" % missing, 60)
    assert "No module named '%s'" % missing in said


def test_the_page_can_be_followed(root: Path, carried: Path) -> None:
    for path in carried.glob("*.tar.gz*"):
        shutil.copy(str(path), str(root / "root"))
    finished = ("until ./jd-worker.pyz expId=digits-tune server-info json=true > info.json && "
                "grep -q '\"DONE\": %d' info.json; do sleep 0.1; done; cat info.json\n" % JOBS)
    # What the page has for pip is for machines with pip.
    said = debian.run_inside(root, commands("Carry it in") + commands("One file") + finished
                             + commands("install.sh") + commands("Upgrade"), 300)
    assert said.count("The %d best of %d settings" % (JOBS, JOBS)) == 2
    home = root / "root"
    assert len(list((home / "jd_server" / "digits-tune" / "data").glob("*/result.json"))) == JOBS
    assert (home / "jd-worker" / "bin" / "jd_server").is_file()
    assert (home / "bin" / "jd-worker").is_symlink()
