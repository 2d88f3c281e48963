"""`result.json` and `metrics.json`: the numbers in a file that a job uploads under one of these names.

Numbers count, those written as text as well (as the values of parameters do), true and false as 1 and 0. NaN
and infinities are kept as what they are; other text and null are left out. Objects in objects and lists are
flattened: `{"val": {"loss": [0.2, 0.1]}}` is `val.loss.0` and `val.loss.1`. In a name letters, digits and
`_ . - /` stay as they are, the first a letter, a digit or `_`; every other character becomes `_`, so that
the filter of the dashboard can have the name. What stands less deep comes first, so that a long list does
not crowd out what it led to. Whatever is left out is told in a remark.
"""

import json
import math
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

from jd.files import plainfile
from jd.net.jsonbody import MAX_NUMBER_CHARS
from jd.server.store.search import values

FILE_NAMES = ("result.json", "metrics.json")
MAX_FILE = 1024 * 1024
MAX_NUMBERS = 200
MAX_NAME_CHARS = 128
MAX_NAMED = 3  # names in a remark, of each kind of what is left out

NAN = "NaN"
INFINITE = ("Infinity", "-Infinity")
_WORDS = {"nan": NAN, "inf": INFINITE[0], "infinity": INFINITE[0]}  # as they are written in text

_Kind = Tuple[str, str]  # of one, of several
_TEXT, _NULL = ("text", "texts"), ("null", "null")
_TWICE = ("name is there twice, and the last counts", "names are there twice, and the last counts")
_ALIKE = ("becomes a name that was there", "become names that were there")
_NAN, _INFINITE = ("is NaN", "are NaN"), ("is infinite", "are infinite")

_UNUSABLE = re.compile(r"[^\w./-]")

Number = Union[int, float]
Result = Union[int, float, str]  # a str is NAN or one of INFINITE


class _Word(str):
    """NAN or one of INFINITE, where JSON has them as numbers: no text."""


class Numbers(NamedTuple):
    """What was found in a file. Without `numbers` it is not taken; `remark` says why or what is missing."""

    numbers: Optional[Dict[str, Result]]
    remark: str = ""


def finite(results: Mapping[str, Result]) -> Dict[str, Number]:
    """Those of some results that are numbers to calculate with."""
    return {name: value for name, value in results.items() if not isinstance(value, str)}


def read(path: Path, size: int) -> Numbers:
    """The numbers of a file of `size` bytes. Raises OSError where it cannot be read."""
    if size > MAX_FILE:
        return Numbers(None, "%d bytes; at most %d" % (size, MAX_FILE))
    return parse(plainfile.read(path, MAX_FILE))


def parse(content: bytes) -> Numbers:
    """The numbers of a JSON text. Whatever the text is, nothing is raised."""
    left = _LeftOut()

    def pairs(items: List[Tuple[str, Any]]) -> Dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            left.repeated([name for name, _ in items])
        return made

    try:
        # Unlike the bodies of requests: Python's json.dumps writes NaN, and other numbers are still good.
        value = json.loads(content.decode("utf-8-sig"), parse_int=_whole, parse_float=_fraction,
                           parse_constant=_Word, object_pairs_hook=pairs)
    except UnicodeDecodeError as error:
        return Numbers(None, "not UTF-8 at offset %d" % error.start)
    except json.JSONDecodeError as error:
        return Numbers(None, "not JSON: %s at line %d column %d" % (error.msg, error.lineno, error.colno))
    except RecursionError:
        return Numbers(None, "nested too deep")
    if not isinstance(value, dict):
        return Numbers(None, "a JSON object of names and numbers is needed")
    numbers = _numbers(value, left)
    if not numbers:
        return Numbers(None, "; ".join(["there is no number in it"] + left.told()))
    return Numbers(numbers, "; ".join(left.told() + _not_finite(numbers)))


def numbers_in(value: Dict[str, Any]) -> Numbers:
    """The numbers of an object that was read already; the remark tells only what is left out."""
    left = _LeftOut()
    numbers = _numbers(value, left)
    return Numbers(numbers or None, "; ".join(left.told()))


