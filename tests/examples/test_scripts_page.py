"""docs/scripts.md: scripts that know nothing of jd, run as that page says."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from jd.worker.attempt.reports import reportline
from tests.e2e.processes import Server, Worker
from tests.support import ROOT, free_env, python

PAGE = (ROOT / "docs" / "scripts.md").read_text(encoding="utf-8")


def block(kind: str, containing: str) -> str:
    """The example of the page that has this in it."""
    found = [text for text in re.findall(r"```%s\n(.*?)```" % kind, PAGE, re.DOTALL) if containing in text]
    assert len(found) == 1, found
    return str(found[0])


def settings_of(script: str) -> List[str]:
    """The words that the page writes after the entry script."""
    line = re.search(r"entry_script=%s (.+)" % re.escape(script), PAGE)
    assert line is not None, script
    return [word.strip("'") for word in line.group(1).split()]


def swept(tmp_path: Path, parameters: Dict[str, Any], script: Path, words: List[str]) -> List[Dict[str, Any]]:
    """The jobs of a sweep of this script, which a worker has run in that directory."""
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"parameters": parameters})
        with Worker(tmp_path, server.url, script, "exit_when_empty=true", *words) as worker:
            assert worker.popen.wait(60) == 0, worker.errors
        jobs = sorted(server.jobs(), key=lambda job: int(job["id"]))
        server.stop()
    assert [job["status"] for job in jobs] == ["DONE"] * len(jobs), jobs
    return jobs


def results(tmp_path: Path, job: Dict[str, Any]) -> Any:
    return json.loads((tmp_path / "server" / "exp" / "data" / str(job["id"]) / "result.json").read_text())


def test_argparse(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import argparse\n" + block("python", "# train.py").replace(
        "...\n", "accuracy = args.lr + args.amp + sum(args.layers)\n"))
    jobs = swept(tmp_path, {"lr": [0.5], "amp": [True, False], "layers": [[64, 32]]}, script,
                 settings_of("train.py"))
    assert [results(tmp_path, job) for job in jobs] == [{"accuracy": 97.5}, {"accuracy": 96.5}]


def test_a_wrapper_that_writes_an_input_file(tmp_path: Path) -> None:
    solver = tmp_path / "solve"
    solver.write_text("#!/bin/sh\nsed 's/&run *//; s/ *, */\\n/g; s# */$##' \"$1\" | sed 's/ *= */=/'\n")
    solver.chmod(0o755)
    script = tmp_path / "run.sh"
    script.write_text(block("sh", "run.nml").replace("/opt/solver/bin/solve", str(solver)))
    (job,) = swept(tmp_path, {"dt": [0.25], "steps": [100]}, script, settings_of("run.sh"))
    assert results(tmp_path, job) == {"dt": 0.25, "steps": 100}


def test_a_compiled_program(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler in PATH")
    source = tmp_path / "simulate.c"
    source.write_text("#include <stdio.h>\n#include <stdlib.h>\nint main(void) {\n%sreturn 0; }\n"
                      % block("c", "JD_PARAM_X"))
    subprocess.run([compiler, "-o", str(tmp_path / "simulate"), str(source)], check=True)
    jobs = swept(tmp_path, {"x": [1, 2.5]}, tmp_path / "simulate", settings_of("./simulate"))
    assert [results(tmp_path, job) for job in jobs] == [{"energy": 1}, {"energy": 6.25}]


def reported(tmp_path: Path, *command: str) -> List[Dict[str, Any]]:
    """The reports of a program, as its worker finds them."""
    path = tmp_path / "reports"
    env = dict(free_env(tmp_path), JD_METRICS=str(path), JD_WORKER_JOB_DIR=str(tmp_path))
    subprocess.run(command, check=True, env=env, cwd=str(tmp_path), timeout=60)
    lines = [reportline.read(line) for line in path.read_bytes().splitlines()]
    return [json.loads(line.told) for line in lines if line is not None]


def test_curves_in_python_and_shell(tmp_path: Path) -> None:
    script = tmp_path / "curve.sh"
    script.write_text(block("sh", "JD_METRICS"))
    assert reported(tmp_path, "sh", str(script)) == [
        {"step": step, "residual": step / 10} for step in range(1, 5)]
    (tmp_path / "reports").unlink()
    assert reported(tmp_path, *python("-c", block("python", "jd_report"))) == [
        {"step": step, "loss": 1.0 / (step + 1)} for step in range(10)]


def test_curves_in_a_compiled_program(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler in PATH")
    source = tmp_path / "curve.c"
    source.write_text("#include <stdio.h>\n#include <stdlib.h>\nint main(void) {\n%sreturn 0; }\n"
                      % block("c", "JD_METRICS"))
    subprocess.run([compiler, "-o", str(tmp_path / "curve"), str(source)], check=True)
    assert reported(tmp_path, str(tmp_path / "curve")) == [
        {"step": step, "energy": step / 2} for step in range(3)]
