"""Workers that know their limits, and servers that move, as real processes on loopback."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import EXPERIMENT, Process, Server, Worker
from tests.support import STOPPED, free_env, python, wait_until


def script(directory: Path, source: str = "") -> Path:
    path = directory / "train.py"
    path.write_text("import os, signal, sys, time\n" + source)
    return path


# Says that it runs, and saves something when it is asked to stop.
SAVING = """
def save(*_):
    open(os.environ["MARKS"] + "/saved", "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
open(os.environ["MARKS"] + "/started", "w").close()
time.sleep(60)
"""


def test_a_worker_ends_when_the_sweep_does(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.create(3)
        with Worker(tmp_path, server.url, script(tmp_path), "exit_when_empty=true") as worker:
            assert "no job is left that could still come" in worker.finish()
        assert worker.popen.returncode == 0
        assert server.counts() == {"DONE": 3}


def test_an_idle_worker_ends(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with Worker(tmp_path, server.url, script(tmp_path), "idle_timeout=1") as worker:
            assert "no job for 1s (idle_timeout)" in worker.finish()
        assert worker.popen.returncode == 0


@pytest.mark.parametrize("left, words, fields, says", [
    (500, (), {"min_time": 1000}, "no job fits"),
    (500, ("min_time=10m",), {}, "min_time is 10m 00s"),
    (-5, (), {}, "its time limit is reached")])
def test_a_job_that_does_not_fit_is_not_taken(tmp_path: Path, left: int, words: Any, fields: Any,
                                              says: str) -> None:
    with Server(tmp_path) as server:
        server.create(**fields)
        with Worker(tmp_path, server.url, script(tmp_path), *words,
                    JD_END_TIME=int(time.time()) + left) as worker:
            assert says in worker.finish()
        assert worker.popen.returncode == 0
        assert (server.jobs()[0]["status"], server.jobs()[0]["attempt"]) == ("PENDING", 0)


def test_the_estimate_is_that_of_jobs_that_were_done(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, script(tmp_path, "time.sleep(0.2)"), "once=true") as worker:
            worker.finish()
        server.create()
        # An hour is claimed for a job; so long nobody waits here.
        server.call("/worker/heartbeat", {"worker_id": "slow", "session": "s"})
        server.call("/update_job_status", {"job_id": 2, "attempt": 1, "status": "DONE",
                                           "runtime": 3600.0})
        server.create()
        with Worker(tmp_path, server.url, script(tmp_path), JD_END_TIME=int(time.time()) + 600) as worker:
            assert "the shortest needs 1h 00m" in worker.finish()
        assert server.counts() == {"DONE": 2, "PENDING": 1}


def test_usr2_before_the_limit_lets_a_job_save_and_gives_it_back(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, script(tmp_path, SAVING), MARKS=tmp_path,
                    JD_END_TIME=int(time.time()) + 120) as worker:
            wait_until((tmp_path / "started").exists)
            os.kill(worker.popen.pid, signal.SIGUSR2)
            said = worker.finish()
        assert (tmp_path / "saved").exists()
        assert worker.popen.returncode == 0
        assert "it is not known how long its job takes" in said and "drained by SIGUSR2" in said
        server.until(PENDING=1)
        assert "drained by SIGUSR2, for want of time" in str(server.jobs()[0]["message"])


def test_usr2_lets_a_job_finish_that_can(tmp_path: Path) -> None:
    source = """
open(os.environ["MARKS"] + "/started", "w").close()
while not os.path.exists(os.environ["MARKS"] + "/go"):
    time.sleep(0.01)
"""
    with Server(tmp_path) as server:
        server.create(2, min_time=30)
        with Worker(tmp_path, server.url, script(tmp_path, source), MARKS=tmp_path,
                    JD_END_TIME=int(time.time()) + 120) as worker:
            wait_until((tmp_path / "started").exists)
            os.kill(worker.popen.pid, signal.SIGUSR2)
            wait_until(lambda: b"draining" in _printed(tmp_path))
            (tmp_path / "go").touch()
            worker.finish()
        assert worker.popen.returncode == 0
        assert server.counts() == {"DONE": 1, "PENDING": 1}


def _printed(directory: Path) -> bytes:
    logs = list((directory / "workspace").rglob("jd_worker_*.log"))
    return b"".join(path.read_bytes() for path in logs)


def test_a_server_that_moves_is_found_through_its_file(tmp_path: Path) -> None:
    place = tmp_path / "server place.url"
    token = tmp_path / "token"
    token.write_text("t" * 32 + "\n")
    token.chmod(0o600)
    with Process(python("-m", "jd.cli", "expId=" + EXPERIMENT, "foreground=true",
                        "entry_script=%s" % script(tmp_path), "server=@%s" % place),
                 free_env(tmp_path), tmp_path / "worker.err", tmp_path) as worker:
        wait_until(lambda: "waiting up to 10m 00s for %s" % place in worker.errors)
        flags = ("--publish-url", place, "--token-file", token)
        with Server(tmp_path, *flags) as first:
            with_token = {"Authorization": "Bearer " + "t" * 32}
            first.call("/api/jobs/create", {"jobs": [{"x": 1}]}, **with_token)
            wait_until(lambda: first.call("/job_counts", **with_token)["DONE"] == 1)
            assert place.read_text() == "%s\n%s\n" % (first.url, token)
            assert first.stop() == 0
        assert not place.exists()
        with Server(tmp_path, *flags) as second:
            assert second.url != first.url
            second.call("/api/jobs/create", {"jobs": [{"x": 2}]}, **with_token)
            wait_until(lambda: second.call("/job_counts", **with_token)["DONE"] == 2, 60)
            assert b"the job server is now at " + second.url.encode() in _printed(tmp_path)
            assert worker.stop() in (0, STOPPED)
