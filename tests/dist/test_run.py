"""tests/run.py: what `make test` sums up."""

import shutil
import subprocess
from pathlib import Path
from typing import Tuple

import pytest

from tests.dist.trees import put
from tests.support import ROOT, free_env, python

@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A tree with two directories of tests that pass, one skipped."""
    put(tmp_path / "house", {
        "tests/a/test_a.py": "import pytest\ndef test_a(): pass\ndef test_not(): pytest.skip('no moon')\n",
        "tests/b/test_b.py": "def test_b(): pass\n", "tests/test_c.py": "def test_c(): pass\n"})
    shutil.copy(str(ROOT / "tests" / "run.py"), str(tmp_path / "house" / "tests"))
    return tmp_path / "house"


def run(house: Path, *options: str) -> Tuple[int, str]:
    done = subprocess.run(python("-m", "tests.run", *options), cwd=str(house), timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                          env=free_env(house.parent, PYTHONPATH=None))
    return done.returncode, done.stdout


def test_the_last_line_is_the_sum(house: Path) -> None:
    status, said = run(house)
    assert status == 0
    assert said.splitlines()[-1].startswith("3 passed, 1 skipped in ")
    assert "no moon" in said
    status, said = run(house, "-k", "test_b")
    assert (status, said.splitlines()[-1].partition(" in ")[0]) == (0, "1 passed, 3 deselected")
    assert run(house, "-k", "nothing")[0] == 1
    assert "2 passed, 1 skipped in" in run(house, "--ignore=tests/b")[1].splitlines()[-1]
    assert run(house, "tests/b")[1].splitlines()[-1].startswith("1 passed in ")


def test_what_fails_fails_the_run_and_is_shown(house: Path) -> None:
    put(house, {"tests/b/test_b.py": "def test_b(): assert 'this' == 'that'\n"})
    status, said = run(house)
    assert status == 1 and "assert 'this' == 'that'" in said
    assert said.splitlines()[-1].startswith("1 failed, 2 passed, 1 skipped in ")
    put(house, {"tests/b/test_b.py": "import nothing_of_that_name\n"})
    status, said = run(house)
    assert status == 1 and "nothing_of_that_name" in said
