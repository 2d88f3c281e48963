"""Limits of containers and Slurm jobs, from trees of files laid out as the kernel does."""

from pathlib import Path
from typing import Dict, Optional, Set

import pytest

from jd.node import cgroups
from jd.node.cgroups import Groups, Memory

GIB = 1024 ** 3
V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
NO_LIMIT_V1 = "9223372036854771712\n"


def lay(root: Path, files: Dict[str, str]) -> Path:
    """Write a tree of files below `root`; the keys are paths."""
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root


def v1_mounts(root: str, *controllers: str) -> str:
    return "".join("%d 23 0:3%d %s /sys/fs/cgroup/%s rw,relatime shared:9 - cgroup cgroup rw,%s\n"
                   % (40 + n, n, root, name, name) for n, name in enumerate(controllers))


def slurm_v2(tmp_path: Path) -> Path:
    job = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"
    return lay(tmp_path, {
        "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_7/step_0\n",
        "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + V2_MOUNT,
        "sys/fs/cgroup/cpu.stat": "usage_usec 900000000\n",
        "sys/fs/cgroup/system.slice/memory.max": "max\n",
        job + "/memory.max": "%d\n" % (4 * GIB),
        job + "/memory.current": "%d\n" % (3 * GIB),
        job + "/memory.stat": "anon 1\ninactive_file %d\nactive_file 5\n" % GIB,
        job + "/cpu.max": "250000 100000\n",
        job + "/cpu.stat": "usage_usec 5000000\nuser_usec 1\n",
        job + "/step_0/memory.max": "max\n",
        job + "/step_0/memory.current": "7\n",
        job + "/step_0/memory.events": "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\n",
        job + "/step_0/cpu.max": "max 100000\n",
        job + "/step_0/cpu.stat": "usage_usec 1000000\n",
        job + "/step_0/cpuset.cpus.effective": "2-3,6\n",
    })


def test_version_2_takes_the_tightest_group_above_ours(tmp_path: Path) -> None:
    groups = Groups(slurm_v2(tmp_path))
    assert groups.memory() == Memory(4 * GIB, 2 * GIB, 2 * GIB)
    assert groups.cpu_quota() == 2.5
    assert groups.cpu_seconds() == 5.0
    assert groups.cpuset() == frozenset({2, 3, 6})
    assert groups.oom_kills() == 2


def test_the_fullest_group_decides_what_is_available(tmp_path: Path) -> None:
    root = slurm_v2(tmp_path)
    lay(root, {"sys/fs/cgroup/system.slice/memory.max": "%d\n" % (8 * GIB),
               "sys/fs/cgroup/system.slice/memory.current": "%d\n" % (7 * GIB)})
    assert Groups(root).memory() == Memory(4 * GIB, 2 * GIB, GIB)


def test_a_group_further_up_may_be_the_tighter_one(tmp_path: Path) -> None:
    root = slurm_v2(tmp_path)
    lay(root, {
        "sys/fs/cgroup/system.slice/memory.max": "%d\n" % (3 * GIB),
        "sys/fs/cgroup/system.slice/memory.current": "0\n",
        "sys/fs/cgroup/system.slice/cpu.max": "100000 100000\n",
        "sys/fs/cgroup/system.slice/cpu.stat": "usage_usec 77000000\n",
    })
    groups = Groups(root)
    assert groups.memory() == Memory(3 * GIB, 0, 2 * GIB)
    assert (groups.cpu_quota(), groups.cpu_seconds()) == (1.0, 77.0)


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    root = slurm_v2(tmp_path)
    lay(root, {"sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.current": "%d" % (9 * GIB)})
    assert Groups(root).memory().available == 0


