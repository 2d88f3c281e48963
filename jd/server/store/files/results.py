"""Results of jobs: the numbers of their `result.json` and `metrics.json`, as they are uploaded.

A job has one set of results: what the newest upload of each of the two names holds, and where both
have a number of one name, that of the later upload. Results stay when a job is tried again, until the
new attempt uploads its own; a job that begins from scratch has none until then.
"""

import json
from typing import Dict, Sequence

from jd.server.store.files.resultfile import MAX_NUMBERS, Numbers, Result, finite
from jd.server.store.queue import jobs
from jd.server.store.search import values
from jd.server.store.transaction import Transaction


def take(t: Transaction, job_id: int, file_name: str, found: Numbers) -> None:
    """Keep what was found in an upload; a remark goes into the job's history, once for each attempt.

    A file without numbers leaves what the file before it brought.
    """
    if found.remark:
        _tell(t, job_id, "%s %s: %s" % (
            file_name, "is not taken as a result" if found.numbers is None else "is taken in part",
            found.remark))
    if found.numbers is None:
        return
    t.db.execute("DELETE FROM result_files WHERE job_id = ? AND name = ?", (job_id, file_name))
    t.db.execute("INSERT INTO result_files (job_id, name, numbers) VALUES (?, ?, ?)",
                 (job_id, file_name, json.dumps(found.numbers, ensure_ascii=False)))
    merged: Dict[str, Result] = {}
    for (text,) in t.db.execute("SELECT numbers FROM result_files WHERE job_id = ? ORDER BY id DESC",
                                (job_id,)).fetchall():
        for name, number in json.loads(text).items():
            if len(merged) < MAX_NUMBERS:
                merged.setdefault(name, number)
    numbers = finite(merged)
    values.set_results(t, job_id, numbers, {
        name: str(value) for name, value in merged.items() if name not in numbers})


def _tell(t: Transaction, job_id: int, line: str) -> None:
    """Some scripts upload a file after each epoch: the same is told once."""
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
