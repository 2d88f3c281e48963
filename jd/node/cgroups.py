"""The limits of the container or Slurm job that this process is in, not those of the host.

Control groups of version 1, 2 and both at once (cgroups(7), the kernel's admin-guide/cgroup-v1
and cgroup-v2). Nothing here raises: what cannot be read or understood is None, an OOM count 0.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from jd.node import kernelfile
from jd.shape import NamedTuple

MAX_READ = 1024 * 1024
MAX_CPUS = 65536
# Version 1 says "no limit" as a number near 2^63, rounded down to a page.
_NO_LIMIT = 1 << 60
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """A mounted hierarchy. `controllers` is empty for version 2."""

    root: str
    point: str
    version: int
    controllers: frozenset[str]


class Memory(NamedTuple):
    """Bytes. `limit` and `usage` are those of the tightest group, `available` is what every
    group from ours up leaves; all None where there is no limit. Usage leaves out file cache
    that can be dropped at once."""

    limit: int | None
    usage: int | None
    available: int | None


def read_small(path: str | Path) -> str:
    """The text of a file of /proc or /sys, at most 1 MiB of it; "" where it cannot be read."""
    try:
        return kernelfile.content(str(path), MAX_READ).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


# ---- parsers

def parse_memberships(text: str) -> dict[str, str]:
    """`/proc/<pid>/cgroup` as controller → path; version 2 is the controller ""."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                groups[controller] = parts[2]
    return groups


def parse_mounts(text: str) -> list[Mount]:
    """The control group hierarchies of `/proc/<pid>/mountinfo` (proc(5))."""
    mounts = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if not separator or len(fields) < 5 or tail[0] not in ("cgroup", "cgroup2"):
            continue
        version = 2 if tail[0] == "cgroup2" else 1
        options = tail[2].split(",") if version == 1 and len(tail) > 2 else []
        mounts.append(Mount(_unescaped(fields[3]), _unescaped(fields[4]), version,
                            frozenset(options)))
    return mounts


def _unescaped(path: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found.group(1), 8)), path)


def parse_limit(text: str) -> int | None:
    """A limit in bytes or microseconds: None for "max", -1, and the numbers that mean no limit."""
    number = _whole(text)
    return number if number is not None and 0 <= number < _NO_LIMIT else None


def parse_cpu_max(text: str) -> float | None:
    """`cpu.max` ("200000 100000") as a number of cores."""
    fields = text.split()
    return cores(fields[0], fields[1]) if len(fields) == 2 else None


def cores(quota: str, period: str) -> float | None:
    """A CPU quota and its period, both in microseconds, as a number of cores."""
    allowed, every = parse_limit(quota), parse_limit(period)
    return allowed / every if allowed and every else None


def parse_cpuset(text: str) -> frozenset[int] | None:
    """A list like "0-3,8" as CPU numbers; None where it is empty or no such list."""
    cpus: set[int] = set()
    left = MAX_CPUS
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        low, high = _whole(first), _whole(last or first)
        if low is None or high is None or not 0 <= low <= high < MAX_CPUS:
            return None
        left -= high - low + 1
        if left < 0:
            return None  # the kernel names none twice
        cpus.update(range(low, high + 1))
    return frozenset(cpus)


def parse_table(text: str) -> dict[str, int]:
    """Lines of "name number", as in memory.stat, memory.events and cpu.stat."""
    table: dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        number = _whole(value)
        if number is not None:
            table[name] = number
    return table


def _whole(text: str) -> int | None:
    # Kernel numbers have at most 20 digits; int() of a very long text takes its time.
    try:
        return int(text) if len(text) <= 32 else None
    except ValueError:
        return None


# ---- the groups of one process

