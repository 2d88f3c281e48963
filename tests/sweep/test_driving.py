"""One program drives a sweep in two rounds: on our server, and on one that knows the base protocol alone."""

import io
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

import jd
from jd.net.client import Client
from jd.server.store.policy import Policy
from tests.e2e.processes import Process
from tests.script.stub_server import Answer, StubServer
from tests.server.servedhere import ServedHere
from tests.support import free_env, python, wait_until
from tests.sweep.conftest import HEALTH
from tests.sweep.stripped import Stripped

PROGRAM = '''
import json, sys
import jd

session = jd.init(exp_id="EXP", server=sys.argv[1])
first = jd.create_jobs({"lr": [0.1, 0.01], "depth": [1, 2]})
ids = range(first["start_id"], first["start_id"] + first["total_jobs"])
jobs = jd.wait_for_jobs(ids, timeout=60, poll_interval=1)
loss = {job_id: json.loads(jd.download_result(job_id, "result.json").read_text())["loss"] for job_id in ids}
best = min(loss, key=loss.get)
more = [dict(jobs[best]["parameters"], depth=depth) for depth in (3, 4)] + [{"fail": 1}]
second = jd.create_jobs(more, idle_timeout=300, aborted_job_reset_timeout=60)
later = jd.wait_for_jobs(range(second["start_id"], second["start_id"] + 3), timeout=60, poll_interval=1)
print(json.dumps({
    "first": first, "second": second, "best": jobs[best]["parameters"],
    "later": [[job_id, job["status"], job["parameters"]] for job_id, job in later.items()],
    "statuses": jd.get_job_statuses(range(1, 20)), "aborted": jd.list_jobs(status="ABORTED")["total_count"],
    "pages": jd.list_jobs(per_page=3, page=3)["total_pages"],
    "all": len(jd.list_jobs(fetch_all=True)["jobs"]),
    "of": [job["id"] for job in jd.list_jobs(ids=[2, 6, 40])["jobs"]],
    "found": [job["id"] for job in jd.list_jobs(search="4")["jobs"]],
    "uploads": [upload["filename"] for upload in jd.list_job_uploads(best)],
    "path": str(jd.job_download_dir(best)), "root": str(jd.data_root())}))
'''


