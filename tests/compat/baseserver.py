"""A job server that knows the base protocol and nothing else: the routes and fields of PROTOCOL.md's Base.

It is strict: what it is sent beyond that it leaves alone, as the base asks for, and writes down in `unknown`.
"""

import email.parser
import email.policy
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Tuple
from urllib.parse import parse_qsl, urlsplit

STATUSES = ("PENDING", "SERVED", "DONE", "ABORTED", "DELETED")

FIELDS: Dict[str, FrozenSet[str]] = {
    "POST /worker/heartbeat": frozenset((
        "worker_id", "host", "machine_type", "reported_status", "current_job_id", "applied_version",
        "system_metrics", "jd_worker_version")),
    "POST /update_job_status": frozenset(("job_id", "status", "message")),
    "POST /upload": frozenset(("job_id", "file")),
    "POST /checkpoint": frozenset(("job_id", "checkpoint")),
    "GET /checkpoint/latest": frozenset(("job_id",)),
    "GET /job_counts": frozenset(),
    "POST /workers/cli/stop": frozenset(("worker_id", "source", "action", "job_id")),
    "POST /workers/cli/clear_all": frozenset(("source", "workers")),
}


class Asked(NamedTuple):
    """A request: `POST /upload`, and what was in its body, form or query."""

    route: str
    fields: Dict[str, Any]


class BaseServer:
    """A context manager. `asked` has all requests in the order of arrival, `unknown` the fields and routes
    that the base does not have, `jobs` the status of each job by its number."""

    def __init__(self, busy_interval: float = 57.0, idle_interval: float = 180.0) -> None:
        self.asked: List[Asked] = []
        self.unknown: List[Tuple[str, str]] = []
        self.jobs: Dict[int, str] = {}
        self.results: List[Dict[str, Any]] = []
        self.uploads: Dict[int, Dict[str, bytes]] = {}
        self.checkpoints: Dict[int, List[bytes]] = {}
        self.changed = threading.Condition()
        self._parameters: Dict[int, Dict[str, Any]] = {}
        self._intervals = {"busy": busy_interval, "idle": idle_interval}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return "http://127.0.0.1:%d" % self._http.server_address[1]

    def __enter__(self) -> "BaseServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add(self, **parameters: Any) -> int:
        """A job that waits; its number."""
        with self.changed:
            job_id = len(self.jobs) + 1
            self.jobs[job_id], self._parameters[job_id] = "PENDING", parameters
            return job_id

    def wait_for(self, what: Callable[[], Any], timeout: float = 20.0) -> Any:
        """Wait until `what()` is true; looked at after each request."""
        with self.changed:
            assert self.changed.wait_for(lambda: bool(what()), timeout), self.asked
            return what()

    # ---- answers

    def answer(self, method: str, path: str, fields: Dict[str, Any]) -> Tuple[int, Any]:
        """Status, and an object or bytes."""
        route = "%s %s" % (method, path)
        with self.changed:
            self.asked.append(Asked(route, fields))
            if route not in FIELDS:
                self.unknown.append((route, ""))
                found: Tuple[int, Any] = 404, {"error": "no such route"}
            else:
                self.unknown += [(route, name) for name in fields if name not in FIELDS[route]]
                found = _ANSWERS[route](self, fields)
            self.changed.notify_all()
            return found

    def _heartbeat(self, fields: Dict[str, Any]) -> Tuple[int, Any]:
        if not isinstance(fields.get("worker_id"), str):
            return 400, {"error": "worker_id is missing"}
        idle = fields.get("reported_status") == "idle"
        waiting = [job_id for job_id, status in self.jobs.items() if status == "PENDING"]
        job: Optional[Dict[str, Any]] = None
        if idle and waiting:
            self.jobs[waiting[0]] = "SERVED"
            job = {"job_id": waiting[0], "parameters": self._parameters[waiting[0]], "status": "SERVED"}
        interval = self._intervals["idle" if idle else "busy"]
        return 200, {"desired_state": "run", "desired_version": 0, "pending": False, "job": job,
                     "applied_version": fields.get("applied_version", 0),
                     "heartbeat_interval": interval, "poll_interval": interval}

    def _status(self, fields: Dict[str, Any]) -> Tuple[int, Any]:
        job_id, status = fields.get("job_id"), fields.get("status")
        if job_id not in self.jobs:
            return 404, {"error": "there is no such job"}
        same = [one for one in self.results if one["job_id"] == job_id and one["status"] == status]
        if self.jobs[job_id] != "SERVED" and not same:
            return 400, {"error": "the job is not SERVED"}
        if not same:
            self.jobs[job_id] = str(status)
            self.results.append(fields)
        return 200, {"message": "ok", "job_id": job_id, "status": status}

    def _upload(self, fields: Dict[str, Any]) -> Tuple[int, Any]:
        name, content = fields["file"]
        kept = self.uploads.setdefault(int(fields["job_id"]), {})
        kept[name] = content
        return 200, {"success": True, "filename": name, "version": 0, "size_bytes": len(content)}

    def _checkpoint(self, fields: Dict[str, Any]) -> Tuple[int, Any]:
        content = fields["checkpoint"][1]
        kept = self.checkpoints.setdefault(int(fields["job_id"]), [])
        kept.append(content)
        return 200, {"success": True, "filename": "checkpoint_v%d_0.pt" % (len(kept) - 1),
                     "version": len(kept) - 1, "size_bytes": len(content)}

    def _latest(self, fields: Dict[str, Any]) -> Tuple[int, Any]:
        kept = self.checkpoints.get(int(fields["job_id"]))
        return (200, kept[-1]) if kept else (404, {"error": "no checkpoint yet"})

    def _counts(self, _fields: Dict[str, Any]) -> Tuple[int, Any]:
        return 200, {status: list(self.jobs.values()).count(status) for status in STATUSES}

    def _cli_stop(self, fields: Dict[str, Any]) -> Tuple[int, Any]:
        running = self.jobs.get(fields.get("job_id") or 0) == "SERVED"
        if running:
            self.jobs[fields["job_id"]] = "ABORTED"
        return 200, {"success": True, "job_aborted": running}

    def _cli_clear_all(self, fields: Dict[str, Any]) -> Tuple[int, Any]:
        return 200, {"success": True, "processed": len(fields["workers"])}


