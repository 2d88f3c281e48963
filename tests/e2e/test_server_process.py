"""jd_server as a process: start, stop, restart, refusal."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, List

import pytest

from jd.server.store.queue import needs
from tests.e2e.processes import EXPERIMENT, Process, Server
from tests.support import free_env, python, wait_until

GRID = {"parameters": {"x": [1, 2, 3]}}


def run(tmp_path: Path, *flags: Any, **environ: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(python("-m", "jd.server", *flags), env=free_env(tmp_path, **environ),
                          capture_output=True, text=True, timeout=60)


def test_ready_line_server_file_and_clean_stop(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        assert server.ready == {"event": "ready", "server_url": server.url, "pid": server.popen.pid,
                                "dashboard_url": server.ready["dashboard_url"],
                                "pin_file": str(server.workspace / EXPERIMENT / "meta" / "pin")}
        meta = server.workspace / EXPERIMENT / "meta"
        published = json.loads((meta / "server.json").read_text())
        assert published["server_url"] == server.url and published["pid"] == server.popen.pid
        assert "pin_file" not in published
        assert server.call("/healthz")["status"] == "ok"
        assert server.stop() == 0
        assert (meta / "jobs.db").is_file() and not (meta / "server.json").exists()


def test_over_ssh_the_ready_event_has_the_line_for_a_laptop(tmp_path: Path) -> None:
    with Server(tmp_path, SSH_CONNECTION="192.0.2.7 50000 192.0.2.1 22") as server:
        port = int(server.ready["dashboard_url"].rpartition(":")[2])
        assert server.ready["ssh"] == "ssh -L %d:127.0.0.1:%d %s" % (port, port, socket.gethostname())
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_and_held_heartbeats_are_answered(tmp_path: Path, number: signal.Signals) -> None:
    with Server(tmp_path) as server:
        body = json.dumps({"worker_id": "w", "session": "s", "wait": 100}).encode()
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(b"POST /worker/heartbeat HTTP/1.1\r\nHost: localhost\r\n"
                               b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                               % (len(body), body))
            wait_until(lambda: server.call("/api/jobs")["total_count"] == 0)
            assert server.stop(number) == 0
            assert connection.makefile("rb").readline().split()[1] == b"200"


def test_an_upload_that_has_begun_is_finished_before_it_stops(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", GRID)
        assert server.call("/worker/heartbeat", {"worker_id": "w"})["job"]["job_id"] == 1
        content = (b"--b\r\nContent-Disposition: form-data; name=\"job_id\"\r\n\r\n1\r\n"
                   b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n")
        rest = b"x" * 100 + b"\r\n--b--\r\n"
        with socket.create_connection(("127.0.0.1", server.port), 20) as connection:
            connection.sendall(b"POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                               b"Content-Type: multipart/form-data; boundary=b\r\n\r\n%s"
                               % (len(content) + len(rest), content))
            incoming = server.workspace / EXPERIMENT / "data" / ".incoming"
            wait_until(lambda: list(incoming.iterdir()), message="the upload begins")
            os.kill(server.popen.pid, signal.SIGTERM)
            assert server.event() == {"event": "stopping"}
            connection.sendall(rest)
            assert connection.makefile("rb").readline().split()[1] == b"200"
        assert server.popen.wait(60) == 0
        assert (server.workspace / EXPERIMENT / "data" / "1" / "a").read_bytes() == b"x" * 100


def test_a_jobs_file_with_one_list_of_needs_too_many_ends_the_start_in_one_line(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.stop()
    data = server.workspace / EXPERIMENT / "meta" / "jobs.db"
    with closing(sqlite3.connect(str(data))) as db, db:
        db.executemany("INSERT INTO needs (tags, size) VALUES (?, 1)",
                       (('["tag%d"]' % number,) for number in range(needs.MAX_LISTS)))
    sweep = tmp_path / "sweep.json"
    sweep.write_text(json.dumps(dict(GRID, needs=["one-more"])))
    started = run(tmp_path, "--expId", EXPERIMENT, "--port", "0", "--dashboard-port", "0", "--workspace_path",
                  str(server.workspace), "--jobs", str(sweep))
    assert (started.returncode, started.stderr) == (2, (
        "error: jobs file %s: needs: jobs of this experiment need 1000 different lists of tags already, "
        "which is the most that there can be: take one of them\n" % sweep))
    with closing(sqlite3.connect(str(data))) as db:
        assert db.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


def test_a_second_server_on_the_same_data_is_refused_with_the_firsts_pid_and_url(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        second = run(tmp_path, "--expId", EXPERIMENT, "--port", "0", "--dashboard-port", "0",
                     "--workspace_path", str(server.workspace))
        assert second.returncode == 1 and second.stdout == ""
        assert str(server.popen.pid) in second.stderr and server.url in second.stderr
        assert second.stderr.count("\n") == 1
        assert server.call("/healthz")["status"] == "ok"


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", GRID)
        server.call("/worker/heartbeat", {"worker_id": "w", "session": "s"})
        server.call("/update_job_status", {"job_id": 1, "attempt": 1, "status": "DONE"})
        server.call("/worker/heartbeat", {"worker_id": "w", "session": "s"})
        first_id = server.call("/worker/heartbeat", {"worker_id": "w", "session": "s"})["server_id"]
        server.stop(signal.SIGKILL)
    with Server(tmp_path) as server:
        assert server.counts() == {"DONE": 1, "SERVED": 1, "PENDING": 1}
        again = server.call("/worker/heartbeat", {"worker_id": "w", "session": "s"})
        assert (again["job"]["job_id"], again["job"]["attempt"]) == (2, 1)
        assert again["server_id"] == first_id
        assert server.stop() == 0


def test_a_jobs_file_is_loaded_once(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.json"
    sweep.write_text('{"x": [1, 2, 3]}')
    with Server(tmp_path, "--jobs", sweep) as server:
        assert server.event() == {"event": "jobs", "file": "sweep.json", "created": 3, "existing": 0,
                                  "start_id": 1}
        server.stop()
    with Server(tmp_path, "--jobs", sweep) as server:
        assert server.event()["created"] == 0
        assert server.counts() == {"PENDING": 3}
        server.stop()


def test_a_value_more_in_a_jobs_file_adds_one_job(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep.json"
    sweep.write_text('{"lr": [0.1, 0.01]}')
    with Server(tmp_path, "--jobs", sweep) as server:
        assert server.event()["created"] == 2
        server.stop()
    sweep.write_text('{"lr": [0.1, 0.01, 0.001]}')
    with Server(tmp_path, "--jobs", sweep) as server:
        assert server.event() == {"event": "jobs", "file": "sweep.json", "created": 1, "existing": 2,
                                  "start_id": 3}
        assert server.counts() == {"PENDING": 3}
        server.stop()


def large_table(path: Path, last: str) -> None:
    """More than is read before the server listens."""
    path.write_text("lr,opt,seed\n" + "".join("0.1,adam,%d\n" % n for n in range(80_000)) + last)


def test_a_fault_at_the_end_of_a_large_jobs_file_adds_nothing_and_ends_the_server(tmp_path: Path) -> None:
    large_table(tmp_path / "sweep.csv", "0.1,adam\n")
    with Server(tmp_path, "--jobs", tmp_path / "sweep.csv") as server:
        assert server.popen.wait(60) == 2
        assert server.errors == ("error: jobs file %s: line 80002 has 2 cells, the header has 3\n"
                                 % (tmp_path / "sweep.csv"))
        data = server.workspace / EXPERIMENT / "meta" / "jobs.db"
        with closing(sqlite3.connect(str(data))) as db:
            assert db.execute("SELECT count(*) FROM jobs").fetchone() == (0,)


def test_a_server_that_is_stopped_while_it_loads_begins_again(tmp_path: Path) -> None:
    large_table(tmp_path / "sweep.csv", "")
    with Server(tmp_path, "--jobs", tmp_path / "sweep.csv") as server:
        assert server.call("/worker/heartbeat", {"worker_id": "w"})["empty"] is False
        assert server.stop() == 0
        assert server.event() == {"event": "stopping"}, "it had loaded all before it ended"
    with Server(tmp_path, "--jobs", tmp_path / "sweep.csv") as server:
        assert server.event() == {"event": "jobs", "file": "sweep.csv", "created": 80_000, "existing": 0,
                                  "start_id": 1}
        assert server.stop() == 0


def test_leases_run_out_by_the_clock(tmp_path: Path) -> None:
    with Server(tmp_path, "--idle-timeout", 3) as server:
        server.create()
        server.call("/worker/heartbeat", {"worker_id": "w", "session": "w"})
        held = server.call("/worker/heartbeat", {"worker_id": "v", "session": "v", "wait": 15})
        assert held["job"]["attempt"] == 2
        server.stop()


def test_a_lease_that_workers_of_other_makes_cannot_keep_is_said_once(tmp_path: Path) -> None:
    said = "workers of other makes are given a lease of 237 s"
    with Server(tmp_path, "--idle-timeout", 170) as server:
        server.create(2)
        server.call("/worker/heartbeat", {"worker_id": "w"})
        server.stop()
        assert server.errors.count(said) == 1
    with Server(tmp_path) as server:
        server.create(2, idle_timeout=30)
        assert server.errors.count(said) == 1  # that was the server before
        for worker in ("w", "v", "u"):
            server.call("/worker/heartbeat", {"worker_id": worker})
        server.stop()
        assert server.errors.count(said) == 2


def test_options_come_from_variables_too(tmp_path: Path) -> None:
    with Server(tmp_path, JD_SERVER_TOKEN_FILE=_token(tmp_path), JD_SERVER_HOST="0.0.0.0") as server:
        url = "http://127.0.0.1:%d" % server.port
        server.url = url
        assert server.call("/job_counts")[0] == 401
        assert "PENDING" in server.call("/job_counts", Authorization="Bearer " + "t" * 20)
        server.stop()


def test_what_is_unwise_is_warned_of(tmp_path: Path) -> None:
    token = _token(tmp_path)
    token.chmod(0o644)
    with Server(tmp_path, "--token-file", token) as server:
        server.stop()
        assert "chmod 600" in server.errors
    with Server(tmp_path, "--insecure", "--host", "0.0.0.0") as server:
        server.stop()
        assert "anybody" in server.errors


def test_a_safe_server_warns_of_nothing(tmp_path: Path) -> None:
    token = _token(tmp_path)
    token.chmod(0o600)
    with Server(tmp_path, "--token-file", token) as server:
        server.stop()
        assert server.errors == ""


def _token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("t" * 20 + "\n")
    return path


@pytest.mark.parametrize("flags, status, says", [
    ([], 2, "--expId NAME is missing"),
    (["--expId", ".."], 2, "experiment name '..' cannot be used"),
    (["--expId", "e", "--port", "70000"], 2, "--port: '70000' is not allowed"),
    (["--expId", "e", "--idle-timeout", "nan"], 2, "--idle-timeout"),
    (["--expId", "e", "--host", "192.0.2.1", "--insecure"], 1, "192.0.2.1"),
    (["--expId", "e", "--jobs", "none.json"], 2, "none.json: No such file"),
    (["--expId", "e", "--nonsense"], 2, "--nonsense"),
])
def test_what_cannot_be_is_said_in_a_line_and_changes_nothing(tmp_path: Path, flags: List[str], status: int,
                                                              says: str) -> None:
    workspace = tmp_path / "server"
    done = run(tmp_path, *flags, "--workspace_path", str(workspace))
    assert done.returncode == status
    assert says in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    if status == 2:
        assert not workspace.exists()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        done = run(tmp_path, "--expId", "e", "--port", port, "--workspace_path", str(tmp_path / "w"))
    assert done.returncode == 1 and port in done.stderr and done.stderr.count("\n") == 1


def with_defaults(tmp_path: Path, api: int, dashboard: int, *flags: Any, **environ: Any) -> Process:
    """A server whose default ports are these."""
    code = ("import sys\nfrom jd import protocol\nprotocol.API_PORT, protocol.DASHBOARD_PORT = %d, %d\n"
            "from jd.server.command import cli\nsys.exit(cli.entry())" % (api, dashboard))
    return Process(python("-c", code, "--expId", "e", "--workspace_path", tmp_path / "w", *flags),
                   free_env(tmp_path, **environ), tmp_path / "err")


def taken_ports(stack: ExitStack) -> List[int]:
    ports = []
    for _ in range(2):
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        sock.listen(1)
        ports.append(sock.getsockname()[1])
    return ports


def test_a_default_port_that_is_taken_is_replaced_and_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        api, dashboard = taken_ports(stack)
        with with_defaults(tmp_path, api, dashboard, "--json") as server:
            ready = json.loads(server.stdout.readline())
            assert ready["taken_ports"] == {"server": api, "dashboard": dashboard}
            for url, port in ((ready["server_url"], api), (ready["dashboard_url"], dashboard)):
                assert port < int(url.rpartition(":")[2]) <= port + 29
            assert server.stop() == 0
        with with_defaults(tmp_path, api, dashboard, "--dashboard-port", "0") as server:
            lines = [server.stdout.readline().decode() for _ in range(3)]
            assert "(port %d is taken)" % api in lines[1] and "taken" not in lines[2]
            assert server.stop() == 0


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_a_port_that_was_given_is_not_replaced(tmp_path: Path, by: str) -> None:
    with ExitStack() as stack:
        api, dashboard = taken_ports(stack)
        flags = ["--port", api] if by == "flag" else []
        environ = {"JD_SERVER_PORT": api} if by == "variable" else {}
        with with_defaults(tmp_path, api, dashboard, *flags, **environ) as server:
            assert server.popen.wait(60) == 1
            assert "port %d: another program has the port" % api in server.errors


def test_an_unwritable_workspace_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    done = run(tmp_path, "--expId", "e", "--workspace_path", str(blocker))
    assert done.returncode == 1 and str(blocker) in done.stderr and done.stderr.count("\n") == 1


def test_it_serves_on_when_nobody_reads_its_output(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.stdout.close()
        assert server.call("/healthz")["status"] == "ok"
        assert server.stop() == 0
