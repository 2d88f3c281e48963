"""Tables of a training, and points that are thinned out. `jd/server/store/reports/`."""

import math
from typing import List, Tuple

from jd.server.store.reports import historyfile, points
from jd.server.store.reports.points import Points
from tests.fuzz.material import Source, utf8
from tests.fuzz.properties import Property

_CELLS = ("1", "0.5", "nan", "", "-inf", "1e999", "x", '"a,b"', "1_000", "١", '"', "\0", "epoch", "time",
          "loss")


def make_table(source: Source) -> bytes:
    """A table, or what is none."""
    def cell() -> str:
        return source.one(source.of(_CELLS), source.of(_CELLS), source.number(), source.text(2))

    between = source.one(",", ",", ";", "\t")
    rows = [between.join(source.several(cell, 5)) for _ in range(source.few(9))]
    head = between.join(source.of(("epoch", "loss", "time", "val loss", "", "step", "iter", "loss"))
                        for _ in range(source.few(5)))
    return source.maybe_bytes(utf8(source.one("\n", "\n", "\r\n", "\r").join([head, *rows])), 0.1)


def check_table(content: bytes) -> None:
    """Curves that can be stored, and a remark where there are none."""
    found = historyfile.parse(content)
    assert found.metrics.keys() == found.points.keys() and (found.metrics or found.remark)
    found.remark.encode("utf-8")
    for name, some in found.points.items():
        assert some.size == found.metrics[name].n <= found.rows
        assert all(map(math.isfinite, [*some.steps, *some.times]))
        assert repr(points.unpack(points.pack(some))) == repr(some)


def make_points(source: Source) -> Tuple[Points, int]:
    """Points, and into how many parts their way is cut."""
    def numbers(odd: Tuple[float, ...]) -> List[float]:
        base = source.one(1.0, 1e-300, 1e307, 0.0)
        return [source.of(odd) if source.chance(0.1) else base * (at + source.below(3))
                for at in range(count)]

    count = source.one(1, 2, 5, 60, 200)
    steps, values = numbers((0.0, -1e308, 1e308)), numbers((math.nan, math.inf, -math.inf, 1e308, -1e308))
    return Points(*map(points.numbers, (steps, map(float, range(count)), values))), source.one(1, 2, 7, 30)


def check_points(given: Tuple[Points, int]) -> None:
    """Some of them, in their order, with both ends and all extremes."""
    every, parts = given
    few = points.thin(every, parts, every.steps)
    places = [int(seconds) for seconds in few.times]
    assert places == sorted(set(places)) and places[0] == 0 and places[-1] == every.size - 1
    assert few.size <= 3 * parts + 2
    finite = [value for value in every.values if math.isfinite(value)]
    assert not finite or {min(finite), max(finite)} <= set(few.values)


PROPERTIES = (
    Property("history.csv", make_table, check_table, (b"", b"loss\n1\n", b"\xff", b'"'), weight=40),
    Property("points", make_points, check_points, weight=20),
)
