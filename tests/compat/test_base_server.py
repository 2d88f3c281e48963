"""Our worker, library and command line beside a server and a Hub that know only the base of the protocol.

Answers get lost, proxies fail before and after: each job is done once all the same, and nothing goes over the
wire that the base does not have.
"""

import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest

from jd.script.checkpoint import load, save
from jd.script.context import JobContext
from jd.script.upload import Patience, upload_file
from tests.compat.baseserver import CUT, FAILED, KEY, LOST, REFUSED, BaseHub, BaseServer, Fault
from tests.e2e.processes import EXPERIMENT, Process, Worker
from tests.support import STOPPED, free_env, python

SCRIPT = """
import json, os, sys
from jd import jd_get_last_checkpoint, jd_job_dir, jd_update_checkpoint, jd_upload
job = os.environ["JD_JOB_ID"]
with open(os.path.join(os.environ["MARKS"], job), "a") as runs:
    runs.write("x")
before = jd_get_last_checkpoint()
assert before is None, before
jd_update_checkpoint({"x": 1})
assert jd_get_last_checkpoint() == {"x": 1}
path = jd_job_dir() / "metrics.json"
path.write_text(json.dumps({"job": job}))
assert jd_upload(str(path))["filename"] == "metrics.json"
"""
WORKERS = ["POST /worker/heartbeat", "POST /update_job_status"]
SCRIPTS = ["POST /upload", "POST /checkpoint", "GET /checkpoint/latest"]
TOKEN = "POST /api/worker/token"
# What becomes of the first, the second … request to a route, and round again.
FAULTS: Dict[str, List[Optional[str]]] = {
    "nothing": [None],
    "refused": [REFUSED, None],
    "failed": [None, FAILED, None],
    "lost": [None, LOST, None],
    "cut": [CUT, None],
}


def by_turns(kinds: Sequence[Optional[str]], routes: List[str]) -> Fault:
    return lambda route, count: kinds[count % len(kinds)] if route in routes else None


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def runs(tmp_path: Path) -> Dict[int, int]:
    return {int(path.name): len(path.read_text()) for path in (tmp_path / "marks").iterdir()}


def settled(server: BaseServer) -> Callable[[], bool]:
    return lambda: all(job["status"] in ("DONE", "ABORTED") for job in server.jobs.values())


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_job_is_done_once_whatever_becomes_of_answers(tmp_path: Path, script: Path, fault: str) -> None:
    with BaseServer(by_turns(FAULTS[fault], WORKERS)) as server:
        server.add(*({"x": x} for x in range(3)))
        with Worker(tmp_path, server.url, script, MARKS=tmp_path / "marks") as worker:
            server.wait_for(settled(server))
            assert worker.stop() in (0, STOPPED)
        assert server.counts()["DONE"] == 3 and runs(tmp_path) == {1: 1, 2: 1, 3: 1}
        assert sorted(told["job_id"] for told in server.told) == [1, 2, 3]
        assert {number: [name for name, _ in files] for number, files in server.files.items()} == {
            number: ["metrics.json"] for number in (1, 2, 3)}
        assert server.said_wrongly == []
    if fault == "nothing":
        assert worker.errors == ""


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_files_and_checkpoints_arrive(tmp_path: Path, fault: str) -> None:
    """What scripts call, without the pauses between two tries."""
    patience = Patience(4, sleep=lambda seconds: None)
    path = tmp_path / "metrics.json"
    path.write_text("{}")
    with BaseServer(by_turns(FAULTS[fault], SCRIPTS)) as server:
        server.add({"x": 1})
        environ = {"JD_JOB_ID": "1", "JD_SERVER": server.url, "JD_EXP_ID": EXPERIMENT, "HOME": str(tmp_path)}
        context = JobContext.current("test", environ=environ)
        assert load(context, patience) is None
        saved = [save(context, {"x": x}, patience)["version"] for x in range(2)]
        assert saved == sorted(saved) and load(context, patience) == {"x": 1}
        assert upload_file(context, path, patience)["size_bytes"] == 2
        # A file whose answer was lost is there twice, as the base has it.
        assert {name for name, _ in server.files[1]} == {"metrics.json"}
        assert server.said_wrongly == []


