"""One file that holds many: a tar whose last member, SHA256SUMS, has the checksum of every other.

So whoever has the file can see that it is whole and as it was written: this program, and in ten years
`tar` and `sha256sum -c SHA256SUMS`. Such a file is there whole or not at all, and never takes the place of
another.
"""

import hashlib
import io
import os
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Iterator, cast

from jd.errors import JdError, StorageError
from jd.files import filesystems
from jd.killpoint import killpoint
from jd.server.keeping import drafts

SUMS = "SHA256SUMS"
BLOCK = 1024 * 1024

Told = Callable[[int], None]  # is told how many bytes were taken so far


def nobody(_done: int) -> None:
    """For who shows no progress."""


class Packer:
    """Adds members to a tar that is being written below the directory `top`; "" puts them on its top."""

    def __init__(self, archive: tarfile.TarFile, sums: IO[bytes], top: str, told: Told) -> None:
        self.members = 0
        self.size = 0
        self._archive = archive
        self._sums = sums
        self._top = top
        self._told = told

    def add(self, name: str, source: IO[bytes], size: int, modified_at: float) -> None:
        """Add the first `size` bytes of an open file. Raises OSError, also where it has fewer."""
        reader = _Reader(source, size, lambda n: self._told(self.size + n))
        info = tarfile.TarInfo("%s/%s" % (self._top, name) if self._top else name)
        info.size, info.mode, info.mtime = size, 0o600, int(modified_at)
        self._archive.addfile(info, cast(Any, reader))
        # tarfile remembers every member, and a sweep may have millions.
        cast(Any, self._archive).members = []
        self._sums.write(_sums_line(reader.digest(), name))
        self.members += 1
        self.size += size

    def add_bytes(self, name: str, content: bytes, modified_at: float) -> None:
        """Add a file with this content."""
        self.add(name, io.BytesIO(content), len(content), modified_at)

    def finish(self, modified_at: float) -> None:
        """Add the checksums."""
        size = self._sums.tell()
        self._sums.seek(0)
        info = tarfile.TarInfo("%s/%s" % (self._top, SUMS) if self._top else SUMS)
        info.size, info.mode, info.mtime = size, 0o600, int(modified_at)
        self._archive.addfile(info, cast(Any, self._sums))


class _Reader:
    """Reads a file for tarfile, and takes its checksum meanwhile."""

    def __init__(self, source: IO[bytes], size: int, told: Told) -> None:
        self._source = source
        self._left = size
        self._size = size
        self._told = told
        self._sum = hashlib.sha256()

    def read(self, wanted: int = -1) -> bytes:
        """As of a file that ends after `size` bytes."""
        data = self._source.read(self._left if wanted < 0 else min(wanted, self._left))
        self._left -= len(data)
        self._sum.update(data)
        self._told(self._size - self._left)
        return data

    def digest(self) -> str:
        """Of what was read."""
        return self._sum.hexdigest()