class Groups:
    """The groups of this process, found once. `root` is where /proc and /sys lie.

    A process stays in its group as long as it runs, so a worker needs one of these.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._member = parse_memberships(read_small(root / "proc/self/cgroup"))
        self._mounts = parse_mounts(read_small(root / "proc/self/mountinfo"))
        self._memory = self._chain("memory")
        self._cpu = self._chain("cpu")
        self._cpuacct = self._chain("cpuacct")
        self._cpuset = self._chain("cpuset")
        version, chain = self._memory
        name = "memory.events" if version == 2 else "memory.oom_control"
        self._oom_events = [str(group / name) for group in chain[:1]]

    def memory(self) -> Memory:
        """What the groups from ours up leave us of the memory."""
        version, chain = self._memory
        limit_file = "memory.max" if version == 2 else "memory.limit_in_bytes"
        tightest: tuple[int | None, int | None] = (None, None)
        available: int | None = None
        for group in chain:
            limit = parse_limit(read_small(group / limit_file))
            if limit is None:
                continue
            usage = _memory_usage(version, group)
            if tightest[0] is None or limit < tightest[0]:
                tightest = (limit, usage)
            left = max(0, limit - (usage or 0))
            available = left if available is None else min(available, left)
        return Memory(tightest[0], tightest[1], available)

    def cpu_quota(self) -> float | None:
        """The smallest quota of the groups from ours up, in cores."""
        limited = self._quota_group()
        return limited[0] if limited is not None else None

    def cpu_seconds(self) -> float | None:
        """CPU time used so far in the group that has the quota, else in ours."""
        version, chain = self._cpu
        if not chain:
            return None
        limited = self._quota_group()
        index = limited[1] if limited is not None else 0
        if version == 2:
            used = parse_table(read_small(chain[index] / "cpu.stat")).get("usage_usec")
            return None if used is None else used / 1e6
        accounts = self._cpuacct[1]
        if not accounts:
            return None
        nanoseconds = _whole(read_small(accounts[min(index, len(accounts) - 1)] / "cpuacct.usage"))
        return None if nanoseconds is None else nanoseconds / 1e9

    def cpuset(self) -> frozenset[int] | None:
        """The CPUs that our group may run on."""
        for group in self._cpuset[1]:
            for name in ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"):
                cpus = parse_cpuset(read_small(group / name))
                if cpus is not None:
                    return cpus
        return None

    def oom_kills(self) -> int:
        """How many processes of our group the kernel has killed for want of memory, so far.

        Where no group counts them (the host itself), those of the whole machine.
        """
        for file in self._oom_events:
            count = parse_table(read_small(file)).get("oom_kill")
            if count is not None:
                return max(0, count)
        return max(0, parse_table(read_small(self._root / "proc/vmstat")).get("oom_kill", 0))

    def _quota_group(self) -> tuple[float, int] | None:
        version, chain = self._cpu
        found: tuple[float, int] | None = None
        for index, group in enumerate(chain):
            if version == 2:
                quota = parse_cpu_max(read_small(group / "cpu.max"))
            else:
                quota = cores(read_small(group / "cpu.cfs_quota_us"),
                              read_small(group / "cpu.cfs_period_us"))
            if quota is not None and (found is None or quota < found[0]):
                found = (quota, index)
        return found

    def _chain(self, controller: str) -> tuple[int, list[Path]]:
        """The version, and the directories from our group up to where the hierarchy is mounted."""
        for mount in self._mounts:
            if mount.version == 1 and controller in mount.controllers and controller in self._member:
                return 1, self._directories(mount, self._member[controller])
        for mount in self._mounts:
            if mount.version == 2 and "" in self._member:
                return 2, self._directories(mount, self._member[""])
        return 0, []

    def _directories(self, mount: Mount, path: str) -> list[Path]:
        top = self._root / mount.point.lstrip("/")
        inside = _below(path, mount.root)
        chain = [top.joinpath(*inside[:depth]) for depth in range(len(inside), -1, -1)]
        # A container may be shown the path of the host beside a mount of its own group alone.
        return [group for group in chain if os.path.isdir(str(group))]  # False for whatever cannot be a path


def _below(path: str, root: str) -> list[str]:
    """The parts of a group's path below the root of its mount; none where it is not inside."""
    parts = [part for part in path.split("/") if part]
    above = [part for part in root.split("/") if part]
    if ".." in parts or parts[:len(above)] != above:
        return []
    return parts[len(above):]


def _memory_usage(version: int, group: Path) -> int | None:
    name = "memory.current" if version == 2 else "memory.usage_in_bytes"
    usage = _whole(read_small(group / name))
    if usage is None:
        return None
    table = parse_table(read_small(group / "memory.stat"))
    cached = table.get("inactive_file" if version == 2 else "total_inactive_file", 0)
    return max(0, usage - cached)

