"""The directory that makes `import jd` work in a script of any Python, and adds nothing else to its path."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any, List, Tuple

import pytest

from jd import program
from jd.files import safedirs
from jd.worker.attempt.calling import environment, importing
from tests.support import ROOT, free_env

SHOW = "import jd; print(jd.__version__, jd.__file__)"


def shown(python: Path, place: str, code: str, python_path: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(python), "-B", "-c", code], capture_output=True, text=True, cwd=os.sep,
                          check=False,
                          env={"PATH": os.environ["PATH"],
                               "PYTHONPATH": environment.with_package(python_path, place)})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if the worker had been installed, beside something else."""
    site = tmp_path / "worker's" / "site-packages"
    shutil.copytree(str(ROOT / "jd"), str(site / "jd"), ignore=shutil.ignore_patterns("__pycache__", "web"))
    (site / "other.py").write_text("")
    monkeypatch.setattr(importing, "package_parent", lambda: str(site))
    return site


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """A Python of another environment, in which nothing is installed."""
    venv.create(str(tmp_path / "env"), with_pip=False, symlinks=True)
    return tmp_path / "env" / "bin" / "python"


def test_another_python_imports_the_jd_of_the_worker_and_nothing_beside_it(
        tmp_path: Path, installed: Path, other_python: Path) -> None:
    place = importing.place(free_env(tmp_path))
    found = shown(other_python, place, SHOW)
    assert found.stdout.split(None, 1)[1].strip() == str(installed / "jd" / "__init__.py"), found.stderr
    for name in ("other", "tests"):
        assert "No module named" in shown(other_python, place, "import %s" % name).stderr
    assert os.listdir(place) == ["jd"]
    uses = "from jd import jd_job_dir, jd_upload; import jd.script.upload as u; print(u.__file__)"
    assert shown(other_python, place, uses).stdout.strip() == str(installed / "jd" / "script" / "upload.py")
    runs = "import runpy, sys; sys.argv[1:] = ['help']; runpy.run_module('jd', run_name='__main__')"
    assert "expId=" in shown(other_python, place, runs).stdout  # as python -m jd does


def test_the_jd_of_the_worker_comes_before_one_that_is_installed_there_and_after_one_on_the_path(
        tmp_path: Path, installed: Path, other_python: Path) -> None:
    place = importing.place(free_env(tmp_path))
    site, = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "jd.py").write_text("__version__ = 'installed'")
    assert shown(other_python, place, SHOW).stdout.split()[0] != "installed"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "jd.py").write_text("__version__ = 'mine'")
    assert shown(other_python, place, SHOW, str(mine)).stdout.split()[0] == "mine"


def test_the_jd_of_a_pyz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other_python: Path) -> None:
    archive = tmp_path / "jd-worker.pyz"
    with zipfile.ZipFile(str(archive), "w") as file:
        for path in sorted((ROOT / "jd").rglob("*.py")):
            file.write(str(path), str(path.relative_to(ROOT)))
    monkeypatch.setattr(importing, "package_parent", lambda: str(archive))
    found = shown(other_python, importing.place(free_env(tmp_path)), SHOW + "; import jd.script.upload")
    assert str(archive) in found.stdout, found.stderr


def test_a_worker_that_is_gone_is_told(tmp_path: Path, installed: Path) -> None:
    place = importing.place(free_env(tmp_path))
    shutil.rmtree(str(installed / "jd"))
    assert "ImportError: the jd of the worker that runs this script is no longer in" in shown(
        Path(sys.executable), place, "import jd").stderr


@pytest.mark.parametrize("version", [(2, 7), (3, 7)])
def test_an_older_python_is_told_what_is_needed(version: Tuple[int, int]) -> None:
    code = "import sys; sys.version_info = %r + (0,)\n" % (version,)
    head = importing.source().decode().split("import importlib")[0]
    failed = subprocess.run([sys.executable, "-c", code + head.replace("import sys\n", "")],
                            stderr=subprocess.PIPE, text=True, check=False)
    assert "jd needs Python 3.8 or newer, and %s is Python %d.%d;" % (
        sys.executable, *version) in failed.stderr


def test_what_somebody_has_changed_is_written_again_and_what_others_can_write_is_not_used(
        tmp_path: Path) -> None:
    environ = free_env(tmp_path)
    place = Path(importing.place(environ))
    assert place.parent == Path(environ["JD_CACHE_PATH"]) / "python"
    file = place / "jd" / "__init__.py"
    assert file.stat().st_mode & 0o077 == place.stat().st_mode & 0o077 == 0
    file.write_text("raise SystemExit('changed')")
    assert importing.place(environ) == str(place)
    assert file.read_bytes() == importing.source()
    file.parent.chmod(0o777)
    assert importing.place(environ) == program.package_parent()


def test_it_is_not_looked_at_again_while_nothing_there_has_changed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = free_env(tmp_path)
    place = importing.place(environ)
    looked: List[str] = []
    real = safedirs.make

    def make(path: Path, *words: Any) -> None:
        looked.append(path.name)
        real(path, *words)
    monkeypatch.setattr(safedirs, "make", make)
    assert importing.place(environ) == place and looked == []
    (Path(place) / "jd" / "__pycache__").mkdir()
    assert importing.place(environ) == place and looked == ["jd"]
    assert importing.place(environ) == place and looked == ["jd"]


def test_without_a_cache_it_is_the_place_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert importing.place(dict(free_env(tmp_path), JD_CACHE_PATH=str(tmp_path / "file"))) == str(ROOT)


def test_what_a_killed_worker_has_left_of_it_goes(tmp_path: Path) -> None:
    environ = free_env(tmp_path)
    directory = Path(importing.place(environ)) / "jd"
    draft = directory / ".__init__.py.0a1b2c3d.tmp"
    draft.touch()
    os.utime(str(draft), (0, 0))
    importing.tidy(environ)
    assert os.listdir(str(directory)) == ["__init__.py"]
