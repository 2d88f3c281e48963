"""What a heartbeat says of the machine: the `system_metrics` of the protocol.

Within a container or a Slurm job, processors and memory are those it may use, not the host's.
Values are ready for JSON: numbers are finite and rounded, and a key that cannot be known is left
out. macOS has no /proc: what its commands tell is used, as far as it goes.
"""

import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import AbstractSet, Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Union

from jd.node.cgroups import Groups, read_small
from jd.node.cpus import affinity, allowed

# Closer readings than this (seconds) differ by a clock tick or two: the last rates stand.
MIN_INTERVAL = 0.1
LASTS = 1.0  # seconds that a sample stands: jobs may take milliseconds, and each asks for one
COMMAND_TIMEOUT = 2.0
GIB = 1024.0 ** 3

Number = Union[int, float]
Runner = Callable[[Sequence[str]], str]

_NOT_A_DISK = re.compile(r"(?:loop|ram|zram|sr|fd|dm-|md)\d")
_PARTITION = re.compile(r"p?\d+$")
_MHZ = re.compile(r"^cpu MHz\s*:\s*([0-9.]{1,16})\s*$", re.MULTILINE)
_VM_PAGES = re.compile(r"^Pages (free|inactive|speculative):\s+(\d+)\.", re.MULTILINE)
_VM_PAGE_SIZE = re.compile(r"page size of (\d+) bytes")


class CpuTimes(NamedTuple):
    """Clock ticks since boot, summed over some CPUs."""

    busy: int
    total: int


class Ram(NamedTuple):
    """Bytes."""

    total: int
    available: int


# ---- parsers

def parse_cpu_times(stat: str, cpus: AbstractSet[int] = frozenset()) -> Optional[CpuTimes]:
    """The times of `cpus` in /proc/stat; of the whole host where none is named or found there."""
    host: Optional[CpuTimes] = None
    busy = total = 0
    for line in stat.splitlines():
        if not line.startswith("cpu"):
            break
        name, *fields = line.split()
        try:
            # user nice system idle iowait irq softirq steal; guest time is in user already.
            ticks = [int(field) for field in fields[:8]]
            number = int(name[3:]) if name != "cpu" else -1
        except ValueError:
            continue
        if len(ticks) < 4:
            continue
        times = CpuTimes(sum(ticks) - sum(ticks[3:5]), sum(ticks))
        if number < 0:
            host = times
        elif number in cpus:
            busy += times.busy
            total += times.total
    return CpuTimes(busy, total) if total else host


def parse_meminfo(text: str) -> Optional[Ram]:
    """MemTotal and MemAvailable of /proc/meminfo (before Linux 3.14: free and cached)."""
    values: Dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if number and number[0].isdigit():
            values[name] = int(number[0]) * 1024
    total = values.get("MemTotal")
    if not total:
        return None
    free = values.get("MemFree", 0) + values.get("Buffers", 0) + values.get("Cached", 0)
    return Ram(total, min(total, values.get("MemAvailable", free)))


def parse_disk_times(diskstats: str) -> Dict[str, int]:
    """Milliseconds that each whole disk was busy, of /proc/diskstats (Documentation/iostats)."""
    times: Dict[str, int] = {}
    for line in diskstats.splitlines():
        fields = line.split()
        if len(fields) >= 13 and fields[12].isdigit() and not _NOT_A_DISK.match(fields[2]):
            times[fields[2]] = int(fields[12])
    return {name: busy for name, busy in times.items()
            if _PARTITION.sub("", name) == name or _PARTITION.sub("", name) not in times}


def parse_load(text: str) -> List[float]:
    """The three load averages of /proc/loadavg."""
    try:
        loads = [float(field) for field in text.split()[:3]]
    except ValueError:
        return []
    return loads if len(loads) == 3 else []


def parse_vm_stat(text: str, total: int) -> Optional[Ram]:
    """What `vm_stat` of macOS says is free or can be had at once."""
    size = _VM_PAGE_SIZE.search(text)
    pages = [int(found.group(2)) for found in _VM_PAGES.finditer(text)]
    if size is None or not pages or total <= 0:
        return None
    return Ram(total, min(total, sum(pages) * int(size.group(1))))


def json_clean(values: Dict[str, Union[Number, str, None]]) -> Dict[str, object]:
    """Without what is unknown or not finite; floats rounded to what a dashboard shows."""
    clean: Dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, float):
            if math.isfinite(value):
                clean[name] = round(value, 2)
        elif value is not None:
            clean[name] = value
    return clean


