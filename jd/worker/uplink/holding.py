"""Who delivers a result that waits: the process whose mark its file name bears.

    7-1-9f3c2ab0.json                     nobody yet: any worker of the experiment, on any node
    7-1-9f3c2ab0@4be1c07a.3117.88301.json the process 3117 of a machine, which started at 88301

A rename is done by one, on network file systems too, so no two take the same result. One whose holder has
died is free again: on its own machine at once, on others when nothing was heard of the holder for `HELD_FOR`,
since it touches the file while it waits. Where clocks differ by more than that, or one of its files takes
longer to upload, a result may be delivered twice, which does no harm: servers know the attempt.
"""

import hashlib
import os
import re
import time
from pathlib import Path
from typing import Callable, NamedTuple

from jd.node.identity import UNKNOWN_START, Here
from jd.worker.local.outboxes import SUFFIX

# Seconds. Less than the lease that a job has when its server is back, so that a result whose node has crashed
# comes before the job is given to another worker; more than the longest pause between two tries and a call.
HELD_FOR = 120.0
TOUCH_EVERY = 30.0
_MARK = re.compile(r"([0-9a-f]{8})\.([0-9]{1,10})\.([0-9a-z]{1,32})")


class _Mark(NamedTuple):
    machine: str
    pid: int
    started: str


class Holder:
    """This process, as the one that delivers. `clock` tells Unix seconds."""

    def __init__(self, here: Here, clock: Callable[[], float] = time.time) -> None:
        self._here = here
        self._clock = clock
        self._machine = _hashed("\n".join((
            here.own.boot_id, here.pid_namespace, "" if here.is_unmistakable else here.host)))
        self.mark = "%s.%d.%s" % (self._machine, here.own.pid, _plain(here.own.start_time))

    def is_own(self, name: str) -> bool:
        """Whether a file name bears the mark of this process."""
        return name.endswith("@%s%s" % (self.mark, SUFFIX))

    def is_held(self, path: Path) -> bool:
        """Whether somebody, perhaps this process, delivers a result already. Raises OSError."""
        found = _MARK.fullmatch(path.name[:-len(SUFFIX)].partition("@")[2])
        if found is None:
            return False
        mark = _Mark(found.group(1), int(found.group(2)), found.group(3))
        if mark.machine == self._machine and _plain(UNKNOWN_START) not in (
                mark.started, _plain(self._here.own.start_time)):
            started = self._here.start_time(mark.pid)
            return started is not None and _plain(started) == mark.started
        return abs(self._clock() - os.stat(str(path)).st_mtime) < HELD_FOR


def free_name(name: str) -> str:
    """The file name of a result without the mark of its holder."""
    return name[:-len(SUFFIX)].partition("@")[0] + SUFFIX


def held_name(name: str, mark: str) -> str:
    """The file name of a result with the mark of a holder."""
    return "%s@%s%s" % (free_name(name)[:-len(SUFFIX)], mark, SUFFIX)


def _plain(started: str) -> str:
    return started if started.isalnum() and started == started.lower() else _hashed(started)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
