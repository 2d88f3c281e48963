"""`jd_worker_cli expId=... job <job>`: one job with everything that is known of it."""

import time
from typing import Any, Dict, List, Tuple

from jd import terminal
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.showing.longtable import short
from jd.cli.sweep import driving, jobrows
from jd.errors import EXIT_OK, UsageError
from jd.protocol import DONE
from jd.sweep import looking
from jd.sweep.errors import Refused

_MOST_FILES = 50
_MOST_HISTORY = 20
_MOST_MESSAGE = 300


def run(context: Context) -> int:
    """Print it. Raises UsageError where there is no such job."""
    context.words_exactly(1)
    (job_id,) = driving.job_ids(context)
    session = driving.begin(context)
    try:
        told = looking.job(job_id)
    except Refused as error:
        if error.status == 404:
            raise UsageError("there is no job %d at %s" % (job_id, session.server_url),
                             "jobs lists those that there are") from None
        raise
    views.emit(context, told, [] if context.values["json"] else _lines(told, time.time()))
    return EXIT_OK


def _lines(job: Dict[str, Any], now: float) -> List[str]:
    lines = views.facts(_facts(job, now))
    for part in (_attempts(job, now), _uploads(job), _history(job)):
        if part:
            lines += ["", *part]
    return lines


def _facts(job: Dict[str, Any], now: float) -> List[Tuple[str, str]]:
    because = "" if job.get("status") == DONE else jobrows.why(job, now)
    runtime = job.get("required_time")
    told = [("job", str(job.get("id"))), ("status", str(job.get("status"))), ("why", because),
            ("parameters", jobrows.parameters(job.get("parameters"))),
            ("results", jobrows.parameters(job.get("results"))),
            ("runtime", terminal.duration(runtime) if isinstance(runtime, (int, float)) else ""),
            ("worker", str(job.get("worker_id") or "")), ("priority", str(job.get("priority") or "")),
            ("tags", jobrows.tags(job)), ("needs", ", ".join(map(str, job.get("needs") or []))),
            ("code", str(job.get("code") or ""))]
    return [(name, short(text)) for name, text in told if text]


def _attempts(job: Dict[str, Any], now: float) -> List[str]:
    rows = [[str(one.get("attempt")), short(one.get("verdict") or one.get("status") or "-"),
             terminal.duration(one["runtime"]) if isinstance(one.get("runtime"), (int, float)) else "-",
             "-" if one.get("exit_code") is None else str(one["exit_code"]),
             short(one.get("worker_id") or "-"), views.ago(one.get("started"), now),
             short(one.get("message") or "", _MOST_MESSAGE)]
            for one in job.get("attempts") or []]
    return _table(["ATTEMPT", "VERDICT", "RUNTIME", "EXIT", "WORKER", "STARTED", "MESSAGE"], rows, (0, 2, 3))


def _uploads(job: Dict[str, Any]) -> List[str]:
    files = job.get("uploads") or []
    lines = _table(["FILE", "VERSION", "BYTES"],
                   [[short(one.get("path") or one.get("filename")), str(one.get("version")),
                     str(one.get("size_bytes"))] for one in files[:_MOST_FILES]], (1, 2))
    return lines + (["and %d more" % (len(files) - _MOST_FILES)] if len(files) > _MOST_FILES else [])


def _history(job: Dict[str, Any]) -> List[str]:
    history = job.get("history")
    entries = history[-_MOST_HISTORY:] if isinstance(history, list) else []
    reasons = [short(one.get("reason") if isinstance(one, dict) else one, _MOST_MESSAGE) for one in entries]
    return [terminal.paint("HISTORY", "bold"), *("  " + reason for reason in reasons)] if reasons else []


def _table(header: List[str], rows: List[List[str]], numeric: Tuple[int, ...]) -> List[str]:
    if not rows:
        return []
    lines = terminal.table(header, rows, numeric)
    return [terminal.paint(lines[0], "bold"), *lines[1:]]
