"""Another user of the same machine, and a real server on loopback."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, List, Tuple

import pytest

from jd.net.serving.routing import Request, Response, Router
from jd.net.serving.server import HttpServer
from jd.server.api.access import Access
from tests.e2e.processes import Server, Worker
from tests.support import free_env, program, python, wait_until
from tests.users import ANOTHER, OTHER, Other, ask_as, needs_root, system_users

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells whose a socket is"),
    needs_root,
]
JOBS = {"parameters": {"lr": [0.1, 0.2]}}
loopbacks = pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
Say = Callable[[Any], None]


def request(method: str, route: str, body: object = None, *headers: str) -> bytes:
    """The bytes of a request."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = ["%s %s HTTP/1.1" % (method, route), "Host: localhost", "Connection: close",
             "Content-Type: application/json", "Content-Length: %d" % len(data), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def exchange(address: str, port: int, data: bytes) -> Tuple[int, str]:
    """Status and text of the answer."""
    with socket.create_connection((address, port), 20) as connection:
        connection.sendall(data)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


CREATE = request("POST", "/api/jobs/create", JOBS)


@loopbacks
def test_another_user_is_refused_and_changes_nothing(tmp_path: Path, address: str) -> None:
    with Server(tmp_path, "--host", address) as server:
        assert exchange(address, server.port, CREATE)[0] == 200
        for data in (request("GET", "/job_counts"), CREATE, request("GET", "/api/jobs"),
                     request("POST", "/worker/heartbeat", {"worker_id": "thief"}),
                     request("GET", "/checkpoint/latest?job_id=1")):
            status, text = ask_as(OTHER, lambda: exchange(address, server.port, data))
            assert status == 403 and "belongs to root (uid 0), and you are uid 54321" in text
        assert server.counts() == {"PENDING": 2}
        status, _ = ask_as(OTHER, lambda: exchange(address, server.port, request("GET", "/healthz")))
        assert status == 200


@loopbacks
def test_who_sends_and_closes_at_once_is_not_taken_for_root(tmp_path: Path, address: str) -> None:
    claim = request("POST", "/worker/heartbeat", {"worker_id": "thief", "reported_status": "idle"})

    def fire(say: Say) -> None:
        for _ in range(200):
            with socket.create_connection((address, server.port), 20) as connection:
                connection.sendall(claim)
        say("done")
    with Server(tmp_path, "--host", address) as server:
        exchange(address, server.port, CREATE)
        with Other(fire) as other:
            assert other.hear() == "done"
        # The server takes connections in turn: what it answers now comes after all of these.
        assert server.counts() == {"PENDING": 2}


def test_a_user_who_is_allowed(tmp_path: Path) -> None:
    with Server(tmp_path, "--allow-user", "root", "--allow-user", str(OTHER)) as server:
        assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 200
        assert ask_as(ANOTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 403
        assert server.counts() == {"PENDING": 2}
    with Server(tmp_path, JD_SERVER_ALLOW_USER="root,%d" % ANOTHER) as server:
        assert ask_as(ANOTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 200
        assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 403


def test_the_token_opens_it_for_another_user(tmp_path: Path) -> None:
    with Server(tmp_path, "--host", "0.0.0.0") as server:
        token = (server.workspace / "exp" / "meta" / "token").read_text().strip()
        for sent, status in ((token, 200), ("x" * len(token), 401)):
            data = request("GET", "/job_counts", None, "Authorization: Bearer " + sent)
            assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, data))[0] == status
        assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 403
        assert exchange("127.0.0.1", server.port, CREATE)[0] == 200, "root needs none on this machine"
        forwarded = request("GET", "/job_counts", None, "X-Forwarded-For: 10.0.0.9")
        assert exchange("127.0.0.1", server.port, forwarded)[0] == 401


