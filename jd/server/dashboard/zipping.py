"""A zip of many files, made while it is sent: neither in memory nor on disk as a whole."""

import time
import zipfile
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Generator, Iterable, List, Set, cast

from jd.server.jobfolder import Member, Names

# Deflate gains nothing on these, and a checkpoint is large.
_PACKED = {".pt", ".pth", ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".png", ".jpg", ".jpeg", ".gif",
           ".webp", ".mp4", ".npz", ".safetensors"}


class _Outbox:
    """Where zipfile writes: it cannot seek, and what was written is taken away in pieces."""

    def __init__(self) -> None:
        self._parts: List[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def pack(folder: str, members: Iterable[Member], last_name: str,
         last_content: Callable[[Set[int]], bytes], now: float) -> Generator[bytes, None, None]:
    """The bytes of a zip with the members below `folder`, in steps of about PIECE bytes.

    `last_name` is packed after them; its content may tell which members, by their index, were not
    there any more. Every step reads from disk: run them in an executor. Raises OSError.
    """
    outbox = _Outbox()
    gone: Set[int] = set()
    names = Names(last_name)
    with zipfile.ZipFile(cast(Any, outbox), "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for index, member in enumerate(members):
            name = names.free(member.name)
            pieces = member.pieces()
            try:
                first = next(pieces, b"")  # which opens it
            except FileNotFoundError:
                gone.add(index)
                continue
            with closing(pieces), archive.open(_head(folder, name, member.modified_at), "w",
                                               force_zip64=True) as target:
                for data in chain((first,), pieces):
                    target.write(data)
                    yield outbox.take()
        archive.writestr(_head(folder, last_name, now), last_content(gone))
    yield outbox.take()


def _head(folder: str, name: str, modified_at: float) -> zipfile.ZipInfo:
    # The format knows the years from 1980 to 2107.
    moment = time.gmtime(min(max(modified_at, 315532800.0), 4354819198.0))
    info = zipfile.ZipInfo("%s/%s" % (folder, name), moment[:6])
    packed = Path(name).suffix.lower() in _PACKED
    info.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
