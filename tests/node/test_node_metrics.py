"""The system metrics of heartbeats."""

import json
import os
from pathlib import Path
from typing import Any, Sequence, Tuple

import pytest

from jd.node import metrics
from jd.node.metrics import LASTS, CpuTimes, Ram, SystemMetrics

KEYS = {"cpu_util", "ram_util", "ram_available", "ram_total", "worker_type", "idle_slots",
        "load_1min", "load_5min", "load_15min", "load_per_cpu", "disk_io_util", "cpu_cores",
        "cpu_threads", "cpu_freq_mhz"}
MEMINFO = "MemTotal:       16777216 kB\nMemFree:  10 kB\nMemAvailable:   4194304 kB\nHugePages_Total: 0\n"
DISK = "   8       0 sda 9 9 9 9 9 9 9 9 0 %d 9 0 0\n   8  1 sda1 9 9 9 9 9 9 9 9 0 99999 9\n"


def stat(*cpus: Tuple[int, int]) -> str:
    """/proc/stat of CPUs given as (busy, idle) ticks, the sum line first."""
    rows = [(sum(c[0] for c in cpus), sum(c[1] for c in cpus))] + list(cpus)
    lines = ["%s %d 0 0 %d 0 0 0 0 0 0" % ("cpu" if n == 0 else "cpu%d" % (n - 1), busy, idle)
             for n, (busy, idle) in enumerate(rows)]
    return "\n".join(lines + ["intr 5 5", "btime 1"]) + "\n"


