"""Directories: whether they can be made, written and locked, how much room there is, and who else could
write to them.

Everything is tried, since permissions tell little on network file systems. A directory that does not exist
is not made: a worker may be about to make it, and cleaning up afterwards could then remove the worker's.
The trial is made one level up, under a name of its own.
"""

import errno
import os
import tempfile
from pathlib import Path
from typing import Callable, List, Mapping, Optional

from jd import paths
from jd.cli.checkup import locks
from jd.cli.checkup.finding import Check, Finding, Notes
from jd.errors import UsageError
from jd.files import filesystems, safedirs
from jd.worker.local import outboxes
from jd.worker.uplink.outbox import MAX_FILES_BYTES

TOPIC = "Storage"
ENOUGH_BYTES = 1024 ** 3
ENOUGH_INODES = 1000
_SHARED = "set JD_ACCESS_DIR, or HOME, to a directory of your own that all your nodes share"
LOCAL_EXAMPLE = "/tmp/.jd_cache-$UID"
_PURPOSES = {"JD_WORKSPACE_PATH": safedirs.WORKSPACE, "JD_LOG_DIR": safedirs.LOGS}

_HINTS = {
    errno.EACCES: "it belongs to somebody else",
    errno.EPERM: "it belongs to somebody else",
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOSPC: "no space or no inodes are left: delete something",
    errno.EDQUOT: "your quota is used up: delete something",
    errno.ENOTDIR: "it, or something on the way to it, is a file",
    errno.ESTALE: "the file server forgot it: the mount must be made anew",
}


class Directory:
    """One directory that workers write to. `find` may raise UsageError where there is no home."""

    def __init__(self, label: str, variable: str, find: Callable[[], Path],
                 is_registry: bool = False, mount_table: Path = filesystems.MOUNT_TABLE) -> None:
        self._label = label
        self._variable = variable
        self._find = find
        self._is_registry = is_registry
        self._mount_table = mount_table
        self._writable: Optional[Path] = None  # known by the first check; without it others are mute

    def checks(self) -> List[Check]:
        """What is to be looked at, in an order in which later ones need what earlier ones show."""
        found = [Check(self._label, self.writing), Check(self._label + ", free space", self.room)]
        if self._is_registry:
            found.append(Check(self._label + ", locking", self.locking))
        return found

    def writing(self) -> List[Finding]:
        """A file is written, synced, renamed and removed. `room` tells of what works."""
        notes = Notes(TOPIC)
        try:
            path = self._find()
        except UsageError as error:
            return notes.problem("%s: %s" % (self._label, error.what), error.advice)
        unsafe = self._unsafe(path)
        if unsafe is not None:
            return notes.problem(unsafe.what, unsafe.advice)
        failure = write_through(path)
        if failure is not None:
            return notes.problem("%s %s cannot be written: %s" % (self._label, path, failure),
                                 "set %s to a directory that can be" % self._variable)
        self._writable = path
        if self._is_registry and filesystems.is_network(path, self._mount_table):
            return notes.warn("%s %s is on a network file system (%s): locks may be slow, absent or "
                              "stale" % (self._label, path,
                                         filesystems.type_of(path, self._mount_table)),
                              "set JD_CACHE_PATH to node-local storage, for example %s"
                              % LOCAL_EXAMPLE)
        return notes.findings

    def _unsafe(self, path: Path) -> Optional[safedirs.UnsafePlace]:
        if self._is_registry:
            return safedirs.problem(path / ".cache", safedirs.CACHE, path)
        return safedirs.problem(path, _PURPOSES[self._variable])

    def room(self, ask: Callable[[str], os.statvfs_result] = os.statvfs) -> List[Finding]:
        """File system, free bytes and inodes, as the system tells them. It tells of no quota."""
        notes = Notes(TOPIC)
        if self._writable is None:
            return notes.findings
        text = "%s %s: " % (self._label, self._writable)
        try:
            told = ask(str(existing(self._writable)))
        except OSError as error:
            return notes.warn(text + "free space is unknown: %s" % error.strerror)
        kind = filesystems.type_of(self._writable, self._mount_table)
        free = told.f_bavail * told.f_frsize
        text += "%s%s free" % (kind + ", " if kind else "", gib(free))
        few_bytes = free < ENOUGH_BYTES
        # Some file systems make inodes as they need them, and count none.
        few_inodes = told.f_files > 0 and told.f_favail < ENOUGH_INODES
        if few_inodes:
            text += ", room for %d more files" % told.f_favail
        if few_bytes or few_inodes:
            return notes.warn(text, "delete something, or set %s to a larger disk" % self._variable)
        return notes.ok(text)

    def locking(self, try_locks: Callable[[Path], List[str]] = locks.failures) -> List[Finding]:
        """Whether a second process is kept out, by fcntl locks and by SQLite."""
        notes = Notes(TOPIC)
        if self._writable is None:
            return notes.findings
        with _trial(self._writable) as place:
            failures = try_locks(Path(place))
        for failure in failures:
            notes.problem("%s: %s" % (self._label, failure),
                          "set JD_CACHE_PATH to node-local storage, for example %s" % LOCAL_EXAMPLE)
        return notes.findings or notes.ok("%s: locks work" % self._label)


