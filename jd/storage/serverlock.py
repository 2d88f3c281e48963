"""Who serves a data directory: a lock that one process holds, and a file that tells where it is.

The lock is `flock`, which the kernel gives up when the process ends, however it ends.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Dict, Optional

from jd import plainfile, wholefile

_MAX_BYTES = 64 * 1024  # of what is published


class AlreadyServed(Exception):
    """Another process holds the data. `owner` is what it published; empty while it starts or stops."""

    def __init__(self, owner: Dict[str, Any]) -> None:
        super().__init__("the data is served by another process")
        self.owner = owner


def holder(directory: Path, name: str) -> Optional[Dict[str, Any]]:
    """What whoever holds the directory now has published, which is empty while it starts or stops; None where
    nobody holds it, or that cannot be seen."""
    try:
        lock = os.open(str(directory / (name + ".lock")), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return ServerLock(directory, name).owner()
    except OSError:
        return None
    finally:
        os.close(lock)
    return None


class ServerLock:
    """The hold of this process on a directory: `<name>.lock`, and `<name>.json` while it serves."""

    def __init__(self, directory: Path, name: str) -> None:
        self._lock_file = directory / (name + ".lock")
        self._facts_file = directory / (name + ".json")
        self._lock: Optional[int] = None

    def take(self) -> None:
        """Hold the directory until `release`.

        Raises AlreadyServed if another process does, and OSError where the lock file cannot be written
        (PermissionError and its like) or the file system cannot lock.
        """
        lock = os.open(str(self._lock_file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise AlreadyServed(self.owner()) from None
        except OSError:
            os.close(lock)
            raise
        self._lock = lock
        self._withdraw()  # what one that was killed left

    def publish(self, facts: Dict[str, Any], mode: int = 0o600) -> None:
        """Tell tools on this machine who serves and where, in a file of this mode."""
        with wholefile.replacing(self._facts_file) as file:
            os.fchmod(file.fileno(), mode)
            file.write(json.dumps(facts, indent=2).encode("ascii") + b"\n")

    def release(self) -> None:
        """Let go. Harmless if nothing is held."""
        if self._lock is not None:
            self._withdraw()
            os.close(self._lock)
            self._lock = None

    def owner(self) -> Dict[str, Any]:
        """What whoever holds the directory published; empty where nobody is known to."""
        try:
            owner = json.loads(plainfile.read(self._facts_file, _MAX_BYTES).decode("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return owner if isinstance(owner, dict) else {}

    def _withdraw(self) -> None:
        try:
            self._facts_file.unlink()
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            pass  # what nobody can read says nothing of another server; `publish` tells of it
