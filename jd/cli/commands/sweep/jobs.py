"""`jd_worker_cli expId=... jobs`: jobs by id, with why they failed and when they are tried again."""

import json
import time
from typing import Optional

from jd.cli.context import Context
from jd.cli.showing.longtable import LongTable
from jd.cli.sweep import driving, jobrows
from jd.errors import EXIT_OK
from jd.sweep import jobs
from jd.sweep.session import Session
from jd.terminal import plural


def run(context: Context) -> int:
    """Print the jobs of a filter page by page. Raises as `listed` of jd/sweep/jobs.py."""
    context.words_exactly(0)
    session, where = driving.begin(context), str(context.values["where"] or "")
    most: Optional[int] = context.values["lines"]
    if context.values["json"]:
        _print_json(session, where, most if "lines" in context.arguments else None)
        return EXIT_OK
    table = LongTable(jobrows.HEADER, jobrows.NUMERIC)
    total = shown = 0
    for answer in jobs.listed(session, where, most):
        total = total or int(answer.get("total_count") or 0)
        shown += len(answer["jobs"])
        if answer["jobs"]:
            now = time.time()
            table.add([jobrows.cells(job, now) for job in answer["jobs"]])
    if not total:
        driving.note("no job matches" if where else "there are no jobs yet: submit makes some")
    elif shown < total:
        driving.note("%d of %s; lines=%d shows all" % (shown, plural(total, "job"), total))
    return EXIT_OK


def _print_json(session: Session, where: str, most: Optional[int]) -> None:
    """One document, written as the pages come."""
    written, total = 0, 0
    print('{"jobs": [', end="")
    for answer in jobs.listed(session, where, most):
        total = total or int(answer.get("total_count") or 0)
        for job in answer["jobs"]:
            print((", " if written else "") + json.dumps(job), end="")
            written += 1
    print('], "total_count": %d}' % total)
