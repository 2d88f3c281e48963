"""where and show-config: paths, and no secrets."""

import json
from pathlib import Path
from typing import Dict

import pytest

from jd.cli.commands.look.show_config import HIDDEN, without_secrets
from jd.worker.config import WorkerConfig
from tests.cli.info_support import Machine

SECRET = "sekretsekretsekret"


def test_paths(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    facts = machine.facts(capsys, "expId=exp", "where")
    data = tmp_path / "workspace" / "jd_data"
    cache = tmp_path / "cache" / ".cache" / "exp"
    assert facts == {
        "experiment": "exp", "registry": str(cache / "workers.db"),
        "outbox": str(tmp_path / "home" / ".jd" / "outbox" / "exp"),
        "outbox_in_cache": str(tmp_path / "cache" / "outbox" / "exp"),
        "jd_data": str(data), "job_dirs": str(data / "exp" / "<job_id>"),
        "logs": str(data / "exp" / "jd_worker_logs"),
        "access_file": str(tmp_path / "home" / ".jd" / "servers" / "exp.json"),
        "server": {"url": "http://localhost:5000", "found_by": "the default", "file": None, "hub": None,
                   "error": None}}
    assert machine.run("expId=exp", "where") == 0
    assert capsys.readouterr().out.count("(not there yet)") == 7
    machine.enter()
    assert machine.run("expId=exp", "where") == 0
    # Nothing waits for the server, nor does one run.
    assert capsys.readouterr().out.count("(not there yet)") == 3


def test_logs_where_a_variable_puts_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path, JD_LOG_DIR="/somewhere/logs")
    assert machine.facts(capsys, "expId=exp", "where")["logs"] == "/somewhere/logs"


def test_a_launch_as_it_was_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    config = {"entry_script": "/x/train.py", "num_workers": 4, "once": False, "log_dir": None,
              "api_key": SECRET, "server": "http://u:%s@h:5000" % SECRET,
              "environ": {"JD_API_KEY": SECRET, "JD_SERVER_TOKEN": SECRET, "JD_GRACE": "20",
                          "JD_SERVER_TOKEN_FILE": "/x/file", "MY_PASSWORD": SECRET,
                          "https_proxy": "http://u:%s@p" % SECRET}}
    name = machine.enter(config=config)
    assert machine.run("expId=exp", "show-config", name) == 0
    shown = capsys.readouterr().out
    assert SECRET not in shown
    lines = dict(line.split(None, 1) for line in shown.splitlines())
    assert lines["num_workers"] == "4" and lines["once"] == "false" and lines["log_dir"] == "-"
    assert lines["environ.JD_SERVER_TOKEN"] == lines["environ.JD_API_KEY"] == HIDDEN
    assert lines["environ.JD_SERVER_TOKEN_FILE"] == "/x/file"
    assert lines["environ.JD_GRACE"] == "20" and lines["server"] == "http://***@h:5000"
    facts = machine.facts(capsys, "expId=exp", "show-config", name)
    assert SECRET not in json.dumps(facts)
    assert facts["outbox"] == lines["outbox"] == str(tmp_path / "home" / ".jd" / "outbox" / "exp")

    assert facts["num_workers"] == 4 and facts["environ"]["JD_API_KEY"] == HIDDEN

def test_where_the_results_of_a_worker_wait_is_up_to_its_launch(tmp_path: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "shared").mkdir()
    name = machine.enter(config={"environ": {"JD_ACCESS_DIR": str(tmp_path / "shared")}})
    facts = machine.facts(capsys, "expId=exp", "show-config", name)
    assert facts["outbox"] == str(tmp_path / "shared" / "outbox" / "exp")


def test_what_a_launch_stores_is_shown_without_secrets(tmp_path: Path) -> None:
    stored = WorkerConfig("exp", tmp_path / "t.py", "http://h:1",
                          environ={"JD_API_KEY": SECRET, "JD_EXP_ID": "exp"}).to_json()
    shown = without_secrets(json.loads(json.dumps(stored)))
    assert SECRET not in str(shown) and shown["environ"]["JD_EXP_ID"] == "exp"


@pytest.mark.parametrize("config", [
    {"my_token": SECRET}, {"secrets": {"a": SECRET}}, {"token": [SECRET]}, {"AWS_KEY": 123456},
    {"extra": "jd_" + SECRET}, {"args": ["--key=jd_" + SECRET]}, {"list": [{"password": SECRET}]},
    {"url": "https://%s@h/x" % SECRET},
])
def test_no_form_of_a_secret_is_shown(config: Dict[str, object]) -> None:
    shown = str(without_secrets(config))
    assert SECRET not in shown and "123456" not in shown


def test_what_is_not_set_is_not_said_to_be_set() -> None:
    assert without_secrets({"api_key": None, "JD_SERVER_TOKEN": ""}) == {
        "api_key": None, "JD_SERVER_TOKEN": ""}


def test_a_worker_of_another_client_has_no_configuration(tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine(tmp_path)
    name = machine.enter()
    machine.change("config_json", "{}")
    assert machine.run("expId=exp", "show-config", name) == 0
    assert "without a configuration" in capsys.readouterr().out
