"""Server and workers together, as real processes on loopback."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest

from tests.e2e.processes import EXPERIMENT, Server, Worker, outbox
from tests.support import STOPPED, wait_until


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    """Write an entry script and return its path."""
    def write(source: str) -> Path:
        path = tmp_path / "train.py"
        path.write_text("import argparse, json, os, signal, sys, time\n" + source)
        return path
    return write


# Each job waits for a file, so that a test decides when it ends.
GATED = """
marks = os.environ["MARKS"]
job = os.environ["JD_JOB_ID"]
open(os.path.join(marks, "started-%s-%d" % (job, os.getpid())), "w").close()
while not os.path.exists(os.path.join(marks, "go")):
    time.sleep(0.01)
with open(os.path.join(marks, "ended-" + job), "a") as ended:
    ended.write("x")
"""


def starts(marks: Path, job_id: int) -> List[Path]:
    return [path for path in marks.iterdir() if path.name.startswith("started-%d-" % job_id)]


def test_a_sweep_runs_to_its_end(tmp_path: Path, script: Callable[[str], Path]) -> None:
    path = script("from jd import jd_job_dir, jd_upload\n"
                  "p = argparse.ArgumentParser(); p.add_argument('--x', type=int)\n"
                  "x = p.parse_args().x\n"
                  "f = jd_job_dir() / 'result.json'\n"
                  "f.write_text(json.dumps({'square': x * x})); jd_upload(f)\n")
    with Server(tmp_path) as server:
        server.create(6)
        with Worker(tmp_path, server.url, path, "num_workers=2") as worker:
            server.until(DONE=6)
            assert worker.stop() in (0, STOPPED)
        results = [server.call("/api/jobs/%d/uploads/download?filename=result.json" % job["id"])
                   for job in server.jobs()]
        assert results == [{"square": x * x} for x in range(6)]
        server.stop()


def test_what_does_not_succeed_is_told(tmp_path: Path, script: Callable[[str], Path]) -> None:
    path = script("p = argparse.ArgumentParser(); p.add_argument('--x', type=int)\n"
                  "x = p.parse_args().x\n"
                  "print('about to end', x, flush=True)\n"
                  "sys.exit(7) if x == 0 else os.kill(os.getpid(), signal.SIGSEGV)\n")
    with Server(tmp_path, "--max-attempts", 1) as server:
        server.create(2)
        with Worker(tmp_path, server.url, path) as worker:
            server.until(ABORTED=2)
            worker.stop()
        exited, crashed = [job["message"][-1]["reason"] for job in server.jobs()]
        assert "failed" in exited and "7" in exited and "about to end 0" in exited
        assert "killed" in crashed and "SIGSEGV" in crashed and "about to end 1" in crashed
        server.stop()


def test_once_runs_one_job_and_none_where_there_is_none(tmp_path: Path,
                                                        script: Callable[[str], Path]) -> None:
    path = script("pass")
    with Server(tmp_path) as server:
        server.create(2)
        with Worker(tmp_path, server.url, path, "once=true") as worker:
            worker.finish()
            assert worker.popen.returncode == 0
        assert server.counts() == {"DONE": 1, "PENDING": 1}
        for _ in range(2):
            with Worker(tmp_path, server.url, path, JD_ONCE="yes") as worker:
                worker.finish()
                assert worker.popen.returncode == 0
        assert server.counts() == {"DONE": 2}
        server.stop()


def test_kill_9_of_the_server_loses_and_repeats_no_finished_job(tmp_path: Path, script: Callable[[str], Path],
                                                                marks: Path) -> None:
    path = script(GATED)
    with Server(tmp_path) as server:
        server.create(4)
        with Worker(tmp_path, server.url, path, "num_workers=2", MARKS=marks) as worker:
            wait_until(lambda: starts(marks, 1) and starts(marks, 2))
            port = server.port
            server.stop(signal.SIGKILL)
            # The jobs end while there is no server.
            (marks / "go").touch()
            wait_until(lambda: (marks / "ended-1").exists() and (marks / "ended-2").exists())
            wait_until(lambda: len(list(outbox(tmp_path).glob("*.json"))) == 2,
                       message="results wait on disk")
            with Server(tmp_path, port=port) as again:
                again.until(DONE=4, timeout=60)
                assert worker.stop() in (0, STOPPED)
                assert list(outbox(tmp_path).glob("*.json")) == []
                assert [job["attempt"] for job in again.jobs()] == [1, 1, 1, 1]
                assert [(marks / ("ended-%d" % job)).read_text() for job in (1, 2, 3, 4)] == ["x"] * 4
                again.stop()


def test_a_result_that_waits_is_delivered_by_the_next_worker(tmp_path: Path, script: Callable[[str], Path],
                                                             marks: Path) -> None:
    path = script(GATED)
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, MARKS=marks) as worker:
            wait_until(lambda: starts(marks, 1))
            port = server.port
            server.stop(signal.SIGKILL)
            (marks / "go").touch()
            wait_until(lambda: list(outbox(tmp_path).glob("*.json")), message="the result waits on disk")
            worker.stop(signal.SIGKILL)
        with Server(tmp_path, port=port) as again:
            assert again.counts() == {"SERVED": 1}
            with Worker(tmp_path, again.url, path, "once=true", name="next", MARKS=marks) as other:
                other.finish()
            assert again.counts() == {"DONE": 1}
            again.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_result_outlasts_the_scratch_of_its_allocation(
        tmp_path: Path, script: Callable[[str], Path], marks: Path, number: int) -> None:
    """The next worker has another node, which is called something else, and another scratch."""
    path = script(GATED)
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "idle_timeout=1", MARKS=marks,
                    JD_CACHE_PATH=tmp_path / "scratch") as worker:
            wait_until(lambda: starts(marks, 1))
            port = server.port
            server.stop(signal.SIGKILL)
            (marks / "go").touch()
            wait_until(lambda: list(outbox(tmp_path).glob("*.json")), message="the result waits on disk")
            wait_until(lambda: "idle_timeout), but the result" in (worker_log(tmp_path)), message="it stays")
            worker.stop(number)
        shutil.rmtree(str(tmp_path / "scratch"))
        if number == signal.SIGTERM:
            assert "delivers it, on whichever node" in worker_log(tmp_path)
        with Server(tmp_path, port=port) as again:
            node = another_node() if number == signal.SIGTERM else []  # a crash shows late
            with Worker(tmp_path, again.url, path, "exit_when_empty=true", name="next", through=node,
                        MARKS=marks, JD_CACHE_PATH=tmp_path / "another") as other:
                other.finish()
            assert [(job["status"], job["attempt"]) for job in again.jobs()] == [("DONE", 1)]
            assert (marks / "ended-1").read_text() == "x" and os.listdir(str(outbox(tmp_path))) == []
            again.stop()


def another_node() -> List[str]:
    """What starts a worker on a machine of another name, with processes of its own; nothing if that is not
    to be had here."""
    words = ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c",
             'hostname node2 && exec "$@"', "sh"]
    try:
        done = subprocess.run([*words, "true"], capture_output=True)
    except OSError:
        return []
    return words if done.returncode == 0 else []


def worker_log(directory: Path) -> str:
    return "".join(path.read_text() for path in directory.glob("workspace/jd_data/*/jd_worker_logs/*.log"))


def test_kill_9_of_a_worker_runs_its_job_again_after_the_lease(tmp_path: Path, script: Callable[[str], Path],
                                                               marks: Path) -> None:
    path = script(GATED)
    with Server(tmp_path, "--idle-timeout", 3) as server:
        server.create()
        with Worker(tmp_path, server.url, path, MARKS=marks) as worker:
            wait_until(lambda: starts(marks, 1))
            worker.stop(signal.SIGKILL)
        (first,) = starts(marks, 1)
        if sys.platform == "linux":
            pid = int(first.name.rpartition("-")[2])
            wait_until(lambda: not os.path.exists("/proc/%d" % pid), message="the script dies too")
        server.until(PENDING=1)
        (marks / "go").touch()
        with Worker(tmp_path, server.url, path, "once=true", name="second", MARKS=marks) as worker:
            worker.finish()
        (job,) = server.jobs()
        assert (job["status"], job["attempt"]) == ("DONE", 2)
        assert "lost" in job["message"][0]["reason"]
        server.stop()


def test_sigterm_gives_the_job_back_and_the_checkpoint_goes_on(tmp_path: Path, script: Callable[[str], Path],
                                                               marks: Path) -> None:
    path = script("""
