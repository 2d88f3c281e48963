"""What people read of a job in one line."""

import json
import math
import re
from typing import Any, Dict, List, Mapping

from jd import protocol, terminal

HEADER = ("ID", "STATUS", "TRIES", "RUNTIME", "WORKER", "TAGS", "PARAMETERS", "WHY")
NUMERIC = (0, 2, 3)
# What a line of the history says of an attempt that has ended, before it repeats its message.
_ENDED = re.compile(r"attempt [0-9]+ [^:\n]+(?=:)")
# What a line of the history says of a time that has come nearer since.
_THEN = re.compile(r", tried again in [0-9][0-9.]* ?[a-z]+( [0-9]+ ?[a-z]+)?(?=:|$)")


def cells(job: Mapping[str, Any], now: float) -> List[str]:
    """A job as a row below HEADER."""
    runtime = job.get("required_time")
    return [str(job.get("id")), str(job.get("status")), str(job.get("attempt") or 0),
            "-" if not isinstance(runtime, (int, float)) else terminal.duration(runtime),
            str(job.get("worker_id") or "-"), tags(job) or "-", parameters(job.get("parameters")),
            why(job, now)]


def tags(job: Mapping[str, Any]) -> str:
    """Its tags, as people type them."""
    return ",".join(map(str, job.get("tags") or []))


def parameters(given: object) -> str:
    """Parameters as people type them: lr=0.1 depth=2."""
    if not isinstance(given, dict):
        return ""
    return " ".join("%s=%s" % (name, value(one)) for name, one in given.items())


def value(given: object) -> str:
    """A value in a cell."""
    if isinstance(given, float) and math.isfinite(given):
        short = "%.7g" % given  # as many digits as a sample of a space has
        return repr(given) if float(short) == given else short
    return given if isinstance(given, str) else json.dumps(given)


def why(job: Mapping[str, Any], now: float) -> str:
    """Why a job is not DONE, as far as somebody has said, with the error of its latest attempt; and when it
    is tried again."""
    status = job.get("status")
    if status not in (protocol.ABORTED, protocol.PENDING):
        return ""
    told: List[str] = []
    retry_at = job.get("retry_at")
    if status == protocol.ABORTED and isinstance(retry_at, (int, float)):
        told.append("tried again in %s" % terminal.duration(retry_at - now))
    if job.get("attempt") or status == protocol.ABORTED:
        told.append(_last_reason(job))
    if status == protocol.PENDING and job.get("needs"):
        told.append("needs %s" % ", ".join(map(str, job["needs"])))
    return "; ".join(part for part in told if part)


def _last_reason(job: Mapping[str, Any]) -> str:
    history: object = job.get("message")
    if isinstance(history, list) and history:
        last: object = history[-1]
        entry: Dict[str, Any] = last if isinstance(last, dict) else {"reason": last}
        reason = str(entry.get("reason") or "")
        ended = _ENDED.match(reason)
        if job.get("error") and ended is not None:
            reason = "%s: %s" % (ended.group(), job["error"])
        return _THEN.sub("", reason)
    return history if isinstance(history, str) else ""
