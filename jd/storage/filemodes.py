"""Who may read what a server keeps: its user alone, or a group as well, whatever the umask says.

New files take the group and mode of the directory that they are put in, so callers need not know them.
Secrets (tokens, keys, a PIN) are not made here: they are always for the user alone.
"""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

from jd.errors import UsageError
from jd.shape import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator


class Modes(NamedTuple):
    """Of directories and of files; `gid` is the group that may read, None where there is none."""

    directory: int = 0o700
    file: int = 0o600
    gid: int | None = None


PRIVATE = Modes()


def for_group(name: str) -> Modes:
    """For a group, by name or number, that this process belongs to. Raises UsageError."""
    try:
        gid = int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):  # the latter for a number of some thousand digits
        raise UsageError("--data-group: there is no group %s on this machine" % name, "see: id") from None
    if os.geteuid() != 0 and gid not in (os.getegid(), *os.getgroups()):
        raise UsageError("--data-group: you are not in the group %s" % name, "see: id")
    return Modes(0o2750, 0o640, gid)


def of(directory: Path) -> Modes:
    """What new files in a directory get. Raises OSError."""
    found = os.stat(str(directory))
    is_shared = stat.S_IMODE(found.st_mode) == 0o2750
    return Modes(0o2750, 0o640, found.st_gid) if is_shared else PRIVATE


def make_directory(path: Path, modes: Modes) -> None:
    """Make one that is missing, with such modes. Raises OSError."""
    try:
        os.mkdir(str(path), 0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        apply(path, modes)


def create(path: Path, modes: Modes) -> int:
    """A new file, open for writing; returns its descriptor. Raises OSError."""
    handle = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    if modes.file != 0o600:
        os.fchmod(handle, modes.file)
    return handle


def apply(path: Path, modes: Modes) -> bool:
    """Give a file or directory these modes; whether it has them now.

    What is not this user's to change, and what is not there, is left as it is.
    """
    try:
        found = os.lstat(str(path))
        if stat.S_ISLNK(found.st_mode):
            return True  # what it leads to is somewhere else
        wanted = modes.directory if stat.S_ISDIR(found.st_mode) else modes.file
        if modes.gid is not None and found.st_gid != modes.gid:
            os.chown(str(path), -1, modes.gid)
        if stat.S_IMODE(found.st_mode) != wanted or modes.gid not in (None, found.st_gid):
            os.chmod(str(path), wanted)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def settle(directory: Path, modes: Modes) -> bool:
    """`apply` to a directory with all that is in it; whether it has these modes now.

    Nobody gets past a directory that is closed, so what is below one is gone through only to open it
    for a group, once: the directory itself comes last.
    """
    found = os.stat(str(directory))
    if modes.gid is not None and (stat.S_IMODE(found.st_mode), found.st_gid) != (
            modes.directory, modes.gid):
        for path in _below(directory):
            apply(path, modes)
    return apply(directory, modes)


def _below(directory: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(str(directory)):
        for name in directories + files:
            yield Path(parent, name)
