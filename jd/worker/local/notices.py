"""Messages of commands to the servers of workers that they have found here, or stopped.

Nobody waits long for a server that is away. No thread is left behind, since a command that restarts workers
forks next.
"""

import json
import os
import select
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from jd import threads
from jd.auth import tokentosend
from jd.errors import ServerRefused, reason
from jd.net.client import Client
from jd.net.finding import published
from jd.threads import NoThread
from jd.worker.config import launch_environ
from jd.worker.local.rows import Row

_TELLERS = 16


@dataclass(frozen=True)
class Notice:
    """One message to the server of a worker, with what has its token; `file` is the one that named the
    server. Without a `body` it is a question (GET), which `query` goes with."""

    server: str
    route: str
    body: Optional[Dict[str, Any]]
    environ: Mapping[str, str]
    token: str = field(default="", repr=False)
    experiment: Optional[str] = None
    file: Optional[str] = None
    query: Optional[Mapping[str, str]] = None

    def send(self, seconds: float) -> Any:
        """Send it to where the server is now, with the token that its Hub gave to the workers, else
        that of its file or of the environment; what was answered. Raises what Client.call does."""
        place = published.current(self.server, self.file)
        client = Client(place.url, lambda: self.token or tokentosend.bearer(place, self.environ), seconds,
                        self.experiment, place.certificate)
        return client.call("GET" if self.body is None else "POST", self.route, self.body, self.query)


class Reply(NamedTuple):
    """What came of a notice: an answer, or the `problem` because of which there is none."""

    answer: Optional[Dict[str, Any]]
    problem: str = ""


def to_server_of(row: Row, route: str, body: Optional[Dict[str, Any]], environ: Mapping[str, str],
                 query: Optional[Mapping[str, str]] = None) -> Optional[Notice]:
    """A message to the server that a worker was started with; None where its row names none."""
    if not row.server:
        return None
    return Notice(row.server, route, body, environ_of(row, environ), row.worker_token, row.experiment,
                  row.config.get("server_file"), query)


def environ_of(row: Row, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of a worker's launch, as far as it was stored."""
    stored = row.config.get("environ")
    if not isinstance(stored, dict):
        return environ
    return launch_environ(environ, {str(name): str(value) for name, value in stored.items()})


def tell(notices: Sequence[Notice], seconds: float) -> List[Reply]:
    """Send messages, all at once, for at most `seconds`; what came of each.

    In a child process: a look-up of a name can hang for longer, and would leave us a thread.
    """
    if not notices:
        return []
    reading, writing = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:  # the command goes on all the same
        os.close(reading)
        os.close(writing)
        return [Reply(None, reason(error))] * len(notices)
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
    return [told.get(index, Reply(None, "no answer within %g s" % seconds)) for index in range(len(notices))]


def problems(notices: Sequence[Notice], replies: Iterable[Reply]) -> Dict[str, str]:
    """What went wrong, once for each server, by its URL."""
    found: Dict[str, str] = {}
    for notice, reply in zip(notices, replies):
        if reply.problem:
            found.setdefault(notice.server, reply.problem)
    return found


def _tell_all(notices: Sequence[Notice], seconds: float, writing: int) -> None:
    todo = iter(list(enumerate(notices)))
    lock = threading.Lock()
    away: Dict[str, str] = {}

    def work() -> None:
        while True:
            with lock:
                index, notice = next(todo, (-1, None))
            if notice is None:
                return
            answer, problem = None, away.get(notice.server, "")  # it is not asked 64 times
            if not problem:
                try:
                    answer = notice.send(seconds)
                except ServerRefused as error:
                    problem = str(error)
                except Exception as error:  # whatever it is, the command goes on all the same
                    problem = away[notice.server] = str(error) or type(error).__name__
            line = json.dumps([index, answer if isinstance(answer, dict) else None, problem[:300]])
            try:
                with lock:
                    _write(writing, line.encode("ascii") + b"\n")
            except BrokenPipeError:
                return  # nobody waits any more: the time is up, or the command was killed

    tellers: List[threading.Thread] = []
    try:
        for _ in range(min(_TELLERS, len(notices))):
            tellers.append(threads.start(work, "jd-tell"))
    except NoThread:
        pass  # as many as there are, or this one alone
    if not tellers:
        work()
    for thread in tellers:
        thread.join()


def _write(writing: int, line: bytes) -> None:
    while line:
        line = line[os.write(writing, line):]


def _collect(reading: int, until: float) -> Dict[int, Reply]:
    content = b""
    while True:
        left = until - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            break
        chunk = os.read(reading, 65536)
        if not chunk:
            break
        content += chunk
    return {index: Reply(answer, problem)
            for index, answer, problem in map(json.loads, content.split(b"\n")[:-1])}
