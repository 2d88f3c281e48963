"""Tells servers that a command here stops workers of theirs, before the workers are signalled.

A job that a person stopped in this way does not come back by itself. Nobody waits long for a server that
is away. No thread is left behind, since a command that restarts workers forks next.
"""

import json
import os
import select
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from jd import protocol
from jd.auth import tokentosend
from jd.net.client import Client
from jd.net.finding import published
from jd.worker.config import launch_environ
from jd.worker.local.rows import Row

TELL_TIME = 3.0  # seconds for telling the servers
_TELLERS = 16


@dataclass(frozen=True)
class Notice:
    """One message to the server of some workers, with what has its token; `file` is the one that
    named it."""

    server: str
    route: str
    body: Dict[str, Any]
    environ: Mapping[str, str]
    token: str = field(default="", repr=False)
    experiment: Optional[str] = None
    file: Optional[str] = None

    def send(self, seconds: float) -> None:
        """Send it to where the server is now, with the token that its Hub gave to the workers, else
        that of its file or of the environment. Raises what Client.call does."""
        place = published.current(self.server, self.file)
        Client(place.url, lambda: self.token or tokentosend.bearer(place, self.environ), seconds,
               self.experiment, place.certificate).call("POST", self.route, self.body)


def stop_notices(rows: Sequence[Row], action: str, environ: Mapping[str, str]) -> Iterator[Notice]:
    """That workers are stopped here, one message each. `action` is one of protocol.CLI_ACTIONS."""
    for row in rows:
        server = row.config.get("server")
        if isinstance(server, str) and server:
            body: Dict[str, Any] = {"worker_id": row.worker_id, "action": action,
                                    "source": socket.gethostname() or "unknown"}
            if row.current_job_id is not None:
                body["job_id"] = row.current_job_id
            yield Notice(server, protocol.CLI_STOP, body, environ_of(row, environ),
                         row.worker_token, row.experiment, row.config.get("server_file"))


def clear_notices(rows: Sequence[Row], environ: Mapping[str, str]) -> Iterator[Notice]:
    """That all these workers are wiped, one message for each server."""
    by_server: Dict[Tuple[str, str], List[Row]] = {}
    for row in rows:
        server = row.config.get("server")
        if isinstance(server, str) and server:
            by_server.setdefault((row.experiment, server), []).append(row)
    for (experiment, server), its_rows in by_server.items():
        body = {"source": socket.gethostname() or "unknown", "workers": [
            {"worker_id": row.worker_id, "job_id": row.current_job_id} for row in its_rows]}
        yield Notice(server, protocol.CLI_CLEAR_ALL, body, environ_of(its_rows[0], environ),
                     its_rows[0].worker_token, experiment, its_rows[0].config.get("server_file"))


def environ_of(row: Row, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of a worker's launch, as far as it was stored."""
    stored = row.config.get("environ")
    if not isinstance(stored, dict):
        return environ
    return launch_environ(environ, {str(name): str(value) for name, value in stored.items()})


def tell(notices: Sequence[Notice], seconds: float = TELL_TIME) -> List[str]:
    """Send messages, all at once, for at most `seconds`; returns what went wrong, once per server.

    In a child process: a look-up of a name can hang for longer, and would leave us a thread.
    """
    if not notices:
        return []
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            _tell_all(notices, seconds, writing)
        finally:
            os._exit(0)
    os.close(writing)
    try:
        told = _collect(reading, time.monotonic() + seconds)
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)  # not waited for yet: it cannot be anybody else's
        os.waitpid(pid, 0)
    problems: Dict[str, str] = {}
    for index, notice in enumerate(notices):
        problem = told.get(index, "no answer within %g s" % seconds)
        if problem:
            problems.setdefault(notice.server, problem)
    return ["%s was not told: %s" % (server, problem) for server, problem in problems.items()]


def _tell_all(notices: Sequence[Notice], seconds: float, writing: int) -> None:
    todo = iter(list(enumerate(notices)))
    lock = threading.Lock()
    away: Set[str] = set()

    def work() -> None:
        while True:
            with lock:
                index, notice = next(todo, (-1, None))
            if notice is None:
                return
            problem = ""
            if notice.server not in away:  # who did not answer once is not asked 64 times
                try:
                    notice.send(seconds)
                except Exception as error:  # whatever it is, the worker is stopped all the same
                    problem = str(error) or type(error).__name__
                    away.add(notice.server)
            os.write(writing, json.dumps([index, problem[:300]]).encode("ascii") + b"\n")

    threads = [threading.Thread(target=work, daemon=True)
               for _ in range(min(_TELLERS, len(notices)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _collect(reading: int, until: float) -> Dict[int, str]:
    content = b""
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            break
        chunk = os.read(reading, 65536)
        if not chunk:
            break
        content += chunk
    return dict(json.loads(line) for line in content.split(b"\n")[:-1])
