"""Who is alive, as far as one host can tell, and what the clean-up takes away."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import pytest

from jd import paths
from jd.errors import StorageError
from jd.node.identity import UNKNOWN_START, Here, ProcessIdentity, host_slug, process_identity
from jd.worker.local import liveness
from jd.worker.local.liveness import Life, life, sweep
from jd.worker.local.registry import Registry, Row
from jd.worker.local.registrylock import LOCK_NAME
from tests.support import free_env
from tests.worker.legacy_registry import legacy_file

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture
def environ(tmp_path: Path) -> Dict[str, str]:
    return free_env(tmp_path)


@pytest.fixture
def registry(environ: Dict[str, str]) -> Registry:
    return Registry("exp", environ)


@pytest.fixture
def here() -> Here:
    return Here("gpunode")


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def enter(registry: Registry, here: Here, identity: ProcessIdentity) -> str:
    """A worker that is the process `identity`."""
    (name,) = registry.reserve([0], {}, here, 0.0)
    registry.settle_all([(name, 0, Path("/log"), identity)], 0.0)
    return name


def only(registry: Registry) -> Row:
    (row,) = registry.rows()
    return row


def ended_process(here: Here) -> ProcessIdentity:
    """The identity of a process that was here."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = process_identity(process.pid)
        process.communicate(b"\n")
    assert identity is not None
    return identity


# ---- life

def test_this_process_is_alive(registry: Registry, here: Here) -> None:
    registry.reserve([0], {}, here, 0.0)
    assert life(only(registry), here) is Life.ALIVE


def test_another_process(registry: Registry, here: Here,
                         child: "subprocess.Popen[bytes]") -> None:
    identity = process_identity(child.pid)
    assert identity is not None
    enter(registry, here, identity)
    assert life(only(registry), here) is Life.ALIVE
    child.communicate(b"\n")
    assert life(only(registry), here) is Life.DEAD


def test_a_pid_that_is_somebody_elses_now(registry: Registry, here: Here,
                                          child: "subprocess.Popen[bytes]") -> None:
    """It must not count as alive: only what is alive is ever signalled."""
    identity = process_identity(child.pid)
    assert identity is not None
    enter(registry, here, replace(identity, start_time="1"))
    assert life(only(registry), here) is Life.DEAD


@LINUX
def test_after_a_reboot(registry: Registry, here: Here) -> None:
    enter(registry, here, replace(here.own, boot_id="an earlier one"))
    assert life(only(registry), here) is Life.DEAD


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain", ""])
def test_another_boot_of_a_host_with_everybodys_name(registry: Registry, name: str) -> None:
    here = Here(name)
    enter(registry, here, replace(here.own, boot_id="an earlier one, or another machine"))
    assert life(only(registry), here) is Life.ELSEWHERE


def test_another_host(registry: Registry, here: Here) -> None:
    enter(registry, here, ended_process(here))
    assert life(only(registry), Here("gpunode2")) is Life.ELSEWHERE


def test_another_container_of_the_same_host(registry: Registry, here: Here) -> None:
    """The same boot, the same host name, and pids of its own."""
    enter(registry, here, ended_process(here))
    other = Here("gpunode")
    other.pid_namespace = "pid:[1]"
    assert life(only(registry), other) is Life.ELSEWHERE
    assert life(only(registry), here) is Life.DEAD


def test_a_container_whose_first_process_looks_the_same(registry: Registry, here: Here) -> None:
    registry.reserve([0], {}, here, 0.0)
    other = Here("gpunode")
    other.pid_namespace = "pid:[1]"
    assert life(only(registry), other) is Life.ELSEWHERE


def test_where_processes_cannot_be_seen_nobody_is_dead(registry: Registry, tmp_path: Path) -> None:
    blind = Here("gpunode", tmp_path / "no-proc", lambda command: "")
    assert blind.own.start_time == UNKNOWN_START
    registry.reserve([0], {}, blind, 0.0)
    row = only(registry)
    assert life(row, blind) is Life.ALIVE
    assert row.identity is not None
    neighbour = replace(row, identity=replace(row.identity, pid=row.pid + 1), pid=row.pid + 1)
    assert life(neighbour, blind) is Life.ELSEWHERE


# ---- life of a published client's workers

def legacy_rows(registry: Registry, host: str, pid: int, started_at: float) -> List[Row]:
    legacy_file(registry.path, host, pid, started_at)
    return registry.rows()


@LINUX
def test_a_legacy_worker_that_runs(registry: Registry, here: Here) -> None:
    began = here.began_at(os.getpid())
    assert began is not None
    row = legacy_rows(registry, "gpunode", os.getpid(), began + 3)[0]
    assert life(row, here) is Life.ALIVE


@LINUX
@pytest.mark.parametrize("later", [-30.0, 3600.0])
def test_a_legacy_pid_that_is_somebody_elses_now(registry: Registry, here: Here,
                                                 later: float) -> None:
    began = here.began_at(os.getpid())
    assert began is not None
    row = legacy_rows(registry, "gpunode", os.getpid(), began + later)[0]
    assert life(row, here) is Life.DEAD


def test_a_legacy_worker_that_ended(registry: Registry, here: Here) -> None:
    row = legacy_rows(registry, "gpunode", ended_process(here).pid, 0.0)[0]
    assert life(row, here) is Life.DEAD
    assert life(row, Here("othernode")) is Life.ELSEWHERE
    assert life(replace(row, worker_id="an id of another form"), here) is Life.ELSEWHERE


