"""Looking for jobs by a text or a filter, in any order: a page of them, and how many there are.

It may take a while with a million jobs: others are answered between the steps.
"""

import asyncio
import sqlite3
from functools import partial
from typing import Callable, List, Optional, Tuple, TypeVar

from jd import protocol as p
from jd.server.experiment import Experiment
from jd.server.store.pages import joblist, jobtable
from jd.server.store.pages.joblist import JobPage, JobQuery
from jd.storage.reading import TookTooLong

T = TypeVar("T")

SECONDS = 30.0  # for a text among all jobs; published clients wait 120
STEP = 10_000  # jobs that are put in order in one step


class _Steps:
    """The readings that find the jobs of one query."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + SECONDS

    async def read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """One of them. Raises TookTooLong."""
        if self._loop.time() > self._until:
            raise TookTooLong(SECONDS)
        return await self._experiment.read(look)


async def find(experiment: Experiment, query: JobQuery) -> JobPage:
    """The page of a query, and how many jobs match. Raises TookTooLong, and ProtocolError for its filter or
    its order."""
    steps, now = _Steps(experiment), experiment.clock()
    found = await (_by_id if query.sort == jobtable.BY_ID.text else _sorted)(steps, query, now)
    ids, total = found
    page = await experiment.read(
        lambda db: joblist.select(db, JobQuery(ids=ids, per_page=p.MAX_PER_PAGE)))
    by_id = {job["id"]: job for job in page.jobs}
    return JobPage([by_id[job_id] for job_id in ids if job_id in by_id], total)


async def _by_id(steps: _Steps, query: JobQuery, now: float) -> Tuple[List[int], int]:
    """The ids of a page in the order of ids, and how many jobs match."""
    first = (query.page - 1) * query.per_page
    ids: List[int] = []
    total = 0
    after: Optional[int] = 0
    while after is not None:
        found = await steps.read(partial(joblist.search, query=query, now=now, after=after))
        ids += found.ids[max(0, first - total):max(0, first + query.per_page - total)]
        total, after = total + len(found.ids), found.next
    return ids, total


async def _sorted(steps: _Steps, query: JobQuery, now: float) -> Tuple[List[int], int]:
    """The same in another order, which is that of an index: jobs before the page are stepped over."""
    first, end = (query.page - 1) * query.per_page, query.page * query.per_page
    ids: List[int] = []
    passed = 0
    after: Optional[jobtable.Cursor] = None
    while passed < end:
        found = await steps.read(partial(joblist.in_order, query=query, now=now, after=after,
                                         limit=min(STEP, end - passed)))
        ids += [place[1] for place in found.places[max(0, first - passed):]]
        passed += len(found.places)
        if found.resume is None:
            break
        after = jobtable.Cursor(*found.resume)
    return ids, await _count(steps, query, now)


async def _count(steps: _Steps, query: JobQuery, now: float) -> int:
    total = 0
    after: Optional[int] = 0
    while after is not None:
        found = await steps.read(partial(joblist.count, query=query, now=now, after=after))
        total, after = total + sum(found.matching.values()), found.next
    return total
