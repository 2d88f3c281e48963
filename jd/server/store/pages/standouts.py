"""Values of parameters, and versions of the code, that stand out among the jobs that failed in one way.

Of all jobs of a filter that have ended or failed, some have a value and the others have not. The value stands
out for a kind of failure where

* at least LEAST of the jobs with it failed so,
* they did so TIMES as often as the others, or more often than that,
* and that is no chance: by Fisher's exact test (one-sided) it happened so with less than CHANCE to one, were
  the failures spread evenly. All values that are compared for that kind count: the probability of each is
  multiplied by their number (Bonferroni), so that one of a hundred parameters does not stand out by itself.

A number with more than FEW values is compared by ranges of tenths: all its values in order, cut into ten
parts with as many jobs each, equal values together. Of all ranges from one tenth to another the one with the
least probability is told, and of equal ones the narrowest.
"""

import json
import math
import sqlite3
from bisect import bisect_left
from collections import Counter
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from jd.server.store.pages import failures
from jd.server.store.pages.results import resultcolumns
from jd.server.store.pages.results.resultcolumns import Scalar
from jd.server.store.search import values
from jd.server.store.search.values import Key

LEAST = 3  # jobs
TIMES = 1.5
CHANCE = 0.01
FEW = 12  # numbers that are compared one by one
TENTHS = 10
MAX_KINDS = 50  # that are looked at, those that matter most first
MAX_TOLD = 5  # values of one kind
MAX_NAMES = 100
MAX_CELLS = 12_000_000  # jobs by names: what is beyond is not looked at
CODE = "code"


class Standout(NamedTuple):
    """Of `n` jobs whose parameter `name`, or `code`, is from `low` to `high`, `failed` failed so, and of
    `others` jobs `others_failed`. `chance` is the probability of that, times what was compared."""

    name: str
    is_code: bool
    low: Scalar
    high: Scalar
    n: int
    failed: int
    others: int
    others_failed: int
    chance: float


class Standouts(NamedTuple):
    """What stands out by the number of a kind, the least likely first. `jobs` were compared, by the first
    `names` of `names_total` parameters and the code."""

    jobs: int
    names: int
    names_total: int
    kinds: Dict[int, List[Standout]]


class _Bin(NamedTuple):
    """A value or a range of them, from `low` to `high`, and how many jobs have it."""

    low: Key
    high: Key
    n: int


class _Name(NamedTuple):
    """The bins of a parameter; `of` has the one of each job by id, `len(bins)` where it has no value."""

    name: str
    id: Optional[int]  # in job_values; None: the code
    is_range: bool
    bins: List[_Bin]
    of: List[int]


class _Likely(NamedTuple):
    """What may stand out; `log_chance` is the logarithm of the probability, which may be no float itself."""

    log_chance: float
    standout: Standout
    name: _Name


