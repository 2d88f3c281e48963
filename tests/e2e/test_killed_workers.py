"""Workers that are killed with SIGKILL, as real processes: nothing of their jobs lives on."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Set, Tuple

import pytest

from tests.e2e.node import Node, is_running
from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.support import free_env, python, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

SOON = 2.0  # seconds

# Leaves <job>.<name> in $MARKS, with a pid, for itself and for each kind of process that a script may have.
SCRIPT = """
import os, signal, subprocess, sys, time
where = os.environ["MARKS"] + "/" + os.environ["JD_JOB_ID"] + "."
def note(name):
    with open(where + name + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(where + name + ".new", where + name)
def start(name, *before):
    if os.fork() == 0:
        for step in before:
            step()
        note(name)
        time.sleep(600)
        os._exit(0)
def orphan():
    if os.fork():
        os._exit(0)
def without_environment():
    os.execve(sys.executable, [sys.executable, "-c", "import sys, time; open(sys.argv[1], 'w').write("
              "str(__import__('os').getpid())); time.sleep(600)", where + "bare"], {})
start("plain")
start("deaf", lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
start("session", os.setsid)
start("daemon", os.setsid, orphan)
start("", lambda: os.setpgid(0, 0), without_environment)
note("script")
time.sleep(600)
"""
KINDS = ["plain", "deaf", "session", "daemon", "bare", "script"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def processes_of(marks: Path, job_id: int) -> Set[int]:
    """All that a job runs, once it does."""
    def read() -> Set[int]:
        texts = [path.read_text() for path in (marks / ("%d.%s" % (job_id, kind)) for kind in KINDS)
                 if path.exists()]
        return {int(text) for text in texts if text} if len(texts) == len(KINDS) and all(texts) else set()
    return wait_until(read)


def inheriting(marks: Path) -> Set[int]:
    """All processes that run with MARKS in their environment: a launch and what came of it."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environ = Path("/proc", name, "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"MARKS=" + os.fsencode(marks) in environ and is_running(int(name)):
            found.add(int(name))
    return found


@pytest.mark.parametrize("words", [(), ("warm=true", "preload=subprocess")], ids=["cold", "warm"])
def test_in_the_foreground(tmp_path: Path, marks: Path, script: Path, words: Tuple[str, ...]) -> None:
    with Server(tmp_path) as server:
        server.create(1)
        with Worker(tmp_path, server.url, script, *words, MARKS=marks) as worker:
            running = processes_of(marks, 1)
            worker.stop(signal.SIGKILL)
            wait_until(lambda: not any(map(is_running, running)), SOON)
        wait_until(lambda: not inheriting(marks), SOON)  # the warden has gone too


def test_one_of_several_in_the_foreground(tmp_path: Path, marks: Path, script: Path) -> None:
    with Server(tmp_path) as server:
        server.create(2)
        with Worker(tmp_path, server.url, script, "num_workers=2", MARKS=marks) as worker:
            first, second = processes_of(marks, 1), processes_of(marks, 2)
            os.kill(parent_of(marks, 1), signal.SIGKILL)
            wait_until(lambda: not any(map(is_running, first)), SOON)
            assert all(map(is_running, second))
            assert worker.popen.poll() is None
            worker.stop()
        assert not any(map(is_running, second))
        wait_until(lambda: not inheriting(marks), SOON)


def parent_of(marks: Path, job_id: int) -> int:
    """The worker that runs a job: its script is a child of it."""
    pid = (marks / ("%d.script" % job_id)).read_text()
    return int(Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1])


def test_in_the_background(tmp_path: Path, marks: Path, script: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, MARKS=marks) as node:
        server.create(2)
        node.start(script, "num_workers=2")
        first, second = processes_of(marks, 1), processes_of(marks, 2)
        os.kill(parent_of(marks, 1), signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, first)), SOON)
        assert all(map(is_running, second))
        node.exp("stop", "all")
        wait_until(lambda: not inheriting(marks), SOON)


def test_a_launch_that_is_killed_as_a_whole_group(tmp_path: Path, marks: Path, script: Path) -> None:
    with Server(tmp_path) as server:
        server.create(1)
        launch = subprocess.Popen(
            python("-m", "jd.cli", "expId=" + EXPERIMENT, "entry_script=%s" % script, "server=" + server.url,
                   "foreground=true", "num_workers=2"),
            env=free_env(tmp_path, MARKS=marks), stdout=subprocess.DEVNULL, start_new_session=True)
        try:
            running = processes_of(marks, 1)
        finally:
            os.killpg(launch.pid, signal.SIGKILL)
            launch.wait(60)
        wait_until(lambda: not any(map(is_running, running)), SOON)
        wait_until(lambda: not inheriting(marks), SOON)


@pytest.mark.parametrize("words", [(), ("num_workers=2",)])
def test_the_warden_delays_no_end_and_is_no_worker(tmp_path: Path, marks: Path, script: Path,
                                                   words: Tuple[str, ...]) -> None:
    script.write_text("")
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        with Worker(tmp_path, server.url, script, *words, MARKS=marks) as worker:
            wait_until(lambda: sum(row.last_ping_at is not None for row in node.rows()) == len(words) + 1)
            (warden,) = inheriting(marks) - {row.pid for row in node.rows()} - {worker.popen.pid}
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
                os.kill(warden, number)
            worker.popen.send_signal(signal.SIGTERM)
            worker.finish()  # reads to the end of its output, which the warden does not hold open
        wait_until(lambda: not inheriting(marks), SOON)
