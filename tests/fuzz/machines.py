"""What kernels, schedulers and drivers say of a machine. `jd/node`, `gpumetrics.py`, `filesystems.py`."""

import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from jd.files import filesystems
from jd.node import cgroups, scheduler
from jd.node.cgroups import Groups
from jd.worker.launch import gpumetrics
from tests.fuzz.material import Source
from tests.fuzz.properties import Property


def _lines(source: Source) -> str:
    kind = source.below(6)
    if kind == 0:
        return "".join(
            "%s:%s:%s\n"
            % (
                source.number(),
                source.one("memory", "cpu,cpuacct", "", source.word()),
                "/" + (source.text(3)),
            )
            for _ in range(source.few(5))
        )
    if kind == 1:
        return "".join(
            "36 35 98:0 %s %s rw - %s cgroup rw,%s\n"
            % (
                source.one("/", "/a", source.text(2)),
                source.one("/sys/fs/cgroup", "\\040\\777", source.text(2)),
                source.one("cgroup", "cgroup2", "ext4"),
                source.one("memory", "cpu", "cpuset"),
            )
            for _ in range(source.few(5))
        )
    if kind == 2:
        return "%s %s" % (source.number(), source.number())
    if kind == 3:
        return ",".join(
            "%s-%s" % (source.number(), source.number()) if source.chance(0.5) else source.number()
            for _ in range(source.few(8))
        )
    if kind == 4:
        return "".join(
            "%s %s\n" % (source.one("oom_kill", "usage_usec", source.word()), source.number())
            for _ in range(source.few(5))
        )
    return source.one(
        "max",
        "-1",
        source.number(),
        source.text(3),
        "%s-%s:%s:%s" % (source.below(3), source.number(), source.below(99), source.below(99)),
        "UNLIMITED",
        "INVALID\nx",
        "1:2:3:4",
    )


def make_kernel(source: Source) -> str:
    """The text of a file of /proc or /sys, or of squeue."""
    return source.maybe(_lines(source), 0.4)


def check_kernel(text: str) -> None:
    """Nothing is raised; numbers are usable."""
    cgroups.parse_memberships(text)
    cgroups.parse_mounts(text)
    limit, quota, cpus = cgroups.parse_limit(text), cgroups.parse_cpu_max(text), cgroups.parse_cpuset(text)
    assert limit is None or 0 <= limit < 2**62
    assert quota is None or 0 < quota < math.inf
    assert cpus is None or all(0 <= cpu < cgroups.MAX_CPUS for cpu in cpus)
    cgroups.parse_table(text)
    left = scheduler.parse_time_left(text)
    assert left is None or left >= 0
    filesystems._mounts(text)


def make_tree(source: Source) -> Dict[str, str]:
    """The files below a root, by path."""
    tree = {
        "proc/self/cgroup": source.maybe(
            source.one("0::/a/b\n", "4:memory:/a\n0::/\n", "0::/../x\n", _lines(source)), 0.3
        ),
        "proc/self/mountinfo": source.maybe(
            "36 35 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
            "37 35 0:1 / /sys/fs/m rw - cgroup c rw,memory\n",
            0.3,
        ),
    }
    for name in (
        "memory.max",
        "memory.current",
        "memory.stat",
        "memory.events",
        "cpu.max",
        "cpu.stat",
        "cpuset.cpus.effective",
    ):
        if source.chance(0.5):
            tree["sys/fs/cgroup/%s%s" % (source.one("", "a/", "a/b/"), name)] = make_kernel(source)
    return tree


def check_tree(tree: Dict[str, str]) -> None:
    """Nothing is raised by what looks at the groups of a process."""
    root = Path(tempfile.mkdtemp(prefix="jd-fuzz-"))
    try:
        for name, text in tree.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8", errors="replace")
        groups = Groups(root)
        memory = groups.memory()
        assert memory.available is None or memory.available >= 0
        assert groups.oom_kills() >= 0
        groups.cpu_quota(), groups.cpu_seconds(), groups.cpuset()
    finally:
        shutil.rmtree(str(root))


