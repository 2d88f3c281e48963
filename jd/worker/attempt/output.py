"""Turns the bytes that a job writes into lines of the log, at the speed of the pipe.

Work is done on chunks, never line by line, so that 10 GB of output cost a few MB of memory. Terminal
control sequences are taken out, other control characters but tab become `?`, invalid UTF-8 is kept.
`\\r\\n` is a line end, and so is a lone `\\r`: each state of a progress bar is a line.
"""

import re
from typing import Callable, Optional

TAIL_BYTES = 4096
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


class OutputPump:
    """Turns chunks into whole lines for `write`, and keeps the last of them."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._held = b""
        self._held_since = 0.0
        self._tail = b""

    def feed(self, chunk: bytes, now: float) -> None:
        """Take the next bytes, as read from the pipe."""
        data = self._held + chunk
        # A final \r may be half of \r\n.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        if cut == 0 and len(data) >= MAX_LINE:
            cut = _character_end(data)
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
        """The last 4 KiB of output, the unfinished line included."""
        data = (self._tail + clean(self._held[-TAIL_BYTES:]))[-TAIL_BYTES:]
        return data.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", "replace")

    def _emit(self, data: bytes) -> None:
        lines = clean(data)
        if not lines:
            return
        if not lines.endswith(b"\n"):
            lines += b"\n"
        self._tail = (self._tail + lines[-TAIL_BYTES:])[-TAIL_BYTES:]
        self._write(lines)


def _character_end(data: bytes) -> int:
    """The end of the last whole UTF-8 character, or of `data` where it is something else."""
    for back in range(1, 4):
        byte = data[-back]
        if byte >= 0xC0:  # begins a character of 2, 3 or 4 bytes
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < size else len(data)
        if byte < 0x80:
            break
    return len(data)
