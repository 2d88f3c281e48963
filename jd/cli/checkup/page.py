"""The page of `doctor`: findings under their headings, one mark a line, advice below."""

import json
import sys
import textwrap
from typing import List, Optional, Sequence

from jd import terminal
from jd.cli.checkup.finding import LEVELS, OK, PROBLEM, WARNING, Finding, worst

MAX_WIDTH = 100
MIN_WIDTH = 40
_STYLES = {OK: "green", WARNING: "yellow", PROBLEM: "red"}
_MARK_WIDTH = max(map(len, LEVELS))
_INDENT = 2 + _MARK_WIDTH + 2


def width() -> int:
    """Columns that the page may use."""
    if not terminal.is_terminal(sys.stdout):
        return MAX_WIDTH
    return max(MIN_WIDTH, min(MAX_WIDTH, terminal.columns()))


def section(topic: Optional[str], findings: Sequence[Finding], columns: int) -> List[str]:
    """The lines of some findings, below the heading `topic` if one is given."""
    lines = [] if topic is None else [terminal.paint(topic, "bold")]
    for finding in findings:
        mark = "  %s  " % terminal.paint(finding.level.ljust(_MARK_WIDTH), _STYLES[finding.level])
        first, *more = _wrapped(finding.what, columns)
        lines.append(mark + first)
        lines += [" " * _INDENT + line for line in more]
        lines += [" " * (_INDENT + 2) + line for line in _wrapped(finding.advice, columns - 2)
                  if line]
    return lines


def _wrapped(text: str, columns: int) -> List[str]:
    # Paths and URLs stay whole, to be copied.
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return textwrap.wrap(shown, columns - _INDENT, break_long_words=False,
                         break_on_hyphens=False) or [""]


def summary(findings: Sequence[Finding]) -> str:
    """The last line: `1 problem, 2 warnings, 20 ok`."""
    parts = []
    for level in (PROBLEM, WARNING):
        count = _count(findings, level)
        if count:
            parts.append(terminal.paint(terminal.plural(count, level), _STYLES[level]))
    return ", ".join(parts + ["%d ok" % _count(findings, OK)])


def _count(findings: Sequence[Finding], level: str) -> int:
    return sum(finding.level == level for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """`{"worst": …, "findings": [{"level", "topic", "what", "advice"}, …]}`"""
    return json.dumps({"worst": worst(findings), "findings": [f.__dict__ for f in findings]})
