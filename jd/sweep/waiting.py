"""Waiting for jobs: by one question that the server holds, where it offers that, else by asking again and
again.

A job is finished when it has the status that is waited for; where that is DONE also when it is ABORTED for
good. One that the server will try again is not.
"""

import time
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Union

from jd import protocol, terminal
from jd.errors import ServerUnreachable
from jd.sweep.errors import BadValue, NeverFinished, TookTooLong, Unreachable
from jd.sweep.jobs import Job, numbers, records, statuses
from jd.sweep.session import PATIENCE, Session, current, say

MOST_IDS = protocol.MAX_DRIVEN_IDS  # of one question
OUTAGE = 600.0  # seconds that a server may be away meanwhile
_SHOWN = 10  # ids in a message


class Question(NamedTuple):
    """What is waited for: these jobs, or else those of a filter."""

    ids: Optional[Sequence[int]]
    where: str = ""
    status: str = protocol.DONE
    include_aborted: bool = True

    @property
    def takes_aborted(self) -> bool:
        """Whether a job that is ABORTED for good is finished."""
        return self.status == protocol.ABORTED or self.status == protocol.DONE and self.include_aborted


class Standing(NamedTuple):
    """How far the jobs of a question are. `will_retry` are those ABORTED that come back, `missing` ids that
    no job has, `eta` seconds until all are finished, where somebody can tell."""

    finished: bool
    by_status: Dict[str, int]
    will_retry: int = 0
    missing: int = 0
    eta: Optional[float] = None
    cursor: Optional[str] = None  # another one when the jobs stand otherwise

    @property
    def total(self) -> int:
        """How many jobs it is about."""
        return sum(self.by_status.values()) + self.missing

    def ended(self, question: Question) -> int:
        """How many of them are finished; those that are DELETED are only where that is waited for."""
        ended = self.by_status.get(question.status, 0)
        if question.takes_aborted:
            if question.status != protocol.ABORTED:
                ended += self.by_status.get(protocol.ABORTED, 0)
            ended -= self.will_retry
        return ended


def wait_for_jobs(job_ids: Iterable[Union[int, str]], *, status: str = protocol.DONE,
                  timeout: Optional[float] = None, poll_interval: float = 30.0,
                  include_aborted: bool = True) -> Dict[int, Job]:
    """Return when all of these jobs are finished: the jobs by id, as `list_jobs` has them.

    Finished is a job with `status`, and where that is DONE, with `include_aborted`, also one that is ABORTED
    and will not be tried again. `timeout` is in seconds. A server that can holds the question and answers
    within a second of the fact; another is asked each `poll_interval` seconds, at least 1, and does not tell
    whether an ABORTED job comes back, so that such a job counts as finished.

    Raises TookTooLong (a TimeoutError); NeverFinished where a job does not exist, or all others are finished
    and it is DELETED; Unreachable where the server is away for 10 minutes. Ctrl-C ends the waiting and no
    job.
    """
    session, ids = current("wait_for_jobs"), numbers(job_ids)
    question = Question(ids, status=status.strip().upper(), include_aborted=include_aborted)
    if question.status not in protocol.JOB_STATUSES_ALL:
        raise BadValue("status=%s is no status of jobs" % protocol.shown(status),
                       "give one of %s" % ", ".join(protocol.JOB_STATUSES_ALL))
    last: Optional[Standing] = None
    try:
        for found in standings(session, question, timeout, poll_interval):
            last = found
    except KeyboardInterrupt:
        say("%sthe sweep goes on; %s waits for it again" % (
            "" if last is None else "%d of %d jobs are finished, " % (last.ended(question), last.total),
            "jd.wait_for_jobs(%s)" % as_typed(ids)))
        raise KeyboardInterrupt from None  # a long traceback of the waiting would hide the line
    return records(session, ids, protocol.DELETED if question.status == protocol.DELETED else None)


def standings(session: Session, question: Question, timeout: Optional[float] = None,
              poll_interval: float = 30.0, changes: bool = False,
              hold: float = protocol.MAX_HELD) -> Iterator[Standing]:
    """How far the jobs are, again and again until all are finished: the last one says so.

    With `changes` a server that holds the question answers also when the jobs stand otherwise than before,
    once a second at most; it answers every `hold` seconds in any case. Raises as `wait_for_jobs`;
    NotOffered for a filter where the server does not know them.
    """
    until = None if timeout is None else time.monotonic() + max(0.0, timeout)
    if question.ids is None:
        session.want(protocol.EXT_DRIVE, "wait for the jobs of a filter")
        yield from _held(session, question, until, changes, hold)
        return
    before: Dict[str, int] = {}
    for start in range(0, len(question.ids), MOST_IDS):
        # One part after the other: all are finished when the last one is.
        part = question._replace(ids=question.ids[start:start + MOST_IDS])
        looks = (_held(session, part, until, changes, hold) if _holds(session, until)
                 else _polled(session, part, until, poll_interval))
        both: Dict[str, int] = {}
        for found in looks:
            both = {name: before.get(name, 0) + found.by_status.get(name, 0)
                    for name in {**before, **found.by_status}}
            yield found._replace(finished=found.finished and start + MOST_IDS >= len(question.ids),
                                 by_status=both)
        before = both


# ---- how

