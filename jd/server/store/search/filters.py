"""The filter language of the dashboard: text → terms. No database here; `conditions` makes SQL of them.

Terms are separated by blanks and all of them must hold. `name=value` (also !=, <, <=, >, >=) compares,
`name~value` (also !~) looks for a text in one, and a word without operator is looked for as text. Quotes
keep blanks and operators: `opt="a b"`, `"a=b"`; inside, `\\"` and `\\\\` stand for themselves. `name=a,b` is
a list: any of them. A value that begins with [ or { is JSON. An operator has blanks on both sides or on
neither. See docs/server.md, "Searching jobs".
"""

import json
import re
from datetime import datetime, timezone
from typing import List, NamedTuple, Optional, Pattern, Tuple

from jd.protocol import ProtocolError, shown

MAX_CHARS = 500
MAX_TERMS = 20

EQUAL = "="
UNEQUAL = "!="
ORDERINGS = ("<", "<=", ">", ">=")
CONTAINS = "~"
LACKS = "!~"

_COMPARISON = re.compile(r"([^\s\"=<>!,]+)(?:\s+(!=|<=|>=|=|<|>)\s+|(!=|<=|>=|=|<|>))")
_CONTAINS = re.compile(r"([^\s\"=<>!,~]+)(?:\s+(!?~)\s+|(!?~))(?=\S)")
# What is meant as a comparison and would be looked for as text, or compared with a text, and never found.
_NAMELESS = re.compile(r"[=<>!]+|[=<>!]+[-+.]?\d\S*")
_TWO_OPERATORS = re.compile(r"=|[<>!]=?[-+.]?\d")
_WORDS = ("and", "or", "&&", "||")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_BARE = re.compile(r'[^\s"]+')
_BARE_ITEM = re.compile(r'[^\s",]+')
_BARE_JSON = re.compile(r"\S+")


class Value(NamedTuple):
    """One value as written. Quotes make `null` and `true` plain texts."""

    text: str
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        return not self.quoted and self.text.lower() == "null"

    @property
    def truth(self) -> Optional[bool]:
        """Of true and false; None for everything else."""
        return None if self.quoted else {"true": True, "false": False}.get(self.text.lower())


class Term(NamedTuple):
    """`name operator values`; a text that is looked for has neither name nor operator."""

    name: str
    operator: str
    values: Tuple[Value, ...]

    @property
    def text(self) -> str:
        """The term in words, for errors."""
        return self.name + self.operator + ",".join(value.text for value in self.values)


def parse(text: str) -> List[Term]:
    """The terms of a filter. Raises ProtocolError that says what is wrong and how to write it."""
    if len(text) > MAX_CHARS:
        raise ProtocolError("the filter has %d characters; at most %d" % (len(text), MAX_CHARS))
    if "\0" in text:
        raise ProtocolError("the filter has a NUL character")
    terms: List[Term] = []
    position = _skip(text, 0)
    while position < len(text):
        term, position = _term(text, position)
        terms.append(term)
        following = _skip(text, position)
        if following == position < len(text):
            raise ProtocolError("a blank is missing before %s in the filter; a value with quotes, commas "
                                "or blanks in it goes into quotes" % shown(text[position:]))
        position = following
    _check_words(terms)
    if len(terms) > MAX_TERMS:
        raise ProtocolError("the filter has %d conditions; at most %d" % (len(terms), MAX_TERMS))
    return terms