def test_the_cookie_of_the_dashboard_is_of_no_use_to_another_user(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        port = int(server.ready["dashboard_url"].rpartition(":")[2])
        pin = server.pin
        with socket.create_connection(("127.0.0.1", port), 20) as connection:
            connection.sendall(request("POST", "/web/signin", {"pin": pin}))
            head = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        cookie = "Cookie: " + head.partition("Set-Cookie: ")[2].partition(";")[0]
    with Server(tmp_path, "--dashboard-port", port) as server:
        for route in ("/web/me", "/web/events", "/web/settings"):
            for more in ([], ["X-Forwarded-For: 10.0.0.9"]):
                data = request("GET", route, None, cookie, *more)
                assert ask_as(OTHER, lambda: exchange("127.0.0.1", port, data))[0] == 401
        assert exchange("127.0.0.1", port, request("GET", "/web/me", None, cookie))[0] == 200


# ---- the other way round: another user's server

def squatting(port: int, connections: int) -> Callable[[Say], None]:
    """Work of another user: takes a port, says so, then what each connection brought."""
    def work(say: Say) -> None:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(8)
            say(listener.getsockname()[1])
            for _ in range(connections):
                with listener.accept()[0] as connection:
                    say(connection.recv(65536).decode("latin-1"))
    return work


@pytest.mark.parametrize("foreground", ["true", "false"])
def test_a_launch_ends_where_another_user_has_the_port(tmp_path: Path, foreground: str) -> None:
    script = tmp_path / "train.py"
    script.write_text("import argparse\n")
    with Other(squatting(0, 3)) as other:
        port = other.hear()
        environ = free_env(tmp_path, JD_SERVER_TOKEN="a-token-nobody-may-see")
        command = python("-m", "jd.cli", "expId=exp", "server=http://127.0.0.1:%d" % port)
        done = subprocess.run(command + ["entry_script=%s" % script, "foreground=" + foreground], env=environ,
                              capture_output=True, timeout=60, text=True)
        assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1
        assert "port %d of this machine is held by uid %d, not by you" % (port, OTHER) in done.stderr
        assert "JD_TRUST_USER=%d" % OTHER in done.stderr and other.hear() == ""
        for words in (["health"], ["server-info"]):
            done = subprocess.run(command + words, env=environ, timeout=60, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            assert done.returncode == 1 and "is held by uid %d, not by you" % OTHER in done.stdout
            assert other.hear() == ""
        assert list(tmp_path.glob("cache/**/*.log")) == []


def test_a_command_reaches_a_user_who_is_trusted(tmp_path: Path) -> None:
    for words, environ in ((["trust_user=%d" % OTHER], {}), ([], {"JD_TRUST_USER": "ann,%d" % OTHER})):
        with Other(squatting(0, 1)) as other:
            url = "http://127.0.0.1:%d" % other.hear()
            command = python("-m", "jd.cli", "expId=exp", "server=" + url, "server-info", *words)
            with subprocess.Popen(command, env=free_env(tmp_path, **environ), stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL) as asking:
                assert other.hear().startswith("GET /")
                asking.kill()


def test_to_a_worker_that_runs_it_is_an_outage(tmp_path: Path) -> None:
    go, script = tmp_path / "go", tmp_path / "train.py"
    script.write_text("import os, time\nopen(%r, 'w').close()\n"
                      "while not os.path.exists(%r):\n    time.sleep(0.02)\n"
                      % (str(tmp_path / "begun"), str(go)))
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"parameters": {"lr": [0.1]}})
        with Worker(tmp_path, server.url, script, "once=true") as worker:
            wait_until((tmp_path / "begun").exists)
            port = server.port
            server.stop()
            with Other(squatting(port, 1)) as other:
                assert other.hear() == port
                go.touch()
                assert other.hear() == "", "the worker knocked, and sent nothing"
            with Server(tmp_path, port=port) as again:
                output = worker.finish()
                assert worker.popen.returncode == 0 and again.counts() == {"DONE": 1}
            assert "the server is away: port %d of this machine is held by uid %d" % (port, OTHER) in output


