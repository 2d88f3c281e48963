"""One line of reports: what a script has written, made into what goes to the server.

A line is a JSON object. Python's NaN and Infinity, and numbers beyond a float, become the texts "NaN",
"Infinity" and "-Infinity", as servers read numbers that are written as text and JSON has no such numbers.
What no server would take is no report: one of them in a piece would have all of it refused.
"""

import json
import math
import re
from typing import Any, NamedTuple, Optional

from jd.net import jsonbody
from jd.protocol import MAX_JSON_DEPTH, MAX_REPORT_BYTES, ProtocolError

_ENVELOPE = 3  # levels around the object in the body of a request
_BEYOND = 1 << 1024
_LONG = re.compile(r"\d{%d}" % jsonbody.MAX_NUMBER_CHARS)  # a number of so many digits is beyond a float
_decode = json.JSONDecoder(parse_constant=str).decode
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Line(NamedTuple):
    """A report as JSON, and when it was made, in Unix seconds, if the script says so."""

    told: str
    time: Optional[float]


def read(line: bytes) -> Optional[Line]:
    """What stands in a line; None for one that is no report."""
    if len(line) > MAX_REPORT_BYTES:
        return None
    try:
        text = line.decode("utf-8").strip()
        value = _decode(text)
        if not isinstance(value, dict):
            return None
        if "\\u" in text and jsonbody.lone_surrogate(text) is not None:
            return None
        if text.count("[") + text.count("{") > MAX_JSON_DEPTH - _ENVELOPE:
            jsonbody.check_depth(value, "a report", MAX_JSON_DEPTH - _ENVELOPE)
        time = _number(value.pop("time", None))
        try:
            told = _encode(value)
            if len(told) > jsonbody.MAX_NUMBER_CHARS and _LONG.search(told):
                told = _encode(_finite(value))
        except ValueError:  # 1e999 is infinite
            told = _encode(_finite(value))
    except (ValueError, ProtocolError, RecursionError):
        return None
    return Line(told, time) if len(told) <= MAX_REPORT_BYTES else None


def _number(value: Any) -> Optional[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) >= _BEYOND:
        return None
    return float(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value) or isinstance(value, int) and abs(value) >= _BEYOND:
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list) else value