def waiting_results(environ: Mapping[str, str], experiment: Optional[str],
                    mount_table: Path = filesystems.MOUNT_TABLE,
                    mount_info: Path = filesystems.MOUNT_INFO) -> List[Finding]:
    """Where results wait while the server is away, and whether that outlasts this allocation."""
    notes = Notes(TOPIC)
    name = experiment or "<expId>"
    for place in outboxes.lasting(name, environ):
        if not place.is_possible:
            if place.needs == paths.access_dir(environ) and environ.get("JD_ACCESS_DIR"):
                notes.warn("results do not wait in %s: JD_ACCESS_DIR is not there" % place.path, "make it")
            continue
        unsafe = safedirs.problem(place.path, place.purpose, place.top)
        failure = unsafe.what if unsafe is not None else write_through(place.path)
        if failure is not None:
            notes.warn("results cannot wait in %s: %s" % (place.path, failure),
                       unsafe.advice if unsafe is not None else _SHARED)
            continue
        text = "results wait in %s while the server is away" % place.path
        ends = filesystems.passing(place.path, mount_table, mount_info)
        if ends is not None:
            return notes.warn("%s, on %s" % (text, ends), _SHARED)
        return notes.ok("%s, with files of %s at most" % (text, gib(MAX_FILES_BYTES)))
    try:
        return notes.warn("results wait in %s while the server is away, which may end with an allocation or "
                          "a container" % outboxes.near(name, environ).path, _SHARED)
    except UsageError:
        return notes.findings  # said of the cache


def write_through(path: Path) -> Optional[str]:
    """Really write in a directory, or where it would be made; what fails in words, None if nothing.

    Data and the rename are synced, as workers do with results.
    """
    try:
        with _trial(path) as name:
            place = Path(name)
            with open(str(place / "file"), "wb") as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
            os.replace(str(place / "file"), str(place / "renamed"))
            os.unlink(str(place / "renamed"))
    except OSError as error:
        words = error.strerror or str(error)
        hint = _HINTS.get(error.errno or 0)
        return "%s (%s)" % (words, hint) if hint else words
    return None


def _trial(path: Path) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix=".jd-doctor-", dir=str(existing(path)))


def existing(path: Path) -> Path:
    """The directory, or the nearest thing above it that is there."""
    return next(place for place in [path, *path.parents] if os.path.lexists(str(place)))


def gib(count: float) -> str:
    """Bytes as people write them."""
    for unit, size in (("TiB", 1024 ** 4), ("GiB", 1024 ** 3)):
        if count >= size:
            return "%.1f %s" % (count / size, unit)
    return "%d MiB" % (count / 1024 ** 2)
