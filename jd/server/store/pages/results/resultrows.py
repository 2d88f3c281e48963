"""Jobs with their parameters and results, in the order of ids and as many as fit: for programs."""

import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional

from jd.server.store import jobfields
from jd.server.store.jobfields import Where
from jd.server.store.search import scanning, values
from jd.server.store.search.conditions import Filter, id_list

MAX_CHARS = 8 * 2 ** 20  # of parameters and results; jobs may have 64 KiB of parameters each

_FIELDS = jobfields.shown(Where.RESULTS)


class ResultRows(NamedTuple):
    """Some rows; the next ones follow the job `next`, None at the end."""

    rows: List[Dict[str, Any]]
    next: Optional[int]


def rows(db: sqlite3.Connection, wanted: Filter, after: int, limit: int) -> ResultRows:
    """Up to `limit` of the jobs above `after` that match. There may be fewer, even none, although `next` is
    there: then as many were looked at, or read, as one request may.

    What is NaN, Infinity or -Infinity stands as that word among the results.
    """
    matching = scanning.matching(db, wanted, after, limit)
    found: List[Dict[str, Any]] = []
    if not matching.ids:
        return ResultRows(found, matching.next)
    words = values.words(db, matching.ids[0] - 1, matching.ids[-1])
    chars = 0
    for parameters, results, *row in db.execute(
            "SELECT CAST(j.parameters AS BLOB), CAST(j.results AS BLOB), %s FROM jobs j"
            " WHERE j.id IN (%s) ORDER BY j.id" % (
                jobfields.columns(_FIELDS), id_list(matching.ids))):
        job = jobfields.values(_FIELDS, row)
        job["worker"] = job.pop("worker_id")
        job["parameters"] = jobfields.json_of(job["id"], "parameters", parameters)
        known = jobfields.json_of(job["id"], "results", results) if results else {}
        job["results"] = dict(known, **words.get(job["id"], {}))
        found.append(job)
        chars += len(parameters) + len(results or "")
        if chars > MAX_CHARS and job["id"] != matching.ids[-1]:
            return ResultRows(found, job["id"])
    return ResultRows(found, matching.next)
