"""A launch looks at its server first: another experiment's, or no job server, starts no worker."""

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

import pytest

import jd
from jd.worker.uplink.outage import SAY_EVERY
from tests.e2e.node import Node
from tests.e2e.processes import Server, Worker
from tests.script.stub_server import Answer, StubServer
from tests.support import PATIENCE, wait_until

pytestmark = pytest.mark.slow

WAYS = [(), ("foreground=true",), ("num_workers=2",), ("num_workers=2", "foreground=true")]


@pytest.fixture(scope="module")
def with_jobs(shared: Server) -> Server:
    """The shared server, with three jobs that nobody is to run."""
    shared.create(3)
    return shared


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("")
    return path


@contextmanager
def http(status: int, body: bytes, content_type: str) -> Iterator[str]:
    """Something that speaks HTTP and answers everything alike."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield "http://127.0.0.1:%d" % listening.server_address[1]
        listening.shutdown()
        thread.join()


@contextmanager
def talker(banner: bytes) -> Iterator[str]:
    """Something that says `banner` to everybody and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(banner)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield "http://127.0.0.1:%d" % listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def refused(node: Node, *words: str) -> str:
    """What a launch that must not be says."""
    done = node.cli(*words, "entry_script=train.py", "once=true", status=None)
    if done.returncode != 1:
        node.cli("stop", "all-experiments")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "started" not in done.stdout
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")
    assert not list(node.directory.glob("cache/**/workers.db"))
    return done.stderr


@pytest.mark.parametrize("how", WAYS)
def test_a_mistyped_experiment_runs_nobody_elses_jobs(tmp_path: Path, script: Path, with_jobs: Server,
                                                      how: Tuple[str, ...]) -> None:
    node = Node(tmp_path, with_jobs.url)
    told = refused(node, "expId=exq", "server=" + with_jobs.url, *how)
    assert "%s serves experiment exp, not exq; check expId=" % with_jobs.url in told
    assert with_jobs.counts() == {"PENDING": 3}
    assert with_jobs.call("/worker/heartbeat", {"worker_id": "w", "exp_id": "exq"})[0] == 409


@pytest.mark.parametrize("how", WAYS[:2])
def test_the_server_that_a_hub_names_is_looked_at_too(tmp_path: Path, script: Path, shared: Server,
                                                      how: Tuple[str, ...]) -> None:
    with StubServer() as hub:
        hub.otherwise = Answer(200, {"worker_token": "e30.e30.x", "server_url": shared.url, "exp_name": "exq",
                                     "expires_at": 4600, "refresh_margin_secs": 300})
        node = Node(tmp_path, JD_API_KEY="jd_" + "k" * 40, JD_HUB_URL=hub.url)
        assert "%s serves experiment exp, not exq" % shared.url in refused(node, "expId=exq", *how)


def test_a_web_server_does_not_know_a_key(tmp_path: Path) -> None:
    with http(404, b"<html>404 Not Found nginx</html>", "text/html") as url:
        node = Node(tmp_path, JD_API_KEY="jd_" + "k" * 40, JD_HUB_URL=url)
        told = json.loads(node.cli("health", "json=true", status=1).stdout)["hub"]
        assert (told["reachable"], told["key_valid"]) == (True, None)
        assert "not how a Hub answers" in told["error"]
        assert "not how a Hub answers" in node.cli("interactive", typed="version\n", status=1).stderr


def test_the_dashboards_port_names_that_of_the_api(tmp_path: Path, script: Path, shared: Server) -> None:
    url = shared.ready["dashboard_url"]
    told = refused(Node(tmp_path, url), "expId=exp", "server=" + url)
    assert "%s is the dashboard of experiment exp" % url in told and "server=" + shared.url in told


def test_a_hubs_port(tmp_path: Path, script: Path) -> None:
    with http(200, b'{"status":"ok","service":"jd_hub","version":"%s"}' % jd.__version__.encode(),
              "application/json") as url:
        told = refused(Node(tmp_path, url), "expId=exp", "server=" + url)
    assert url + " is a Hub, not a job server" in told and "hub=" in told


@pytest.mark.parametrize("status, body, kind", [
    (200, b"<html>welcome</html>", "text/html"), (404, b"<html>404 nginx</html>", "text/html"),
    (302, b"", "text/plain"), (200, b"[1]", "application/json"), (403, b"<html>", "text/html"),
    (200, b'{"name":"another service"}', "application/json")])
def test_something_else_that_speaks_http(tmp_path: Path, script: Path, status: int, body: bytes,
                                         kind: str) -> None:
    with http(status, body, kind) as url:
        assert url in refused(Node(tmp_path, url), "expId=exp", "server=" + url)


@pytest.mark.parametrize("banner, says", [
    (b"SSH-2.0-OpenSSH_9.6\r\n", "does not speak HTTP"), (b"-ERR unknown command\r\n", "does not speak HTTP"),
    (b"\x15\x03\x03\x00\x02\x02\x46", "speaks https, not http")])
def test_something_that_does_not_speak_http(tmp_path: Path, script: Path, banner: bytes, says: str) -> None:
    with talker(banner) as url:
        told = refused(Node(tmp_path, url), "expId=exp", "server=" + url)
    assert says in told


