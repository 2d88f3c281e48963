"""What workers left behind, as `doctor` tells it."""

import json
import os
from pathlib import Path
from typing import Dict, List, Optional

import pytest

from jd.cli.checkup import remains
from jd.cli.checkup.finding import OK, PROBLEM, WARNING, Finding
from jd.node.identity import Here
from jd.worker.local import outboxes
from jd.worker.local.registry import Registry
from tests.cli.info_support import gone, other_host
from tests.cli.test_doctor_checks import expect_only
from tests.support import free_env


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path)


def register(environ: Dict[str, str], here: Here, count: int = 1, experiment: str = "exp") -> None:
    Registry(experiment, environ).reserve(range(count), {}, here, 1000.0)


def looked_at(environ: Dict[str, str], experiment: Optional[str] = None) -> List[Finding]:
    return [f for check in remains.checks(environ, experiment, lambda: Here("node1")) for f in check.find()]


def test_nothing_is_left_and_nothing_made(environ: Dict[str, str]) -> None:
    expect_only(looked_at(environ), OK, "none registered")
    expect_only(looked_at(environ, "exp"), OK, "none registered")
    assert not Path(environ["JD_CACHE_PATH"]).exists()


def test_workers_that_run(environ: Dict[str, str]) -> None:
    register(environ, Here("node1"), 2)
    expect_only(looked_at(environ), OK, "exp: 2 workers running")


@pytest.mark.parametrize("cwd, shared", [("launch", True), ("job", False)])
def test_workers_whose_jobs_share_a_directory(environ: Dict[str, str], cwd: str, shared: bool) -> None:
    config = {"directory": "/launch", "entry_script": "/launch/train.py", "cwd": cwd}
    Registry("exp", environ).reserve(range(2), config, Here("node1"), 1000.0)
    told = [finding.what for finding in looked_at(environ) if "/launch" in finding.what]
    expected = ("exp: the jobs of 2 workers run in /launch, and share what they write there; cwd=job gives "
                "each job a directory of its own")
    assert told == [expected] * shared


def test_workers_that_died_stay_in_the_registry(environ: Dict[str, str]) -> None:
    register(environ, gone())
    for _ in range(2):
        expect_only(looked_at(environ), WARNING, "exp: 1 worker died", "logs")


def test_workers_of_other_hosts(environ: Dict[str, str]) -> None:
    for host in ("node2", "node3", "node4", "node5"):
        register(environ, other_host(host))
    expect_only(looked_at(environ), WARNING, "4 workers of node2, node3, node4 and 1 more", "JD_CACHE_PATH")


def test_an_experiment_that_drains(environ: Dict[str, str]) -> None:
    Registry("exp", environ).set_draining()
    expect_only(looked_at(environ), WARNING, "exp: draining", "starting workers ends that")
    assert looked_at(environ, "other")[0].what == "none registered"


def test_a_registry_that_cannot_be_read(environ: Dict[str, str]) -> None:
    path = Registry("exp", environ).path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database" * 100)
    expect_only(looked_at(environ), PROBLEM, str(path), "not a database")


def put(environ: Dict[str, str], name: str, content: object) -> Path:
    outbox = outboxes.near("exp", environ)
    outbox.make()
    path = outbox.path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_results_that_wait(environ: Dict[str, str]) -> None:
    put(environ, "1-1-a.json", {"server": "http://a:5000"})
    put(environ, "2-1-b.json", {"server": "http://a:5000"})
    put(environ, "3-1-c.json", {"server": "http://ann:pw@b:5000"})
    put(environ, ".4-1-d.json.tmp", "")
    found = [f for f in looked_at(environ) if f.level == WARNING]
    place = outboxes.near("exp", environ).path
    assert [f.what for f in found] == ["exp: 2 results wait for http://a:5000 in %s" % place,
                                       "exp: 1 result waits for http://b:5000 in %s" % place]
    assert all("start a worker" in f.advice for f in found)


def test_files_that_are_no_results_are_left_alone(environ: Dict[str, str]) -> None:
    broken = put(environ, "1-1-a.json", "{")
    put(environ, "2-1-b.json.bad", "{")
    found = [f for f in looked_at(environ) if f.level == WARNING]
    assert "1 result waits for an unknown server" in found[0].what
    assert "1 file in" in found[1].what and "2-1-b.json.bad" in found[1].what
    assert broken.exists()


def test_an_outbox_that_cannot_be_listed(environ: Dict[str, str]) -> None:
    outbox = outboxes.near("exp", environ).path
    outbox.parent.mkdir(parents=True)
    outbox.touch()
    assert [f.level for f in remains.outboxes(environ, "exp")] == [PROBLEM]


def test_results_are_found_where_there_is_no_registry(environ: Dict[str, str], tmp_path: Path) -> None:
    """As on a login node, whose workers are elsewhere."""
    outbox = tmp_path / ".jd" / "outbox" / "other"
    outbox.mkdir(parents=True)
    (outbox / "1-1-a.json").write_text('{"server": "http://a:5000"}')
    environ["HOME"] = str(tmp_path)
    (found,) = [f for f in looked_at(environ) if f.level == WARNING]
    assert found.what == "other: 1 result waits for http://a:5000 in %s" % outbox


def test_a_cache_that_cannot_be_listed_is_said_once(environ: Dict[str, str]) -> None:
    Path(environ["JD_CACHE_PATH"]).mkdir()
    (Path(environ["JD_CACHE_PATH"]) / ".cache").touch()
    found = looked_at(environ)
    assert [f.level for f in found] == [PROBLEM] and os.strerror(20) in found[0].what
