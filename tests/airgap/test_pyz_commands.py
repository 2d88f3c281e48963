"""Every command out of one file: pages, background workers, and what starts itself again."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence
from urllib.request import ProxyHandler, build_opener

import pytest

import jd
from jd.dist.metadata import load_project
from jd.dist.pyz import build_pyz
from tests.e2e.node import Node, is_running
from tests.e2e.processes import EXPERIMENT, Process, Server
from tests.support import ROOT, free_env, python, wait_until

pytestmark = pytest.mark.slow  # the modules of a .pyz are compiled anew by each command

SCRIPT = """
import argparse, os, sys, jd
print("jd from", jd.__file__)
with open(jd.jd_job_dir() / "made", "w") as made:
    made.write("by " + jd.__version__)
jd.jd_upload(jd.jd_job_dir() / "made")
"""


class PyzNode(Node):
    """A machine where `jd-worker.pyz` is all there is of JobDistributor. It is typed as `./<name>`."""

    name = "jd-worker.pyz"

    def __init__(self, directory: Path, server: str = "127.0.0.1:9", **environ: Any) -> None:
        super().__init__(directory, server, **dict({"PYTHONPATH": None}, **environ))

    def __enter__(self) -> "PyzNode":
        return self

    def cli(self, *words: Any, typed: str = "", status: Optional[int] = 0, cwd: Optional[Path] = None,
            inherited: Sequence[int] = (), **environ: Any) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            python("./" + self.name, *words), input=typed, capture_output=True, text=True, timeout=60,
            cwd=str(self.directory),
            env=dict(self.environ, **{name: str(value) for name, value in environ.items()}))
        self.rows()
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_pyz(load_project(ROOT), tmp_path_factory.mktemp("pyz"))


@pytest.fixture
def place(pyz: Path, tmp_path: Path) -> Path:
    """A directory with the file and a script, under a path with a space."""
    place = tmp_path / "a place"
    place.mkdir()
    shutil.copy(str(pyz), str(place))
    (place / "train.py").write_text(SCRIPT)
    return place


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as server:
        yield server
        server.stop()


def test_each_command_and_its_exit_status(place: Path) -> None:
    with PyzNode(place) as node:
        assert node.cli("version").stdout.startswith("jd_worker_cli %s\n" % jd.__version__)
        assert node.cli("server", "--version").stdout == "jd_server %s\n" % jd.__version__
        assert node.cli("hub", "--version").stdout == "jd_hub %s\n" % jd.__version__
        assert node.cli("nonsense", status=2).stderr.count("\n") == 1
        assert "--expId NAME is missing" in node.cli("server", status=2).stderr
        assert node.cli("hub", "nonsense", status=2).stderr.startswith("error: ")
        node.cli("health", "server=http://127.0.0.1:9", status=1)
        assert "jd from" not in node.cli("help").stdout
        found = node.cli("doctor", "json=true", status=None).stdout
        assert "scripts can import jd" in found and str(place / "jd-worker.pyz") in found


def _get(url: str) -> bytes:
    with build_opener(ProxyHandler({})).open(url, timeout=60) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("role, url", [("server", "dashboard_url"), ("hub", "hub_url")])
def test_pages_come_out_of_the_file(place: Path, role: str, url: str) -> None:
    with Process(python(place / "jd-worker.pyz", "server", "--expId", "exp", "--port", 0, "--dashboard-port",
                        0, "--with-hub", "--hub-port", 0, "--hub-data", place / "hub", "--workspace_path",
                        place / "server", "--json"),
                 free_env(place, PYTHONPATH=None), place / "server.err") as process:
        line = process.stdout.readline()
        assert line, process.errors
        base = json.loads(line)[url]
        assert b"<html" in _get(base + "/")
        web = sorted((path, path.relative_to(ROOT / directory).as_posix())
                     for directory in ("jd/web", "jd/%s/web" % role)
                     for path in (ROOT / directory).rglob("*.*") if path.suffix in (".js", ".css", ".svg"))
        assert len(web) > 5
        for path, name in web:
            assert _get("%s/static/%s" % (base, name)) == path.read_bytes()
        assert process.stop() == 0


def test_the_hub_alone(place: Path) -> None:
    with Process(python("./jd-worker.pyz", "hub", "serve", "--port", 0, "--data", place / "hub", "--json"),
                 free_env(place, PYTHONPATH=None), place / "hub.err", place) as process:
        line = process.stdout.readline()
        assert line, process.errors
        assert b"<html" in _get(json.loads(line)["hub_url"] + "/")
        assert process.stop() == 0


def test_background_workers_restart_and_scale(place: Path, server: Server) -> None:
    with PyzNode(place, server.url) as node:
        said = node.exp("entry_script=train.py", "server=" + server.url, "num_workers=2").stdout
        assert "./jd-worker.pyz expId=%s stop all" % EXPERIMENT in said
        first = [row.pid for row in node.rows()]
        server.call("/api/jobs/create", {"parameters": {"x": [1, 2, 3]}})
        server.until(DONE=3)
        made = sorted((server.workspace / EXPERIMENT / "data").glob("*/made"))
        assert [path.read_text() for path in made] == ["by " + jd.__version__] * 3
        log = "".join(node.log(row.worker_id) for row in node.rows())
        assert log.count("jd from %s" % (place / "jd-worker.pyz" / "jd" / "__init__.py")) == 3
        node.exp("restart", "all")
        again = [row.pid for row in node.rows()]
        assert len(again) == 2 and not set(first) & set(again)
        node.exp("scale", "num_workers=3")
        server.call("/api/jobs/create", {"parameters": {"x": [4, 5]}})
        server.until(DONE=5)
        node.exp("stop", "all")
        assert node.rows() == [] and not [pid for pid in again if is_running(pid)]


def test_a_worker_stays_with_the_file_that_its_link_led_to(place: Path, server: Server) -> None:
    os.rename(str(place / "jd-worker.pyz"), str(place / "old.pyz"))
    (place / "link").symlink_to("old.pyz")
    with PyzNode(place, server.url) as node:
        node.name = "link"
        node.exp("entry_script=train.py", "server=" + server.url)
        (place / "link").unlink()
        (place / "link").symlink_to("nowhere.pyz")
        server.call("/api/jobs/create", {"parameters": {"x": [1]}})
        server.until(DONE=1)
        node.name = "old.pyz"
        node.exp("stop", "all")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_key_leaves_the_command_line(place: Path, server: Server) -> None:
    with Process(python("-X", "utf8", "./jd-worker.pyz", "expId=exp", "entry_script=train.py",
                        "server=" + server.url, "foreground=true", "api_key=jd_secret"),
                 free_env(place, PYTHONPATH=None), place / "worker.err", place) as worker:
        def words() -> List[str]:
            line = Path("/proc/%d/cmdline" % worker.popen.pid).read_bytes().decode()
            return line.split("\0")[1:-1]

        def without_key() -> bool:
            return "./jd-worker.pyz" in words() and not [w for w in words() if "jd_secret" in w]
        wait_until(without_key, message="the key is gone from ps")
        assert words()[:4] == ["-X", "utf8", "./jd-worker.pyz", "expId=exp"]
        server.call("/api/jobs/create", {"parameters": {"x": [1]}})
        server.until(DONE=1)
        worker.stop()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_the_name_of_the_file(place: Path) -> None:
    code = ("source <(./jd-worker.pyz completion bash) || exit; complete -p jd-worker.pyz\n"
            "COMP_WORDS=(./jd-worker.pyz worker-lo); COMP_CWORD=1; COMP_LINE='./jd-worker.pyz worker-lo'\n"
            "_jd_worker_cli; echo \"$COMPREPLY\"\n")
    done = subprocess.run(["bash", "-c", code], cwd=str(place), stdout=subprocess.PIPE, check=True,
                          timeout=60, env=free_env(place, PYTHONPATH=None))
    assert re.match(r"complete .*-F _jd_worker_cli jd-worker.pyz\nworker-logs *\n$", done.stdout.decode())
