"""Jobs per second through a server that nobody looks at, beside one with 100 open dashboards (--viewers N).

Run it as `python tests/bench/bench_viewers.py`; what it makes is in a temporary directory. Each viewer holds
the live connection and asks for the first page of jobs once a second, as the page does while a sweep runs.
"""

import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.rows import Row, arguments, finish, paired
from tests.e2e.processes import Server

WORKERS = 4
PIN = "271828"


def worker(url: str, name: str, stop: threading.Event, done: List[int]) -> None:
    """Claim and finish until told to stop, over one connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    finished: Optional[Dict[str, Any]] = None
    beat: Dict[str, Any] = {"worker_id": name, "host": name, "machine_type": "bench",
                            "reported_status": "idle",
            "current_job_id": None, "applied_version": 0, "system_metrics": {}, "session": name}
    while not stop.is_set():
        body = json.dumps(dict(beat, finished=finished) if finished else beat)
        connection.request("POST", "/worker/heartbeat", body, {"Content-Type": "application/json"})
        job = json.loads(connection.getresponse().read())["job"]
        if job is None:
            raise SystemExit("the jobs have run out; give more with --jobs")
        finished = {"job_id": job["job_id"], "attempt": job["attempt"], "status": "DONE", "message": "",
                    "exit_code": 0, "runtime": 0.1, "output_tail": ""}
        done.append(1)
    connection.close()


def viewer(url: str, cookie: str, stop: threading.Event) -> None:
    """One open dashboard."""
    netloc = urlsplit(url).netloc
    live = http.client.HTTPConnection(netloc, timeout=30)
    live.request("GET", "/web/events", headers={"Cookie": cookie})
    events = live.getresponse()
    reader = threading.Thread(target=_drain, args=(events, stop), daemon=True)
    reader.start()
    table = http.client.HTTPConnection(netloc, timeout=30)
    while not stop.wait(1.0):
        table.request("GET", "/web/jobs", headers={"Cookie": cookie})
        table.getresponse().read()
    table.close()
    live.sock.shutdown(2)
    reader.join()


def _drain(events: http.client.HTTPResponse, stop: threading.Event) -> None:
    try:
        while events.readline():
            pass
    except (OSError, http.client.HTTPException):
        if not stop.is_set():
            raise


def sign_in(url: str) -> str:
    """The cookie of a session."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("POST", "/web/signin", json.dumps({"pin": PIN}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return str(answer.headers["Set-Cookie"]).partition(";")[0]


def measure(server: Server, viewers: int, seconds: float) -> float:
    """Jobs per second."""
    stop = threading.Event()
    done: List[int] = []
    page = server.ready["dashboard_url"]
    cookie = sign_in(page) if viewers else ""
    looking = [threading.Thread(target=viewer, args=(page, cookie, stop)) for _ in range(viewers)]
    working = [threading.Thread(target=worker, args=(server.url, "bench-%d" % at, stop, done))
               for at in range(WORKERS)]
    for thread in looking:
        thread.start()
    if viewers:
        time.sleep(1.0)  # until all are connected
    for thread in working:
        thread.start()
    began, before = time.perf_counter(), len(done)
    time.sleep(seconds)
    rate = (len(done) - before) / (time.perf_counter() - began)
    stop.set()
    for thread in working + looking:
        thread.join()
    return rate


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--viewers", type=int, default=100, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=60_000, help="at most in all (%(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, Server(Path(scratch), JD_SERVER_PIN=PIN) as server:
        server.call("/api/jobs/create", {"parameters": {"x": list(range(given.jobs))}})
        alone: List[float] = []
        seen: List[float] = []
        for _ in range(given.rounds):
            alone.append(measure(server, 0, given.seconds))
            seen.append(measure(server, given.viewers, given.seconds))
        server.stop()
    finish([Row("jobs a second with %d open dashboards" % given.viewers, "× with none", paired(seen, alone),
                seen="%.0f and %.0f a second" % (statistics.median(seen), statistics.median(alone)))],
           given.json)


if __name__ == "__main__":
    main()
