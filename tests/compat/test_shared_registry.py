"""A registry that published clients of any generation share with ours, in both directions.

`registries/` has one file of each generation as SQL, and one of ours from before. What a published client
writes is here as the statements that it makes.
"""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from jd.node.identity import Here
from jd.node.instancewords import WORDS
from jd.protocol import CLI_STOP
from jd.worker.config import WorkerConfig, from_json
from jd.worker.local import notices, signalling
from jd.worker.local.registration import Registration
from jd.worker.local.registry import Registry
from jd.worker.local.rows import IDLE, Row
from tests.support import free_env, wait_until

FILES = Path(__file__).parent / "registries"
PUBLISHED = ["published-1.15", "published-1.16", "published-1.28"]
MADE = PUBLISHED + ["ours-before", "ours"]


_connections: List[sqlite3.Connection] = []


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    yield
    while _connections:
        _connections.pop().close()


def connected(registry: Registry) -> sqlite3.Connection:
    """To the file itself, until the test ends."""
    _connections.append(sqlite3.connect(str(registry.path), isolation_level=None))
    return _connections[-1]


class PublishedClient:
    """What jd-worker 1.15 to 1.29 do to a registry, each with the columns that it names."""

    def __init__(self, registry: Registry) -> None:
        self._db = connected(registry)
        self._db.row_factory = sqlite3.Row

    def register(self, worker_id: str, pid: int) -> None:
        self._db.execute(
            "INSERT INTO workers (worker_id, exp_id, pid, process_id, runner_id, entry_script, machine_type,"
            " log_path, started_at, status, current_job_id, last_ping_at, config_json)"
            " VALUES (?, 'exp', ?, 0, ?, 'train.py', 'worker', '/logs/a.log', 1.0, 'idle', NULL, NULL, '{}')"
            " ON CONFLICT(worker_id) DO UPDATE SET pid = excluded.pid, runner_id = excluded.runner_id",
            (worker_id, pid, worker_id))
        self._db.execute("UPDATE workers SET worker_token = ?, token_updated_at = ? WHERE worker_id = ?"
                         " AND exp_id = ?", ("a.b.c", 2.0, worker_id, "exp"))
        self._db.execute("UPDATE workers SET current_job_id = ?, status = ? WHERE worker_id = ?",
                         (9, "busy", worker_id))

    def workers(self) -> List[Dict[str, Any]]:
        return [dict(row) for row in self._db.execute(
            "SELECT * FROM workers WHERE exp_id = 'exp' ORDER BY started_at")]

    def set_drained(self, drained: bool) -> None:
        self._db.execute("INSERT INTO experiment_meta (exp_id, drained) VALUES ('exp', ?)"
                         " ON CONFLICT(exp_id) DO UPDATE SET drained = excluded.drained", (int(drained),))

    def is_drained(self) -> bool:
        row = self._db.execute("SELECT drained FROM experiment_meta WHERE exp_id = 'exp'").fetchone()
        return bool(row and row["drained"])


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry("exp", free_env(tmp_path))


def made_by(registry: Registry, whom: str) -> None:
    """The file as that client left it behind."""
    if whom != "ours":
        registry.path.parent.mkdir(parents=True, mode=0o700)
        os.chmod(str(registry.path.parent.parent), 0o700)
        db = sqlite3.connect(str(registry.path))
        db.executescript((FILES / (whom + ".sql")).read_text())
        db.close()
        os.chmod(str(registry.path), 0o600)


def launch(**fields: Any) -> WorkerConfig:
    return WorkerConfig("exp", Path("/home/ann/train.py"), "http://127.0.0.1:5000/", **fields)


def enter(registry: Registry, **fields: Any) -> str:
    (name,) = registry.reserve([0], launch(**fields).to_json(), Here(), 1700000002.0)
    registry.settle(name, 0, Path("/logs/x.log"), Here(), 1700000002.0)
    return name


# ---- both directions

@pytest.mark.parametrize("whom", MADE)
def test_ours_and_theirs_in_one_file(registry: Registry, whom: str) -> None:
    made_by(registry, whom)
    before = registry.rows()
    assert [(row.slot, row.current_job_id, row.server) for row in before] == (
        [] if whom == "ours" else [(int(whom == "published-1.28"), 7, "http://127.0.0.1:5000")])
    name = enter(registry)
    client = PublishedClient(registry)
    client.register("gpunode8_Zz0Zz0Zz0Z_3", 77)
    by_id = {row.worker_id: row for row in registry.rows()}
    assert len(by_id) == len(before) + 2
    theirs = by_id["gpunode8_Zz0Zz0Zz0Z_3"]
    assert theirs.is_published and not by_id[name].is_published
    assert (theirs.slot, theirs.status, theirs.current_job_id, theirs.worker_token) == (3, "busy", 9, "a.b.c")
    seen = {row["worker_id"]: row for row in client.workers()}
    assert set(seen) == set(by_id)
    assert (seen[name]["runner_id"], seen[name]["pid"]) == (name, os.getpid())
    assert seen[name]["log_path"] == "/logs/x.log"
    assert isinstance(seen[name]["started_at"], float) and isinstance(seen[name]["process_id"], int)
    registry.update(name, IDLE, None, 3.0)
    registry.remove([name])
    assert name not in {row["worker_id"] for row in client.workers()}


@pytest.mark.parametrize("whom", ["published-1.15", "published-1.16"])
def test_a_word_that_a_published_client_has_taken_is_not_ours_too(registry: Registry, whom: str) -> None:
    """It enters its workers only after it has chosen the word, and would overwrite a row of ours."""
    made_by(registry, whom)
    db = connected(registry)
    with db:
        db.executemany("INSERT OR REPLACE INTO possible_instances_name VALUES (?, ?)",
                       [(word, word != "zebra") for word in WORDS])
    assert enter(registry).split("_")[1] == "zebra"
    assert db.execute("SELECT taken FROM possible_instances_name WHERE name = 'zebra'").fetchone() == (1,)


