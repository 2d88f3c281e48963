"""What can be an entry script, which Python runs it, and the words that it gets."""

import json
import os
import shutil
import sys
import venv
from pathlib import Path
from typing import Dict, List

import pytest

from tests.e2e.node import Node
from tests.e2e.processes import Server, Worker

pytestmark = pytest.mark.slow

SAYS = """import json, os, sys
with open(os.environ["JD_WORKER_JOB_DIR"] + "/said.json", "w") as file:
    json.dump({"net": Net, "args": sys.argv[1:], "cwd": os.getcwd(), "prefix": sys.prefix,
               "name": __name__}, file)
"""


def write(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return path


def package(tmp_path: Path, imports: str, name: str = "pkg/train.py") -> Path:
    """A script in a package, which says into its job's directory what it has found."""
    write(tmp_path / "pkg" / "__init__.py", "")
    write(tmp_path / "pkg" / "model.py", "Net = 'of the package'\n")
    return write(tmp_path / name, imports + "\n" + SAYS)


def said(tmp_path: Path, job: int = 1) -> Dict[str, object]:
    path = tmp_path / "workspace" / "jd_data" / "exp" / str(job) / "said.json"
    found = json.loads(path.read_text())
    assert isinstance(found, dict)
    return found


def run(tmp_path: Path, entry: str, *words: str) -> str:
    """One job, whose launch is typed in tmp_path; it has to be done. What the worker printed."""
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, Path(entry), "once=true", *words) as worker:
            shown = worker.finish()
        assert server.counts() == {"DONE": 1}, shown
        server.stop()
    return shown


@pytest.mark.parametrize("imports, name, entry", [
    ("from .model import Net", "pkg/train.py", "-m pkg.train"),
    ("from .model import Net", "pkg/__main__.py", "-m pkg"),
    ("from .model import Net", "pkg/train.py", "pkg/train.py"),
    ("from .model import Net", "pkg/__main__.py", "pkg"),
    ("from pkg.model import Net", "pkg/train.py", "pkg/train.py"),
    ("from model import Net", "pkg/train.py", "pkg/train.py"),
    ("from model import Net", "pkg/__main__.py", "pkg/"),
    ("from model import Net\nimport pkg", "pkg/train.py", "pkg/train.py"),
])
@pytest.mark.parametrize("cwd", ["launch", "job"])
def test_modules_and_scripts_in_packages(tmp_path: Path, imports: str, name: str, entry: str,
                                         cwd: str) -> None:
    package(tmp_path, imports, name)
    run(tmp_path, entry, "cwd=" + cwd)
    found = said(tmp_path)
    assert (found["net"], found["args"], found["name"]) == ("of the package", ["--x", "0"], "__main__")
    job_dir = tmp_path / "workspace" / "jd_data" / "exp" / "1"
    assert found["cwd"] == str(tmp_path if cwd == "launch" else job_dir)


@pytest.mark.parametrize("entry, words, message", [
    ("-m pkg.nothing", [], "finds no module pkg.nothing in"),
    ("-m nothing.at.all", [], "start in the directory that has nothing in it"),
    ("-m pkg", [], "the package pkg has no __main__.py, so -m cannot run it"),
    ("-m sys", [], "has no file that could be run"),
    ("-m pkg.train --lr 1", [], "its arguments are args="),
    ("-m pkg/train.py", [], "the name of one module"),
    ("pkg.train", [], 'for a module give entry_script="-m pkg.train"'),
    ("python train.py --lr 1", [], 'give entry_script=train.py; words for it are args="…"'),
    ("pkg", [], "is a directory without a __main__.py"),
    ("train.py", ["python=nothing-of-this-name"], "no program called nothing-of-this-name is in PATH"),
    ("train.py", ["python=train.py"], "no program called train.py is in PATH; give python=/"),
    ("train.py", ["python=./gone"], "gone does not exist"),
    ("train.py", ["python=./"], "is a directory; give the path of a Python"),
    ("train.py", ["python=./train.py"], "train.py cannot be executed"),
    ("train.py", ["python=/bin/true"], "/bin/true is no Python that runs"),
    ("run.sh", ["python=" + sys.executable], "run.sh is no .py file, so its first line says what runs it"),
    ("bad.py", ["python=" + sys.executable], "bad.py, line 1: "),
    ("train.py", ["args='open"], "words quoted as in a shell"),
])
def test_what_cannot_be_run_is_refused_at_launch(tmp_path: Path, entry: str, words: List[str],
                                                 message: str) -> None:
    package(tmp_path, "")
    write(tmp_path / "train.py", "print(1)\n")
    write(tmp_path / "bad.py", "print(\n")
    write(tmp_path / "run.sh", "#!/bin/sh\n")
    with Worker(tmp_path, "127.0.0.1:9", Path(entry), *words) as worker:
        worker.finish()
        assert message in worker.errors and worker.errors.count("\n") == 1
        assert worker.popen.returncode == 2


