"""Finds all that a process of this host has started, from outside of that process, and kills it."""

import os
import signal
import subprocess
from typing import Dict, List, Optional, Set, Tuple

from jd.node.identity import Here

_PS_TIMEOUT = 5.0  # seconds


class Descendants:
    """Processes below `pid` at the time of making this, each with its start time.

    `kill` signals only what is still the same process, and the groups that such processes lead.
    """

    def __init__(self, pid: int, here: Here) -> None:
        self._here = here
        below: Dict[int, List[int]] = {}
        self._groups: Dict[int, int] = {}
        for child, parent, group in _processes():
            below.setdefault(parent, []).append(child)
            self._groups[child] = group
        found: Set[int] = set()
        todo = list(below.get(pid, []))
        while todo:
            child = todo.pop()
            if child not in found:
                found.add(child)
                todo += below.get(child, [])
        found.discard(os.getpid())  # who stops a worker from within its job
        self.started: Dict[int, Optional[str]] = {
            child: here.start_time(child) for child in found}

    def kill(self) -> None:
        """SIGKILL to all of them, and to the groups of which they are the leaders."""
        for pid, started in self.started.items():
            if started is None or self._here.start_time(pid) != started:
                continue
            try:
                if self._groups.get(pid) == pid and pid != os.getpgrp():
                    os.killpg(pid, signal.SIGKILL)
                else:
                    os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass  # ended meanwhile, or of another user (sudo)


def _processes() -> List[Tuple[int, int, int]]:
    """Process id, parent and process group of every process."""
    if os.path.exists("/proc/self/stat"):
        return _from_proc()
    try:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,pgid="], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                timeout=_PS_TIMEOUT, check=False).stdout.decode("ascii", "replace")
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split() for line in listed.splitlines()]
    return [(int(row[0]), int(row[1]), int(row[2])) for row in rows
            if len(row) == 3 and all(word.isdigit() for word in row)]


def _from_proc() -> List[Tuple[int, int, int]]:
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as stat:
                # proc(5): "pid (comm) state ppid pgrp …"; comm may hold anything.
                fields = stat.read().rpartition(b")")[2].split()
            found.append((int(name), int(fields[1]), int(fields[2])))
        except (OSError, ValueError, IndexError):
            continue  # ended meanwhile
    return found