def take(db: sqlite3.Connection, filter_text: str, now: float) -> Standouts:
    """What stands out among the failures of a filter. Raises ProtocolError for the filter, and
    values.NotThereYet."""
    values.check_whole(db)
    found = failures.find(db, filter_text, now)
    groups = found.groups[:MAX_KINDS]
    jobs = sum(found.ended)
    known = values.names(db, values.PARAMETER)
    looked_at = known[:min(MAX_NAMES, MAX_CELLS // max(1, jobs))]
    best: Dict[int, List[_Likely]] = {group.id: [] for group in groups}
    compared: "Counter[int]" = Counter()
    for name in _names(db, looked_at, found.ended) if groups else ():
        for group in groups:
            mine = Counter(map(name.of.__getitem__, group.jobs))
            n, some = _stand_out(name, mine, len(group.jobs), jobs)
            compared[group.id] += n
            best[group.id] += some
    return Standouts(jobs, len(looked_at), len(known), {
        kind: _told(db, some, compared[kind]) for kind, some in best.items()})


def _told(db: sqlite3.Connection, some: List[_Likely], compared: int) -> List[Standout]:
    """Those that are no chance, with their values as they are written in jobs."""
    some.sort(key=lambda one: (one.log_chance, -one.standout.failed, one.standout.name))
    total = math.log(max(1, compared))
    return [_written(db, one.standout._replace(chance=math.exp(one.log_chance + total)), one.name)
            for one in some if one.log_chance + total < math.log(CHANCE)][:MAX_TOLD]


def _written(db: sqlite3.Connection, one: Standout, name: _Name) -> Standout:
    """Keys as they are in the JSON of a job: true, not 1."""
    if name.id is None or one.low != one.high:
        return one
    row = db.execute(
        "SELECT CAST(parameters AS BLOB) FROM jobs WHERE id = (SELECT job_id FROM job_values"
        " WHERE name_id = ? AND value = ? ORDER BY job_id LIMIT 1)", (name.id, one.low)).fetchone()
    try:
        raw = resultcolumns.scalar(json.loads(row[0])[name.name])
    except (TypeError, ValueError, KeyError):
        return one  # damaged
    return one._replace(low=raw, high=raw)


# ---- the values of jobs

def _names(db: sqlite3.Connection, looked_at: Sequence[str], ended: bytearray) -> Iterable[_Name]:
    for name in looked_at:
        number = values.name_id(db, values.PARAMETER, name)
        yield _binned(name, number, ended, db.execute(
            "SELECT value, job_id FROM job_values WHERE name_id = ? ORDER BY value, job_id", (number,)))
    yield _binned(CODE, None, ended, db.execute(
        "SELECT code, id FROM jobs INDEXED BY jobs_by_code WHERE code IS NOT NULL ORDER BY code, id"))


def _binned(name: str, number: Optional[int], ended: bytearray, rows: Iterable[Tuple[Key, int]]) -> _Name:
    """The values of the jobs that have ended, which come in order, in bins."""
    keys: List[Key] = []
    jobs: List[int] = []
    for key, job_id in rows:
        if job_id < len(ended) and ended[job_id]:
            keys.append(key)
            jobs.append(job_id)
    starts = [at for at in range(len(keys)) if at == 0 or keys[at] != keys[at - 1]]
    is_range = len(starts) > FEW and not isinstance(keys[-1], str)  # texts come last
    if is_range:
        wanted = [len(keys) * tenth // TENTHS for tenth in range(TENTHS)]
        starts = sorted({bisect_left(keys, keys[at]) for at in wanted})
    ends = [*starts[1:], len(keys)]
    bins = [_Bin(keys[start], keys[end - 1], end - start) for start, end in zip(starts, ends)]
    of = [len(bins)] * len(ended)
    for at, (start, end) in enumerate(zip(starts, ends)):
        for job_id in jobs[start:end]:
            of[job_id] = at
    return _Name(name, number, is_range, bins, of)


# ---- what stands out

def _stand_out(name: _Name, mine: "Counter[int]", failed: int, jobs: int) -> Tuple[int, List[_Likely]]:
    """How many values are compared, and those that stand out so far that only chance is left to look at.
    `mine` are the jobs of the kind by their bin, `failed` all of them, `jobs` all that are compared. What
    fewer than LEAST jobs have cannot stand out, and what all have can be compared with nothing."""
    if not name.is_range:
        found = [_compared(name, at, at, one, failed, jobs) for at, one in mine.items()
                 if at < len(name.bins)]
        return (sum(LEAST <= one.n < jobs for one in name.bins),
                [one for one in found if one is not None])
    last = len(name.bins)
    spans = [(start, end) for start in range(last) for end in range(start, last)]
    ranges = [_compared(name, start, end, sum(mine[at] for at in range(start, end + 1)), failed, jobs)
              for start, end in spans]
    some = [one for one in ranges if one is not None]
    return len(spans), [min(some, key=lambda one: (one.log_chance, one.standout.n))] if some else []


def _compared(name: _Name, start: int, end: int, both: int, failed: int, jobs: int) -> Optional[_Likely]:
    """The bins from one to another, if they stand out that far."""
    with_it = sum(one.n for one in name.bins[start:end + 1])
    if both < LEAST or with_it == jobs or both * (jobs - with_it) < TIMES * (failed - both) * with_it:
        return None
    return _Likely(log_chance(both, with_it, failed, jobs), Standout(
        name.name, name.id is None, name.bins[start].low, name.bins[end].high, with_it, both, jobs - with_it,
        failed - both, 1.0), name)


def log_chance(both: int, with_it: int, failed: int, jobs: int) -> float:
    """The logarithm of the probability that of `jobs`, of which `failed` fail, at least `both` are among
    those `with_it`: the upper tail of the hypergeometric distribution, which is Fisher's exact test to one
    side."""
    def ways(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    # Of the first term, to which the others are added in shares of it.
    first = ways(failed, both) + ways(jobs - failed, with_it - both) - ways(jobs, with_it)
    total, term, at = 1.0, 1.0, both
    while at < min(failed, with_it):
        term *= (failed - at) * (with_it - at) / ((at + 1) * (jobs - failed - with_it + at + 1))
        total += term
        at += 1
        if term < total * 1e-15:
            break
    return min(0.0, first + math.log(total))
