"""jd-worker.pyz as a file: what is in it, the same bytes everywhere, and what old Pythons get told."""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Iterator

import pytest

from jd.dist.metadata import ProjectError, load_project
from jd.dist.pyz import build_pyz
from tests.dist.trees import make_tree, put, zip_contents
from tests.support import ROOT, free_env, python

MAIN = (ROOT / "jd" / "__main__.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield build_pyz(load_project(ROOT), tmp_path_factory.mktemp("pyz"))


def test_it_is_an_executable_zip_file_with_the_package(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", **{"jd/__main__.py": "print('here')\n"})
    old = os.umask(0o027)
    try:
        path = build_pyz(load_project(tree), tmp_path / "out")
    finally:
        os.umask(old)
    assert path.name == "jd-worker.pyz"
    assert path.read_bytes().startswith(b"#!/usr/bin/env python3\nPK")
    assert oct(path.stat().st_mode & 0o777) == "0o750"
    files = zip_contents(path)
    assert list(files) == ["__main__.py", "LICENSE", "jd/__init__.py", "jd/__main__.py", "jd/hello.py",
                           "jd/server/__init__.py", "jd/server/web/page.html"]
    assert files["__main__.py"] == files["jd/__main__.py"]
    done = subprocess.run(python(path), stdout=subprocess.PIPE, check=True, timeout=60)
    assert done.stdout == b"here\n"


def test_without_a_start_it_is_not_built(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="__main__.py is missing"):
        build_pyz(load_project(make_tree(tmp_path / "tree")), tmp_path)


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path, pyz: Path) -> None:
    sources = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
               for pattern in ("jd/*.py", "jd/dist/*", "jd/files/*") for path in ROOT.glob(pattern) if path.is_file()}
    first = build_pyz(load_project(make_tree(tmp_path / "tree", **sources)), tmp_path / "one")
    other = make_tree(tmp_path / "a tree elsewhere", **sources)
    put(other, {"jd/__pycache__/x.pyc": "x", "jd/.hidden.py": "x"})
    for path in other.rglob("*.py"):
        path.chmod(0o700)
        os.utime(str(path), (1600000000, 1700000000))
    subprocess.run(python("-m", "jd.dist", "pyz", "--out", tmp_path / "two"), check=True, timeout=60,
                   cwd=str(tmp_path), stdout=subprocess.DEVNULL, preexec_fn=lambda: os.umask(0o077),
                   env=free_env(tmp_path, PYTHONPATH=other, LC_ALL="C", TZ="Asia/Tokyo"))
    assert (tmp_path / "two" / "jd-worker.pyz").read_bytes() == first.read_bytes()
    with zipfile.ZipFile(str(pyz)) as archive:
        assert archive.testzip() is None
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_old_pythons_can_read_how_it_starts() -> None:
    assert MAIN.isascii()
    ast.parse(MAIN, feature_version=(3, 4))
    for node in ast.walk(ast.parse(MAIN)):
        # What Python 2 has no syntax for.
        assert not isinstance(node, (ast.AnnAssign, ast.JoinedStr, ast.AsyncFunctionDef, ast.Nonlocal))
        if isinstance(node, ast.FunctionDef):
            assert node.returns is None and not node.args.kwonlyargs
            assert all(argument.annotation is None for argument in node.args.args)


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 7, 16)])
def test_an_old_python_says_so_in_one_line(pyz: Path, tmp_path: Path, version: "tuple[int, ...]") -> None:
    code = ("import runpy, sys; sys.version_info = %r; sys.argv = sys.argv[1:]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')" % (version,))
    done = subprocess.run(python("-c", code, pyz, "version"), capture_output=True, timeout=60,
                          env=free_env(tmp_path, PYTHONPATH=None))
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        "error: this is Python %d.%d (%s), and JobDistributor needs 3.8 or newer; start it with "
        "another: python3.X %s\n" % (version[0], version[1], sys.executable, pyz))
