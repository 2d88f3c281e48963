"""A script that hangs, with children of its own, as real processes: its timeout ends it."""

from pathlib import Path

from jd.node.identity import Here
from tests.e2e.processes import Server, Worker
from tests.support import wait_until

HANGING = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "600"])  # ignores it too: that is inherited
with open(os.environ["MARKS"] + "/new", "w") as file:
    file.write("%d %d" % (os.getpid(), child.pid))
os.rename(os.environ["MARKS"] + "/new", os.environ["MARKS"] + "/pids")
print("hangs", flush=True)
time.sleep(600)
"""


def test_a_hung_script_is_ended_with_all_that_it_started(tmp_path: Path, marks: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(HANGING)
    with Server(tmp_path) as server:
        server.create(1)
        with Worker(tmp_path, server.url, script, "once=true", "job_timeout=2", "grace=1",
                    MARKS=marks) as worker:
            said = worker.finish()
        assert "has run for its limit of 2s (job_timeout of the worker): it has 1s to stop" in said
        assert server.counts() == {"ABORTED": 1}
        told = str(server.jobs()[0]["message"])
        assert "and its limit is 2s (job_timeout of the worker): killed" in told and "hangs" in told
    here = Here()
    for pid in (marks / "pids").read_text().split():
        wait_until(lambda: here.start_time(int(pid)) is None)


def test_a_hung_job_of_a_sweep_with_a_timeout_holds_nothing_up(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text('import sys, time\nif "0" in sys.argv:\n    time.sleep(600)\n')
    with Server(tmp_path) as server:
        server.create(2, timeout=3, max_attempts=1)  # the other one has to start in that time
        with Worker(tmp_path, server.url, script, "exit_when_empty=true", "grace=1") as worker:
            worker.finish()
        assert [job["status"] for job in server.jobs()] == ["ABORTED", "DONE"]
        assert "attempt 1 timed out on" in str(server.jobs()[0]["message"])
