"""The reports of one attempt that the server does not have yet, as lines of JSON: in memory, and in a file
without a name where they are more than a little.

While a server is away for long, every second one is left out when they have become too many.
"""

import io
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO, Callable, List, cast

from jd.errors import StorageError
from jd.files import safedirs
from jd.worker.uplink import reportpieces

IN_MEMORY = 256 * 1024  # bytes
MAX_BYTES = 64 * 1024 * 1024


class KeptReports:
    """For one thread. `waiting` is how many there are, `thinned` how many were left out; `trouble` says why
    nothing can be kept any more, as on a full disk."""

    def __init__(self, directory: Path, log: Callable[[str], None]) -> None:
        self.waiting = 0
        self.thinned = 0
        self._directory = directory
        self._log = log
        self._file: BinaryIO = io.BytesIO()
        self._at = 0  # where the first one that waits begins
        self._size = 0
        self.trouble = ""

    def append(self, lines: List[bytes]) -> None:
        """Keep reports, each with its line break."""
        data = b"".join(lines)
        if not data or self.trouble:
            return
        try:
            if self._size + len(data) > IN_MEMORY and isinstance(self._file, io.BytesIO):
                self._to_disk()
            if self._size - self._at + len(data) > MAX_BYTES:
                self._thin()
            self._file.seek(self._size)
            self._file.write(data)
            self._file.flush()
        except (OSError, StorageError) as error:
            self.close()
            self.trouble = str(getattr(error, "strerror", None) or error)
            self._log("what the job reports cannot be kept in %s: %s; the server gets no more of it" % (
                self._directory, self.trouble))
            return
        self._size += len(data)
        self.waiting += len(lines)

    def piece(self) -> List[bytes]:
        """The first that wait, as many as go at once. Raises OSError."""
        self._file.seek(self._at)
        return next(reportpieces.pieces(self._file), [])

    def forget(self, lines: List[bytes]) -> None:
        """The server has these, which are the first that wait."""
        self._at += sum(map(len, lines))
        self.waiting -= len(lines)
        if not self.waiting:
            self._file.seek(0)
            self._file.truncate()
            self._at = self._size = 0

    def all(self) -> BinaryIO:
        """All that wait, as a file of their own. Raises OSError."""
        copy = self._new_file() if self._size > IN_MEMORY else io.BytesIO()
        self._file.seek(self._at)
        shutil.copyfileobj(self._file, copy, IN_MEMORY)
        return copy

    def close(self) -> None:
        """Nothing is wanted of them any more."""
        self._file.close()
        self._file = io.BytesIO()
        self.waiting = self._at = self._size = 0

    def _to_disk(self) -> None:
        safedirs.make(self._directory, safedirs.CACHE)
        copy = self._new_file()
        self._file.seek(0)
        shutil.copyfileobj(self._file, copy, IN_MEMORY)
        self._file = copy

    def _thin(self) -> None:
        """Leave out every second one, the last of all not."""
        copy = self._new_file()
        self._file.seek(self._at)
        kept = 0
        for number, line in enumerate(self._file, 1):
            if number % 2 == 0 or number == self.waiting:
                copy.write(line)
                kept += 1
        self.thinned += self.waiting - kept
        self._file.close()
        self._file, self._at, self._size, self.waiting = copy, 0, copy.tell(), kept

    def _new_file(self) -> BinaryIO:
        return cast(BinaryIO, tempfile.TemporaryFile(dir=str(self._directory)))
