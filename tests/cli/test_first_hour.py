"""What people meet in their first hour: a launch that cannot work is refused with what to do."""

import os
from pathlib import Path
from typing import List
from urllib.request import ProxyHandler, build_opener

import pytest

from jd import settings
from jd.cli import main
from jd.cli.commands import run
from jd.cli.commands.run import configuration
from jd.cli.launching import entrysyntax
from jd.errors import ServerUnreachable, StorageError, UsageError
from tests.e2e.node import Node
from tests.e2e.processes import Server
from tests.support import free_env


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("print(1)\n")
    return path


@pytest.mark.parametrize("source, says", [
    ("x = 1\nif x\n    pass\n", "line 2"), ("def f():\nreturn 1\n", "line 2"), ("print 1\n", "line 1"),
    ("# coding: no-such-coding\n", "no-such-coding")])
def test_a_script_that_python_cannot_read(tmp_path: Path, script: Path, source: str, says: str) -> None:
    script.write_text(source)
    with pytest.raises(UsageError) as refused:
        configuration({"expId": "exp", "entry_script": str(script)}, free_env(tmp_path))
    assert str(script) in str(refused.value) and says in str(refused.value)


@pytest.mark.parametrize("source", ["'\\d'\n", "assert (1, 'always true')\n", "raise SystemExit\n", ""])
def test_a_script_that_python_can_read(script: Path, source: str) -> None:
    script.write_text(source)
    entrysyntax.check(script)


def test_no_worker_at_all(tmp_path: Path, script: Path) -> None:
    with pytest.raises(UsageError, match="give a whole number from 1 to 4096"):
        configuration({"expId": "exp", "entry_script": str(script), "num_workers": "0"}, free_env(tmp_path))


@pytest.mark.parametrize("server, url", [
    ("::1", "http://[::1]:5000"), ("fe80::1", "http://[fe80::1]:5000"), ("[::1]:7", "http://[::1]:7"),
    ("2001:db8::7", "http://[2001:db8::7]:5000")])
def test_a_bare_ipv6_address(tmp_path: Path, script: Path, server: str, url: str) -> None:
    assert configuration({"expId": "exp", "entry_script": str(script), "server": server},
                         free_env(tmp_path)).server == url


@pytest.mark.parametrize("server", ["1:2:3", "a:b:c", ":::1"])
def test_no_ipv6_address(tmp_path: Path, script: Path, server: str) -> None:
    with pytest.raises(UsageError, match="give a host name or URL"):
        configuration({"expId": "exp", "entry_script": str(script), "server": server}, free_env(tmp_path))


@pytest.mark.parametrize("table, variable", [
    (settings.WORKER, "JD_PORT"), (settings.SERVER, "JD_SERVER_PORT"), (settings.HUB, "JD_HUB_PORT")])
@pytest.mark.parametrize("value", ["tcp://10.0.0.7:5000", "udp://[fd00::7]:53"])
def test_what_kubernetes_makes_for_a_service(table: List[settings.Setting], variable: str,
                                             value: str) -> None:
    environ = {variable: value}
    assert settings.value_of(table, "port", environ) == settings.value_of(table, "port", {})
    (told,) = settings.service_links(table, environ)
    assert variable in told and value in told and "enableServiceLinks: false" in told


@pytest.mark.parametrize("value", ["tcp://name", "http://10.0.0.7:5000", "x", "70000"])
def test_what_is_no_service_is_refused(value: str) -> None:
    assert settings.service_links(settings.WORKER, {"JD_PORT": value}) == []
    with pytest.raises(UsageError, match="JD_PORT"):
        settings.value_of(settings.WORKER, "port", {"JD_PORT": value})


@pytest.mark.parametrize("locked, says", [("data", "JD_WORKSPACE_PATH"), ("logs", "log_dir=")])
def test_a_place_where_nothing_can_be_written(tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch,
                                              locked: str, says: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "logs").mkdir()
    config = configuration(
        {"expId": "exp", "entry_script": str(script), "log_dir": str(tmp_path / "logs" / "deep")},
        dict(free_env(tmp_path), JD_WORKSPACE_PATH=str(tmp_path / "data")))
    config.check_places()
    # To root the mode of a directory is nothing; a file system that is mounted read-only looks like this.
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: (
        not str(path).endswith("/" + locked) and may(path, mode)))
    with pytest.raises(StorageError) as refused:
        config.check_places()
    assert str(tmp_path / locked) in str(refused.value) and says in str(refused.value)


def test_the_port_of_the_workers_in_a_browser(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        with build_opener(ProxyHandler({})).open(server.url + "/", timeout=60) as answer:
            told = answer.read().decode()
        assert server.ready["dashboard_url"] in told and "experiment exp" in told
        server.stop()


def test_scaled_to_nothing(tmp_path: Path, script: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        assert node.exp("scale", "num_workers=0").stdout == "0 workers of exp already: nothing to do\n"
        node.start(script, "num_workers=2")
        node.exp("scale", "num_workers=0")
        assert node.rows() == []
        server.stop()


def test_health_of_a_server_without_jobs(tmp_path: Path) -> None:
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        assert "none yet: jd_server --jobs FILE" in node.exp("health").stdout
        server.stop()


def test_a_launch_that_meets_no_server_takes_no_snapshot(tmp_path: Path, script: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_config: object) -> None:
        raise ServerUnreachable("nobody answers")

    monkeypatch.setattr(run, "wait_for_answer", nobody)
    environ = free_env(tmp_path, JD_SERVER="http://127.0.0.1:9")
    with pytest.raises(ServerUnreachable):
        main.main(["expId=exp", "entry_script=%s" % script, "snapshot=true"], environ)
    assert list(tmp_path.rglob("snapshots")) == []
