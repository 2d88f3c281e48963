"""What scripts report is on the server while they run and after, whatever becomes of server and script."""

import json
import signal
from pathlib import Path
from typing import Any, Dict, List

import pytest

import jd
from tests.e2e.node import Node
from tests.e2e.processes import Server, Worker, outbox
from tests.support import wait_until, warm_only

pytestmark = pytest.mark.slow

# Reports as many steps as there are in each of some files, when the file is there.
SCRIPT = """
import argparse, os, time
import jd
parser = argparse.ArgumentParser()
parser.add_argument("--wait", default="")
parser.add_argument("--kill", type=int, default=0)
args = parser.parse_args()
step = 0
for name in args.wait.split(","):
    while not os.path.exists(name):
        time.sleep(0.02)
    for _ in range(10):
        jd.jd_report(step=step, loss=1.0 / (step + 1), val={"acc": step / 100})
        step += 1
    if args.kill:
        told = os.environ["JD_METRICS"]
        while not os.path.exists(told) or open(told).read().count("loss") < step:
            time.sleep(0.02)
if args.kill:
    os.kill(os.getpid(), args.kill)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def ready(directory: Path, count: int) -> List[Path]:
    """Files that let a script go on, which are not there yet."""
    return [directory / ("go%d" % number) for number in range(count)]


def create(server: Server, files: List[Path], **more: Any) -> None:
    server.call("/api/jobs/create", {"jobs": [dict(more, wait=",".join(map(str, files)))]})


def steps(server: Server, metric: str = "loss", job_id: int = 1) -> List[float]:
    told = server.call("/api/jobs/%d/reports?metric=%s" % (job_id, metric))
    return list(told["metrics"][0]["step"]) if isinstance(told, dict) and told["metrics"] else []


def curve(server: Server, job_id: int = 1) -> Dict[str, Any]:
    return {one["name"]: one for one in server.call("/api/jobs/%d/reports" % job_id)["metrics"]}


def is_whole(server: Server, count: int) -> None:
    """The curves of job 1 are those of so many steps."""
    found = curve(server)
    assert found["loss"]["step"] == found["val.acc"]["step"] == list(range(count))
    assert found["loss"]["value"] == pytest.approx([1.0 / (step + 1) for step in range(count)])
    assert found["val.acc"]["value"] == pytest.approx([step / 100 for step in range(count)])
    assert found["loss"]["time"] == sorted(found["loss"]["time"]) and found["loss"]["time"][0] >= 0


def test_values_arrive_while_the_job_runs(tmp_path: Path, script: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    go = ready(tmp_path, 2)
    with Server(tmp_path) as server, Worker(tmp_path, server.url, script, "exit_when_empty=true",
                                            "flags=switches") as worker:
        create(server, go)
        go[0].touch()
        wait_until(lambda: steps(server) == list(range(10)), message="reports of a job that runs")
        wait_until(lambda: (server.call("/api/jobs/1")["results"] or {}).get("loss") == 0.1,
                   message="results of a job that runs")
        told = server.call("/api/jobs/1")
        assert told["status"] == "SERVED" and told["results"]["loss.max"] == 1.0
        shown = Node(tmp_path, server.url).exp("job", 1, "server=" + server.url).stdout
        assert "loss=0.1" in shown.replace(": ", "=") and "val.acc" in shown
        go[1].touch()
        worker.finish()
        is_whole(server, 20)
        assert server.call("/api/jobs/1")["results"]["val.acc"] == 0.19
        jd.init(exp_id="exp", server=server.url)
        assert jd.reports(1, "loss")["loss"]["step"] == list(range(20))
        assert set(jd.reports(1)) == {"loss", "val.acc"}
        server.stop()


@pytest.mark.parametrize("ends_meanwhile", [False, True])
def test_an_outage_loses_nothing(tmp_path: Path, script: Path, ends_meanwhile: bool) -> None:
    go = ready(tmp_path, 4)
    with Server(tmp_path) as server:
        create(server, go)
        with Worker(tmp_path, server.url, script, "exit_when_empty=true", "flags=switches") as worker:
            go[0].touch()
            wait_until(lambda: steps(server) == list(range(10)), message="the first reports")
            server.stop(signal.SIGKILL)
            for file in go[1:] if ends_meanwhile else go[1:3]:
                file.touch()
            if ends_meanwhile:
                wait_until(lambda: list(outbox(tmp_path).glob("*.json")), message="a result that waits")
                described, = outbox(tmp_path).glob("*.files/*.json")
                assert json.loads(described.read_text())["route"] == "/worker/report"
            with Server(tmp_path, port=server.port) as again:
                if not ends_meanwhile:
                    wait_until(lambda: steps(again) == list(range(30)), message="what came in the outage")
                    go[3].touch()
                worker.finish()
                is_whole(again, 40)
                assert again.counts() == {"DONE": 1} and not list(outbox(tmp_path).glob("*"))
                again.stop()


@pytest.mark.parametrize("words", [(), pytest.param(("warm=true",), marks=warm_only)])
def test_a_script_that_was_killed_keeps_what_it_told(tmp_path: Path, script: Path, words: Any) -> None:
    go = ready(tmp_path, 1)
    go[0].touch()
    with Server(tmp_path, "--max-attempts", 1) as server:
        create(server, go, kill=9)
        with Worker(tmp_path, server.url, script, "exit_when_empty=true", "flags=switches", *words) as worker:
            worker.finish()
        is_whole(server, 10)
        job, = server.jobs()
        assert (job["status"], job["verdict"]) == ("ABORTED", "killed")
        assert not list(tmp_path.rglob("*.reports"))
        server.stop()


def test_a_table_that_is_left_in_the_jobs_directory_is_curves(tmp_path: Path) -> None:
    path = tmp_path / "train.py"
    path.write_text("import jd\n(jd.jd_job_dir() / 'history.csv').write_text("
                    "'epoch,loss,val_loss,note\\n0,0.5,,first\\n1,nan,0.75,\\n2,0.25,0.5,last\\n')\n")
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, path, "exit_when_empty=true") as worker:
            worker.finish()
        found = curve(server)
        assert (found["loss"]["step"], found["loss"]["value"]) == ([0, 1, 2], [0.5, None, 0.25])
        assert (found["val_loss"]["step"][-2:], found["val_loss"]["value"][-2:]) == ([1, 2], [0.75, 0.5])
        assert server.call("/api/jobs/1")["results"]["loss"] == 0.25
        assert [one["filename"] for one in server.call("/api/jobs/1/uploads")["uploads"]] == ["history.csv"]
        server.stop()
