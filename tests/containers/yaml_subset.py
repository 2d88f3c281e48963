"""The part of YAML that docker/ is written in; anything else is an error.

Block mappings and sequences, plain and double-quoted scalars, comments, `{}`, several documents.
Not anchors, flow collections, block scalars or multi-line strings: the standard library reads no
YAML, and a reader that guessed would prove nothing.
"""

import json
import re
from typing import Any, List, NamedTuple, Tuple

_ENTRY = re.compile(r"([A-Za-z0-9_./-]+):(?: +(.+))?")
_PLAIN = re.compile(r"[A-Za-z0-9_./$\-][^#]*")


class YamlError(ValueError):
    """A line that this reader does not know; the text has its number."""


class Line(NamedTuple):
    """One line with something in it."""

    number: int
    indent: int
    text: str


def documents(text: str) -> List[Any]:
    """What each document holds."""
    found: List[List[Line]] = [[]]
    for number, raw in enumerate(text.splitlines(), 1):
        if raw == "---":
            found.append([])
            continue
        bare = raw.lstrip(" ")
        if not bare or bare.startswith("#"):
            continue
        if "\t" in raw or raw != raw.rstrip() or " #" in raw:
            raise YamlError("line %d: a tab, blanks at its end, or a comment behind a value" % number)
        found[-1].append(Line(number, len(raw) - len(bare), bare))
    return [_whole(lines) for lines in found if lines]


def _whole(lines: List[Line]) -> Any:
    value, rest = _block(lines, lines[0].indent)
    if rest:
        raise YamlError("line %d: indented as nothing above it" % rest[0].number)
    return value


def _block(lines: List[Line], indent: int) -> Tuple[Any, List[Line]]:
    """The value that begins at the first line, and the lines behind it."""
    return (_sequence if lines[0].text.startswith("- ") else _mapping)(lines, indent)


def _sequence(lines: List[Line], indent: int) -> Tuple[Any, List[Line]]:
    items: List[Any] = []
    while lines and lines[0].indent == indent and lines[0].text.startswith("- "):
        first = lines[0]
        inner = first.text[2:]
        if _ENTRY.fullmatch(inner) and not inner.startswith('"'):
            # "- name: x" is a mapping that begins two columns further right.
            item, lines = _mapping([Line(first.number, indent + 2, inner)] + lines[1:], indent + 2)
        else:
            item, lines = _scalar(first.number, inner), lines[1:]
        items.append(item)
    return items, lines


def _mapping(lines: List[Line], indent: int) -> Tuple[Any, List[Line]]:
    entries = {}
    while lines and lines[0].indent == indent and not lines[0].text.startswith("- "):
        line = lines[0]
        match = _ENTRY.fullmatch(line.text)
        if match is None:
            raise YamlError("line %d: no key" % line.number)
        name, given = match.groups()
        if name in entries:
            raise YamlError("line %d: %s is there twice" % (line.number, name))
        lines = lines[1:]
        if given is not None:
            entries[name] = _scalar(line.number, given)
        elif lines and lines[0].indent > indent:
            entries[name], lines = _block(lines, lines[0].indent)
        else:
            entries[name] = None
    if lines and lines[0].indent > indent:
        raise YamlError("line %d: indented deeper than what is above it" % lines[0].number)
    return entries, lines


def _scalar(number: int, text: str) -> Any:
    if text == "{}":
        return {}
    if text.startswith('"'):
        try:
            return json.loads(text)
        except ValueError:
            raise YamlError("line %d: a quoted string that is not one of JSON" % number) from None
    # The second: a plain scalar may not hold ": ".
    if not _PLAIN.fullmatch(text) or ": " in text or text.endswith(":"):
        raise YamlError("line %d: %r is beyond this reader; quote it" % (number, text))
    if text in ("true", "false"):
        return text == "true"
    if text in ("null", "~", "yes", "no", "on", "off", "y", "n"):
        raise YamlError("line %d: %s means different things to different readers" % (number, text))
    if re.fullmatch(r"0[0-7]+", text):
        return int(text, 8)
    return int(text) if re.fullmatch(r"0|-?[1-9]\d*", text) else text
