"""What people see: colour only on a terminal, aligned tables, a progress bar with ETA.

NO_COLOR (no-color.org) and TERM=dumb are honoured. A progress bar writes nothing where its stream
is no terminal.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Sequence, TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def is_terminal(stream: TextIO) -> bool:
    """Whether a person is likely to be reading `stream`."""
    try:
        return stream.isatty()
    except (ValueError, AttributeError):
        return False


def columns(otherwise: int = 80) -> int:
    """How wide the terminal is, `otherwise` where there is none, or one that does not know: 0 is what some
    say. COLUMNS comes first, as for `shutil`, which would bring all modules for archives."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and len(given) < 10 and int(given):
        return int(given)
    try:
        return os.get_terminal_size().columns or otherwise
    except OSError:  # no terminal
        return otherwise


def silence_stdout() -> None:
    """Send what is still to be written to stdout nowhere: its reader has left (`| head`).

    Python would complain once more at exit about what is in the buffer.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def colours(stream: TextIO) -> bool:
    """Whether `stream` may be coloured."""
    return (is_terminal(stream) and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb")


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` in a style ("bold", "red", …) if the stream (default stdout) takes colour."""
    if not colours(stream if stream is not None else sys.stdout):
        return text
    return "\033[%sm%s\033[0m" % (_CODES[style], text)


def duration(seconds: float) -> str:
    """A duration as people write it: 8s, 3m 05s, 2h 10m, 4d 03h."""
    whole = int(max(0.0, seconds) + 0.5)
    if whole < 60:
        return "%ds" % whole
    if whole < 3600:
        return "%dm %02ds" % divmod(whole, 60)
    if whole < 86400:
        return "%dh %02dm" % (whole // 3600, whole % 3600 // 60)
    return "%dd %02dh" % (whole // 86400, whole % 86400 // 3600)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[int] = ()) -> list[str]:
    """Aligned lines, the header first; the columns in `numeric` are set flush right."""
    widths = [max([len(header[i])] + [len(row[i]) for row in rows]) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) if i in numeric else cell.ljust(width)
                  for i, (cell, width) in enumerate(zip(cells, widths))]
        return "  ".join(padded).rstrip()

    return [line(header)] + [line(row) for row in rows]


class Progress:
    """A progress bar with ETA, redrawn in place on a terminal.

    Use it as a context manager and call `update(done)`; the line stays when it ends.
    """

    WIDTH = 28
    MIN_INTERVAL = 0.1

    def __init__(self, total: int, label: str, stream: TextIO | None = None,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.label = label
        self.stream = stream if stream is not None else sys.stderr
        self.active = is_terminal(self.stream)
        self._clock = clock
        self._started = clock()
        self._start_done: int | None = None
        self._drawn_at = float("-inf")
        self._done = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self.active:
            self._draw("")
            self.stream.write("\n")
            self.stream.flush()

    def clear(self) -> None:
        """Take it away: something else stands in its place."""
        if self.active and self._drawn_at > float("-inf"):
            self.stream.write("\r\033[K")
            self.stream.flush()

    def update(self, done: int, note: str = "") -> None:
        """Show that `done` of `total` are done; `note` stands behind the bar."""
        self._done = done
        if self._start_done is None:
            self._start_done = done
        now = self._clock()
        if self.active and (now - self._drawn_at >= self.MIN_INTERVAL or done >= self.total):
            self._drawn_at = now
            self._draw(note)

    def line(self, note: str = "", room: int | None = None) -> str:
        """The bar as text. In a `room` of so many characters first the bar itself gets shorter, then the
        label, and the figures stay whole."""
        share = self._done / self.total if self.total else 1.0
        elapsed = self._clock() - self._started
        gained = self._done - (self._start_done or 0)
        if self._done >= self.total:
            time_left = "in " + duration(elapsed)
        elif gained > 0:
            time_left = "ETA " + duration(elapsed / gained * (self.total - self._done))
        else:
            time_left = "ETA --"
        figures = "%3d%%  %d/%d  %s%s" % (
            _percent(self._done, self.total) if self.total else 100, self._done, self.total,
            time_left, "  " + note if note else "")
        label, width = self.label, self.WIDTH
        if room is not None:
            width = max(0, min(width, room - len(label + figures) - len("  [] ")))
            label = label[:max(0, room - width - len(figures) - len("  [] "))]
        filled = int(share * width)
        return "%s  [%s%s] %s" % (label, "#" * filled, "." * (width - filled), figures)

    def _draw(self, note: str) -> None:
        room = columns() - 1
        self.stream.write("\r" + self.line(note, room)[:room] + "\033[K")
        self.stream.flush()


def percent(part: int, total: int) -> str:
    """A share as the dashboard shows it, 42 %: 100 % only when it is all, 0 % only when it is nothing."""
    rounded = _percent(part, total)
    return "%d %%" % rounded if rounded or not part else "< 1 %"


def _percent(part: int, total: int) -> int:
    rounded = int(100 * part / total + 0.5) if total else 0
    return 99 if rounded == 100 and part < total else rounded


def plural(number: int, noun: str) -> str:
    """1 job, 2 jobs."""
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")
