"""Values of parameters that somebody has typed, or that stand in a cell of a table."""

import csv
import json
import math
from typing import Any, List

from jd import protocol
from jd.sweep.errors import BadValue

_Scalar = (bool, int, float, type(None))


def typed(text: str) -> Any:
    """What reads as a number, true, false or null, as in JSON, is that; anything else stays text."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and math.isinf(value):
        return text  # 1e999 is more than a float can be
    return value if isinstance(value, _Scalar) else text


def listed(text: str) -> List[Any]:
    """Values with commas between them; one that has a comma stands in double quotes. Raises BadValue."""
    try:
        cells = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise BadValue("%s is no list of values: %s" % (protocol.shown(text), error),
                       "give them on one line, with commas between them") from None
    return [typed(cell.strip()) for cell in cells]


def _no_constant(word: str) -> Any:
    raise ValueError(word)  # NaN and the infinities are not JSON
