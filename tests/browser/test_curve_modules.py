"""What the plots of curves calculate, in a blank page, against other calculations of the same.

The page and what it loads are those of test_pure_modules.py.
"""

import itertools
import math
import random
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest

from tests.browser.test_pure_modules import blank, site, value
from tests.browser.webdriver import Browser, needs_browser

pytestmark = [pytest.mark.slow, needs_browser]
__all__ = ["blank", "site"]

Values = Sequence[Optional[float]]
CURVE = {"started": 1000, "step": [0, 10, 20, 20, 40], "time": [1, 2, 3, 4, 6],
         "value": [5, None, 1, 3, 2]}


# ---- along x

@pytest.mark.parametrize("x, xs", [
    ("step", [0, 10, 20, 20, 40]), ("relative", [1, 2, 3, 4, 6]), ("time", [1001, 1002, 1003, 1004, 1006])])
def test_reports_stand_at_their_place(blank: Browser, x: str, xs: List[float]) -> None:
    assert value(blank, "series.seriesOf(given[0], given[1])", CURVE, x) == {
        "xs": xs, "ys": [5, "NaN", 1, 3, 2]}


def test_reports_of_a_script_that_went_back_are_in_the_order_of_x(blank: Browser) -> None:
    again = {"started": 0, "step": [0, 1, 2, 1, 2, 3], "time": [0, 1, 2, 3, 4, 5], "value": list(range(6))}
    assert value(blank, "series.seriesOf(given[0], 'step')", again) == {
        "xs": [0, 1, 1, 2, 2, 3], "ys": [0, 1, 3, 2, 4, 5]}


# ---- smoothing

def average(ys: Values, weight: float) -> List[Any]:
    """As TensorBoard does: a moving average that starts with 0, divided by what is missing of it."""
    last, weights = 0.0, 1.0
    found: List[Any] = []
    for y in ys:
        if y is None:
            found.append("NaN")
            continue
        last = last * weight + (1 - weight) * y
        weights *= weight
        found.append(last / (1 - weights))
    return found


def by_distance(xs: Sequence[float], ys: Values, weight: float, unit: float) -> List[Any]:
    """The mean of what is before, straight from the definition."""
    found: List[Any] = []
    for at, (x, y) in enumerate(zip(xs, ys)):
        shares = [(weight ** ((x - before) / unit), other)
                  for before, other in zip(xs[:at + 1], ys[:at + 1]) if other is not None]
        found.append("NaN" if y is None
                     else sum(share * other for share, other in shares) / sum(share for share, _ in shares))
    return found


def close(found: List[Any], expected: List[Any]) -> bool:
    return len(found) == len(expected) and all(
        one == other or math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
        for one, other in zip(found, expected) if "NaN" not in (one, other)) and [
            at for at, one in enumerate(found) if one == "NaN"] == [
                at for at, one in enumerate(expected) if one == "NaN"]


SMOOTH = ("(({xs, ys}, weight, unit) => series.smoothed({xs, ys: ys.map((y) => y === null ? NaN : y)},"
          " weight, unit))(given[0], given[1], given[2])")


@pytest.mark.parametrize("weight", [0.1, 0.6, 0.99, 0.999])
def test_evenly_spaced_reports_are_smoothed_as_tensorboard_does(blank: Browser, weight: float) -> None:
    source = random.Random(3)
    xs, ys = list(range(0, 1000, 5)), [source.gauss(0, 1) for _ in range(200)]
    unit = value(blank, "series.spacing({xs: given[0]}, 200)", xs)
    assert unit == 5
    assert close(value(blank, SMOOTH, {"xs": xs, "ys": ys}, weight, unit), average(ys, weight))


def test_elsewhere_distance_counts_and_gaps_weigh_nothing(blank: Browser) -> None:
    source = random.Random(4)
    xs = sorted(source.choice([source.uniform(0, 100), 50.0]) for _ in range(60))
    ys = [None if at in (0, 7, 8, 59) else source.uniform(-2, 2) for at in range(60)]
    assert close(value(blank, SMOOTH, {"xs": xs, "ys": ys}, 0.9, 4.0), by_distance(xs, ys, 0.9, 4.0))
    # A curve of which half the reports are left is smoothed about as the whole: only distances matter.
    xs = [at * 2.0 for at in range(300)]
    ys = [math.sin(x / 40) for x in xs]
    whole = value(blank, SMOOTH, {"xs": xs, "ys": ys}, 0.95, 2.0)[::2]
    half = value(blank, SMOOTH, {"xs": xs[::2], "ys": ys[::2]}, 0.95, 2.0)
    assert max(abs(one - other) for one, other in zip(whole, half)) < 0.03


