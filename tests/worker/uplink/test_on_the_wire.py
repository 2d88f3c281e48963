"""What the calls of a worker are on the wire: how many bytes, over how many connections."""

import json
import socket
import threading
from pathlib import Path
from typing import Any, Dict, List

from jd import protocol
from jd.messages import Assignment, Code, Result
from jd.node.metrics import SystemMetrics
from jd.worker.config import WorkerConfig
from jd.worker.uplink.callthread import CLAIM, Answer, Call
from jd.worker.uplink.connection import Connection
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.outbox import Entry
from tests.support import free_env

REPLY: Dict[str, Any] = {"extensions": list(protocol.EXTENSIONS), "server_id": "data-1"}


class OneConnection:
    """A server that accepts a single connection; `asked` are the requests on it, as they came."""

    def __init__(self) -> None:
        self.asked: List[bytes] = []
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = "http://127.0.0.1:%d" % self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "OneConnection":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self._listener.close()  # whoever connects again is refused
        body = json.dumps(REPLY).encode("ascii")
        with connection:
            while True:
                request = b""
                while not _is_whole(request):
                    chunk = connection.recv(65536)
                    if not chunk:
                        return
                    request += chunk
                self.asked.append(request)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d"
                                   b"\r\n\r\n" % len(body) + body)


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]
    return bool(end) and len(body) == int(length)


def test_calls_that_follow_each_other_are_small_and_share_a_connection(tmp_path: Path) -> None:
    with OneConnection() as server:
        config = WorkerConfig("my-experiment", tmp_path / "train.py", server.url, environ=free_env(tmp_path))
        connection = Connection(config, print, lambda: None)
        link = Link(server.url, "node0123.cluster_calm-otter_31", "gpu-a100",
                    SystemMetrics("gpu-a100").sample, experiment="my-experiment")
        link.absorb(Answer(Call(CLAIM, protocol.HEARTBEAT, {"applied_version": 0}, 1.0), REPLY))
        code = Code(script="train.py", hash="ab" * 32, commit="cd" * 20, clean=True,
                    interpreter="/usr/bin/python3", version="3.11.7", distributions={"numpy": "1.26.4"})
        result = Result(123456, "DONE", "", 2, "done", 0, 12.345, "loss 0.5\n", code=code, output_size=9)
        entry = Entry(result, server.url, "data-1", link.worker_id, 0.0)
        for call in (link.claim(hold=True), link.claim([entry]),
                     link.beat(Assignment(123456, {}, 2), "loss 0.5\n", hold=True, size=9)):
            connection.deliver(call)
    claim, finish, beat = map(len, server.asked)
    assert claim <= 850 and beat <= 900
    assert finish <= 1250, "the same, with a result and what has run"
