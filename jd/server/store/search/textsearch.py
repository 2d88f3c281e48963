"""Looking for a text in the jobs, as `GET /api/jobs?search=` does: in steps, each of bounded work."""

import sqlite3
from typing import Tuple

from jd import protocol as p
from jd.server.store.queue.jobs import Query
from jd.server.store.search import conditions, scanning
from jd.server.store.search.conditions import Filter, Source, Sql


def step(db: sqlite3.Connection, query: Query, after: int) -> scanning.Matching:
    """The ids above `after` of jobs that match, among the next scanning.SCAN that may."""
    return scanning.matching(db, _wanted(query), after, scanning.SCAN)


def _wanted(query: Query) -> Filter:
    statuses = p.JOB_STATUSES_ALL if query.status is None else (query.status,)
    word = query.search or ""
    # As it is written: whoever looks for a piece of JSON finds it.
    found: Tuple[Sql, ...] = (conditions.contain(word, word),)
    sources: Tuple[Source, ...] = ()
    if query.ids is not None:
        # Whole numbers written out: there may be more than SQLite takes as bound values.
        listed = "id IN (%s)" % ",".join("%d" % job_id for job_id in query.ids)
        found += (Sql("j." + listed),)
        sources = (Source((Sql("SELECT id FROM jobs WHERE " + listed),), "id", True),)
    return Filter(statuses, found, sources)
