"""Processes that would outlive the one they belong to, on Linux.

The script is killed when its worker dies, and what the script has started is killed when the script ends.
As a child subreaper (prctl(2), PR_SET_CHILD_SUBREAPER) a worker becomes the parent of every descendant
whose own parent ended, daemons included, and so can find and end them. On other systems these functions
do nothing, and only the script's process group is ended.
"""

import os
import signal
import sys
from typing import Any, Callable, List, Optional, Set

from jd.node import kernelfile

# Children that somebody else waits for, and that no script has started (see `helpers`).
cared_for: Set[int] = set()

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl() -> Optional[Any]:
    """The C function, or None where there is none (another system, a Python without ctypes)."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        import ctypes
        return ctypes.CDLL(None, use_errno=True).prctl
    except (ImportError, OSError, AttributeError):
        return None


def become_subreaper() -> bool:
    """Have orphaned descendants come to this process. False where the system cannot."""
    prctl = _prctl()
    return prctl is not None and prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def die_with_parent(signum: int) -> Optional[Callable[[], None]]:
    """A function for a fresh child of this process that makes it get `signum` when we die.

    None where the system cannot. Everything is looked up here: between fork and exec a child of a
    process with threads can do little.
    """
    prctl = _prctl()
    if prctl is None:
        return None
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(128 + signal.SIGKILL)  # the parent died before the call above

    return in_child


def children() -> Set[int]:
    """Process ids of our children, dead ones that nobody waited for included; not of those `cared_for`, nor
    of what another thread than the main one has started."""
    if not sys.platform.startswith("linux"):
        return set()
    try:
        return _children_listed() - cared_for
    except OSError:
        return _children_by_scan() - cared_for  # the kernel does not list them


def reap_strangers(known: Set[int]) -> None:
    """Wait for dead children that nobody else will; those in `known` are left to their owners."""
    if not sys.platform.startswith("linux"):
        return
    try:
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return  # as nearly always, which needs no look at all of them
        for pid in children() - known:
            os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def end_all(pids: Set[int]) -> None:
    """SIGKILL children and wait for those that are dead already."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # gone, or of another user (sudo): the caller sees whether it stays
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def _children_listed() -> Set[int]:
    # Needs CONFIG_PROC_CHILDREN, which distributions set. The main thread begins all scripts, and what they
    # leave comes to it, as it lives as long as the process: so its list has all that there may be to end.
    return set(map(int, kernelfile.content("/proc/self/task/%d/children" % os.getpid()).split()))


def _children_by_scan() -> Set[int]:
    own = os.getpid()
    return {pid for pid in _process_ids() if _parent_of(pid) == own}


def _process_ids() -> List[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _parent_of(pid: int) -> Optional[int]:
    """The parent from /proc/<pid>/stat (proc(5)): the second field after the name in brackets."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
