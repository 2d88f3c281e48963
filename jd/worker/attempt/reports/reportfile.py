"""The file that a script appends its reports to, as far as it was read.

It lies beside the job's directory, `.jd/<job>.<attempt>.reports`, and not in it, because scripts upload every
file that they find. The script makes it. Whatever it does with it later, what was read stays read: a file
that is shorter now, or another one, is read from its beginning, unless what stood before the place that was
reached stands there still. Links, pipes and directories are not read.
"""

import os
import stat
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from jd.protocol import MAX_REPORT_BYTES
from jd.script import uploaded

CHUNK = 256 * 1024
MAX_BEHIND = 16 * 1024 * 1024  # bytes that are looked at, at once: of more so many parts, evenly spread
PARTS = 64
Part = Tuple[int, int]  # of a file: from where to where
_COMPARED = 64  # bytes before the place that was reached
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


def place(job_dir: Path, attempt: Optional[int]) -> str:
    """Where the file of an attempt is."""
    return uploaded.beside(job_dir, ".%d.reports" % (attempt or 0))


def remove(path: str) -> None:
    """Remove the file of an attempt, if there is one."""
    try:
        os.unlink(path)
    except OSError:
        pass  # there is none, or it is a directory that somebody has made: no harm


class ReportFile:
    """Read by one thread. `left_out` is how many bytes of lines were not looked at, as there were too many of
    them, and `too_long` how many lines no report can be. `odd` says what is there in place of a file."""

    def __init__(self, path: str) -> None:
        self.left_out = 0
        self.too_long = 0
        self.odd = ""
        self._path = path
        self._handle: Optional[int] = None
        self._seen: Tuple[int, ...] = ()
        self._at = 0
        self._before = b""
        self._skipping = False  # the rest of a line that is too long, or was begun before
        self._unfinished = False  # whether all that is left is the beginning of a line

    def lines(self, allowed: int, final: bool = False) -> Iterator[bytes]:
        """The lines that are new, at most `allowed` (and one), evenly spread and the last of them among them.

        The last one counts without a line break if it is `final`. Raises OSError.
        """
        status = self._status()
        if status is not None and self._handle is not None and not _is_same(os.fstat(self._handle), status):
            yield from self._rest(allowed, True)  # of a file that another one has replaced
            self._open()
        elif status is not None and self._handle is None:
            self._open()
        if self._handle is not None:
            yield from self._rest(allowed, final)

    def close(self) -> None:
        """Nothing is read any more."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _status(self) -> Optional[os.stat_result]:
        try:
            status = os.lstat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISREG(status.st_mode):
            return status
        kinds = ((stat.S_ISDIR, "a directory"), (stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"))
        self.odd = next((name for check, name in kinds if check(status.st_mode)), "no file")
        return None

    def _open(self) -> None:
        handle = os.open(self._path, _OPEN)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return
        self.close()
        self._handle, self._seen = handle, ()

    def _rest(self, allowed: int, final: bool) -> Iterator[bytes]:
        assert self._handle is not None
        status = os.fstat(self._handle)
        seen = (status.st_size, status.st_mtime_ns)
        if seen == self._seen and not final:
            return
        self._seen = seen
        if status.st_size < self._at or self._read(self._at - len(self._before), self._at) != self._before:
            self._at, self._before, self._skipping = 0, b"", False
        parts = _parts(self._at, status.st_size)
        every, number = self._every(parts, max(1, allowed)), 0
        last: Optional[bytes] = None  # if it is to be left out
        for lines in self._in(parts, final):
            if every > 1:
                last = None if (number + len(lines)) % every == 0 else lines[-1] if lines else last
                taken = lines[every - 1 - number % every::every]
                self.left_out += sum(map(len, lines)) - sum(map(len, taken))
                number, lines = number + len(lines), taken
            yield from (line for line in lines if line and not line.isspace())
        if last and not last.isspace():
            self.left_out -= len(last)
            yield last

    def _in(self, parts: Sequence[Part], final: bool) -> Iterator[List[bytes]]:
        """The lines of some parts of the file, some at a time; moves on to behind them."""
        for start, end in parts:
            if start > self._at:
                self.left_out += start - self._at
                self._at, self._before, self._skipping = start, b"", True
            self._unfinished = False
            while self._at < end and not self._unfinished:
                chunk = self._read(self._at, min(self._at + CHUNK, end))
                if not chunk:
                    return  # it has become shorter just now
                yield self._whole(chunk, final and self._at + len(chunk) >= parts[-1][1])

    def _every(self, parts: Sequence[Part], allowed: int) -> int:
        """Which line counts, the second or the third …, if there are more than `allowed`."""
        if sum(end - start for start, end in parts) <= 3 * allowed:  # {} and a line break
            return 1
        count = 0
        for start, end in parts:
            for at in range(start, end, CHUNK):
                count += self._read(at, min(at + CHUNK, end)).count(b"\n")
        return -(-count // allowed) or 1

    def _whole(self, chunk: bytes, final: bool) -> List[bytes]:
        """The lines of a chunk that have ended; moves on to behind them."""
        cut = len(chunk) if final else chunk.rfind(b"\n") + 1
        if not cut and len(chunk) > MAX_REPORT_BYTES:
            self.too_long += not self._skipping
            cut, self._skipping = len(chunk), True
            lines: List[bytes] = []
        else:
            lines = chunk[:cut].split(b"\n")
            if not lines[-1]:
                del lines[-1]  # what comes behind the last line break
            if self._skipping and cut:
                del lines[0]
                self._skipping = False
        self._unfinished = not cut
        self._at += cut
        self._before = (self._before + chunk[:cut])[-_COMPARED:]
        return lines

    def _read(self, start: int, end: int) -> bytes:
        assert self._handle is not None
        return os.pread(self._handle, end - start, start) if end > start else b""


def _parts(start: int, end: int) -> List[Part]:
    """All that is between two places, or parts of it, the first and the last among them."""
    room, size = end - start, MAX_BEHIND // PARTS
    if room <= MAX_BEHIND:
        return [(start, end)]
    begins = [start + (room - size) * number // (PARTS - 1) for number in range(PARTS)]
    return [(begin, begin + size) for begin in begins]


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
