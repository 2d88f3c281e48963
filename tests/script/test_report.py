"""jd_report: what a script tells of itself, in the file that JD_METRICS names."""

import json
import math
import os
import subprocess
import sys
import threading
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, Iterator, List, Optional

import pytest

import jd
from jd.protocol import MAX_REPORT_BYTES
from jd.script import report
from tests.support import ROOT, free_env, wait_until


class Scalar:
    """As numpy and torch have them: a number in an object."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value


class Broken:
    def item(self) -> Any:
        raise SystemError("no device")


class Unspeakable:
    def __str__(self) -> str:
        raise SystemError("no name")

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise SystemError("no class")


class OfNumPy(float):
    """As numpy.float64 is."""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What is written by a writer of this test, as a new process has one."""
    path = tmp_path / "metrics.jsonl"
    monkeypatch.setenv(report.VARIABLE, str(path))
    monkeypatch.setattr(report, "EVERY", 0.001)
    writer = report._Writer()
    monkeypatch.setattr(report, "_writer", writer)
    yield path
    writer.end()


def told(path: Path) -> List[Dict[str, Any]]:
    report._writer.end()
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def without_time(path: Path) -> List[Dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "time"} for one in told(path)]


def run(source: str, tmp_path: Path, path: Optional[Path], status: int = 0, **environ: str) -> str:
    """What a script says on stderr, which ends as told."""
    env = dict(free_env(tmp_path), PYTHONPATH=str(ROOT), **environ)
    env.pop("JD_WORKER_JOB_DIR", None)
    if path is not None:
        env.update({report.VARIABLE: str(path), "JD_WORKER_JOB_DIR": str(tmp_path)})
    env.update(environ)
    done = subprocess.run([sys.executable, "-c", source], env=env, timeout=60, capture_output=True,
                          cwd=str(tmp_path))
    assert done.returncode == status, done.stderr.decode()
    return done.stderr.decode()


