"""The demo, end to end, with a sweep of a few short jobs."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

from tests.support import ROOT, free_env, python, wait_until

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


def table_of(output: str) -> List[List[str]]:
    """The cells of the table, without the time that each job took; the header first."""
    lines = output.splitlines()
    table = lines[lines.index("The 2 best of 2 settings") + 1:][:3]
    return [line.split()[:3] + line.split()[4:] for line in table]


def test_it_runs_the_sweep_and_shows_the_best(demo: Demo) -> None:
    status, output = demo.run()
    assert status == 0, output
    header, best, other = table_of(output)
    assert header == ["id", "accuracy", "status", "epochs", "hidden", "param.batch",
                      "loss", "loss.min", "loss.max", "accuracy.min", "accuracy.max"]
    assert best[-1] == "best" and float(best[1]) >= float(other[1])
    for row in (best, other):
        job, accuracy, status_of_job = row[:3]
        assert status_of_job == "DONE" and row[3:6] == ["1", {"1": "2", "2": "4"}[job], "64"]
        result = demo.directory / "jd_data" / "digits-tune" / job / "result.json"
        assert float(accuracy) == pytest.approx(json.loads(result.read_text())["accuracy"], 1e-6)
    assert "dashboard http://127.0.0.1:" in output and "PIN in %s" % demo.directory in output
    assert "digits-tune: 2 of 2 jobs finished (2 DONE)" in output
    assert "worst: %s" % other[1][:6] in output
    assert str(demo.directory) in output.splitlines()[-2]


def test_its_last_line_shows_the_dashboard_again(demo: Demo) -> None:
    words = shlex.split(demo.run()[1].splitlines()[-1].partition(": ")[2])
    assert words[2:] == ["--keep", str(demo.directory), "--dashboard"]
    process = demo.start(*words[2:])
    try:
        wait_until(lambda: process.poll() is not None or "dashboard" in demo.output.read_text())
        told = re.search(r"http://127\.0\.0\.1:\d+", demo.output.read_text().partition("dashboard")[2])
        assert told is not None, demo.output.read_text()
        with urllib.request.urlopen(told.group() + "/healthz", timeout=30) as answer:
            assert json.loads(answer.read())["expId"] == "digits-tune"
        process.send_signal(signal.SIGINT)
    finally:
        status, output = demo.end(process)
    assert status == 0 and "settings" not in output, output  # no sweep ran


def test_a_dashboard_of_nothing_is_refused(demo: Demo, tmp_path: Path) -> None:
    status, output = demo.run("--dashboard")
    assert status == 2 and "--dashboard needs the --keep DIR of a demo that ran" in output
    status, output = demo.run("--keep", tmp_path / "empty", "--dashboard")
    assert status == 2 and "has no sweep of this demo" in output


def test_a_second_run_shows_the_same_without_running_anything(demo: Demo) -> None:
    first = demo.run()[1]
    (demo.copy / "train.py").write_text("raise SystemExit('not again')\n")
    status, second = demo.run()
    assert status == 0, second
    assert table_of(second) == table_of(first)


def test_without_keep_a_fresh_directory_is_used_and_named(demo: Demo, tmp_path: Path) -> None:
    status, output = demo.end(demo.start())
    assert status == 0, output
    fresh = [path for path in tmp_path.iterdir() if path.name.startswith("jd-demo-")]
    assert len(fresh) == 1
    assert "data  %s" % fresh[0].resolve() in output.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_goes_on_where_it_was(demo: Demo, number: signal.Signals) -> None:
    demo.sweep({"epochs": [15], "hidden": [2, 3]})
    process = demo.start("--keep", demo.directory)
    log = demo.directory / "jd_data" / "digits-tune" / "local" / "workers.log"
    wait_until(lambda: log.exists() and "epoch  6" in log.read_text(), message="a first checkpoint")
    process.send_signal(number)
    status, output = demo.end(process)
    assert status == 1
    assert "goes on where this one stops" in output
    assert "--keep" in output and output.splitlines()[-1] == "interrupted"
    status, output = demo.run()
    assert status == 0, output
    assert "resuming after epoch" in log.read_text()
    assert "The 2 best of 2 settings" in output


def test_aborted_jobs_are_a_failure(demo: Demo) -> None:
    (demo.copy / "train.py").write_text("raise SystemExit(3)\n")
    status, output = demo.run()
    assert status == 1
    assert "2 of 2 jobs failed or were cancelled: jd.job(id) and jd.output(id) tell why" in output


def test_what_cannot_start_is_said(demo: Demo) -> None:
    (demo.copy / "sweep.json").write_text("[")
    status, output = demo.run()
    assert status != 0 and "sweep.json" in output.partition("error: ")[2]
    (demo.copy / "train.py").unlink()
    status, output = demo.run()
    assert status == 1 and "error: there is no script" in output


def test_a_directory_that_cannot_be_made_is_a_usage_error(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, output = demo.run("--keep", tmp_path / "file" / "x")
    assert status == 2
    assert "--keep" in output