def test_a_failure_is_told_in_the_words_of_the_base(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("import sys; print('out of luck'); sys.exit(3)")
    with BaseServer() as server:
        server.add({"x": 1})
        with Worker(tmp_path, server.url, path) as worker:
            server.wait_for(settled(server))
            worker.stop()
        (told,) = server.told
        assert told["status"] == "ABORTED" and "3" in told["message"] and server.said_wrongly == []


@pytest.mark.parametrize("state, first, then", [("stop", "idle", None), ("drain", "idle", None),
                                                ("pause", "idle", "run")])
def test_commands_are_obeyed_and_acknowledged(tmp_path: Path, script: Path, state: str, first: str,
                                              then: Optional[str]) -> None:
    with BaseServer() as server, Worker(tmp_path, server.url, script, MARKS=tmp_path / "marks") as worker:
        server.wait_for(lambda: server.times("POST /worker/heartbeat"))
        server.command = (state, 1)
        server.add({"x": 1})
        server.wait_for(lambda: server.asked[-1][1].get("applied_version") == 1)
        if then is None:
            worker.finish()
            assert server.handed_out == []
        else:
            server.command = (then, 2)
            server.wait_for(settled(server))
            worker.stop()
        assert server.said_wrongly == []


def command(tmp_path: Path, *words: str, **environ: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(python("-m", "jd.cli", "expId=" + EXPERIMENT, *words), cwd=str(tmp_path),
                          env=free_env(tmp_path, **environ), capture_output=True, text=True, timeout=120)


PROGRAM = """
import sys, jd
jd.init(exp_id=%r, server=sys.argv[1])
made = jd.create_jobs({"x": [1, 2], "y": [3]}, idle_timeout=900)
assert (made["start_id"], made["total_jobs"], made["action"]) == (1, 2, "Created"), made
assert jd.get_job_statuses([1, 2, 9]) == {1: "PENDING", 2: "PENDING"}
assert [job["parameters"] for job in jd.list_jobs(ids=[2])["jobs"]] == [{"x": 2, "y": 3}]
assert jd.list_jobs(fetch_all=True, per_page=1)["total_count"] == 2
print("made", flush=True)
jobs = jd.wait_for_jobs([1, 2], timeout=60, poll_interval=1)
assert {job["status"] for job in jobs.values()} == {"DONE"}
assert [file["filename"] for file in jd.list_job_uploads(2)] == ["metrics.json"]
assert jd.download_result(2, "metrics.json").read_text() == '{"job": "2"}'
assert jd.create_jobs([{"x": 5}], replace=True)["start_id"] == 3
assert jd.list_jobs(status="DELETED")["total_count"] == 2
""" % EXPERIMENT


def test_a_program_drives_a_sweep_there(tmp_path: Path, script: Path) -> None:
    program = tmp_path / "drive.py"
    program.write_text(PROGRAM)
    with BaseServer() as server, \
            Process(python(program, server.url), free_env(tmp_path), tmp_path / "drive.err") as driving:
        assert driving.stdout.readline() == b"made\n", driving.errors
        with Worker(tmp_path, server.url, script, MARKS=tmp_path / "marks") as worker:
            server.wait_for(lambda: server.counts()["DONE"] == 2)
            worker.stop()
        assert driving.popen.wait(60) == 0, driving.errors
        assert server.said_wrongly == [] and driving.errors == ""


def test_commands_know_such_a_server(tmp_path: Path) -> None:
    with BaseServer() as server:
        server.add({"x": 1}, {"x": 2})
        there = "server=" + server.url
        info = command(tmp_path, "server-info", there)
        assert info.returncode == 0 and "PENDING" in info.stdout and info.stderr == ""
        assert command(tmp_path, "health", there).returncode == 0
        doctor = command(tmp_path, "doctor", there)
        assert "problem" not in doctor.stdout, doctor.stdout
        assert "knows only the base protocol" in doctor.stdout and doctor.returncode == 0
        assert server.said_wrongly == []


@pytest.mark.parametrize("fault", [REFUSED, FAILED, LOST])
def test_commands_say_that_it_is_away(tmp_path: Path, fault: str) -> None:
    with BaseServer(by_turns([fault], ["GET /job_counts"])) as server:
        info = command(tmp_path, "server-info", "server=" + server.url)
        assert info.returncode == 1 and info.stdout == "" and len(info.stderr.splitlines()) <= 2, info.stderr
        assert info.stderr.startswith("error: ")


@pytest.mark.parametrize("fault", [None, REFUSED, LOST])
def test_a_stopped_worker_is_told_of(tmp_path: Path, fault: Optional[str]) -> None:
    path = tmp_path / "train.py"
    path.write_text("import time; time.sleep(600)")
    with BaseServer(by_turns([fault], ["POST /workers/cli/stop"])) as server:
        server.add({"x": 1})
        started = command(tmp_path, "entry_script=%s" % path, "server=" + server.url)
        try:
            assert started.returncode == 0, started.stderr
            server.wait_for(lambda: server.handed_out)
            status = command(tmp_path, "exp-status")
            assert status.returncode == 0 and status.stderr == "" and "busy" in status.stdout
        finally:
            stopped = command(tmp_path, "stop", "all")
        assert stopped.returncode == 0
        # The worker has told of its job itself; the command says that it was the command line.
        assert server.jobs[1]["status"] == "ABORTED" and server.said_wrongly == []
        assert [told["action"] for told in server.stops] == ([] if fault == REFUSED else ["stop"])
        assert (stopped.stderr == "") == (fault is None)


@pytest.mark.parametrize("fault", ["nothing", "cut", "lost"])
def test_a_key_and_such_a_hub_are_enough(tmp_path: Path, script: Path, fault: str) -> None:
    with BaseServer(in_hub_mode=True) as server, BaseHub(server.url, EXPERIMENT,
                                                         by_turns([None, *FAULTS[fault]], [TOKEN])) as hub:
        server.add({"x": 1})
        environ = {"JD_API_KEY": KEY, "JD_HUB_URL": hub.url}
        done = command(tmp_path, "entry_script=%s" % script, "once=true", "foreground=true",
                       MARKS=tmp_path / "marks", **environ)
        assert done.returncode == 0, done.stderr
        assert server.counts()["DONE"] == 1 and runs(tmp_path) == {1: 1}
        assert KEY not in done.stdout + done.stderr
        if fault == "nothing":
            info = command(tmp_path, "server-info", **environ)
            assert info.returncode == 0 and info.stderr == "" and "DONE" in info.stdout
            doctor = command(tmp_path, "doctor", **environ)
            assert doctor.returncode == 0 and "problem" not in doctor.stdout, doctor.stdout
            hub.said_wrongly.remove("there is no GET /job_counts")  # so doctor tells a Hub from a job server
        assert hub.said_wrongly == [] and server.said_wrongly == []