def test_another_python_has_its_own_packages_and_the_jd_of_the_worker(tmp_path: Path) -> None:
    venv.create(str(tmp_path / "env"), with_pip=False, symlinks=True)
    site, = (tmp_path / "env").glob("lib/python*/site-packages")
    write(site / "only_here.py", "Net = 'of the environment'\n")
    write(tmp_path / "train.py", "from only_here import Net\nimport jd\njd.jd_job_dir()\n" + SAYS)
    shown = run(tmp_path, "train.py", "python=env/bin/python")
    assert said(tmp_path)["prefix"] == str(tmp_path / "env")
    assert "scripts run with Python %d.%d.%d, %s" % (
        *sys.version_info[:3], tmp_path / "env" / "bin" / "python") in shown


def test_a_module_of_another_python(tmp_path: Path) -> None:
    venv.create(str(tmp_path / "env"), with_pip=False, symlinks=True)
    site, = (tmp_path / "env").glob("lib/python*/site-packages")
    write(site / "tool" / "__init__.py", "")
    write(site / "tool" / "run.py", "Net = 'of the environment'\n" + SAYS)
    shown = run(tmp_path, "-m tool.run", "python=env/bin/python")
    assert said(tmp_path)["prefix"] == str(tmp_path / "env")
    assert "script -m tool.run (%s)" % (site / "tool" / "run.py") in shown


def test_words_that_every_script_gets_come_before_its_parameters(tmp_path: Path) -> None:
    write(tmp_path / "train.py", "Net = ''\n" + SAYS)
    run(tmp_path, "train.py", "args=--data 'my data' --out {job_dir}/model-{attempt}.txt ''", "flags=hydra")
    job_dir = tmp_path / "workspace" / "jd_data" / "exp" / "1"
    assert said(tmp_path)["args"] == ["--data", "my data", "--out", "%s/model-1.txt" % job_dir, "", "x=0"]


def test_a_launch_by_variables(tmp_path: Path) -> None:
    package(tmp_path, "from .model import Net")
    environ = {"JD_ARGS": "--fast", "JD_FLAGS": "none", "JD_PYTHON": os.path.basename(sys.executable),
               "JD_ENTRY_SCRIPT": "-m pkg.train"}
    with Server(tmp_path) as server:
        server.create()
        with Worker(tmp_path, server.url, Path("-m pkg.train"), "once=true", **environ) as worker:
            worker.finish()
        assert server.counts() == {"DONE": 1} and said(tmp_path)["args"] == ["--fast"]
        server.stop()


def test_restart_scale_and_show_config_keep_what_is_run(tmp_path: Path) -> None:
    package(tmp_path, "from .model import Net")
    venv.create(str(tmp_path / "env"), with_pip=False, symlinks=True)
    (tmp_path / "elsewhere").mkdir()
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        node.start(Path("-m pkg.train"), "python=env/bin/python", "args=--fast 'a b'", "flags=hydra",
                   "memory=1.5G")
        node.exp("restart", "all", cwd=tmp_path / "elsewhere")
        node.exp("scale", "num_workers=2", cwd=tmp_path / "elsewhere")
        rows = node.rows()
        shown = [json.loads(node.exp("show-config", row.worker_id, "json=true").stdout) for row in rows]
        assert [(one["module"], one["args"], one["flags"], one["python"]) for one in shown] == [
            ("pkg.train", ["--fast", "a b"], "hydra", str(tmp_path / "env" / "bin" / "python"))] * 2
        assert shown[0]["memory"] == 1536 * 1024 ** 2
        assert "1536M" in node.exp("show-config", rows[0].worker_id).stdout.split()
        server.create()
        server.until(DONE=1)
        assert said(tmp_path)["args"] == ["--fast", "a b", "x=0"]
        assert said(tmp_path)["prefix"] == str(tmp_path / "env")
        shutil.rmtree(str(tmp_path / "env"))
        refused = node.exp("restart", "all", status=1, cwd=tmp_path / "elsewhere")
        assert "env/bin/python does not exist" in refused.stderr and "was not restarted" in refused.stderr
        assert "does not exist" in node.exp("scale", "num_workers=3", status=1).stderr
        assert [row.pid for row in node.rows()] == [row.pid for row in rows]
        node.exp("stop", "all")
        server.stop()


def test_a_shell_script_that_calls_another_python_can_import_jd(tmp_path: Path) -> None:
    venv.create(str(tmp_path / "env"), with_pip=False, symlinks=True)
    write(tmp_path / "train.py", "from jd import jd_job_dir\nNet = str(jd_job_dir())\n" + SAYS)
    write(tmp_path / "run.sh", "#!/bin/sh\nexec env/bin/python train.py \"$@\"\n")
    run(tmp_path, "run.sh")
    assert said(tmp_path)["prefix"] == str(tmp_path / "env")
    assert said(tmp_path)["net"] == str(tmp_path / "workspace" / "jd_data" / "exp" / "1")
