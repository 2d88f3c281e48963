"""Our worker, library and commands with a server that knows the base protocol alone."""

import json
import pickle
from pathlib import Path
from typing import List, Set, Tuple

import jd
from tests.compat.baseserver import BaseServer
from tests.e2e.node import Node

SCRIPT = """
import argparse, jd
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=int)
x = parser.parse_args().x
before = jd.jd_get_last_checkpoint()
jd.jd_update_checkpoint({"x": x})
open("metrics.csv", "w").write("x\\n%d\\n" % x)
jd.jd_upload("metrics.csv")
assert before is None and jd.jd_get_last_checkpoint() == {"x": x}
"""

FAILS = "import sys; sys.exit('no such data')"


def run(server: BaseServer, directory: Path, source: str, *words: str, status: int = 0) -> None:
    """One job of a worker in the foreground."""
    script = directory / "train.py"
    script.write_text(source)
    with Node(directory) as node:
        node.exp("entry_script=%s" % script, "server=" + server.url, "once=true", "foreground=true", *words,
                 status=status)


def beyond_the_base(server: BaseServer) -> Set[Tuple[str, str]]:
    """What the base does not have, but for the look at who answers."""
    return set(server.unknown) - {("GET /healthz", "")}


def test_a_job_with_files_and_checkpoints_says_nothing_that_is_not_of_the_base(tmp_path: Path) -> None:
    with BaseServer() as server:
        job_id = server.add(x=7)
        run(server, tmp_path, SCRIPT, "tags=big", "exit_when_empty=true")
        assert server.jobs == {job_id: "DONE"}
        assert [set(one) for one in server.results] == [{"job_id", "status", "message"}]
        assert server.uploads == {job_id: {"metrics.csv": b"x\n7\n"}}
        assert pickle.loads(server.checkpoints[job_id][0]) == {"x": 7}
        assert beyond_the_base(server) == set()


def test_a_job_that_fails_and_a_worker_that_leaves_neither(tmp_path: Path) -> None:
    with BaseServer() as server:
        job_id = server.add(x=7)
        run(server, tmp_path, FAILS, status=1)
        assert server.jobs == {job_id: "ABORTED"} and "no such data" in server.results[0]["message"]
        assert beyond_the_base(server) == set()


def test_an_archive_of_a_directory_counts_as_no_checkpoint_of_the_script() -> None:
    with BaseServer() as server:
        job_id = server.add(x=7)
        server.checkpoints[job_id] = [b"jd-checkpoint-dir-v1\0 archive"]
        assert jd.jd_get_last_checkpoint(job_id=job_id, server=server.url) is None


def test_doctor_has_no_complaint(tmp_path: Path) -> None:
    with BaseServer() as server:
        done = Node(tmp_path).exp("doctor", "server=" + server.url, "json=true", status=None)
        found: List[str] = [line for line in done.stdout.splitlines() if "healthz" in line]
        assert found == [], done.stdout
        assert "base protocol only" in done.stdout
        about = [one for one in json.loads(done.stdout)["findings"] if one["topic"] == "Server"]
        assert about and {one["level"] for one in about} == {"ok"}
