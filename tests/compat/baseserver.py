"""A job server and a Hub that know only the base of the wire protocol, and mind what is said to them.

Written from "Base" of the protocol's specification alone; nothing of the product is used. `said_wrongly` has
what no client of the base says: other routes, fields, types. `fault` makes them fail as networks and proxies
do.
"""

import base64
import hashlib
import hmac
import itertools
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

Fields = Dict[str, Any]
# (route, how often it was asked before) -> None, or one of the four below.
Fault = Callable[[str, int], Optional[str]]
REFUSED = "503 before it is processed"
FAILED = "502 after it was processed"
LOST = "processed, and the connection is cut without an answer"
CUT = "cut before it is processed"

SECRET = "the secret of this experiment"
KEY = "jd_a-key-of-this-hub"
STATUSES = ("PENDING", "SERVED", "DONE", "ABORTED", "DELETED")
# Of our extensions: who asks for them may, and hears that they are not there.
ASKED_IN_VAIN = ("GET /healthz", "GET /api/sweep")
_WHOLE, _NUMBER, _TEXT, _OBJECT, _LIST = int, (int, float), str, dict, list
_Server = TypeVar("_Server", bound="_Http")

# What a request may hold: name -> (type, whether it has to be there).
_MAY_SAY: Dict[str, Dict[str, Tuple[Any, bool]]] = {
    "POST /worker/heartbeat": {
        "worker_id": (_TEXT, True), "host": (_TEXT, True), "machine_type": (_TEXT, True),
        "reported_status": (_TEXT, True), "current_job_id": ((int, type(None)), True),
        "applied_version": (_WHOLE, True), "system_metrics": (_OBJECT, True),
        "jd_worker_version": (_TEXT, True)},
    "POST /update_job_status": {"job_id": (_WHOLE, True), "status": (_TEXT, True), "message": (_TEXT, True)},
    "POST /upload": {"job_id": (_TEXT, True), "file": (bytes, True)},
    "POST /checkpoint": {"job_id": (_TEXT, True), "checkpoint": (bytes, True)},
    "GET /checkpoint/latest": {"job_id": (_TEXT, True)},
    "GET /job_counts": {},
    "POST /workers/cli/stop": {
        "worker_id": (_TEXT, True), "source": (_TEXT, True), "action": (_TEXT, True),
        "job_id": (_WHOLE, False)},
    "POST /workers/cli/clear_all": {"source": (_TEXT, True), "workers": (_LIST, True)},
    "POST /api/jobs/create": {
        "parameters": (_OBJECT, False), "jobs": (_LIST, False), "replace": (bool, False),
        "idle_timeout": (_NUMBER, False), "aborted_job_reset_timeout": (_NUMBER, False)},
    "GET /api/jobs": dict.fromkeys(("page", "per_page", "status", "search", "ids"), (_TEXT, False)),
    "GET /api/jobs/statuses": {"ids": (_TEXT, True)},
    "POST /api/worker/token": {"experiment_name": (_TEXT, True)},
}