def _numbers(value: Dict[str, Any], left: "_LeftOut") -> Dict[str, Result]:
    numbers: Dict[str, Result] = {}
    places: Dict[str, str] = {}
    for path, leaf in _leaves(value):
        number = _from_text(leaf) if isinstance(leaf, str) and not isinstance(leaf, _Word) else _known(leaf)
        if number is None:
            left.add(_NULL if leaf is None else _TEXT, path)
            continue
        name = _name(path)
        if name not in numbers and len(numbers) >= MAX_NUMBERS:
            left.beyond += 1
            continue
        if places.setdefault(name, path) != path:
            left.add(_ALIKE, path)
        numbers[name] = str(number) if isinstance(number, str) else number
    return numbers


class _LeftOut:
    """What of a file is no result; `beyond` counts the numbers after MAX_NUMBERS."""

    def __init__(self) -> None:
        self.beyond = 0
        self._kinds: Dict[_Kind, List[str]] = {}

    def add(self, kind: _Kind, path: str) -> None:
        """Something is left out."""
        self._kinds.setdefault(kind, []).append(path)

    def repeated(self, names: List[str]) -> None:
        """An object has names more than once: the last counts."""
        seen = set()
        for name in names:
            if name in seen:
                self.add(_TWICE, name)
            seen.add(name)

    def told(self) -> List[str]:
        """It in words, a few names of each kind."""
        words = [_counted(kind, paths) for kind, paths in self._kinds.items()]
        if self.beyond:
            words.insert(0, "%d numbers more than the %d that are kept" % (self.beyond, MAX_NUMBERS))
        return words


def _not_finite(numbers: Mapping[str, Result]) -> List[str]:
    kinds = ((_NAN, [name for name, value in numbers.items() if value == NAN]),
             (_INFINITE, [name for name, value in numbers.items() if value in INFINITE]))
    return [_counted(kind, names) for kind, names in kinds if names]


def _counted(kind: _Kind, names: List[str]) -> str:
    some = [name[:40] for name in names[:MAX_NAMED]] + (["…"] if len(names) > MAX_NAMED else [])
    told = "%d %s (%s)" % (len(names), kind[len(names) > 1], ", ".join(some))
    # Python writes a file name that is no text with halves of surrogate pairs, which no database can hold.
    return told.encode("utf-8", "backslashreplace").decode("utf-8")


def _known(leaf: Any) -> Optional[Result]:
    """A leaf that is no text, as a number. One that was read elsewhere may be beyond a float."""
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return NAN if math.isnan(leaf) else INFINITE[leaf < 0]
    if isinstance(leaf, int) and leaf.bit_length() > 1023:
        try:
            float(leaf)
        except OverflowError:
            return INFINITE[leaf < 0]
    known: Optional[Result] = leaf
    return known


def _whole(text: str) -> Result:
    # int() is quadratic in the number of digits before Python 3.11.
    if len(text) > MAX_NUMBER_CHARS:
        return _Word(INFINITE[text.startswith("-")])
    near = _fraction(text)
    return int(text) if isinstance(near, float) else near


def _fraction(text: str) -> Result:
    value = float(text)
    return value if math.isfinite(value) else _Word(INFINITE[value < 0])


def _from_text(text: str) -> Optional[Result]:
    """The number that is written in a text, by the rule for parameters; None if there is none."""
    found = values.key(text)
    if not isinstance(found, str):
        digits = text.strip()
        return _whole(digits) if digits.lstrip("+-").isdigit() else _fraction(str(found))
    word = text.strip().lower()
    known = _WORDS.get(word.lstrip("+-")) if word[1:2] not in ("+", "-") else None
    return "-" + known if known in INFINITE and word.startswith("-") else known


def _leaves(value: Dict[str, Any]) -> Iterator[Tuple[str, Any]]:
    """What is no container, with its dotted path, level by level."""
    level: List[Tuple[str, Any]] = [("", value)]
    while level:
        below: List[Tuple[str, Any]] = []
        for path, container in level:
            items = container.items() if isinstance(container, dict) else enumerate(container)
            for key, item in items:
                # A path that is too long for a name is not built up further than that.
                place = ("%s.%s" % (path, key) if path else str(key))[:MAX_NAME_CHARS]
                if isinstance(item, (dict, list)):
                    below.append((place, item))
                else:
                    yield place, int(item) if isinstance(item, bool) else item
        level = below


def _name(path: str) -> str:
    name = _UNUSABLE.sub("_", path)
    # The first character is a letter, a digit or _.
    return name if name[:1] not in ("", ".", "-", "/") else "_" + name[1:]