@pytest.mark.parametrize("xs, ys, unit, expected", [
    ([3], [7], 0, [7]), ([2, 2, 2], [1, 2, 6], 0, [1, 1.5, 3]), ([], [], 0, []),
    ([0, 1], [None, None], 1, ["NaN", "NaN"])])
def test_what_has_no_distance_is_a_plain_mean(blank: Browser, xs: List[float], ys: Values, unit: float,
                                              expected: List[Any]) -> None:
    assert value(blank, SMOOTH, {"xs": xs, "ys": ys}, 0.5, unit) == expected


# ---- what an axis spans

TWO = "[{xs: [0, 10], ys: [0, 100]}, {xs: [2, 4, 6], ys: [-5, NaN, 3]}]"


@pytest.mark.parametrize("expression, expected", [
    ("series.acrossOf(%s, false)" % TWO, [0, 10]), ("series.acrossOf(%s, true)" % TWO, [2, 10]),
    ("series.acrossOf([{xs: [], ys: []}], false)", None),
    ("series.acrossOf([{xs: [0], ys: [1]}], true)", None),
    ("series.upOf(%s, 0, 10, false)" % TWO, [-5, 100]),
    ("series.upOf(%s, 0, 10, true)" % TWO, [3, 100]),
    # Between two reports the line counts where it enters and leaves.
    ("series.upOf([{xs: [0, 10], ys: [0, 100]}], 4, 5, false)", [40, 50]),
    ("series.upOf(%s, 1, 1.5, false)" % TWO, [10, 15]),
    ("series.upOf([{xs: [0], ys: [NaN]}], 0, 1, false)", None),
    ("series.upOf([{xs: [0, 1], ys: [-1, 0]}], 0, 1, true)", None),
    ("series.roomy([0, 100], false)", [-4, 104]), ("series.roomy([5, 5], false)", [5, 5]),
    ("series.roomy([1, 1e25], true).map((end) => Number(end.toPrecision(6)))", [0.1, 1e26]),
    ("[[1, 2, 3, 900], [0.1, 0.2, 0.3], [0, 1, 900], [5], []].map((value) => series.wantsLogUp([{value}]))",
     [True, False, False, False, False]),
    ("series.wantsLogUp([{value: [1, null]}, {value: [2, 3, 500]}])", True),
    ("series.windowOf({xs: [0, 1, 2, 3, 4, 5]}, 2, 3)", [1, 5]),
    ("series.windowOf({xs: [0, 1, 1, 2]}, 1, 1)", [0, 4]), ("series.windowOf({xs: []}, 0, 1)", [0, 0]),
    ("series.windowOf({xs: [5]}, 0, 1)", [0, 1]),
])
def test_ranges(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


# ---- what can be seen

PATH = ("series.pathOf({xs: given[0], ys: given[1].map((y) => y === null ? NaN : y)}, [0, given[0].length],"
        " (x) => x * given[2], (y) => y, given[3])")


def test_each_column_of_pixels_keeps_its_ends_and_extremes(blank: Browser) -> None:
    source = random.Random(5)
    xs, ys = list(range(10_000)), [float(source.randrange(-1000, 1000)) for _ in range(10_000)]
    found = value(blank, PATH, xs, ys, 0.01)
    expected: List[Tuple[float, float]] = []
    for column in range(100):
        inside = range(column * 100, column * 100 + 100)
        keep = {inside[0], inside[-1], min(inside, key=lambda at: ys[at]), max(inside, key=lambda at: ys[at])}
        expected += [(at, ys[at]) for at in sorted(keep)]
    assert found["py"] == [y for _, y in expected]
    assert all(abs(px - x * 0.01) < 1e-4 for px, (x, _) in zip(found["px"], expected))


@pytest.mark.parametrize("n, every, places", [
    (10, 4, [0, 4, 8, 9]), (9, 4, [0, 4, 8]), (5, 9, [0, 4]), (1, 4, [0]), (0, 4, []), (3, 1, [0, 1, 2])])
def test_a_sketch_has_some_reports_and_the_last(blank: Browser, n: int, every: int,
                                                places: List[int]) -> None:
    ys = [float(at * at) for at in range(n)]
    found = value(blank, PATH, list(range(n)), ys, 10, every)
    assert (found["px"], found["py"]) == ([10 * at for at in places], [ys[at] for at in places])


@pytest.mark.parametrize("ys, py", [
    ([1, None, 2, None, None, 3], [1, "NaN", 2, "NaN", 3]), ([None, 1, 2, None], [1, 2]), ([None], []),
    ([], []), ([4], [4]), ([1, 1, 1], [1, 1, 1])])
def test_gaps_are_gaps(blank: Browser, ys: Values, py: List[Any]) -> None:
    assert value(blank, PATH, list(range(len(ys))), ys, 10)["py"] == py


def test_many_equal_values_stay_a_line(blank: Browser) -> None:
    assert value(blank, PATH, list(range(1000)), [7] * 1000, 0.001)["py"] == [7, 7]


def test_the_outline_of_a_drawing_has_gaps_and_single_reports(blank: Browser) -> None:
    path = "{px: [0, 1, NaN, 5, NaN, 7, 8], py: [1, 2, NaN, 3, NaN, 4, 5]}"
    assert value(blank, "curvepaint.outline(%s)" % path) == "M0.0 1.0L1.0 2.0M5.0 3.0h.01M7.0 4.0L8.0 5.0"


# ---- what is pointed at

def distance(point: Tuple[float, float], path: Sequence[Tuple[float, float]]) -> float:
    """From a point to a line of pieces, by trying many places of each."""
    least = min(math.dist(point, place) for place in path)
    for (x1, y1), (x2, y2) in zip(path, path[1:]):
        for share in range(101):
            at = (x1 + (x2 - x1) * share / 100, y1 + (y2 - y1) * share / 100)
            least = min(least, math.dist(point, at))
    return least


def test_the_nearest_path_is_found(blank: Browser) -> None:
    source = random.Random(6)
    paths = [[(x * 7.0, source.uniform(0, 300)) for x in range(60)] for _ in range(12)]
    given = [{"px": [x for x, _ in path], "py": [y for _, y in path]} for path in paths]
    for _ in range(25):
        point = (source.uniform(-20, 440), source.uniform(-20, 320))
        found = value(blank, "series.nearestPath(given[0], given[1], given[2], 24)", given, *point)
        far = [distance(point, path) for path in paths]
        if found < 0:
            assert min(far) > 23.9
        else:
            assert far[found] <= min(far) + 0.1 and far[found] < 24.1


NEAR = "series.nearestPath([%s], %s, %s, 10)"


@pytest.mark.parametrize("expression, expected", [
    # A gap is no line; what stands alone can be pointed at; of equal ones the one on top.
    (NEAR % ("{px: [0, NaN, 100], py: [5, NaN, 5]}", 50, 5), -1),
    (NEAR % ("{px: [0, NaN, 100], py: [5, NaN, 5]}", 98, 8), 0),
    (NEAR % ("{px: [0, NaN, 100], py: [5, NaN, 5]}", 2, 8), 0),
    (NEAR % ("{px: [], py: []}, {px: [4], py: [4]}", 0, 0), 1),
    (NEAR % ("{px: [0, 9], py: [0, 0]}, {px: [0, 9], py: [0, 0]}", 5, 0), 1),
    (NEAR % ("{px: [0, 500], py: [0, 500]}", 250, 255), 0), (NEAR % ("", 0, 0), -1),
    ("[-5, 4, 6, 16, 99].map((x) => series.nearestReport({xs: [0, 10, 20], ys: [1, 2, 3]}, x))",
     [0, 0, 1, 2, 2]),
    ("[9, 11, 25].map((x) => series.nearestReport({xs: [0, 10, 20], ys: [1, NaN, NaN]}, x))", [0, 0, 0]),
    ("series.nearestReport({xs: [0], ys: [NaN]}, 0)", -1), ("series.nearestReport({xs: [], ys: []}, 0)", -1),
    ("[[0, 1], [0, -1], [3, -1], [3, 1]].map((one) => series.nextReport({ys: [1, NaN, NaN, 2]}, ...one))",
     [3, 0, 0, 3]),
])
def test_pointing_at_curves(blank: Browser, expression: str, expected: Any) -> None:
    assert value(blank, expression) == expected


# ---- detail and colours

def test_a_range_is_shown_in_more_detail(blank: Browser) -> None:
    whole = {"id": 1, "started": 100, "step": [0, 10, 20, 30], "time": [0, 1, 2, 3], "value": [1, 2, 3, 4]}
    detail = {"step": [9, 12, 15, 21], "time": [0.9, 1.2, 1.5, 2.1], "value": [5, 6, None, 8]}
    assert value(blank, "series.withDetail(given[0], given[1], 'step', 10, 20)", whole, detail) == {
        "id": 1, "started": 100, "step": [0, 9, 12, 15, 21, 30], "time": [0, 0.9, 1.2, 1.5, 2.1, 3],
        "value": [1, 5, 6, None, 8, 4]}
    by_time = value(blank, "series.withDetail(given[0], given[1], 'time', 101, -(-Infinity))", whole, detail)
    assert by_time["step"] == [0, 9, 12, 15, 21]
    before = value(blank, "series.withDetail(given[0], given[1], 'step', 50, 60)", whole,
                   {"step": [], "time": [], "value": []})
    assert before == whole


@pytest.mark.parametrize("lasts, less, ranks", [
    ([1, 3, 2], True, [1, 0, 0.5]), ([1, 3, 2], False, [0, 1, 0.5]), ([4, 4], True, [0.5, 0.5]),
    ([None, 1, 5, 2], False, ["NaN", 0, 1, 0.25]), ([0.01, 0.1, 10], True, [1, 2 / 3, 0])])
def test_how_good_curves_are(blank: Browser, lasts: Values, less: bool, ranks: List[Any]) -> None:
    found = value(blank, "given[0].map(series.goodness(given[0], given[1]).of)", lasts, less)
    assert close(found, ranks)


def test_of_many_curves_the_utmost_share_a_colour(blank: Browser) -> None:
    found = value(blank, "series.goodness([...Array(101).keys()], false)")
    assert found == {"low": 5, "high": 95, "beyond": True}
    assert value(blank, "[0, 5, 50, 95, 100].map(series.goodness([...Array(101).keys()], false).of)") == [
        0, 0, 0.5, 1, 1]
    assert value(blank, "series.goodness([null], false)") is None


# How people see a colour who have no cones for red, green or blue: Machado, Oliveira and Fernandes, 2009.
# Distances are those of OKLab (Ottosson, 2020).
EYES = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
               (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
                 (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
                (0.004733, 0.691367, 0.303900))}
CONES = ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
         (0.0883024619, 0.2817188376, 0.6299787005))
