"""Spaces of parameters: what a seed gives, and what is refused."""

import json
import math
from collections import Counter
from fractions import Fraction
from typing import Any, Dict, Iterator, List

import pytest

from jd import protocol, space
from jd.protocol import ProtocolError

SPACE: Dict[str, Any] = {
    "lr": {"low": 1e-5, "high": 0.1, "log": True}, "layers": {"low": 1, "high": 20},
    "momentum": {"low": 0, "high": 0.99, "when": {"opt": ["sgd"]}}, "opt": {"values": ["adam", "sgd"]},
    "epochs": 81}


def sample(names: Any, **options: Any) -> List[Dict[str, Any]]:
    return list(space.jobs(dict(options, space=names)))


@pytest.mark.parametrize("method, jobs", [
    ("random", [
        {"lr": 0.02239925, "layers": 5, "momentum": 0.9282083, "opt": "sgd", "epochs": 81},
        {"lr": 0.003418075, "layers": 2, "momentum": 0.6388024, "opt": "sgd", "epochs": 81},
        {"lr": 0.0004318244, "layers": 13, "momentum": 0.6414939, "opt": "sgd", "epochs": 81}]),
    ("halton", [
        {"lr": 0.0002239925, "layers": 16, "momentum": 0.0433883, "opt": "sgd", "epochs": 81},
        {"lr": 2.239925e-05, "layers": 9, "momentum": 0.4393883, "opt": "sgd", "epochs": 81},
        {"lr": 0.002239925, "layers": 7, "momentum": 0.2413883, "opt": "sgd", "epochs": 81}])])
def test_a_seed_gives_the_same_for_ever(method: str, jobs: List[Dict[str, Any]]) -> None:
    assert sample(SPACE, n=3, seed=1, method=method) == jobs
    assert list(sample(SPACE, n=1, seed=1)[0]) == ["lr", "layers", "momentum", "opt", "epochs"]


@pytest.mark.parametrize("method", ["random", "halton"])
def test_more_jobs_and_more_names_leave_the_others_as_they_are(method: str) -> None:
    few, many = (sample(SPACE, n=n, seed=7, method=method) for n in (10, 40))
    assert many[:10] == few
    assert sample(SPACE, n=10, seed=8, method=method) != few
    wider = sample(dict(SPACE, dropout={"low": 0.0, "high": 0.5}), n=10, seed=7, method=method)
    assert [job["lr"] for job in wider] == [job["lr"] for job in few]


def turned(index: int, base: int, digits: List[int]) -> Fraction:
    """The radical inverse with exchanged digits, as textbooks define it."""
    total, weight = Fraction(0), Fraction(1, base)
    while index:
        total += digits[index % base] * weight
        index, weight = index // base, weight / base
    return total


def test_halton_is_that_of_the_textbook_with_its_digits_exchanged() -> None:
    names = "abcdefg"
    got = sample({name: {"low": 0.0, "high": 1.0} for name in names}, n=200, seed=3, method="halton")
    for name, base in zip(names, (2, 3, 5, 7, 11, 13, 17)):
        draw = space._generator(3, name)
        digits = list(range(base))
        for last in range(base - 1, 1, -1):
            other = 1 + int(draw() * last)
            digits[last], digits[other] = digits[other], digits[last]
        assert digits[0] == 0 and sorted(digits) == list(range(base))
        shift = Fraction(draw())
        for index, job in enumerate(got, 1):
            expected = (turned(index, base, digits) + shift) % 1
            assert abs(expected - Fraction(job[name])) <= Fraction(1, 10 ** 6)


def test_halton_without_a_shift_is_van_der_corputs() -> None:
    def nothing() -> Iterator[float]:
        while True:
            yield 0.0
    for base, known in ((2, [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8]), (3, [2 / 3, 1 / 3, 2 / 9, 8 / 9, 5 / 9])):
        draw = space._halton(base, nothing().__next__)  # of base 3 the digits 1 and 2 are exchanged
        assert [draw() for _ in known] == known


