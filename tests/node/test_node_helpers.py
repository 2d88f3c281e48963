"""Programs that are asked something: for a bounded time, and not taken for what a script has left."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import List, Optional

import pytest

from jd.node import helpers, orphans
from tests.support import ROOT, python, wait_until

ENVIRON = {"PATH": os.environ["PATH"]}


def test_what_it_says() -> None:
    assert helpers.output_of(["/bin/sh", "-c", "echo $WORD; exit 3"], {"WORD": "x"}, 30.0) == b"x\n"
    assert helpers.output_of(["/bin/pwd"], ENVIRON, 30.0, "/") == b"/\n"
    assert orphans.cared_for == set()


@pytest.mark.parametrize("command", [["/nothing/here"], ["/etc"], ["a\0b"]])
def test_one_that_cannot_be_run(command: List[str]) -> None:
    assert helpers.output_of(command, ENVIRON, 30.0) is None


def test_one_that_takes_too_long_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    began = time.monotonic()
    script = "sleep 100 & echo $$ $! > %s; wait" % pids
    assert helpers.output_of(["/bin/sh", "-c", script], ENVIRON, 0.5) is None
    assert time.monotonic() - began < 30.0 and orphans.cared_for == set()
    for pid in pids.read_text().split():
        wait_until(lambda: not _runs(int(pid)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody clears up")
def test_who_clears_up_after_a_script_leaves_it_alone(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(str(fifo))
    found: List[Optional[bytes]] = []
    asking = threading.Thread(target=lambda: found.append(
        helpers.output_of(["/bin/sh", "-c", "cat %s" % fifo], ENVIRON, 60.0)))
    before = orphans.children()
    asking.start()
    wait_until(lambda: orphans.cared_for)
    assert orphans.children() == before
    orphans.reap_strangers(set())
    with open(str(fifo), "w") as file:
        file.write("gone on")
    asking.join(60.0)
    assert found == [b"gone on"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nobody clears up")
def test_nor_is_one_that_has_ended_waited_for_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["/bin/sh", "-c", "exit 3"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(orphans, "cared_for", {process.pid})
    orphans.reap_strangers(set())
    assert process.wait() == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere it goes on to its end")
def test_it_ends_with_who_asks(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    asking = subprocess.Popen(
        python("-c", "import os\nfrom jd.node import helpers\n"
               "helpers.output_of(['/bin/sh', '-c', 'echo $$ > %s.new; mv %s.new %s; exec sleep 100'],"
               " os.environ, 90.0)" % (pid, pid, pid)), cwd=str(ROOT))
    wait_until(pid.exists)
    asking.kill()
    asking.wait(60)
    wait_until(lambda: not _runs(int(pid.read_text())))


def _runs(pid: int) -> bool:
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
