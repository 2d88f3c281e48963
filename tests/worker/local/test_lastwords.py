"""What servers are told of workers that have ended, and what is made of their answers."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from jd import protocol
from jd.worker.local import lastwords
from jd.worker.local.lastwords import Fate
from jd.worker.local.rows import Row
from tests.worker.registered import row

EGG = ("e", "n_egg_0")


class Bureau:
    """A server that notes what it is told, and answers by route."""

    def __init__(self) -> None:
        self.told: List[Tuple[str, Dict[str, Any]]] = []
        self.answers: Dict[str, Tuple[int, Dict[str, Any]]] = {}
        bureau = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                route = self.path.partition("?")[0]
                bureau.told.append((self.path, json.loads(body or b"{}")))
                status, answer = bureau.answers.get(route, (404, {}))
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.config = {"server": "http://127.0.0.1:%d" % self.server.server_address[1]}

    def worker(self, number: int, **fields: Any) -> Row:
        return row("n_egg_%d" % number, config=self.config, **fields)

    def jobs(self, **statuses: str) -> None:
        self.answers[protocol.JOB_STATUSES] = 200, {"statuses": {
            name.strip("_"): status for name, status in statuses.items()}}


@pytest.fixture
def bureau() -> Iterator[Bureau]:
    bureau = Bureau()
    thread = threading.Thread(target=bureau.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield bureau
    bureau.server.shutdown()
    thread.join()
    bureau.server.server_close()


def test_a_server_gives_back_what_a_stopped_worker_still_held(bureau: Bureau) -> None:
    """The registry is behind by a second or so: the server knows which job it was."""
    bureau.answers[protocol.CLI_STOP] = 200, {"success": True, "job_aborted": False, "job_requeued": 13}
    told = lastwords.stopped([bureau.worker(0, current_job_id=12, session="s")], "restart", {})
    assert told.fates == {EGG: Fate(13, lastwords.REQUEUED)} and told.problems == {}
    assert str(told.fates[EGG]) == "job 13 goes back to the queue"
    ((_, body),) = bureau.told
    assert body["requeue"] is True and body["action"] == "restart" and "job_id" not in body
    assert body["session"] == "s"  # so that another process of that name is left alone
    lastwords.stopped([bureau.worker(0)], "stop", {})  # its server has offered no extension yet
    assert set(bureau.told[-1][1]) == {"worker_id", "action", "source"}


def test_what_workers_gave_back_themselves_is_asked_for_once(bureau: Bureau) -> None:
    bureau.answers[protocol.CLI_STOP] = 200, {"success": True, "job_aborted": False, "job_requeued": None}
    bureau.jobs(_1="PENDING", _2="DONE", _3="ABORTED", _4="SERVED")
    told = lastwords.stopped([bureau.worker(n, current_job_id=n or None) for n in range(6)], "stop", {})
    assert {name: fate.fate for (_, name), fate in told.fates.items()} == {
        "n_egg_1": lastwords.REQUEUED, "n_egg_2": lastwords.DONE, "n_egg_3": lastwords.ABORTED,
        "n_egg_4": lastwords.REQUEUED, "n_egg_5": lastwords.REQUEUED}
    assert [path for path, _ in bureau.told if path.startswith(protocol.JOB_STATUSES)] == [
        protocol.JOB_STATUSES + "?ids=1%2C2%2C3%2C4%2C5"]


def test_a_server_that_only_aborts_is_said_to(bureau: Bureau) -> None:
    bureau.answers[protocol.CLI_STOP] = 200, {"success": True, "job_aborted": True}
    told = lastwords.stopped([bureau.worker(0, current_job_id=12)], "stop", {})
    assert str(told.fates[EGG]) == "job 12 was aborted there; it comes back if the server retries"
    assert [path for path, _ in bureau.told] == [protocol.CLI_STOP]


def test_the_last_word_of_the_dead(bureau: Bureau) -> None:
    bureau.answers[protocol.HEARTBEAT] = 200, {"extensions": list(protocol.EXTENSIONS)}
    told = lastwords.died([bureau.worker(0, current_job_id=12, session="abc"), bureau.worker(1)], {})
    assert told.fates == {EGG: Fate(12, lastwords.REQUEUED)}
    body = bureau.told[0][1]
    assert (body["worker_id"], body["session"], body["leave"]) == ("n_egg_0", "abc", True)
    assert body["reported_status"] == protocol.BUSY, "it must not be given a job"
    assert body["died"] == 1
    assert len([path for path, _ in bureau.told if path == protocol.HEARTBEAT]) == 1, \
        "no server has ever answered the other one"


@pytest.mark.parametrize("status, answer", [(409, {"error": "in use"}), (200, {"extensions": []})])
def test_a_server_that_frees_nothing_is_not_said_to(bureau: Bureau, status: int,
                                                    answer: Dict[str, Any]) -> None:
    bureau.answers[protocol.HEARTBEAT] = status, answer
    told = lastwords.died([bureau.worker(n, current_job_id=n, session="abc") for n in (1, 2)], {})
    assert {str(fate) for fate in told.fates.values()} == {
        "job %d comes back when its lease is over" % n for n in (1, 2)}
    assert len(bureau.told) == 2, "a refusal is about one worker"
    assert {body["died"] for _, body in bureau.told} == {2}