class Hand(threading.Thread):
    """A worker of the base protocol: each job gives a result.json, unless its parameters say that it fails.
    `pace` is asked before each result."""

    def __init__(self, server: str, pace: Callable[[Dict[str, Any]], object] = lambda job: None) -> None:
        super().__init__(daemon=True)
        self._client = Client(server)
        self._pace = pace
        self._over = threading.Event()

    def __enter__(self) -> "Hand":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(60)

    def run(self) -> None:
        while not self._over.is_set():
            job = self._client.call("POST", "/worker/heartbeat", {
                "worker_id": "host_abcdef_1", "host": "host", "machine_type": "test",
                "reported_status": "idle", "current_job_id": None, "applied_version": 0, "system_metrics": {},
                "jd_worker_version": "1.22.0"})["job"]
            if job is None:
                self._over.wait(0.05)
                continue
            job_id, parameters = job["job_id"], job["parameters"]
            self._pace(job)
            failed = parameters.get("fail", 0) > 0
            if not failed:
                content = json.dumps({"loss": parameters.get("lr", 0) * parameters.get("depth", 0)}).encode()
                self._client.upload("/upload", {"job_id": str(job_id)}, "file", io.BytesIO(content),
                                    "result.json", len(content))
            self._client.call("POST", "/update_job_status", {
                "job_id": job_id, "status": "ABORTED" if failed else "DONE", "message": "by hand"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServedHere]:
    with ServedHere(tmp_path, Policy(max_attempts=1)) as started:
        yield started


def driven(tmp_path: Path, url: str) -> Dict[str, Any]:
    """What the program prints."""
    with Process(python("-c", PROGRAM, url), free_env(tmp_path), tmp_path / "program.err") as program:
        output, _ = program.popen.communicate(timeout=120)
        assert program.popen.returncode == 0, program.errors
    return dict(json.loads(output))


@pytest.mark.parametrize("stripped", [False, True], ids=["ours", "base"])
def test_two_rounds(tmp_path: Path, server: ServedHere, stripped: bool) -> None:
    with Stripped(server.url) as base, Hand(server.url):
        told = driven(tmp_path, base.url if stripped else server.url)
        assert ("/api/jobs/statuses" in base.asked) == stripped and "/api/jobs/wait" not in base.asked
    workspace = str((tmp_path / "workspace").resolve())
    message = told["first"].pop("message"), told["second"].pop("message")
    assert all(message) and told == {
        "first": {"success": True, "total_jobs": 4, "action": "Created", "start_id": 1},
        "second": {"success": True, "total_jobs": 3, "action": "Appended", "start_id": 5},
        "best": {"lr": 0.01, "depth": 1},
        "later": [[5, "DONE", {"lr": 0.01, "depth": 3}], [6, "DONE", {"lr": 0.01, "depth": 4}],
                  [7, "ABORTED", {"fail": 1}]],
        "statuses": dict({str(job_id): "DONE" for job_id in range(1, 7)}, **{"7": "ABORTED"}), "aborted": 1,
        "pages": 3, "all": 7, "of": [2, 6], "found": [4], "uploads": ["result.json"],
        "path": workspace + "/jd_data/exp/3/downloaded", "root": workspace + "/jd_data"}


def test_what_only_ours_can_is_refused_by_a_base_server_before_anything_happens(server: ServedHere) -> None:
    with Stripped(server.url) as base:
        jd.init(exp_id="exp", server=base.url)
        with pytest.raises(NotImplementedError, match="this server does not create only jobs that do not"):
            jd.create_jobs({"x": 1}, unique=True)
        assert jd.list_jobs()["total_count"] == 0
    jd.init(exp_id="exp", server=server.url)
    for total in (1, 0):
        assert jd.create_jobs({"x": 1}, unique=True, timeout=60, max_attempts=2, priority=5, needs="gpu",
                              flags="env")["total_jobs"] == total
    (job,) = jd.list_jobs()["jobs"]
    assert [job[name] for name in ("timeout", "max_attempts", "priority", "needs", "flags")] == [
        60.0, 2, 5, ["gpu"], "env"]


def test_a_job_that_is_tried_again_is_not_the_end_and_the_end_is_told_at_once(server: ServedHere) -> None:
    jd.init(exp_id="exp", server=server.url)
    made = jd.create_jobs({"fail": 1}, max_attempts=2, aborted_job_reset_timeout=0)
    tries: List[float] = []

    def second_try_succeeds(job: Dict[str, Any]) -> None:
        tries.append(time.monotonic())
        if len(tries) == 2:
            job["parameters"]["fail"] = 0

    ended: List[float] = []
    with Hand(server.url, second_try_succeeds):
        jobs = jd.wait_for_jobs([made["start_id"]], timeout=60)
        ended.append(time.monotonic())
    assert [job["status"] for job in jobs.values()] == ["DONE"]
    assert len(tries) == 2 and ended[0] - tries[1] < 5.0


def test_jobs_wait_for_others(server: ServedHere) -> None:
    jd.init(exp_id="exp", server=server.url)
    jd.create_jobs([{"x": 1}, {"fail": 1}])
    jd.create_jobs({"x": 2}, after=[1])
    jd.create_jobs({"x": 3}, after=[1, 2])
    with Hand(server.url):
        jobs = jd.wait_for_jobs(range(1, 5), timeout=60)
    assert [job["status"] for job in jobs.values()] == ["DONE", "ABORTED", "DONE", "ABORTED"]


def test_ctrl_c_ends_the_waiting(tmp_path: Path) -> None:
    with StubServer() as stub:
        stub.otherwise = Answer(200, dict(HEALTH, extensions=["drive"], finished=False,
                                          by_status={"PENDING": 3}))
        code = "import jd; jd.init(exp_id='exp', server=%r); jd.wait_for_jobs([1, 2, 3])" % stub.url
        with Process(python("-c", code), free_env(tmp_path), tmp_path / "program.err") as program:
            wait_until(lambda: any(one.target == "/api/jobs/wait" for one in stub.asked))
            assert program.stop(signal.SIGINT) in (-signal.SIGINT, 1)
            assert "the sweep goes on; jd.wait_for_jobs(range(1, 4)) waits for it again" in program.errors
