"""A worker that runs a job for hours is seen and told at once: real server, real worker, dashboard."""

import json
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Tuple
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from jd import protocol as p
from tests.e2e.processes import Server, Worker
from tests.support import wait_until

# Says a line for each file that appears in $MARKS, until one is called "end".
SCRIPT = """
import os, sys, time
marks, seen = os.environ["MARKS"], set()
print("begun", flush=True)
while "end" not in seen:
    for name in sorted(set(os.listdir(marks)) - seen):
        seen.add(name)
        print("saw", name, flush=True)
    time.sleep(0.02)
"""
SOON = p.BUSY_INTERVAL - 12  # seconds; without watching it would take p.BUSY_INTERVAL


class Viewer:
    """Somebody who is signed in to the dashboard."""

    def __init__(self, server: Server) -> None:
        self.url = server.ready["dashboard_url"]
        self.opener = build_opener(ProxyHandler({}))
        self.cookie: Optional[str] = None
        with self._send("/web/signin", {"pin": server.pin}) as answer:
            self.cookie = answer.headers["Set-Cookie"].partition(";")[0]

    def _send(self, route: str, body: object = None) -> HTTPResponse:
        headers = {"Content-Type": "application/json"}
        if self.cookie is not None:
            headers["Cookie"] = self.cookie
        data = None if body is None else json.dumps(body).encode()
        answer: HTTPResponse = self.opener.open(Request(self.url + route, data, headers), timeout=60)
        return answer

    def ask(self, route: str, body: object = None) -> Dict[str, Any]:
        with self._send(route, body) as answer:
            return dict(json.loads(answer.read()))

    def worker(self) -> Dict[str, Any]:
        return dict(self.ask("/web/workers")["workers"][0])


@pytest.fixture
def running(tmp_path: Path, marks: Path) -> Iterator[Tuple[Server, Viewer, Worker]]:
    """Server, viewer and a worker with a job that has begun, its heartbeat held."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    with Server(tmp_path) as server:
        viewer = Viewer(server)
        server.create(2)
        with Worker(tmp_path, server.url, script, MARKS=marks) as worker:
            # Figures come with the first heartbeat, which is held: nobody looks at the output.
            wait_until(lambda: server.jobs()[0]["system_metrics"], SOON)
            yield server, viewer, worker
            worker.stop()
        server.stop()


def test_output_is_seen_while_it_is_written(running: Tuple[Server, Viewer, Worker], marks: Path) -> None:
    _, viewer, _ = running
    wait_until(lambda: "begun" in viewer.ask("/web/job/output?id=1")["output"], SOON)
    for name in ("one", "two"):
        (marks / name).touch()
        wait_until(lambda: "saw %s\n" % name in viewer.ask("/web/job/output?id=1")["output"], SOON)


def test_a_busy_worker_takes_commands_and_its_result_is_not_held_up(running: Tuple[Server, Viewer, Worker],
                                                                    marks: Path) -> None:
    server, viewer, _ = running
    told = viewer.ask("/web/workers/command", {"action": "pause", "all": True})
    assert told["affected"] == 1
    row = wait_until(lambda: (lambda row: row["acknowledged_at"] and row)(viewer.worker()), SOON)
    assert (row["state"], row["queued"], row["done_at"]) == ("busy", None, None)
    (marks / "end").touch()
    server.until(SOON, DONE=1, PENDING=1)
    wait_until(lambda: viewer.worker()["state"] == "paused", SOON)
    assert viewer.worker()["done_at"] is not None
    viewer.ask("/web/workers/command", {"action": "run", "all": True})
    server.until(SOON, DONE=2)


def test_a_job_that_is_aborted_is_stopped_at_once(running: Tuple[Server, Viewer, Worker]) -> None:
    server, viewer, _ = running
    assert viewer.ask("/web/jobs/act", {"action": "abort", "ids": [1]})["changed"] == 1
    # The worker has let go of it when it asks for the next one.
    server.until(SOON, ABORTED=1, SERVED=1)


def test_the_log_of_a_busy_and_of_an_idle_worker_is_followed(
        running: Tuple[Server, Viewer, Worker], marks: Path) -> None:
    """Its heartbeat is held meanwhile: the first look has it answered."""
    server, viewer, _ = running
    worker_id = viewer.worker()["worker_id"]

    def log() -> str:
        return viewer.ask("/web/worker/log?id=" + worker_id)["text"] or ""

    wait_until(lambda: "claimed job 1" in log(), SOON)
    (marks / "one").touch()
    wait_until(lambda: "| saw one" in log(), SOON)
    (marks / "end").touch()
    server.until(SOON, DONE=2)
    wait_until(lambda: "claimed job 2" in log(), SOON)
    # An idle worker is followed too.
    wait_until(lambda: viewer.worker()["state"] == "idle", SOON)
    server.create(1)
    wait_until(lambda: "claimed job 3" in log(), SOON)
