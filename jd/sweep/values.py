"""Values of parameters that somebody has typed, or that stand in a cell of a table."""

import csv
import json
import math
from typing import Any, List

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
    """Values with commas between them; one that has a comma stands in double quotes."""
    return [typed(cell.strip()) for cell in next(csv.reader([text], skipinitialspace=True), [])]


def _no_constant(word: str) -> Any:
    raise ValueError(word)  # NaN and the infinities are not JSON
