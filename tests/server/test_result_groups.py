"""A metric by the values of parameters, counted over all jobs, beside plain calculations."""

import math
import random
import statistics
from typing import Any, Dict, List, Optional, Sequence

import pytest

from jd.server.store.pages.results import metricvalues, resultgroups
from jd.server.store.pages.results.resultgroups import Boxes, Cells, Question
from jd.server.store.search import values
from tests.server.store_support import Desk, ordered, put

Job = Dict[str, Any]


def sweep(desk: Desk, jobs: List[Job], metric: Sequence[Optional[float]]) -> None:
    """Jobs that are done with a metric, None: without one; their ids begin with 1."""
    desk.add(ordered({"jobs": jobs}))
    for at, number in enumerate(metric):
        desk.claim()
        if number is not None:
            given = {"m": number} if math.isfinite(number) else {}
            desk.write(lambda t: values.set_results(t, at + 1, given, {} if given else {"m": "NaN"}))
        desk.finish(at + 1)


def boxes(desk: Desk, by: str, less: bool = True, text: str = "") -> Boxes:
    return desk.read(lambda db: resultgroups.boxes(db, Question("m", text, less), by, desk.now))


def cells(desk: Desk, across: str, down: str, less: bool = True, text: str = "", log: bool = False) -> Cells:
    return desk.read(
        lambda db: resultgroups.cells(db, Question("m", text, less), across, down, (log, log), desk.now))


def mixed() -> List[Job]:
    """Ties, a missing value, one of one job, numbers and texts."""
    chance = random.Random(5)
    jobs: List[Job] = [{"opt": chance.choice(["adam", "sgd"]), "depth": chance.choice([2, 4.0, 8])}
                       for _ in range(60)]
    jobs[7] = {"depth": 16}
    return jobs


def numbers() -> List[Optional[float]]:
    chance = random.Random(6)
    found: List[Optional[float]] = [round(chance.gauss(0, 1), 1) for _ in range(60)]
    found[3], found[4], found[20] = None, math.nan, 40.0
    return found


def those(jobs: List[Job], metric: List[Optional[float]], name: str, value: Any) -> Dict[int, float]:
    """The jobs of a value by id, with their metric."""
    return {at + 1: number for at, (job, number) in enumerate(zip(jobs, metric))
            if number is not None and math.isfinite(number) and job.get(name) == value}


@pytest.mark.parametrize("less", [True, False])
@pytest.mark.parametrize("name", ["opt", "depth"])
def test_boxes_are_those_of_a_plain_calculation(desk: Desk, name: str, less: bool) -> None:
    jobs, metric = mixed(), numbers()
    sweep(desk, jobs, metric)
    found = boxes(desk, "param." + name, less)
    wanted = {job.get(name) for job in jobs}
    assert {box.value for box in found.boxes} == wanted and found.total == len(wanted)
    for box in found.boxes:
        group = those(jobs, metric, name, box.value)
        numbers_of = sorted(group.values())
        assert (box.n, box.min, box.max) == (len(group), numbers_of[0], numbers_of[-1])
        if box.n == 1:
            assert (box.q1, box.median, box.q3) == (box.min,) * 3 and len(box.points) == 1
            continue
        quartiles = statistics.quantiles(numbers_of, n=4, method="inclusive")
        assert [box.q1, box.median, box.q3] == pytest.approx(quartiles)
        reach = 1.5 * (quartiles[2] - quartiles[0])
        outside = {job: one for job, one in group.items()
                   if not quartiles[0] - reach <= one <= quartiles[2] + reach}
        assert dict(box.points) == outside
        inside = sorted(one for job, one in group.items() if job not in outside)
        assert (box.low, box.high) == (inside[0], inside[-1])


def test_boxes_over_a_number_are_in_its_order_and_those_over_a_text_by_their_medians(desk: Desk) -> None:
    sweep(desk, [{"n": n, "t": "t%d" % n} for n in (10, 9, 2, 10, 9)], [1, 3, 2, 1, 3])
    assert [box.value for box in boxes(desk, "param.n").boxes] == [2, 9, 10]
    assert [box.value for box in boxes(desk, "param.t").boxes] == ["t10", "t2", "t9"]
    assert [box.value for box in boxes(desk, "param.t", less=False).boxes] == ["t9", "t2", "t10"]


