"""What a report says: its step, and numbers by the name of their metric.

The step is the first of STEP_NAMES that is a finite number, also one written as text; it is no metric then,
and neither is `time`. Other numbers are named and flattened as those of a `result.json` are (see
`files.resultfile`).
"""

import math
from functools import lru_cache
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from jd.messages import Report
from jd.server.store.files.resultfile import MAX_NUMBERS, Result, numbers_in

STEP_NAMES = ("step", "epoch", "iteration", "iter")
TIME = "time"


class Told(NamedTuple):
    """A report. `step` is None where it says none; `seconds` are since the start of the script; a number that
    is NaN or infinite is that word, as in `resultfile`."""

    seconds: float
    step: Optional[float]
    numbers: Mapping[str, Result]


class Interpreted(NamedTuple):
    """Some reports, and what the first remark about them is: what of them is left out."""

    told: List[Told]
    remark: str


def interpret(reports: Sequence[Report]) -> Interpreted:
    """What some reports say."""
    told: List[Told] = []
    remark = ""
    for report in reports:
        given = dict(report.told)
        given.pop(TIME, None)
        step = _step(given)
        numbers = _plain(given)
        if numbers is None:
            found = numbers_in(given)
            numbers, remark = found.numbers or {}, remark or found.remark
        told.append(Told(report.seconds, step, numbers))
    return Interpreted(told, remark)


def _step(given: Dict[str, Any]) -> Optional[float]:
    """The step, which is taken away."""
    for name in STEP_NAMES:
        said = given.get(name)
        step = number(written(said) if isinstance(said, str) else said)
        if step is not None:
            del given[name]
            return step
    return None


def number(value: Any) -> Optional[float]:
    """A value that is a finite number, and not true or false; else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _plain(given: Mapping[str, Any]) -> Optional[Dict[str, Result]]:
    """The numbers of a report that has nothing else, as most are; None for others."""
    found: Dict[str, Result] = {}
    for name, value in given.items():
        kind = type(value)
        if not (kind is float and value - value == 0.0 or kind is int and -2 ** 63 <= value < 2 ** 63):
            return None
        found[called(name)] = value
    return found if len(found) == len(given) <= MAX_NUMBERS else None


def written(text: str) -> Optional[Result]:
    """The number that stands in a text; None where there is none."""
    try:
        found = float(text)
    except ValueError:
        return None
    if "_" in text:  # which Python reads
        return None
    if not math.isfinite(found):
        return next(iter((numbers_in({"x": found}).numbers or {}).values()))
    return int(text) if abs(found) < 2 ** 63 and text.lstrip("+-").isdecimal() else found


@lru_cache(4096)
def called(name: str) -> str:
    """The metric that a name of a number stands for."""
    return next(iter(numbers_in({name: 0}).numbers or ()))
