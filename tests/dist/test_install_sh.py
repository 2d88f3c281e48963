"""install.sh: where it installs to, that it checks first, what it refuses, and that it cleans up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

import jd
from jd.dist.bundle import build_bundle
from jd.dist.metadata import load_project
from tests.support import ROOT, free_env

CLI = "jd_worker_cli %s\n" % jd.__version__


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    packed = build_bundle(load_project(ROOT), tmp_path_factory.mktemp("built"))
    return packed.parent / packed.name[:-len(".tar.gz")]


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A bundle of the test's own, under a path with spaces and quotes."""
    return Path(shutil.copytree(str(original), str(tmp_path / "the user's \"bundle\"")))


def _install(bundle: Path, *words: object, status: int = 0, **environ: object) -> str:
    """What it printed, on either stream."""
    tmp_path = bundle.parent
    environ = {"PYTHON": sys.executable, "PYTHONPATH": None, **environ}
    done = subprocess.run(["sh", str(bundle / "install.sh")] + [str(word) for word in words],
                          cwd=str(tmp_path), env=free_env(tmp_path, **environ), timeout=120,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == status, said
    return said


def _refused(bundle: Path, *words: object, status: int = 1, **environ: object) -> str:
    """The one line that says why not; nothing was installed."""
    said = _install(bundle, *words, status=status, **environ)
    assert said.startswith("error: ") and said.count("\n") == 1, said
    assert not (bundle.parent / "home" / "jd-worker").exists()
    return said


def _run(tmp_path: Path, *command: object, **environ: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, timeout=60, cwd=str(tmp_path),
                          env=free_env(tmp_path, **{"PYTHONPATH": None, **environ}),
                          stdout=subprocess.PIPE).stdout.decode()


def _files(place: Path) -> List[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if not path.is_dir())


def test_a_venv_in_the_home_is_the_default_and_a_second_run_changes_nothing(bundle: Path) -> None:
    tmp_path = bundle.parent
    place = tmp_path / "home" / "jd-worker"
    said = _install(bundle, PYTHONPATH="/nowhere", PYTHONHOME=None)
    assert "commands:     %s/bin/jd_worker_cli\n" % place in said
    assert 'find them:    export PATH=%s/bin:"$PATH"\n' % place in said
    assert "to uninstall: rm -r %s\n" % place in said
    assert _run(tmp_path, place / "bin" / "jd_worker_cli", "version").startswith(CLI)
    before = _files(place)
    (place / "mine").write_text("")
    said = _install(bundle, PATH="%s:%s" % (place / "bin", os.environ["PATH"]))
    assert said.startswith("jd-worker %s installed into" % jd.__version__)
    assert "find them" not in said and _files(place) == sorted(before + ["mine"])
    assert _install(bundle, "--quiet") == ""
    assert "removed from" in _install(bundle, "--uninstall")
    assert not (place / "bin" / "jd_worker_cli").exists() and (place / "mine").exists()


def test_a_prefix_needs_no_venv_and_is_found_by_scripts(bundle: Path) -> None:
    tmp_path = bundle.parent
    place = tmp_path / "a prefix"
    said = _install(bundle, "--prefix", "a prefix")
    command = place / "bin" / "jd_worker_cli"
    assert _run(tmp_path, command, "version").startswith(CLI)
    told = _run(tmp_path, command, "doctor", "json=true")
    assert "scripts can import jd" in told
    # What it says about its removal is what works.
    shown = next(line for line in said.splitlines() if line.startswith("to uninstall: "))
    _run(tmp_path, "sh", "-c", shown[len("to uninstall: "):])
    assert _files(place) == []
    assert "jd-worker is not installed in " in _install(
        bundle, "--uninstall", "--prefix", place, status=2)


def test_the_packages_of_a_user(bundle: Path) -> None:
    tmp_path = bundle.parent
    base = Path(sys.base_prefix) / "bin" / "python3"
    managed = ("import os, sys, sysconfig; sys.exit(sys.version_info < (3, 8) or os.path.exists("
               "os.path.join(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED')))")
    if not base.exists() or subprocess.run([str(base), "-c", managed], timeout=60, check=False).returncode:
        pytest.skip("%s is too old, or the system manages its packages" % base)
    _install(bundle, "--user", PYTHON=base)
    assert _run(tmp_path, tmp_path / "home/.local/bin/jd_worker_cli", "version").startswith(CLI)
    _install(bundle, "--user", "--uninstall", PYTHON=base)
    assert _files(tmp_path / "home" / ".local") == []


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="this Python is in no venv")
def test_a_venv_does_not_see_the_packages_of_a_user(bundle: Path) -> None:
    assert "does not see the packages of a user" in _refused(bundle, "--user", status=2)


@pytest.mark.parametrize("name", ["jd-worker.pyz", "LICENSE"])
def test_a_damaged_or_missing_file_is_found_first(bundle: Path, name: str) -> None:
    path = bundle / name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    said = _refused(bundle)
    assert "%s is damaged" % path in said and "copy the bundle again" in said
    path.unlink()
    assert "%s is missing" % path in _refused(bundle)
    path.write_bytes(data)
    assert _install(bundle, "--check") == "every file is as SHA256SUMS says\n"
    (bundle / "SHA256SUMS").unlink()
    assert "cannot read %s" % (bundle / "SHA256SUMS") in _refused(bundle)


def test_what_is_in_the_way_stays(bundle: Path) -> None:
    place = bundle.parent / "data"
    place.mkdir()
    (place / "precious").write_text("x")
    assert "data is there already and is no venv" in _refused(bundle, "--venv", place, status=2)
    assert _files(place) == ["precious"]
    (place / "pyvenv.cfg").write_text("")
    assert "bin/python does not run" in _refused(bundle, "--venv", place, status=2)
    assert "data/precious" in _refused(bundle, "--prefix", place / "precious")


def test_python_is_named_or_looked_for(bundle: Path) -> None:
    old = bundle.parent / "old"
    old.mkdir()
    (old / "python3").write_text("#!/bin/sh\nexit 1\n")
    (old / "python3").chmod(0o755)
    for tool in ("dirname", "sed", "sh"):
        (old / tool).symlink_to(str(shutil.which(tool)))
    assert "PYTHON=%s/python3 is not Python 3.8 or newer" % old in _refused(bundle, PYTHON=old / "python3")
    assert "there is no Python 3.8 or newer on PATH" in _refused(bundle, PYTHON=None, PATH=old)
    (old / "python3.9").symlink_to(sys.executable)
    assert "every file is" in _install(bundle, "--check", PYTHON=None, PATH=old)


def test_without_a_home_it_asks_where(bundle: Path) -> None:
    assert "HOME is not set: say where" in _refused(bundle, HOME=None)


def test_words_that_are_none_and_help(bundle: Path) -> None:
    said = _install(bundle, "--nonsense", status=2)
    assert "install.sh: error: unrecognized arguments: --nonsense" in said
    assert "a directory is given with --venv or --prefix" in _install(bundle, "/opt/jd", status=2)
    assert "not allowed with" in _install(bundle, "--user", "--prefix", "x", status=2)
    said = _install(bundle, "--help")
    assert "--prefix DIR" in said and "#" not in said and "set -eu" not in said


def test_it_is_plain_sh(original: Path) -> None:
    subprocess.run(["sh", "-n", str(original / "install.sh")], check=True, timeout=60)

