"""A small real HTTP server that answers as it is told and remembers what it was asked."""

import json
import ssl
import sys
import threading
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Union

KEPT_BYTES = 1024 * 1024
UPLOADED = {"success": True, "filename": "result.json", "version": 0, "size_bytes": 2}


@dataclass
class Asked:
    """A request. Of a body larger than KEPT_BYTES only its length is kept."""

    method: str
    target: str
    headers: "Message[str, str]"
    length: int = 0
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body.decode("utf-8"))

    def parts(self) -> Dict[str, "Message[str, str]"]:
        """The parts of a form by name, read by the standard library's own MIME parser."""
        head = "Content-Type: %s\r\n\r\n" % self.headers["Content-Type"]
        message = message_from_bytes(head.encode("ascii") + self.body)
        return {str(part.get_param("name", header="content-disposition")): part
                for part in message.walk() if not part.is_multipart()}

    def field(self, name: str) -> str:
        content = self.parts()[name].get_payload(decode=True)
        assert isinstance(content, bytes)
        return content.decode("utf-8")


@dataclass
class Answer:
    """What to answer. `early`: before the body is read. `cut`: promise more than is sent."""

    status: int = 200
    body: Union[bytes, Dict[str, Any], List[Any]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    early: bool = False
    cut: int = 0
    hang_up: bool = False
    meanwhile: Optional[Callable[[], None]] = None  # run once the first bytes of the body are there


class StubServer:
    """Answers in the order told by `will_answer`, then `otherwise`. A context manager.

    With `certificate`, a PEM file of a key and its certificate, it speaks https.
    """

    def __init__(self, certificate: Optional[Path] = None) -> None:
        self._scheme = "http" if certificate is None else "https"
        self.asked: List[Asked] = []
        self.otherwise = Answer(200, UPLOADED)
        self.released = threading.Event()  # ends early answers, which leave the body unread
        self.gave_up = False  # an early answer went unread for 5 s
        self._script: List[Answer] = []
        self._news = threading.Condition()
        stub = self

        class Handler(_Handler):
            server_stub = stub

        self._http = _Http(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(str(certificate))
            # The handshake belongs to a connection's own thread, not to the one that accepts.
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True,
                                                    do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return self._http.server_address[1]

    @property
    def url(self) -> str:
        return "%s://127.0.0.1:%d" % (self._scheme, self.port)

    def will_answer(self, *answers: Answer) -> None:
        self._script.extend(answers)

    def has_asked(self, asked: Asked) -> None:
        with self._news:
            self.asked.append(asked)
            self._news.notify_all()

    def wait_for(self, count: int) -> None:
        """Wait until `count` requests, whole or broken off, have been read."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.asked) >= count, timeout=60)

    def next_answer(self) -> Answer:
        return self._script.pop(0) if self._script else self.otherwise

    def __enter__(self) -> "StubServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._http.shutdown()
        self._thread.join(60)
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *where: Any) -> None:
        if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):  # tests break connections
            super().handle_error(*where)


class _Handler(BaseHTTPRequestHandler):
    server_stub: StubServer
    timeout = 60

    def log_message(self, *_: Any) -> None:
        pass

    def _any(self) -> None:
        asked = Asked(self.command, self.path, self.headers)
        answer = self.server_stub.next_answer()
        self.close_connection = True
        if not answer.early:
            self._read_body(asked, answer)
        self.server_stub.has_asked(asked)
        if answer.hang_up:
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + answer.cut))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
        if answer.early:
            self.server_stub.gave_up = not self.server_stub.released.wait(60)

    do_GET = do_POST = do_DELETE = do_CONNECT = _any

    def _read_body(self, asked: Asked, answer: Answer) -> None:
        kept = bytearray()
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            data = self.rfile.read1(min(left, 65536))
            if not data:
                break
            if answer.meanwhile is not None and not asked.length:
                answer.meanwhile()
            left -= len(data)
            asked.length += len(data)
            if asked.length <= KEPT_BYTES:
                kept += data
        asked.body = bytes(kept)
