"""A server that knows the base protocol alone: one of ours, behind a proxy that lets nothing else through."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Optional, Tuple
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

BODY = {"parameters", "jobs", "replace", "idle_timeout", "aborted_job_reset_timeout"}
# Routes of docs/protocol.md, "Base: job management", and the names in their queries.
ROUTES = (("GET", "/job_counts", ()), ("POST", "/api/jobs/create", ()),
          ("GET", "/api/jobs", ("page", "per_page", "status", "search", "ids")),
          ("GET", "/api/jobs/statuses", ("ids",)), ("GET", r"/api/jobs/\d+/uploads", ()),
          ("GET", r"/api/jobs/\d+/uploads/download", ("filename",)))
JOB = {"id", "status", "parameters", "worker_id", "message", "request_timestamp", "completion_timestamp",
       "required_time", "last_ping_timestamp", "system_metrics"}


class Stripped:
    """The proxy; a context manager. `asked` has the paths of what was asked for, also of what it refused."""

    def __init__(self, server: str) -> None:
        self.asked: List[str] = []
        stripped = self

        class Handler(_Handler):
            behind, place = server, stripped

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self.url = "http://127.0.0.1:%d" % self._http.server_address[1]

    def __enter__(self) -> "Stripped":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join(60)
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    behind: str
    place: Stripped

    def log_message(self, *_: Any) -> None:
        pass

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self.place.asked.append(parts.path)
        known = next((names for method, path, names in ROUTES
                      if method == self.command and re.fullmatch(path, parts.path)), None)
        status, answer = 404, b'{"error": "no such route"}'
        if known is not None:
            query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] in known])
            status, answer = self._forwarded(parts.path + "?" + query, _of_the_base(body))
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = _any

    def _forwarded(self, target: str, body: Optional[bytes]) -> Tuple[int, bytes]:
        request = Request(self.behind + target, body, {"Content-Type": "application/json"})
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=60) as told:
                answer: bytes = told.read()
                return 200, _jobs_of_the_base(answer) if target.startswith("/api/jobs?") else answer
        except HTTPError as error:
            return error.code, error.read()


def _of_the_base(body: bytes) -> Optional[bytes]:
    if not body:
        return None
    said: Dict[str, Any] = json.loads(body)
    return json.dumps({name: value for name, value in said.items() if name in BODY}).encode()


def _jobs_of_the_base(answer: bytes) -> bytes:
    told: Dict[str, Any] = json.loads(answer)
    told["jobs"] = [{name: job[name] for name in JOB} for job in told["jobs"]]
    return json.dumps(told).encode()
