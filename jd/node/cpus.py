"""The CPUs that this process may use: what affinity, cpuset and quota leave it of the machine's."""

import os
from typing import AbstractSet, FrozenSet, Optional

from jd.node.cgroups import Groups


def affinity() -> FrozenSet[int]:
    """What the scheduler of the system allows this process; all where it does not tell (macOS)."""
    ask = getattr(os, "sched_getaffinity", None)
    return frozenset(ask(0)) if ask is not None else frozenset(range(os.cpu_count() or 1))


def allowed(groups: Groups, mask: AbstractSet[int]) -> FrozenSet[int]:
    """The CPUs of the affinity mask and the cpuset; Slurm sets one or the other, or both."""
    cpuset = groups.cpuset()
    if cpuset is None or not mask & cpuset:
        return frozenset(mask or cpuset or ())
    return frozenset(mask & cpuset)


def usable(groups: Groups, mask: Optional[AbstractSet[int]] = None) -> float:
    """How many of them, at most as many as the quota of the container or job allows; more than 0."""
    count = float(len(allowed(groups, affinity() if mask is None else mask)) or 1)
    quota = groups.cpu_quota()
    return count if quota is None else min(count, quota)
