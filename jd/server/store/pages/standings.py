"""How jobs stand, for who waits for them: how many are in which status, and how many of them come back."""

import sqlite3
from bisect import bisect
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.queue import jobs
from jd.server.store.search import scanning
from jd.server.store.search.conditions import Filter, Source, Sql

Run = Tuple[int, int]  # the first and last of ids without a gap

RUNS = 2_000  # in one statement: its text stays far below what SQLite takes

_COMING_BACK = "SELECT id FROM jobs INDEXED BY jobs_retry WHERE retry_at IS NOT NULL AND status = 'ABORTED'"
_COUNT = ("WITH runs (first, last) AS (VALUES %s), statuses (word) AS (VALUES %s)"
          " SELECT word, count(*) FROM runs CROSS JOIN statuses CROSS JOIN jobs j INDEXED BY jobs_by_status"
          " WHERE j.status = word AND j.id BETWEEN first AND last GROUP BY word")
_WORDS = ", ".join("('%s')" % status for status in p.JOB_STATUSES_ALL)


class Standing(NamedTuple):
    """Jobs by status; `will_retry` of those that are ABORTED are tried again by themselves, and of `missing`
    ids there is no job."""

    by_status: Dict[str, int]
    will_retry: int
    missing: int = 0


def runs(ids: Iterable[int]) -> Tuple[Run, ...]:
    """Ids, each once, as runs in their order: usually there are few."""
    found: List[Run] = []
    for job_id in sorted(ids):
        if found and job_id == found[-1][1] + 1:
            found[-1] = (found[-1][0], job_id)
        else:
            found.append((job_id, job_id))
    return tuple(found)


def of_ids(db: sqlite3.Connection, wanted: Sequence[Run]) -> Standing:
    """How the jobs with these ids stand. Of a batch that is being written there is none yet."""
    before = jobs.creating_from(db)
    by_status = dict.fromkeys(p.JOB_STATUSES_ALL, 0)
    for start in range(0, len(wanted), RUNS):
        part = ", ".join("(%d,%d)" % (first, min(last, before - 1))
                         for first, last in wanted[start:start + RUNS])
        for status, n in db.execute(_COUNT % (part, _WORDS)):
            by_status[status] += n
    firsts = [first for first, _ in wanted]

    def is_wanted(job_id: int) -> bool:
        place = bisect(firsts, job_id) - 1
        return place >= 0 and job_id <= wanted[place][1]

    will_retry = 0
    if by_status[p.ABORTED]:
        will_retry = sum(is_wanted(job_id) for job_id, in db.execute(_COMING_BACK))
    ids = sum(last - first + 1 for first, last in wanted)
    return Standing(by_status, will_retry, ids - sum(by_status.values()))


def of_filter(db: sqlite3.Connection, wanted: Filter) -> Standing:
    """How the jobs of a filter stand."""
    by_status = _counted(db, wanted)
    will_retry = 0
    if by_status[p.ABORTED]:
        source = Source((Sql(_COMING_BACK),), "id", False)
        back = wanted._replace(statuses=(p.ABORTED,), sources=(*wanted.sources, source),
                               conditions=(*wanted.conditions, Sql("j.retry_at IS NOT NULL")))
        will_retry = sum(_counted(db, back).values())
    return Standing(by_status, will_retry)


def _counted(db: sqlite3.Connection, wanted: Filter) -> Dict[str, int]:
    total = dict.fromkeys(p.JOB_STATUSES_ALL, 0)
    after: Optional[int] = 0
    while after is not None:
        step = scanning.count(db, wanted, after)
        for status, n in step.matching.items():
            total[status] += n
        after = step.next
    return total
