"""The clock of a server's machine is set while jobs run: a real server, whose `time.time` the test sets."""

from pathlib import Path
from typing import Any, Dict

import pytest

from tests.e2e.processes import Server, Worker
from tests.support import ROOT, wait_until

pytestmark = pytest.mark.slow

# Python runs this before anything else of a process. It stands for the clock of the machine.
SITE = """
import os, time
_real = time.time
def _set():
    try:
        return _real() + float(open(os.environ["CLOCK_IS_OFF_BY"]).read() or 0)
    except FileNotFoundError:
        return _real()
time.time = _set
"""
# Runs until the test says so; the second job fails at its first attempt.
SCRIPT = """
import argparse, os, sys, time
p = argparse.ArgumentParser(); p.add_argument("--x", type=int)
x, marks = p.parse_args().x, os.environ["MARKS"]
if x == 1:
    sys.exit(0 if os.environ["JD_JOB_ATTEMPT"] != "1" else 1)
open(os.path.join(marks, "begun"), "w").close()
while not os.path.exists(os.path.join(marks, "go")):
    time.sleep(0.02)
"""


@pytest.mark.parametrize("by", [3600, -86400], ids=["forward", "back"])
def test_no_attempt_is_lost_and_no_retry_held_up(tmp_path: Path, marks: Path, by: int) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    off = tmp_path / "off"
    clock: Dict[str, Any] = {"PYTHONPATH": "%s:%s" % (tmp_path / "site", ROOT), "CLOCK_IS_OFF_BY": off}
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    with Server(tmp_path, "--idle-timeout", 5, "--aborted-job-reset-timeout", 4, **clock) as server:
        server.create(2)
        with Worker(tmp_path, server.url, path, "num_workers=2", MARKS=marks) as worker:
            wait_until((marks / "begun").exists)
            server.until(SERVED=1, ABORTED=1)
            off.write_text(str(by))
            server.until(SERVED=1, DONE=1)  # the failed one was tried again
            (marks / "go").touch()
            server.until(DONE=2)
            worker.stop()
        assert [job["attempt"] for job in server.jobs()] == [1, 2]
        server.stop()
        assert "the clock of this machine was set" in server.errors
