"""Processes that a program has left running, for the next one that takes them over.

A program that was ended by Ctrl-C says in a file which they are. A number may be that of another process by
then, so a process is known by when it has started as well.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Union

from jd.files import wholefile
from jd.node.identity import ProcessIdentity, process_identity

NAME = "left.json"
_LOOK = 0.05  # seconds between two looks at a process that is to end

Process = Union["subprocess.Popen[bytes]", "Adopted"]


class Adopted:
    """A process that another program had started, as one of our own: what it has ended with is not known."""

    def __init__(self, identity: ProcessIdentity) -> None:
        self._identity = identity
        self.pid = identity.pid
        self.returncode: Optional[int] = None

    def poll(self) -> Optional[int]:
        """None while it runs."""
        if self.returncode is None and process_identity(self.pid) != self._identity:
            self.returncode = 0
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Signal it, if it runs."""
        if self.poll() is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                self.returncode = 0

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: Optional[float] = None) -> int:
        """Return when it has ended. Raises subprocess.TimeoutExpired."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired("process %d" % self.pid, timeout or 0.0)
            time.sleep(_LOOK)
        return 0


def write(directory: Path, processes: Mapping[str, Optional[Process]]) -> None:
    """Say which processes are left. Raises OSError."""
    told: Dict[str, Any] = {}
    for name, process in processes.items():
        found = None if process is None else process_identity(process.pid)
        if found is not None:
            told[name] = [found.boot_id, found.pid, found.start_time]
    wholefile.write(directory / NAME, json.dumps(told).encode("ascii"), 0o600)


def is_there(directory: Path) -> bool:
    """Whether a program has left something."""
    return (directory / NAME).is_file()


def taken(directory: Path) -> Dict[str, Adopted]:
    """What is left and runs still, by name. One program gets it."""
    try:
        text = (directory / NAME).read_text(encoding="ascii")
        (directory / NAME).unlink()
        told: Any = json.loads(text)
        known = {str(name): ProcessIdentity(str(boot), int(pid), str(start))
                 for name, (boot, pid, start) in told.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # there is nothing, another program was faster, or the file is none of ours
    return {name: Adopted(identity) for name, identity in known.items()
            if process_identity(identity.pid) == identity}
