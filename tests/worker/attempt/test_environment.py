"""The environment of an entry script."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Optional

import pytest

from jd.auth import jwt
from jd.messages import Assignment
from jd.worker.attempt.calling import environment
from jd.worker.config import WorkerConfig, from_json
from tests.support import ROOT, free_env, python


def config(tmp_path: Path, **environ: str) -> WorkerConfig:
    return WorkerConfig("digits-tune", tmp_path / "train.py", "http://host:5000", process_id=3,
                        environ=dict(free_env(tmp_path), **environ))


def job_environment(config: WorkerConfig, *words: Any, **more: Any) -> Dict[str, str]:
    return environment.job_environment(environment.handed_on(config.environ), config, *words, **more)


def test_what_the_reference_promises(tmp_path: Path) -> None:
    environ = job_environment(config(tmp_path), Assignment(42, {"lr": "ü"}, 2), "n_egg_0",
                                     "a-token")
    root = str(tmp_path / "workspace" / "jd_data")
    expected = {
        "JD_JOB_ID": "42", "JD_EXP_ID": "digits-tune", "JD_SERVER": "http://host:5000",
        "JD_WORKER_WORKSPACE_ROOT": root, "JD_WORKER_JOB_DIR": root + "/digits-tune/42",
        "JD_WORKER_ID": "n_egg_0", "JD_WORKER_TOKEN": "a-token", "JD_JOB_ATTEMPT": "2",
        "JD_PROCESS_ID": "3", "PYTHONUNBUFFERED": "1",
        "JD_METRICS": root + "/digits-tune/.jd/42.2.reports",
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert json.loads(environ["JD_JOB_PARAMETERS"]) == {"lr": "ü"}
    assert environ["JD_JOB_PARAMETERS"].isascii()


def test_a_variable_without_a_name_keeps_no_script_from_starting(tmp_path: Path) -> None:
    odd = config(tmp_path, **{"": "odd", "MINE": "kept"})
    environ = job_environment(odd, Assignment(42, {}), "n_egg_0", None)
    assert "" not in environ and environ["MINE"] == "kept"


def test_the_script_knows_the_file_of_a_server_that_moves(tmp_path: Path) -> None:
    moving = replace(config(tmp_path), server_file=tmp_path / "server")
    environ = job_environment(moving, Assignment(42, {}), "n_egg_0", None)
    assert environ["JD_SERVER_FILE"] == str(tmp_path / "server")


def test_nothing_of_an_outer_job_is_handed_on(tmp_path: Path) -> None:
    inherited = config(tmp_path, JD_JOB_ID="1", JD_JOB_ATTEMPT="9", JD_WORKER_TOKEN="old",
                       JD_SERVER_FILE="/of/another", JD_API_KEY="jd_key", JD_METRICS="/of/another",
                       MINE="kept", PYTHONUNBUFFERED="0", JD_KILL_POINT="wholefile.before-rename")
    environ = job_environment(inherited, Assignment(42, {}), "n_egg_0", None)
    assert environ["JD_JOB_ID"] == "42"
    assert "JD_JOB_ATTEMPT" not in environ
    assert "JD_WORKER_TOKEN" not in environ
    assert "JD_SERVER_FILE" not in environ
    assert environ["JD_METRICS"].endswith("/42.0.reports")
    assert "JD_KILL_POINT" not in environ
    assert environ["JD_API_KEY"] == "jd_key"
    assert environ["MINE"] == "kept"
    assert environ["PYTHONUNBUFFERED"] == "0"


@pytest.mark.parametrize("role, asked, given", [
    (None, None, True), ("owner", None, True), ("work", None, False), ("edit", None, False),
    ("owner", False, False), ("work", True, True), (None, False, False),
])
def test_who_is_given_the_key(tmp_path: Path, role: Optional[str], asked: Optional[bool],
                              given: bool) -> None:
    claims = {"exp_id": "1"} if role is None else {"exp_id": "1", "role": role}
    launch = replace(config(tmp_path, JD_API_KEY="jd_key"), pass_api_key=asked)
    assert from_json(json.loads(json.dumps(launch.to_json())), launch.environ).pass_api_key is asked
    environ = job_environment(launch, Assignment(42, {}), "n_egg_0", jwt.sign(claims, "s" * 32),
                                     keys=["a" * 64])
    assert ("JD_API_KEY" in environ) == given
    assert environ["JD_CHECKPOINT_KEY"] == "a" * 64 and environ["JD_WORKER_TOKEN"]


def test_without_a_token_the_key_is_given(tmp_path: Path) -> None:
    launch = config(tmp_path, JD_API_KEY="jd_key")
    for token in (None, "a-token"):
        assert "JD_API_KEY" in job_environment(launch, Assignment(42, {}), "n_egg_0", token)


def test_the_package_comes_last_on_the_path() -> None:
    assert environment.with_package("", "/jd") == "/jd"
    assert environment.with_package("/mine", "/jd") == "/mine" + os.pathsep + "/jd"
    assert environment.with_package("/jd" + os.pathsep + "/mine", "/jd") == "/jd" + os.pathsep + "/mine"


def test_import_jd_works_in_the_script(tmp_path: Path) -> None:
    environ = job_environment(config(tmp_path, PYTHONPATH=""), Assignment(1, {}), "w", None)
    code = "import jd, sys; print(jd.jd_job_dir().name, jd.__file__, jd.__name__); import jd.script.upload"
    shown = subprocess.check_output(python("-c", code), env=environ, cwd=str(tmp_path)).decode().split()
    assert shown == ["1", str(ROOT / "jd" / "__init__.py"), "jd"]
