"""A request to create jobs in as many as it takes for the server to tell all ids.

Of each request the server looks how many of its jobs exist, and creates the rest. So equal jobs, as repeats
are, stand in one request: in two, the second would take those of the first for its own.
"""

import os
from itertools import islice, product
from typing import (
    Any,
    Dict,
    Hashable,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from jd.protocol import MAX_JOBS_PER_BATCH

MOST_NAMED = 10_000  # jobs of one request whose ids a server tells, where some of them exist already


class Part(NamedTuple):
    """A request for some of the jobs, and where these stand among all of them; None: they follow those of the
    part before."""

    body: Dict[str, Any]
    places: Optional[Sequence[int]] = None


def of(body: Mapping[str, Any]) -> Iterator[Part]:
    """The parts of a request, none with more than MOST_NAMED jobs, unless so many are equal. A grid of more
    jobs than are allowed stays whole, for the server to refuse: in parts each of them would be made."""
    jobs: Iterable[Any] = body.get("jobs") or ()
    count = len(body.get("jobs") or ())
    distinct = False
    grid = body.get("parameters")
    if isinstance(grid, Mapping):
        values = [value if isinstance(value, list) else [value] for value in grid.values()]
        count = 1
        for choices in values:
            count *= len(choices)
        if count > MAX_JOBS_PER_BATCH:
            yield Part(dict(body))
            return
        jobs = (dict(zip(grid, chosen)) for chosen in product(*values))
        distinct = all(len(set(map(_key, choices))) == len(choices) for choices in values)
    if count <= MOST_NAMED:
        yield Part(dict(body))
        return
    rest = {name: value for name, value in body.items() if name not in ("jobs", "parameters")}
    if not distinct:
        jobs = list(jobs)
        groups = _equal(jobs)
        if len(groups) < len(jobs):
            for places in _together(groups):
                yield Part(dict(rest, jobs=[jobs[place] for place in places]), places)
            return
    left = iter(jobs)
    while True:
        part = list(islice(left, MOST_NAMED))
        if not part:
            return
        yield Part(dict(rest, jobs=part))


def in_order(told: Iterable[Tuple[Part, Sequence[int]]]) -> List[int]:
    """The ids that were told of parts, in the order of the jobs that were asked for."""
    ids: List[int] = []
    placed: Dict[int, int] = {}
    for part, found in told:
        if part.places is None:
            ids += found
        else:
            placed.update(zip(part.places, found))
    return ids + [placed[place] for place in sorted(placed)]


# ---- how

def _equal(jobs: Sequence[Any]) -> List[List[int]]:
    """The places of equal jobs together, in the order in which they come first."""
    groups: Dict[int, List[int]] = {}
    for place, job in enumerate(jobs):
        groups.setdefault(hash(_key(job)), []).append(place)
    return list(groups.values())


def _together(groups: Iterable[List[int]]) -> Iterator[List[int]]:
    places: List[int] = []
    for group in groups:
        if places and len(places) + len(group) > MOST_NAMED:
            yield places
            places = []
        places += group
    if places:
        yield places


def _key(value: Any) -> Hashable:
    """The same for what the server takes for the same: names in any order, numbers by value. That it is also
    the same for a few other values, as for 1 and true, does no harm here."""
    if isinstance(value, Mapping):
        return frozenset((name, _key(one)) for name, one in value.items())
    if callable(getattr(value, "tolist", None)):
        value = value.tolist()
    if isinstance(value, (list, tuple, range)):
        return tuple(map(_key, value))
    plain: Hashable = os.fspath(value) if isinstance(value, os.PathLike) else value
    return plain