def _sums_line(digest: str, name: str) -> bytes:
    """As sha256sum writes it, which marks lines whose name would break them."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return ("%s%s  %s\n" % ("\\" if escaped != name else "", digest, escaped)).encode(
        "utf-8", "surrogateescape")


@contextmanager
def writing(file: Path, top: str, now: float, told: Told = nobody) -> Iterator[Packer]:
    """A new tar that is in the place of `file` when the block ends, durably, and not at all where it
    raises.

    What a run that was killed had begun is removed. Raises JdError where the file is there, StorageError
    where it cannot be written.
    """
    refuse_existing(file)
    try:
        with drafts.file(file, "part") as draft:
            with open(str(draft), "wb") as target, scratch(file.parent) as sums:
                # PAX has names of any length and in any script.
                with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    packer = Packer(archive, sums, top, told)
                    yield packer
                    packer.finish(now)
                target.flush()
                os.fsync(target.fileno())
            killpoint("keeping.file.before-link")
            _put(draft, file)
            killpoint("keeping.file.after-link")
        filesystems.sync_names(file.parent)
    except OSError as error:
        raise StorageError("cannot write %s: %s" % (file, error.strerror or error)) from error


def _put(draft: Path, file: Path) -> None:
    """Give it its name, which nothing else may have."""
    try:
        os.link(str(draft), str(file))  # which, unlike a rename, never replaces one
    except FileExistsError:
        raise _exists(file) from None
    except OSError:
        refuse_existing(file)
        os.rename(str(draft), str(file))


def refuse_existing(file: Path) -> None:
    """Raise JdError where there is such a file, or no directory for it."""
    if os.path.lexists(str(file)):
        raise _exists(file)
    if not file.parent.is_dir():
        raise StorageError("there is no directory %s for %s" % (file.parent, file.name), "make it first")


def _exists(file: Path) -> JdError:
    return JdError("%s is there already and is not overwritten" % file, "choose another name")


class Member:
    """A file in a tar that is being read: its name, and what is in it, once."""

    def __init__(self, name: str, size: int, source: IO[bytes]) -> None:
        self.name = name
        self.size = size
        self._source = source
        self._sum = hashlib.sha256()
        self._left = size

    def pieces(self) -> Iterator[bytes]:
        """What is in it and was not read yet, in steps. Raises EOFError where some of it is missing."""
        while self._left:
            data = self._source.read(min(BLOCK, self._left))
            if not data:
                raise EOFError
            self._left -= len(data)
            self._sum.update(data)
            yield data

    def content(self) -> bytes:
        """All of it, for small ones."""
        return b"".join(self.pieces())

    def digest(self) -> str:
        """Its checksum."""
        for _ in self.pieces():
            pass
        return self._sum.hexdigest()


def scratch(directory: Path) -> IO[bytes]:
    """A file without a name, for what may be large: on the disk that was chosen for it, which /tmp is not.
    Raises OSError."""
    return tempfile.TemporaryFile(dir=str(directory))


def read(file: Path, top: str, take: Callable[[Member], None] = lambda _member: None,
         told: Told = nobody) -> int:
    """Give each member below `top` to `take`, and see that the file is whole and as it was written:
    returns how many there are.

    `take` sees members before all of the file was looked at: what it does must be undone where this
    raises. Raises JdError for a file that is damaged or none of ours, StorageError where it cannot be
    read.
    """
    start = top + "/" if top else ""
    try:
        with open(str(file), "rb") as source, tempfile.TemporaryFile() as sums, \
                tarfile.open(fileobj=source, mode="r:") as archive:
            count = 0
            for info in archive:
                cast(Any, archive).members = []
                # One with holes may be of any size, however small the file is in which it lies.
                is_ours = info.isfile() and not info.issparse()
                content = archive.extractfile(info) if is_ours else None
                if content is None or not info.name.startswith(start):
                    raise damaged(file, "%r in it is no file of ours" % info.name[:80])
                member = Member(info.name[len(start):], info.size, content)
                if member.name == SUMS:
                    _compare(file, sums, member)
                    return count
                take(member)
                sums.write(_sums_line(member.digest(), member.name))
                count += 1
                told(source.tell())
            raise damaged(file, "its end is missing" if count else "it is empty")
    except (tarfile.TarError, EOFError, UnicodeError) as error:
        raise damaged(file, str(error) or "it ends too early") from None
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (file, error.strerror or error)) from error


def _compare(file: Path, found: IO[bytes], written: Member) -> None:
    """Raise for the first member that is not as it was written."""
    found.seek(0)
    with tempfile.TemporaryFile() as expected:
        for data in written.pieces():
            expected.write(data)
        expected.seek(0)
        for line in expected:
            if found.readline() != line:
                raise damaged(file, "%s in it is not as it was written" % line.decode(
                    "utf-8", "replace").strip().partition("  ")[2])
    if found.readline():
        raise damaged(file, "it has more than was written")


def damaged(file: Path, why: str) -> JdError:
    """The error about a file that cannot be used."""
    return StorageError("%s is damaged, or was not made by jd_server: %s" % (file, why),
                        "nothing of it was used; take another copy of it")
