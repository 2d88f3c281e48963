"""What a worker in the foreground ends with, as a real process, for who runs it to read."""

import signal
import time
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest

from jd.worker.local.registry import Registry
from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.support import STOPPED, free_env, wait_until

WAITS = """
import os, time
open("%s/%s" % (os.environ["MARKS"], os.environ["JD_JOB_ID"]), "w").close()
time.sleep(60)
"""
# Without an end squeue would be asked.
IN_SLURM: Dict[str, Any] = {"SLURM_JOB_ID": "4711", "SLURM_JOB_END_TIME": int(time.time()) + 86400}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(WAITS)
    return path


@pytest.mark.parametrize("words", [(), ("num_workers=2",)])
def test_one_that_was_told_to_stop_while_jobs_are_left_asks_for_another(
        tmp_path: Path, script: Path, marks: Path, words: Tuple[str, ...]) -> None:
    with Server(tmp_path) as server:
        server.create(2)
        with Worker(tmp_path, server.url, script, *words, MARKS=marks, **IN_SLURM) as worker:
            wait_until(lambda: len(list(marks.iterdir())) == len(words) + 1)
            worker.popen.send_signal(signal.SIGTERM)
            said = worker.finish()
        assert "stopped by SIGTERM; as jobs are left, exit status 143 asks for another worker" in said
        assert worker.popen.returncode == 143
        server.until(PENDING=2)


@pytest.mark.parametrize("number, jobs, environ, status", [
    (signal.SIGTERM, 0, IN_SLURM, 0),  # there is nothing to do for another one
    (signal.SIGUSR2, 0, IN_SLURM, 0),
    (signal.SIGINT, 1, IN_SLURM, 0),
    (signal.SIGTERM, 1, {}, STOPPED)])
def test_others_end_well(tmp_path: Path, script: Path, marks: Path, number: int, jobs: int,
                         environ: Dict[str, Any], status: int) -> None:
    with Server(tmp_path) as server:
        if jobs:
            server.create(jobs)
        with Worker(tmp_path, server.url, script, MARKS=marks, **environ) as worker:
            registry = Registry(EXPERIMENT, free_env(tmp_path))
            wait_until(lambda: any(row.last_ping_at for row in registry.rows()))
            wait_until(lambda: len(list(marks.iterdir())) == jobs)
            assert worker.stop(number) == status


def test_a_drain_is_none_of_that(tmp_path: Path, script: Path, marks: Path) -> None:
    script.write_text(WAITS.replace("60", "1"))
    with Server(tmp_path) as server:
        server.create(2)
        with Worker(tmp_path, server.url, script, MARKS=marks, **IN_SLURM) as worker:
            wait_until(lambda: list(marks.iterdir()))
            assert worker.stop(signal.SIGUSR2) == 0
        assert server.counts() == {"DONE": 1, "PENDING": 1}


@pytest.mark.parametrize("source, status, verdict", [
    ("", 0, "DONE"), ("raise SystemExit(3)", 1, "ABORTED"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 1, "ABORTED")])
def test_one_job_and_its_outcome(tmp_path: Path, script: Path, source: str, status: int,
                                 verdict: str) -> None:
    script.write_text(source)
    with Server(tmp_path) as server:
        server.create(1)
        with Worker(tmp_path, server.url, script, "once=true") as worker:
            worker.finish()
        assert (worker.popen.returncode, server.counts()) == (status, {verdict: 1})
        with Worker(tmp_path, server.url, script, "once=true") as worker:
            worker.finish()
        assert worker.popen.returncode == 0  # there was none


def test_a_usage_error_is_final_and_the_terminal_says_so(tmp_path: Path, script: Path) -> None:
    script.write_text("import argparse; argparse.ArgumentParser().parse_args()")
    with Server(tmp_path) as server:
        server.create(1)
        with Worker(tmp_path, server.url, script, "once=true") as worker:
            said = worker.finish()
        assert worker.popen.returncode == 1
        assert "a usage error, as it seems, which another try would repeat, after" in said
        assert "job 1 is not tried again" in said
        told = str(server.jobs()[0]["message"])
        assert "does the script take what it was given, x?" in told
        assert "unrecognized arguments: --x" in told


def test_the_terminal_says_why_a_job_failed_and_when_it_is_tried_again(tmp_path: Path, script: Path) -> None:
    script.write_text("raise SystemExit(3)")
    with Server(tmp_path, "--aborted-job-reset-timeout", 20) as server:
        server.create(1)
        with Worker(tmp_path, server.url, script, "once=true") as worker:
            said = worker.finish()
        assert "failed: exit status 3" in said
        assert "job 1 is tried again in 20s, by another worker if there is one" in said
