"""Few open files, and host names that say nothing."""

import collections
import json
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import List, Tuple
from urllib.parse import urlsplit

import pytest

from tests.hostile.place import TIMEOUT, Place, clean, wrong
from tests.support import ROOT, python, wait_until


def with_files(number: int) -> List[str]:
    """What starts a command with a hard limit of open files."""
    return ["sh", "-c", 'ulimit -n %d && exec "$@"' % number, "sh"]


def run(place: Place, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, env=dict(place.environ, PYTHONPATH=str(ROOT)), timeout=TIMEOUT,
                          capture_output=True, text=True)


# ---- open files

@pytest.mark.parametrize("number", [256, 32])
def test_a_sweep_is_done_with_few_open_files(place: Place, number: int) -> None:
    place.launcher = with_files(number)
    place.sweep()


def test_more_workers_than_open_files(place: Place) -> None:
    url = place.url(place.serve())
    place.launcher = with_files(16)
    done = place.cli("entry_script=train.py", "server=" + url, "once=true", "num_workers=20")
    assert done.returncode == 0 and wrong(done.stderr) == [], done
    wait_until(lambda: place.counts(url) == {"DONE": 2}, TIMEOUT, "the sweep is done")


@pytest.mark.parametrize("words", [("server", "--expId", "e"), ("hub", "serve")])
def test_a_server_that_could_serve_hardly_anybody_ends(place: Place, words: Tuple[str, ...]) -> None:
    done = run(place, *with_files(16), sys.executable, "-m", "jd", *words)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("error: ") and "raise ulimit -n" in line


def test_more_connections_than_open_files(place: Place) -> None:
    """Who comes too late is told or cut off at once; the others are served, and it is said once."""
    place.launcher = with_files(256)
    server = place.serve()
    url = place.url(server)
    with ExitStack() as closing:
        connections = []
        for _ in range(400):
            connection = closing.enter_context(socket.create_connection(
                ("127.0.0.1", int(urlsplit(url).port or 0)), TIMEOUT))
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            connections.append(connection)
        answers = collections.Counter(map(_status, connections))
        assert answers[b"200"] > 100 and answers[b"503"] > 0, answers
        assert sum(answers.values()) == 400
    said = place.said("server.err").splitlines()
    assert len(said) == 1 and "ulimit -n" in said[0], said
    place.sweep(server)


def test_more_tls_handshakes_than_open_files(place: Place) -> None:
    """They count as connections only when they are done, and still the server says it once."""
    pair = place.directory / "localhost.pem"
    pair.touch(mode=0o600)
    pair.write_bytes((ROOT / "tests" / "net_client" / "localhost.pem").read_bytes())
    place.launcher = with_files(128)
    url = place.url(place.serve("--tls-cert", pair, "--tls-key", pair))
    port = int(urlsplit(url).port or 0)
    with ExitStack() as closing:
        for _ in range(300):
            closing.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT))
        wait_until(lambda: place.said("server.err"), TIMEOUT, "the server says it")
    done = place.work("https://localhost:%d" % port, JD_CA_BUNDLE=str(pair))
    assert done.returncode == 0 and wrong(done.stderr) == [], done
    assert len(place.results()) == 1
    said = place.said("server.err").splitlines()
    assert len(said) == 1 and "ulimit -n" in said[0], said


def _status(connection: socket.socket) -> bytes:
    try:
        return connection.recv(12)[-3:]
    except ConnectionResetError:
        return b"reset"


# ---- host names

NAMED = ["unshare", "--uts"] + python(
    "-c", "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execvp(sys.argv[2], sys.argv[2:])")
_can_be_named = sys.platform == "linux" and shutil.which("unshare") is not None and subprocess.run(
    NAMED + ["x", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


needs_name = pytest.mark.skipif(
    not _can_be_named, reason="unshare --uts does not work here: not root, or not Linux")
# Of a host, and the first part of the ids that its workers get, where that is known.
NAMES = {"": "host", "localhost": "localhost", "localhost.localdomain": "localhost", "(none)": None,
         "a" * 64: None, "Node_07-gpu.cluster.example.org": None, "grüße": None, "10.1.2.3": None,
         "..": "host", "x": "x"}


@needs_name
@pytest.mark.parametrize("name", ["", "localhost.localdomain", "grüße"])
def test_a_sweep_is_done_on_a_host_of_any_name(place: Place, name: str) -> None:
    place.launcher = NAMED + [name]
    place.sweep()


@needs_name
def test_workers_of_hosts_of_any_name(place: Place) -> None:
    place.parameters = json.dumps({"x": list(range(len(NAMES)))})
    url = place.url(place.serve())
    for name, slug in NAMES.items():
        place.launcher = NAMED + [name]
        done = place.work(url)
        clean(done)
        worker_id = done.stdout.split("worker| worker ", 1)[1].split(" ", 1)[0]
        host = worker_id.split("_")[0]
        assert 1 <= len(host) <= 12 and host.isalnum() and host.isascii() and host == host.lower()
        assert slug in (None, host)
    assert place.counts(url) == {"DONE": len(NAMES)}


@needs_name
def test_a_worker_in_the_background_is_managed_under_a_name_that_says_nothing(place: Place) -> None:
    """It is listed as one of this host, and stops."""
    place.launcher = NAMED + [""]
    url = place.url(place.serve())
    place.script.write_text("import time\ntime.sleep(600)\n")
    place.cli("entry_script=train.py", "server=" + url)
    wait_until(lambda: place.counts(url) == {"SERVED": 1, "PENDING": 1}, TIMEOUT, "a job runs")
    done = place.cli("stop", "all")
    assert done.returncode == 0, done
    wait_until(lambda: "SERVED" not in place.counts(url), TIMEOUT, "no job runs")
    assert json.loads(place.cli("worker-list", "json=true").stdout) == []
