"""Another user of the same machine, and a real server on loopback."""

import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from tests.e2e.processes import Server
from tests.support import wait_until
from tests.users import ANOTHER, OTHER, Other, ask_as, needs_root, system_user

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells whose a socket is"),
    needs_root,
]
JOBS = {"parameters": {"lr": [0.1, 0.2]}}
loopbacks = pytest.mark.parametrize("address", ["127.0.0.1", "::1"])


def request(method, route, body=None, *headers):
    """The bytes of a request."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = ["%s %s HTTP/1.1" % (method, route), "Host: localhost", "Connection: close",
             "Content-Type: application/json", "Content-Length: %d" % len(data), *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def exchange(address, port, data):
    """Status and text of the answer."""
    with socket.create_connection((address, port), 20) as connection:
        connection.sendall(data)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    return [int(head.split(" ")[1]), body]


CREATE = request("POST", "/api/jobs/create", JOBS)


@loopbacks
def test_another_user_is_refused_and_changes_nothing(tmp_path, address):
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
def test_who_sends_and_closes_at_once_is_not_taken_for_root(tmp_path, address):
    claim = request("POST", "/worker/heartbeat", {"worker_id": "thief", "reported_status": "idle"})

    def fire(say):
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


def test_a_user_who_is_allowed(tmp_path):
    with Server(tmp_path, "--allow-user", "root", "--allow-user", str(OTHER)) as server:
        assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 200
        assert ask_as(ANOTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 403
        assert server.counts() == {"PENDING": 2}
    with Server(tmp_path, JD_SERVER_ALLOW_USER="root,%d" % ANOTHER) as server:
        assert ask_as(ANOTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 200
        assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 403


def test_the_token_opens_it_for_another_user(tmp_path):
    with Server(tmp_path, "--host", "0.0.0.0") as server:
        token = (server.workspace / "exp" / "meta" / "token").read_text().strip()
        for sent, status in ((token, 200), ("x" * len(token), 401)):
            data = request("GET", "/job_counts", None, "Authorization: Bearer " + sent)
            assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, data))[0] == status
        assert ask_as(OTHER, lambda: exchange("127.0.0.1", server.port, CREATE))[0] == 403
        assert exchange("127.0.0.1", server.port, CREATE)[0] == 200, "root needs none on this machine"
        forwarded = request("GET", "/job_counts", None, "X-Forwarded-For: 10.0.0.9")
        assert exchange("127.0.0.1", server.port, forwarded)[0] == 401
