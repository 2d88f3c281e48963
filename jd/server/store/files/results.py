"""Results of jobs: the numbers of their `result.json` and `metrics.json`, as they are uploaded, and of what
they report.

A job has one set of results: what the newest upload of each of the two names holds, and where both
have a number of one name, that of the later upload; then what it reported (see `reports.columns`) under names
that the files do not have. Results stay when a job is tried again, until the new attempt uploads or reports
its own; a job that begins from scratch has none until then.
"""

import json
from typing import Dict, Mapping, Sequence

from jd.server.store.files.resultfile import MAX_NUMBERS, Numbers, Result, finite
from jd.server.store.queue import jobs
from jd.server.store.search import values
from jd.server.store.transaction import Transaction

_REPORTED = "reported"  # in `result_files`, where no file can be called so


def take(t: Transaction, job_id: int, file_name: str, found: Numbers) -> None:
    """Keep what was found in an upload; a remark goes into the job's history, once for each attempt.

    A file without numbers leaves what the file before it brought.
    """
    if found.remark:
        tell(t, job_id, "%s %s: %s" % (
            file_name, "is not taken as a result" if found.numbers is None else "is taken in part",
            found.remark))
    if found.numbers is not None:
        _keep(t, job_id, file_name, found.numbers)


def take_reported(t: Transaction, job_id: int, found: Mapping[str, Result]) -> None:
    """These are the numbers that a job has reported."""
    _keep(t, job_id, _REPORTED, found)


def _keep(t: Transaction, job_id: int, source: str, found: Mapping[str, Result]) -> None:
    t.db.execute("DELETE FROM result_files WHERE job_id = ? AND name = ?", (job_id, source))
    t.db.execute("INSERT INTO result_files (job_id, name, numbers) VALUES (?, ?, ?)",
                 (job_id, source, json.dumps(found, ensure_ascii=False)))
    merged: Dict[str, Result] = {}
    for name, text in t.db.execute("SELECT name, numbers FROM result_files WHERE job_id = ?"
                                   " ORDER BY name = ?, id DESC", (job_id, _REPORTED)).fetchall():
        for called, number in json.loads(text).items():
            if len(merged) < MAX_NUMBERS or name == _REPORTED:
                merged.setdefault(called, number)
    numbers = finite(merged)
    values.set_results(t, job_id, numbers, {
        name: str(value) for name, value in merged.items() if name not in numbers})


def tell(t: Transaction, job_id: int, line: str) -> None:
    """Say in a job's history what is left out, once for each attempt: some scripts upload a file after each
    epoch."""
    told = t.db.execute("SELECT 1 FROM job_history h JOIN jobs j ON j.id = h.job_id WHERE h.job_id = ?"
                        " AND h.reason = ? AND h.timestamp >= coalesce(j.request_timestamp, 0) LIMIT 1",
                        (job_id, line)).fetchone()
    if told is None:
        jobs.add_history_line(t, [job_id], line)


def forget(t: Transaction, ids: Sequence[int]) -> None:
    """These jobs have no results any more; the files that had them stay."""
    for job_id in ids:
        if t.db.execute("DELETE FROM result_files WHERE job_id = ?", (job_id,)).rowcount:
            values.set_results(t, job_id, {})
