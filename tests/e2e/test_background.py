"""Background workers as real processes with a real server: how they start, live and leave."""

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import List

import pytest

from jd.worker.local.rows import BUSY, IDLE
from tests.e2e.node import Node, is_running
from tests.e2e.processes import Server, Worker
from tests.support import wait_until

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

TALKS = """
import os, sys, time
print("in", os.getcwd())
while os.environ.get("GO") and not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(TALKS)
    return path


def test_a_launch_prints_its_workers_and_returns(tmp_path: Path, script: Path, shared: Server) -> None:
    with Node(tmp_path, shared.url, JD_API_KEY="jd_key") as node:
        done = node.exp("entry_script=train.py", "server=" + shared.url, "num_workers=4",
                        "machine_type=gpu")
        rows = node.rows()
        assert [row.slot for row in rows] == [0, 1, 2, 3]
        assert len({row.worker_id.rpartition("_")[0] for row in rows}) == 1
        lines = done.stdout.splitlines()
        assert lines[0] == "started 4 workers of exp on " + shared.url
        assert [line.split() for line in lines[2:6]] == [[r.worker_id, str(r.pid)] for r in rows]
        assert "stop all" in done.stdout and "jd_worker_logs" in done.stdout
        assert done.stderr == "" and max(map(len, lines)) <= 160
        for row in rows:
            assert is_running(row.pid)
            assert row.config["server"] == shared.url and row.machine_type == "gpu"
            assert row.config["directory"] == str(tmp_path)
            assert row.config["environ"]["JD_API_KEY"] == "jd_key"
            assert "PATH" not in row.config["environ"]
            assert row.log_path.endswith("jd_worker_%s.log" % row.worker_id)
        assert [row.process_id for row in rows] == [0, 1, 2, 3]
        assert os.stat(str(node.registry.path)).st_mode & 0o777 == 0o600
        node.until_row(rows[3].worker_id, status=IDLE)
        wait_until(lambda: [row.last_ping_at for row in node.rows()][3], message="a ping")
        node.exp("stop", "all")
        assert node.rows() == [] and not any(is_running(row.pid) for row in rows)


def _opened(pid: int) -> List[str]:
    names = []
    for number in sorted(os.listdir("/proc/%d/fd" % pid), key=int):
        try:
            names.append(os.readlink("/proc/%d/fd/%s" % (pid, number)))
        except FileNotFoundError:
            pass  # closed meanwhile
    return names


@linux_only
def test_a_worker_holds_nothing_of_its_launch(tmp_path: Path, script: Path, shared: Server) -> None:
    with Node(tmp_path, shared.url) as node:
        handle = os.open(str(script), os.O_RDONLY)
        before = os.umask(0o027)
        try:
            (row,) = node.start(script, inherited=[handle])
        finally:
            os.umask(before)
            os.close(handle)
        assert os.getsid(row.pid) == row.pid == os.getpgid(row.pid)
        assert os.readlink("/proc/%d/cwd" % row.pid) == "/"
        assert _opened(row.pid)[:3] == ["/dev/null"] * 3
        # Its registry is open for a moment whenever it writes there.
        wait_until(lambda: [name for name in _opened(row.pid)[3:] if name.startswith(str(tmp_path))]
                   == [row.log_path], message="nothing but the log open")
        with open("/proc/%d/status" % row.pid) as status:
            assert "Umask:\t0027\n" in status.read()
        node.exp("stop", row.worker_id)


def test_jobs_run_where_the_launch_was_typed(tmp_path: Path, script: Path) -> None:
    place = tmp_path / "a place"
    place.mkdir()
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        (row,) = node.start(script, cwd=place)
        server.create()
        server.until(DONE=1)
        wait_until(lambda: "in %s\n" % place in node.log(row.worker_id))
        place.rmdir()
        server.call("/api/jobs/create", {"parameters": {"x": [7]}})
        reason = wait_until(lambda: [job["message"][-1]["reason"] for job in server.jobs()
                                     if job["parameters"] == {"x": 7} and job["message"]])[0]
        assert "No such file or directory" in reason and str(place) in reason
        assert "the directory that their worker was started in" in reason
        assert is_running(row.pid)
        node.exp("stop", "all")
        server.stop()


def test_the_row_tells_what_the_worker_does(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url, GO=tmp_path / "go") as node:
        (row,) = node.start(script)
        assert row.status == IDLE and row.current_job_id is None
        server.create()
        node.until_row(row.worker_id, status=BUSY, current_job_id=1)
        (tmp_path / "go").touch()
        node.until_row(row.worker_id, status=IDLE, current_job_id=None)
        os.kill(row.pid, signal.SIGTERM)
        wait_until(lambda: not is_running(row.pid))
        assert node.rows() == []
        server.stop()


def test_a_server_that_is_away_is_waited_for_in_the_foreground(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path) as probe:
        port = probe.port
        probe.create()
        probe.stop()
    with Worker(tmp_path, "http://127.0.0.1:%d" % port, script):
        wait_until(lambda: any("the connection was refused" in log.read_text()
                               for log in tmp_path.glob("**/jd_worker_*.log")))
        with Server(tmp_path, port=port) as server:
            server.until(DONE=1)
            server.stop()


def test_a_wrong_token_is_said_once_and_no_worker_stays(tmp_path: Path, script: Path) -> None:
    token = tmp_path / "token"
    token.write_text("correct-horse-battery\n")
    with Server(tmp_path, "--token-file", token) as server:
        with Node(tmp_path, server.url, JD_SERVER_TOKEN="wrong-horse-battery") as node:
            done = node.exp("entry_script=train.py", "server=" + server.url, "num_workers=3", status=1)
            assert done.stdout == "" and done.stderr.count("\n") == 1
            assert "3 of 3 workers ended at once" in done.stderr and "JD_SERVER_TOKEN" in done.stderr
            assert "horse" not in done.stderr
            assert node.rows() == []
        server.stop()


def test_once_in_the_background(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        server.create()
        node.start(script, "once=true")
        server.until(DONE=1)
        wait_until(lambda: node.rows() == [])
        done = node.exp("entry_script=train.py", "server=" + server.url, "once=true")
        assert "ended" in done.stdout and node.rows() == []
        server.stop()


def test_a_cache_that_cannot_be_is_an_error_that_names_its_variable(tmp_path: Path, script: Path,
                                                                    shared: Server) -> None:
    with Node(tmp_path, shared.url, JD_CACHE_PATH=script / "cache") as node:
        for words in ((), ("foreground=true",)):
            done = node.exp("entry_script=train.py", "server=" + shared.url, *words, status=1)
            assert "error: the worker registry" in done.stderr and "JD_CACHE_PATH" in done.stderr
            assert done.stdout == ""


def test_a_registry_that_goes_away_harms_no_worker(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        (row,) = node.start(script)
        shutil.rmtree(str(tmp_path / "cache"))
        server.create(3)
        server.until(DONE=3)
        os.kill(row.pid, signal.SIGTERM)
        wait_until(lambda: not is_running(row.pid))
        assert node.log(row.worker_id).count("the worker registry") <= 1
        assert node.rows() == []  # it may have entered itself into a new one meanwhile, and has left it
        server.stop()


def test_the_next_command_cleans_up_after_kill_9(tmp_path: Path, script: Path, shared: Server) -> None:
    with Node(tmp_path, shared.url) as node:
        dead, alive = node.start(script, "num_workers=2")
        os.kill(dead.pid, signal.SIGKILL)
        wait_until(lambda: not is_running(dead.pid))
        assert len(node.rows()) == 2
        assert node.cli("prune").stdout == "removed 1 dead worker\n"
        assert [row.worker_id for row in node.rows()] == [alive.worker_id]
        assert node.cli("prune", "json=true").stdout == (
            '{"workers": 0, "experiments": 0, "problems": [], "jobs": []}\n')
        node.exp("stop", "all")
        assert node.cli("prune").stdout == "removed 1 empty experiment\n"
        assert node.cli("prune").stdout == "nothing to remove\n"


def test_workers_in_the_foreground_are_registered_too(tmp_path: Path, script: Path, shared: Server) -> None:
    for words in ((), ("num_workers=2",)):
        with Node(tmp_path, shared.url) as node:
            with Worker(tmp_path, shared.url, script, *words) as worker:
                rows = wait_until(lambda: [r for r in node.rows() if r.last_ping_at] and node.rows())
                assert all(row.config["foreground"] for row in rows)
                assert all(os.path.exists(row.log_path) for row in rows)
                assert (rows[0].pid == worker.popen.pid) == (len(rows) == 1)
                done = node.exp("restart", "all", status=1)
                assert "foreground" in done.stderr and len(node.rows()) == len(rows)
                node.exp("stop", "all")
                assert worker.popen.wait(60) == 0
            assert node.rows() == []


def test_many_workers_scaled_down_and_drained(tmp_path: Path, script: Path, shared: Server) -> None:
    with Node(tmp_path, shared.url) as node:
        rows = node.start(script, "num_workers=24")
        assert len(rows) == 24 and all(is_running(row.pid) for row in rows)
        node.exp("scale", "num_workers=5")
        assert [row.slot for row in node.rows()] == [0, 1, 2, 3, 4]
        assert "5 idle workers end now" in node.exp("drain").stdout
        wait_until(lambda: not any(is_running(row.pid) for row in rows))
        wait_until(lambda: node.rows() == [])
        assert node.registry.draining()
