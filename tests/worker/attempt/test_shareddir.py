"""What is said of a directory into which several workers' jobs write."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest

from jd import protocol
from jd.files import filesystems
from jd.node.identity import Here
from jd.worker.attempt.files import shareddir
from jd.worker.attempt.files.shareddir import SharedDirectory, changed, look
from jd.worker.config import CWD_JOB, CWD_SCRIPT, WorkerConfig
from jd.worker.local import neighbours
from jd.worker.local.registry import Registry
from tests.support import free_env, python
from tests.worker.fake_server import FakeServer
from tests.worker.registered import row


def nothing(name: str) -> bool:
    return False


def seen(top: Path, ignores: Callable[[str], bool] = nothing) -> shareddir.Look:
    return look(str(top), ignores, lambda: 0.0)


def test_new_and_changed_files_are_found_at_the_top_and_right_below(tmp_path: Path) -> None:
    for name in ("kept", "written", "old/kept", "old/written", "old/deep/written"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    before = seen(tmp_path)
    assert changed(before, seen(tmp_path)) == []
    for name in ("written", "old/written", "old/deep/written", "new", "out/new"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("12")
    (tmp_path / "kept").unlink()
    assert changed(before, seen(tmp_path)) == ["new", "old/written", "out/new", "written"]


def test_what_was_not_read_whole_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "large").mkdir()
    for number in range(20):
        (tmp_path / "large" / str(number)).write_text("")
    monkeypatch.setattr(shareddir, "MAX_ENTRIES", 10)
    before = seen(tmp_path)
    assert before.files == {"": {}} and before.below == {"large"}
    monkeypatch.setattr(shareddir, "MAX_ENTRIES", 1000)
    (tmp_path / "model.txt").write_text("")
    after = seen(tmp_path)
    assert changed(before, after) == ["model.txt"]  # and nothing of large/, which it has not read before
    assert changed(shareddir.Look({}, frozenset()), after) == []


def test_a_look_ends_in_time(tmp_path: Path) -> None:
    times = iter([0.0, 0.1, 0.15, 0.3])
    for name in "abc":
        (tmp_path / name).write_text("")
    assert look(str(tmp_path), nothing, lambda: next(times)).files == {}


def launch(tmp_path: Path, **fields: Any) -> WorkerConfig:
    directory = tmp_path / "launch"
    directory.mkdir(exist_ok=True)
    config = WorkerConfig("exp", directory / "train.py", "http://s", directory=directory,
                          environ=free_env(tmp_path))
    return replace(config, **fields)


def test_what_is_of_no_job_is_passed_over(tmp_path: Path) -> None:
    config = launch(tmp_path, log_dir=tmp_path / "launch/logs",
                    environ=free_env(tmp_path, JD_WORKSPACE_PATH=str(tmp_path / "launch"),
                                     JD_CACHE_PATH=str(tmp_path / "launch/cache")))
    shared = SharedDirectory(config, print)
    before = shared.look()
    assert before is not None
    for name in ("train.py", ".git/index", "__pycache__/a.pyc", "jd_data/x", "cache/x", "logs/x.log",
                 "a.ipynb", "slurm-17_3.out", "jd_worker_n_egg_0.log", "model.txt"):
        (config.directory / name).parent.mkdir(exist_ok=True)
        (config.directory / name).write_text("")
    after = shared.look()
    assert after is not None and changed(before, after) == ["model.txt"]


def test_the_output_of_the_worker_and_its_neighbours_in_an_array_is_passed_over(tmp_path: Path) -> None:
    config = launch(tmp_path)
    for name in ("sweep.17_4.log", "sweep.17_x.log"):
        (config.directory / name).write_text("")
    kept = os.dup(1)
    with open(str(config.directory / "sweep.17_3.log"), "w") as file:
        os.dup2(file.fileno(), 1)
        try:
            found = SharedDirectory(config, print).look()
        finally:
            os.dup2(kept, 1)
            os.close(kept)
    assert found is not None and list(found.files[""]) == ["sweep.17_x.log"]


def test_the_look_at_the_end_of_a_job_is_that_at_the_beginning_of_one_that_follows_at_once(
        tmp_path: Path) -> None:
    now = [0.0]
    shared = SharedDirectory(launch(tmp_path), print, lambda: now[0])
    found = shared.look()
    now[0] = shareddir.FRESH / 2
    assert shared.as_just_seen() is found
    now[0] = 2 * shareddir.FRESH
    later = shared.as_just_seen()
    assert later is not found and shared.as_just_seen() is later


@pytest.mark.parametrize("fields", [{"cwd": CWD_JOB}, {"directory": "inside"}])
def test_where_nothing_is_shared_nothing_is_looked_at(tmp_path: Path, fields: Dict[str, Any]) -> None:
    if "directory" in fields:
        fields = {"directory": tmp_path / "workspace/jd_data/exp"}
    assert SharedDirectory(launch(tmp_path, **fields), print).look() is None


@pytest.mark.parametrize("other, is_told", [
    (None, False), ({}, True), ({"cwd": CWD_JOB}, False), ({"cwd": CWD_SCRIPT}, True),
    ({"directory": Path("/elsewhere")}, False)])
def test_it_is_told_where_another_worker_runs_there(tmp_path: Path, other: Optional[Dict[str, Any]],
                                                    is_told: bool) -> None:
    config, logged = launch(tmp_path), []  # type: WorkerConfig, List[str]
    registry, here = Registry("exp", config.environ), Here()
    registry.reserve([0], config.to_json(), here, 0.0)
    with subprocess.Popen(python("-c", "input()"), stdin=subprocess.PIPE) as process:
        if other is not None:
            (name,) = registry.reserve([0], replace(config, **other).to_json(), here, 0.0)
            identity = here.own._replace(pid=process.pid, start_time=str(here.start_time(process.pid)))
            registry.settle_all([(name, 0, Path("/log"), identity)], 0.0)
        shared = SharedDirectory(config, logged.append)
        watches = [shared.watch(5), shared.watch(6)]
        for watch in watches:
            watch.begin()
        assert watches[0].changes() == ""
        for name in ("b", "a", "c", "d"):
            (config.directory / name).write_text("")
        notes = [watch.changes() for watch in watches]
        process.communicate(b"\n")
    note = ("files changed in %s while it ran: a, b, c and 1 more; other workers run there too; cwd=job "
            "gives each job a directory of its own" % config.directory)
    assert notes == ([note, note] if is_told else ["", ""])
    assert logged == (["job 5: %s (said once here, and in the history of each such job)" % note]
                      if is_told else [])


def test_results_are_looked_for_in_the_directory_of_the_job_alone(tmp_path: Path) -> None:
    config = launch(tmp_path)
    watch = SharedDirectory(config, print).watch(5)
    watch.begin()
    (config.directory / "sub").mkdir()
    (config.directory / "sub/result.json").write_text("{}")
    assert watch.changes() == ""
    (config.directory / "result.json").write_text("{}")
    assert watch.changes() == (
        "result.json changed in %s while it ran, and only those in the job's directory become results: "
        "cwd=job runs the script there" % config.directory)


def test_workers_of_other_hosts_share_what_is_on_the_network(tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    config = launch(tmp_path).to_json()
    elsewhere = row()._replace(host="other", pid_namespace="x", config=config, last_ping_at=1000.0)
    here = Here("gpunode")

    def found(now: float, is_network: bool) -> int:
        monkeypatch.setattr(filesystems, "is_network", lambda path: is_network)
        return len(neighbours.by_directory([elsewhere], here, now))
    assert (found(1100.0, True), found(1100.0, False), found(9000.0, True)) == (1, 0, 0)


@pytest.mark.parametrize("config", [{}, {"directory": 3, "entry_script": "/x"}, {"directory": "/x"}])
def test_launches_of_other_clients_do_not_tell(config: Dict[str, Any]) -> None:
    assert neighbours.directory_of(config) is None


WRITES = """
import argparse, time, os
parser = argparse.ArgumentParser()
parser.add_argument("--name")
open(parser.parse_args().name, "w").write(os.environ["JD_JOB_ID"])
"""


@pytest.mark.parametrize("words, noted", [
    (["num_workers=2"], True), (["num_workers=2", "cwd=job"], False), ([], False)])
def test_a_launch(tmp_path: Path, words: List[str], noted: bool) -> None:
    (tmp_path / "train.py").write_text(WRITES)
    with FakeServer(protocol.EXTENSIONS) as server:
        for number in range(1, 5):
            server.add(number, name="model.txt")
        process = subprocess.Popen(
            python("-m", "jd.cli", "expId=digits", "entry_script=train.py", "server=" + server.url,
                   "foreground=true", *words),
            cwd=str(tmp_path), env=free_env(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        server.wait_for(lambda: len(server.finished()) == 4, 60.0)
        process.terminate()
        log = process.communicate(timeout=60)[0].decode()
        messages = [result["message"] for result in server.finished()]
    told = "files changed in %s while it ran: model.txt; " % tmp_path
    assert [message.startswith(told) for message in messages] == [noted] * 4, messages
    assert noted is (told in log) and log.count(told) <= 2
