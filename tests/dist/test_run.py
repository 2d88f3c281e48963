"""tests/run.py: what `make test` says while it runs, what it leaves out, and what it sums up."""

import contextlib
import os
import pty
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Tuple

import pytest

from tests import run as runner
from tests.dist.trees import put
from tests.support import ROOT, free_env, python


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A tree with two directories of tests and a file; one is skipped, one is slow."""
    put(tmp_path / "house", {
        "pytest.ini": "[pytest]\nmarkers = slow\n",
        "tests/a/test_a.py": "import pytest\ndef test_a(): pass\ndef test_not(): pytest.skip('no moon')\n",
        "tests/b/test_b.py": "import pytest\ndef test_b(): pass\n@pytest.mark.slow\ndef test_slow(): pass\n",
        "tests/test_c.py": "def test_c(): pass\n"})
    shutil.copy(str(ROOT / "tests" / "run.py"), str(tmp_path / "house" / "tests"))
    return tmp_path / "house"


def run(house: Path, *options: str) -> Tuple[int, str]:
    done = subprocess.run(python("-m", "tests.run", *options), cwd=str(house), timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=free_env(house.parent, PYTHONPATH=None))
    return done.returncode, done.stdout


def shown_on_a_terminal(house: Path, *options: str) -> str:
    """What a run writes to it."""
    ours, its = pty.openpty()
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as screen:
        running = subprocess.Popen(python("-m", "tests.run", *options), cwd=str(house),
                                   stdout=its, stderr=its, env=free_env(house.parent, PYTHONPATH=None))
        os.close(its)
        with running, contextlib.suppress(OSError):  # which stands for the end of a terminal
            for some in iter(lambda: screen.read(4096), b""):
                shown += some
    return shown.decode()


def test_it_says_what_it_does_what_it_left_out_and_the_sum(house: Path) -> None:
    status, said = run(house)
    first, *parts, left_out, closing = said.splitlines()
    assert status == 0
    assert first.startswith("running 3 parts of tests/, ")
    assert "no moon" in said
    assert [line for line in parts if line.startswith("tests/b: 1 passed, 1 deselected in ")]
    assert left_out.startswith("left out, by directory: b 1. ") and "make check" in left_out
    assert closing.startswith("3 passed, 1 skipped, 1 deselected in ")


def test_all_are_run_where_all_are_asked_for_and_what_is_named(house: Path) -> None:
    status, said = run(house, "--all", "--ignore=tests/a/")
    assert status == 0 and "left out" not in said
    assert said.splitlines()[-1].startswith("3 passed in ")
    assert run(house, "tests/b")[1].splitlines()[-1].startswith("2 passed in ")
    assert run(house, "-k", "nothing", "--ignore=tests/a")[0] == 1, "nothing was tested"


def test_on_a_terminal_a_line_changes(house: Path) -> None:
    shown = shown_on_a_terminal(house, "-k", "test_b")
    assert "[ 0:00] 0 of 3 done; now a 0%" in shown
    assert "\r\x1b[Ktests/b: 1 passed" in shown, "it makes place for those that stay"
    assert "left out" not in shown and "\x1b[K1 passed, 4 deselected in " in shown


def test_what_fails_fails_the_run_and_is_shown(house: Path) -> None:
    put(house, {"tests/a/test_a.py": "import nothing_of_that_name\n",
                "tests/b/test_b.py": "def test_b(): assert 'this' == 'that'\n"})
    status, said = run(house)
    assert status == 1 and "assert 'this' == 'that'" in said and "nothing_of_that_name" in said
    assert said.splitlines()[-1].startswith("1 failed, 1 passed, 1 error in ")
    kept = [Path(word) for line in said.splitlines() if line.startswith("the files of the tests are in ")
            for word in line.split()[-3::2]]
    assert len(kept) == 2 and all(path.is_dir() for path in kept)
    for path in kept:
        shutil.rmtree(str(path))


@pytest.mark.parametrize("exists, free, flags, usable", [
    (True, runner.MEMORY_NEEDED, 0, True), (True, runner.MEMORY_NEEDED - 1, 0, False),
    (True, runner.MEMORY_NEEDED, os.ST_NOEXEC, False), (False, runner.MEMORY_NEEDED, 0, False)])
def test_files_lie_in_memory_where_there_is_room_and_scripts_run(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool, free: int, flags: int,
        usable: bool) -> None:
    place = str(tmp_path if exists else tmp_path / "none")
    real = os.statvfs(str(tmp_path))

    def told(path: str) -> SimpleNamespace:
        os.stat(path)  # as statvfs, it fails where nothing is
        return SimpleNamespace(f_bavail=free // real.f_frsize, f_frsize=real.f_frsize, f_flag=flags)

    monkeypatch.setattr(runner, "MEMORY", place)
    monkeypatch.setattr(os, "statvfs", told)
    assert runner.quick_place() == (place if usable else None)


def test_what_other_pythons_leave_out_exists() -> None:
    """A directory or file that was renamed would be tested with each of them again, without a word."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    names = script.partition("for same in ")[2].partition("; do")[0].replace("\\\n", " ").split()
    assert "browser" in names
    assert [name for name in names if not (ROOT / "tests" / name).exists()] == []


def test_each_file_of_tests_is_run_once() -> None:
    """Also those of directories that go together, and of such as are taken file by file."""
    paths = [ROOT / path for part in runner.parts() for path in part.paths]
    files = [file for path in paths for file in (path.rglob("test_*.py") if path.is_dir() else [path])]
    assert sorted(files) == sorted((ROOT / "tests").rglob("test_*.py"))


def test_what_takes_long_begins_first() -> None:
    """A directory or file that was renamed would begin among the last, without a word."""
    assert tuple(part.key for part in runner.parts())[:len(runner.FIRST)] == runner.FIRST
