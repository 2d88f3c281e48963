"""`python -m jd.cli` as users run it, against a server that speaks base or everything."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest

from jd import protocol
from jd.worker.local import outboxes
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row
from tests.support import STOPPED, free_env, python, wait_until, warm_only
from tests.worker.fake_server import FakeServer

BASE: Tuple[str, ...] = ()
ALL = protocol.EXTENSIONS
both = pytest.mark.parametrize("extensions", [BASE, ALL], ids=["base", "extended"])

SCRIPT = """
import argparse, json, os, sys
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--exit", type=int, default=0)
args = parser.parse_args()
print("lr is", args.lr, "in job", os.environ["JD_JOB_ID"])
sys.exit(args.exit)
"""
WAITS = """
import argparse, os, signal, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--how")
how = parser.parse_args().how
if how == "saves":
    signal.signal(signal.SIGTERM, lambda *_: (print("saved", flush=True), sys.exit(0)))
print("pid", os.getpid(), flush=True)
time.sleep(600)
"""


class Worker:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.processes: List["subprocess.Popen[bytes]"] = []
        self.files = ExitStack()

    def start(self, server: str, source: str = SCRIPT, *more: str,
              **environ: Any) -> "subprocess.Popen[bytes]":
        script = self.tmp_path / "train.py"
        script.write_text(source)
        # A file, not a pipe: nobody reads while the test waits.
        output = self.files.enter_context(tempfile.TemporaryFile(dir=str(self.tmp_path)))
        process = subprocess.Popen(
            python("-m", "jd.cli", "expId=digits", "entry_script=train.py", "server=" + server,
                   "foreground=true", "machine_type=test", *more),
            stdout=output, stderr=subprocess.STDOUT, cwd=str(self.tmp_path),
            env=free_env(self.tmp_path, **environ))
        self.processes.append(process)
        self.output = output
        return process

    def shown(self) -> str:
        self.output.seek(0)
        return self.output.read().decode()

    def log(self) -> str:
        logs = sorted((self.tmp_path / "workspace/jd_data/digits/jd_worker_logs").glob("*.log"))
        return "".join(path.read_text() for path in logs)

    def outbox(self) -> List[Path]:
        return [path for place in ("cache/outbox/digits", "home/.jd/outbox/digits")
                for path in (self.tmp_path / place).glob("*.json") if outboxes.is_entry(path.name)]


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    worker = Worker(tmp_path)
    yield worker
    for process in worker.processes:
        if process.poll() is None:
            process.kill()
            process.wait()
    worker.files.close()


def test_short_jobs_come_several_at_once_and_are_told_together(worker: Worker) -> None:
    with FakeServer(ALL) as server:
        for number in range(1, 41):
            server.add(number)
        process = worker.start(server.url, "")
        server.wait_for(lambda: len(server.finished()) == 40, timeout=60.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
    assert [result["job_id"] for result in server.finished()] == list(range(1, 41))
    together = [body for body in server.heartbeats() if "finished_before" in body]
    assert together
    assert all(result["ended_ago"] < 60.0 for body in together for result in body["finished_before"])
    assert worker.log().count("claimed job") == 40 and worker.outbox() == []


@both
def test_jobs_are_run_and_reported(worker: Worker, extensions: Tuple[str, ...]) -> None:
    with FakeServer(extensions) as server:
        server.add(1, lr=0.1)
        server.add(2, lr=-0.5, exit=3)
        process = worker.start(server.url)
        results = server.wait_for(lambda: len(server.reports() + server.finished()) == 2
                                  and server.reports() + server.finished())
        server.wait_for(lambda: len(server.heartbeats(reported_status="idle")) >= 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
    assert [(r["job_id"], r["status"]) for r in results] == [(1, "DONE"), (2, "ABORTED")]
    assert [r.get("exit_code") for r in results] == ([0, 3] if extensions else [None, None])
    assert results[0].get("output_tail") == ("lr is 0.1 in job 1\n" if extensions else None)
    assert results[1]["message"] == "exit status 3\nlr is -0.5 in job 2"
    assert bool(server.finished()) == bool(extensions)
    assert bool(server.heartbeats(leave=True)) == bool(extensions)
    assert worker.outbox() == []
    first = server.heartbeats()[0]
    assert re.fullmatch(r"[a-z0-9]{1,12}_[a-z]{1,6}_0", first["worker_id"])
    assert first["machine_type"] == "test"
    assert first["system_metrics"]["cpu_cores"] >= 1
    assert {body["session"] for body in server.heartbeats()} == {first["session"]}


@both
def test_what_the_base_protocol_does_not_have_is_sent_only_when_offered(
        worker: Worker, extensions: Tuple[str, ...]) -> None:
    with FakeServer(extensions, busy_interval=0.05) as server:
        server.add(1, how="plain")
        process = worker.start(server.url, WAITS)
        server.wait_for(lambda: [
            body for body in server.heartbeats(reported_status="busy")[2:]
            if not extensions or body["output_tail"]])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
    base = {"worker_id", "host", "machine_type", "reported_status", "current_job_id",
            "applied_version", "system_metrics", "jd_worker_version"}
    assert set(server.bodies[0]) == base, "nothing was offered yet"
    busy = server.heartbeats(reported_status="busy", current_job_id=1)[-1]
    assert {"session", "exp_id"} <= set(server.heartbeats()[0]), "in a header"
    if extensions:
        assert set(busy) == base | {"session", "exp_id", "attempt", "output_tail", "output_size", "wait"}
        assert busy["output_tail"].startswith("pid ")
        assert server.heartbeats(leave=True)[0]["released"]["job_id"] == 1
    else:
        *beats, result = server.bodies
        assert all(set(body) == base for body in beats)
        assert set(result) == {"job_id", "status", "message"} and result["status"] == "ABORTED"


@both
def test_every_heartbeat_says_what_the_worker_has(worker: Worker, extensions: Tuple[str, ...]) -> None:
    """The first one too: its answer may bring a job."""
    with FakeServer(extensions, busy_interval=0.05) as server:
        server.add(1, how="plain")
        process = worker.start(server.url, WAITS, "tags=a100,big", JD_TAGS="other")
        server.wait_for(lambda: server.heartbeats(reported_status="busy"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
    assert {tuple(body["tags"]) for body in server.heartbeats()} == {("a100", "big")}


def test_the_log_and_the_terminal_tell_the_story(worker: Worker) -> None:
    with FakeServer(ALL) as server:
        server.add(1, lr=0.1)
        assert worker.start(server.url, SCRIPT, "once=true", "process_id=4").wait(60) == 0
    shown = worker.shown()
    assert shown == worker.log()
    first = shown.splitlines()[:3]
    worker_id = server.heartbeats()[0]["worker_id"]
    assert worker_id in first[0] and "digits" in first[0] and "process_id 4" in first[0]
    assert server.url in first[1]
    assert "jd_worker_%s.log" % worker_id in first[2]
    assert re.search(r"worker\| claimed job 1 \(attempt 1\)\n.* job   \| lr is 0.1 in job 1\n", shown)


def test_once_with_an_empty_queue(worker: Worker) -> None:
    with FakeServer(BASE) as server:
        assert worker.start(server.url, SCRIPT, "once=true").wait(60) == 0
        assert len(server.sent) == 1


def test_a_held_claim_brings_a_job_at_once(worker: Worker) -> None:
    with FakeServer(ALL) as server:
        process = worker.start(server.url)
        server.wait_for(lambda: server.heartbeats(wait=180.0))
        server.add(1, lr=1.0)
        server.wait_for(server.finished)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_commands_of_the_dashboard(worker: Worker) -> None:
    with FakeServer(ALL) as server:
        process = worker.start(server.url)
        server.wait_for(lambda: server.heartbeats(wait=180.0))
        server.tell("pause", 1)
        server.wait_for(lambda: server.heartbeats(wait=180.0, applied_version=1))
        assert process.poll() is None
        server.tell("drain", 2)
        assert process.wait(60) == 0
        assert server.heartbeats(leave=True)[0]["applied_version"] == 2


def test_why_the_server_has_paused_a_worker_is_in_its_log_and_its_row(worker: Worker, tmp_path: Path) -> None:
    registry = Registry("digits", free_env(tmp_path))

    def row(status: str) -> Row:
        return wait_until(lambda: next((row for row in registry.rows() if row.status == status), None))
    with FakeServer(ALL, idle_interval=0.05) as server:
        process = worker.start(server.url)
        server.wait_for(lambda: server.heartbeats(wait=180.0))
        assert row("idle").paused_because == ""
        server.paused_because = "5 jobs in a row failed here while others succeed elsewhere"
        server.tell("pause", 1)
        assert row("paused").paused_because == server.paused_because
        server.wait_for(lambda: server.heartbeats(wait=180.0, applied_version=1))
        server.tell("run", 2)
        assert row("idle").paused_because == "", "whatever else the answer says, it runs"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
    assert worker.log().count("the server has paused this worker: 5 jobs in a row failed here") == 1


def test_a_preempted_job_saves_its_work_and_leaves_nothing_running(worker: Worker) -> None:
    with FakeServer(ALL, busy_interval=0.05) as server:
        server.add(1, how="saves")
        process = worker.start(server.url, WAITS)
        tail = server.wait_for(lambda: [b for b in server.heartbeats(reported_status="busy")
                                        if len(b.get("output_tail", "").split()) > 1])[0]["output_tail"]
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
        assert server.heartbeats(leave=True)[0]["released"]["attempt"] == 1
    assert "job   | saved" in worker.log()
    with pytest.raises(ProcessLookupError):
        os.kill(int(tail.split()[1]), 0)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs PR_SET_PDEATHSIG")
def test_the_script_does_not_outlive_a_killed_worker(worker: Worker) -> None:
    with FakeServer(ALL, busy_interval=0.05) as server:
        server.add(1, how="plain")
        process = worker.start(server.url, WAITS)
        tail = server.wait_for(lambda: [b for b in server.heartbeats(reported_status="busy")
                                        if b.get("output_tail")])[0]["output_tail"]
        process.kill()
        process.wait()
    proc = Path("/proc/%s/cmdline" % tail.split()[1])
    wait_until(lambda: not proc.exists() or not proc.read_bytes())


@both
def test_a_result_outlives_its_worker(worker: Worker, extensions: Tuple[str, ...]) -> None:
    def away(route: str, body: Dict[str, Any]) -> Optional[Tuple[int, str]]:
        reports = route == protocol.UPDATE_JOB_STATUS or "finished" in body
        return (503, "maintenance") if reports else None

    with FakeServer(extensions) as server:
        server.refuse = away
        server.add(1, lr=0.1)
        process = worker.start(server.url)
        server.wait_for(lambda: server.reports() + server.finished())
        process.kill()
        process.wait()
        assert len(worker.outbox()) == 1
        server.refuse = lambda route, body: None
        process = worker.start(server.url)
        server.wait_for(lambda: len(server.reports()) > (0 if extensions else 1))
        assert server.reports()[-1]["job_id"] == 1
        wait_until(lambda: worker.outbox() == [])
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED


def test_a_lost_attempt_is_stopped(worker: Worker) -> None:
    with FakeServer(ALL, busy_interval=0.05) as server:
        server.refuse = lambda route, body: (
            (409, "attempt 1 is no longer current") if body.get("current_job_id") else None)
        server.add(1, how="plain")
        process = worker.start(server.url, WAITS)
        server.wait_for(lambda: len(server.heartbeats(reported_status="idle")) >= 2)
        assert server.finished() == [] and server.reports() == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
    assert "no longer ours" in worker.log()


def test_the_token_is_sent_and_handed_on_but_not_shown(worker: Worker) -> None:
    token = "a-very-secret-token-0123"
    with FakeServer(ALL) as server:
        server.add(1)
        source = "import os; assert os.environ['JD_WORKER_TOKEN'] == %r" % token
        assert worker.start(server.url, source, "once=true", JD_SERVER_TOKEN=token).wait(60) == 0
        assert set(server.tokens) == {"Bearer " + token}
        assert server.finished()[0]["status"] == "DONE"
    assert token not in worker.log() + worker.shown()


def test_a_wrong_token_is_one_clear_line(worker: Worker) -> None:
    with FakeServer(ALL) as server:
        server.refuse = lambda route, body: (401, "invalid token")
        assert worker.start(server.url).wait(60) == 1
        assert len(server.sent) == 1
    assert worker.shown().count("invalid token") == 1


def test_a_script_that_cannot_start_does_not_end_the_worker(worker: Worker) -> None:
    with FakeServer(ALL) as server:
        process = worker.start(server.url)
        server.wait_for(lambda: server.heartbeats(wait=180.0))
        (worker.tmp_path / "train.py").unlink()
        server.add(1)
        report = server.wait_for(server.reports)[0]
        assert (report["status"], report["verdict"]) == ("ABORTED", "failed")
        assert "train.py" in report["message"]
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED


def test_several_workers_share_the_jobs(worker: Worker) -> None:
    with FakeServer(ALL) as server:
        process = worker.start(server.url, "print('working')", "num_workers=3")
        server.wait_for(lambda: len(server.heartbeats(wait=180.0)) >= 3)
        for number in range(1, 10):
            server.add(number)
        server.wait_for(lambda: len(server.finished()) == 9)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
        left = {body["worker_id"] for body in server.heartbeats(leave=True)}
    assert len(left) == 3 and len({name.rpartition("_")[0] for name in left}) == 1
    assert len({body["session"] for body in server.heartbeats()}) == 3
    assert {line[:4] for line in worker.shown().splitlines()} == {"[0] ", "[1] ", "[2] "}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_much_output_costs_little_memory_and_a_bounded_log(worker: Worker) -> None:
    source = """