class _Http:
    """What both have: the listening socket, the check of what is said, the faults."""

    def __init__(self, fault: Fault = lambda route, count: None) -> None:
        self.fault = fault
        self.said_wrongly: List[str] = []
        self.asked: List[Tuple[str, Fields]] = []
        self.changed = threading.Condition()
        self._unknown: Set[str] = set()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return "http://127.0.0.1:%d" % self._http.server_address[1]

    def __enter__(self: _Server) -> _Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def wait_for(self, what: Callable[[], Any], timeout: float = 60.0) -> Any:
        """Wait until `what()` is true; it is looked at after each request."""
        with self.changed:
            assert self.changed.wait_for(lambda: bool(what()), timeout), self.asked[-20:]
            return what()

    def times(self, route: str) -> int:
        """How often it was asked."""
        return sum(asked == route for asked, _ in self.asked)

    def process(self, route: str, said: Fields, token: str) -> Tuple[int, Any]:
        """Status and JSON, or bytes, of an answer."""
        raise NotImplementedError

    def may_say(self, route: str) -> Optional[Dict[str, Tuple[Any, bool]]]:
        """What this server knows of a route; None: it does not know it."""
        raise NotImplementedError

    def hear(self, route: str, said: Fields, token: str) -> Tuple[Optional[str], int, Any]:
        """One request: the fault that becomes of it, and the answer."""
        with self.changed:
            fault = self.fault(route, self.times(route))
            self.asked.append((route, said))
            answer: Tuple[int, Any]
            known = self.may_say(route)
            if route in ASKED_IN_VAIN:
                fault, answer = None, (404, {"error": "not found"})
            elif known is None:
                self.said_wrongly.append("there is no %s" % route)
                answer = 404, {"error": "not found"}
            else:
                self._check(route, said, known)
                answer = ((503, {"error": "try again"}) if fault == REFUSED else
                          (0, None) if fault == CUT else self.process(route, said, token))
            self.changed.notify_all()
            return (fault, 502, {"error": "bad gateway"}) if fault == FAILED else (fault, *answer)

    def _check(self, route: str, said: Fields, known: Dict[str, Tuple[Any, bool]]) -> None:
        for name in said:
            if name not in known:
                self.said_wrongly.append("%s with %s" % (route, name))
        for name, (kind, needed) in known.items():
            if name not in said:
                if needed:
                    self.said_wrongly.append("%s without %s" % (route, name))
            elif not isinstance(said[name], kind) or (isinstance(said[name], bool) and kind is not bool):
                self.said_wrongly.append("%s: %s is %r" % (route, name, said[name]))


