"""Turns the bytes that a job writes into lines of the log, at the speed of the pipe.

Work is done on chunks, never line by line, so that 10 GB of output cost a few MB of memory. Terminal
control sequences are taken out, other control characters but tab become `?`. The log keeps invalid UTF-8;
what the server is told has � for it.
`\\r\\n` is a line end, and so is a lone `\\r`: each state of a progress bar is a line. A line that is let go
before its end gets one; where nothing but its own end still comes of it, that makes no empty line.
"""

import re
from typing import Callable, Optional

from jd.outputtext import to_last_character
from jd.protocol import MAX_TAIL_CHARS

TAIL_BYTES = MAX_TAIL_CHARS  # a character has a byte at least
MAX_LINE = 64 * 1024  # a longer line is cut; no piece is twice as long
FLUSH_AFTER = 2.0  # seconds that an unfinished line waits for its end

_CONTROLS = bytes(c for c in range(32) if c not in (0x09, 0x0A, 0x0D)) + b"\x7f"
_TABLE = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_LEADING_RETURNS = re.compile(rb"(?m)^\r+")


def clean(data: bytes) -> bytes:
    """`data` with one kind of line end and nothing that a terminal obeys."""
    if b"\x1b" in data:
        data = _SEQUENCE.sub(b"", data)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        data = _LEADING_RETURNS.sub(b"", data).replace(b"\r", b"\n")
    if b"\xc2" in data:
        data = _C1.sub(b"?", data)
    return data.translate(_TABLE)


def as_utf8(data: bytes) -> bytes:
    """`data` with � for what is no UTF-8."""
    if data.isascii():
        return data
    return data.decode("utf-8", "replace").encode("utf-8")


class OutputPump:
    """Turns chunks into whole lines for `write`, and keeps the last of them.

    `keep` gets them in valid UTF-8; `size` is how many bytes those had.
    """

    def __init__(self, write: Callable[[bytes], None],
                 keep: Optional[Callable[[bytes], None]] = None) -> None:
        self.size = 0
        self._write = write
        self.keep = keep
        self._held = b""
        self._held_since = 0.0
        self._ended_for_it = False  # what was let go last has a line end from us
        self._tail = b""

    def feed(self, chunk: bytes, now: float) -> None:
        """Take the next bytes, as read from the pipe."""
        data = self._held + chunk
        # A final \r may be half of \r\n.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        if cut == 0 and len(data) >= MAX_LINE:
            cut = to_last_character(data)
        if cut > 0 or not self._held:
            self._held_since = now
        self._held = data[cut:]
        if cut:
            self._emit(data[:cut])

    def deadline(self) -> Optional[float]:
        """When `flush` has something to do, on the clock of `now`."""
        return self._held_since + FLUSH_AFTER if self._held else None

    def flush(self, now: float, final: bool = False) -> None:
        """Let an unfinished line go that has waited long enough, or at the end of the job."""
        if self._held and (final or now >= self._held_since + FLUSH_AFTER):
            held, self._held = self._held, b""
            self._emit(held)

    def tail(self) -> str:
        """The last 16 KiB of the `size` bytes; an unfinished line joins them when it is flushed."""
        data = self._tail
        if self.size > len(data):  # else it begins with the first character
            data = data.lstrip(bytes(range(0x80, 0xC0)))
        return data.decode("utf-8")

    def _emit(self, data: bytes) -> None:
        lines = clean(data)
        if self._ended_for_it and lines.startswith(b"\n"):
            lines, self._ended_for_it = lines[1:], False
        if not lines:
            return
        self._ended_for_it = not lines.endswith(b"\n")
        if self._ended_for_it:
            lines += b"\n"
        valid = as_utf8(lines)
        self.size += len(valid)
        self._tail = (self._tail + valid[-TAIL_BYTES:])[-TAIL_BYTES:]
        self._write(lines)
        if self.keep is not None:
            self.keep(valid)
