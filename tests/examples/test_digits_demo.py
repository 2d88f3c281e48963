"""The demo, end to end, with a sweep of a few short jobs."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest

from tests.support import ROOT, free_env, loaded, python, wait_until

EXAMPLE = ROOT / "docs" / "examples" / "digits-tune"
QUICK = {"epochs": [1], "hidden": [2, 4], "batch": [64]}


class Demo:
    """A copy of the example with a sweep of its own, run in a directory that is kept."""

    def __init__(self, tmp_path: Path) -> None:
        self.copy = tmp_path / "a copy"
        self.copy.mkdir()
        for name in ("demo.py", "train.py", "digits.csv.gz"):
            shutil.copy(str(EXAMPLE / name), str(self.copy))
        self.sweep(QUICK)
        self.directory = tmp_path / "kept"
        # The caller's own settings must not reach the demo's server and workers.
        self.environ = free_env(tmp_path, TMPDIR=tmp_path, JD_HUB_URL="http://127.0.0.1:9",
                                JD_API_KEY="jd_x", JD_SERVER="http://127.0.0.1:9", JD_ONCE="true",
                                JD_SERVER_EXP_ID="other", JD_LOG_DIR=tmp_path / "logs")
        self.output = tmp_path / "output.txt"

    def sweep(self, grid: Dict[str, List[int]]) -> None:
        (self.copy / "sweep.json").write_text(json.dumps(grid))

    def start(self, *arguments: Any) -> "subprocess.Popen[bytes]":
        with open(str(self.output), "wb") as output:
            return subprocess.Popen(python(self.copy / "demo.py", *arguments), env=self.environ,
                                    stdin=subprocess.DEVNULL, stdout=output,
                                    stderr=subprocess.STDOUT)

    def run(self, *arguments: Any) -> Tuple[int, str]:
        """The exit status and what was printed; nothing of it runs any more."""
        return self.end(self.start(*(arguments or ("--keep", self.directory))))

    def end(self, process: "subprocess.Popen[bytes]") -> Tuple[int, str]:
        try:
            status = process.wait(60)
        finally:
            process.kill()
            process.wait()
            left = self.left_behind()
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        assert left == {}
        return status, self.output.read_text()

    def left_behind(self) -> Dict[int, str]:
        """Pids and command lines of processes that still run the copy or its server."""
        found = {}
        for entry in os.listdir("/proc") if os.path.isdir("/proc") else []:
            try:
                with open("/proc/%s/cmdline" % entry, "rb") as stream:
                    line = stream.read().decode("utf-8", "replace")
            except OSError:
                continue
            if str(self.copy) in line:
                found[int(entry)] = line
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Demo:
    return Demo(tmp_path)


def test_it_runs_the_sweep_and_shows_the_best(demo: Demo) -> None:
    status, output = demo.run()
    assert status == 0, output
    lines = output.splitlines()
    assert "The 2 best of 2 settings" in lines
    table = lines[lines.index("The 2 best of 2 settings") + 1:][:3]
    assert table[0].split() == ["job", "epochs", "hidden", "batch", "accuracy"]
    rows = [line.split() for line in table[1:]]
    assert sorted(row[:4] for row in rows) == [["1", "1", "2", "64"], ["2", "1", "4", "64"]]
    assert float(rows[0][4]) >= float(rows[1][4])
    for job in (1, 2):
        result = demo.directory / "jd_data" / "digits-tune" / str(job) / "result.json"
        accuracy = json.loads(result.read_text())["accuracy"]
        assert "%.4f" % accuracy in [row[4] for row in rows if row[0] == str(job)]
    assert "http://127.0.0.1:" in lines[-2] and str(demo.directory) in lines[-1]


def test_a_second_run_shows_the_same_without_running_anything(demo: Demo) -> None:
    first = demo.run()[1]
    status, second = demo.run()
    assert status == 0, second
    assert "every job was run before" in second
    assert [line for line in second.splitlines() if line.startswith(" ")] == [
        line for line in first.splitlines() if line.startswith(" ")]


def test_without_keep_a_fresh_directory_is_used_and_named(demo: Demo, tmp_path: Path) -> None:
    status, output = demo.end(demo.start())
    assert status == 0, output
    fresh = [path for path in tmp_path.iterdir() if path.name.startswith("jd-demo-")]
    assert len(fresh) == 1
    assert "data       %s" % fresh[0].resolve() in output.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_goes_on_where_it_was(demo: Demo, number: signal.Signals) -> None:
    demo.sweep({"epochs": [15], "hidden": [2, 3]})
    process = demo.start("--keep", demo.directory)
    log = demo.directory / "workers.log"
    wait_until(lambda: log.exists() and "epoch  6" in log.read_text(), message="a first checkpoint")
    process.send_signal(number)
    status, output = demo.end(process)
    assert status == 1
    assert "--keep" in output and output.splitlines()[-1] == "interrupted"
    status, output = demo.run()
    assert status == 0, output
    assert "resuming after epoch" in log.read_text()
    assert "The 2 best of 2 settings" in output


def test_the_queue_is_filled_before_the_jobs_are_counted(tmp_path: Path) -> None:
    asked = []

    class Server:
        log = tmp_path / "log"

        def check(self) -> None:
            pass

        def event(self, name: str) -> Optional[Dict[str, str]]:
            asked.append(name)
            if name == "jobs" and asked.count("jobs") < 3:
                return None
            return {"server_url": "http://127.0.0.1:9", "dashboard_url": "http://127.0.0.1:9"}

    demo = loaded(EXAMPLE / "demo.py").Demo(tmp_path)
    demo.start = lambda name, command: Server()
    demo.start_server()
    assert asked.count("jobs") == 3


def test_aborted_jobs_are_a_failure(demo: Demo) -> None:
    (demo.copy / "train.py").write_text("raise SystemExit(3)\n")
    status, output = demo.run()
    assert status == 1
    assert "aborted jobs: 2" in output
    assert "workers.log" in output


def test_workers_that_cannot_start_are_explained_by_their_log(demo: Demo) -> None:
    (demo.copy / "train.py").unlink()
    status, output = demo.run()
    assert status == 1
    assert "error: the workers ended unexpectedly" in output
    assert "train.py" in output.partition("The end of")[2]


def test_a_server_that_cannot_start_is_explained_by_its_log(demo: Demo) -> None:
    (demo.copy / "sweep.json").write_text("[")
    status, output = demo.run()
    assert status == 1
    assert "error: the server ended unexpectedly" in output
    assert "sweep.json" in output.partition("The end of")[2]


def test_a_directory_that_cannot_be_made_is_a_usage_error(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, output = demo.run("--keep", tmp_path / "file" / "x")
    assert status == 2
    assert "--keep" in output
