"""Finds all that a process of this host has started, from outside of that process, and kills it.

While it lives that is what is below it (`Descendants`); afterwards, what its session and its environment tell
(`end_session`).
"""

import os
import signal
import subprocess
import time
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

from jd.node.identity import Here

_PS_TIMEOUT = 5.0  # seconds
_LOOK_EVERY = 0.02  # seconds
_UNDYING = 10.0  # seconds after which what SIGKILL has not ended is left: it hangs in the kernel


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


def end_session(leader: int, marks: Sequence[str]) -> None:
    """SIGKILL to all that is left of the session that process `leader` has led.

    First its process group. On Linux also the rest of the session, and every process of this user whose
    environment has all of `marks`, such as `JD_JOB_ID=5`, whatever session it went to; until there are none.
    """
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # the group is empty
    until = time.monotonic() + _UNDYING
    while True:
        found = False
        for pid in _members(leader, [os.fsencode(mark) for mark in marks]):
            try:
                os.kill(pid, signal.SIGKILL)
                found = True
            except (ProcessLookupError, PermissionError):
                continue  # it ended meanwhile, or became another user's
        if not found or time.monotonic() >= until:
            return
        time.sleep(_LOOK_EVERY)  # what a process has started just before it died shows then


def _members(leader: int, marks: Sequence[bytes]) -> Iterator[int]:
    own, user = os.getpid(), os.getuid()
    for name in _numbers("/proc"):
        try:
            if int(name) == own or os.stat("/proc/" + name).st_uid != user:
                continue
            with open("/proc/%s/stat" % name, "rb") as stat:
                state, _, _, session = stat.read().rpartition(b")")[2].split()[:4]  # proc(5)
            if state in (b"Z", b"X"):
                continue
            if int(session) == leader or marks and _has_all(name, marks):
                yield int(name)
        except (OSError, ValueError):
            continue  # ended meanwhile


def _has_all(name: str, marks: Sequence[bytes]) -> bool:
    with open("/proc/%s/environ" % name, "rb") as environ:
        entries = set(environ.read().split(b"\0"))
    return entries.issuperset(marks)


def _numbers(directory: str) -> List[str]:
    try:
        return [name for name in os.listdir(directory) if name.isdigit()]
    except OSError:
        return []


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
    for name in _numbers("/proc"):
        try:
            with open("/proc/%s/stat" % name, "rb") as stat:
                # proc(5): "pid (comm) state ppid pgrp …"; comm may hold anything.
                fields = stat.read().rpartition(b")")[2].split()
            found.append((int(name), int(fields[1]), int(fields[2])))
        except (OSError, ValueError, IndexError):
            continue  # ended meanwhile
    return found
