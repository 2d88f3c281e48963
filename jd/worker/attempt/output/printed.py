"""`results_from=stdout`: the numbers that a script prints by name, for one that writes no result file.

Two kinds of lines count, whether they come from stdout or stderr; blanks around them do not matter:

    loss=0.031                        one or several names with a number each, and nothing else: `=` or `:`
    Test accuracy: 93.1%              between them, separated by blanks, `,`, `;` or `|`; a name has up to
    loss: 0.5, val loss: 0.7          four words; `%` behind a number is left out
    {"epoch": 3, "val": {"acc": 1}}   a JSON object: its numbers, also those written as text, true and false,
                                      and those of objects in it

Numbers are as 3, -0.5, 1e-4, nan and inf. Of each name the last value counts.
"""

import json
import re
from typing import Any, Callable, Dict, Iterator, Tuple, Union

from jd.worker.attempt.output.pump import clean

MAX_NAMES = 200  # as many as a server keeps of a result file
MAX_LINE = 64 * 1024
MAX_DEPTH = 8
NAME_CHARS = 128

Scalar = Union[bool, int, float, str]  # a str is a number in quotes

_NUMBER = (rb"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,5})?"
           rb"|[+-]?(?:[nN][aA][nN]|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?)")
_WORD = rb"[A-Za-z_][\w./-]{0,127}"
_PAIR = re.compile(rb"(%s(?: %s){0,3})[ \t]*[=:][ \t]*(%s)%%?(?:[ \t]*[,;|][ \t]*|[ \t]+|\Z)"
                   % (_WORD, _WORD, _NUMBER))
_QUOTED = re.compile(r"\s*(?:%s)\s*" % _NUMBER.decode("ascii"), re.ASCII)
# What may be one of these lines: to look at each in Python would be slower than a script can print.
_CANDIDATE = re.compile(rb"^[ \t]*(?:\{[^\n]*\}|[A-Za-z_][^\n=:]{0,520}[=:][ \t]*[-+.\dnNiI][^\n]*)[ \t]*$",
                        re.MULTILINE)


class Printed:
    """What one script has printed so far. `feed` gets its output as it comes; `values` and `left_out`, the
    number of names beyond MAX_NAMES, are to be asked for when it has ended."""

    def __init__(self) -> None:
        self.left_out = 0
        self._values: Dict[str, Scalar] = {}
        self._beyond: Dict[str, None] = {}
        self._held = b""
        self._skipping = False  # the rest of a line that is too long

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, as read from the pipe."""
        data = self._held + chunk
        # The states of a progress bar are lines as well; a final \r may be half of \r\n.
        cut = max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
        self._held = data[cut:]
        if cut:
            whole = data[:cut]
            if self._skipping:
                whole = whole[_first_end(whole):]
                self._skipping = False
            self._look(clean(whole))
        if len(self._held) > MAX_LINE:
            self._held, self._skipping = b"", True

    def values(self) -> Dict[str, Scalar]:
        """Values by name, in the order of their first line."""
        if self._held and not self._skipping:
            self._look(clean(self._held))
        self._held = b""
        return self._values

    def _look(self, lines: bytes) -> None:
        for found in _CANDIDATE.finditer(lines):
            line = found.group().strip()
            read: Callable[[bytes], Iterator[Tuple[str, Scalar]]] = _object if line[:1] == b"{" else _pairs
            for name, value in read(line):
                self._take(name[:NAME_CHARS], value)

    def _take(self, name: str, value: Scalar) -> None:
        if name in self._values or len(self._values) < MAX_NAMES:
            self._values[name] = value
        elif name not in self._beyond and len(self._beyond) < 100 * MAX_NAMES:
            self._beyond[name] = None
            self.left_out += 1


def _first_end(data: bytes) -> int:
    ends = [at + 1 for at in (data.find(b"\n"), data.find(b"\r")) if at >= 0]
    return min(ends) if ends else len(data)


def _pairs(line: bytes) -> Iterator[Tuple[str, Scalar]]:
    found = []
    at = 0
    while at < len(line):
        pair = _PAIR.match(line, at)
        if pair is None:
            return
        found.append((pair.group(1).decode("ascii"), _number(pair.group(2).decode("ascii"))))
        at = pair.end()
    yield from found


def _number(text: str) -> Scalar:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _object(line: bytes) -> Iterator[Tuple[str, Scalar]]:
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        yield from _leaves("", value, MAX_DEPTH)


def _leaves(prefix: str, value: Dict[str, Any], depth: int) -> Iterator[Tuple[str, Scalar]]:
    for name, inner in value.items():
        if isinstance(inner, (bool, int, float)) or isinstance(inner, str) and _QUOTED.fullmatch(inner):
            yield prefix + name, inner
        elif isinstance(inner, dict) and depth:
            yield from _leaves("%s%s." % (prefix, name), inner, depth - 1)