def _percent(part: float, whole: float) -> Optional[float]:
    return round(min(100.0, max(0.0, 100.0 * part / whole)), 1) if whole > 0 else None


def _whole_if_even(value: float) -> Number:
    return int(value) if value == int(value) else value


# ---- samplers

class SystemMetrics:
    """Samples for one worker. Rates (`cpu_util`, `disk_io_util`) are those since the last sample,
    the first since construction. A sample stands for LASTS. Use it from one thread at a time.

    `root` is where /proc and /sys lie; `affinity` gives the CPUs that the scheduler allows.
    """

    def __init__(self, worker_type: str = "worker", idle_slots: int = 0, root: Path = Path("/"),
                 clock: Callable[[], float] = time.monotonic,
                 affinity: Callable[[], AbstractSet[int]] = affinity,
                 platform: str = sys.platform, run: Optional[Runner] = None) -> None:
        self.worker_type = worker_type
        self.idle_slots = idle_slots
        self._clock = clock
        self._sampled_at: Optional[float] = None
        self._sampled: Dict[str, object] = {}
        self._machine: Union[_Linux, _MacOS]
        if platform == "darwin":
            self._machine = _MacOS(run if run is not None else _run)
        else:
            self._machine = _Linux(root, clock, affinity)

    def sample(self, idle_slots: Optional[int] = None) -> Dict[str, object]:
        """The metrics now. `idle_slots` replaces the number given before."""
        if idle_slots is not None:
            self.idle_slots = idle_slots
        now = self._clock()
        if self._sampled_at is None or now - self._sampled_at >= LASTS:
            self._sampled_at, self._sampled = now, json_clean(self._machine.sample())
        return dict(self._sampled, worker_type=self.worker_type, idle_slots=self.idle_slots)


class _Linux:
    def __init__(self, root: Path, clock: Callable[[], float],
                 affinity: Callable[[], AbstractSet[int]]) -> None:
        self._root = root
        self._clock = clock
        self._affinity = affinity
        self._groups = Groups(root)
        self._siblings: Dict[int, str] = {}
        # cpufreq is missing on virtual machines, whose /proc/cpuinfo does not change either.
        self._fixed_mhz = _mhz(read_small(root / "proc/cpuinfo"))
        self._cpu_util: Optional[float] = None
        self._disk_util: Optional[float] = None
        self._previous = self._reading()

    def sample(self) -> Dict[str, Union[Number, str, None]]:
        reading = self._reading()
        self._advance(reading)
        cpus = reading.cpus
        limit = min(float(len(cpus)), reading.quota) if reading.quota is not None else len(cpus)
        host_cpus = os.cpu_count() or len(cpus)
        values: Dict[str, Union[Number, str, None]] = {
            "cpu_util": self._cpu_util,
            "disk_io_util": self._disk_util,
        }
        if cpus:
            values["cpu_threads"] = _whole_if_even(limit)
            values["cpu_cores"] = _whole_if_even(min(float(self._core_count(cpus)), limit))
        values["cpu_freq_mhz"] = self._frequency(cpus)
        values.update(_ram_values(self._ram()))
        values.update(_load_values(parse_load(read_small(self._root / "proc/loadavg")), host_cpus))
        return values

    def _reading(self) -> "_Reading":
        cpus = allowed(self._groups, self._affinity())
        return _Reading(
            at=self._clock(),
            cpus=cpus,
            times=parse_cpu_times(read_small(self._root / "proc/stat"), cpus),
            quota=self._groups.cpu_quota(),
            used=self._groups.cpu_seconds(),
            disks=parse_disk_times(read_small(self._root / "proc/diskstats")),
        )

    def _advance(self, reading: "_Reading") -> None:
        """Turn the difference to the previous reading into rates."""
        seconds = reading.at - self._previous.at
        if seconds < MIN_INTERVAL:
            if self._cpu_util is None and reading.times is not None:
                self._cpu_util = 0.0
            if self._disk_util is None and reading.disks:
                self._disk_util = 0.0
            return
        before = self._previous
        self._previous = reading
        self._cpu_util = _cpu_util(before, reading, seconds)
        shares = [_percent(busy - before.disks[name], seconds * 1000.0)
                  for name, busy in reading.disks.items() if name in before.disks]
        self._disk_util = max((share for share in shares if share is not None), default=None)

    def _ram(self) -> Optional[Ram]:
        host = parse_meminfo(read_small(self._root / "proc/meminfo"))
        memory = self._groups.memory()
        if memory.limit is None or memory.available is None:
            return host
        if host is None:
            return Ram(memory.limit, memory.available)
        return Ram(min(host.total, memory.limit), min(host.available, memory.available))

    def _core_count(self, cpus: FrozenSet[int]) -> int:
        """Physical cores among `cpus`: hyper-threads of one core list the same siblings."""
        for cpu in cpus.difference(self._siblings):
            path = "sys/devices/system/cpu/cpu%d/topology/thread_siblings_list" % cpu
            self._siblings[cpu] = read_small(self._root / path).strip() or str(cpu)
        return len({self._siblings[cpu] for cpu in cpus})

    def _frequency(self, cpus: FrozenSet[int]) -> Optional[float]:
        # One CPU is enough: some kernels wait 10 ms for each.
        path = "sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq" % min(cpus, default=0)
        text = read_small(self._root / path).strip()
        return int(text) / 1000.0 if text.isdigit() else self._fixed_mhz


