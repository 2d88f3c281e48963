"""What a job prints is on the server as a whole, while it runs and after; `job-logs` shows it."""

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, List

import pytest

from jd.outputtext import joint
from jd.protocol import MAX_TAIL_CHARS, OUTPUT, OUTPUT_HEAD, OUTPUT_TAIL
from tests.e2e.node import Node
from tests.e2e.processes import Server, Worker, outbox
from tests.support import python, wait_until

pytestmark = pytest.mark.slow

# Prints as many lines as it is told, waits for a file, prints a last line.
SCRIPT = """
import argparse, os, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=int)
parser.add_argument("--lines", type=int, default=0)
parser.add_argument("--wait", default="")
parser.add_argument("--exit", type=int, default=0)
args = parser.parse_args()
for number in range(args.lines):
    print("line %06d of the run" % number, flush=number % 1000 == 0)
sys.stdout.flush()
while args.wait and not os.path.exists(args.wait):
    time.sleep(0.05)
print("the end \\u20ac", flush=True)
sys.exit(args.exit)
"""
LINE = len("line 000000 of the run\n")


class OldServer:
    """A job server that has job 1 and knows no outputs; its URL in a `with`."""

    def __enter__(self) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path.startswith("/api/jobs/statuses")
                answer: Any = {"statuses": {"1": "DONE"} if self.path.endswith("ids=1") else {}}
                body = json.dumps(answer if known else {"success": False, "error": "nothing here"}).encode()
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return "http://127.0.0.1:%d" % self._server.server_port

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def lines(count: int) -> str:
    return "".join("line %06d of the run\n" % number for number in range(count)) + "the end €\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def create(server: Server, *jobs: Any, **fields: Any) -> None:
    server.call("/api/jobs/create", dict(fields, jobs=list(jobs)))


def stored(server: Server, job_id: int, attempt: int) -> List[Path]:
    return sorted((server.workspace / "exp" / "data" / ".output" / str(job_id) / str(attempt)).glob("*"))


def test_all_of_it_is_there_whatever_became_of_the_job(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path, "--max-attempts", 1) as server:
        create(server, {"lines": 13_000, "exit": 3}, {"lines": 3}, {"x": 1})
        with Worker(tmp_path, server.url, script, "exit_when_empty=true") as worker:
            worker.finish()
        node = Node(tmp_path, server.url)
        shown = node.exp("job-logs", 1, "server=" + server.url)
        assert shown.stdout == lines(13_000) and shown.stderr == ""
        assert node.exp("job-logs", 2, "server=" + server.url).stdout == lines(3)
        assert not stored(server, 2, 1)  # it has come with the result
        assert node.exp("job-logs", 1, "lines=2", "server=" + server.url).stdout == (
            "line 012999 of the run\nthe end €\n")
        assert node.exp("job-logs", 1, "lines=2000", "server=" + server.url).stdout == "".join(
            lines(13_000).splitlines(True)[-2000:])
        told = json.loads(node.exp("job-logs", 1, "json=true", "server=" + server.url).stdout)
        assert told["output"] == lines(13_000) and told["left_out"] == 0 and told["attempt"] == 1
        assert told["size"] == len(lines(13_000).encode())
        for path in stored(server, 1, 1):
            assert os.stat(str(path)).st_mode & 0o777 == 0o600
            assert os.stat(str(path.parent)).st_mode & 0o777 == 0o700
        uploads = server.call("/api/jobs/1/uploads")["uploads"]
        assert uploads == []  # published clients list what scripts made


