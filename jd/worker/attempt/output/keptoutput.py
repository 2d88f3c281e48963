"""What a job has printed, kept until the server has it: the beginning and the end, in a file without a name.

The file has a place for the head and a ring for the tail, so it does not grow beyond both however much is
printed. Output that goes with the result anyway stays in memory. Offsets are in bytes from the beginning of
the output, which is valid UTF-8.
"""

import os
import tempfile
import threading
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Tuple

from jd.errors import StorageError
from jd.files import safedirs
from jd.outputtext import to_first_character, to_last_character
from jd.protocol import MAX_PIECE_BYTES, MAX_TAIL_CHARS, OUTPUT_HEAD, OUTPUT_TAIL
from jd.worker.uplink.outputpieces import Piece


class KeptOutput:
    """The output of one attempt. `append` is for the loop's thread, all else for any."""

    def __init__(self, directory: Path, log: Callable[[str], None]) -> None:
        self.size = 0
        self._directory = directory
        self._log = log
        self._short: Optional[bytearray] = bytearray()  # None once it is in the file, or is lost
        self._file: Any = None
        self._lock = threading.Lock()

    @property
    def is_long(self) -> bool:
        """Whether it is more than goes with the result, and is kept."""
        return self._file is not None

    def append(self, data: bytes) -> None:
        """Keep what was printed next."""
        with self._lock:
            at, self.size = self.size, self.size + len(data)
            if self._short is not None and self.size <= MAX_TAIL_CHARS:
                self._short += data
                return
            try:
                if self._short is not None:
                    at, data, self._short = 0, bytes(self._short) + data, None
                    safedirs.make(self._directory, safedirs.CACHE)
                    self._file = tempfile.TemporaryFile(dir=str(self._directory), buffering=0)
                if self._file is not None:
                    self._write(data, at)
            except (OSError, StorageError) as error:
                self._forget()
                self._log("the job's output cannot be kept in %s: %s; the server gets its end only" % (
                    self._directory, getattr(error, "strerror", None) or error))

    def piece(self, position: int) -> Optional[Piece]:
        """What comes at `position`, or after what was overwritten there; None where nothing does.

        It is at most MAX_PIECE_BYTES and ends with a whole character. Raises OSError.
        """
        with self._lock:
            if self._file is None:
                return None
            ring = max(OUTPUT_HEAD, self.size - OUTPUT_TAIL)  # where what it still has begins
            head = self.size if ring == OUTPUT_HEAD else OUTPUT_HEAD
            if position < head:
                data = self._cut(position, head)
                if data:
                    return Piece(position, data)
            start = max(position, ring)
            if start > position:
                start += to_first_character(self._read(start, min(start + 4, self.size)))
            data = self._cut(start, self.size)
            return Piece(start, data, start > position) if data else None

    def runs(self, position: int) -> Iterator[Tuple[int, List[bytes]]]:
        """All from `position` on: where each stretch without a gap begins, and what it is. Raises OSError."""
        offset = position
        parts: List[bytes] = []
        piece = self.piece(position)
        while piece is not None:
            if piece.after_gap and parts:
                yield offset, parts
                parts = []
            if not parts:
                offset = piece.offset
            parts.append(piece.data)
            piece = self.piece(piece.end)
        if parts:
            yield offset, parts

    def close(self) -> None:
        """Nothing is wanted of it any more."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._short = None, None

    def _cut(self, start: int, end: int) -> bytes:
        """Whole characters from `start` on, as many as go into a piece."""
        data = self._read(start, min(start + MAX_PIECE_BYTES, end))
        return data if start + len(data) >= self.size else data[:to_last_character(data)]

    def _read(self, start: int, end: int) -> bytes:
        return b"".join(os.pread(self._file.fileno(), length, place)
                        for place, length in _places(start, end))

    def _write(self, data: bytes, at: int) -> None:
        view = memoryview(data)
        for place, length in _places(at, at + len(data)):
            part, view = view[:length], view[length:]
            while part:
                written = os.pwrite(self._file.fileno(), part, place)
                part, place = part[written:], place + written


def _places(start: int, end: int) -> Iterator[Tuple[int, int]]:
    """Where in the file the bytes from `start` to `end` are: (place, length)."""
    while start < end:
        if start < OUTPUT_HEAD:
            place, room = start, OUTPUT_HEAD - start
        else:
            turn = (start - OUTPUT_HEAD) % OUTPUT_TAIL
            place, room = OUTPUT_HEAD + turn, OUTPUT_TAIL - turn
        length = min(room, end - start)
        yield place, length
        start += length