def test_a_container_with_its_own_namespace_sees_its_group_as_the_root(tmp_path: Path) -> None:
    groups = Groups(lay(tmp_path, {
        "proc/self/cgroup": "0::/\n",
        "proc/self/mountinfo": V2_MOUNT,
        "sys/fs/cgroup/memory.max": "%d\n" % GIB,
        "sys/fs/cgroup/memory.current": "100\n",
        "sys/fs/cgroup/cpu.max": "50000 100000\n",
        "sys/fs/cgroup/memory.events": "oom_kill 1\n",
    }))
    assert groups.memory() == Memory(GIB, 100, GIB - 100)
    assert groups.cpu_quota() == 0.5
    assert groups.oom_kills() == 1


@pytest.mark.parametrize("member, mount_root", [
    ("/docker/abc", "/docker/abc"),   # docker: the mount shows the container's group alone
    ("/..", "/"),                     # outside the namespace
    ("/else/where/x", "/docker/abc"),
])
def test_a_path_of_the_host_is_not_looked_for_inside(tmp_path: Path, member: str, mount_root: str) -> None:
    groups = Groups(lay(tmp_path, {
        "proc/self/cgroup": "4:memory:%s\n" % member,
        "proc/self/mountinfo": v1_mounts(mount_root, "memory"),
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n",
        "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "5\n",
        "sys/fs/cgroup/memory.limit_in_bytes": "5\n",
    }))
    assert groups.memory().limit == 1000


def test_a_group_that_is_not_mounted_here_falls_back_to_those_above_it(tmp_path: Path) -> None:
    groups = Groups(lay(tmp_path, {
        "proc/self/cgroup": "4:memory:/a/b/c\n",
        "proc/self/mountinfo": v1_mounts("/", "memory"),
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "1000\n",
        "sys/fs/cgroup/memory/a/memory.oom_control": "oom_kill 3\n",
    }))
    assert groups.memory().limit == 1000
    assert groups.oom_kills() == 3


