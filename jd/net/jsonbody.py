"""JSON from another program: what RFC 8259 leaves open is refused, and every cost has a limit."""

import json
import math
import re
from typing import Any, Callable, Dict, List, NoReturn, Optional, Tuple

from jd.protocol import MAX_JSON_DEPTH, ProtocolError, shown

# The largest float has 309 digits. int() is quadratic in the number of digits before Python 3.11.
MAX_NUMBER_CHARS = 310

_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|.)", re.DOTALL)
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89A-Fa-f]")


def parse_json(body: bytes, what: str = "the body") -> Any:
    """The value of a JSON text in UTF-8; `what` names the text in errors.

    Raises ProtocolError, with line and column where they are known, for what is no JSON and for
    NaN, Infinity and numbers beyond a float, a name twice in an object, half a surrogate pair
    (no database and no file can hold it) and nesting deeper than MAX_JSON_DEPTH.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError("%s is not UTF-8: byte 0x%02x at offset %d" % (
            what, body[error.start], error.start)) from None
    if not text.strip():
        raise ProtocolError("%s is empty; JSON is needed" % what)
    try:
        if text.startswith("\ufeff"):
            raise json.JSONDecodeError("Unexpected UTF-8 BOM", text, 0)
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ProtocolError("%s is not JSON: %s at line %d column %d" % (
            what, error.msg, error.lineno, error.colno)) from None
    except RecursionError:
        raise too_deep(what) from None
    if SURROGATE_ESCAPE.search(text):
        lone = lone_surrogate(text)
        if lone is not None:
            raise ProtocolError("half a surrogate pair, %s, at line %d column %d" % (
                text[lone:lone + 6], text.count("\n", 0, lone) + 1, lone - text.rfind("\n", 0, lone)))
    # Fewer brackets than levels are the usual case, and cost nothing to find.
    if text.count("[") + text.count("{") > MAX_JSON_DEPTH:
        check_depth(value, what)
    return value


def scan(text: str, at: int) -> Tuple[Any, int]:
    """The value that begins at a place in a text, and where it ends: for `jsonpieces`.

    Raises ProtocolError, json.JSONDecodeError, RecursionError, and StopIteration where no value begins.
    """
    scan_once: Callable[[str, int], Tuple[Any, int]] = getattr(_DECODER, "scan_once")
    return scan_once(text, at)


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen = set()
        for name, _ in pairs:
            if name in seen:
                raise ProtocolError("name %s is there twice in one object" % shown(name))
            seen.add(name)
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARS:
        raise ProtocolError("a number of %d digits is longer than the allowed %d: %s" % (
            len(text), MAX_NUMBER_CHARS, shown(text)))
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if len(text) > MAX_NUMBER_CHARS or math.isinf(value):
        raise ProtocolError("number %s is too large or too long" % shown(text))
    return value


def refuse_constant(text: str) -> NoReturn:
    """Raise ProtocolError for NaN and Infinity, which Python's parser knows."""
    raise ProtocolError("%s is no JSON number; leave the value out or send null" % text)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_float,
                            parse_constant=refuse_constant)


def too_deep(what: str) -> ProtocolError:
    return ProtocolError("%s is nested deeper than the allowed %d levels" % (what, MAX_JSON_DEPTH))


def check_depth(value: Any, what: str, levels: int = MAX_JSON_DEPTH) -> None:
    """Raise ProtocolError where lists and objects are nested deeper than that."""
    level = [value]
    for _ in range(levels):
        below: List[Any] = []
        for container in level:
            if isinstance(container, dict):
                below.extend(item for item in container.values() if isinstance(item, (dict, list)))
            elif isinstance(container, list):
                below.extend(item for item in container if isinstance(item, (dict, list)))
        if not below:
            return
        level = below
    raise too_deep(what)


def lone_surrogate(text: str) -> Optional[int]:
    """Where a \\uD800-\\uDBFF is that none of \\uDC00-\\uDFFF follows, or one of these alone; None if
    there is none."""
    high_ends = -1  # where the high half ends that waits for its low half
    for match in _ESCAPE.finditer(text):
        unit = int(match.group(1) or "0", 16)
        completes = 0xDC00 <= unit <= 0xDFFF and match.start() == high_ends
        if not completes and (high_ends >= 0 or 0xDC00 <= unit <= 0xDFFF):
            return high_ends - 6 if high_ends >= 0 else match.start()
        high_ends = match.end() if 0xD800 <= unit <= 0xDBFF else -1
    return high_ends - 6 if high_ends >= 0 else None
