"""Who serves a data directory: a lock that one process holds, and a file that tells where it is.

The lock is `flock`, which the kernel gives up when the process ends, however it ends. On a network file
system it may be a lock of this host alone (NFS with `nolock` or `local_lock`). So there who serves also
touches the file that tells where it is, and who finds that of another host watches it for a while before it
takes the data.
"""

import fcntl
import json
import logging
import os
import random
import socket
import threading
import time
from pathlib import Path
from typing import Any, Dict, Optional

from jd import threads
from jd.files import filesystems, plainfile, wholefile

TOUCH_EVERY = 3.0  # seconds
WATCH_FOR = 12.0  # seconds
LOOKING = 5.0  # seconds that others may look whether the data is served
_LOOK_EVERY = 0.5  # seconds
_MAX_BYTES = 64 * 1024  # of what is published

log = logging.getLogger("jd.server")


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


def _lock_alone(handle: int) -> None:
    """Raises BlockingIOError where another process serves. One that only looks whether there is one
    (`holder`) shares the lock for a moment, which is waited for."""
    until = time.monotonic() + LOOKING
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # raises, unless those who have it share it
            time.sleep(0.001 + 0.01 * random.random())  # not in step with another one that starts


class ServerLock:
    """The hold of this process on a directory: `<name>.lock`, and `<name>.json` while it serves."""

    def __init__(self, directory: Path, name: str) -> None:
        self._lock_file = directory / (name + ".lock")
        self._facts_file = directory / (name + ".json")
        self._lock: Optional[int] = None
        self._touching: Optional[threading.Thread] = None
        self._ended = threading.Event()

    def take(self) -> None:
        """Hold the directory until `release`.

        Raises AlreadyServed if another process does, and OSError where the lock file cannot be written
        (PermissionError and its like) or the file system cannot lock.
        """
        lock = os.open(str(self._lock_file), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock_alone(lock)
        except BlockingIOError:
            os.close(lock)
            raise AlreadyServed(self.owner()) from None
        except OSError:
            os.close(lock)
            raise
        if self._is_served_elsewhere():
            os.close(lock)
            raise AlreadyServed(self.owner())
        self._lock = lock
        self._withdraw()  # what one that was killed left

    def publish(self, facts: Dict[str, Any], mode: int = 0o600) -> None:
        """Tell tools on this machine who serves and where, in a file of this mode."""
        with wholefile.replacing(self._facts_file) as file:
            os.fchmod(file.fileno(), mode)
            file.write(json.dumps(facts, indent=2).encode("ascii") + b"\n")
        if self._touching is None and filesystems.is_network(self._facts_file):
            self._ended.clear()
            self._touching = threads.start(self._touch, "jd-server-lock", (facts,))

    def release(self) -> None:
        """Let go. Harmless if nothing is held."""
        if self._lock is not None:
            self._ended.set()
            if self._touching is not None:
                self._touching.join()
                self._touching = None
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

    def _is_served_elsewhere(self) -> bool:
        """Whether another host is seen to serve the data, although the lock was had."""
        host = self.owner().get("host")
        if host in (None, socket.gethostname()) or not filesystems.is_network(self._facts_file):
            return False
        log.warning("%s says that %s serves this data: looking for %g s whether it still does, since locks "
                    "of this file system may not reach there", self._facts_file, host, WATCH_FOR)
        first, until = self._touched(), time.monotonic() + WATCH_FOR
        while time.monotonic() < until:
            if self._touched() not in (first, None):
                return True
            time.sleep(_LOOK_EVERY)
        return False

    def _touched(self) -> Optional[int]:
        """When the file was touched last, None where it is gone. It is opened: NFS asks its server then."""
        try:
            handle = os.open(str(self._facts_file), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.fstat(handle).st_mtime_ns
            finally:
                os.close(handle)
        except OSError:
            return None

    def _touch(self, facts: Dict[str, Any]) -> None:
        said = False
        while not self._ended.wait(TOUCH_EVERY):
            try:
                owner = self.owner()
                if not said and owner and owner.get("host") != facts.get("host"):
                    said = True
                    log.error("the data is served by two servers, this one and pid %s on %s: locks of this "
                              "file system do not reach there; stop one of them, and use a local directory",
                              owner.get("pid"), owner.get("host"))
                os.utime(str(self._facts_file))
            except OSError:
                pass  # the file system is away; it is tried again

    def _withdraw(self) -> None:
        try:
            self._facts_file.unlink()
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            pass  # what nobody can read says nothing of another server; `publish` tells of it
