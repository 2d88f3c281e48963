"""The lock between those who use worker registries and those who remove them.

SQLite knows a journal by its name alone. A connection to a file that was deleted would take the
journal of the file that came in its place for a leftover of its own, and delete it in the middle
of somebody's transaction. So nothing is removed while anybody is at work, in any process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

LOCK_NAME = "registry.lock"  # beside the directories of the experiments
_POLL = 0.005  # seconds


@contextmanager
def removing(root: Path) -> Iterator[bool]:
    """Nobody uses a registry below `root` (`<cache>/.cache`) inside this block, if it gives True.

    False at once where somebody does, or where the file system has no locks: remove nothing then.
    """
    with _lock_file(root) as fd:
        yield fd is not None and _flock(fd, fcntl.LOCK_EX) is True


@contextmanager
def using(root: Path, timeout: float) -> Iterator[None]:
    """Nothing below `root` is removed inside this block. Raises OSError if somebody does
    for longer than `timeout` seconds.

    Without locks it goes on: on such file systems nothing is ever removed.
    """
    with _lock_file(root) as fd:
        deadline = time.monotonic() + timeout
        while fd is not None and _flock(fd, fcntl.LOCK_SH) is False:
            if time.monotonic() >= deadline:
                raise OSError(errno.EAGAIN, "it is locked by a clean-up")
            time.sleep(_POLL)
        yield


def has_locks(root: Path) -> bool:
    """Whether the file system of `root` can lock at all."""
    with _lock_file(root) as fd:
        return fd is not None and _flock(fd, fcntl.LOCK_SH) is not None


@contextmanager
def _lock_file(root: Path) -> Iterator[int | None]:
    """A descriptor of its own: flock tells descriptors apart, so threads count as well."""
    try:
        fd = os.open(str(root / LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield None  # a directory that can only be read: nobody removes anything
        return
    try:
        yield fd
    finally:
        os.close(fd)


def _flock(fd: int, kind: int) -> bool | None:
    """Whether the lock is had now; None where there are no locks."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
