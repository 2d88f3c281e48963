"""One job with everything that is known of it, for programs."""

import sqlite3
from typing import Any, Dict

from jd import protocol as p
from jd.server.store.files import files
from jd.server.store.pages import jobdetails, joblist
from jd.server.store.queue import jobs
from jd.server.store.search import values


def job(db: sqlite3.Connection, job_id: int) -> Dict[str, Any]:
    """A job as it is listed, with `results`, `attempts` and `history`, which begin with the first, and
    `uploads`, which begin with the newest. Of attempts there are the newest. Raises jobs.NoSuchJob."""
    found = joblist.select(db, joblist.JobQuery(ids=[job_id])).jobs
    if not found:
        raise jobs.NoSuchJob(job_id)
    words = values.words(db, job_id - 1, job_id).get(job_id, {})
    return dict(found[0], results=dict(values.results(db, job_id), **words),
                attempts=[_attempt(row) for row in reversed(jobdetails.attempts(db, job_id))],
                uploads=files.uploads(db, job_id), history=found[0]["message"])


def _attempt(row: Dict[str, Any]) -> Dict[str, Any]:
    """`status` is what the job was by it: SERVED while it runs."""
    told = {name: row[name] for name in ("verdict", "error", "message", "exit_code", "runtime", "worker_id",
                                         "host", "started", "ended", "code")}
    ended = p.DONE if row["verdict"] == p.VERDICT_DONE else p.ABORTED
    return dict(told, attempt=row["number"], status=p.SERVED if row["verdict"] is None else ended)