def slurm_v1(tmp_path: Path) -> Path:
    step = "uid_1000/job_7/step_0"
    return lay(tmp_path, {
        "proc/self/cgroup": "".join("%d:%s:/%s\n" % (n, name, step) for n, name in enumerate(
            ["memory", "cpu,cpuacct", "cpuset", "name=systemd"], 2)) + "0::/other\n",
        "proc/self/mountinfo": v1_mounts("/", "memory", "cpuset", "cpu,cpuacct") + V2_MOUNT.replace(
            "/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
        "sys/fs/cgroup/unified/other/memory.max": "5\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": NO_LIMIT_V1,
        "sys/fs/cgroup/memory/uid_1000/job_7/memory.limit_in_bytes": "%d\n" % (2 * GIB),
        "sys/fs/cgroup/memory/uid_1000/job_7/memory.usage_in_bytes": "%d\n" % GIB,
        "sys/fs/cgroup/memory/uid_1000/job_7/memory.stat": "inactive_file 1\ntotal_inactive_file 24\n",
        "sys/fs/cgroup/memory/" + step + "/memory.limit_in_bytes": NO_LIMIT_V1,
        "sys/fs/cgroup/memory/" + step + "/memory.oom_control":
            "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
        "sys/fs/cgroup/cpu,cpuacct/uid_1000/job_7/cpu.cfs_quota_us": "150000\n",
        "sys/fs/cgroup/cpu,cpuacct/uid_1000/job_7/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/uid_1000/job_7/cpuacct.usage": "3000000000\n",
        "sys/fs/cgroup/cpu,cpuacct/" + step + "/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/" + step + "/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/" + step + "/cpuacct.usage": "1000000000\n",
        "sys/fs/cgroup/cpuset/" + step + "/cpuset.cpus": "4-5\n",
    })


def test_version_1_wins_over_a_version_2_mount_beside_it(tmp_path: Path) -> None:
    groups = Groups(slurm_v1(tmp_path))
    assert groups.memory() == Memory(2 * GIB, GIB - 24, GIB + 24)
    assert groups.cpu_quota() == 1.5
    assert groups.cpu_seconds() == 3.0
    assert groups.cpuset() == frozenset({4, 5})
    assert groups.oom_kills() == 4


def test_without_limits_nothing_is_made_up(tmp_path: Path) -> None:
    groups = Groups(lay(tmp_path, {
        "proc/self/cgroup": "0::/user.slice\n",
        "proc/self/mountinfo": V2_MOUNT,
        "proc/vmstat": "pgfault 3\noom_kill 6\n",
        "sys/fs/cgroup/user.slice/memory.max": "max\n",
        "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
    }))
    assert groups.memory() == Memory(None, None, None)
    assert groups.cpu_quota() is None
    assert groups.cpu_seconds() is None
    assert groups.cpuset() is None
    assert groups.oom_kills() == 6


def test_an_empty_machine_is_unknown_in_every_way(tmp_path: Path) -> None:
    groups = Groups(tmp_path)
    assert groups.memory() == Memory(None, None, None)
    assert (groups.cpu_quota(), groups.cpu_seconds(), groups.cpuset()) == (None, None, None)
    assert groups.oom_kills() == 0


@pytest.mark.parametrize("garbage", ["", "\n", "\0\xff", "a b c\n", "9" * 5000, "- - - -\n", ":::\n"])
def test_garbage_never_raises(tmp_path: Path, garbage: str) -> None:
    root = slurm_v2(tmp_path)
    for path in [p for p in root.glob("sys/**/*") if p.is_file()]:
        path.write_text(garbage)
    groups = Groups(root)
    assert groups.memory().limit is None
    assert groups.cpu_quota() is None
    assert groups.cpuset() is None
    lay(root, {"proc/self/cgroup": garbage, "proc/self/mountinfo": garbage, "proc/vmstat": garbage})
    assert Groups(root).oom_kills() == 0


@pytest.mark.parametrize("member", ["0::/%s\n" % ("a" * 5000), "0::/a\0b\n"], ids=["long", "nul"])
def test_a_group_that_no_path_can_name_is_none(tmp_path: Path, member: str) -> None:
    root = slurm_v2(tmp_path)
    lay(root, {"proc/self/cgroup": member})
    assert Groups(root).oom_kills() >= 0


def test_numbers_that_no_kernel_writes_are_left_out() -> None:
    assert cgroups.parse_table("a 1\nb %s\nc\nd x\ne 2 3\n" % ("9" * 100)) == {"a": 1}


def test_mount_points_are_unescaped() -> None:
    line = "30 23 0:26 /a\\040b /sys/fs/c\\040g rw - cgroup2 cgroup2 rw\n"
    assert cgroups.parse_mounts(line) == [cgroups.Mount("/a b", "/sys/fs/c g", 2, frozenset())]


@pytest.mark.parametrize("text, cpus", [
    ("0-3,8,10-11\n", {0, 1, 2, 3, 8, 10, 11}), ("5", {5}), ("", None), ("3-1", None), ("x", None),
    ("0-99999999999", None), ("-1", None), ("0-65535", set(range(65536))),
    ("0-65535," * 20_000 + "1", None),  # which would take minutes
])
def test_cpu_lists(text: str, cpus: Optional[Set[int]]) -> None:
    assert cgroups.parse_cpuset(text) == (None if cpus is None else frozenset(cpus))


@pytest.mark.parametrize("text, limit", [
    ("4096\n", 4096), ("max\n", None), ("-1\n", None), (NO_LIMIT_V1, None), ("", None), ("0\n", 0),
])
def test_limits(text: str, limit: Optional[int]) -> None:
    assert cgroups.parse_limit(text) == limit


@pytest.mark.parametrize("text, quota", [
    ("200000 100000\n", 2.0), ("max 100000", None), ("1 0", None), ("200000", None), ("", None),
])
def test_cpu_max(text: str, quota: Optional[float]) -> None:
    assert cgroups.parse_cpu_max(text) == quota


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (cgroups.MAX_READ + 10))
    assert len(cgroups.read_small(tmp_path / "big")) == cgroups.MAX_READ
