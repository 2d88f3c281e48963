"""make: the list of targets, what it says when something is missing, and that it wipes nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dist.trees import copy_checkout, put
from tests.support import ROOT, free_env

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what `make` needs, under a path with a space, with a demo of one line."""
    root = copy_checkout(tmp_path_factory.mktemp("make") / "a checkout")
    put(root, {"docs/examples/digits-tune/demo.py": "import sys, jd\nprint(sys.prefix, jd.__file__)\n",
               "tests/run.py": (ROOT / "tests" / "run.py").read_text(encoding="utf-8")})
    return root


def _make(checkout: Path, *args: str, **extra: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", "--no-print-directory", *args], cwd=str(checkout), timeout=300,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=free_env(checkout.parent, **{"PYTHONPATH": None, **extra}))


def _fake_python(path: Path, says: str) -> str:
    path.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo '%s'\nexit 1\n" % says)
    path.chmod(0o755)
    return str(path)


def test_help_is_the_default_and_names_every_target(checkout: Path) -> None:
    done = _make(checkout)
    assert done.returncode == 0
    listed = re.findall(r"^  make (\w+) +\w", done.stdout, re.MULTILINE)
    assert listed == ["help", "demo", "test", "lint", "check", "wheel", "pyz", "bundle", "image", "sif",
                      "bench", "fuzz", "faults", "clean"]
    columns = {re.match(r"  make \w+ +", line).end()  # type: ignore[union-attr]
               for line in done.stdout.splitlines() if line.startswith("  make ")}
    assert len(columns) == 1


def test_the_demo_needs_neither_pip_nor_network(checkout: Path, tmp_path: Path) -> None:
    venv = tmp_path / "a venv"
    options = ("PYTHON=" + sys.executable, "VENV=%s" % venv)
    done = _make(checkout, "demo", *options, PIP_NO_INDEX="1")
    assert done.returncode == 0, done.stdout
    first, last = done.stdout.splitlines()
    assert first.startswith("venv: making %s with Python 3." % venv)
    assert last == "%s %s" % (venv, checkout / "jd" / "__init__.py")
    assert os.access(str(venv / "bin" / "jd_worker_cli"), os.X_OK)
    assert not (venv / "bin" / "pip").exists()
    (venv / "mine").write_text("")
    again = _make(checkout, "demo", *options)
    assert again.stdout.splitlines() == [last]
    assert (venv / "mine").exists()


def test_a_venv_of_another_python_is_not_wiped(checkout: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    put(venv, {"bin/python": "#!/bin/sh\necho 3.99.0 of /elsewhere\n", "precious": ""})
    (venv / "bin" / "python").chmod(0o755)
    done = _make(checkout, "demo", "PYTHON=" + sys.executable, "VENV=%s" % venv)
    assert done.returncode == 2
    assert "error: %s has Python 3.99.0 of /elsewhere, and PYTHON=" % venv in done.stdout
    assert (venv / "precious").exists()


def test_a_python_that_is_too_old_or_missing_is_named(checkout: Path, tmp_path: Path) -> None:
    old = _fake_python(tmp_path / "python 3.7", "Python 3.7.16")
    for target in ("test", "demo", "wheel"):
        done = _make(checkout, target, "PYTHON=" + old)
        assert done.returncode == 2
        assert "PYTHON=%s is not Python 3.8 or newer (Python 3.7.16)" % old in done.stdout
    done = _make(checkout, "demo", "PYTHON=no-such-python")
    assert "PYTHON=no-such-python is not Python 3.8 or newer" in done.stdout
    assert not (checkout / ".venv").exists()


def test_without_pip_it_says_what_to_install_or_borrows_pytest(checkout: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    options = ("VENV=%s" % venv, "PYTEST_ARGS=--version tests")
    # A Python as Debian has it without python3-venv: `-m ensurepip` fails in its venvs.
    put(tmp_path, {"broken/ensurepip/__init__.py": "raise SystemExit(1)\n",
                   "bare": "#!/bin/sh\nexec '%s' -S \"$@\"\n" % sys.executable})
    (tmp_path / "bare").chmod(0o755)
    put(checkout, {"ensurepip.py": "raise SystemExit(1)\n"})
    try:
        done = _make(checkout, "test", "PYTHON=%s" % (tmp_path / "bare"), *options)
        assert done.returncode == 2
        assert "on Debian or Ubuntu, apt install python3-venv" in done.stdout
        done = _make(checkout, "test", "PYTHON=" + sys.executable, *options)
    finally:
        (checkout / "ensurepip.py").unlink()
    assert done.returncode == 0, done.stdout
    assert "using the one of %s" % sys.executable in done.stdout
    assert done.stdout.splitlines()[-1].startswith("pytest ")


def test_lint_says_how_to_get_what_it_runs(checkout: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    put(venv, {"bin/python": "#!/bin/sh\nexit 0\n", "bin/ruff": "#!/bin/sh\necho ruff; exit 1\n"})
    for name in ("python", "ruff"):
        (venv / "bin" / name).chmod(0o755)
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("bash", "echo", "make", "sh"):
        (bare / name).symlink_to(str(shutil.which(name)))
    options = ("lint", "PYTHON=%s" % (venv / "bin" / "python"), "VENV=%s" % venv)
    done = _make(checkout, *options, PATH=bare)
    assert done.returncode == 2
    assert "error: mypy is not installed; make linters downloads ruff and mypy into %s" % venv in done.stdout
    put(venv, {"bin/mypy": "#!/bin/sh\necho mypy\n"})
    (venv / "bin" / "mypy").chmod(0o755)
    done = _make(checkout, *options, PATH=bare)
    assert done.stdout.splitlines()[:2] == ["ruff", "mypy"]
    assert done.returncode == 2, "ruff found something"


ONE = """\
from tests.bench.rows import Row, arguments, finish
given = arguments(None).parse_args()
finish([Row("this", "× that", [2.0, 3.0, 4.0], most=%s)], given.json)
"""


def test_bench_shows_one_table_of_all_rows(checkout: Path, tmp_path: Path) -> None:
    options = ("PYTHON=" + sys.executable, "VENV=%s" % (tmp_path / "venv"))
    (tmp_path / "pytest.py").write_text("")  # benchmarks use what tests use; nothing is to be downloaded

    def bench(*words: str) -> "subprocess.CompletedProcess[str]":
        return _make(checkout, "bench", *words, *options, PYTHONPATH=tmp_path)

    put(checkout, {name: (ROOT / name).read_text(encoding="utf-8")
                   for name in ("tests/bench/run.py", "tests/bench/rows.py")})
    put(checkout, {"tests/bench/bench_one.py": ONE % 2.5, "tests/bench/bench_two.py": ONE % 3.5})
    told = tmp_path / "found.json"
    done = bench("JSON=%s" % told)
    assert done.returncode == 0, done.stdout
    rows = [line.split() for line in done.stdout.partition("== all")[2].splitlines() if line.startswith("this")]
    assert rows == [["this", "3", "×", "that", "2", "to", "4", "≤", "2.5", "no"],
                    ["this", "3", "×", "that", "2", "to", "4", "≤", "3.5", "yes"]]
    found = json.loads(told.read_text(encoding="utf-8"))["benchmarks"]
    assert [(name, one["status"], one["rows"][0]["median"]) for name, one in sorted(found.items())] == [
        ("one", 0, 3.0), ("two", 0, 3.0)]
    put(checkout, {"tests/bench/bench_one.py": "raise SystemExit(3)\n"})
    done = bench()
    assert done.returncode == 2 and "error: these did not end well: one" in done.stdout
    assert "== one" not in bench("ONLY=two").stdout
    assert "here is no checkout: there is no jd in it" in bench("AGAINST=nowhere/here").stdout
    assert "there is no benchmark three: take of one, two" in bench("ONLY=three").stdout
