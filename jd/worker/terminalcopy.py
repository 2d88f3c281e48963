"""A copy of the worker log on the terminal, which never holds up the worker.

Where somebody presses Ctrl-S, or the reader of a pipe stops reading, heartbeats go on: what the terminal
did not take is counted and left out.
"""

import os
import select

# POSIX promises that a pipe which is ready takes this much without blocking (PIPE_BUF).
SLICE = 4096
PATIENCE = 5.0  # seconds


class TerminalCopy:
    """Writes whole lines to a file descriptor. `prefix` stands before each line."""

    def __init__(self, fd: int, prefix: str = "") -> None:
        self.prefix = prefix.encode("utf-8")
        self._fd = fd
        self._gone = False
        self._skipped = 0

    def write(self, lines: bytes) -> None:
        """Show `lines`, as far as the terminal takes them."""
        if self._gone:
            return
        try:
            if self._skipped:
                if not self._ready(0.0):
                    self._skipped += len(lines)
                    return
                note = b"[%d bytes not shown: the terminal was stopped]\n" % self._skipped
                self._skipped = 0
                self._write_slices(self.prefix + note)
            self._write_slices(lines)
        except (OSError, ValueError):
            # The terminal hung up or the reader left (`| head`): the log file goes on.
            self._gone = True

    def _write_slices(self, data: bytes) -> None:
        view, start = memoryview(data), 0
        while start < len(data):
            end = min(start + SLICE, len(data))
            newline = data.rfind(b"\n", start, end)
            if newline >= start:
                end = newline + 1  # lines of several workers do not mix on one terminal
            if not self._ready(PATIENCE):
                self._skipped = len(data) - start
                return
            start += os.write(self._fd, view[start:end])

    def _ready(self, timeout: float) -> bool:
        return bool(select.select([], [self._fd], [], timeout)[1])
