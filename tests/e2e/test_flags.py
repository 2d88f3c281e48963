"""Scripts as people have them get parameters as they expect them, as the launch or the sweep says."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.e2e.processes import Server, Worker
from tests.e2e.test_any_language import history

SWITCH = "p.add_argument('--amp', action='store_true')"
TYPE_BOOL = "p.add_argument('--amp', type=bool)"
NARGS = "p.add_argument('--layers', type=int, nargs='+')"
NUMBER = "p.add_argument('--lr', type=float, default=0.5)"


def argparse_script(tmp_path: Path, *options: str) -> Path:
    """A script that says into the job's directory what argparse has made of its arguments."""
    script = tmp_path / "train.py"
    script.write_text("import argparse, json, os\np = argparse.ArgumentParser()\n%s\n"
                      "found = vars(p.parse_args())\n"
                      "with open(os.environ['JD_WORKER_JOB_DIR'] + '/found.json', 'w') as f:\n"
                      "    json.dump(found, f)\n" % "\n".join(options))
    return script


def results(server: Server, tmp_path: Path) -> List[Any]:
    """What the jobs that are there have found, None for those that found nothing."""
    found = [tmp_path / "workspace" / "jd_data" / "exp" / str(job["id"]) / "found.json"
             for job in server.jobs()]
    return [json.loads(path.read_text()) if path.exists() else None for path in found]


def run(server: Server, tmp_path: Path, script: Path, *words: str, **environ: str) -> str:
    with Worker(tmp_path, server.url, script, "exit_when_empty=true", *words, **environ) as worker:
        return worker.finish()


@pytest.mark.parametrize("options, jobs, found", [
    ([SWITCH], [{"amp": True}, {"amp": False}], [{"amp": True}, {"amp": False}]),
    ([NARGS], [{"layers": [64, 32]}], [{"layers": [64, 32]}]),
    ([NUMBER], [{"lr": None}, {"lr": -1e-05}], [{"lr": 0.5}, {"lr": -1e-05}]),
])
def test_usual_idioms_of_argparse_get_what_the_sweep_says(
        tmp_path: Path, options: List[str], jobs: List[Dict[str, Any]], found: List[Any]) -> None:
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"jobs": jobs, "max_attempts": 1})
        run(server, tmp_path, argparse_script(tmp_path, *options), "flags=switches")
        assert server.counts() == {"DONE": len(jobs)}
        assert results(server, tmp_path) == found
        server.stop()


@pytest.mark.parametrize("option, job, given", [
    (SWITCH, {"amp": True}, "--amp true"), (SWITCH, {"amp": False}, "--amp false"),
    (NARGS, {"layers": [64, 32]}, "--layers [64, 32]"), (NUMBER, {"lr": None}, "--lr null")])
def test_the_history_of_a_script_that_refused_them_says_what_to_try(
        tmp_path: Path, option: str, job: Dict[str, Any], given: str) -> None:
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"jobs": [job]})
        run(server, tmp_path, argparse_script(tmp_path, option))
        assert server.counts() == {"ABORTED": 1}
        assert "it was given %s: flags=switches" % given in history(server)
        server.stop()


def test_the_history_of_a_script_that_took_false_for_true_says_so(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"jobs": [{"amp": False}, {"amp": True}]})
        run(server, tmp_path, argparse_script(tmp_path, TYPE_BOOL))
        assert server.counts() == {"DONE": 2}
        assert "type=bool for --amp, which takes every text for true, false too" in history(server)
        assert "type=bool" not in history(server, 1)
        server.stop()


SHOWS = """#!/bin/sh
{ for word in "$@"; do printf '%s\\n' "$word"; done
  env | grep '^JD_PARAM_' | sort
  echo "$JD_JOB_PARAMETERS"; } > "$JD_WORKER_JOB_DIR/shown"
"""


def shown(tmp_path: Path, job: int) -> List[str]:
    return (tmp_path / "workspace" / "jd_data" / "exp" / str(job) / "shown").read_text().splitlines()


def test_a_sweep_says_how_its_script_gets_parameters_and_else_the_launch(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(SHOWS)
    parameters = {"amp": True, "layers": [1, 2]}
    expected = {
        "json": ["--amp", "true", "--layers", "[1, 2]"], "switches": ["--amp", "--layers", "1", "2"],
        "python": ["--amp", "True", "--layers", "[1, 2]"], "hydra": ["amp=true", "layers=[1,2]"],
        "env": ["JD_PARAM_AMP=true", "JD_PARAM_LAYERS=[1, 2]"], "none": []}
    with Server(tmp_path) as server:
        for style in expected:
            server.call("/api/jobs/create", {"jobs": [parameters], "flags": style})
        server.call("/api/jobs/create", {"jobs": [parameters]})
        run(server, tmp_path, script, "flags=env", JD_PARAM_OLD="of another job")
        assert server.counts() == {"DONE": 7}
        told = json.dumps(parameters)
        for job, style in enumerate([*expected, "env"], 1):
            assert shown(tmp_path, job) == [*expected[style], told]
        answer = server.call("/api/jobs/create", {"jobs": [parameters], "flags": "yaml"})
        assert answer[0] == 400 and "flags must be one of json, switches" in answer[1]["error"]
        server.stop()


def test_a_jobs_file_says_it_too(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(SHOWS)
    jobs = tmp_path / "jobs.json"
    jobs.write_text(json.dumps({"parameters": {"amp": [True, False]}, "flags": "switches"}))
    with Server(tmp_path, "--jobs", jobs) as server:
        run(server, tmp_path, script)
        assert [shown(tmp_path, job)[:-1] for job in (1, 2)] == [["--amp"], []]
        server.stop()


def test_parameters_that_cannot_be_given_so_are_a_failure_that_says_why(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text(SHOWS)
    with Server(tmp_path) as server:
        server.call("/api/jobs/create", {"jobs": [{"a-b": 1, "a.b": 2}], "flags": "env", "max_attempts": 1})
        run(server, tmp_path, script)
        assert "parameters a-b and a.b would both be JD_PARAM_A_B" in history(server)
        server.stop()


@pytest.mark.parametrize("words, said", [
    (["flags=yaml"], "one of json, switches, python, hydra, env, none"),
    (["flags=hydra", "base_path=always"], "base_path=always"),
])
def test_a_launch_that_makes_no_sense_is_refused(tmp_path: Path, words: List[str], said: str) -> None:
    with Worker(tmp_path, "http://127.0.0.1:9", argparse_script(tmp_path, SWITCH), *words) as worker:
        worker.finish()
        assert worker.popen.returncode == 2 and said in worker.errors and worker.errors.count("\n") == 1