import os
def memory():
    status = open("/proc/%d/status" % os.getppid()).read()
    return int(status.split("VmHWM:")[1].split()[0])
before = memory()
block = b"x" * 1048576 + b"\\n" + (b"y" * 99 + b"\\n") * 10485
for _ in range(100):
    os.write(1, block)
after = memory()
print("grew by", after - before, "kB")
"""
    with FakeServer(ALL) as server:
        server.add(1)
        assert worker.start(server.url, source, "once=true", JD_LOG_MAX_MB="2").wait(60) == 0
        grown = int(re.findall(r"grew by (\d+) kB", server.finished()[0]["output_tail"])[0])
        assert grown < 24 * 1024
    sizes = [path.stat().st_size for path in
             (worker.tmp_path / "workspace/jd_data/digits/jd_worker_logs").iterdir()]
    assert len(sizes) == 2 and max(sizes) <= 2_000_000


def test_base_path_and_results_directory(worker: Worker) -> None:
    source = """
import argparse, json, sys
from jd import jd_job_dir
parser = argparse.ArgumentParser()
parser.add_argument("--base_path")
print(json.dumps([parser.parse_args().base_path, str(jd_job_dir()), jd_job_dir().is_dir()]))
"""
    with FakeServer(ALL) as server:
        server.add(7)
        assert worker.start(server.url, source, "once=true").wait(60) == 0
        expected = str(worker.tmp_path / "workspace" / "jd_data" / "digits" / "7")
        (told,) = server.reports() + server.finished()
        assert json.loads(told["output_tail"]) == [expected, expected, True]


REPORTS = """
import os, subprocess, sys, time
import jd
for epoch in range(3):
    jd.jd_report(step=epoch, loss=1.0 / (epoch + 1))
