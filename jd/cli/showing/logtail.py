"""The last lines of a worker log, and what comes after them.

A log is two files (see `jd.worker.log`): when the current one is full it is renamed to `.log.1` and
a new one begins. Whoever follows it finishes the old file first. Bytes go through as they are, and
memory does not grow with the log.
"""

import os
from pathlib import Path
from typing import BinaryIO, Callable, Optional, Tuple

from jd.files import plainfile

BLOCK = 64 * 1024
POLL = 0.2  # seconds between looks at a file that is followed

Write = Callable[[bytes], object]


def older_file(path: Path) -> Path:
    """Where the lines before the current file's first are."""
    return Path(str(path) + ".1")


def start_of_last(file: BinaryIO, count: int) -> Tuple[int, int, int]:
    """Where the last `count` lines of a file begin, where the file ends now, and how many of those
    lines it lacks. The file is read backwards, in blocks."""
    size = file.seek(0, os.SEEK_END)
    if count == 0 or size == 0:
        return size, size, count
    file.seek(size - 1)
    # A newline at the very end ends the last line and begins none.
    position = size - 1 if file.read(1) == b"\n" else size
    found = 0
    while position > 0:
        start = max(0, position - BLOCK)
        file.seek(start)
        block = file.read(position - start)
        newlines = block.count(b"\n")
        if found + newlines >= count:
            index = len(block)
            for _ in range(count - found):
                index = block.rfind(b"\n", 0, index)
            return start + index + 1, size, 0
        found += newlines
        position = start
    return 0, size, max(0, count - found - 1)


def tail(path: Path, lines: int, write: Write) -> "Follower":
    """Write the last `lines` lines of a log, of its older file as well where there are fewer.

    Returns what follows the log from there; close it. Raises OSError where the current file cannot
    be read; an older one that cannot is as good as none.
    """
    file = _open(path)
    try:
        start, end, lacking = start_of_last(file, lines)
        if lacking:
            _tail_older(path, file, lacking, write)
        _copy(file, start, end, write)
        return Follower(path, file, end)
    except BaseException:
        file.close()
        raise


def _tail_older(path: Path, current: BinaryIO, lines: int, write: Write) -> None:
    try:
        older = _open(older_file(path))
    except OSError:
        return
    with older:
        # Renamed just now: the older file is the one that we have open.
        if _inode(older) != _inode(current):
            start, end, _ = start_of_last(older, lines)
            _copy(older, start, end, write)


class Follower:
    """Reads on in a log, through rotation and truncation. `close` it, or use it in a `with`."""

    def __init__(self, path: Path, file: BinaryIO, position: int) -> None:
        self._path = path
        self._file = file
        self._position = position
        self._older = _version(older_file(path))

    def __enter__(self) -> "Follower":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, write: Write) -> bool:
        """Write all that is new; whether there was anything. Raises OSError."""
        wrote = self._read_file(write)
        while self._replaced():
            # Nothing is written to a file once it was renamed: now it is read to its end.
            wrote = self._read_file(write) or wrote
            wrote = self._read_missed(write) or wrote
            try:
                file = _open(self._path)
            except FileNotFoundError:
                break  # between rename and creation
            self._file.close()
            self._file, self._position = file, 0
            wrote = self._read_file(write) or wrote
        return wrote

    def _read_file(self, write: Write) -> bool:
        size = os.fstat(self._file.fileno()).st_size
        if size < self._position:
            self._position = 0  # truncated: what is there now is new
        before = self._position
        self._position = _copy(self._file, before, None, write)
        return self._position > before

    def _replaced(self) -> bool:
        try:
            found = os.stat(str(self._path))
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) != _inode(self._file)

    def _read_missed(self, write: Write) -> bool:
        """A file that was begun and renamed between two looks is read as a whole."""
        before, self._older = self._older, _version(older_file(self._path))
        if self._older is None or self._older == before or self._older[:2] == _inode(self._file):
            return False
        try:
            with _open(older_file(self._path)) as missed:
                return _copy(missed, 0, None, write) > 0
        except FileNotFoundError:
            return False


def follow(follower: Follower, write: Write, ended: Callable[[], bool],
           pause: Callable[[float], None]) -> None:
    """Write what is new until `ended()` and everything was written. `pause` waits so many seconds."""
    while True:
        over = ended()  # asked first: what it wrote at its end is then read for certain
        wrote = follower.read(write)
        if over:
            return
        if not wrote:
            pause(POLL)


def _open(path: Path) -> BinaryIO:
    plainfile.check(path)
    # Unbuffered: a buffer would hide what is appended, and truncation.
    return open(str(path), "rb", buffering=0)


def _inode(file: BinaryIO) -> Tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino


def _version(path: Path) -> Optional[Tuple[int, int, int]]:
    """Which file this is. The time is for inode numbers, which are given anew."""
    try:
        status = os.stat(str(path))
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns


def _copy(file: BinaryIO, start: int, end: Optional[int], write: Write) -> int:
    """Write a file's bytes from `start` to `end`, or to where it ends; returns the place reached."""
    file.seek(start)
    position = start
    while end is None or position < end:
        block = file.read(BLOCK if end is None else min(BLOCK, end - position))
        if not block:
            break
        write(block)
        position += len(block)
    return position
