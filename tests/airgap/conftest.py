"""One bundle for all tests here, made, carried in and unpacked with the commands of the page."""

import shutil
from pathlib import Path

import pytest

from tests.airgap import offline
from tests.airgap.bundles import commands, copy_with_quick_demo, plain_environment, shell
from tests.support import python


@pytest.fixture(scope="session")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the two files that are carried in."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    checkout = copy_with_quick_demo(tmp_path_factory.mktemp("outside") / "a checkout")
    environ = dict(plain_environment(checkout.parent), PYTHON=python()[0])
    shell(commands("Build the bundle"), checkout, environ, offline.prefix(), 120)
    inside = tmp_path_factory.mktemp("inside")
    for path in (checkout / "dist").glob("*.tar.gz*"):
        shutil.copy(str(path), str(inside))
    shutil.rmtree(str(checkout))
    return inside


@pytest.fixture(scope="session")
def bundle(carried: Path) -> Path:
    """The unpacked bundle, verified."""
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not installed")
    shell(commands("Carry it in"), carried, plain_environment(carried), offline.prefix(), 60)
    unpacked, = carried.glob("jd-worker-*-bundle")
    return unpacked
