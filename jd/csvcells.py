"""Values as cells of a CSV table, the same on the dashboard and in programs."""

import json
import math
import re
from typing import Any

# What a spreadsheet takes for a formula (OWASP, "CSV Injection"), also behind blanks and what nobody sees,
# which some drop, and in the wide forms that some read as the others; -1.5 is none.
_UNSEEN = ("\\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
           "\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
           "\U000e0000-\U000e0fff")
_FORMULA = re.compile("[%s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]" % _UNSEEN)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)


def text(value: Any) -> str:
    """A value as text. Numbers stay as they are; text that would be a formula is kept from it by `'`. Lists
    and objects are JSON, and what is not finite is NaN, Infinity or -Infinity."""
    if value is None:
        return ""
    if type(value) in (int, float) and math.isfinite(value):
        return repr(value)  # as JSON has it, and ten times as fast
    if isinstance(value, str):
        formula = _FORMULA.match(value) and not _NUMBER.fullmatch(value)
        return "'" + value if formula else value
    return json.dumps(value, ensure_ascii=False)