def test_a_legacy_worker_of_a_host_with_a_long_name(registry: Registry) -> None:
    here = Here("a-host-with-a-long-name.cluster.example")
    row = legacy_rows(registry, host_slug(here.host), ended_process(here).pid, 0.0)[0]
    assert life(row, here) is Life.DEAD


def test_a_legacy_worker_of_localhost_may_be_anywhere(registry: Registry) -> None:
    here = Here("localhost")
    row = legacy_rows(registry, "localhost", ended_process(here).pid, 0.0)[0]
    assert life(row, here) is Life.ELSEWHERE


# ---- the clean-up

def test_the_dead_go_and_the_living_stay(registry: Registry, here: Here,
                                         environ: Dict[str, str]) -> None:
    dead = enter(registry, here, ended_process(here))
    (alive,) = registry.reserve([0], {}, here, 0.0)
    seen: List[Tuple[int, int]] = []
    swept = sweep(environ, here, lambda done, total: seen.append((done, total)))
    assert (swept.rows, swept.directories, swept.problems) == (1, 0, ())
    assert [row.worker_id for row in registry.rows()] == [alive] != [dead]
    assert seen == [(1, 2), (2, 2)]


def test_an_instance_word_is_free_after_the_clean_up(
        registry: Registry, here: Here, environ: Dict[str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jd.node.identity.WORDS", ("egg",))
    name = enter(registry, here, ended_process(here))
    registry.reserve([5], {}, here, 0.0)  # the word is taken: this one is a token
    sweep(environ, here)
    assert name == "gpunode_egg_0"
    assert registry.reserve([0], {}, here, 0.0) == ["gpunode_egg_0"]


def test_hosts_that_share_a_home_leave_each_other_alone(registry: Registry, here: Here,
                                                        environ: Dict[str, str]) -> None:
    other = Here("othernode")
    boxed = Here("gpunode")
    boxed.pid_namespace = "pid:[1]"
    gone = ended_process(here)
    for host in (here, other, boxed):
        enter(registry, host, gone)
    assert sweep(environ, other).rows == 1
    assert sweep(environ, boxed).rows == 1
    row = only(registry)
    assert (row.host, row.pid_namespace) == ("gpunode", here.pid_namespace)
    assert sweep(environ, here) == (1, 1, ())


def test_legacy_registries_are_cleaned(registry: Registry, here: Here,
                                       environ: Dict[str, str]) -> None:
    legacy_file(registry.path, "gpunode", 2 ** 22 + 1, 0.0)
    assert sweep(environ, Here("othernode")) == (0, 0, ())
    assert sweep(environ, here) == (2, 1, ())
    assert not registry.path.parent.exists()


def test_directories_that_hold_nothing_go(registry: Registry, here: Here,
                                          environ: Dict[str, str]) -> None:
    enter(registry, here, ended_process(here))
    paths.outbox_dir("exp", environ).mkdir()
    (registry.path.parent.parent / "empty").mkdir()
    swept = sweep(environ, here)
    assert (swept.rows, swept.directories) == (1, 2)
    assert [path.name for path in registry.path.parent.parent.iterdir()] == [LOCK_NAME]


def test_results_that_wait_for_their_server_stay(registry: Registry, here: Here,
                                                 environ: Dict[str, str]) -> None:
    enter(registry, here, ended_process(here))
    outbox = paths.outbox_dir("exp", environ)
    outbox.mkdir()
    (outbox / "1-1-aa.json").write_text("{}")
    assert sweep(environ, here) == (1, 0, ())
    assert (outbox / "1-1-aa.json").exists()


def test_what_is_not_ours_stays(registry: Registry, here: Here, environ: Dict[str, str]) -> None:
    enter(registry, here, ended_process(here))
    note = registry.path.parent / "notes.txt"
    note.write_text("mine")
    assert sweep(environ, here).directories == 0
    assert note.exists() and registry.rows() == []


def test_an_experiment_that_drains_is_remembered(registry: Registry, here: Here,
                                                 environ: Dict[str, str]) -> None:
    registry.set_draining()
    assert sweep(environ, here).directories == 0
    assert registry.draining()


def test_a_worker_that_enters_during_the_clean_up_stays(
        registry: Registry, here: Here, environ: Dict[str, str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    enter(registry, here, ended_process(here))
    remove = liveness._remove_if_empty
    entered: List[str] = []

    def while_somebody_enters(of: Registry, variables: Dict[str, str]) -> bool:
        entered.extend(Registry("exp", environ).reserve([0], {}, here, 0.0))
        return remove(of, variables)

    monkeypatch.setattr(liveness, "_remove_if_empty", while_somebody_enters)
    sweep(environ, here)
    assert [row.worker_id for row in registry.rows()] == entered


def test_one_broken_registry_does_not_stop_the_clean_up(registry: Registry, here: Here,
                                                        environ: Dict[str, str]) -> None:
    enter(registry, here, ended_process(here))
    broken = Registry("broken", environ)
    broken.path.parent.mkdir()
    broken.path.write_bytes(b"not a database " * 500)
    swept = sweep(environ, here)
    assert swept.rows == 1
    assert len(swept.problems) == 1 and str(broken.path) in swept.problems[0]
    assert broken.path.exists()


def test_no_cache_is_nothing_to_clean(environ: Dict[str, str], here: Here, tmp_path: Path) -> None:
    assert sweep(environ, here) == (0, 0, ())
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_is_no_directory(here: Here, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".cache").write_text("")
    with pytest.raises(StorageError, match="cannot read"):
        sweep({"JD_CACHE_PATH": str(tmp_path / "cache")}, here)
