"""tests/run.py: what `make test` says while it runs, what it leaves out, and what it sums up."""

import os
import pty
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
        "pytest.ini": "[pytest]\nmarkers = slow\n",
        "tests/a/test_a.py": "import pytest\ndef test_a(): pass\ndef test_not(): pytest.skip('no moon')\n",
        "tests/b/test_b.py": "def test_b(): pass\n", "tests/test_c.py": "def test_c(): pass\n"})
    shutil.copy(str(ROOT / "tests" / "run.py"), str(tmp_path / "house" / "tests"))
    return tmp_path / "house"


def run(house: Path, *options: str, output: int = subprocess.PIPE) -> Tuple[int, str]:
    done = subprocess.run(python("-m", "tests.run", *options), cwd=str(house), timeout=120,
                          stdout=output, stderr=subprocess.STDOUT, text=True,
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
    assert "2 passed, 1 skipped in" in run(house, "--ignore=tests/b/")[1].splitlines()[-1]
    assert run(house, "tests/b")[1].splitlines()[-1].startswith("1 passed in ")


def test_what_fails_fails_the_run_and_is_shown(house: Path) -> None:
    put(house, {"tests/b/test_b.py": "def test_b(): assert 'this' == 'that'\n"})
    status, said = run(house)
    assert status == 1 and "assert 'this' == 'that'" in said
    assert said.splitlines()[-1].startswith("1 failed, 2 passed, 1 skipped in ")
    put(house, {"tests/b/test_b.py": "import nothing_of_that_name\n"})
    status, said = run(house)
    assert status == 1 and "nothing_of_that_name" in said


def test_slow_tests_are_left_out_and_named_unless_all_are_asked_for(house: Path) -> None:
    put(house, {"tests/b/test_b.py": "import pytest\ndef test_b(): pass\n"
                                     "@pytest.mark.slow\ndef test_d(): pass\n"})
    status, said = run(house)
    left_out, sum_ = said.splitlines()[-2:]
    assert status == 0 and left_out.startswith("left out, by directory: b 1. ") and "make check" in left_out
    assert sum_.startswith("3 passed, 1 skipped, 1 deselected in ")
    status, said = run(house, "--all")
    assert status == 0 and "left out" not in said
    assert said.splitlines()[-1].startswith("4 passed, 1 skipped in ")
    assert run(house, "tests/b")[1].splitlines()[-1].startswith("2 passed in "), "what is named is run"


def test_it_says_at_once_what_it_does_and_then_how_far_it_is(house: Path) -> None:
    first, *rest = run(house)[1].splitlines()
    assert first.startswith("running 3 parts of tests/, ")
    assert [line for line in rest if line.startswith("tests/b: 1 passed")]
    seen, terminal = pty.openpty()
    try:
        run(house, output=terminal)
        shown = os.read(seen, 65536).decode()
    finally:
        os.close(seen)
        os.close(terminal)
    assert "[ 0:00] 0 of 3 done; now a 0%" in shown
    assert "\r\x1b[Ktests/b: 1 passed" in shown, "the line that changes makes place for those that stay"
