"""`cwd=`: where scripts run, what they find there, and what is said of one that misses a file."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from jd import protocol
from jd.worker.attempt.calling import rundir
from jd.worker.attempt.files import jobdir
from jd.worker.config import CWD_JOB, CWD_LAUNCH, WorkerConfig, from_json, shared_directory
from tests.support import free_env, python
from tests.worker.fake_server import FakeServer

SCRIPT = """
import argparse, json, os, sys
import neighbour
parser = argparse.ArgumentParser()
parser.add_argument("--out", default="told.json")
parser.add_argument("--read")
args = parser.parse_args()
if args.read:
    open(args.read)
json.dump([os.getcwd(), __file__, sys.path[0], neighbour.NAME, os.environ.get("PWD"),
           os.environ["JD_JOB_PARAMETERS"]], open(args.out, "w"))
"""


def launched(tmp_path: Path, *words: str, source: str = SCRIPT, **parameters: Any) -> Dict[str, Any]:
    """The result of job 5, of a launch typed in `launch/` with a script in `code/`."""
    launch, code = tmp_path / "launch", tmp_path / "code"
    for directory in (launch, code):
        directory.mkdir()
    (code / "train.py").write_text(source)
    (code / "lib").mkdir()
    (code / "lib/neighbour.py").write_text("NAME = 'found by PYTHONPATH'\n")
    with FakeServer(protocol.EXTENSIONS) as server:
        server.add(5, **parameters)
        environ = free_env(tmp_path, PWD=str(launch))
        environ["PYTHONPATH"] = os.pathsep.join(["../code/lib", environ["PYTHONPATH"]])
        done = subprocess.run(
            python("-m", "jd.cli", "expId=digits", "entry_script=../code/train.py", "server=" + server.url,
                   "foreground=true", "once=true", *words),
            cwd=str(launch), env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
            check=False)
        results = server.finished() + server.reports()
    assert results, done.stdout.decode()
    return results[0]


@pytest.mark.parametrize("word, where", [
    (None, "launch"), ("cwd=launch", "launch"), ("cwd=job", "workspace/jd_data/digits/5"),
    ("cwd=script", "code")])
def test_where_a_script_runs(tmp_path: Path, word: Optional[str], where: str) -> None:
    result = launched(tmp_path, *([word] if word else []))
    assert result["status"] == "DONE", result
    cwd, file, first, name, pwd, _ = json.loads((tmp_path / where / "told.json").read_text())
    code = tmp_path / "code"
    assert [cwd, os.path.normpath(file), os.path.normpath(first)] == [
        str(tmp_path / where), str(code / "train.py"), str(code)]
    assert name == "found by PYTHONPATH" and pwd == cwd


def test_parameters_name_the_directory_of_the_job(tmp_path: Path) -> None:
    result = launched(tmp_path, out="{job_dir}/of-{job_id}-{attempt}-{exp_id}.json")
    assert result["status"] == "DONE", result
    path = tmp_path / "workspace/jd_data/digits/5" / "of-5-1-digits.json"
    assert json.loads(json.loads(path.read_text())[-1]) == {"out": str(path)}


def test_the_history_says_where_a_missing_file_was_looked_for(tmp_path: Path) -> None:
    result = launched(tmp_path, "cwd=job", read="data.csv")
    first, second = result["message"].splitlines()[:2]
    assert first == "exit status 1"
    assert second == ("it ran in its job's directory (cwd=job), where it looks for relative paths; with "
                      "cwd=launch it runs in %s" % (tmp_path / "launch"))
    (log,) = (tmp_path / "workspace/jd_data/digits/jd_worker_logs").glob("*.log")
    assert "job 5: " + second in log.read_text()


@pytest.mark.parametrize("cwd, tail, expected", [
    (CWD_JOB, "FileNotFoundError: [Errno 2] No such file", True),
    (CWD_JOB, "cat: data.csv: No such file or directory\n", True),
    (CWD_JOB, "ValueError: 3", False), (CWD_LAUNCH, "FileNotFoundError", False)])
def test_only_a_missing_file_in_a_jobs_directory_is_explained(cwd: str, tail: str, expected: bool) -> None:
    assert (rundir.why_failed(cwd, Path("/launch"), tail) is not None) is expected


def test_search_paths_go_on_meaning_the_launch() -> None:
    environ = {"PATH": "/bin:tools:.", "PYTHONPATH": ":lib:/", "PWD": "/a", "OLDPWD": "/b", "HOME": "x"}
    assert rundir.moved(environ, Path("/a"), Path("/a")) == environ
    assert rundir.moved(environ, Path("/a"), Path("/jobs/1")) == {
        "PATH": "/bin:/a/tools:/a/.", "PYTHONPATH": "/a:/a/lib:/", "PWD": "/jobs/1", "HOME": "x"}


def test_it_is_kept_with_the_launch(tmp_path: Path) -> None:
    made = WorkerConfig("digits", tmp_path / "code/train.py", "http://h:5000", cwd=CWD_JOB)
    stored = json.loads(json.dumps(made.to_json()))
    assert from_json(stored, {}).cwd == CWD_JOB
    del stored["cwd"]  # a version before
    assert from_json(stored, {}).cwd == CWD_LAUNCH
    assert shared_directory("script", Path("/a"), tmp_path / "code/train.py") == tmp_path / "code"


@pytest.mark.parametrize("source, kept", [
    ("", []), ("open('x.txt', 'w')", ["5"]), ("raise SystemExit(3)", []), ("import jd; jd.jd_job_dir()", [])])
def test_jobs_that_write_nothing_leave_no_directory(tmp_path: Path, source: str, kept: List[str]) -> None:
    launched(tmp_path, "cwd=job", "collect=*.json", source=source)
    experiment = tmp_path / "workspace/jd_data/digits"
    assert sorted(path.name for path in experiment.glob("[0-9]*")) == kept
    assert sorted(os.listdir(str(experiment / jobdir.MARKS))) == kept


def test_one_whose_script_cannot_start_leaves_none_either(tmp_path: Path) -> None:
    result = launched(tmp_path, source="", big="x" * 3_000_000)
    assert "too large for a command line" in result["message"]
    assert list((tmp_path / "workspace/jd_data/digits").glob("[0-9]*")) == []