def _held(session: Session, question: Question, until: Optional[float], changes: bool,
          hold: float) -> Iterator[Standing]:
    body: Dict[str, Any] = {"status": question.status, "include_aborted": question.include_aborted}
    if question.ids is None:
        body["where"] = question.where
    else:
        body["ids"] = list(question.ids)
    wait = 0.0  # the first answer comes at once, and tells of jobs that do not exist
    while True:
        asked_at = time.monotonic()
        found = _standing(_asked(session, dict(body, wait=wait), until))
        yield found
        _check(session, question, found, until)
        if found.finished:
            return
        if changes:
            body["changes_after"] = found.cursor
        if wait:  # jobs that change all the time, or a server that is about to stop, must not keep us busy
            time.sleep(max(0.0, _left(until, 1.0) - (time.monotonic() - asked_at)))
        wait = _left(until, hold)


def _left(until: Optional[float], most: float) -> float:
    """The seconds until then, `most` where that is later."""
    return most if until is None else max(0.0, min(most, until - time.monotonic()))


def _holds(session: Session, until: Optional[float]) -> bool:
    """Whether the server holds the question. One that is away is asked no longer than the time allows."""
    try:
        return session.offers(protocol.EXT_DRIVE, _left(until, PATIENCE))
    except ServerUnreachable as error:
        _tell_if_late(error, until)
        raise


def _tell_if_late(error: ServerUnreachable, until: Optional[float]) -> None:
    """Raises TookTooLong where the time is over, or nearly."""
    if until is not None and time.monotonic() >= until - 10.0:
        raise TookTooLong("the jobs were not finished in time, and the server was away: %s" % error.what,
                          error.advice) from error


def _asked(session: Session, body: Dict[str, Any], until: Optional[float]) -> Dict[str, Any]:
    def waits(error: Exception) -> None:
        say("%s; trying again for %s" % (error, terminal.duration(patience)))

    patience = _left(until, OUTAGE)
    try:
        answer = session.tried(lambda client: client.call("POST", protocol.WAIT_FOR_JOBS, body),
                               True, patience, waits)
    except ServerUnreachable as error:
        _tell_if_late(error, until)
        raise
    if not isinstance(answer, dict):
        raise Unreachable("%s answered %s" % (session.server_url, protocol.shown(answer)))
    return answer


def _standing(answer: Dict[str, Any]) -> Standing:
    by_status, eta = answer.get("by_status"), answer.get("eta")
    return Standing(answer.get("finished") is True, by_status if isinstance(by_status, dict) else {},
                    int(answer.get("will_retry") or 0), int(answer.get("missing") or 0),
                    float(eta) if isinstance(eta, (int, float)) else None, answer.get("cursor"))


def _polled(session: Session, question: Question, until: Optional[float],
            poll_interval: float) -> Iterator[Standing]:
    ids = list(question.ids or ())
    open_ids = ids
    ended: Dict[str, int] = {}
    while True:
        told = statuses(session, open_ids)
        by_status = dict(ended)
        for status in told.values():
            by_status[status] = by_status.get(status, 0) + 1
        left = []
        for job_id in open_ids:
            status = told.get(job_id, "")
            if status == question.status or status == protocol.ABORTED and question.takes_aborted:
                ended[status] = ended.get(status, 0) + 1
            else:
                left.append(job_id)
        found = Standing(not left, by_status, missing=len(open_ids) - len(told))
        open_ids = left
        yield found
        _check(session, question, found, until)
        if found.finished:
            return
        time.sleep(_left(until, max(1.0, poll_interval)))


def _check(session: Session, question: Question, found: Standing, until: Optional[float]) -> None:
    """Raises where jobs can never be finished, or the time is over before they are."""
    if question.ids is not None:
        if found.missing:
            raise NeverFinished("some do not exist at %s: %s" % (
                session.server_url, _named(session, question, [""])))
        deleted = 0 if question.status == protocol.DELETED else found.by_status.get(protocol.DELETED, 0)
        if deleted and found.ended(question) + deleted == found.total:
            raise NeverFinished("all others are finished, and some are DELETED: %s"
                                % _named(session, question, [protocol.DELETED]),
                                "restore it on the dashboard, or leave it out")
    if until is not None and time.monotonic() >= until and not found.finished:
        others = [status for status in protocol.JOB_STATUSES_ALL
                  if status != question.status and (status != protocol.ABORTED or not question.takes_aborted
                                                    or found.will_retry)]
        raise TookTooLong("%d of %d jobs are not finished%s" % (
            found.total - found.ended(question), found.total,
            "" if question.ids is None else ": " + _named(session, question, others)))


def _named(session: Session, question: Question, wanted: Sequence[str]) -> str:
    """The first of the jobs that have one of these statuses; the empty one is that of no job."""
    named: List[str] = []
    ids = list(question.ids or ())
    for start in range(0, len(ids), 500):
        told = statuses(session, ids[start:start + 500])
        named += [str(job_id) for job_id in ids[start:start + 500] if told.get(job_id, "") in wanted]
        if len(named) > _SHOWN:
            return "jobs %s, …" % ", ".join(named[:_SHOWN])
    return "job%s %s" % ("" if len(named) == 1 else "s", ", ".join(named))


def as_typed(ids: Sequence[int]) -> str:
    """Ids as somebody types them."""
    if len(ids) > 2 and list(ids) == list(range(ids[0], ids[0] + len(ids))):
        return "range(%d, %d)" % (ids[0], ids[0] + len(ids))
    return str(list(ids)) if len(ids) <= 20 else "the same ids"