def test_of_a_flood_the_beginning_and_the_end_are_kept(tmp_path: Path, script: Path) -> None:
    count = 5 * (OUTPUT_HEAD + OUTPUT_TAIL) // LINE
    with Server(tmp_path) as server:
        create(server, {"lines": count})
        with Worker(tmp_path, server.url, script, "exit_when_empty=true") as worker:
            worker.finish()
        shown = Node(tmp_path, server.url).exp("job-logs", 1, "server=" + server.url).stdout
        whole = lines(count)
        marks = [line for line in shown.splitlines() if line.startswith("[... ")]
        assert marks and all(line.endswith("bytes of output are left out here ...]") for line in marks)
        assert shown.startswith(whole[:OUTPUT_HEAD - LINE]) and shown.endswith(whole[-OUTPUT_TAIL // 2:])
        missing = sum(int(line.split()[1].replace(",", "")) for line in marks)
        kept = len(shown.encode()) - sum(len(line) + 1 for line in marks)
        assert abs(kept + missing - len(whole.encode())) <= 2 * len(marks)  # a line end before a mark
        assert sum(path.stat().st_size for path in stored(server, 1, 1)) <= OUTPUT_HEAD + 3 * OUTPUT_TAIL // 2


def test_it_is_followed_while_the_job_runs(tmp_path: Path, script: Path) -> None:
    go = tmp_path / "go"
    with Server(tmp_path) as server:
        node = Node(tmp_path, server.url)
        create(server, {"lines": 2_000, "wait": str(go)})
        with open(str(tmp_path / "shown"), "wb") as out, open(str(tmp_path / "said"), "wb") as said:
            follower = subprocess.Popen(
                python("-m", "jd.cli", "expId=exp", "job-logs", "1", "follow=true",
                       "server=" + server.url),
                stdout=out, stderr=said, env=node.environ)
        try:
            wait_until(lambda: "not run yet" in (tmp_path / "said").read_text(), message="that it waits")
            with Worker(tmp_path, server.url, script, "exit_when_empty=true") as worker:
                wait_until(lambda: (tmp_path / "shown").read_text().endswith("line 001999 of the run\n"),
                           message="its output so far")
                assert server.counts() == {"SERVED": 1}
                go.touch()
                worker.finish()
            assert follower.wait(60) == 0
        finally:
            if follower.poll() is None:
                follower.kill()
            follower.wait(60)
        assert (tmp_path / "shown").read_text(encoding="utf-8") == lines(2_000)
        assert "attempt 1 of job 1 has ended" in (tmp_path / "said").read_text()


def test_what_was_printed_while_the_server_was_away_arrives(tmp_path: Path, script: Path) -> None:
    go = tmp_path / "go"
    with Server(tmp_path) as server:
        create(server, {"lines": 3_000, "wait": str(go)})
        port = server.port
        with Worker(tmp_path, server.url, script) as worker:
            server.until(SERVED=1)
            server.stop()
            go.touch()
            wait_until(lambda: list(outbox(tmp_path).glob("*.json")), message="the result in the outbox")
            waiting = list(outbox(tmp_path).glob("*.files/*.bin"))
            assert waiting and all(os.stat(str(path)).st_mode & 0o077 == 0 for path in waiting)
            with Server(tmp_path, port=port) as again:
                again.until(DONE=1)
                shown = Node(tmp_path, again.url).exp("job-logs", 1, "server=" + again.url)
                assert shown.stdout == lines(3_000)
                assert not list(outbox(tmp_path).glob("*.files"))
            worker.stop()


def test_a_stopped_worker_leaves_the_output_of_its_attempt(tmp_path: Path, script: Path) -> None:
    go = tmp_path / "go"
    with Server(tmp_path) as server:
        create(server, {"lines": 3_000, "wait": str(go)})
        with Worker(tmp_path, server.url, script) as worker:
            wait_until(lambda: "line 002999" in worker.errors or _tail(server).endswith("2999 of the run\n"),
                       message="its output")
            worker.stop()
        go.touch()
        with Worker(tmp_path, server.url, script, "exit_when_empty=true", name="second") as second:
            second.finish()
        node = Node(tmp_path, server.url)
        first = node.exp("job-logs", 1, "attempt=1", "server=" + server.url).stdout
        assert first == lines(3_000).replace("the end €\n", "")
        assert node.exp("job-logs", 1, "server=" + server.url).stdout == lines(3_000)
        none = node.exp("job-logs", 1, "lines=0", "server=" + server.url)
        assert (none.stdout, none.stderr) == ("", "")  # not that it has printed nothing


def _tail(server: Server) -> str:
    answer = server.call("/api/jobs/1/output?last=100")
    return str(answer["output"]) if isinstance(answer, dict) else ""


@pytest.mark.parametrize("words, status, says", [
    (["99"], 2, "there is no job 99"),
    (["1", "attempt=4"], 2, "job 1 has had no attempt 4"),
    (["1"], 1, "job 1 has printed nothing: no worker has run it, it is PENDING"),
    (["first"], 2, "needs the number of a job, not 'first'"),
    ([], 2, "job-logs needs <job>"),
    (["1", "follow=true", "json=true"], 2, "do not go together"),
])
def test_what_cannot_be_shown(shared: Server, tmp_path: Path, words: List[str], status: int,
                              says: str) -> None:
    shared.create(1)
    done = Node(tmp_path).exp("job-logs", *words, "server=" + shared.url, status=status)
    assert says in done.stderr and len(done.stderr.splitlines()) <= 2 and done.stdout == ""


def test_a_worker_of_another_make_has_sent_its_last_lines_only(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.create(1)
        server.call("/worker/heartbeat", {"worker_id": "w", "host": "h"})
        server.call("/update_job_status", {"job_id": 1, "status": "DONE", "output_tail": "the last\n"})
        for follow in ("false", "true"):
            shown = Node(tmp_path).exp("job-logs", 1, "follow=" + follow, "server=" + server.url)
            assert shown.stdout == "the last\n" and "these are only the last lines" in shown.stderr


def test_the_last_lines_of_a_job_that_has_not_sent_what_is_before_them(tmp_path: Path) -> None:
    """Nothing was shown where more lines were asked for than a heartbeat brings."""
    printed = lines(2000)
    tail = printed[-MAX_TAIL_CHARS + 2:]  # a character of it has three bytes
    with Server(tmp_path) as server:
        server.create(1)
        busy = {"worker_id": "w", "host": "h", "session": "s", "reported_status": "busy", "current_job_id": 1,
                "attempt": 1, "output_tail": tail, "output_size": len(printed.encode())}
        server.call("/worker/heartbeat", dict(busy, reported_status="idle", current_job_id=None))
        server.call(OUTPUT, {"job_id": 1, "attempt": 1, "offset": 0, "output": printed[:20_000]})
        server.call("/worker/heartbeat", busy)
        node = Node(tmp_path, server.url)
        assert node.exp("job-logs", 1, "lines=1", "server=" + server.url).stdout == "the end €\n"
        missing = len(printed.encode()) - 16 * 1024 - 20_000
        assert node.exp("job-logs", 1, "lines=1000", "server=" + server.url).stdout == (
            joint("", missing) + tail)


def test_an_attempt_that_has_printed_nothing(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.create(1)
        server.call("/worker/heartbeat", {"worker_id": "w", "host": "h"})
        shown = Node(tmp_path).exp("job-logs", 1, "server=" + server.url)
        assert (shown.stdout, shown.stderr) == ("", "attempt 1 of job 1 has printed nothing yet\n")
        server.call("/update_job_status", {"job_id": 1, "status": "DONE", "output_size": 0})
        shown = Node(tmp_path).exp("job-logs", 1, "server=" + server.url)
        assert (shown.stdout, shown.stderr) == ("", "attempt 1 of job 1 has printed nothing\n")


def test_a_server_that_keeps_no_output_is_told_from_a_job_that_does_not_exist(tmp_path: Path) -> None:
    with OldServer() as url:
        node = Node(tmp_path)
        known = node.exp("job-logs", 1, "server=" + url, status=1)
        assert "is too old to keep what jobs print" in known.stderr
        unknown = node.exp("job-logs", 2, "server=" + url, status=2)
        assert "there is no job 2" in unknown.stderr
