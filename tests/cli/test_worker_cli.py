"""`jd_worker_cli` up to the point where workers start."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict

import pytest

import jd
from jd import settings, settingvalues
from jd.cli import main
from jd.cli.catalog import COMMANDS
from jd.cli.commands.run import configuration
from jd.errors import StorageError, UsageError
from jd.worker.config import WorkerConfig, from_json
from tests.support import ROOT, free_env, python


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("")
    return path


def config(arguments: Dict[str, str], tmp_path: Path, **environ: str) -> WorkerConfig:
    return configuration(arguments, dict(free_env(tmp_path), **environ))


def refused(arguments: Dict[str, str], tmp_path: Path, **environ: str) -> str:
    with pytest.raises(UsageError) as caught:
        config(arguments, tmp_path, **environ)
    return str(caught.value)


def test_every_argument_arrives(script: Path, tmp_path: Path) -> None:
    made = config({
        "expId": "digits-tune", "entry_script": str(script), "server": "10.0.0.1", "port": "8000",
        "machine_type": "gpu", "process_id": "3", "num_workers": "2", "foreground": "true",
        "once": "1", "log_dir": "logs", "base_path": "never", "grace": "5", "tags": "big,a100",
        "warm": "1", "preload": "numpy,torch.nn"},
        tmp_path, JD_LOG_MAX_MB="2", JD_TAGS="small")
    assert made.experiment == "digits-tune"
    assert made.entry_script == script
    assert made.server == "http://10.0.0.1:8000"
    assert (made.machine_type, made.process_id, made.num_workers) == ("gpu", 3, 2)
    assert made.tags == ("big", "a100")
    assert (made.warm, made.preload) == (True, ("numpy", "torch.nn"))
    assert (made.once, made.base_path, made.grace) == (True, "never", 5.0)
    assert made.log_dir == Path(os.getcwd()) / "logs"
    assert made.log_max_bytes == 2_000_000
    assert made.directory == Path(os.getcwd())


def test_a_launch_survives_the_registry(script: Path, tmp_path: Path) -> None:
    made = config({"expId": "e", "entry_script": str(script), "log_dir": "logs", "once": "true",
                   "tags": "big"},
                  tmp_path, JD_API_KEY="jd_key", JD_SERVER="h", JD_SERVER_TOKEN="t", MINE="1")
    text = json.dumps(made.to_json())
    again = from_json(json.loads(text), {"PATH": "/bin", "JD_API_KEY": "another", "JD_ONCE": "0"})
    assert "MINE" not in text and "jd_key" in text
    assert "jd_key" not in repr(made)
    assert again == replace(made, environ=again.environ)
    assert again.environ["JD_API_KEY"] == "jd_key" and again.environ["JD_SERVER_TOKEN"] == "t"
    assert again.environ["PATH"] == "/bin" and "JD_ONCE" not in again.environ


def test_a_launch_of_another_client_cannot_be_repeated(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="another version"):
        from_json({"entry_script": "x.py", "server": "http://h:1"}, {})


def test_variables_that_are_paths_do_not_depend_on_the_directory(
        script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = config({"expId": "e", "entry_script": "train.py", "server": "h"}, tmp_path,
                  JD_WORKSPACE_PATH="ws", JD_SERVER_TOKEN_FILE="../t", JD_CACHE_PATH="~/c")
    assert made.environ["JD_WORKSPACE_PATH"] == str(tmp_path / "ws")
    assert made.environ["JD_SERVER_TOKEN_FILE"] == str(tmp_path / "../t")
    assert made.environ["JD_CACHE_PATH"] == "~/c"


def test_variables_stand_in_for_arguments(script: Path, tmp_path: Path) -> None:
    made = config({"machine_type": "mine"}, tmp_path, JD_EXP_ID="e", JD_ENTRY_SCRIPT=str(script),
                  JD_FOREGROUND="true", JD_MACHINE_TYPE="theirs", JD_SERVER="https://h/prefix")
    assert (made.experiment, made.machine_type) == ("e", "mine")
    assert made.server == "https://h:5000/prefix"
    assert made.log_file("w_0") == (
        tmp_path / "workspace/jd_data/e/jd_worker_logs/jd_worker_w_0.log")


@pytest.mark.parametrize("server, expected", [
    ("http://localhost", "http://localhost:5000"), ("http://h:80", "http://h:80"),
    ("https://h/a/b", "https://h:5000/a/b"), ("http://[::1]", "http://[::1]:5000"),
    ("http://[::1]:7", "http://[::1]:7"),
])
def test_port_where_the_server_has_none(server: str, expected: str) -> None:
    assert settingvalues.with_port(server, 5000) == expected


@pytest.mark.parametrize("change, words", [
    ({"expId": None}, "expId= is missing"), ({"entry_script": None}, "entry_script= is missing"),
    ({"entry_script": "gone.py"}, "cannot find"),
    ({"entry_script": "."}, "is a directory"), ({"entry_script": "/dev/null"}, "not a regular file"),
    ({"num_workers": "0"}, "num_workers=: 0 workers"), ({"grace": "-1"}, "grace=: '-1'"),
    ({"expId": "../x"}, "expId="), ({"server": "ftp://x"}, "server="),
    ({"base_path": "sometimes"}, "auto, always, never"),
    ({"preload": "numpy"}, "warm=true is not given"), ({"preload": "train.py/x", "warm": "true"}, "preload="),
])
def test_what_cannot_be_used_is_said_before_anything_starts(
        script: Path, tmp_path: Path, change: Dict[str, Any], words: str) -> None:
    arguments = {"expId": "e", "entry_script": str(script), "foreground": "true", **change}
    given = {name: value for name, value in arguments.items() if value is not None}
    assert words in refused(given, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "train.py"]


def test_a_script_that_may_not_be_read(script: Path, tmp_path: Path,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    arguments = {"expId": "e", "entry_script": str(script), "foreground": "true"}
    assert "cannot be read" in refused(arguments, tmp_path)


def test_an_api_key_is_for_the_hub_unless_a_server_is_named(script: Path, tmp_path: Path) -> None:
    arguments = {"expId": "e", "entry_script": str(script), "foreground": "true"}
    made = config(arguments, tmp_path, JD_API_KEY="jd_secret", JD_HUB_URL="http://hub:1")
    assert made.hub == "http://hub:1"
    assert made.hub_access is not None and made.hub_access.key == "jd_secret"
    assert "jd_secret" not in repr(made.hub_access)
    assert config(dict(arguments, server="h"), tmp_path, JD_API_KEY="jd_secret").hub is None
    assert config(arguments, tmp_path, JD_API_KEY="jd_secret", JD_SERVER="h").hub is None
    assert config(arguments, tmp_path).hub is None
    assert from_json(made.to_json(), {}).hub_access == made.hub_access


# ---- the commands

def run(tmp_path: Path, *words: str, **environ: Any) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(python("-m", "jd.cli", *words), capture_output=True,
                          env=free_env(tmp_path, **environ), cwd=str(tmp_path),
                          timeout=60)


def test_help_names_every_setting_and_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("help", "-h"):
        assert main.main([word], free_env(tmp_path)) == 0
        shown = capsys.readouterr().out
        for setting in settings.WORKER:
            assert (setting.name + "=" if setting.argument else setting.name) in shown
            assert setting.help.split()[0] in shown
        for command in COMMANDS:
            assert "\n  %s " % command in shown
        assert max(map(len, shown.splitlines())) <= 100


def test_version(tmp_path: Path) -> None:
    done = run(tmp_path, "version")
    assert done.returncode == 0
    assert jd.__version__.encode() in done.stdout
    assert str(tmp_path / "cache").encode() in done.stdout
    assert ("jd     self-hosted JobDistributor, %s\n" % ROOT).encode() in done.stdout
    other = tmp_path / "jd_worker-1.29.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: jd-worker\nVersion: 1.29.0\n")
    done = run(tmp_path, "version", "json=true", PYTHONPATH="%s:%s" % (tmp_path, ROOT))
    told = json.loads(done.stdout.decode())
    assert (told["product"], told["other_package"]) == ("self-hosted JobDistributor", "1.29.0")


def test_a_mistake_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = run(tmp_path, "exp_id=a")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"error: unknown argument exp_id=; did you mean expId=?\n"


def test_a_log_directory_that_cannot_be_is_status_1(script: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "expId=e", "entry_script=train.py", "foreground=true",
               "log_dir=train.py/logs")
    assert done.returncode == 1
    assert b"log_dir=" in done.stderr and str(script).encode() in done.stderr
