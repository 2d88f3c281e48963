"""A checkpoint directory as one file: a tar archive whose first bytes say what it is.

Its first member is an empty file named as protocol.DIRECTORY_MARK, so that neither side takes it
for an object that `jd_update_checkpoint` pickled, nor the other way round. Any `tar` unpacks it.

What comes from the server is not trusted with our file system: only plain files, directories, and
links that stay inside are unpacked, and nothing of an archive that has anything else in it.
"""

import os
import shutil
import stat
import tarfile
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, List, Optional, Tuple

from jd import protocol
from jd.errors import JdError, LimitError, StorageError, reason
from jd.killpoint import killpoint

MAX_ENTRIES = 10_000
MAX_HEADER = 64 * 1024  # bytes of an extended header: a path and a link have 4,096 at most
MAX_TIME = 2 ** 33  # Unix seconds, in the year 2242; as many as tar has digits for
MAX_PATH, MAX_NAME = 4096, 255  # bytes, of a whole path and of one name in it
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
             tarfile.GNUTYPE_LONGLINK)
_CHUNK = 256 * 1024
_FORMAT = tarfile.PAX_FORMAT

# Kind, size, time of last change (ns) and inode, by name; a link's target stands in its name.
Snapshot = Dict[str, Tuple[int, int, int, int]]


class UnsafeArchive(JdError):
    """An archive that is no checkpoint directory of ours; nothing of it was unpacked."""


def is_ours(head: bytes) -> bool:
    """Whether a file that begins with `head` is a checkpoint directory."""
    return head.startswith(protocol.DIRECTORY_MARK)


def snapshot(directory: Path) -> Snapshot:
    """What tells one state of a directory from another. Raises LimitError, and OSError."""
    found: Snapshot = {}
    for name, _, status in _walk(directory):
        found[name] = (stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns,
                       status.st_ino)
    return {name: (kind, size if stat.S_ISREG(kind) else 0,
                   changed if not stat.S_ISDIR(kind) else 0, inode)
            for name, (kind, size, changed, inode) in found.items()}


def size_of(state: Snapshot) -> int:
    """Bytes in the files of a state."""
    return sum(size for _, size, _, _ in state.values())


def last_change(directory: Path) -> float:
    """When anything in a directory was written, in Unix seconds. Raises LimitError, and OSError."""
    times = [status.st_mtime for _, _, status in _walk(directory)]
    return max(times + [os.stat(str(directory)).st_mtime])


def _walk(directory: Path) -> Iterator[Tuple[str, str, os.stat_result]]:
    waiting = [("", str(directory))]
    number = 0
    while waiting:
        prefix, path = waiting.pop()
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
        for entry in entries:
            number += 1
            if number > MAX_ENTRIES:
                raise LimitError("the checkpoint directory %s has more than %d files"
                                 % (directory, MAX_ENTRIES),
                                 "put them into one archive")
            status = entry.stat(follow_symlinks=False)
            yield prefix + entry.name, entry.path, status
            if stat.S_ISDIR(status.st_mode):
                waiting.append((prefix + entry.name + "/", entry.path))


# ---- packing

def pack(directory: Path, to: BinaryIO) -> int:
    """Write the archive of a directory; returns its size in bytes.

    Raises LimitError when it is too large, StorageError when `directory` cannot be read or `to`
    not be written. Sockets, pipes, devices and links that lead out are left out.
    """
    try:
        if size_of(snapshot(directory)) > protocol.MAX_FILE_BYTES:
            raise _too_large(directory)
        with tarfile.open(fileobj=to, mode="w", format=_FORMAT) as archive:
            archive.addfile(tarfile.TarInfo(protocol.DIRECTORY_MARK.decode("ascii")))
            for name, path, status in _walk(directory):
                _add(archive, directory, name, path, status)
                if to.tell() > protocol.MAX_FILE_BYTES:
                    raise _too_large(directory)
        to.flush()
        size = to.tell()
    except (OSError, tarfile.TarError) as error:
        raise StorageError("%s cannot be packed: %s" % (
            directory, getattr(error, "strerror", None) or error)) from error
    if size > protocol.MAX_FILE_BYTES:
        raise _too_large(directory)
    return size


