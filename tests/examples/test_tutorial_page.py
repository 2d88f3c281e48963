"""docs/tutorial.md on one machine and from the shell, and the README's first example, typed as they stand."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Dict, List

import pytest

from tests.examples.page import Block, blocks, save, told
from tests.slurm.sweep import install
from tests.support import free_env, left_running, wait_until

pytestmark = pytest.mark.slow
PAGE = blocks("docs/tutorial.md")


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    """A user with the programs on PATH and nothing else; ports are free ones."""
    environ = free_env(tmp_path, JD_SERVER_PORT=0, JD_SERVER_DASHBOARD_PORT=0,
                       JD_SERVER_WORKSPACE_PATH=tmp_path / "server", COLUMNS=120)
    environ["PATH"] = "%s:%s" % (install(tmp_path), environ["PATH"])
    return environ


def typed(text: str, directory: Path, environ: Dict[str, str]) -> str:
    """What it prints when it is typed there; nothing of it is left."""
    try:
        done = subprocess.run(["bash", "-e", "-c", text], cwd=str(directory), env=environ, timeout=120,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(lambda: not left_running(str(directory)), message="all of it has ended")
    finally:
        for process in left_running(str(directory)):
            os.kill(int(process.split()[0]), signal.SIGKILL)
    return done.stdout


def test_on_one_machine(tmp_path: Path, environ: Dict[str, str]) -> None:
    checked = 0
    for block in PAGE:
        if block.kind == "python":
            save(block, tmp_path)
        elif block.kind == "bash" and not block.title:
            assert told(typed(block.text, tmp_path, environ)) == told(block.printed)
            checked += 1
    assert checked == 2


def test_from_the_shell(tmp_path: Path, environ: Dict[str, str]) -> None:
    save(PAGE[0], tmp_path)
    (space,) = [block for block in PAGE if block.kind == "json"]
    (tmp_path / "round1.json").write_text(space.text)
    shell: List[Block] = [block for block in PAGE if block.title.startswith("shell")]
    outputs = typed("echo =====\n".join(block.text for block in shell), tmp_path, environ).split("=====\n")
    assert len(outputs) == len(shell) == 3
    for block, output in zip(shell, outputs):  # the page has what the last commands of a block print
        shown = told(block.printed)
        assert told(output)[len(told(output)) - len(shown):] == shown
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 31
    assert (tmp_path / "best" / "25" / "model.json").is_file()


def test_the_first_example_of_the_readme(tmp_path: Path, environ: Dict[str, str]) -> None:
    page = blocks("README.md")
    first = next(at for at, block in enumerate(page) if block.kind == "python")
    script, driving, command = page[first:first + 3]
    assert len(driving.text.splitlines()) <= 10
    save(script, tmp_path)
    save(driving, tmp_path)
    assert told(typed(command.text, tmp_path, environ)) == told(command.printed)