def lines(path: Path) -> List[Dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# ---- what is told

def test_a_report_is_a_line_with_its_time_its_step_and_its_numbers(file: Path) -> None:
    before = time.time()
    jd.jd_report(3, loss=0.41, accuracy=1, good=True)
    jd.jd_report(loss=0.4)
    first, second = told(file)
    assert before <= first.pop("time") <= second.pop("time") <= time.time()
    assert first == {"step": 3, "loss": 0.41, "accuracy": 1, "good": True} and second == {"loss": 0.4}


@pytest.mark.parametrize("value, number", [
    (OfNumPy(0.5), 0.5), ({"a": OfNumPy(0.5), "b": {}}, {"a": 0.5, "b": {}}),
    (MappingProxyType({"a": 0.5}), {"a": 0.5}),
    (Scalar(0.5), 0.5), (Scalar(3), 3), (Scalar(True), True), (Decimal("0.25"), 0.25), (Fraction(1, 4), 0.25),
    (float("inf"), math.inf), (Scalar(-math.inf), -math.inf), ({"a": {"b": Scalar(1)}}, {"a": {"b": 1}}),
    ({1: 0.5}, {"1": 0.5})])
def test_what_is_a_number_in_some_way_is_told_as_one(file: Path, value: Any, number: Any,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    jd.jd_report(x=value)
    assert without_time(file) == [{"x": number}] and capsys.readouterr().err == ""


def test_not_a_number_stays_one(file: Path) -> None:
    jd.jd_report(x=float("nan"), y=Scalar(math.nan))
    one, = told(file)
    assert math.isnan(one["x"]) and math.isnan(one["y"])


@pytest.mark.parametrize("value", ["0.5", None, Broken(), [1, 2], object(), b"1", 1j])
def test_what_is_no_number_is_left_out_and_told_once(file: Path, value: Any,
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        jd.jd_report(x=value, loss=0.5)
    assert without_time(file) == [{"loss": 0.5}] * 3
    said = capsys.readouterr().err
    assert said.startswith("jd: jd_report takes numbers, and leaves out x") and said.count("\n") == 1


def test_whatever_it_is_given_nothing_is_raised(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jd.jd_report(x={Unspeakable(): 1})
    jd.jd_report(Unspeakable(), x=1)
    jd.jd_report(x=Unspeakable())
    deep: Dict[str, Any] = {}
    deep["deep"] = deep
    jd.jd_report(x=deep)
    jd.jd_report(x=1)
    assert without_time(file)[-1] == {"x": 1}
    assert "leaves out a report: SystemError" in capsys.readouterr().err


def test_a_value_is_taken_at_the_call_and_not_when_it_is_written(file: Path) -> None:
    running = {"loss": Scalar(0.5)}
    jd.jd_report(train=running)
    running["loss"].value = 0
    running.clear()
    assert without_time(file) == [{"train": {"loss": 0.5}}]


@pytest.mark.parametrize("step, left", [(Scalar(7), 7), (2.5, 2.5), ("third", None), (None, None)])
def test_a_step_is_a_number_or_none(file: Path, step: Any, left: Any) -> None:
    jd.jd_report(step, loss=1)
    assert without_time(file) == [{"loss": 1} if left is None else {"step": left, "loss": 1}]


def test_values_in_the_place_of_the_step_are_told_of(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jd.jd_report({"loss": 0.5})
    assert told(file) == [] and "jd_report(**values)" in capsys.readouterr().err


def test_time_is_no_name_of_a_metric_and_nothing_is_no_report(file: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    jd.jd_report(time=1, loss=0.5)
    jd.jd_report(time=2)
    jd.jd_report()
    jd.jd_report(step=3)
    one, = told(file)
    assert one["time"] >= now and one["loss"] == 0.5
    assert capsys.readouterr().err.count("called time") == 1


def test_a_report_that_is_too_long_for_a_line_becomes_several(file: Path) -> None:
    metrics = {"a_rather_long_name_of_a_metric_%04d" % number: number / 7 for number in range(2000)}
    jd.jd_report(5, **metrics)
    found = without_time(file)
    assert len(found) > 1 and {one.pop("step") for one in found} == {5}
    assert {name: value for one in found for name, value in one.items()} == metrics
    assert max(map(len, file.read_bytes().splitlines(True))) <= MAX_REPORT_BYTES


def test_a_single_metric_that_is_too_long_is_left_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jd.jd_report(x={"n%d" % number: number for number in range(3000)})
    jd.jd_report(y=10 ** 5000, z=1)
    jd.jd_report(z=1)
    assert without_time(file)[-1] == {"z": 1}
    assert "leaves out x" in capsys.readouterr().err


def test_several_threads_report_at_once(file: Path) -> None:
    def work(number: int) -> None:
        for step in range(500):
            jd.jd_report(step, **{"thread_%d" % number: step})
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = without_time(file)
    assert len(found) == 2000
    for number in range(4):
        assert [one["step"] for one in found if "thread_%d" % number in one] == list(range(500))


def test_what_comes_too_fast_loses_its_oldest_and_says_so(file: Path, monkeypatch: pytest.MonkeyPatch,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(report, "MAX_QUEUED", 10)
    writer = report._Writer()
    monkeypatch.setattr(report, "_writer", writer)
    monkeypatch.setattr(writer, "begin", lambda: None)  # no thread looks meanwhile
    for step in range(25):
        jd.jd_report(step, loss=1)
    monkeypatch.undo()
    monkeypatch.setattr(report, "MAX_QUEUED", 10)
    writer._path = str(file)
    writer._write(1.0)
    assert [one["step"] for one in lines(file)] == list(range(15, 25))
    assert "some of it is left out" in capsys.readouterr().err


# ---- where it goes

def test_the_first_report_is_in_the_file_at_once(tmp_path: Path, file: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that is killed later loses what it said in the last second at most."""
    monkeypatch.setattr(report, "EVERY", 3600.0)
    jd.jd_report(loss=0.5)
    wait_until(lambda: file.exists() and file.stat().st_size)
    assert len(lines(file)) == 1


def test_a_file_that_is_removed_or_replaced_is_made_again(file: Path) -> None:
    for step in range(3):
        jd.jd_report(step, loss=1)
        wait_until(lambda: file.exists() and file.stat().st_size)
        file.unlink()
    jd.jd_report(3, loss=1)
    assert [one["step"] for one in told(file)] == [3]


@pytest.mark.parametrize("kind", ["directory", "pipe", "no directory"])
def test_what_cannot_be_written_to_is_told_once_and_nothing_fails(file: Path, kind: str,
                                                                  capsys: pytest.CaptureFixture[str],
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "directory":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(str(file))
    else:
        monkeypatch.setenv(report.VARIABLE, str(file / "not there" / "metrics"))
    for step in range(5):
        jd.jd_report(step, loss=1)
        report._writer._write(1.0)
    report._writer.end()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "cannot be written to" in said


class FullDisk:
    """Takes so many bytes of each write until somebody makes room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room: Optional[int] = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, handle: int, data: bytes) -> int:
        if self.room is None:
            return self._write(handle, data)
        if not self.room:
            raise OSError(28, "No space left on device")
        some, self.room = data[:self.room], max(0, self.room - len(data))
        return self._write(handle, some)


@pytest.mark.parametrize("room", [0, 1, 20, 47, 48, 49, 100])
def test_what_a_full_disk_does_not_take_is_written_when_there_is_room(
        file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], room: int) -> None:
    disk = FullDisk(monkeypatch, room)
    monkeypatch.setattr(report, "time", lambda: 1700000000.0)
    writer = report._writer
    writer._path = str(file)
    for step in range(4):
        writer.queue.append((1700000000.0, step, {"loss": 0.5}))
        writer._write(1.0)
    disk.room = None
    writer._write(1.0)
    found = []
    for line in file.read_text().splitlines():
        try:
            found.append(json.loads(line)["step"])
        except ValueError:
            pass  # the half line that the disk took
    assert found == [0, 1, 2, 3] and "No space left" in capsys.readouterr().err


def test_what_waits_for_a_disk_has_a_limit_and_the_newest_stays(file: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MAX_UNWRITTEN", 1000)
    disk = FullDisk(monkeypatch, 0)
    writer = report._writer
    writer._path = str(file)
    for step in range(100):
        writer.queue.append((1700000000.0, step, {"loss": 0.5}))
        writer._write(1.0)
    disk.room = None
    writer._write(1.0)
    steps = [one["step"] for one in lines(file)]
    assert steps == list(range(100 - len(steps), 100)) and 5 < len(steps) < 30


# ---- processes

def test_at_the_end_of_a_script_everything_is_there(tmp_path: Path) -> None:
    path = tmp_path / "m"
    assert run("import jd\nfor i in range(5000): jd.jd_report(i, loss=1/(i+1))", tmp_path, path) == ""
    assert [one["step"] for one in lines(path)] == list(range(5000))


def test_what_is_told_by_functions_that_python_calls_at_its_end_is_there(tmp_path: Path) -> None:
    path = tmp_path / "m"
    run("import atexit, jd\natexit.register(lambda: jd.jd_report(1, loss=1))\njd.jd_report(0, loss=1)\n"
        "atexit.register(lambda: jd.jd_report(2, loss=1))", tmp_path, path)
    assert sorted(one["step"] for one in lines(path)) == [0, 1, 2]


@pytest.mark.parametrize("end, status", [("os._exit(3)", 3), ("os.kill(os.getpid(), 9)", -9),
                                         ("raise SystemExit(4)", 4), ("1/0", 1)])
def test_however_a_script_ends_what_was_appended_counts(tmp_path: Path, end: str, status: int) -> None:
    path = tmp_path / "m"
    run("import jd, os, time\njd.jd_report(1, loss=1)\n"
        "while not (os.path.exists(%r) and os.path.getsize(%r)): time.sleep(0.01)\n%s" % (
            str(path), str(path), end), tmp_path, path, status)
    assert [one["step"] for one in lines(path)] == [1]


def test_a_forked_process_tells_its_own_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "m"
    run("""
import jd, os, sys
for i in range(100): jd.jd_report(i, parent=i)
pid = os.fork()
if pid == 0:
    for i in range(100): jd.jd_report(i, child=i)
    sys.exit(0)
os.waitpid(pid, 0)
for i in range(100, 200): jd.jd_report(i, parent=i)
""", tmp_path, path)
    found = lines(path)
    assert [one["parent"] for one in found if "parent" in one] == list(range(200))
    assert [one["child"] for one in found if "child" in one] == list(range(100))


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_tell_everything(tmp_path: Path, way: str) -> None:
    path, script = tmp_path / "m", tmp_path / "script.py"
    script.write_text("""
import multiprocessing, jd
def work(rank):
    for step in range(300): jd.jd_report(step, **{"rank_%d" % rank: step})
if __name__ == "__main__":
    jd.jd_report(main=1)
    context = multiprocessing.get_context("WAY")
    processes = [context.Process(target=work, args=(rank,)) for rank in range(3)]
    for process in processes: process.start()
    for process in processes: process.join()
""".replace("WAY", way))
    run("import runpy; runpy.run_path(%r, run_name='__main__')" % str(script), tmp_path, path)
    found = lines(path)
    for rank in range(3):
        name = "rank_%d" % rank
        assert [one["step"] for one in found if name in one] == list(range(300)), name


def test_where_no_thread_can_be_started_it_is_told_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m"
    said = run("import threading\ndef no(self): raise RuntimeError(\"can't start new thread\")\n"
               "threading.Thread.start = no\nimport jd\nfor i in range(50): jd.jd_report(i, loss=1)",
               tmp_path, path)
    assert said == "" and [one["step"] for one in lines(path)] == list(range(50))


def test_a_file_server_that_hangs_does_not_hold_the_end_for_long(tmp_path: Path) -> None:
    path = tmp_path / "m"
    run("import jd, os, threading\nfrom jd.script import report\nreport.AT_EXIT = 0.2\n"
        "os.open = lambda *a, **k: threading.Event().wait()\njd.jd_report(loss=1)", tmp_path, path)
    assert not path.exists()


def test_without_a_worker_it_is_kept_in_the_place_of_the_try_out(tmp_path: Path) -> None:
    said = run("import jd, os, subprocess, sys\njd.jd_report(1, loss=0.5)\n"
               "subprocess.check_call([sys.executable, '-c', 'import jd; jd.jd_report(2, loss=0.4)'])\n"
               "subprocess.check_call('echo \\'{\"step\": 3}\\' >> \"$JD_METRICS\"', shell=True)\n",
               tmp_path, None)
    assert said.startswith("jd: try-out") and said.count("\n") == 1 and "reports are kept in" in said
    found, = tmp_path.rglob("tryout/1/metrics.jsonl")
    assert sorted(one["step"] for one in lines(found)) == [1, 2, 3] and str(found.parent) in said


def test_a_worker_that_takes_no_reports_is_told_of_once(tmp_path: Path) -> None:
    said = run("import jd\nfor i in range(3): jd.jd_report(i, loss=1)", tmp_path, None,
               JD_WORKER_JOB_DIR=str(tmp_path))
    assert said == ("jd: the worker that runs this script takes no reports: what jd_report tells is not "
                    "kept\n")


def test_a_call_takes_microseconds(file: Path) -> None:
    """A training loop does not feel it; the real figure is in docs/performance.md, this one has room for a
    machine that does much else."""
    metrics = {"metric_%d" % number: number / 7 for number in range(30)}
    jd.jd_report(0, **metrics)
    took = []
    for step in range(2000):
        began = time.perf_counter()
        jd.jd_report(step, **metrics)
        took.append(time.perf_counter() - began)
    assert sorted(took)[len(took) // 2] < 50e-6