@pytest.mark.parametrize("method, most", [("random", 0.08), ("halton", 0.01)])
def test_all_of_a_range_is_sampled_evenly(method: str, most: float) -> None:
    got = sample({"x": {"low": -1.0, "high": 3.0}, "y": {"low": 1e-4, "high": 1e-1, "log": True}},
                 n=900, seed=2, method=method)
    places = {"x": [(job["x"] + 1) / 4 for job in got], "y": [(math.log10(job["y"]) + 4) / 3 for job in got]}
    for name in places:
        assert all(0 <= place <= 1 for place in places[name])
        for third in range(3):
            share = sum(third / 3 <= place < (third + 1) / 3 for place in places[name]) / 900
            assert abs(share - 1 / 3) < most
    assert all(float("%.7g" % job[name]) == job[name] for job in got for name in job)


def test_whole_numbers_have_both_ends_and_choices_equal_shares() -> None:
    names = {"n": {"low": 1, "high": 3}, "c": ["a", "b"], "x": {"low": 0.0, "high": 1}}
    got = sample(names, n=600, method="halton")
    assert {type(job["n"]) for job in got} == {int}
    assert all(190 <= count <= 210 for count in Counter(job["n"] for job in got).values())
    assert Counter(job["c"] for job in got) == {"a": 300, "b": 300}
    many = Counter(job["k"] for job in sample(
        {"k": {"low": 1, "high": 100, "log": True}, "x": {"low": 0.0, "high": 1.0}}, n=900, method="halton"))
    assert min(many) == 1 and max(many) <= 100
    expected = 900 * math.log(1.5 / 0.5) / math.log(100.5 / 0.5)  # a whole number owns a half on each side
    assert abs(many[1] - expected) < 9


@pytest.mark.parametrize("low, high, log", [
    (1.0, 1.0000001, False), (1.0, 1.0000001, True), (-1e300, 1e300, False), (1e-300, 1e300, True),
    (0, 5e-324, False), (1e-320, 1e-310, False), (12345678.25, 12345678.5, False)])
def test_ranges_of_all_widths(low: float, high: float, log: bool) -> None:
    parameter = space.parse({"x": {"low": low, "high": high, "log": log}})[0]
    values = [parameter.at(place / 100) for place in range(100)]
    assert all(low <= value <= high for value in values)
    assert len(set(values)) == (100 if high > 1e-322 else 2)
    assert "-0.0" not in map(str, values)


def test_a_name_is_there_when_another_has_a_value() -> None:
    got = sample(SPACE, n=50)
    assert {(job["opt"], "momentum" in job) for job in got} == {("adam", False), ("sgd", True)}
    chain = {"c": {"low": 0.0, "high": 1, "when": {"b": 2}},
             "b": {"low": 1, "high": 2, "when": {"a": [True, 1.0]}},
             "a": [True, 1, "1", None]}
    assert [parameter.name for parameter in space.parse(chain)] == ["a", "b", "c"]
    for job in sample(chain, n=40, seed=5):
        assert ("b" in job) == (job["a"] is True or job["a"] == 1)
        assert ("c" in job) == (job.get("b") == 2)
    both = {"a": [1, 2], "b": [1, 2], "c": {"values": ["x"], "when": {"a": 1, "b": [2]}}}
    assert sample(both, method="grid") == [
        {"a": 1, "b": 1}, {"a": 1, "b": 2, "c": "x"}, {"a": 2, "b": 1}, {"a": 2, "b": 2}]


def test_a_grid_has_all_that_can_be_and_nothing_twice() -> None:
    assert sample({"a": [1, 2], "b": "x", "c": {"values": [[64], [64, 32]]}}, method="grid") == [
        {"a": a, "b": "x", "c": c} for a in (1, 2) for c in ([64], [64, 32])]
    grid = sample({"opt": ["adam", "sgd"], "m": {"values": [0, 0.9], "when": {"opt": "sgd"}}, "z": [1, 2]},
                  method="grid")
    assert grid == [{"opt": "adam", "z": 1}, {"opt": "adam", "z": 2}] + [
        {"opt": "sgd", "m": m, "z": z} for m in (0, 0.9) for z in (1, 2)]


