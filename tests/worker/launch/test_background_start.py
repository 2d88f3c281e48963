"""A launch in the background; the workers themselves are stand-ins."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd.cli.launching import starting
from jd.node.identity import Here
from jd.worker.attempt.calling import importing
from jd.worker.config import WorkerConfig
from jd.worker.launch.background import Started, last_words
from jd.worker.launch.signals import Signals
from jd.worker.local.registry import Registry
from tests.support import free_env, python, wait_until

# The launch prints what it found; a stand-in ends when it is told to, or when SECONDS are over.
LAUNCH = """
import json, os, signal, sys, threading
from pathlib import Path
from jd.errors import StorageError
from jd.node.identity import Here
from jd.worker.attempt.process.ward import Ward
from jd.worker.launch import background, process
from jd.worker.config import WorkerConfig

def stand_in(config, worker_id, slot, ward, ready):
    return BEHAVIOUR(config, worker_id, slot, ready)

def well(config, worker_id, slot, ready):
    ready(worker_id)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    threading.Event().wait(120)

def mixed(config, worker_id, slot, ready):
    if slot == 1:
        raise StorageError("slot 1 cannot\\nreally")
    if slot == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if slot == 3:
        raise ValueError("no worker should")
    if slot == 4:
        ready("node_other_4")
    return well(config, worker_id, slot, ready if slot != 4 else lambda name: None)

def silent(config, worker_id, slot, ready):
    well(config, worker_id, slot, lambda name: None)

def crash(config, worker_id, slot, ready):
    def fails(*_):
        raise RuntimeError("the wheel came off")
    process._loop = fails
    return process.run_worker(config, worker_id, slot, Ward(), ready)

BEHAVIOUR = globals()[sys.argv[1]]
background.run_worker = stand_in
if len(sys.argv) > 3:
    forks = []
    fork = os.fork
    def few():
        forks.append(1)
        if len(forks) > int(sys.argv[3]):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return fork()
    os.fork = few
