"""`jd_worker_cli doctor` itself, against a real server and against none."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jd.worker.local.registry import Registry
from tests.cli.info_support import other_host
from tests.cli.test_doctor_server import closed_port
from tests.e2e.processes import EXPERIMENT, Server
from tests.support import free_env, python

TOKEN = "a-token-nobody-may-see"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("doctor")
    (directory / "token").write_text(TOKEN)
    with Server(directory, "--token-file", directory / "token") as running:
        yield running


def doctor(tmp_path: Path, *words: str, **environ: Any) -> "subprocess.CompletedProcess[bytes]":
    done = subprocess.run(python("-m", "jd.cli", "doctor", *words), capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=60,
                          env=free_env(tmp_path, **environ), cwd=str(tmp_path))
    assert done.stderr == b""
    assert [path.name for path in tmp_path.iterdir()] == ["home"], "it leaves something behind"
    return done


def findings(done: "subprocess.CompletedProcess[bytes]", topic: str) -> List[Dict[str, str]]:
    told = json.loads(done.stdout.decode())
    return [finding for finding in told["findings"] if finding["topic"] == topic]


def grave(done: "subprocess.CompletedProcess[bytes]", topic: str) -> str:
    """The one problem of a topic; the exit status and `worst` say so too."""
    assert done.returncode == 1 and json.loads(done.stdout.decode())["worst"] == "problem"
    finding, = [f for f in findings(done, topic) if f["level"] == "problem"]
    return finding["what"]


def test_the_page_of_a_node_that_is_well(server: Server, tmp_path: Path) -> None:
    done = doctor(tmp_path, "expId=" + EXPERIMENT, "server=" + server.url, JD_SERVER_TOKEN=TOKEN)
    page = done.stdout.decode()
    assert done.returncode == 0, page
    assert "problem" not in page and "\033" not in page and TOKEN not in page
    for topic in ("Python", "Settings", "This node", "Scheduler", "GPUs", "Storage", "Server", "Hub",
                  "Workers here"):
        assert page.count("\n%s\n" % topic) == 1
    for words in ("experiment 'exp'", "the token is accepted", "clock agrees", "cache: locks work",
                  "logs %s" % (tmp_path / "workspace/jd_data/exp/jd_worker_logs")):
        assert words in " ".join(page.split())
    assert page.splitlines()[-1].endswith(" ok")


def test_a_wrong_token(server: Server, tmp_path: Path) -> None:
    done = doctor(tmp_path, "server=" + server.url, "json=true", JD_SERVER_TOKEN="x" * 20)
    assert grave(done, "Server") == "the token is not accepted"
    assert len(findings(done, "Server")) == 5


def test_a_closed_port(tmp_path: Path) -> None:
    port = closed_port()
    done = doctor(tmp_path, "json=true", "server=127.0.0.1", "port=%d" % port)
    assert grave(done, "Server") == "no connection to 127.0.0.1:%d: the connection was refused" % port


def test_an_unknown_host_name(tmp_path: Path) -> None:
    done = doctor(tmp_path, "json=true", "server=no-such-host.invalid")
    assert "no-such-host.invalid" in grave(done, "Server")


def test_without_a_server_nothing_is_a_problem(tmp_path: Path) -> None:
    done = doctor(tmp_path)
    assert done.returncode == 0 and b"no server is named" in done.stdout


def test_a_port_is_a_server_that_is_named(tmp_path: Path) -> None:
    port = closed_port()
    done = doctor(tmp_path, "json=true", JD_PORT=port)
    assert "no connection to localhost:%d" % port in grave(done, "Server")
    assert findings(done, "Server")[0]["what"] == "server http://localhost:%d, found by JD_PORT" % port


def test_variables_that_cannot_be_used_do_not_stop_the_rest(tmp_path: Path) -> None:
    done = doctor(tmp_path, "json=true", JD_PORT="many", JD_EXP_ID="../x", JD_LOG_DIR="~nobody-here/x")
    told = [f["what"] for f in findings(done, "Settings") if f["level"] == "problem"]
    assert done.returncode == 1
    assert [what.partition(":")[0] for what in told] == ["JD_EXP_ID", "JD_LOG_DIR", "JD_PORT"]
    assert findings(done, "Workers here") != []


def test_the_server_of_a_registered_worker_is_the_one_meant(server: Server, tmp_path: Path) -> None:
    environ = free_env(tmp_path)
    registry = Registry(EXPERIMENT, environ)
    registry.reserve([0], {"server": server.url}, other_host("elsewhere"), 1000.0)
    done = subprocess.run(python("-m", "jd.cli", "doctor", "expId=exp", "json=true"), env=environ,
                          stdout=subprocess.PIPE, timeout=60, cwd=str(tmp_path))
    assert findings(done, "Server")[0] == {"level": "ok", "topic": "Server", "advice": "",
                                           "what": "server %s, found by a running worker" % server.url}
    assert "1 worker of elsewhere" in findings(done, "Workers here")[0]["what"]
    assert len(registry.rows()) == 1


def test_without_a_home_directory_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    script = ("import os, pwd, sys\n"
              "def unknown(uid): raise KeyError(uid)\n"
              "pwd.getpwuid = unknown\n"
              "from jd.cli import main\n"
              "sys.exit(main.main(['doctor', 'expId=exp', 'json=true']))")
    environ = free_env(tmp_path, HOME=None, JD_WORKSPACE_PATH=None, JD_CACHE_PATH=None)
    done = subprocess.run(python("-c", script), env=environ, stdout=subprocess.PIPE, timeout=60)
    for topic, count in (("This node", 1), ("Storage", 3)):
        problems = [f for f in findings(done, topic) if f["level"] == "problem"]
        assert len(problems) == count and all("set HOME" in f["advice"] for f in problems)
    assert "could not be looked at" not in done.stdout.decode()
    assert "there is no home directory to look for its access file in; this is about the default" in findings(
        done, "Server")[0]["what"]
    assert findings(done, "Workers here") == []


def test_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run(python("-m", "jd.cli", "doctor", "now"), capture_output=True,
                          timeout=60, env=free_env(tmp_path))
    assert (done.returncode, done.stdout) == (2, b"") and done.stderr.startswith(b"error: ")