@pytest.mark.parametrize("method", ["random", "halton"])
def test_no_job_is_there_twice(method: str) -> None:
    names = {"a": {"low": 1, "high": 8}, "b": ["x", "y", "z"]}
    got = sample(names, n=24, seed=4, method=method)
    assert {(job["a"], job["b"]) for job in got} == {(a, b) for a in range(1, 9) for b in "xyz"}
    with pytest.raises(ProtocolError, match="n is 25, but this space has 24 different jobs"):
        sample(names, n=25, method=method)
    rare = dict(names, b={"values": ["x", "y", "z"], "when": {"a": 1}})  # 7 + 3
    assert len(sample(rare, n=10, method="random")) == 10
    with pytest.raises(ProtocolError, match="only 10 different jobs were found in 1,044 draws"):
        sample(rare, n=11, method=method)


def test_each_is_repeated_with_seeds() -> None:
    points = sample(SPACE, n=2, seed=1)
    assert sample(SPACE, n=2, seed=1, repeat=3) == [
        dict(point, seed=seed) for point in points for seed in (1, 2, 3)]
    assert sample({"a": [1, 2]}, method="grid", repeat={"run": [7, 8]}) == [
        {"a": a, "run": run} for a in (1, 2) for run in (7, 8)]


A_RANGE = {"low": 0.0, "high": 1.0}