class Host:
    """A fake Linux machine: files that change, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 100.0
        self.cpus = {0, 1, 2, 3}
        self.write("proc/stat", stat((0, 0), (0, 0), (0, 0), (0, 0)))
        self.write("proc/meminfo", MEMINFO)
        self.write("proc/loadavg", "3.00 2.00 1.00 1/9 77\n")
        self.write("proc/diskstats", DISK % 0)
        self.write("proc/cpuinfo", "processor : 0\ncpu MHz\t\t: 2300.123\n\nprocessor: 1\n")
        for cpu in range(4):
            self.write("sys/devices/system/cpu/cpu%d/topology/thread_siblings_list" % cpu,
                       "0,2\n" if cpu % 2 == 0 else "1,3\n")

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def limit(self, **files: str) -> None:
        """Put the process into a version 2 group with these files (`.` written as `__`)."""
        self.write("proc/self/cgroup", "0::/job\n")
        self.write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        for name, text in files.items():
            self.write("sys/fs/cgroup/job/" + name.replace("__", "."), text)

    def metrics(self, **options: Any) -> SystemMetrics:
        return SystemMetrics(root=self.root, clock=lambda: self.now, affinity=lambda: self.cpus,
                             platform="linux", **options)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_every_key_of_the_protocol_and_no_other(host: Host) -> None:
    sample = host.metrics(worker_type="gpu-a100", idle_slots=2).sample()
    assert set(sample) == KEYS
    assert sample["worker_type"] == "gpu-a100"
    assert json.loads(json.dumps(sample, allow_nan=False)) == sample


def test_rates_are_those_since_the_last_sample(host: Host) -> None:
    system = host.metrics()
    host.now += 10
    host.write("proc/stat", stat((100, 100), (0, 200), (0, 200), (0, 200)))
    host.write("proc/diskstats", DISK % 2500)
    first = system.sample()
    assert (first["cpu_util"], first["disk_io_util"]) == (12.5, 25.0)
    host.now += 10
    host.write("proc/stat", stat((300, 100), (200, 200), (200, 200), (200, 200)))
    second = system.sample()
    assert (second["cpu_util"], second["disk_io_util"]) == (100.0, 0.0)


def test_a_first_sample_at_once_is_zero_and_does_not_divide_by_it(host: Host) -> None:
    sample = host.metrics().sample()
    assert (sample["cpu_util"], sample["disk_io_util"]) == (0.0, 0.0)


def test_samples_in_quick_succession_keep_the_last_rates(host: Host) -> None:
    system = host.metrics()
    host.now += 10
    host.write("proc/stat", stat((100, 100), (100, 100), (100, 100), (100, 100)))
    assert system.sample()["cpu_util"] == 50.0
    host.now += 0.01
    assert system.sample()["cpu_util"] == 50.0


def test_a_sample_stands_for_a_second(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    system = host.metrics()
    sample = system.sample()
    with monkeypatch.context() as patched:
        patched.setattr(metrics, "read_small", None)
        host.now += LASTS / 2
        assert system.sample() == sample
        assert system.sample(idle_slots=3)["idle_slots"] == 3
    host.now += LASTS / 2
    host.write("proc/loadavg", "9.0 8.0 7.0 1/2 3")
    assert system.sample()["load_1min"] == 9.0


def test_memory_load_and_processors_of_a_host_without_limits(host: Host) -> None:
    sample = host.metrics().sample()
    assert (sample["ram_total"], sample["ram_available"], sample["ram_util"]) == (16.0, 4.0, 75.0)
    assert (sample["load_1min"], sample["load_5min"], sample["load_15min"]) == (3.0, 2.0, 1.0)
    assert (sample["cpu_threads"], sample["cpu_cores"]) == (4, 2)
    assert sample["cpu_freq_mhz"] == 2300.12


def test_the_current_frequency_where_the_kernel_tells_it(host: Host) -> None:
    host.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "3450000\n")
    host.cpus = {1, 3}
    assert host.metrics().sample()["cpu_freq_mhz"] == 3450.0


def test_load_per_cpu_counts_the_cpus_of_the_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    host.cpus = {1}
    assert host.metrics().sample()["load_per_cpu"] == 0.25


def test_memory_is_that_of_the_group(host: Host) -> None:
    host.limit(memory__max=str(2 * 1024 ** 3), memory__current=str(1024 ** 3), memory__stat="")
    sample = host.metrics().sample()
    assert (sample["ram_total"], sample["ram_available"], sample["ram_util"]) == (2.0, 1.0, 50.0)


def test_a_group_may_not_have_more_than_the_host(host: Host) -> None:
    host.limit(memory__max=str(64 * 1024 ** 3), memory__current="0")
    sample = host.metrics().sample()
    assert (sample["ram_total"], sample["ram_available"]) == (16.0, 4.0)


def test_a_quota_is_the_measure_of_cpu_use(host: Host) -> None:
    host.limit(cpu__max="150000 100000\n", cpu__stat="usage_usec 1000000\n")
    system = host.metrics()
    host.now += 10
    host.limit(cpu__stat="usage_usec 8500000\n")
    sample = system.sample()
    assert sample["cpu_util"] == 50.0
    assert (sample["cpu_threads"], sample["cpu_cores"]) == (1.5, 1.5)


def test_a_cpuset_counts_its_own_cpus_only(host: Host) -> None:
    host.limit(cpuset__cpus__effective="1,3\n")
    system = host.metrics()
    host.now += 10
    host.write("proc/stat", stat((100, 0), (50, 50), (100, 0), (0, 100)))
    sample = system.sample()
    assert sample["cpu_util"] == 25.0
    assert (sample["cpu_threads"], sample["cpu_cores"]) == (2, 1)


def test_an_affinity_mask_counts_like_a_cpuset(host: Host) -> None:
    host.cpus = {0, 1}
    sample = host.metrics().sample()
    assert (sample["cpu_threads"], sample["cpu_cores"]) == (2, 2)


def test_the_cpus_may_change_between_two_samples(host: Host) -> None:
    system = host.metrics()
    host.cpus = {0}
    host.now += 10
    assert "cpu_util" not in system.sample()
    host.now += 10
    host.write("proc/stat", stat((50, 50), (0, 0), (0, 0), (0, 0)))
    assert system.sample()["cpu_util"] == 50.0


def test_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    system = SystemMetrics(root=tmp_path, affinity=frozenset, platform="linux")
    assert system.sample() == {"worker_type": "worker", "idle_slots": 0}


def test_counters_that_go_back_give_no_negative_rates(host: Host) -> None:
    host.write("proc/diskstats", DISK % 5000)
    host.limit(cpu__max="100000 100000\n", cpu__stat="usage_usec 9000000\n")
    system = host.metrics()
    host.now += 10
    host.write("proc/diskstats", DISK % 0)
    host.limit(cpu__stat="usage_usec 0\n")
    sample = system.sample()
    assert (sample["cpu_util"], sample["disk_io_util"]) == (0.0, 0.0)


def test_idle_slots_are_kept_until_replaced(host: Host) -> None:
    system = host.metrics(idle_slots=1)
    assert system.sample(idle_slots=4)["idle_slots"] == 4
    assert system.sample()["idle_slots"] == 4


def test_json_clean_drops_what_json_cannot_say() -> None:
    clean = metrics.json_clean({"a": float("nan"), "b": float("inf"), "c": None, "d": 1.23456, "e": 2})
    assert clean == {"d": 1.23, "e": 2}


# ---- parsers

def test_waiting_for_a_disk_is_not_busy_and_guests_are_not_counted_twice() -> None:
    assert metrics.parse_cpu_times("cpu  10 5 5 60 20 0 0 0 10 5\n") == CpuTimes(20, 100)


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu a b c d\n", "cpu 1 2\n", "intr 1 2 3 4\n"])
def test_broken_cpu_times_are_unknown(text: str) -> None:
    assert metrics.parse_cpu_times(text, {0}) is None


def test_partitions_and_stacked_devices_are_not_disks() -> None:
    names = ["sda", "sda1", "nvme0n1", "nvme0n1p2", "mmcblk0", "mmcblk0p1", "dm-0", "loop3", "md127",
             "sr0", "zram0", "xvda1", "nbd0", "nbd1"]
    text = "".join("8 0 %s 1 1 1 1 1 1 1 1 0 %d 1\n" % (name, n) for n, name in enumerate(names))
    assert set(metrics.parse_disk_times(text)) == {"sda", "nvme0n1", "mmcblk0", "xvda1", "nbd0", "nbd1"}


def test_old_kernels_do_not_say_what_is_available() -> None:
    text = "MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 20 kB\n"
    assert metrics.parse_meminfo(text) == Ram(100 * 1024, 35 * 1024)


@pytest.mark.parametrize("text", ["", "MemTotal: kB\n", "MemTotal: 0 kB\n", "garbage"])
def test_broken_meminfo_is_unknown(text: str) -> None:
    assert metrics.parse_meminfo(text) is None


# ---- macOS

SAID = {
    "sysctl": "hw.memsize: 17179869184\nhw.physicalcpu: 4\nhw.logicalcpu: 8\nhw.cpufrequency: 2400000000\n",
    "ps": " 200.0\n  100,0\n 0.0\n",
    "vm_stat": "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
               "Pages free:                              65536.\n"
               "Pages active:                            99999.\n"
               "Pages inactive:                         131072.\n"
               "Pages speculative:                       65536.\n",
}


def test_macos_is_read_from_its_commands_once_per_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (4.0, 2.0, 1.0))
    asked = []

    def run(command: Sequence[str]) -> str:
        asked.append(command[0])
        return SAID[command[0]]

    now = [0.0]
    system = SystemMetrics(platform="darwin", run=run, clock=lambda: now[0])
    assert asked == []
    sample = system.sample()
    assert sample == {
        "cpu_util": 37.5, "cpu_cores": 4, "cpu_threads": 8, "cpu_freq_mhz": 2400.0,
        "ram_total": 16.0, "ram_available": 4.0, "ram_util": 75.0,
        "load_1min": 4.0, "load_5min": 2.0, "load_15min": 1.0, "load_per_cpu": 0.5,
        "worker_type": "worker", "idle_slots": 0,
    }
    assert sorted(asked) == ["ps", "sysctl", "vm_stat"]
    assert system.sample() == sample and len(asked) == 3
    now[0] = LASTS
    system.sample()
    assert sorted(asked) == ["ps", "ps", "sysctl", "vm_stat", "vm_stat"]


def test_macos_commands_that_fail_leave_their_keys_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    sample = SystemMetrics(platform="darwin", run=lambda command: "").sample()
    assert not set(sample) & {"cpu_util", "ram_total", "cpu_cores", "cpu_freq_mhz"}
    assert sample["cpu_threads"] == 8


def test_a_missing_command_is_an_empty_answer() -> None:
    assert metrics._run(["/nonexistent/command"]) == ""