def _too_large(directory: Path) -> LimitError:
    return LimitError("the checkpoint directory %s has more than %d MB, the most that can be saved"
                      % (directory, protocol.MAX_FILE_BYTES >> 20),
                      "keep only what is needed to resume")


def _add(archive: tarfile.TarFile, root: Path, name: str, path: str,
         status: os.stat_result) -> None:
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(status.st_mode) & 0o777
    member.mtime = min(max(0, int(status.st_mtime)), MAX_TIME - 1)
    if stat.S_ISDIR(status.st_mode):
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    elif stat.S_ISLNK(status.st_mode):
        target = os.readlink(path)
        if not os.path.isabs(target) and _inside(root, path):
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    elif stat.S_ISREG(status.st_mode):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            member.size = os.fstat(fd).st_size
            archive.addfile(member, file)


def _inside(root: Path, path: str) -> bool:
    real = os.path.realpath(str(root))
    return os.path.commonpath([real, os.path.realpath(path)]) == real


# ---- unpacking

def unpack(file: BinaryIO, directory: Path) -> int:
    """Unpack an archive into `directory`, which is made by it; returns the number of files.

    All or nothing. Raises UnsafeArchive for an archive that must not be unpacked, whatever is odd about it,
    StorageError where `directory` cannot be written.
    """
    partial = directory.parent / (directory.name + ".partial")
    try:
        shutil.rmtree(str(partial), ignore_errors=True)
        headers = _count(file)
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as archive:
            members = _checked(archive)
            if 1 + len(members) != headers:
                raise UnsafeArchive("the checkpoint is refused: it has members that cannot be read")
            partial.mkdir(0o700, parents=True)  # whatever the umask: it becomes what the script goes on from
            files = _write_out(archive, members, partial)
        killpoint("checkpoint.unpack.before-rename")
        os.rename(str(partial), str(directory))
        killpoint("checkpoint.unpack.after-rename")
        return files
    except JdError:
        raise
    except (OSError, MemoryError) as error:
        raise StorageError("the checkpoint cannot be unpacked into %s: %s" % (
            directory, reason(error))) from error
    except Exception as error:  # what tarfile makes of bytes that are no archive of ours is of many kinds
        raise UnsafeArchive("the checkpoint cannot be read: %s" % (
            str(error) or type(error).__name__)) from error
    finally:
        shutil.rmtree(str(partial), ignore_errors=True)