@pytest.mark.parametrize("names, options, told", [
    (None, {"n": 1}, "space must be a non-empty object of names, not None"),
    ({}, {"n": 1}, "not {}"),
    ([1], {"n": 1}, r"not \[1\]"),
    ({"help": 1}, {"n": 1}, "--help"),
    ({"a b": 1}, {"n": 1}, "cannot be a --flag"),
    ({1: 1}, {"n": 1}, "a name of the space must be a string, not 1"),
    ({"a": A_RANGE}, {}, "n is missing: say how many jobs are taken from the space, 1 to 1000000"),
    ({"a": [1, 2]}, {}, "1 to 1000000, or take the method grid for all combinations"),
    ({"a": A_RANGE}, {"n": 0}, "n must be a whole number from 1 to 1000000, not 0"),
    ({"a": A_RANGE}, {"n": True}, "n must be"),
    ({"a": A_RANGE}, {"n": 1, "seed": -1}, "seed must be a whole number from 0"),
    ({"a": A_RANGE}, {"n": 1, "seed": 1.5}, "seed must be"),
    ({"a": A_RANGE}, {"n": 1, "method": "model"}, "method must be one of random, halton, grid, not 'model'"),
    ({"a": A_RANGE}, {"method": "grid"}, "'a' is a range, and a grid is made of values"),
    ({"a": [1]}, {"method": "grid", "n": 1}, "n is for the methods random and halton"),
    ({"a": {"low": 1}}, {"n": 1}, "'a': high is missing: give low and high, or values"),
    ({"a": {}}, {"n": 1}, "low is missing"),
    ({"a": {"low": "1", "high": 2}}, {"n": 1}, "low must be a number from -1e300 to 1e300, not '1'"),
    ({"a": {"low": True, "high": 2}}, {"n": 1}, "low must be a number"),
    ({"a": {"low": float("nan"), "high": 2}}, {"n": 1}, "low must be a number"),
    ({"a": {"low": 0, "high": 10 ** 400}}, {"n": 1}, "high must be a number"),
    ({"a": {"low": 2, "high": 1}}, {"n": 1}, "low must be below high, not 2 and 1"),
    ({"a": {"low": 1, "high": 1}}, {"n": 1}, "one value stands alone"),
    ({"a": {"low": 0, "high": 2 ** 53}}, {"n": 1}, "whole numbers can be from"),
    ({"a": {"low": 0, "high": 1, "log": True}}, {"n": 1}, "with log, low must be above 0, not 0"),
    ({"a": {"low": 1, "high": 2, "log": "yes"}}, {"n": 1}, "log must be true or false, not 'yes'"),
    ({"a": {"lo": 1, "high": 2}}, {"n": 1}, "'lo' is unknown: did you mean low"),
    ({"a": {"lines": 3}}, {"n": 1}, "'lines' is unknown: give low and high, or values; if this object is"),
    ({"a": {"values": [1], "low": 1}}, {"n": 1}, "values and low, high or log exclude each other"),
    ({"a": {"values": 3}}, {"n": 1}, "values must be a list, not 3"),
    ({"a": []}, {"n": 1}, "the list of values is empty"),
    ({"a": [1, 2, 1.0]}, {"n": 1}, "the value 1.0 is there twice"),
    ({"a": float("inf")}, {"n": 1}, "inf cannot be written as JSON"),
    ({"a": ["\ud800"]}, {"n": 1}, "cannot be written as JSON"),
    ({"a": [object()]}, {"n": 1}, "cannot be written as JSON"),
    ({"a": [1], "b": {"values": [1], "when": {}}}, {"n": 1}, "when must be an object of other names"),
    ({"a": [1], "b": {"values": [1], "when": ["a"]}}, {"n": 1}, "when must be an object"),
    ({"opt": [1], "b": {"values": [1], "when": {"Opt": 1}}}, {"n": 1}, "'Opt' is no name of the space: did"),
    ({"a": A_RANGE, "b": {"values": [1], "when": {"a": 0.5}}}, {"n": 1}, "'a' is a range of all numbers"),
    ({"a": [1], "b": {"values": [1], "when": {"a": []}}}, {"n": 1}, "the list of 'a' is empty"),
    ({"a": [1], "b": {"values": [1], "when": {"a": [True]}}}, {"n": 1}, "True is no value of 'a'"),
    ({"a": {"low": 1, "high": 9}, "b": {"values": [1], "when": {"a": 10}}}, {"n": 1}, "10 is no value of"),
    ({"a": {"low": 1, "high": 9}, "b": {"values": [1], "when": {"a": 1.5}}}, {"n": 1}, "1.5 is no value of"),
    ({"a": {"low": 1, "high": 9}, "b": {"values": [1], "when": {"a": math.inf}}}, {"n": 1}, "inf can"),
    ({"a": {"values": [1], "when": {"a": 1}}}, {"n": 1}, "when of 'a' goes round in a circle"),
    ({"a": {"values": [1], "when": {"b": 1}}, "b": {"values": [1], "when": {"a": 1}}}, {"n": 1}, "'a', 'b' "),
    ({"seed": [1]}, {"n": 1, "repeat": 2}, "repeat: 'seed' is a name of the space already"),
    ({"a": A_RANGE}, {"n": 1, "repeat": 0}, "repeat must be a whole number from 1"),
    ({"a": A_RANGE}, {"n": 1, "repeat": {"a": 1}}, "repeat must be a whole number, or one name with its"),
    ({"a": A_RANGE}, {"n": 1, "repeat": {"s": [1, 1]}}, "repeat: 's': the value 1 is there twice"),
    ({"a": A_RANGE}, {"n": 1, "repeat": {"s": []}}, "repeat: 's': the list of values is empty"),
    ({"a": A_RANGE}, {"n": 600_000, "repeat": 2}, "that makes 1,200,000 jobs; at most 1,000,000 at once"),
    ({str(name): A_RANGE for name in range(21)}, {"n": 1_000_000}, "at most 20,000,000 values"),
    ({str(name): A_RANGE for name in range(101)}, {"n": 1, "method": "halton"}, "at most 100 names, and"),
    ({"a": "x" * 60_000, "b": A_RANGE}, {"n": 3000}, "more than 128 MiB as JSON"),
])
def test_what_is_refused(names: Any, options: Dict[str, Any], told: str) -> None:
    with pytest.raises(ProtocolError, match=told):
        sample(names, **options)


def test_a_grid_that_is_too_large_is_refused_when_it_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_JOBS_PER_BATCH", 1000)
    with pytest.raises(ProtocolError, match="more than 1,000 jobs"):
        sample({str(name): list(range(100)) for name in range(100)}, method="grid")


def test_what_is_wrong_is_said_before_the_first_job() -> None:
    with pytest.raises(ProtocolError):
        space.jobs({"space": {"a": {"low": 1}}, "n": 1})
    assert json.dumps(next(space.jobs({"space": {"a": ["ä"]}, "n": 1})))
