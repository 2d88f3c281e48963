"""Who is alive, as far as one host can tell."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Iterator, List

import pytest

from jd.node.identity import UNKNOWN_START, Here, host_slug, process_identity
from jd.worker.local.liveness import Life, life, was_here
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row
from tests.worker.legacy_registry import legacy_file
from tests.worker.registered import ended_process, enter, only

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


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
    enter(registry, here, identity._replace(start_time="1"))
    assert life(only(registry), here) is Life.DEAD


@LINUX
def test_after_a_reboot(registry: Registry, here: Here) -> None:
    enter(registry, here, here.own._replace(boot_id="an earlier one"))
    assert life(only(registry), here) is Life.DEAD


@LINUX
def test_whose_dead_a_worker_of_another_boot_is(registry: Registry, here: Here) -> None:
    """Two machines may have one name and a home in common: the dead of one may live on the other."""
    enter(registry, here, here.own._replace(boot_id="an earlier one"))
    row = only(registry)
    assert here.booted_at is not None
    assert was_here(row._replace(last_ping_at=here.booted_at - 5), here)
    assert not was_here(row._replace(last_ping_at=here.booted_at + 5), here), "heard of since this boot"
    assert not was_here(row, Here("othernode"))
    assert was_here(row._replace(identity=ended_process(here)), here)
    assert not was_here(row._replace(identity=here.own), here), "it lives"


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain", ""])
def test_another_boot_of_a_host_with_everybodys_name(registry: Registry, name: str) -> None:
    here = Here(name)
    enter(registry, here, here.own._replace(boot_id="an earlier one, or another machine"))
    assert life(only(registry), here) is Life.ELSEWHERE


def test_another_host(registry: Registry, here: Here) -> None:
    enter(registry, here, here.own._replace(boot_id="that of another machine"))
    assert life(only(registry), Here("gpunode2")) is Life.ELSEWHERE


def test_a_host_that_has_another_name_now(registry: Registry, here: Here,
                                          child: "subprocess.Popen[bytes]") -> None:
    """A laptop in another network: the kernel and its processes are the same."""
    identity = process_identity(child.pid)
    assert identity is not None
    enter(registry, here, identity)
    assert life(only(registry), Here("home-lan")) is Life.ALIVE
    child.communicate(b"\n")
    assert life(only(registry), Here("home-lan")) is Life.DEAD


@pytest.mark.parametrize("hide", ["boot", "namespace"])
def test_where_a_sandbox_hides_the_boot_or_the_namespace_the_name_decides(
        registry: Registry, hide: str) -> None:
    """Two machines that were started in the same second, or two containers of one host."""
    def blurred(name: str) -> Here:
        host = Here(name)
        if hide == "boot":
            host.own = host.own._replace(boot_id="btime 1700000000")
        else:
            host.pid_namespace = ""
        return host

    enter(registry, blurred("gpunode"), ended_process(blurred("gpunode"))._replace(
        boot_id=blurred("gpunode").own.boot_id))
    if not sys.platform.startswith("linux") and hide == "namespace":
        pytest.skip("there are no namespaces")
    assert life(only(registry), blurred("gpunode2")) is Life.ELSEWHERE
    assert life(only(registry), blurred("gpunode")) is Life.DEAD


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
    neighbour = row._replace(identity=row.identity._replace(pid=row.pid + 1), pid=row.pid + 1)
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
    # It says nothing of boot and namespace, so here the name decides.
    assert life(row, Here("othernode")) is Life.ELSEWHERE
    assert life(row._replace(worker_id="an id of another form"), here) is Life.ELSEWHERE


def test_a_legacy_worker_of_a_host_with_a_long_name(registry: Registry) -> None:
    here = Here("a-host-with-a-long-name.cluster.example")
    row = legacy_rows(registry, host_slug(here.host), ended_process(here).pid, 0.0)[0]
    assert life(row, here) is Life.DEAD


@LINUX
@pytest.mark.parametrize("hostname, slug", [
    ("gpu-node.7", "gpunode7"), ("ip-10-0-0-12.ec2.internal", "ip100012ec2i"), ("GPUnode_07", "gpunode07")])
def test_a_legacy_worker_knows_its_host_by_a_short_form(registry: Registry, hostname: str, slug: str) -> None:
    here = Here(hostname)
    began = here.began_at(os.getpid())
    assert began is not None
    row = legacy_rows(registry, slug, os.getpid(), began + 3)[0]
    assert life(row, here) is Life.ALIVE
    # A form that was cut is that of other hosts, too, and what is not here may run there.
    ended = row._replace(pid=ended_process(here).pid)
    assert life(ended, here) is (Life.ELSEWHERE if len(slug) == 12 else Life.DEAD)


def test_a_legacy_worker_of_localhost_may_be_anywhere(registry: Registry) -> None:
    here = Here("localhost")
    row = legacy_rows(registry, "localhost", ended_process(here).pid, 0.0)[0]
    assert life(row, here) is Life.ELSEWHERE
