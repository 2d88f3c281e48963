"""`snapshot=true` and which code ran, with real processes."""

import json
import sqlite3
from pathlib import Path
from typing import Any, List

from tests.e2e.node import Node
from tests.e2e.processes import Server, Worker

SCRIPT = """import argparse, os, words
parser = argparse.ArgumentParser()
parser.add_argument("--x")
parser.parse_args()
with open(os.environ["JD_WORKER_JOB_DIR"] + "/said.txt", "w") as file:
    file.write("%s in %s" % (words.WORD, os.getcwd()))
"""


def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "words.py").write_text("WORD = 'first'\n")
    (directory / "train.py").write_text(SCRIPT)
    return directory / "train.py"


def said(tmp_path: Path) -> List[str]:
    jobs = tmp_path / "workspace" / "jd_data" / "exp"
    return [path.read_text() for path in sorted(jobs.glob("*/said.txt"))]


def test_jobs_go_on_with_the_code_of_their_launch(tmp_path: Path) -> None:
    script = project(tmp_path)
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        server.create()
        (row,) = node.start(script, "snapshot=true", cwd=tmp_path)
        server.until(DONE=1)
        (script.parent / "words.py").write_text("WORD = 'second'\n")
        server.create()
        server.until(DONE=2)
        shown = json.loads(node.exp("show-config", row.worker_id, "json=true").stdout)
        assert shown["snapshot"]["of"] == str(script) != shown["entry_script"]
        node.exp("restart", "all")
        server.create()
        server.until(DONE=3)
        node.exp("scale", "num_workers=2")
        server.create(2)
        server.until(DONE=5)
        assert said(tmp_path) == ["first in %s" % tmp_path] * 5
        node.exp("stop", "all")
        assert codes(server) == [{"hash", "interpreter", "version", "distributions", "script", "snapshot"}]
        node.start(script, cwd=tmp_path)
        server.create()
        server.until(DONE=6)
        assert said(tmp_path)[-1] == "second in %s" % tmp_path
        server.stop()


def codes(server: Server) -> List[Any]:
    """What is known of each version of the code that jobs ran."""
    (path,) = server.workspace.rglob("jobs.db")
    database = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    try:
        return [set(json.loads(text)) for (text,) in database.execute("SELECT document FROM codes")]
    finally:
        database.close()


def test_a_sweep_that_mixes_two_versions_says_so(tmp_path: Path) -> None:
    script = project(tmp_path)
    with Server(tmp_path) as server, Node(tmp_path, server.url) as node:
        for word in ("", "\n# changed\n"):
            script.write_text(SCRIPT + word)
            server.create(2)
            with Worker(tmp_path, server.url, script, "exit_when_empty=true") as worker:
                worker.finish()
        shown = node.exp("server-info", "server=" + server.url).stdout.splitlines()[-1]
        assert shown.startswith("code  jobs ran 2 versions: ")
        assert shown.endswith("; they differ in the script") and shown.count("(2 jobs)") == 2
        server.stop()