from jd import jd_update_checkpoint, jd_get_last_checkpoint
seen = jd_get_last_checkpoint()
if seen is None:
    def checkpoint(number, frame):
        jd_update_checkpoint({"epoch": 3})
        sys.exit(0)
    signal.signal(signal.SIGTERM, checkpoint)
    open(os.path.join(os.environ["MARKS"], "started-1-0"), "w").close()
    while True:
        time.sleep(0.01)
print("went on from", seen)
""")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, MARKS=marks) as worker:
            wait_until(lambda: starts(marks, 1))
            assert worker.stop() in (0, STOPPED)
        assert server.counts() == {"PENDING": 1}
        with Worker(tmp_path, server.url, path, "once=true", name="second", MARKS=marks) as worker:
            assert "went on from {'epoch': 3}" in worker.finish()
        (job,) = server.jobs()
        assert (job["status"], job["attempt"]) == ("DONE", 2)
        assert "preempted" in job["message"][0]["reason"]
        server.stop()


def test_a_worker_that_is_idle_leaves_at_once(tmp_path: Path, script: Callable[[str], Path]) -> None:
    with Server(tmp_path) as server:
        with Worker(tmp_path, server.url, script("pass")) as worker:
            database = server.workspace / EXPERIMENT / "meta" / "jobs.db"
            wait_until(lambda: b"worker_" in database.read_bytes() or server.call("/healthz"))
            wait_until(lambda: "worker" in worker.stdout.readline().decode())
            assert worker.stop() in (0, STOPPED)  # its heartbeat is held for three times as long
        server.stop()


def test_a_worker_started_before_its_server(tmp_path: Path, script: Callable[[str], Path]) -> None:
    with Server(tmp_path) as probe:
        port = probe.port
        probe.create()
        probe.stop()
    with Worker(tmp_path, "127.0.0.1:%d" % port, script("pass")) as worker:
        with Server(tmp_path, port=port) as server:
            server.until(DONE=1)
            assert worker.stop() in (0, STOPPED)
            server.stop()


def test_a_shared_token_from_file_and_variable(tmp_path: Path, script: Callable[[str], Path]) -> None:
    token = tmp_path / "token"
    token.write_text("correct-horse-battery\n")
    path = script("from jd import jd_update_checkpoint\njd_update_checkpoint(1)\n")
    with Server(tmp_path, "--token-file", token) as server:
        bearer = {"Authorization": "Bearer correct-horse-battery"}
        server.call("/api/jobs/create", {"parameters": {"x": [1, 2]}}, **bearer)
        ways: List[Dict[str, Any]] = [{"JD_SERVER_TOKEN_FILE": token},
                                      {"JD_SERVER_TOKEN": "correct-horse-battery"}]
        for number, given in enumerate(ways):
            with Worker(tmp_path, server.url, path, "once=true", name="w%d" % number,
                        **given) as worker:
                output = worker.finish()
                assert worker.popen.returncode == 0 and "correct-horse" not in output
        assert server.call("/job_counts", **bearer)["DONE"] == 2
        with Worker(tmp_path, server.url, path, name="wrong",
                    JD_SERVER_TOKEN="wrong-horse-battery") as worker:
            output = worker.finish()
            assert worker.popen.returncode == 1
            assert "token" in output + worker.errors and "wrong-horse" not in output + worker.errors
        server.stop()


def test_the_variables_of_the_reference(tmp_path: Path, script: Callable[[str], Path]) -> None:
    path = script("print('SEEN ' + json.dumps({k: v for k, v in os.environ.items() if k.startswith('JD_')}))"
                  "\nopen(os.path.join(os.environ['JD_WORKER_JOB_DIR'], 'written'), 'w')")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "once=true", "machine_type=gpu") as worker:
            output = worker.finish()
        seen = json.loads(output.partition("SEEN ")[2].splitlines()[0])
        root = str(tmp_path / "workspace" / "jd_data")
        assert seen["JD_JOB_ID"] == "1" and seen["JD_EXP_ID"] == EXPERIMENT
        assert seen["JD_SERVER"] == server.url
        assert seen["JD_WORKER_WORKSPACE_ROOT"] == root
        assert seen["JD_WORKER_JOB_DIR"] == os.path.join(root, EXPERIMENT, "1")
        assert os.listdir(seen["JD_WORKER_JOB_DIR"]) == ["written"]
        assert seen["JD_WORKER_ID"].endswith("_0")
        assert json.loads(seen["JD_JOB_PARAMETERS"]) == {"x": 0}
        log = tmp_path / "workspace" / "jd_data" / EXPERIMENT / "jd_worker_logs" / (
            "jd_worker_%s.log" % seen["JD_WORKER_ID"])
        assert "SEEN" in log.read_text()
        server.stop()
