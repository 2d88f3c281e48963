"""The log of one worker: what it did, and what its jobs wrote.

    2026-11-23 12:10:52 worker| claimed job 5 (attempt 1)
    2026-11-23 12:10:53 job   | epoch 1, loss 0.31

Two files, `jd_worker_<worker_id>.log` and `.log.1`, each bounded. A disk that fills up loses log
lines, never a job. Times are local.
"""

import os
import sys
import time
from pathlib import Path
from typing import Callable, Optional

from jd.errors import StorageError
from jd.files import safedirs
from jd.killpoint import killpoint
from jd.protocol import MAX_TAIL_CHARS
from jd.worker.terminalcopy import TerminalCopy

_WORKER = b" worker| "
_JOB = b" job   | "


class WorkerLog:
    """Appends marked lines to a file of at most `max_bytes`, and to the terminal if there is one.

    Raises StorageError where the file cannot be opened, or is not this user's alone to write; a later
    failure is said once on stderr.
    """

    def __init__(self, path: Path, max_bytes: int, terminal: Optional[TerminalCopy] = None,
                 clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._terminal = terminal
        self._clock = clock
        self._complained = False
        self._second = -1
        self._stamp = b""
        self._fd = -1
        self._size = 0
        try:
            # What is missing above it is the workspace's, and may be for others to read.
            safedirs.make(path.parent.parent, safedirs.LOGS._replace(mode=safedirs.WORKSPACE.mode))
            safedirs.make(path.parent, safedirs.LOGS)
            self._open()
        except OSError as error:
            raise StorageError("cannot write the worker log %s: %s" % (path, error.strerror),
                               "set log_dir= or JD_LOG_DIR to a writable directory") from None

    def event(self, text: str) -> None:
        """Log what the worker did. Control characters are shown as `?`."""
        if not text.isprintable():
            text = "".join(c if c.isprintable() or c in "\t\n" else "?" for c in text)
        self._append(_WORKER, text.encode("utf-8", "replace") + b"\n")

    def output(self, lines: bytes) -> None:
        """Log what the job wrote: whole lines, ending in a newline."""
        self._append(_JOB, lines)

    def tail(self) -> str:
        """The end of the log: whole lines, at most protocol.MAX_TAIL_CHARS; nothing where it cannot be
        read."""
        limit, found = MAX_TAIL_CHARS, b""
        for path in (str(self.path), str(self.path) + ".1"):
            try:
                with open(path, "rb") as file:
                    start = max(0, os.fstat(file.fileno()).st_size - (limit - len(found)))
                    file.seek(start)
                    found = file.read(limit - len(found)) + found
            except OSError:
                break
            if start:
                return found.partition(b"\n")[2].decode("utf-8", "replace")
        return found.decode("utf-8", "replace")

    def move(self, path: Path) -> None:
        """Go on in another file: the worker has a new name."""
        self.close()
        self.path = path
        try:
            self._open()
        except (OSError, StorageError) as error:
            self._complain(error)

    def close(self) -> None:
        """Close the file; what is logged later goes to the terminal only."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _append(self, mark: bytes, lines: bytes) -> None:
        now = self._clock()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)).encode("ascii")
        prefix = self._stamp + mark
        marked = _prefixed(prefix, lines)
        self._write(marked)
        if self._terminal is not None:
            own = self._terminal.prefix
            self._terminal.write(_prefixed(own + prefix, lines) if own else marked)

    def _write(self, data: bytes) -> None:
        try:
            start = 0
            while start < len(data) and self._fd >= 0:
                end = self._fitting(data, start)
                if end == start:
                    self._rotate()
                    continue
                written = os.write(self._fd, memoryview(data)[start:end])
                self._size += written
                start += written
        except (OSError, StorageError) as error:
            self._complain(error)

    def _fitting(self, data: bytes, start: int) -> int:
        """How far the file has room for `data`, cut between lines."""
        room = self._max_bytes - self._size
        if len(data) - start <= room:
            return len(data)
        newline = data.rfind(b"\n", start, start + max(0, room))
        if newline >= start:
            return newline + 1
        return start + self._max_bytes if self._size == 0 else start

    def _rotate(self) -> None:
        killpoint("log.before-rename")
        os.replace(str(self.path), str(self.path) + ".1")
        killpoint("log.after-rename")
        os.close(self._fd)
        self._fd = -1
        self._open()

    def _open(self) -> None:
        # In a directory that is open to all, such as /tmp, the file may be somebody's trap.
        safedirs.check_file(self.path, safedirs.LOGS)
        self._fd = os.open(str(self.path), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                           | os.O_NOFOLLOW, 0o664)
        self._size = os.fstat(self._fd).st_size

    def _complain(self, error: Exception) -> None:
        if self._complained:
            return
        self._complained = True
        try:
            print("warning: cannot write the worker log %s: %s; the worker goes on without it"
                  % (self.path, getattr(error, "strerror", None) or error), file=sys.stderr)
        except OSError:
            self._terminal = None  # stderr is on the same full disk or gone: nobody is left to tell


def _prefixed(prefix: bytes, lines: bytes) -> bytes:
    return prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n"