config = WorkerConfig("e", Path("x.py"), "http://127.0.0.1:9", num_workers=int(sys.argv[2]))
patience = float(os.environ["PATIENCE"])
started = background.start(config, range(config.num_workers), Here(), patience=patience)
print(json.dumps([dict(worker.__dict__, log_path=str(worker.log_path)) for worker in started]))
"""


class Launch:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.environ = free_env(tmp_path)
        self.registry = Registry("e", self.environ)
        self.pids: List[int] = []

    def __call__(self, behaviour: str, *numbers: int, status: int = 0,
                 patience: float = 600.0) -> List[Dict[str, Any]]:
        script = self.tmp_path / "launch.py"
        script.write_text(LAUNCH)
        began = time.monotonic()
        done = subprocess.run(python(script, behaviour, *numbers), capture_output=True, timeout=60,
                              cwd=str(self.tmp_path), env=dict(self.environ, PATIENCE=str(patience)))
        self.took = time.monotonic() - began
        self.errors = done.stderr.decode()
        assert done.returncode == status, self.errors
        workers: List[Dict[str, Any]] = json.loads(done.stdout or b"[]")
        self.pids += [w["pid"] for w in workers if w["exit_status"] is None]
        return workers


@pytest.fixture
def launch(tmp_path: Path) -> Any:
    launch = Launch(tmp_path)
    yield launch
    here = Here()
    for pid in launch.pids:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not any(here.start_time(pid) for pid in launch.pids))


def test_it_returns_when_all_have_an_answer(launch: Launch) -> None:
    workers = launch("well", 3)
    assert [worker["answered"] for worker in workers] == [True] * 3
    rows = launch.registry.rows()
    assert [(row.worker_id, row.pid) for row in rows] == [(w["worker_id"], w["pid"]) for w in workers]
    here = Here()
    assert [here.start_time(row.pid) for row in rows] == [
        row.identity and row.identity.start_time for row in rows]


def test_who_dies_in_the_first_second_is_known_and_the_others_stay(launch: Launch) -> None:
    workers = launch("mixed", 5)
    assert [worker["exit_status"] for worker in workers] == [None, 1, -signal.SIGKILL, 1, None]
    assert workers[1]["reason"] == "error: slot 1 cannot really"
    assert workers[2]["reason"] == "killed by SIGKILL"
    assert workers[3]["reason"].strip() == "ValueError: no worker should"
    assert workers[4]["worker_id"] == "node_other_4"
    assert [row.slot for row in launch.registry.rows()] == [0, 4]


def test_a_silent_server_is_waited_for_a_second(launch: Launch) -> None:
    workers = launch("silent", 2, patience=1.0)
    assert [(w["answered"], w["exit_status"]) for w in workers] == [(False, None)] * 2
    assert launch.took >= 1.0


def test_a_crash_is_in_the_log_and_what_an_earlier_one_left_has_gone(launch: Launch) -> None:
    draft = Path(importing.place(launch.environ)) / "jd" / ".__init__.py.0a1b2c3d.tmp"
    draft.touch()
    os.utime(str(draft), (0, 0))
    (worker,) = launch("crash", 1)
    assert not draft.exists()
    assert worker["exit_status"] == 1
    assert worker["reason"] == "RuntimeError: the wheel came off"
    log = Path(worker["log_path"]).read_text()
    assert "the worker failed, please report this" in log and "Traceback" in log
    assert launch.registry.rows() == []


@pytest.mark.parametrize("forks, who", [(0, "the warden"), (1, "the warden"), (3, "worker 3 of 4")])
def test_all_start_or_none(launch: Launch, forks: int, who: str) -> None:
    launch("well", 4, forks, status=1)
    assert "cannot start " + who in launch.errors and "ulimit -u" in launch.errors
    assert launch.registry.rows() == []


def test_last_words(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    assert last_words(log) == ""
    log.write_text("d t worker| check JD_SERVER_TOKEN\nd t job   | x\nd t worker| worker ends: no\n")
    assert last_words(log) == "check JD_SERVER_TOKEN"
    log.write_text("d t worker| worker ends: drained\n")
    assert last_words(log) == "worker ends: drained"


def test_what_is_told_of_a_launch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = WorkerConfig("e", Path("x.py"), "http://h:1", num_workers=4)
    log = tmp_path / "a.log"

    def told(*workers: Started) -> Any:
        return starting.announce(config, workers), capsys.readouterr()
    well, silent = Started("n_a_0", 12, log, True), Started("n_a_1", 1234, log)
    status, shown = told(well, well)
    assert (status, shown.err) == (0, "")
    assert shown.out.splitlines()[:3] == [
        "started 2 workers of e on http://h:1", "worker_id  pid", "n_a_0       12"]
    assert told(well, silent)[1].err == (
        "note: http://h:1 has not answered yet; the worker goes on trying\n")
    assert told(silent, silent)[1].err == (
        "note: http://h:1 has not answered yet; the workers go on trying\n")
    failed = Started("n_a_2", 9, log, False, 1, "error: no room")
    status, shown = told(well, failed)
    assert status == 1 and "started 1 of 2 workers" in shown.out and "n_a_2" not in shown.out
    assert shown.err == "error: n_a_2 ended at once with exit status 1: no room\n"
    status, shown = told(failed, failed)
    assert (status, shown.out) == (1, "")
    assert shown.err == "error: 2 of 2 workers ended at once with exit status 1: no room\n"
    assert "its log says nothing" in told(Started("n_a_3", 9, log, False, 3))[1].err
    killed = Started("n_a_4", 9, log, False, -9, "killed by SIGKILL")
    assert told(killed)[1].err == "error: n_a_4 ended at once: killed by SIGKILL\n"
    assert "ended" in told(Started("n_a_5", 9, log, True, 0))[1].out


def test_nohup_keeps_its_promise() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGUSR2)
            wait_until(lambda: signals.drain)
            assert signals.stop is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            wait_until(lambda: signals.stop == "SIGHUP")
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("url, proxies", [
    ("http://127.0.0.1:1", {}), ("https://127.0.0.1:1", {}),
    ("https://gpu-cluster.example.org:5000", {"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "10.0.0.0/8"}),
], ids=["plain", "https", "proxy"])
def test_what_calls_take_is_imported_once_for_all_workers(tmp_path: Path, url: str,
                                                         proxies: Dict[str, str]) -> None:
    """A module that each worker imports by itself takes memory in each of them, and one that none needs in
    all."""
    program = """
import sys
from jd.errors import ServerUnreachable
from jd.net.client import Client
from jd.worker.launch import background
background._import_later(sys.argv[1])
before = set(sys.modules)
try:
    Client(sys.argv[1]).call("GET", "/healthz")
except ServerUnreachable:
    pass
print(sorted(set(sys.modules) - before), sorted({"ssl", "http.client"} & before))
"""
    done = subprocess.run(python("-c", program, url), stdout=subprocess.PIPE, check=True,
                          env=free_env(tmp_path, **proxies))
    needed = ["http.client", "ssl"] if proxies else ["ssl"] if url.startswith("https") else []
    assert done.stdout.decode().strip() == "[] %s" % needed
