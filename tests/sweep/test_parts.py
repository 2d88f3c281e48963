"""Requests for many jobs in parts: equal jobs, as repeats are, are never taken for each other."""

from pathlib import PurePosixPath
from typing import Any, Dict, List

import pytest

from jd.sweep import parts


class Shop:
    """A server that creates what does not exist yet, as docs/protocol.md says of `unique`."""

    def __init__(self) -> None:
        self.jobs: List[Any] = []

    def create(self, body: Dict[str, Any]) -> List[int]:
        free = list(range(len(self.jobs)))
        ids = []
        for job in parts_of(body):
            found = next((at for at in free if self.jobs[at] == job), None)
            if found is None:
                self.jobs.append(job)
                found = len(self.jobs) - 1
            else:
                free.remove(found)
            ids.append(found)
        return ids


def parts_of(body: Dict[str, Any]) -> List[Any]:
    """The jobs of a body."""
    if "jobs" in body:
        return list(body["jobs"])
    ((name, values),) = body["parameters"].items()
    return [{name: value} for value in values]


def asked(shop: Shop, body: Dict[str, Any]) -> List[int]:
    return parts.in_order([(part, shop.create(part.body)) for part in parts.of(body)])


@pytest.mark.parametrize("size", range(1, 12))
def test_repeats_are_right_for_every_size(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(parts, "MOST_NAMED", size)
    shop = Shop()
    xs = [1, 2, 1, 3, 3, 1, 4, 5, 5, 2]
    first = asked(shop, {"jobs": [{"x": x} for x in xs]})
    assert len(set(first)) == len(xs) == len(shop.jobs)
    assert [shop.jobs[job_id]["x"] for job_id in first] == xs  # in the order in which they were asked for
    again = asked(shop, {"parameters": {"x": [*xs, 1, 6]}})
    assert len(set(again)) == len(xs) + 2 == len(shop.jobs)
    assert [shop.jobs[job_id]["x"] for job_id in again] == [*xs, 1, 6]


def test_no_part_is_larger_than_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_NAMED", 3)
    bodies = [part.body for part in parts.of({"parameters": {"x": [1, 2, 3, 4, 5, 6, 7]}, "order": "given"})]
    assert [len(body["jobs"]) for body in bodies] == [3, 3, 1] and bodies[0]["order"] == "given"
    places = [part.places for part in parts.of({"jobs": [{"x": x} for x in "abacad"]})]
    assert places == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.parametrize("one, other", [
    ({"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}), ({"a": [1, {"b": 2}]}, {"a": [1.0, {"b": 2}]}),
    ({"a": PurePosixPath("/x")}, {"a": "/x"}), ({"a": (1, 2)}, {"a": [1, 2]})])
def test_what_the_server_takes_for_the_same_is_together(monkeypatch: pytest.MonkeyPatch, one: Any,
                                                        other: Any) -> None:
    monkeypatch.setattr(parts, "MOST_NAMED", 2)
    assert [part.places for part in parts.of({"jobs": [one, {}, other]})] == [[0, 2], [1]]


@pytest.mark.parametrize("last", [1000, 0])
def test_a_grid_that_is_too_large_is_left_for_the_server_to_refuse(last: int) -> None:
    """In parts of 10,000 no request would have more jobs than are allowed, and all of them would be made."""
    body = {"parameters": {"x": list(range(1001)), "y": [*range(1000), last], "z": 1}}
    assert next(parts.of(body)) == parts.Part(body)
