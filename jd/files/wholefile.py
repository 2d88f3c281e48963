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
        killpoint("wholefile.before-rename")
        os.replace(str(draft), str(path))
        killpoint("wholefile.after-rename")
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


def create(path: str, content: bytes, mode: int = 0o600) -> None:
    """Put some bytes into a file that is not there yet, without a draft: a crash may leave an empty one.

    Raises OSError, and FileExistsError where there is anything.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        try:
            while content:
                content = content[os.write(handle, content):]
        finally:
            os.close(handle)
    except BaseException:
        os.unlink(path)
        raise


def tidy(directory: Path, older_than: float = ABANDONED) -> None:
    """Remove what processes that were killed in `replacing` have left in a directory: temporary files that
    nobody has written to for so many seconds. What cannot be removed stays."""
    before = time.time() - older_than
    try:
        for entry in os.scandir(str(directory)):
            if _DRAFT.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime <= before:
                os.unlink(entry.path)
    except OSError:
        pass  # it is gone, or the next one has to do it