def _check_words(terms: List[Term]) -> None:
    """Words that join conditions elsewhere are no texts to look for beside some."""
    if any(term.name for term in terms):
        for term in terms:
            value = term.values[0]
            if not term.name and not value.quoted and value.text.lower() in _WORDS:
                raise ProtocolError("%s joins no conditions in a filter: all of them hold, and opt=a,b is "
                                    "one of several values; a text goes into quotes" % shown(value.text))


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _term(text: str, position: int) -> Tuple[Term, int]:
    comparison = _CONTAINS.match(text, position) or _COMPARISON.match(text, position)
    if comparison is None:
        value, position = _value(text, position, _BARE)
        if not value.quoted and _NAMELESS.fullmatch(value.text):
            raise ProtocolError("%s in the filter has no name before it: an operator has blanks on both "
                                "sides or on neither, as in loss<0.5; a text goes into quotes"
                                % shown(value.text))
        return Term("", "", (value,)), position
    name, operator = comparison.group(1), comparison.group(2) or comparison.group(3)
    position = comparison.end()
    is_text = operator in (CONTAINS, LACKS)
    if not is_text and _TWO_OPERATORS.match(text, position):
        raise ProtocolError("%s%s has an operator too many; operators are = != < <= > >= ~ !~, and a value "
                            "that begins with one goes into quotes" % (
                                name, shown(operator + text[position:])))
    if text[position:position + 1] in ("[", "{") and not is_text:
        value, position = _value(text, position, _BARE_JSON)
        return Term(name, operator, (Value(_minified(value.text)),)), position
    values: List[Value] = []
    while True:
        value, position = _value(text, position, _BARE_ITEM, "%s%s" % (name, operator), is_text)
        values.append(value)
        if text[position:position + 1] != ",":
            break
        position += 1
    if len(values) > 1 and operator in ORDERINGS:
        raise ProtocolError("%s%s takes one value, not a list" % (name, operator))
    return Term(name, operator, tuple(values)), position


def _value(text: str, position: int, bare: Pattern[str], before: str = "",
           is_text: bool = False) -> Tuple[Value, int]:
    if text[position:position + 1] == '"':
        quoted = _QUOTED.match(text, position)
        if quoted is None:
            raise ProtocolError("a quote is not closed: %s" % shown(text[position:]))
        content = re.sub(r"\\(.)", r"\1", quoted.group(1))
        if content[:1] in ("[", "{") and not is_text:
            content = _minified(content)
        return Value(content, True), quoted.end()
    found = bare.match(text, position)
    if found is None:
        raise ProtocolError("a value is missing after %s (an empty text is written \"\")" % before)
    return Value(found.group()), found.end()


def _minified(text: str) -> str:
    """JSON as it is kept for sorting; what is no JSON stays as it is."""
    try:
        written = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
        written.encode("utf-8")  # no database holds half a surrogate pair
    except (ValueError, RecursionError):
        return text
    return written


# ---- values of times and durations

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhdw])", re.ASCII)
_TIMES = (("%Y-%m-%d", 86400.0), ("%Y-%m-%dT%H:%M", 60.0), ("%Y-%m-%d %H:%M", 60.0),
          ("%Y-%m-%dT%H:%M:%S", 1.0), ("%Y-%m-%d %H:%M:%S", 1.0))


class Span(NamedTuple):
    """From `start` up to and without `end`, in Unix seconds."""

    start: float
    end: float


def duration(text: str) -> Optional[float]:
    """Seconds of `90`, `1.5h`, `30m`, …; None for anything else."""
    found = _DURATION.fullmatch(text)
    if found is not None:
        return float(found.group(1)) * _UNITS[found.group(2)]
    return float(text) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", text, re.ASCII) else None


def moment(text: str, now: float) -> Span:
    """The day, minute or second (UTC) that a text names, or the moment so long ago (`-1h`, `30m`, `2d`).

    Raises ProtocolError.
    """
    ago = _DURATION.fullmatch(text[1:] if text.startswith("-") else text)
    if ago is not None:
        at = now - float(ago.group(1)) * _UNITS[ago.group(2)]
        return Span(at, at)
    for form, length in _TIMES:
        try:
            at = datetime.strptime(text.rstrip("Zz"), form).replace(tzinfo=timezone.utc).timestamp()
        except (ValueError, OverflowError):
            continue
        return Span(at, at + length)
    raise ProtocolError("%s is no time: give a date (2026-01-31), a time in UTC (2026-01-31T12:30) or how "
                        "long ago (30m, 1h, 2d)" % shown(text))