OKLAB = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
         (0.0259040371, 0.7827717662, -0.8086757660))
Colour = Tuple[float, ...]


def times(matrix: Sequence[Sequence[float]], colour: Sequence[float]) -> Colour:
    return tuple(sum(one * part for one, part in zip(row, colour)) for row in matrix)


def linear(text: str) -> Colour:
    parts = [int(text[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    return tuple(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)


def seen(text: str, eye: str) -> Colour:
    there = [max(0.0, min(1.0, part)) for part in times(EYES[eye], linear(text))]
    return times(OKLAB, [max(0.0, cone) ** (1 / 3) for cone in times(CONES, there)])


@pytest.mark.parametrize("dark, card", [(False, "#ffffff"), (True, "#181c23")])
def test_few_curves_are_told_apart_by_everybody(blank: Browser, dark: bool, card: str) -> None:
    few = "[...Array(series.FEW_CURVES).keys()]"
    shown = value(blank, few + ".map((at) => colours.colourOf(at, given[0]))", dark)
    assert len(set(shown)) == 8 and value(blank, "colours.colourOf(8, given[0])", dark) == shown[0]
    for one, other in itertools.combinations(shown, 2):
        for eye in EYES:
            assert math.dist(seen(one, eye), seen(other, eye)) > 0.1, (one, other, eye)
    for one in shown:
        lights = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue
                        for red, green, blue in (linear(one), linear(card)))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) >= 3, one


# ---- axes of time

MARKS = ("(({ticks, words}) => ticks(given[2]).map(words))("
         "timed.timed(axis.numberAxis(given[0], given[1], false), given[3]))")


@pytest.mark.parametrize("low, high, count, marks", [
    (0, 60, 4, ["0 s", "15 s", "30 s", "45 s", "1 min"]), (0, 0.5, 4, ["0 s", "200 ms", "400 ms"]),
    (50, 4000, 5, ["15 min", "30 min", "45 min", "1 h"]), (0, 1e6, 5, ["0 s", "5 d", "10 d"]),
    (0, 86400 * 45, 5, ["0 s", "10 d", "20 d", "30 d", "40 d"])])
def test_durations_have_round_marks(blank: Browser, low: float, high: float, count: int,
                                    marks: List[str]) -> None:
    assert value(blank, MARKS, low, high, count, "relative") == marks


def test_times_of_day_have_the_marks_of_times(blank: Browser) -> None:
    expected = value(blank, "timeaxis.timeMarks(1579089600, 1579093200, 6).map(({text}) => text)")
    assert len(expected) > 3 and value(blank, MARKS, 1579089600, 1579093200, 6, "time") == expected
    log = "timed.timed(axis.numberAxis(1, 1000, true), 'relative').ticks(4)"
    assert value(blank, log) == [1, 10, 100, 1000]


# ---- ranges by hand

@pytest.mark.parametrize("start, end, expected", [
    ([60, 40], [110, 45], {"x": [0.1, 0.6], "y": None}), ([110, 45], [60, 40], {"x": [0.1, 0.6], "y": None}),
    ([60, 40], [64, 90], {"x": None, "y": [0.1, 0.6]}),
    ([60, 40], [110, 90], {"x": [0.1, 0.6], "y": [0.1, 0.6]}),
    ([60, 40], [62, 43], None), ([-99, 40], [999, 40], {"x": [0, 1], "y": None})])
def test_what_is_dragged(blank: Browser, start: List[int], end: List[int], expected: Any) -> None:
    area = {"left": 50, "top": 0, "width": 100, "height": 100}
    found = value(blank, "range.dragged(given[0], given[1], given[2])", start, end, area)
    assert found == (expected and {axis: ends and pytest.approx(ends) for axis, ends in expected.items()})


# ---- the address

EMPTY: Dict[str, Any] = {
    "metrics": [], "filter": "", "ids": [], "best": 20, "x": "step", "smooth": 0, "logX": False,
    "logY": "undefined", "less": "undefined", "zoom": None, "of": "", "hidden": []}
VIEW = ("((view) => ({...view, hidden: [...view.hidden]}))(address.viewOf(new URLSearchParams(given[0])))")
# There and back: what a link says, as the address of the view that it shows.
BACK = ("((query) => String(new URLSearchParams(Object.entries(address.queryOf(address.viewOf(query)))"
        ".filter(([, one]) => one !== '' && one !== undefined))))(new URLSearchParams(given[0]))")


@pytest.mark.parametrize("query, view", [
    ("", {}), ("metric=loss&metric3=a&metric2=loss", {"metrics": ["loss", "a"]}),
    ("ids=3,1,3,x,-4,0&filter=lr=1", {"ids": [3, 1]}), ("filter=lr=1", {"filter": "lr=1", "best": 1000}),
    ("filter=lr=1&best=50", {"filter": "lr=1", "best": 50}), ("best=0", {}), ("best=1001", {}),
    ("best=x", {}), ("x=time&smooth=0.6&logx=1&logy=0&less=1", {
        "x": "time", "smooth": 0.6, "logX": True, "logY": False, "less": True}),
    ("x=constructor&smooth=1&logx=2&less=constructor", {}),
    ("smooth=-1", {}), ("smooth=0.999", {"smooth": 0.999}),
    ("from=1&low=-2e3&of=a&hide=5,6", {
        "zoom": {"from": 1, "to": "NaN", "low": -2000, "high": "NaN"}, "of": "a", "hidden": [5, 6]}),
    ("from=&to=abc", {}),
])
def test_what_an_address_asks_for(blank: Browser, query: str, view: Dict[str, Any]) -> None:
    assert value(blank, VIEW, query) == dict(EMPTY, **view)


@pytest.mark.parametrize("query", [
    "", "metric=loss&metric2=acc", "metric=a&ids=1%2C2%2C30", "metric=a&filter=lr%3D1&best=50",
    "metric=a&best=1000",
    "metric=a&x=relative&smooth=0.6&logx=1&logy=0&less=1&from=0.5&to=20&hide=3%2C7",
    "metric=a&metric2=b&low=1&high=2&of=b"])
def test_an_address_leads_to_itself(blank: Browser, query: str) -> None:
    assert value(blank, BACK, query) == query


def test_too_many_hidden_runs_are_not_in_the_address(blank: Browser) -> None:
    query = "metric=a&hide=" + ",".join(map(str, range(1, 1001)))
    assert value(blank, VIEW, query)["hidden"] == list(range(1, 1001))
    assert value(blank, BACK, query) == "metric=a"


def test_the_smoothing_control_goes_to_a_thousand_reports(blank: Browser) -> None:
    assert value(blank, "[0, 1 / 3, 2 / 3, 1].map(address.weightAt)") == [0, 0.9, 0.99, 0.999]
    back = "[0, 0.5, 1].map((place) => address.placeOf(address.weightAt(place)))"
    assert value(blank, back) == pytest.approx([0, 0.5, 1], abs=0.005)
