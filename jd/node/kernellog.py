"""What the kernel's log says of a process that was killed for lack of memory (dmesg(1), /dev/kmsg).

Few users may read it; for the others it says nothing. It names processes as the host numbers them, so
within a container it says nothing either. Nothing here raises.
"""

import os
import re
from pathlib import Path
from typing import Iterator, NamedTuple, Optional, Tuple

LOG = Path("/dev/kmsg")
MAX_RECORDS = 50_000
_HOST_PIDS = 0xEFFFFFFC  # the inode of the first namespace of process ids, fixed in the kernel
_RECORD = 8192  # bytes; a smaller buffer gets EINVAL
_KILLED = re.compile(r"Killed process (\d+) \((.*?)\)(?:.*?anon-rss:(\d+)kB)?")


class Kill(NamedTuple):
    """The kernel has killed a process for lack of memory; `memory` is what it had then, in bytes, if told."""

    pid: int
    name: str
    memory: Optional[int]


def killed(pid: int, since: float, log: Path = LOG, own: Optional[int] = None) -> Optional[Kill]:
    """Whether a process that began at `since` (seconds since the machine was started) was killed so.

    `own` is the namespace of process ids that `pid` is of; that of this process if it is None.
    """
    if (_namespace() if own is None else own) != _HOST_PIDS:
        return None
    for at, text in _records(log):
        found = _KILLED.search(text) if "emory" in text else None
        if found is not None and int(found.group(1)) == pid and at >= since - 1.0:
            size = found.group(3)
            return Kill(pid, found.group(2), None if size is None else int(size) * 1024)
    return None


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _records(log: Path) -> Iterator[Tuple[float, str]]:
    """Times and texts: "6,339,5140900,-;text" in the kernel's form, the time in microseconds."""
    try:
        handle = os.open(str(log), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        for _ in range(MAX_RECORDS):
            try:
                record = os.read(handle, _RECORD)
            except BrokenPipeError:
                continue  # what was to come next has been overwritten
            except OSError:
                return  # there is no more
            if not record:
                return
            for line in record.decode("utf-8", "replace").splitlines():
                head, separator, text = line.partition(";")
                fields = head.split(",")
                if separator and len(fields) >= 3 and fields[2].isdecimal():
                    yield int(fields[2][:18]) / 1e6, text
    finally:
        os.close(handle)