def make_allocation(source: Source) -> Tuple[Dict[str, str], str]:
    """Variables of a scheduler, and what squeue says."""
    names = (
        "SLURM_JOB_ID",
        "SLURM_ARRAY_TASK_ID",
        "SLURM_ARRAY_JOB_ID",
        "SLURM_RESTART_COUNT",
        "SLURM_JOB_END_TIME",
        "SLURM_JOB_START_TIME",
        "PBS_JOBID",
        "PBS_ARRAY_INDEX",
        "LSB_JOBID",
        "LSB_JOBINDEX",
        "JOB_ID",
        "SGE_TASK_ID",
        "RESTARTED",
        "KUBERNETES_SERVICE_HOST",
        "JD_SCRATCH",
        "TMPDIR",
        "APPTAINER_CONTAINER",
    )
    return (
        {
            source.of(names): source.one(
                source.number(), source.text(2), "", "4711", "undefined", "/tmp"
            ).replace("\0", "")
            for _ in range(source.few(8))
        },
        make_kernel(source),
    )


def check_allocation(given: Tuple[Dict[str, str], str]) -> None:
    """Nothing is raised; a time that is left is a number."""
    environ, told = given
    allocation: Optional[Any] = scheduler.detect(environ)
    scheduler.scratch(environ), scheduler.is_managed(environ, Path(os.devnull))
    if allocation is not None:
        assert allocation.shown and allocation.restarts >= 0
        left = scheduler.time_left(allocation, 1.7e9, lambda command: told)
        assert left is None or left >= 0


def make_gpus(source: Source) -> str:
    """What a tool for GPUs prints."""
    if source.chance(0.5):
        return source.maybe(
            "".join(
                "%s, GPU-%s, %s, %s, %s\n"
                % (
                    source.below(9),
                    source.word(),
                    *(source.one(str(source.below(100)), source.number(), "[N/A]") for _ in range(3)),
                )
                for _ in range(source.few(4))
            )
        )
    cards = {
        "card%s" % source.one("0", "1", "²", source.number()): source.one(
            source.value(1),
            {
                "Unique ID": source.number(),
                "GPU use (%)": source.one("7", source.number(), None),
                "VRAM Total Memory (B)": source.number(),
                "VRAM Total Used Memory (B)": source.number(),
            },
        )
        for _ in range(source.few(4))
    }
    return source.maybe("WARNING\n" + source.json(cards), 0.4)


def check_gpus(text: str) -> None:
    """Nothing is raised, and a heartbeat can carry what comes of it."""
    for parse in (gpumetrics.parse_nvidia, gpumetrics.parse_rocm):
        for value in gpumetrics.summary(parse(text)).values():
            assert value is None or math.isfinite(float(value)), value


PROPERTIES = (
    Property(
        "kernel",
        make_kernel,
        check_kernel,
        ("", "\0", "0-65535," * 5000 + "1", "9" * 10_000, "0-99999999"),
        weight=60,
    ),
    Property(
        "cgroup-tree",
        make_tree,
        check_tree,
        (
            {
                "proc/self/cgroup": "0::/%s\n" % ("a" * 5000),
                "proc/self/mountinfo": "36 35 0:1 / /s rw - cgroup2 c rw\n",
            },
            {"proc/self/cgroup": "0::/a\0b\n", "proc/self/mountinfo": "36 35 0:1 / /s rw - cgroup2 c rw\n"},
        ),
        weight=2,
    ),
    Property("scheduler", make_allocation, check_allocation, weight=60),
    Property(
        "gpus",
        make_gpus,
        check_gpus,
        (
            "{",
            "}{",
            "0, GPU-a, nan, inf, -inf",
            '{"card0": {"GPU use (%)": NaN}}',
            "{%s}" % ('"card0":{' * 5000),
        ),
        weight=40,
    ),
)
