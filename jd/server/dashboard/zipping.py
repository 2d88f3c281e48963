"""A zip of many files, made while it is sent: neither in memory nor on disk as a whole."""

import time
import zipfile
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Callable, Generator, Iterable, List, NamedTuple, Optional, Set, cast

from jd.server.store.files.names import actual

PIECE = 256 * 1024  # bytes read in one step

# Deflate gains nothing on these, and a checkpoint is large.
_PACKED = {".pt", ".pth", ".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".png", ".jpg", ".jpeg", ".gif",
           ".webp", ".mp4", ".npz", ".safetensors"}
_UNUSABLE = {ord(character): "_" for character in '/\\:*?"<>|'}


class Member(NamedTuple):
    """A file to be packed under a name, which may have directories; `modified_at` in Unix seconds. What is in
    no file of its own comes from `made`."""

    path: Path
    name: str
    modified_at: float
    made: Optional[Callable[[], Generator[bytes, None, None]]] = None

    def pieces(self) -> Generator[bytes, None, None]:
        """What is in it. Raises OSError."""
        if self.made is not None:
            yield from self.made()
            return
        with open(str(actual(self.path)), "rb") as file:
            yield from iter(partial(file.read, PIECE), b"")


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
    names = _Names(last_name)
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


class _Names:
    """Gives each member a path that every system can unpack, and that no other member has: neither as a file
    nor as the directory of one, in capital letters or small ones."""

    def __init__(self, last_name: str) -> None:
        self._files = {last_name.lower()}
        self._folders: Set[str] = set()

    def free(self, path: str) -> str:
        """The path that a member gets."""
        *folders, name = path.split("/")
        place = ""
        for folder in folders:
            place = _unlike(place, folder, self._files) + "/"
            self._folders.add(place[:-1].lower())
        usable = _unlike(place, name, self._files | self._folders)
        self._files.add(usable.lower())
        return usable


def _unlike(place: str, name: str, taken: Set[str]) -> str:
    """`name` below `place`, with a number where that is among `taken`."""
    usable = name.translate(_UNUSABLE).rstrip(". ") or "_"
    stem, suffix = Path(usable).stem, Path(usable).suffix
    number = 1
    while (place + usable).lower() in taken:
        usable = "%s (%d)%s" % (stem, number, suffix)
        number += 1
    return place + usable
