"""Changing jobs: tried again, ended, put first, given other parameters."""

from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Tuple, Union

from jd import protocol
from jd.errors import ServerRefused
from jd.sweep.errors import BadType, BadValue, Refused
from jd.sweep.jobs import numbers, one_or_more, records, words
from jd.sweep.session import Session, current
from jd.sweep.source import encoded

RETRY, ABORT, PRIORITISE, TAG = "retry", "abort", "prioritise", "tag"
Ids = Iterable[Union[int, str]]
Where = Union[str, int, Ids]
Changed = Dict[str, int]

_CHANGE = "change jobs"


def retry(where: Where) -> Changed:
    """Have jobs that are DONE or ABORTED run again: those that match `where`, the filter language of the
    dashboard ("" means all), or a list of ids, or an id.

    Returns how many were `changed`, and how many `skipped` since they are in another state. Raises
    NotOffered; Refused for a filter that cannot be used, or while another large change is carried out.
    """
    return act(current("retry"), RETRY, where)


def cancel(where: Where) -> Changed:
    """End jobs that wait or run, for good: they are ABORTED, and `retry` takes them back. A script that runs
    is ended within a minute. As `retry`."""
    return act(current("cancel"), ABORT, where)


def prioritise(where: Where, n: int) -> Changed:
    """Give jobs that wait a priority, -1000 to 1000: the highest is served first, 0 is what jobs have that
    nothing was said of. As `retry`."""
    if isinstance(n, bool) or not isinstance(n, int) or abs(n) > protocol.MAX_PRIORITY:
        raise BadValue("priority %s cannot be used" % protocol.shown(n),
                       "give a whole number from %d to %d" % (-protocol.MAX_PRIORITY, protocol.MAX_PRIORITY))
    return act(current("prioritise"), PRIORITISE, where, priority=n)


def tag(where: Where, add: Union[str, Iterable[str], None] = None,
        remove: Union[str, Iterable[str], None] = None) -> Changed:
    """Give jobs tags, or take some from them: `jd.tag("lr<0.01", add="fine")`. Either is a list of words, or
    one text with commas between them. Jobs that have them so already are `skipped`. As `retry`."""
    given = {name: words(one) for name, one in (("add", add), ("remove", remove)) if one}
    if not given:
        raise BadValue("no tag is given", 'as in jd.tag("lr<0.01", add="fine")')
    return act(current("tag"), TAG, where, **given)


def edit(ids: Union[int, str, Ids], /, **parameters: Any) -> Changed:
    """Change these parameters of jobs that wait, and leave their others: `jd.edit(7, lr=0.1)`.

    Returns how many were `changed`, and how many `skipped` since they do not wait any more or do not exist.
    """
    if not parameters:
        raise BadValue("no parameter is given", "as in jd.edit(7, lr=0.1)")
    session = current("edit")
    wanted = numbers([ids]) if isinstance(ids, str) else one_or_more(ids)
    session.want(protocol.EXT_DRIVE, _CHANGE)
    changed = 0
    for job_id, job in records(session, wanted).items():
        if job["status"] != protocol.PENDING:
            continue
        body = encoded({"parameters": {**job["parameters"], **parameters}})
        try:
            session.call("POST", "%s/%d/parameters" % (protocol.LIST_JOBS, job_id), body)
        except ServerRefused as error:
            if error.status not in (404, 409):  # it was claimed, or deleted, meanwhile
                raise Refused(error.status, "job %d: %s" % (job_id, error.what), error.advice) from None
        else:
            changed += 1
    return {"changed": changed, "skipped": len(wanted) - changed}


def act(session: Session, action: str, where: Where, **more: Any) -> Changed:
    """Have the server do something to jobs. Raises as `retry`."""
    session.want(protocol.EXT_DRIVE, _CHANGE)
    total = {"changed": 0, "skipped": 0}
    for about, value in _parts(where):
        answer = session.call("POST", protocol.ACT_ON_JOBS, {"action": action, about: value, **more})
        for name in total:
            total[name] += int(answer.get(name) or 0)
    return total


class Preview(NamedTuple):
    """What `act` would find: jobs by status, and how many of them it would change."""

    by_status: Dict[str, int]
    eligible: int


def preview(session: Session, action: str, where: Where) -> Preview:
    """What `act` would do. Raises as it does."""
    session.want(protocol.EXT_DRIVE, _CHANGE)
    by_status: Dict[str, int] = {}
    eligible = 0
    for about, value in _parts(where):
        answer = session.call("POST", protocol.ACT_ON_JOBS, {"action": action, about: value, "preview": True})
        eligible += int(answer.get("eligible") or 0)
        for status, n in (answer.get("by_status") or {}).items():
            by_status[status] = by_status.get(status, 0) + int(n)
    return Preview(by_status, eligible)


# ---- how

def _parts(where: Where) -> Iterator[Tuple[str, Any]]:
    """Which jobs, as requests say it."""
    if isinstance(where, str):
        yield "where", where
        return
    if where is None:
        raise BadType("where is None", 'give a filter, ids, or "" for all jobs')
    ids: List[int] = one_or_more(where)
    for start in range(0, len(ids), protocol.MAX_DRIVEN_IDS):
        yield "ids", ids[start:start + protocol.MAX_DRIVEN_IDS]