class BaseServer(_Http):
    """A job server of the base. `told` holds results in the order in which they were recorded."""

    def __init__(self, fault: Fault = lambda route, count: None, in_hub_mode: bool = False) -> None:
        super().__init__(fault)
        self.in_hub_mode = in_hub_mode
        self.idle_interval, self.busy_interval = 0.2, 1.0
        self.jobs: Dict[int, Fields] = {}
        self.told: List[Fields] = []
        self.handed_out: List[int] = []
        self.files: Dict[int, List[Tuple[str, bytes]]] = {}
        self.checkpoints: Dict[int, List[bytes]] = {}
        self.stops: List[Fields] = []
        self.command = ("run", 0)

    def add(self, *parameters: Fields) -> None:
        with self.changed:
            for one in parameters:
                self.jobs[len(self.jobs) + 1] = {"parameters": one, "status": "PENDING", "worker": None,
                                                 "message": ""}

    def counts(self) -> Dict[str, int]:
        return {status: sum(job["status"] == status for job in self.jobs.values()) for status in STATUSES}

    def may_say(self, route: str) -> Optional[Dict[str, Tuple[Any, bool]]]:
        if re.fullmatch("GET /api/jobs/[0-9]+/uploads", route):
            return {}
        if re.fullmatch("GET /api/jobs/[0-9]+/uploads/download", route):
            return {"filename": (_TEXT, True)}
        return None if route == "POST /api/worker/token" else _MAY_SAY.get(route)

    def process(self, route: str, said: Fields, token: str) -> Tuple[int, Any]:
        if self.in_hub_mode and not _is_good(token):
            return 401, {"error": "unauthorized"}
        if route == "POST /worker/heartbeat":
            return 200, self._heartbeat(said)
        if route == "POST /update_job_status":
            return self._result(said)
        if route == "GET /job_counts":
            return 200, self.counts()
        if route == "POST /workers/cli/stop":
            return 200, self._stop(said)
        if route in ("POST /upload", "POST /checkpoint", "GET /checkpoint/latest"):
            return self._file(route, said)
        return self._management(route, said)

    def _management(self, route: str, said: Fields) -> Tuple[int, Any]:
        if route == "POST /api/jobs/create":
            return self._create(said)
        if route == "GET /api/jobs/statuses":
            ids = [int(one) for one in said["ids"].split(",") if int(one) in self.jobs]
            return 200, {"statuses": {str(one): self.jobs[one]["status"] for one in ids}}
        if route == "GET /api/jobs":
            return 200, self._page(said)
        number = int(route.split("/")[3])
        if number not in self.jobs:
            return 404, {"error": "no such job"}
        files = self.files.get(number, [])
        if route.endswith("/uploads"):
            return 200, {"job_id": number, "uploads": [
                {"job_id": number, "version": version, "filename": name, "size_bytes": len(content),
                 "uploaded_at": 1.0, "format": name.rpartition(".")[2]}
                for version, (name, content) in reversed(list(enumerate(files)))]}
        found = [content for name, content in files if name == said["filename"]]
        return (200, found[-1]) if found else (404, {"error": "no such file"})

    def _create(self, said: Fields) -> Tuple[int, Fields]:
        if ("parameters" in said) == ("jobs" in said):
            return 400, {"success": False, "error": "give exactly one of parameters and jobs"}
        grid = said.get("parameters", {})
        jobs = said.get("jobs") or [dict(zip(grid, values)) for values in itertools.product(*grid.values())]
        start = len(self.jobs) + 1
        if said.get("replace"):
            for job in self.jobs.values():
                job["status"] = "DELETED"
        self.add(*jobs)
        return 200, {"success": True, "message": "ok", "total_jobs": len(jobs), "start_id": start,
                     "action": "Created" if start == 1 else "Appended"}

    def _page(self, said: Fields) -> Fields:
        page, per_page = int(said.get("page", 1)), int(said.get("per_page", 50))
        ids = said["ids"].split(",") if "ids" in said else None
        found = [{"id": number, "status": job["status"], "parameters": job["parameters"],
                  "worker_id": job["worker"], "message": [], "request_timestamp": None,
                  "completion_timestamp": None, "required_time": None, "last_ping_timestamp": None,
                  "system_metrics": {}}
                 for number, job in self.jobs.items()
                 if said.get("status", job["status"]) == job["status"]
                 and said.get("search", str(number)) == str(number) and (ids is None or str(number) in ids)]
        return {"jobs": found[(page - 1) * per_page:page * per_page], "total_count": len(found),
                "total_pages": max(1, -(-len(found) // per_page)), "current_page": page, "per_page": per_page}

    def _heartbeat(self, said: Fields) -> Fields:
        state, version = self.command
        idle, worker = said["reported_status"] == "idle", said["worker_id"]
        found = None
        if idle and state == "run" and version <= said["applied_version"]:
            for job in self.jobs.values():
                if job["status"] == "SERVED" and job["worker"] == worker:
                    job["status"] = "PENDING"  # it asks for a job: the answer with that one was lost
            number = next((n for n, job in self.jobs.items() if job["status"] == "PENDING"), None)
            if number is not None:
                self.jobs[number].update(status="SERVED", worker=worker)
                self.handed_out.append(number)
                found = {"job_id": number, "parameters": self.jobs[number]["parameters"], "status": "SERVED"}
        interval = self.idle_interval if idle and found is None else self.busy_interval
        return {"desired_state": state, "desired_version": version,
                "applied_version": said["applied_version"],
                "pending": version > said["applied_version"], "heartbeat_interval": interval,
                "poll_interval": interval, "job": found}

    def _result(self, said: Fields) -> Tuple[int, Fields]:
        job = self.jobs.get(said["job_id"])
        if job is None:
            return 404, {"error": "no such job"}
        if said in self.told:  # an answer was lost
            return 200, {"message": "ok", "job_id": said["job_id"], "status": said["status"]}
        if job["status"] != "SERVED" or said["status"] not in ("DONE", "ABORTED"):
            return 400, {"error": "job is %s" % job["status"]}
        job.update(status=said["status"], message=said["message"])
        self.told.append(said)
        return 200, {"message": "ok", "job_id": said["job_id"], "status": said["status"]}

    def _stop(self, said: Fields) -> Fields:
        self.stops.append(said)
        held = [job for number, job in self.jobs.items() if job["worker"] == said["worker_id"]
                and job["status"] == "SERVED" and said.get("job_id") in (None, number)]
        for job in held:
            job.update(status="ABORTED", message="stopped from the CLI")
        return {"success": True, "job_aborted": bool(held)}

    def _file(self, route: str, said: Fields) -> Tuple[int, Any]:
        number = int(said["job_id"])
        if number not in self.jobs:
            return 404, {"error": "no such job"}
        saved = self.checkpoints.setdefault(number, [])
        if route == "GET /checkpoint/latest":
            return (200, saved[-1]) if saved else (404, {"error": "none yet"})
        if route == "POST /checkpoint":
            saved.append(said["checkpoint"])
            return 200, {"success": True, "filename": "checkpoint_v%d_%d.pt" % (len(saved) - 1, time.time()),
                         "version": len(saved) - 1, "size_bytes": len(said["checkpoint"])}
        name, content = said["filename_of_file"], said["file"]
        version = sum(name == other for other, _ in self.files.setdefault(number, []))
        self.files[number].append((name, content))
        return 200, {"success": True, "filename": name, "version": version, "size_bytes": len(content)}

    def _check(self, route: str, said: Fields, known: Dict[str, Tuple[Any, bool]]) -> None:
        super()._check(route, {name: value for name, value in said.items()
                               if not name.startswith("filename_of_")}, known)


class BaseHub(_Http):
    """A Hub of the base with one user and one experiment."""

    def __init__(self, server_url: str, experiment: str, fault: Fault = lambda route, count: None) -> None:
        super().__init__(fault)
        self.server_url = server_url
        self.experiment = experiment

    def may_say(self, route: str) -> Optional[Dict[str, Tuple[Any, bool]]]:
        if route in ("GET /api/experiments/%s" % self.experiment,
                     "GET /api/experiments/%s/runtime-config" % self.experiment):
            return {}
        return _MAY_SAY[route] if route == "POST /api/worker/token" else None

    def process(self, route: str, said: Fields, token: str) -> Tuple[int, Any]:
        if token != KEY:
            return 401, {"error": "unknown key"}
        if route.startswith("GET "):
            return 200, {"id": "e1", "name": self.experiment, "status": "active",
                         "server_url": self.server_url, "dashboard_url": self.server_url,
                         "created_at": 1.0, "last_activity": 1.0}
        if said["experiment_name"] != self.experiment:
            return 404, {"error": "no such experiment"}
        expires = time.time() + 3600
        return 200, {"worker_token": _token(expires), "server_url": self.server_url,
                     "exp_name": self.experiment, "expires_at": expires, "refresh_margin_secs": 300}


# ---- worker tokens: HS256, as every JWT library makes them

def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _signature(text: str) -> str:
    return _b64(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest())


def _token(expires: float) -> str:
    claims = {"sub": "worker", "exp_id": "e1", "exp_name": "exp", "user_id": 1, "jti": "t%d" % time.time_ns(),
              "iat": time.time(), "exp": expires}
    text = "%s.%s" % (_b64(b'{"alg":"HS256","typ":"JWT"}'), _b64(json.dumps(claims).encode()))
    return "%s.%s" % (text, _signature(text))


def _is_good(token: str) -> bool:
    text, _, signature = token.rpartition(".")
    return bool(text) and hmac.compare_digest(_signature(text), signature)


# ---- HTTP

def _form(content: bytes, content_type: str) -> Fields:
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    said: Fields = {}
    for part in content.split(b"--" + boundary)[1:-1]:
        head, _, body = part[2:-2].partition(b"\r\n\r\n")
        disposition = head.decode()
        name = re.findall(r'; name="([^"]*)"', disposition)[0]
        filename = re.findall(r'filename="([^"]*)"', disposition)
        said[name] = body if filename else body.decode()
        if filename:
            said["filename_of_" + name] = filename[0]
    return said


def _handler(server: _Http) -> type:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET", dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True)))

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            kind = self.headers["Content-Type"]
            self._answer("POST", json.loads(content.decode()) if kind.startswith("application/json")
                         else _form(content, kind))

        def _answer(self, method: str, said: Fields) -> None:
            token = (self.headers.get("Authorization") or "").replace("Bearer ", "")
            fault, status, answer = server.hear("%s %s" % (method, urlsplit(self.path).path), said, token)
            if fault in (LOST, CUT):
                self.close_connection = True
                self.connection.close()
                return
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/octet-stream" if isinstance(answer, bytes)
                             else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                pass  # who has left does not read its answer

        def log_message(self, *_: object) -> None:
            pass

    return Handler
