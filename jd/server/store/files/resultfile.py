"""`result.json` and `metrics.json`: the numbers in a file that a job uploads under one of these names.

Numbers count, true and false as 1 and 0; text, null, NaN and infinities do not. Objects in objects
and lists are flattened: `{"val": {"loss": [0.2, 0.1]}}` is `val.loss.0` and `val.loss.1`. In a name
letters, digits and `_ . - /` stay as they are, the first a letter, a digit or `_`; every other
character becomes `_`, so that the filter of the dashboard can have the name. What stands less deep
comes first, so that a long list does not crowd out what it led to.
"""

import json
import math
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from jd.net.jsonbody import MAX_NUMBER_CHARS

FILE_NAMES = ("result.json", "metrics.json")
MAX_FILE = 1024 * 1024
MAX_NUMBERS = 200
MAX_NAME_CHARS = 128
# Whole numbers beyond this are no longer exact in a browser, and soon beyond SQLite's.
_MAX_EXACT = 2 ** 53

_UNUSABLE = re.compile(r"[^\w./-]")

Number = Union[int, float]


class Numbers(NamedTuple):
    """What was found in a file. Without `numbers` it is not taken; `remark` says why or what is missing."""

    numbers: Optional[Dict[str, Number]]
    remark: str = ""


def read(path: Path, size: int) -> Numbers:
    """The numbers of a file of `size` bytes. Raises OSError where it cannot be read."""
    if size > MAX_FILE:
        return Numbers(None, "%d bytes; at most %d" % (size, MAX_FILE))
    return parse(path.read_bytes())


def parse(content: bytes) -> Numbers:
    """The numbers of a JSON text. Whatever the text is, nothing is raised."""
    try:
        # Unlike the bodies of requests: Python's json.dumps writes NaN, and other numbers are still good.
        value = json.loads(content.decode("utf-8-sig"), parse_int=_whole, parse_float=_fraction,
                           parse_constant=lambda _: None)
    except UnicodeDecodeError as error:
        return Numbers(None, "not UTF-8 at offset %d" % error.start)
    except json.JSONDecodeError as error:
        return Numbers(None, "not JSON: %s at line %d column %d" % (error.msg, error.lineno, error.colno))
    except RecursionError:
        return Numbers(None, "nested too deep")
    if not isinstance(value, dict):
        return Numbers(None, "a JSON object of names and numbers is needed")
    numbers: Dict[str, Number] = {}
    left_out = 0
    for path, number in _leaves(value):
        name = _name(path)
        if len(numbers) < MAX_NUMBERS or name in numbers:
            numbers[name] = number
        else:
            left_out += 1
    if not numbers:
        return Numbers(None, "there is no number in it")
    return Numbers(numbers, "%d numbers more than the %d that are kept" % (left_out, MAX_NUMBERS)
                   if left_out else "")


def _whole(text: str) -> Optional[Number]:
    # int() is quadratic in the number of digits before Python 3.11.
    if len(text) > MAX_NUMBER_CHARS:
        return None
    value = int(text)
    return value if abs(value) <= _MAX_EXACT else _fraction(text)


def _fraction(text: str) -> Optional[float]:
    value = float(text)
    return value if math.isfinite(value) else None


def _leaves(value: Dict[str, Any]) -> Iterator[Tuple[str, Number]]:
    """Numbers with their dotted paths, level by level."""
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
                elif isinstance(item, (bool, int, float)):
                    yield place, int(item) if isinstance(item, bool) else item
        level = below


def _name(path: str) -> str:
    name = _UNUSABLE.sub("_", path)
    # The first character is a letter, a digit or _.
    return name if name[:1] not in ("", ".", "-", "/") else "_" + name[1:]
