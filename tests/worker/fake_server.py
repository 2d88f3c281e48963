"""A job server in a thread that remembers what workers send. Base protocol, or all extensions."""

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

from jd import protocol

Refuse = Callable[[str, Dict[str, Any]], Optional[Tuple[int, str]]]


class FakeServer:
    """`sent` holds (route, body) of every request in the order of arrival, the body of a heartbeat with what
    its header says; `bodies` those without it."""

    def __init__(self, extensions: Tuple[str, ...] = (), busy_interval: float = 57.0,
                 idle_interval: float = 180.0) -> None:
        self.extensions = extensions
        self.server_id: Optional[str] = "data-1" if extensions else None
        self.jobs: Deque[Tuple[int, Dict[str, Any]]] = deque()
        self.sent: List[Tuple[str, Dict[str, Any]]] = []
        self.bodies: List[Dict[str, Any]] = []
        self.tokens: List[Optional[str]] = []
        self.refuse: Refuse = lambda route, body: None
        self.command = (protocol.RUN, 0)
        self.paused_because: Optional[str] = None
        self.intervals = {protocol.BUSY: busy_interval, protocol.IDLE: idle_interval}
        self.changed = threading.Condition()
        self.health: Optional[Dict[str, Any]] = None  # what GET /healthz says; a base server has none
        self.reported: Dict[Tuple[int, int], List[Any]] = {}  # by job and attempt
        self.closing = False
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return "http://127.0.0.1:%d" % self._http.server_address[1]

    def __enter__(self) -> "FakeServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add(self, job_id: int, **parameters: Any) -> None:
        with self.changed:
            self.jobs.append((job_id, parameters))
            self.changed.notify_all()

    def tell(self, state: str, version: int) -> None:
        with self.changed:
            self.command = (state, version)
            self.changed.notify_all()

    def wait_for(self, what: Callable[[], Any], timeout: float = 15.0) -> Any:
        """Wait until `what()` is true; looked at after each request."""
        with self.changed:
            if not self.changed.wait_for(lambda: bool(what()), timeout):
                raise AssertionError("the worker did not get there; it sent:\n%s" % "\n".join(
                    json.dumps(message)[:400] for message in self.sent))
            return what()

    def heartbeats(self, **wanted: Any) -> List[Dict[str, Any]]:
        """Bodies of heartbeats in which every field of `wanted` is as given."""
        return [body for route, body in self.sent if route == protocol.HEARTBEAT
                and all(body.get(name) == value for name, value in wanted.items())]

    def reports(self) -> List[Dict[str, Any]]:
        return [body for route, body in self.sent if route == protocol.UPDATE_JOB_STATUS]

    def finished(self) -> List[Dict[str, Any]]:
        return [result for body in self.heartbeats() if "finished" in body
                for result in (*body.get("finished_before", ()), body["finished"])]

    # ---- answers

    def answer(self, route: str, body: Dict[str, Any],
               token: Optional[str]) -> Tuple[int, Dict[str, Any]]:
        with self.changed:
            self.sent.append((route, body))
            self.tokens.append(token)
            self.changed.notify_all()
            refused = self.refuse(route, body)
            if refused is not None:
                return refused[0], {"error": refused[1]}
            if route == protocol.UPDATE_JOB_STATUS:
                return 200, {"message": "ok", "job_id": body["job_id"], "status": body["status"]}
            if route == protocol.OUTPUT and protocol.EXT_LOG in self.extensions:
                return 200, {"size": body["offset"] + len(body["output"].encode("utf-8")), "every": 30.0}
            if route == protocol.REPORT and protocol.EXT_REPORT in self.extensions:
                kept = self.reported.setdefault((body["job_id"], body["attempt"]), [])
                if body["first"] <= len(kept):
                    kept += body["reports"][len(kept) - body["first"]:]
                return 200, {"count": len(kept), "every": 10.0}
            if route != protocol.HEARTBEAT:
                return 404, {"error": "no such route"}
            idle = body["reported_status"] == protocol.IDLE
            if body.get("wait") and (protocol.EXT_WAIT if idle else protocol.EXT_WATCH) in self.extensions:
                version = body["applied_version"]
                self.changed.wait_for(
                    lambda: self.closing or idle and bool(self.jobs) or self.command[1] > version,
                    body["wait"] if idle else min(body["wait"], self.intervals[protocol.BUSY]))
            return 200, self._reply(body)

    def _reply(self, body: Dict[str, Any]) -> Dict[str, Any]:
        state, version = self.command
        pending = version > body["applied_version"]
        jobs: List[Dict[str, Any]] = []
        idle = body["reported_status"] == protocol.IDLE
        if idle and state == protocol.RUN and not pending and not self.closing:
            while self.jobs and len(jobs) <= body.get("prefetch", 0):
                job_id, parameters = self.jobs.popleft()
                jobs.append({"job_id": job_id, "parameters": parameters, "status": protocol.SERVED})
                if protocol.EXT_ATTEMPT in self.extensions:
                    jobs[-1]["attempt"] = 1
        interval = self.intervals[protocol.IDLE if idle and not jobs else protocol.BUSY]
        reply: Dict[str, Any] = {
            "desired_state": state, "desired_version": version, "pending": pending,
            "applied_version": body["applied_version"], "heartbeat_interval": interval,
            "poll_interval": interval, "job": jobs[0] if jobs else None}
        if jobs[1:]:
            reply["prefetched"] = jobs[1:]
        if self.paused_because is not None:
            reply["paused_because"] = self.paused_because
        if self.extensions:
            reply["extensions"] = list(self.extensions)
            reply["server_id"] = self.server_id
        return reply

    def _handler(self) -> type:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])).decode())
                fake.bodies.append(body)
                body = {**json.loads(self.headers.get(protocol.HEARTBEAT_HEADER) or "{}"), **body}
                status, reply = fake.answer(self.path, body, self.headers.get("Authorization"))
                self._answer(status, reply)

            def _answer(self, status: int, reply: Dict[str, Any]) -> None:
                content = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                try:
                    self.wfile.write(content)
                except OSError:
                    pass  # a worker that left does not read its answer

            def do_GET(self) -> None:
                if fake.health is not None and self.path == protocol.HEALTH:
                    status, reply = 200, fake.health
                elif self.path == protocol.JOB_COUNTS:
                    status, reply = 200, {protocol.PENDING: len(fake.jobs)}
                else:
                    status, reply = 404, {"error": "no such route"}
                self._answer(status, reply)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