def test_https_at_a_port_that_speaks_http(tmp_path: Path, script: Path, shared: Server) -> None:
    url = shared.url.replace("http:", "https:")
    assert "check that the port speaks https" in refused(Node(tmp_path, url), "expId=exp", "server=" + url)


@pytest.mark.parametrize("answer", [(503, b"<html>down</html>"), (502, b""), None])
def test_nobody_answers_a_launch_in_the_background(tmp_path: Path, script: Path,
                                                   answer: Optional[Tuple[int, bytes]]) -> None:
    with http(answer[0], answer[1], "text/html") if answer else closed() as url:
        with Node(tmp_path, url) as node:
            done = node.exp("entry_script=train.py", "server=" + url, status=1)
            assert done.stdout == "" and url in done.stderr and node.rows() == []
            assert "no worker was started; with foreground=true they wait for a server" in done.stderr
            node.exp("stop", "all")


@contextmanager
def closed() -> Iterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    yield "http://127.0.0.1:%d" % port


def test_restart_and_scale_look_as_well(tmp_path: Path, script: Path, shared: Server) -> None:
    """The port of their server has become another experiment's."""
    with Server(tmp_path) as own, Node(tmp_path, own.url) as node:
        node.exp("entry_script=train.py", "server=" + own.url)
        (row,) = node.rows()
        node.until_row(row.worker_id, status="idle")
        port = own.port
        own.stop()
        with Server(tmp_path / "..", "--expId", "another", port=port):
            done = node.exp("scale", "num_workers=2", status=1)
            assert "serves experiment another, not exp" in done.stderr
            done = node.exp("restart", "all", status=1)
            assert "was not restarted" in done.stderr and "serves experiment another" in done.stderr
            assert [r.pid for r in node.rows()] == [row.pid]
            # If it met nobody at first, it has said so, and says what it meets next a minute later.
            wait_until(lambda: "serves experiment another" in node.log(row.worker_id), SAY_EVERY + PATIENCE,
                       "the log")
        node.exp("stop", "all")


def test_commands_say_it(tmp_path: Path, shared: Server) -> None:
    node = Node(tmp_path, shared.url)
    told = node.cli("expId=exq", "server-info", "server=" + shared.url, status=1).stderr
    assert "serves experiment exp, not exq" in told
    dashboard = shared.ready["dashboard_url"]
    told = node.cli("expId=exp", "server-info", "server=" + dashboard, status=1).stderr
    assert "is the dashboard of experiment exp" in told
    told = json.loads(node.cli("expId=exp", "health", "json=true", "server=" + dashboard, status=1).stdout)
    assert "is the dashboard of experiment exp" in told["server"]["error"]
    told = node.cli("expId=exp", "doctor", "server=" + dashboard, status=1).stdout
    assert "is the dashboard of experiment exp" in told


def test_a_worker_waits_while_another_server_has_the_address(tmp_path: Path, script: Path) -> None:
    """Its result is kept, the other server hears of nothing, and the job is done in the end."""
    script.write_text("import os, time\nwhile not os.path.exists(os.environ['GO']): time.sleep(0.01)")
    go = tmp_path / "go"
    with Server(tmp_path) as own:
        own.create()
        port = own.port
        with Worker(tmp_path, own.url, script, "once=true", GO=go) as worker:
            own.until(SERVED=1)
            own.stop()
            other_place = tmp_path / "other"
            other_place.mkdir()
            with Server(other_place, "--expId", "another", port=port) as other:
                other.call("/api/jobs/create", {"parameters": {"y": [1]}})
                go.write_text("")
                logs = tmp_path / "workspace" / "jd_data" / "exp" / "jd_worker_logs"
                wait_until(lambda: any("serves experiment another" in log.read_text()
                                       for log in logs.glob("*.log")), 30, "the worker's log")
                assert other.counts() == {"PENDING": 1}
                other.stop()
            with Server(tmp_path, port=port) as again:
                again.until(timeout=60, DONE=1)
            assert worker.popen.wait(60) == 0


LEAVES = """
import os, pathlib
from jd import jd_job_dir, jd_upload
job = jd_job_dir()
(job / os.environ["NAME"]).write_text("of " + os.environ["NAME"])
for path in job.iterdir():
    if path.is_file():
        jd_upload(path)
"""


def test_what_an_old_sweep_left_is_no_result_of_a_new_one(tmp_path: Path, script: Path) -> None:
    """Same experiment, same job numbers, same workspace, other data."""
    script.write_text(LEAVES)
    for name in ("old", "new"):
        place = tmp_path / name
        place.mkdir()
        with Server(place) as server:
            server.create()
            with Worker(tmp_path, server.url, script, "once=true", name=name, NAME=name + ".txt") as worker:
                said = worker.finish()
            server.until(DONE=1)
            uploads = server.call("/api/jobs/1/uploads")["uploads"]
            assert [upload["filename"] for upload in uploads] == [name + ".txt"]
            (job,) = server.jobs()
            history = " ".join(message["reason"] for message in job["message"])
            server.stop()
    jobs = tmp_path / "workspace" / "jd_data" / "exp"
    (aside,) = jobs.glob("1.of-*")
    assert [path.name for path in aside.iterdir()] == ["old.txt"]
    assert [path.name for path in (jobs / "1").iterdir()] == ["new.txt"]
    assert str(aside) in said
    assert "its directory held files of another sweep, which are now in %s" % aside in history