subprocess.check_call("set -u; echo '{\\"epoch\\": 0, \\"energy\\": 2.5}' >> \\"$JD_METRICS\\"", shell=True)
time.sleep(0.05)
while not os.path.getsize(os.environ["JD_METRICS"]):
    time.sleep(0.01)
if "--kill" in sys.argv:
    while open(os.environ["JD_METRICS"]).read().count("loss") < 3:
        time.sleep(0.01)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("extensions, kill, more", [
    (BASE, False, ()), (ALL, False, ()), (ALL, True, ()),
    pytest.param(ALL, False, ("warm=true", "preload=jd.script.report"), marks=warm_only)])
def test_what_scripts_report_goes_to_a_server_that_takes_it_before_the_result(
        worker: Worker, extensions: Tuple[str, ...], kill: bool, more: Tuple[str, ...]) -> None:
    with FakeServer(extensions) as server:
        server.add(7, **({"kill": True} if kill else {}))
        process = worker.start(server.url, REPORTS, *more)
        result, = server.wait_for(lambda: server.reports() + server.finished())
        routes = [route for route, body in server.sent
                  if route == protocol.REPORT or body.get("finished") or route == protocol.UPDATE_JOB_STATUS]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == STOPPED
    assert result["status"] == ("ABORTED" if kill else "DONE")
    told = [told for _, told in server.reported.get((7, 1), [])]
    if extensions:
        assert routes[0] == protocol.REPORT and len(routes) == 2
        assert [one for one in told if "loss" in one] == [
            {"step": epoch, "loss": 1.0 / (epoch + 1)} for epoch in range(3)]
        assert {"epoch": 0, "energy": 2.5} in told and len(told) == 4
        assert all(0 <= seconds < 60 for seconds, _ in server.reported[7, 1])
    else:
        assert protocol.REPORT not in {route for route, _ in server.sent}
    assert not list(worker.tmp_path.rglob("*.reports"))
