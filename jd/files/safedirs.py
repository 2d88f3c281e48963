"""Whether a directory may be trusted with what this user runs, and making one that may.

On a machine with many users `/tmp/.jd_cache` may be somebody else's by the time it is used, and so
may a link on the way to it. The path is walked from `/`; links are parts of it like directories.

* What root or this user owns is fine. Of this user's own, nobody else may be able to write to it;
  for private purposes no group either, from the directory on that the user named (`top`).
* What belongs to somebody else is fine only where an administrator must have put it: right below a
  directory that root or this user owns and nobody else can write to (/data/pi, HOME in a container).
  A file of somebody else's never is.
* Root's directories may be open to all (/tmp, a volume of Kubernetes); what is below must be one's own.

Group 0 and a group of one's own (umask 002 is made for it) count as nobody else; so do the groups of a
pod of Kubernetes, which opens all of a volume to its fsGroup at every start.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections import deque
from functools import lru_cache
from pathlib import Path

from jd.errors import StorageError
from jd.shape import NamedTuple

_MAX_LINKS = 40  # as many as Linux follows
_TRIES = 100  # while somebody removes what is made
_POD = "KUBERNETES_SERVICE_HOST"  # which every container of a pod has
_BELONGS = "belongs to somebody else"
_OPEN_TO_ALL = "can be written by everybody"
_OPEN_TO_GROUP = "can be written by its group"


class UnsafePlace(StorageError):
    """Somebody else could put files where this user is about to read or write; says what to do."""


class Purpose(NamedTuple):
    """What a place is for: its name in messages, and the setting that gives another one.

    A private one must not be writable by a group. `mode` is that of directories that are made, less
    the umask: nothing is made that everybody can write to. One that is `given` may itself be what an
    administrator put there for somebody else, as a volume: what is in it is looked at by itself.
    `trusted` are users who count as this one does; `otherwise` is what to do in place of another `setting`.
    """

    name: str
    setting: str
    private: bool = True
    mode: int = 0o700
    given: bool = False
    trusted: frozenset[int] = frozenset()
    otherwise: str = ""


CACHE = Purpose("worker cache", "JD_CACHE_PATH")
ACCESS = Purpose("access directory", "JD_ACCESS_DIR", otherwise=(
    "set JD_ACCESS_DIR to a directory of your own that all your nodes share"))
KEYS = Purpose("key directory", "HOME")
OUTBOX = Purpose("outbox", "HOME")
WORKSPACE = Purpose("workspace", "JD_WORKSPACE_PATH", private=False, mode=0o775)
LOGS = Purpose("log directory", "log_dir= or JD_LOG_DIR", private=False)
SERVER = Purpose("server data", "--workspace_path")
HUB = Purpose("Hub data", "--data (with --with-hub: --hub-data)", given=True)
PUBLISHED = Purpose("published file", "--publish-url and server=@", private=False, mode=0o755)


class _Part(NamedTuple):
    """A part of a path that is there, whether its owner is root, this user, or as good, and whether it is one
    of the latter two."""

    path: str
    found: os.stat_result
    trusted: bool
    is_own: bool

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.found.st_mode)

    @property
    def open_to_all(self) -> bool:
        return bool(self.found.st_mode & stat.S_IWOTH)

    @property
    def open_to_group(self) -> bool:
        gid = self.found.st_gid
        return bool(self.found.st_mode & stat.S_IWGRP) and gid != 0 and not _own_group(gid)

    @property
    def closed(self) -> bool:
        """Whether nobody but the owner can put something into it."""
        return not (self.open_to_all or self.open_to_group)


class Made:
    """A directory that was just looked at, and so was the way to it: others can be made in it without that
    being walked once more."""

    def __init__(self, path: Path, purpose: Purpose, end: _Part) -> None:
        self._path = path
        self._purpose = purpose
        self._end = end

    def make(self, name: str) -> bool:
        """Make the directory `name` in it, as `make` does. True if it is sure that it was not there before.
        Raises UnsafePlace, OSError."""
        place, is_new = os.path.join(self._end.path, name), True
        try:
            os.mkdir(place, self._purpose.mode)
        except FileExistsError:
            is_new = False
        except FileNotFoundError:
            make(self._path / name, self._purpose)
            return False
        user = os.geteuid()
        part = _part(place, self._end, user, self._purpose.trusted)
        if part is None or part.is_link or not stat.S_ISDIR(part.found.st_mode):
            make(self._path / name, self._purpose)  # which follows it, refuses it, or makes it again
            return False
        reason = (_of_part(part, self._end, user, self._purpose.private)
                  or _of_end(part, self._purpose, False))
        if reason is not None:
            _refuse(self._path / name, self._purpose, part, self._end, reason)
        return is_new


def check(path: Path, purpose: Purpose, top: Path | None = None) -> bool:
    """Whether the directory is there; raises UnsafePlace where it, or the way to it, is not safe.

    `top` is the part of `path` that the user named: from there on it is the purpose's own.
    Raises OSError for what cannot be looked at.
    """
    return _walk(path, purpose, top, False)[0] is None


def check_file(path: Path, purpose: Purpose, top: Path | None = None) -> bool:
    """The same for a file, and for the directory that it is in."""
    return _walk(path, purpose, top, True)[0] is None


def check_contents(directory: Path, purpose: Purpose, top: Path | None = None) -> None:
    """`check_file` for every file in a directory of this program's: those that a version to come reads, too.

    Raises UnsafePlace, OSError.
    """
    with os.scandir(str(directory)) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                check_file(Path(entry.path), purpose, top)


def make(path: Path, purpose: Purpose, top: Path | None = None) -> Made:
    """Make the directory and what is missing above it; nothing where all is there.

    What it ends with has been looked at after it was made. Raises UnsafePlace, OSError.
    """
    for _ in range(_TRIES):
        missing, end = _walk(path, purpose, top, False)
        if missing is None:
            return Made(path, purpose, end)
        try:
            os.mkdir(missing, purpose.mode)  # follows no link: one that was planted meanwhile is in its way
        except (FileExistsError, FileNotFoundError):
            pass  # somebody else is at work: what is there now is looked at again
    raise OSError(errno.EAGAIN, "other processes remove it again and again", str(path))


def problem(path: Path, purpose: Purpose, top: Path | None = None) -> UnsafePlace | None:
    """What `check` raises, for those who go on without the place; None too where only OSError tells."""
    try:
        check(path, purpose, top)
    except UnsafePlace as error:
        return error
    except OSError:
        pass  # whoever uses it will say so
    return None


def owner(uid: int) -> str:
    """A user by name and number, as in `alice (uid 1000)`."""
    try:
        return "%s (uid %d)" % (pwd.getpwuid(uid).pw_name, uid)
    except KeyError:
        return "uid %d" % uid


def shown(path: str) -> str:
    """A path in a message: as it is, or quoted where a terminal would be upset by it."""
    return path if path.isprintable() else repr(path)


# ---- the walk

def _walk(path: Path, purpose: Purpose, top: Path | None, is_file: bool) -> tuple[str | None, _Part]:
    """The first part that is not there, None if all are; and the last that is. Raises UnsafePlace,
    OSError."""
    whole = path.absolute()
    own_from = len((whole if top is None else top.absolute()).parts) - 1
    pending: deque[tuple[str, bool]] = deque(
        (name, depth >= own_from) for depth, name in enumerate(whole.parts[1:], 1))
    user = os.geteuid()
    root = os.lstat("/")
    way = [_Part("/", root, True, root.st_uid == user)]  # whoever owns / is the administrator here
    links = 0
    while pending:
        name, is_own = pending.popleft()
        if name == "..":
            way = way[:-1] or way
            continue
        place = os.path.join(way[-1].path, name)
        part = _part(place, way[-1], user, purpose.trusted)
        if part is None:
            return place, way[-1]
        _refuse(path, purpose, part, way[-1], _of_part(part, way[-1], user, purpose.private and is_own))
        if not part.is_link:
            way.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = os.readlink(part.path)
        way = way[:1] if target.startswith("/") else way
        names = [step for step in target.split("/") if step not in ("", ".")]
        pending.extendleft((step, is_own and last == 0) for last, step in enumerate(names[::-1]))
    end = way[-1]
    if not (is_file or stat.S_ISDIR(end.found.st_mode)):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    way = way[:1] + way
    _refuse(path, purpose, end, way[-2], _of_end(end, purpose, is_file))
    if is_file:
        _refuse(path, purpose, way[-2], (way[:1] + way)[-3], _of_end(way[-2], purpose, False))
    return None, end


def _part(path: str, holder: _Part, user: int, as_own: frozenset[int]) -> _Part | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    # Where the kernel hides who the owner is, root is not told from others: what nobody but the
    # holder's owner can have put there passes for root's.
    is_own = found.st_uid == user or found.st_uid in as_own
    return _Part(path, found, is_own or found.st_uid == 0 or (
        found.st_uid == _hidden_uid() and holder.trusted and holder.closed), is_own)


def _of_part(part: _Part, holder: _Part, user: int, private: bool) -> str | None:
    """What is wrong with a part of the way, None if nothing is."""
    if not part.trusted and not (holder.trusted and holder.closed):
        return _BELONGS
    if not part.is_own or user == 0 or part.is_link:
        return None
    if part.open_to_all and (private or not part.found.st_mode & stat.S_ISVTX):
        return _OPEN_TO_ALL
    return _OPEN_TO_GROUP if private and part.open_to_group else None


def _of_end(end: _Part, purpose: Purpose, is_file: bool) -> str | None:
    """What is wrong with the last part, beyond what is with any."""
    private = purpose.private
    if not end.trusted and (is_file or private and not purpose.given):
        return _BELONGS
    if end.open_to_all and (is_file or end.is_own and (
            private and not purpose.given or os.geteuid() != 0)):
        return _OPEN_TO_ALL
    return _OPEN_TO_GROUP if private and end.open_to_group and (is_file or end.is_own) else None


def _refuse(path: Path, purpose: Purpose, part: _Part, holder: _Part, reason: str | None) -> None:
    if reason is None:
        return
    import shlex
    other = "a directory of your own"
    if holder.open_to_all:
        other = "%s-%d" % (shlex.quote(part.path), os.geteuid())
    way_out = purpose.otherwise or "set %s to %s" % (purpose.setting, other)
    if part.found.st_uid == os.geteuid():
        way_out = "chmod go-w %s if what is in it is yours, or %s" % (shlex.quote(part.path), way_out)
    raise UnsafePlace("%s %s is not used: %s%s %s (%s, mode %04o): others could plant files"
                      % (purpose.name, shown(str(path)), "the link " if part.is_link else "",
                         shown(part.path), reason, owner(part.found.st_uid),
                         stat.S_IMODE(part.found.st_mode)),
                      way_out)


# ---- users and groups

def _own_group(gid: int) -> bool:
    """Whether a group is this user's alone: it has the user's name or number, and no other member.

    One that no database knows is so in a pod, whose groups Kubernetes gives by number.
    """
    uid = os.geteuid()
    own_number = gid == uid and gid in (os.getegid(), *os.getgroups())
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = None
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return own_number or _POD in os.environ
    return ((group.gr_name == user or own_number)
            and all(member == user for member in group.gr_mem))


@lru_cache(maxsize=None)
def _hidden_uid() -> int:
    """The number that stands for users whom this user namespace does not know; -1 where it knows all."""
    try:
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            hidden = int(file.read())
        with open("/proc/self/uid_map", "rb") as file:
            ranges = [tuple(map(int, line.split())) for line in file]
    except (OSError, ValueError):
        return -1
    return -1 if any(first <= hidden < first + count for first, _, count in ranges) else hidden
