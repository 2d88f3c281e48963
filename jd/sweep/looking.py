"""Looking at one job, at what it has printed and reported, and at what changes."""

import math
from typing import Any, Dict, Iterator, List, Optional, Union

from jd import protocol
from jd.sweep.errors import Refused, Unreachable
from jd.sweep.files import list_job_uploads
from jd.sweep.jobs import numbers, records
from jd.sweep.session import Session, current

_PIECE = 1024 * 1024  # bytes of output in one answer, the most there may be
_OUTAGE = 600.0  # seconds that a server may be away while changes are watched


def job(job_id: Union[int, str]) -> Dict[str, Any]:
    """All about a job: as `list_jobs` has it, with `results`, `attempts` (newest last, each with `verdict`,
    `message`, `runtime`, `worker_id`, `code` …), `uploads` and `history`.

    A server without the extension `drive` does not tell results and attempts: they are missing then. Raises
    Refused where there is no such job.
    """
    session, number = current("job"), numbers([job_id])[0]
    if session.offers(protocol.EXT_DRIVE):
        return session.call("GET", "%s/%d" % (protocol.LIST_JOBS, number))
    found = records(session, [number]).get(number)
    if found is None:
        raise Refused(404, "there is no job %d" % number)
    return dict(found, uploads=list_job_uploads(number), history=found.get("message") or [])


def output(job_id: Union[int, str], attempt: Optional[int] = None) -> str:
    """What a job has printed, until now: in its latest attempt, or in this one. Of a very long output the
    middle is not kept, and a line in it says so.

    Raises NotOffered; Refused where there is no such job or attempt.
    """
    session, number = current("output"), numbers([job_id])[0]
    session.want(protocol.EXT_LOG, "keep what jobs print")
    pieces = []
    query: Dict[str, object] = {"attempt": attempt, "offset": 0, "limit": _PIECE}
    while True:
        told = session.call("GET", "%s/%d/output" % (protocol.LIST_JOBS, number), query=query)
        if told.get("left_out"):
            pieces.append("\n[… %d bytes are left out …]\n" % told["left_out"])
        pieces.append(str(told.get("output") or ""))
        end = int(told.get("next") or 0)
        if end <= int(str(query["offset"])) or end >= int(told.get("size") or 0):
            return "".join(pieces)
        # A job that is tried again meanwhile does not mix two attempts.
        query = dict(query, offset=end, attempt=told.get("attempt"))


def reports(job_id: Union[int, str], metric: Optional[str] = None,
            attempt: Optional[int] = None) -> Dict[str, Dict[str, List[float]]]:
    """What a job has reported, until now: in its latest attempt that has reported something, or in this one.

    Of each metric, or of this one, `{"step": [...], "time": [...], "value": [...]}` in the order in which it
    was reported: three lists of equal length, times in seconds since the start of the script. Infinities are
    NaN too. Of a very long curve the server has thinned out what is between its extremes.

    Raises NotOffered; Refused where there is no such job.
    """
    session, number = current("reports"), numbers([job_id])[0]
    session.want(protocol.EXT_REPORT, "keep what scripts report")
    told = session.call("GET", "%s/%d/reports" % (protocol.LIST_JOBS, number),
                        query={"attempt": attempt, "metric": metric})
    return {str(one["name"]): {"step": one["step"], "time": one["time"],
                               "value": [math.nan if value is None else value for value in one["value"]]}
            for one in told.get("metrics") or []}


def watch() -> Iterator[Dict[str, Any]]:
    """What changes from now on, as it happens, without an end: a job that is new or has changed as a
    dictionary with `id`, `status`, `attempt`, `worker`, `verdict`, `runtime`, `code`, `started`, `finished`
    and `retry_at`, each as it is now. Leave it with `break`.

    Raises NotOffered; Unreachable where the server is away for 10 minutes.
    """
    session = current("watch")
    session.want(protocol.EXT_DRIVE, "tell of changes")
    return _changes(session, str(_asked(session, None, 0)["cursor"]))


# ---- how

def _changes(session: Session, cursor: str) -> Iterator[Dict[str, Any]]:
    while True:
        answer = _asked(session, cursor, int(protocol.MAX_HELD))
        cursor = str(answer["cursor"])
        yield from answer["changes"]


def _asked(session: Session, cursor: Optional[str], wait: int) -> Dict[str, Any]:
    answer = session.call("GET", protocol.CHANGES, query={"after": cursor, "wait": wait}, patience=_OUTAGE)
    if not isinstance(answer.get("changes"), list) or not answer.get("cursor"):
        raise Unreachable("%s answered without changes" % session.server_url)
    return answer