def test_values_are_as_they_were_written(desk: Desk) -> None:
    jobs: List[Job] = [{"a": True}, {"a": False}, {"a": [64, 32]}, {"a": None}, {"b": 1}]
    sweep(desk, jobs, [1, 2, 3, 4, 5])
    assert [box.value for box in boxes(desk, "param.a").boxes] == [True, False, "[64, 32]", None]
    assert [box.n for box in boxes(desk, "param.a").boxes] == [1, 1, 1, 2]


def test_of_many_outliers_some_are_told_from_the_best_to_the_worst(desk: Desk) -> None:
    sweep(desk, [{"x": 1, "y": n} for n in range(400)], [*([0.0] * 310), *(float(n) for n in range(1, 91))])
    (box,) = boxes(desk, "param.x").boxes
    told = [number for _, number in box.points]
    assert (len(told), told[0], told[-1]) == (60, 1.0, 90.0) and told == sorted(told)


def test_of_many_texts_the_best_have_boxes(desk: Desk) -> None:
    sweep(desk, [{"t": "t%d" % n} for n in range(30)], [float(n) for n in range(30)])
    found = boxes(desk, "param.t", less=False)
    assert found.total == 30
    assert [box.value for box in found.boxes] == ["t%d" % n for n in range(29, 5, -1)]


def test_a_grid_has_a_cell_for_each_pair_of_values(desk: Desk) -> None:
    """Ten by three values: ten columns, none merged, none empty, whatever the width of the page."""
    jobs = [{"lr": lr, "opt": opt} for lr in (1e-5, 2e-5, 1e-4, 2e-4, 1e-3, 2e-3, 0.01, 0.02, 0.1, 0.2)
            for opt in ("adam", "lion", "sgd")]
    sweep(desk, jobs, [float(n) for n in range(30)])
    found = cells(desk, "param.lr", "param.opt", log=True)
    assert found.across.single and found.down.single and len(found.cells) == 30
    assert [one.low for one in found.across.bins] == sorted({job["lr"] for job in jobs})
    assert all((cell.n, cell.mean, cell.best) == (1, cell.best - 1, cell.across * 3 + cell.down + 1)
               for cell in found.cells)


@pytest.mark.parametrize("less", [True, False])
def test_cells_are_those_of_a_plain_calculation(desk: Desk, less: bool) -> None:
    jobs, metric = mixed(), numbers()
    sweep(desk, jobs, metric)
    found = cells(desk, "param.depth", "param.opt", less)
    for cell in found.cells:
        depth = found.across.bins[cell.across].low
        opt = found.down.bins[cell.down].low
        group = {job: one for job, one in those(jobs, metric, "depth", depth).items()
                 if jobs[job - 1].get("opt") == opt}
        assert cell.n == len(group) and cell.median == pytest.approx(statistics.median(group.values()))
        assert cell.mean == pytest.approx(sum(group.values()) / len(group))
        best = (min if less else max)(group.values())
        assert (cell.best_value, cell.best) == (best, min(job for job, one in group.items() if one == best))
    assert sum(cell.n for cell in found.cells) == 57  # job 8 has no opt, 4 and 5 no number


def number(scalar: Any) -> float:
    assert isinstance(scalar, float)
    return scalar


@pytest.mark.parametrize("log, given", [(False, [float(n) for n in range(100)]),
                                        (True, [2.0 ** n for n in range(98)])])
def test_many_numbers_are_put_into_twelve_equal_parts(desk: Desk, log: bool, given: List[float]) -> None:
    sweep(desk, [{"x": x, "t": "a"} for x in given], given)
    axis = cells(desk, "param.x", "param.t", log=log).across
    edges = [number(axis.bins[0].low), *(number(one.high) for one in axis.bins)]
    assert not axis.single and edges[0] == given[0] and edges[-1] == given[-1]
    along = [math.log(edge) if log else edge for edge in edges]
    assert [after - before for before, after in zip(along, along[1:])] == pytest.approx([along[-1] / 12] * 12)
    inside = [[x for x in given if low <= x < high or x == high == given[-1]]
              for low, high in zip(edges, edges[1:])]
    assert [(one.least, one.most) for one in axis.bins] == [(some[0], some[-1]) for some in inside]


