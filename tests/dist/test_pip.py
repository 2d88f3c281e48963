"""pip installs this project with no network and no setuptools: wheel, source tree, editable."""

import subprocess
from pathlib import Path
from typing import Dict

import pytest

import jd
from tests.dist.trees import copy_checkout
from tests.support import free_env, python

pytestmark = pytest.mark.slow

_STATE = """
import importlib.metadata as m, os, jd
d = m.distribution("jd-worker")
print(d.version, jd.__version__)
print(os.path.dirname(os.path.dirname(jd.__file__)))
print(",".join(sorted(e.name for e in d.entry_points)))
print(d.metadata["Requires-Python"], d.requires)
"""


class Venv:
    """A venv with pip and nothing else, for all tests here: each leaves it as it was."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.scripts = place / "bin"
        self.environment: Dict[str, str] = free_env(
            place.parent, PYTHONPATH=None, PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null",
            PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_CACHE_DIR="1", PIP_ROOT_USER_ACTION="ignore")

    def run(self, *args: object) -> str:
        ran = subprocess.run([str(self.scripts / "python")] + [str(arg) for arg in args],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                             cwd=str(self.place.parent), env=self.environment)
        assert ran.returncode == 0, ran.stdout.decode("utf-8", "replace")
        return ran.stdout.decode("utf-8", "replace")

    def pip(self, *args: object) -> str:
        return self.run("-m", "pip", *args)

    def check_and_uninstall(self, home: Path) -> None:
        """jd is there and comes from `home`; after `pip uninstall` no file of it is left."""
        version, where, commands, needs = self.run("-c", _STATE).splitlines()
        assert version == "%s %s" % (jd.__version__, jd.__version__)
        assert where == str(home)
        assert {"jd_worker_cli", "jd_server"} <= set(commands.split(","))
        assert needs == ">=3.8 None"
        for command in commands.split(","):
            assert (self.scripts / command).stat().st_mode & 0o111
        self.pip("uninstall", "-y", "jd-worker")
        left = [path for path in self.place.rglob("*") if path.name.startswith(("jd", "__editable__"))
                and "site-packages/pip" not in str(path)]
        assert left == []

    @property
    def packages(self) -> Path:
        found, = self.place.glob("lib/python*/site-packages")
        return found


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    pytest.importorskip("ensurepip", reason="no ensurepip (Debian: python3-venv), so no venv with pip")
    venv = Venv(tmp_path_factory.mktemp("pip") / "venv")
    made = subprocess.run(python("-m", "venv", venv.place), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=300,
                          env=dict(venv.environment, TMPDIR=str(venv.place.parent)))
    if made.returncode:
        pytest.skip("this Python makes no venv with pip: %s" % made.stdout.decode("utf-8", "replace"))
    venv.pip("uninstall", "-q", "-y", "setuptools", "wheel")
    return venv


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout under a path with a space, where builds leave no trace in ours."""
    return copy_checkout(tmp_path_factory.mktemp("source") / "a checkout")


def test_pip_installs_the_source_tree(venv: Venv, checkout: Path) -> None:
    venv.pip("install", checkout)
    venv.check_and_uninstall(venv.packages)
    assert not (checkout / "build").exists() and not list(checkout.glob("*.egg-info"))


def test_pip_installs_the_source_tree_editable(venv: Venv, checkout: Path) -> None:
    venv.pip("install", "-e", checkout)
    venv.check_and_uninstall(checkout)


def test_pip_installs_the_wheel_and_takes_over_from_jd_dist_install(venv: Venv, checkout: Path,
                                                                    tmp_path: Path) -> None:
    subprocess.run(python("-m", "jd.dist", "wheel", "--out", tmp_path), check=True, timeout=60,
                   env=free_env(tmp_path, PYTHONPATH=checkout), stdout=subprocess.DEVNULL)
    wheel, = tmp_path.glob("*.whl")
    subprocess.run([str(venv.scripts / "python"), "-m", "jd.dist.install", str(wheel)], check=True,
                   env=free_env(tmp_path, PYTHONPATH=wheel), timeout=60, stdout=subprocess.DEVNULL)
    assert "jd-worker" in venv.pip("list")
    said = venv.pip("install", "--force-reinstall", wheel)
    assert "Successfully uninstalled jd-worker" in said
    venv.check_and_uninstall(venv.packages)


def test_pip_uninstalls_what_jd_dist_install_installed(venv: Venv, checkout: Path,
                                                       tmp_path: Path) -> None:
    subprocess.run([str(venv.scripts / "python"), "-m", "jd.dist.install"], check=True,
                   env=free_env(tmp_path, PYTHONPATH=checkout), timeout=60, stdout=subprocess.DEVNULL)
    venv.check_and_uninstall(venv.packages)