# ---- drain

@pytest.mark.parametrize("whom", MADE)
def test_a_drain_of_a_published_client_counts_for_ours_that_were_there(registry: Registry, whom: str) -> None:
    made_by(registry, whom)
    name = enter(registry)
    assert not registry.update(name, IDLE, None, 1.0)
    client = PublishedClient(registry)
    client.set_drained(True)
    assert registry.draining() and registry.update(name, IDLE, None, 2.0)
    later = enter(registry)
    assert not registry.update(later, IDLE, None, 3.0), "it was started after that"
    assert registry.update(name, IDLE, None, 3.0), "a launch does not call back those that were told"
    client.set_drained(True)
    assert registry.update(later, IDLE, None, 4.0)


def test_a_launch_of_ours_does_not_call_back_published_workers_that_drain(registry: Registry) -> None:
    made_by(registry, "published-1.28")
    (theirs,) = registry.rows()
    client = PublishedClient(registry)
    registry.set_draining()
    name = enter(registry)
    assert client.is_drained() and not registry.update(name, IDLE, None, 1.0)
    registry.remove([theirs.worker_id])
    enter(registry)
    assert not client.is_drained() and not registry.draining()


def test_a_worker_hears_of_it_with_its_next_write(registry: Registry) -> None:
    name = enter(registry)
    woken: List[bool] = []
    registration = Registration(registry, name, print, 0.001, wake=lambda: woken.append(True))
    try:
        registration.show(name, Path("/logs/x.log"), IDLE, None, 1.0)
        wait_until(lambda: registry.rows()[0].last_ping_at is not None)
        assert not registration.drained
        PublishedClient(registry).set_drained(True)
        registration.show(name, Path("/logs/x.log"), IDLE, None, 2.0)
        wait_until(lambda: woken == [True])
        assert registration.drained
        registration.show(name, Path("/logs/x.log"), IDLE, None, 3.0)
    finally:
        registration.leave()
    assert woken == [True]


# ---- commands of ours for workers of theirs

def only(registry: Registry) -> Row:
    (row,) = registry.rows()
    return row


@pytest.mark.parametrize("whom, token", [("published-1.15", ""), ("published-1.16", "hub.jwt.token"),
                                         ("published-1.28", "")])
def test_the_server_of_a_published_worker_is_told(registry: Registry, whom: str, token: str) -> None:
    made_by(registry, whom)
    notice = notices.to_server_of(only(registry), CLI_STOP, {}, {})
    assert notice is not None
    assert (notice.server, notice.token, notice.experiment) == ("http://127.0.0.1:5000", token, "exp")


def test_no_signal_of_ours_for_what_is_not_ours(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by(registry, "published-1.28")
    here = Here("gpunode7")
    began = here.began_at(os.getpid())
    assert began is not None
    db = connected(registry)
    with db:
        db.execute("UPDATE workers SET pid = ?, started_at = ?", (os.getpid(), began + 1))
    sent: List[int] = []
    monkeypatch.setattr(signalling._Watched, "signal", lambda self, number: sent.append(number))
    row = only(registry)
    assert signalling.drain([row], here) == ([], [row]) and sent == []


# ---- launches

def test_a_published_client_can_start_workers_like_ours(tmp_path: Path) -> None:
    """What its `scale`, `restart` and `stop` read of a stored launch."""
    environ = {"HOME": str(tmp_path), "JD_API_KEY": "jd_notreallyakey"}
    stored = json.loads(json.dumps(launch(environ=environ, hub="http://hub.example").to_json()))
    assert {name: stored[name] for name in (
        "exp_id", "entry_script", "base_url", "workspace_path", "workspace_parent", "cache_parent",
        "log_dir_override", "machine_type", "num_workers", "once", "foreground", "hub_url", "api_key")} == {
        "exp_id": "exp", "entry_script": "/home/ann/train.py", "base_url": "http://127.0.0.1:5000",
        "workspace_path": str(tmp_path / "jd_data"), "workspace_parent": str(tmp_path),
        "cache_parent": str(tmp_path / ".jd_cache"), "log_dir_override": None, "machine_type": "worker",
        "num_workers": 1, "once": False, "foreground": False, "hub_url": "http://hub.example",
        "api_key": "jd_notreallyakey"}
    assert int(stored["process_id"]) == 0
    # It starts one out of that and stores it again, with a number as text.
    again = from_json(dict(stored, process_id="3", worker_id="n_egg_3"), environ)
    assert (again.process_id, again.server, again.hub) == (3, "http://127.0.0.1:5000/", "http://hub.example")
    assert launch(environ=environ).to_json()["api_key"] == "", "no key without its Hub"


@pytest.mark.parametrize("whom", PUBLISHED)
def test_ours_can_start_workers_like_theirs(registry: Registry, whom: str) -> None:
    made_by(registry, whom)
    config = from_json(only(registry).config, {"PATH": "/bin", "JD_EXP_ID": "of the moment"})
    assert (config.experiment, config.server, config.entry_script, config.flags, config.base_path) == (
        "exp", "http://127.0.0.1:5000", Path("/home/ann/train.py"), "python", "never")
    assert config.job_dir(5) == Path("/home/ann/jd_data/exp/5")
    in_hub_mode = whom == "published-1.16"
    assert config.hub == ("http://hub.example" if in_hub_mode else None)
    assert dict(config.environ).get("JD_API_KEY") == ("jd_notreallyakey" if in_hub_mode else None)
    assert "JD_EXP_ID" not in config.environ and config.environ["PATH"] == "/bin"
