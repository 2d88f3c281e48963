"""What benchmarks share: how long something takes, and what a process has used, by /proc."""

import math
import os
import resource
import time
from pathlib import Path
from typing import Callable, Dict, List, Sequence


def timed(action: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def in_turn(rounds: int, *actions: Callable[[], object]) -> List[List[float]]:
    """Seconds of each action in each round. Whatever comes first in one round comes last in the next."""
    found: List[List[float]] = [[] for _ in actions]
    for turn in range(rounds):
        for at in sorted(range(len(actions)), reverse=turn % 2 == 1):
            found[at].append(timed(actions[at]))
    return found


def most_of(times: Sequence[float], percent: int = 99) -> float:
    """The value that so many percent of them do not exceed; NaN where there are none."""
    return sorted(times)[(len(times) - 1) * percent // 100] if times else math.nan


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has had, without its children; 0 where the system does not tell."""
    try:
        fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def computed(pid: int) -> float:
    """`cpu_seconds` of the threads that there are, to the microsecond, for what takes less than a tick of the
    kernel."""
    total = 0
    for path in Path("/proc/%d/task" % pid).glob("*/schedstat"):
        try:
            total += int(path.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            pass  # a thread that has ended
    return total / 1e9


def sizes(pid: int, file: str) -> Dict[str, float]:
    """What is told in kB, by the kernel's names, in `status` (VmRSS, VmHWM) or `smaps_rollup` (Pss)
    of /proc/PID; nothing where the system does not tell."""
    try:
        lines = Path("/proc/%d/%s" % (pid, file)).read_text().splitlines()
    except OSError:
        return {}
    return {line.partition(":")[0]: float(line.split()[1]) for line in lines if line.endswith(" kB")}


def may_open(files: int) -> bool:
    """Let this process and those that it starts have so many open files; says so and is False where it may
    not."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    enough = hard == resource.RLIM_INFINITY or hard >= files
    if not enough:
        print("not measured: a process may have %d open files here (ulimit -Hn), and this needs %d" % (
            hard, files))
    return enough