def test_a_part_without_jobs_has_no_values(desk: Desk) -> None:
    sweep(desk, [{"x": x, "y": 1} for x in [*range(13), 1000]], [1.0] * 14)
    found = cells(desk, "param.x", "param.y")
    assert [one.least for one in found.across.bins] == [0, *[None] * 10, 1000]
    assert [cell.across for cell in found.cells] == [0, 11]


def test_texts_beyond_those_that_have_a_place_are_counted(desk: Desk) -> None:
    sweep(desk, [{"t": "t%02d" % n, "y": 1} for n in range(30)], [1.0] * 30)
    axis = cells(desk, "param.t", "param.y").across
    assert (axis.single, axis.cut, len(axis.bins), axis.bins[-1].low) == (True, 6, 24, "t23")


def test_filters_and_deleted_jobs(desk: Desk) -> None:
    sweep(desk, [{"x": n % 2, "y": n} for n in range(6)], [float(n) for n in range(6)])
    desk.write(lambda t: put(t, "DELETED", 1))
    assert [box.n for box in boxes(desk, "param.x").boxes] == [2, 3]
    assert [box.n for box in boxes(desk, "param.x", text="y<3").boxes] == [1, 1]
    assert boxes(desk, "param.x", text="status=DELETED").boxes[0].n == 1
    assert boxes(desk, "param.x", text="y>99") == Boxes(0, [])
    assert cells(desk, "param.x", "param.y", text="y>99").cells == []
    assert sum(cell.n for cell in cells(desk, "param.x", "result.m").cells) == 5


def test_a_sample_is_even_over_any_period(desk: Desk) -> None:
    """Every n-th job of a grid may have one value of a parameter: a sample has all, about equally often."""
    chosen = metricvalues.sample(range(1, 300_001), 5_000)
    assert len(chosen) == 5_000 and chosen == sorted(set(chosen))
    for period in (2, 3, 60, 64, 100):
        counted = [sum(job % period == rest for job in chosen) for rest in range(period)]
        assert max(counted) < 1.35 * 5_000 / period and min(counted) > 0.65 * 5_000 / period
    more = metricvalues.sample(range(1, 310_001), 5_000)
    assert len(set(more) & set(chosen)) > 4_700  # those that were shown stay
    assert metricvalues.sample([3, 1, 2], 3) == [1, 2, 3] and metricvalues.sample([], 3) == []


def test_means_of_the_largest_numbers(desk: Desk) -> None:
    assert metricvalues.mean([1.7e308, 1.7e308]) == pytest.approx(1.7e308)
    sweep(desk, [{"x": n * 1e307, "y": 1} for n in range(-17, 18)], [1.7e308] * 35)
    assert sum(cell.n for cell in cells(desk, "param.x", "param.y").cells) == 35


def test_what_was_found_last_is_given_again_until_something_changes(desk: Desk) -> None:
    sweep(desk, [{"x": at} for at in range(4)], [3, 1, 2, 4])
    recent, now = metricvalues.Recent(), desk.now

    def find(metric: str = "m", text: str = "", at: float = now) -> Any:
        found = desk.read(lambda db: recent.find(db, metric, text, at))
        assert found == desk.read(lambda db: metricvalues.find(db, metric, text, at))
        return found

    first = find()
    assert find() is first
    assert find(text="x<2").ids == [2, 1] and find(metric="x").ids == []
    desk.write(lambda t: values.set_results(t, 3, {"m": 0.5}))
    assert find().ids == [3, 2, 1, 4]
    ended = find(text="finished>-1h")
    assert len(ended.ids) == 4 and find(text="finished>-1h", at=now + 7200).ids != ended.ids
    recent.forget()
    assert find() is not first
