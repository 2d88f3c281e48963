"""Registered workers that are no processes of their own, one command line run in this process, and a server
that answers what a test wants."""

import json
import os
import sqlite3
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import pytest

import jd
from jd import protocol
from jd.cli import main
from jd.node.identity import Here, ProcessIdentity
from jd.worker.local.registry import Registry
from tests.support import free_env

EXPERIMENT = "exp"
COUNTS = {"PENDING": 5, "SERVED": 2, "DONE": 10, "ABORTED": 3, "DELETED": 7}


class Claimed(Here):
    """A host as a row of it says: with another name, or with the identity of another process."""

    def __init__(self, hostname: Optional[str] = None,
                 own: Optional[ProcessIdentity] = None) -> None:
        super().__init__(hostname)
        if own is not None:
            self.own = own


def process(pid: int) -> Claimed:
    """This host, entering rows of another process of it."""
    found = Here().start_time(pid)
    assert found is not None
    return Claimed(own=ProcessIdentity(Here().own.boot_id, pid, found))


def gone() -> Claimed:
    """This host, entering rows of a process that has ended."""
    return Claimed(own=ProcessIdentity(Here().own.boot_id, os.getpid(), "1"))


def other_host(name: str = "node17.cluster.example.org") -> Claimed:
    """Another machine, of another boot."""
    own = Here().own
    return Claimed(name, ProcessIdentity("that of another machine", own.pid, own.start_time))


class Machine:
    """Directories of its own; `environ` is for commands that run on it."""

    def __init__(self, tmp_path: Path, **environ: Any) -> None:
        self.environ: Dict[str, str] = free_env(
            tmp_path, JD_SKIP_REGISTRY_PRUNE="1", **environ)
        self.registry = Registry(EXPERIMENT, self.environ)
        self.logs = tmp_path / "workspace/jd_data" / EXPERIMENT / "jd_worker_logs"

    def enter(self, status: str = "idle", job: Optional[int] = None, here: Optional[Here] = None,
              config: Mapping[str, Any] = {}, age: float = 100.0, ping_age: Optional[float] = 5.0,
              experiment: str = EXPERIMENT, slot: int = 0, paused_because: str = "") -> str:
        """Register a worker whose log has 100 lines; gives its id."""
        workers = Registry(experiment, self.environ)
        now = time.time()
        owner = here if here is not None else Here()
        (name,) = workers.reserve([slot], dict({"entry_script": "/x/train.py"}, **config), owner,
                                  now - age)
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / ("jd_worker_%s.log" % name)
        log.write_bytes(b"".join(b"line %d\n" % n for n in range(100)))
        workers.settle(name, slot, log, owner, now - age)
        workers.update(name, status, job, None if ping_age is None else now - ping_age, "session",
                       paused_because)
        return name

    def change(self, column: str, text: str) -> None:
        """Write into all rows what no call of ours writes."""
        db = sqlite3.connect(str(self.registry.path))
        with db:
            db.execute("UPDATE workers SET %s = ?" % column, (text,))
        db.close()

    def run(self, *words: str) -> int:
        """A command line; JdErrors come out as they are."""
        return main.main(list(words), self.environ)

    def facts(self, capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> Any:
        """What it prints with json=true: one document and nothing else."""
        assert self.run(*words, "json=true") == status
        return json.loads(capsys.readouterr().out)


class Stub:
    """Answers by route: status and body. `asked` are the routes and tokens of the requests."""

    def __init__(self) -> None:
        self.answers: Dict[str, Tuple[int, Any]] = {
            protocol.HEALTH: (200, {"status": "ok", "expId": "exp", "version": jd.__version__}),
            protocol.JOB_COUNTS: (200, COUNTS)}
        self.tokens: Dict[str, Any] = {}
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stub.tokens[self.path] = self.headers["Authorization"]
                status, body = stub.answers.get(self.path, (404, {"error": "no such route"}))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_port


def closed_port() -> str:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return "http://127.0.0.1:%d" % server.server_port