def test_an_api_key_goes_to_no_other_users_hub(tmp_path: Path) -> None:
    key = "jd_a_key_nobody_may_see"
    with Other(squatting(0, 2)) as other:
        hub = "http://127.0.0.1:%d" % other.hear()
        script = tmp_path / "train.py"
        script.write_text("")
        for command in (python("-m", "jd.cli", "expId=exp", "entry_script=%s" % script, "hub=" + hub),
                        python("-m", "jd.server", "--expId", "exp", "--hub", hub, "--port", 0,
                               "--dashboard-port", 0, "--workspace_path", tmp_path / "server")):
            done = subprocess.run(command, env=free_env(tmp_path, JD_API_KEY=key), capture_output=True,
                                  timeout=60, text=True)
            assert done.returncode == 1 and "is held by uid %d, not by you" % OTHER in done.stderr
            assert key not in done.stderr and other.hear() == ""


# ---- a tunnel

SSHD = program("sshd") or ""  # which wants its whole path
PRIVILEGE_SEPARATION = "/run/sshd"  # Debian's sshd does not start without it


class Tunnel:
    """`ssh -L` of a user to a server of this machine, by an sshd of its own; `port` is its near end."""

    def __init__(self, directory: Path, user: str, port: int) -> None:
        self._processes: List["subprocess.Popen[bytes]"] = []
        self._made = not os.path.isdir(PRIVILEGE_SEPARATION)
        if self._made:
            os.mkdir(PRIVILEGE_SEPARATION, 0o755)
        try:
            self._open(directory, user, port)
        except BaseException:
            self.close()
            raise

    def _open(self, directory: Path, user: str, port: int) -> None:
        directory.mkdir()
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)],
                           check=True)
        daemon, self.port = _free_port(), _free_port()
        (directory / "sshd_config").write_text(
            "ListenAddress 127.0.0.1:%d\nHostKey %s\nPidFile none\nUsePAM no\nStrictModes no\n"
            # Not a file: sshd reads that as the user, who may not come here.
            "AuthorizedKeysFile none\nAuthorizedKeysCommand %s %s\nAuthorizedKeysCommandUser root\n"
            "AuthenticationMethods publickey\nAllowTcpForwarding local\n"
            % (daemon, directory / "host", shutil.which("cat"), directory / "key.pub"))
        self._start([SSHD, "-D", "-e", "-f", str(directory / "sshd_config")], directory / "sshd.log")
        wait_until(lambda: _listens(daemon), message="sshd listens")
        self._start(["ssh", "-F", "none", "-N", "-i", str(directory / "key"), "-p", str(daemon),
                     "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=%s" % (directory / "known"),
                     "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes",
                     "-L", "127.0.0.1:%d:127.0.0.1:%d" % (self.port, port), "%s@127.0.0.1" % user],
                    directory / "ssh.log")
        wait_until(lambda: _listens(self.port), message="the tunnel is open: %s" % (directory / "ssh.log"))

    def _start(self, command: List[str], log: Path) -> None:
        with open(str(log), "wb") as output:
            self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                                    stderr=output))

    def __enter__(self) -> "Tunnel":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(60)
        if self._made:
            os.rmdir(PRIVILEGE_SEPARATION)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not SSHD or shutil.which("ssh") is None, reason="openssh-server is not installed")
def test_a_tunnel_arrives_as_who_has_signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is of a user with a name, whom sshd can sign in; another one's tunnel is refused."""
    owner, stranger = system_users()[:2]
    with Other(be_a_server, owner.pw_uid) as other:
        port = other.hear()
        for user, status in ((owner, 200), (stranger, 403)):
            with Tunnel(tmp_path / user.pw_name, user.pw_name, port) as tunnel:
                told = exchange("127.0.0.1", tunnel.port, request("GET", "/job_counts"))
                assert told[0] == status, told
        assert "belongs to %s (uid %d), and you are %s (uid %d)" % (
            owner.pw_name, owner.pw_uid, stranger.pw_name, stranger.pw_uid) in told[1]


def be_a_server(say: Say) -> None:
    """Serve one route to whom a job server of this user would let in."""
    async def serve() -> None:
        access, router = Access("127.0.0.1", None, False), Router(guard=lambda *given: access(*given))
        router.add("GET", "/job_counts", answer)
        server = HttpServer(router)
        say(await server.start("127.0.0.1", 0))
        await server.stopping.wait()

    async def answer(request: Request) -> Response:
        assert request.principal.local
        return Response.json({})
    asyncio.run(serve())
