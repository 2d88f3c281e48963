"""Files that are there whole or not at all.

The content goes into a temporary file beside its place, which is renamed over it at the end: who reads
the file meanwhile, or after a crash, finds the old content or the new one, never a part of it.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from pathlib import Path

from jd.files import filesystems
from jd.killpoint import killpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Iterator

ABANDONED = 3600.0  # seconds after which a temporary file is nobody's
_DRAFT = re.compile(r"\..{1,40}\.[0-9a-f]{8}\.tmp")
_NAME_CHARS = 40  # of the file's name in that of the temporary one, which must not become too long


@contextmanager
def replacing(path: Path, mode: int = 0o600, durable: bool = False) -> Iterator[BinaryIO]:
    """A new file, open for writing, that takes the place of `path` when the block ends.

    `mode` is as for open(2): the umask takes from it. With `durable` the file survives a crash of the
    machine. Where the block raises, `path` stays as it was. Raises OSError. Several processes may do
    this at once: the last one wins.
    """
    draft = path.with_name(".%s.%s.tmp" % (path.name[:_NAME_CHARS], os.urandom(4).hex()))
    try:
        handle = os.open(str(draft), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(handle, "wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(handle)
        _put(str(draft), str(path))
    except BaseException:
        try:
            os.unlink(str(draft))
        except OSError:
            pass  # it was never made, or goes with its directory
        raise
    if durable:
        filesystems.sync_names(path.parent)


def write(path: Path, content: bytes, mode: int = 0o600, durable: bool = False) -> None:
    """Put `content` into a file, as `replacing` does. Raises OSError."""
    with replacing(path, mode, durable) as file:
        file.write(content)


def write_over(draft: str, path: str, content: bytes) -> None:
    """The same by way of a file that is there already and has no more bytes than `content`: some file systems
    take long to make one, and to remove it. Nothing is durable. Raises OSError."""
    handle = os.open(draft, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _write_all(handle, content)
    finally:
        os.close(handle)
    _put(draft, path)


def create(path: str, content: bytes, mode: int = 0o600) -> None:
    """Put some bytes into a file that is not there yet, without a draft: a crash may leave an empty one.

    Raises OSError, and FileExistsError where there is anything.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            _write_all(handle, content)
        finally:
            os.close(handle)
    except BaseException:
        os.unlink(path)
        raise


def _put(draft: str, path: str) -> None:
    killpoint("wholefile.before-rename")
    os.replace(draft, path)
    killpoint("wholefile.after-rename")


def _write_all(handle: int, content: bytes) -> None:
    while content:
        content = content[os.write(handle, content):]


def tidy(directory: Path, older_than: float = ABANDONED) -> None:
    """Remove what processes that were killed in `replacing` have left in a directory: temporary files that
    nobody has written to for so many seconds. What cannot be removed stays."""
    before = time.time() - older_than
    try:
        with os.scandir(str(directory)) as entries:
            for entry in entries:
                if _DRAFT.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime <= before:
                    os.unlink(entry.path)
    except OSError:
        pass  # it is gone, or the next one has to do it