def _count(file: BinaryIO) -> int:
    """How many members there are, the mark among them. It goes from header to header as tarfile will, which
    takes its time over extended ones that are long, calls itself for each that follows another, and may take
    an odd one for the end. Raises UnsafeArchive, OSError, TarError, ValueError."""
    size = file.seek(0, os.SEEK_END)
    place = extended = members = 0
    while place < size:
        file.seek(place)
        header = file.read(tarfile.BLOCKSIZE)
        if header.count(b"\0") == len(header):
            break
        length, kind = tarfile.nti(header[124:136]), header[156:157]  # type: ignore[attr-defined]
        if length < 0:
            raise UnsafeArchive("the checkpoint is refused: a member has less than no bytes")
        extended = extended + 1 if kind in _EXTENDED else 0
        if extended > len(_EXTENDED) or extended and length > MAX_HEADER:
            raise UnsafeArchive("the checkpoint is refused: its headers are longer than paths can be")
        members += 0 if extended else 1
        has_data = kind not in (tarfile.DIRTYPE, tarfile.SYMTYPE)
        place += tarfile.BLOCKSIZE + (-(-length // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE if has_data else 0)
    return members


def _oddity(member: tarfile.TarInfo) -> Optional[str]:
    """What a member has that no file of ours has, if it has any."""
    if not 0 <= member.mtime < MAX_TIME:  # nor is it so for what is no number
        return "its time is out of range"
    if not 0 <= member.mode <= 0o7777:
        return "its mode is out of range"
    if member.size < 0 or member.size and not member.isreg():
        return "its size is out of range"
    if member.issparse():
        return "it has holes"
    names = [os.fsencode(name) for name in (member.name, member.linkname)]
    if max(map(len, names)) > MAX_PATH or max(map(len, names[0].split(b"/"))) > MAX_NAME:
        return "its name is too long"
    return "its link has a NUL" if "\0" in member.linkname else None


def _checked(archive: tarfile.TarFile) -> List[tarfile.TarInfo]:
    """The members without the mark. Raises UnsafeArchive for any that we would not have packed."""
    members: List[tarfile.TarInfo] = []
    seen: Dict[str, tarfile.TarInfo] = {}
    total = 0
    for member in archive:
        if len(members) > MAX_ENTRIES:
            raise UnsafeArchive("the checkpoint has more than %d files" % MAX_ENTRIES)
        parts = member.name.split("/")
        if (member.name.startswith("/") or any(part in ("", ".", "..") for part in parts)
                or "\0" in member.name):
            raise _unsafe(member, "its path leads out of the directory")
        if member.name in seen:
            raise _unsafe(member, "it is there twice")
        seen[member.name] = member
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE,
                               tarfile.SYMTYPE):
            raise _unsafe(member, "it is neither a file nor a directory nor a symbolic link")
        if member.issym() and (os.path.isabs(member.linkname) or not member.linkname):
            raise _unsafe(member, "its link leads out of the directory")
        odd = _oddity(member)
        if odd is not None:
            raise _unsafe(member, odd)
        total += member.size
        if total > protocol.MAX_FILE_BYTES:
            raise UnsafeArchive("the checkpoint unpacks to more than %d MB"
                                % (protocol.MAX_FILE_BYTES >> 20))
        members.append(member)
    if not members or not is_ours(members[0].name.encode("utf-8", "replace")):
        raise UnsafeArchive("the checkpoint has no mark of a checkpoint directory")
    for member in members:
        for place, letter in enumerate(member.name):
            above = seen.get(member.name[:place]) if letter == "/" else None
            if above is not None and not above.isdir():
                raise _unsafe(member, "it lies below what is no directory")
    return members[1:]


def _unsafe(member: tarfile.TarInfo, why: str) -> UnsafeArchive:
    return UnsafeArchive("the checkpoint is refused because of its member %s: %s; nothing of it "
                         "was unpacked" % (protocol.shown(member.name), why))


def _write_out(archive: tarfile.TarFile, members: List[tarfile.TarInfo], root: Path) -> int:
    files = 0
    for member in members:
        path = os.path.join(str(root), member.name)
        if member.isdir():
            os.makedirs(path, exist_ok=True)
        elif not member.issym():
            files += 1
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _write_file(archive, member, path)
    # Links come last: nothing is written through one, and where each leads shows at the end.
    links = [member for member in members if member.issym()]
    for member in links:
        path = os.path.join(str(root), member.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(member.linkname, path)
    for member in links:
        if not _inside(root, os.path.join(str(root), member.name)):
            raise _unsafe(member, "its link leads out of the directory")
    for member in members:
        if member.isdir():
            os.chmod(os.path.join(str(root), member.name), (member.mode & 0o777) | 0o700)
    return files


def _write_file(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> None:
    source = archive.extractfile(member)
    if source is None:
        raise _unsafe(member, "it has no content")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as target:
        left = member.size
        while left:
            chunk = source.read(min(_CHUNK, left))
            if not chunk:
                raise EOFError("it ends too early")
            target.write(chunk)
            left -= len(chunk)
        os.fchmod(fd, (member.mode & 0o777) | 0o600)
    os.utime(path, (member.mtime, member.mtime))
