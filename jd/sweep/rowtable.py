"""Which columns of results people are shown, how their cells read, and the aligned table of a terminal."""

import json
import math
import re
from types import MappingProxyType
from typing import Any, List, Mapping, Optional, Sequence

from jd import protocol, terminal

MOST_ROWS = 20
VERDICT, RUNTIME, TAGS = "verdict", "runtime", "tags"
SHOWN_FACTS = ("id", "status", VERDICT, RUNTIME, TAGS)  # the others are in the rows all the same
_WIDTH = 160  # characters of a line where there is no terminal
_LONGEST = 40  # of a cell
_MISSING = "-"
_RESULT = "result."  # in front of a result that is called like a parameter
_BEST = "best"
_GAP = "  "


def columns(rows: Sequence[Mapping[str, Any]], names: Sequence[str], facts: Sequence[str],
            metric: Optional[str]) -> List[str]:
    """Those of the columns `names` that are shown of these rows: not most facts, nor what says nothing, nor
    what a script tells of its own parameters. What is compared stands behind the id, so that it has room."""
    shown = [name for name in names if name == metric or (name in SHOWN_FACTS or name not in facts)
             and says_something(name, rows) and not _is_said_twice(name, rows)]
    if metric in shown:
        shown.remove(str(metric))
        shown.insert(shown.index("id") + 1 if "id" in shown else 0, str(metric))
    return shown


def says_something(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column has what the others do not tell: of verdicts, one that the status DONE does not."""
    nothing: List[Any] = [None, [], protocol.VERDICT_DONE] if name == VERDICT else [None, []]
    return any(row.get(name) not in nothing for row in rows)


def cell(name: str, value: Any) -> str:
    """A value as people read it; nothing in it moves the cursor of a terminal."""
    if name == TAGS and isinstance(value, list):
        value = ",".join(map(str, value)) or None
    if value is None:
        return _MISSING
    if name == RUNTIME and isinstance(value, (int, float)):
        return terminal.duration(value)
    if isinstance(value, float) and math.isfinite(value):
        return "%.7g" % value  # as many digits as a sample of a space has
    text = value if isinstance(value, str) else json.dumps(value)
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= _LONGEST else text[:_LONGEST - 3] + "..."


def is_numeric(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column has nothing but numbers."""
    return all(isinstance(row.get(name), (int, float, type(None))) and not isinstance(row.get(name), bool)
               for row in rows)


def text(names: Sequence[str], rows: Sequence[Mapping[str, Any]], total: int,
         best: Optional[Mapping[str, Any]], width: Optional[int] = None,
         heads: Mapping[str, str] = MappingProxyType({})) -> str:
    """These rows, the first of `total`, as lines of `width` characters, else of the terminal's; `best` is
    marked. Columns for which there is no room are named below. Some may have other `heads` than names."""
    width = width or terminal.columns(_WIDTH)
    width -= len(_GAP + _BEST) if best is not None else 0
    padded: List[List[str]] = []
    for name in names:
        column = _padded(name, rows, heads.get(name, name))
        if padded and sum(len(one[0]) + len(_GAP) for one in padded) + len(column[0]) > width:
            break
        padded.append(column)
    marks = ["", *(_GAP + _BEST if row is best else "" for row in rows)]
    lines = [(_GAP.join(column[at] for column in padded) + mark).rstrip() for at, mark in enumerate(marks)]
    if total > len(rows):
        lines.append("... and %s" % terminal.plural(total - len(rows), "more job"))
    left = [cell("", name) for name in names[len(padded):]]
    if left:
        lines.append("%s: %s%s" % (terminal.plural(len(left), "more column"), ", ".join(left[:10]),
                                   ", ..." if len(left) > 10 else ""))
    return "\n".join(lines)


# ---- how

def _is_said_twice(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    said = name[len(_RESULT):]
    return name.startswith(_RESULT) and all(
        said in row and row.get(name) in (row[said], None) for row in rows)


def _padded(name: str, rows: Sequence[Mapping[str, Any]], called: str) -> List[str]:
    """The header and the cells of a column, all of one width: numbers with one point below the other."""
    head = cell("", called)
    cells = [cell(name, row.get(name)) for row in rows]
    if not is_numeric(rows, name):
        width = max(map(len, [head, *cells]))
        return [one.ljust(width) for one in [head, *cells]]
    wholes = [re.split("[.e]", one)[0] for one in cells]
    behind = max([0, *(len(one) - len(whole) for one, whole in zip(cells, wholes))])
    cells = [one + " " * (behind - len(one) + len(whole)) for one, whole in zip(cells, wholes)]
    width = max(map(len, [head, *cells]))
    return [one.rjust(width) for one in [head, *cells]]
