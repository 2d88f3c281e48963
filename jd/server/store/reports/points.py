"""Points of a curve: step, time in seconds since the start of the script, and value, in the order in which
they were reported.

Steps and times are finite. Values may be NaN or infinite, which is a gap in the curve. As bytes they are
doubles, all steps first, then all times, then all values.
"""

import math
import sys
import zlib
from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Iterable, List, NamedTuple, Sequence, TypeVar

N = TypeVar("N", int, float)

if TYPE_CHECKING:
    Numbers = array[float]
else:
    Numbers = array  # takes no type before Python 3.9

POINT_BYTES = 24


class Points(NamedTuple):
    """Lists of equal length."""

    steps: Numbers
    times: Numbers
    values: Numbers

    @property
    def size(self) -> int:
        """How many points these are."""
        return len(self.steps)

    def extend(self, others: "Points") -> None:
        """Put others behind them."""
        for mine, more in zip(self, others):
            mine.extend(more)

    def chosen(self, places: Sequence[int]) -> "Points":
        """Those at some places."""
        return Points(*(array("d", [some[at] for at in places]) for some in self))

    def part(self, start: int, end: int) -> "Points":
        """Those from a place on, up to another one."""
        return Points(*(some[start:end] for some in self))


def numbers(some: Iterable[float]) -> Numbers:
    """Numbers as those of points."""
    return array("d", some)


def none() -> Points:
    """No points, to be extended."""
    return Points(array("d"), array("d"), array("d"))


def joined(parts: Iterable[Points]) -> Points:
    """All points of some parts, one behind the other."""
    made = none()
    for part in parts:
        made.extend(part)
    return made


# ---- as bytes

def pack(points: Points) -> bytes:
    """Points as bytes."""
    return b"".join(ordered(some).tobytes() for some in points)


def unpack(data: bytes) -> Points:
    """Points of bytes. Raises ValueError for what `pack` cannot have made."""
    if len(data) % POINT_BYTES:
        raise ValueError("%d bytes are no points" % len(data))
    size = len(data) // 3
    made = none()
    for place, some in enumerate(made):
        some.frombytes(data[place * size:(place + 1) * size])
    return Points(*map(ordered, made))


def squeeze(points: Points) -> bytes:
    """Points as bytes that take less room; for those that do not change any more."""
    return zlib.compress(pack(points), 1)


def unsqueeze(data: bytes) -> Points:
    """Points of bytes of `squeeze`. Raises ValueError."""
    try:
        return unpack(zlib.decompress(data))
    except zlib.error as error:
        raise ValueError("these are no points: %s" % error) from None


def ordered(some: "array[N]") -> "array[N]":
    """Numbers as they are to become bytes, or were made of bytes: on every machine the least byte of a number
    is the first."""
    if sys.byteorder == "big":
        some = some[:]
        some.byteswap()
    return some


# ---- thinning

def thin(points: Points, parts: int, along: Numbers) -> Points:
    """Points of which there are about two for each of so many equal parts of what lies between the ends of
    `along`, the points' steps or times: the least and the greatest value of the part. The first and the last
    point stay as well, and in each part the first that is NaN or infinite, so that a gap remains one.

    Where most points would fall into few of the parts, as one step may be far from all others, parts of
    equally many points are taken. The order of the points stays as it is.
    """
    count = points.size
    if count <= 2 * parts:
        return points
    places = _by_distance(points, parts, along)
    if len(places) < min(count, parts):
        ends = [count * part // parts for part in range(parts + 1)]
        places = _of_parts(points, range(count), ends)
    return points.chosen(sorted({0, count - 1, *places}))


def _by_distance(points: Points, parts: int, along: Numbers) -> List[int]:
    """The places of what stays, by equal parts of the way. One that is out of order belongs to its part."""
    order: Sequence[int] = range(len(along))
    sorted_along: Sequence[float] = along
    if not ascends(along):
        order = sorted(order, key=along.__getitem__)
        sorted_along = [along[at] for at in order]
    first, last = sorted_along[0], sorted_along[-1]
    # Halves: of two numbers such as ±1e308 the difference is no number.
    width = (last / 2 - first / 2) / parts * 2
    if not 0 < width < math.inf:
        return []
    ends = [0, *(bisect_left(sorted_along, first + width * part) for part in range(1, parts)), len(along)]
    return _of_parts(points, order, ends)


def ascends(some: Sequence[float]) -> bool:
    """Whether none of the numbers is less than the one before it."""
    as_they_are = list(some)
    return as_they_are == sorted(as_they_are)


def _of_parts(points: Points, order: Sequence[int], ends: Sequence[int]) -> List[int]:
    """Of the points in this order, between each two of the ends, those that stay."""
    found: List[int] = []
    values: Sequence[float] = points.values if isinstance(order, range) else [
        points.values[at] for at in order]
    for start, end in zip(ends, ends[1:]):
        if end - start <= 2:
            found.extend(order[start:end])
            continue
        some = values[start:end]
        # The sum of numbers is finite where all are, but for huge ones; those are looked at one by one too.
        if math.isfinite(sum(some)):
            found.append(order[start + some.index(min(some))])
            found.append(order[start + some.index(max(some))])
        else:
            found.extend(order[start + at] for at in _among_others(some))
    return found


def _among_others(some: Sequence[float]) -> List[int]:
    finite = [at for at, value in enumerate(some) if math.isfinite(value)]
    others = [at for at, value in enumerate(some) if not math.isfinite(value)]
    kept = others[:1]
    if finite:
        kept += [min(finite, key=some.__getitem__), max(finite, key=some.__getitem__)]
    return kept