class _Reading(NamedTuple):
    at: float
    cpus: FrozenSet[int]
    times: Optional[CpuTimes]
    quota: Optional[float]
    used: Optional[float]
    disks: Dict[str, int]


def _cpu_util(before: _Reading, now: _Reading, seconds: float) -> Optional[float]:
    """Percent of what we may use: of the quota where there is one, else of our CPUs."""
    threads = float(len(now.cpus) or 1)
    if now.quota is not None and now.quota < threads and None not in (now.used, before.used):
        return _percent((now.used or 0.0) - (before.used or 0.0), seconds * now.quota)
    if now.times is None or before.times is None or before.cpus != now.cpus:
        return None
    return _percent(now.times.busy - before.times.busy, now.times.total - before.times.total) or 0.0


def _mhz(cpuinfo: str) -> Optional[float]:
    found = _MHZ.search(cpuinfo)
    try:
        return float(found.group(1)) if found is not None else None
    except ValueError:
        return None


def _ram_values(ram: Optional[Ram]) -> Dict[str, Optional[float]]:
    if ram is None:
        return {}
    return {"ram_total": ram.total / GIB, "ram_available": ram.available / GIB,
            "ram_util": _percent(ram.total - ram.available, ram.total)}


def _load_values(loads: Sequence[float], cpus: int) -> Dict[str, Optional[float]]:
    """Load is the host's, whatever our limits, so it is divided by the host's CPUs."""
    if len(loads) != 3:
        return {}
    return {"load_1min": loads[0], "load_5min": loads[1], "load_15min": loads[2],
            "load_per_cpu": loads[0] / cpus if cpus else None}


class _MacOS:
    _FIXED = ("hw.memsize", "hw.physicalcpu", "hw.logicalcpu", "hw.cpufrequency")

    def __init__(self, run: Runner) -> None:
        self._run = run
        self._fixed: Optional[Dict[str, int]] = None

    def sample(self) -> Dict[str, Union[Number, str, None]]:
        if self._fixed is None:
            self._fixed = _sysctl(self._run(["sysctl"] + list(self._FIXED)))
        fixed = self._fixed
        threads = fixed.get("hw.logicalcpu") or os.cpu_count() or 1
        hertz = fixed.get("hw.cpufrequency")  # unknown on Apple's own processors
        values: Dict[str, Union[Number, str, None]] = {
            "cpu_util": _sum_percent(self._run(["ps", "-A", "-o", "%cpu="]), threads),
            "cpu_cores": fixed.get("hw.physicalcpu"),
            "cpu_threads": threads,
            "cpu_freq_mhz": hertz / 1e6 if hertz else None,
        }
        values.update(_ram_values(parse_vm_stat(self._run(["vm_stat"]), fixed.get("hw.memsize", 0))))
        try:
            values.update(_load_values(os.getloadavg(), threads))
        except OSError:
            pass  # the system does not know its load just now: the keys are left out
        return values


def _sysctl(text: str) -> Dict[str, int]:
    values: Dict[str, int] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if value.strip().isdigit():
            values[name.strip()] = int(value)
    return values


def _sum_percent(text: str, threads: int) -> Optional[float]:
    """The CPU shares of all processes, in percent of the whole machine."""
    shares = []
    for field in text.replace(",", ".").split():
        try:
            shares.append(float(field))
        except ValueError:
            return None
    return _percent(sum(shares), 100.0 * threads) if shares else None


def _run(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=COMMAND_TIMEOUT,
                              check=False).stdout.decode("ascii", "replace")
    except (OSError, subprocess.SubprocessError):
        return ""
