"""What attempts print: `data/.output/<job>/<attempt>/`, in files named by the offset they begin at.

The first file has the beginning, up to OUTPUT_HEAD bytes, and stays. The others have the end: when one is
full the next is begun and the oldest removed. What is between is left out. A file is only ever appended to,
so what is there is whole however the server ends. The last bytes of an output, and all of a short one, are in
the row of the attempt, as its worker told them with a heartbeat or the result.
"""

import logging
import os
import threading
from pathlib import Path
from typing import Generator, List, NamedTuple, Optional

from jd import messages
from jd.files import filesystems
from jd.outputtext import joint, to_first_character, to_last_character
from jd.protocol import OUTPUT_HEAD, OUTPUT_TAIL
from jd.storage import filemodes

DIRECTORY = ".output"
FILE_BYTES = OUTPUT_TAIL // 2
KEPT_FILES = 3  # of the end: two that are full have OUTPUT_TAIL bytes, the third is being filled
MIN_FREE = 512 * 1024 * 1024  # bytes on the disk that are not for output: the jobs' results are worth more
BLOCK = 256 * 1024

log = logging.getLogger("jd.server")


class Stretch(NamedTuple):
    """Output without a gap, from `offset` on: in a file, or at hand as `data`."""

    offset: int
    size: int
    path: Optional[Path] = None
    data: bytes = b""

    @property
    def end(self) -> int:
        """The offset of what comes next."""
        return self.offset + self.size

    def read(self, start: int, limit: int) -> bytes:
        """At most so many bytes from the offset `start` on; none where the file has gone. Raises OSError."""
        if self.path is None:
            return self.data[start - self.offset:start - self.offset + limit]
        try:
            with open(str(self.path), "rb") as file:
                file.seek(start - self.offset)
                return file.read(min(limit, self.end - start))
        except FileNotFoundError:
            return b""


class Part(NamedTuple):
    """Output from `offset` on, and where the next part begins."""

    offset: int
    text: str
    next: int


class Outputs:
    """Takes pieces of output, one at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._complained = False

    def take(self, piece: messages.OutputPiece) -> int:
        """Keep what is new of a piece. Returns how far the output is here; a disk that is full is no error.

        What does not follow on what is here is taken only after a gap that the worker knows of.
        """
        with self._lock:
            directory = _place(self._data_dir, piece.job_id, piece.attempt)
            files = _files(directory)
            end = files[-1].end if files else 0
            data = piece.output.encode("utf-8")
            if piece.offset > end and not piece.after_gap:
                return end
            offset = max(piece.offset, end)
            data = data[offset - piece.offset:]
            try:
                if data and self._has_room():
                    self._append(directory, files, offset, data)
                if piece.final and files:
                    _settle(directory, files)
            except OSError as error:
                self._complain("cannot keep the output of job %d: %s: %s" % (
                    piece.job_id, directory, error.strerror or error))
            files = _files(directory)
            return files[-1].end if files else 0

    def _append(self, directory: Path, files: List[Stretch], offset: int, data: bytes) -> None:
        modes = filemodes.of(self._data_dir)
        for made in (directory.parent.parent, directory.parent, directory):
            filemodes.make_directory(made, modes)
        while data:
            last = files[-1] if files else None
            room = 0
            if last is not None and last.end == offset:
                room = (OUTPUT_HEAD if last.offset == 0 else FILE_BYTES) - last.size
            if last is None or room <= 0:
                path = directory / ("%016d" % offset)
                os.close(filemodes.create(path, modes))
                files.append(Stretch(offset, 0, path))
                continue
            with open(str(last.path), "ab") as file:
                file.write(data[:room])
            files[-1] = last._replace(size=last.size + len(data[:room]))
            offset, data = offset + len(data[:room]), data[room:]
        for old in files[1:-KEPT_FILES]:
            os.unlink(str(old.path))

    def _has_room(self) -> bool:
        found = os.statvfs(str(self._data_dir))
        if found.f_bavail * found.f_frsize >= MIN_FREE:
            self._complained = False
            return True
        self._complain("less than %d MiB are free below %s: of what jobs print only the last 16 kB are kept"
                       % (MIN_FREE // 2 ** 20, self._data_dir))
        return False

    def _complain(self, text: str) -> None:
        if not self._complained:
            self._complained = True
            log.warning("%s", text)


def kept(data_dir: Path, job_id: int, attempt: int, tail: str, size: Optional[int],
         follows: bool = False) -> List[Stretch]:
    """What there is of the output of an attempt, of which `tail` is the end and which had `size` bytes; None:
    its worker does not say, so the tail is all that is known. Where more `follows`, a tail that does not join
    on to the rest is not told yet: its worker is still to send what lies between.
    """
    files = _files(_place(data_dir, job_id, attempt))
    end, data = files[-1].end if files else 0, tail.encode("utf-8")
    if size is None:
        return files or [Stretch(0, len(data), None, data)]
    if size > end and not (follows and size - len(data) > end):
        begins = max(end, size - len(data))
        data = data[len(data) - (size - begins):]
        files.append(Stretch(begins, len(data), None, data))
    return files


def part(stretches: List[Stretch], offset: int, limit: int, grows: bool = False) -> Part:
    """Output from `offset` on, or from where it goes on after it.

    It has at most `limit` bytes, and ends where something is left out. Of what `grows` a character that
    has only begun is left to the next look: what is being written is seen in parts. Raises OSError.
    """
    end = stretches[-1].end if stretches else 0
    begins = at = offset
    found: List[bytes] = []
    for stretch in stretches:
        if stretch.end <= at:
            continue
        if stretch.offset > at:
            if found:
                break
            begins = at = stretch.offset
        data = stretch.read(at, limit - (at - begins))
        if data:
            found.append(data)
            at += len(data)
        if at - begins >= limit:
            break
    data = b"".join(found)
    begins += to_first_character(data)
    data = data[to_first_character(data):]
    if at < end or grows:
        data = data[:to_last_character(data)] or (data if at < end else b"")
    return Part(begins, data.decode("utf-8", "replace"), begins + len(data))


def whole(stretches: List[Stretch]) -> Generator[bytes, None, None]:
    """All of it, with a line where something is left out, in steps. Raises OSError."""
    reached, last = 0, ""
    for stretch in stretches:
        yield joint(last, stretch.offset - reached).encode("ascii")
        reached = stretch.offset
        while reached < stretch.end:
            data = stretch.read(reached, BLOCK)
            if not data:
                break
            yield data
            reached, last = reached + len(data), data[-1:].decode("latin-1")


def _place(data_dir: Path, job_id: int, attempt: int) -> Path:
    return data_dir / DIRECTORY / str(job_id) / str(attempt)


def _files(directory: Path) -> List[Stretch]:
    """The files, in order. Raises OSError."""
    try:
        entries = sorted(os.scandir(str(directory)), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    found: List[Stretch] = []
    for entry in entries:
        if not entry.name.isdecimal():
            continue
        try:
            found.append(Stretch(int(entry.name), entry.stat().st_size, Path(entry.path)))
        except FileNotFoundError:
            pass  # removed just now, since the end has moved on
    return found


def _settle(directory: Path, files: List[Stretch]) -> None:
    """Make all of it durable."""
    for file in files:
        handle = os.open(str(file.path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    filesystems.sync(directory)
