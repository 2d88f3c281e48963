"""Files and directories that are being made, beside the place where they will be or are needed.

Each is locked as long as its process lives, so the next run can tell what one that was killed has left, and
removes that.
"""

import fcntl
import os
import secrets
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from jd.storage import filemodes

_CHARS = 60  # of the name in that of the draft, which must not become too long


@contextmanager
def file(beside: Path, kind: str) -> Iterator[Path]:
    """An empty file for this user alone; what is left of it in the end is removed. Raises OSError."""
    with _held(beside, kind, is_directory=False) as path:
        yield path


@contextmanager
def directory(beside: Path, kind: str) -> Iterator[Path]:
    """The same as a directory."""
    with _held(beside, kind, is_directory=True) as path:
        yield path


def make_below(top: Path, path: Path) -> None:
    """Make a directory below `top`, and those on the way to it, for this user alone. Raises OSError."""
    place = top
    for part in path.relative_to(top).parts:
        place = place / part
        filemodes.make_directory(place, filemodes.PRIVATE)


@contextmanager
def _held(beside: Path, kind: str, is_directory: bool) -> Iterator[Path]:
    _remove_left(beside, kind)
    path = beside.with_name("%s%s.%s" % (_start(beside), secrets.token_hex(4), kind))
    if is_directory:
        os.mkdir(str(path), 0o700)
    else:
        os.close(os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    lock = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        _try_to_lock(lock)
        yield path
    finally:
        os.close(lock)
        _remove(path)


def _remove_left(beside: Path, kind: str) -> None:
    for name in os.listdir(str(beside.parent)):
        if not (name.startswith(_start(beside)) and name.endswith("." + kind)):
            continue
        path = beside.with_name(name)
        try:
            lock = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # it has just gone, or is not ours
        try:
            if _try_to_lock(lock):
                _remove(path)
        finally:
            os.close(lock)


def _start(beside: Path) -> str:
    return ".%s." % beside.name[:_CHARS]


def _try_to_lock(handle: int) -> bool:
    """Whether nobody else has it; where the file system cannot tell, somebody may."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(str(path), ignore_errors=True)
        return
    for suffix in ("", "-journal", "-wal", "-shm"):
        try:
            os.unlink(str(path) + suffix)
        except OSError:
            pass  # it has become what it was for, or never was
