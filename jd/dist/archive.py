"""Zip and tar.gz files that come out the same, byte for byte, from the same entries.

Times, modes, owners and order come from here and from the entries, never from the disk, the umask
or the locale. (Deflate itself is zlib's: another zlib may pack the same bytes differently.)
"""

import gzip
import io
import os
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Iterable, Mapping, NamedTuple, Tuple

from jd.files import wholefile
from jd.errors import StorageError, UsageError

EARLIEST = 315532800  # 1980-01-01 00:00:00 UTC, the first moment that a zip file can express
LATEST = 4354819198  # 2107-12-31 23:59:58 UTC, its last
_LEVEL = 9


class Entry(NamedTuple):
    """One file of an archive."""

    name: str  # with slashes, relative
    data: bytes
    executable: bool = False

    @property
    def mode(self) -> int:
        """Permission bits: 0755 or 0644."""
        return 0o755 if self.executable else 0o644


def timestamp(environ: Mapping[str, str] = os.environ) -> int:
    """Unix seconds for every entry: SOURCE_DATE_EPOCH where set, else 1980-01-01.

    A moment that zip cannot express becomes the nearest that it can. Raises UsageError.
    """
    given = environ.get("SOURCE_DATE_EPOCH", "").strip()
    if not given:
        return EARLIEST
    if not (given.isascii() and given.isdigit() and len(given) <= 20):
        raise UsageError("SOURCE_DATE_EPOCH: %r is not allowed" % given[:100],
                         "give Unix seconds, a whole number")
    return min(max(int(given), EARLIEST), LATEST)


def zip_bytes(entries: Iterable[Entry], moment: int, start: bytes = b"") -> bytes:
    """A zip file with the entries in the order given, behind `start` (a `#!` line)."""
    year, month, day, hour, minute, second = time.gmtime(moment)[:6]
    date_time: Tuple[int, int, int, int, int, int] = (year, month, day, hour, minute, second)
    buffer = io.BytesIO()
    buffer.write(start)
    with zipfile.ZipFile(buffer, "w") as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.name, date_time)
            info.create_system = 3  # Unix: the mode below counts
            info.external_attr = (0o100000 | entry.mode) << 16
            archive.writestr(info, entry.data, zipfile.ZIP_DEFLATED, _LEVEL)
    return buffer.getvalue()


def tar_gz_bytes(entries: Iterable[Entry], moment: int) -> bytes:
    """A gzipped tar file (PEP 517, source distributions) with the entries in order.

    ustar, which every POSIX.1-2001 reader takes: names are ASCII and short enough for it.
    """
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=buffer,
                       mtime=moment) as packed:
        for entry in entries:
            packed.write(_tar_header(entry, moment))
            packed.write(entry.data)
            packed.write(bytes(-len(entry.data) % tarfile.BLOCKSIZE))
        packed.write(bytes(2 * tarfile.BLOCKSIZE))
    return buffer.getvalue()


def _tar_header(entry: Entry, moment: int) -> bytes:
    info = tarfile.TarInfo(entry.name)
    info.size = len(entry.data)
    info.mtime = moment
    info.mode = entry.mode
    header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    # Python 3.8 writes device numbers of ordinary files as "0000000", later ones leave them out.
    header[329:345] = bytes(16)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def write_whole(path: Path, data: bytes, executable: bool = False) -> None:
    """Put a file in place whole or not at all; its directory is made. Raises StorageError.

    Whoever may read an executable one may run it; who may read it, the umask says.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with wholefile.replacing(path, 0o666) as file:
            file.write(data)
            if executable:
                mode = os.fstat(file.fileno()).st_mode
                os.fchmod(file.fileno(), mode | (mode & 0o444) >> 2)
    except OSError as error:
        raise StorageError("cannot write %s: %s" % (path, error.strerror)) from None
