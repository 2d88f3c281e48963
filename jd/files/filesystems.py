"""What kind of file system a path is on, read from the mount table; making what is on it durable.

SQLite's WAL needs shared memory and locks of one host: it is not for network file systems.
"""

from __future__ import annotations

import os
from pathlib import Path

# As the kernel names them in the mount table; FUSE ones have a prefix.
NETWORK = frozenset((
    "nfs", "nfs4", "lustre", "gpfs", "mmfs", "beegfs", "beegfs_nodev", "ceph", "cifs", "smb3",
    "smbfs", "9p", "afs", "glusterfs", "orangefs", "pvfs2", "panfs", "wekafs", "virtiofs",
    "davfs", "ocfs2", "gfs2",
))
MOUNT_TABLE = Path("/proc/self/mounts")
MOUNT_INFO = Path("/proc/self/mountinfo")


def type_of(path: Path, table: Path = MOUNT_TABLE) -> str | None:
    """The file system type of a path that may not exist yet; None where there is no mount table."""
    try:
        text = table.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    wanted = os.path.realpath(str(path))
    best: tuple[int, str | None] = (-1, None)
    for mount_point, kind in _mounts(text):
        prefix = mount_point.rstrip("/") + "/"
        # The last one wins among equals: it is mounted over the others.
        if (wanted + "/").startswith(prefix) and len(prefix) >= best[0]:
            best = (len(prefix), kind)
    return best[1]


def is_network(path: Path, table: Path = MOUNT_TABLE) -> bool:
    """Whether a path is on a network or FUSE file system, where WAL and locks are not safe."""
    kind = type_of(path, table)
    return kind is not None and (kind in NETWORK or kind.startswith("fuse."))


def passing(path: Path, table: Path = MOUNT_TABLE, mounts: Path = MOUNT_INFO) -> str | None:
    """What a path is on, for people, if all of it goes with a container, a pod or the machine's memory; None
    where it stays, as far as the mount table tells."""
    kind = type_of(path, table)
    if kind in ("tmpfs", "ramfs", "rootfs"):
        return "%s, in this machine's memory" % kind
    if kind in ("overlay", "aufs", "fuse.fuse-overlayfs"):
        return "%s, which ends with this container" % kind
    return "a volume that ends with this pod (emptyDir)" if _is_of_pod(path, mounts) else None


def _is_of_pod(path: Path, mounts: Path) -> bool:
    """Whether Kubernetes made its volume for the pod: the table has where that lies on the node."""
    try:
        text = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    wanted = os.path.realpath(str(path)) + "/"
    longest, found = -1, False
    for fields in (line.split(" ") for line in text.splitlines()):
        point = _unescape(fields[4]).rstrip("/") + "/" if len(fields) > 4 else ""
        if point and wanted.startswith(point) and len(point) >= longest:
            longest, found = len(point), "kubernetes.io~empty-dir" in fields[3]
    return found


def _mounts(text: str) -> list[tuple[str, str]]:
    mounts = []
    for line in text.splitlines():
        fields = line.split(" ")
        if len(fields) >= 3:
            mounts.append((_unescape(fields[1]), fields[2]))
    return mounts


def _unescape(field: str) -> str:
    """The mount table writes space, tab, newline and backslash as octal."""
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(octal, character)
    return field


def sync_names(directory: Path) -> None:
    """Make the names in a directory durable, where the file system can: some network ones cannot."""
    try:
        sync(directory)
    except OSError:
        pass


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, durable. Raises OSError."""
    handle = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
