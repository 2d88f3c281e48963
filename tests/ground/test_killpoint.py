"""Where tests end a process, and that nobody else can."""

import re
import signal
import subprocess
from pathlib import Path
from typing import List

import pytest

from tests.support import ROOT, free_env, python

CODE = """
from jd.killpoint import killpoint
for number in range(3):
    killpoint("store.end.before-commit")
    print(number, flush=True)
"""


def points() -> List[str]:
    """Every point that the code names, once for each place."""
    return [name for path in sorted((ROOT / "jd").rglob("*.py"))
            for name in re.findall(r'\bkillpoint\("([^"]*)"\)', path.read_text(encoding="utf-8"))
            if path.name != "killpoint.py"]


@pytest.mark.parametrize("chosen, printed", [
    ("store.end.before-commit", []),
    ("store.end.before-commit:3", ["0", "1"]),
])
def test_a_process_ends_at_the_point_that_was_chosen(tmp_path: Path, chosen: str, printed: List[str]) -> None:
    done = subprocess.run(python("-c", CODE), env=free_env(tmp_path, JD_KILL_POINT=chosen),
                          stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout.decode().split()) == (-signal.SIGKILL, printed)


@pytest.mark.parametrize("chosen", ["", "store.end", "store.end.before-commit:4"])
def test_no_other_choice_does_anything(tmp_path: Path, chosen: str) -> None:
    done = subprocess.run(python("-c", CODE), env=free_env(tmp_path, JD_KILL_POINT=chosen),
                          stdout=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stdout.decode().split()) == (0, ["0", "1", "2"])


def test_each_point_has_a_name_of_its_own_that_says_what_comes_next() -> None:
    names = points()
    assert names and len(set(names)) == len(names)
    form = r"[a-z-]+(\.[a-z-]+)*\.(before|after)-(commit|rename|link|unlink|fsync)"
    assert [name for name in names if not re.fullmatch(form, name)] == []