_ANSWERS: Dict[str, Callable[[BaseServer, Dict[str, Any]], Tuple[int, Any]]] = {
    "POST /worker/heartbeat": BaseServer._heartbeat,
    "POST /update_job_status": BaseServer._status,
    "POST /upload": BaseServer._upload,
    "POST /checkpoint": BaseServer._checkpoint,
    "GET /checkpoint/latest": BaseServer._latest,
    "GET /job_counts": BaseServer._counts,
    "POST /workers/cli/stop": BaseServer._cli_stop,
    "POST /workers/cli/clear_all": BaseServer._cli_clear_all,
}


def _handler(server: BaseServer) -> type:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            self._answer(*server.answer("GET", url.path, dict(parse_qsl(url.query))))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers["Content-Type"]
            fields = json.loads(body.decode()) if kind.startswith("application/json") else _form(kind, body)
            self._answer(*server.answer("POST", self.path, fields))

        def _answer(self, status: int, reply: Any) -> None:
            content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream" if isinstance(reply, bytes)
                             else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                pass  # who asked has left

        def log_message(self, *_: object) -> None:
            """Tests read what was asked."""

    return Handler


def _form(kind: str, body: bytes) -> Dict[str, Any]:
    """The fields of a form: a text, or name and content of a file."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + kind.encode("ascii") + b"\r\n\r\n" + body)
    found: Dict[str, Any] = {}
    for part in message.walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            name = str(part.get_param("name", header="content-disposition"))
            found[name] = content.decode() if part.get_filename() is None else (part.get_filename(), content)
    return found
