"""Reading a file that this program wrote, whatever has come in its place.

A crash, a full disk, a restore or a person may leave a directory there, a pipe that nobody writes to, or
gigabytes. Each is an OSError here, as a file that cannot be read is: nothing waits, and nothing fills the
memory.
"""

import errno
import os
import select
import stat
import time
from pathlib import Path

PATIENCE = 10.0  # seconds for whoever writes into a pipe
_PIECE = 64 * 1024


def read(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises OSError for anything else."""
    content = beginning(path, limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, "it has more than %d bytes" % limit, str(path))
    return content


def beginning(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a regular file, or all there are. Raises OSError."""
    handle = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        _check(path, found)
        pieces, left = [], limit
        # What seems to be there, rather than all of `limit`: memory for that is asked of the system.
        size = found.st_size + 1
        while left:
            piece = os.read(handle, min(size, left))
            if not piece:
                break
            pieces.append(piece)
            left, size = left - len(piece), _PIECE
        return b"".join(pieces)
    finally:
        os.close(handle)


def check(path: Path) -> None:
    """Make sure that what is at `path` is a regular file, or a link to one. Raises OSError."""
    _check(path, os.stat(str(path)))


def _check(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file", str(path))


def read_given(path: object, limit: int, patience: float = PATIENCE) -> bytes:
    """The first `limit` bytes of what a user has named. That may be a pipe, as a shell makes it of
    `<(pass show token)`: its writer has `patience` seconds. Raises OSError."""
    handle = os.open(str(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        content = b""
        until = time.monotonic() + patience
        while len(content) < limit:
            try:
                data = os.read(handle, limit - len(content))
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0 or not select.select([handle], [], [], left)[0]:
                    raise OSError(errno.ETIMEDOUT, "nothing comes out of it", str(path)) from None
                continue
            if not data:
                break
            content += data
        return content
    finally:
        os.close(handle)
