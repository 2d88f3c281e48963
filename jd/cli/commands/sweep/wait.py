"""`jd_worker_cli expId=... wait`: until jobs are finished; its exit status tells how they have ended."""

import sys
import time
from typing import Dict, Iterator, List, Optional

from jd import protocol, terminal
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.sweep import driving
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError
from jd.sweep import jobs, waiting
from jd.sweep.errors import TookTooLong
from jd.sweep.session import Session
from jd.sweep.waiting import Question, Standing
from jd.terminal import Progress, plural

EXIT_TIMEOUT = 3
EXIT_INTERRUPTED = 130  # as shells have it of what Ctrl-C has ended
MOST_FAILED = 200  # jobs whose errors are looked at
MOST_ERRORS = 3
POLL = 5.0  # seconds between two questions to a server that does not hold them


def run(context: Context) -> int:
    """Wait, and say how the jobs have ended. Raises JdError where there are none, and as `standings` of
    jd/sweep/waiting.py."""
    context.words_exactly(0)
    try:
        return _wait(context)
    except KeyboardInterrupt:
        driving.note("the sweep goes on; the same command waits again")
        return EXIT_INTERRUPTED


def _wait(context: Context) -> int:
    session = driving.begin(context)
    question = Question(None, context.values["where"] or "")
    last: Optional[Standing] = None
    bar: List[Progress] = []
    try:
        for found in _standings(session, question, context.values["timeout"]):
            last = found
            if not found.total and not found.finished:
                continue  # they are being loaded
            if not found.total:
                raise JdError("no job matches" if question.where else "there are no jobs to wait for",
                              "submit makes some")
            if not bar:
                bar.append(Progress(found.total, "waiting"))
            bar[0].total = found.total
            bar[0].update(found.ended(question), _words(found))
    except TookTooLong as error:
        _close(bar)
        driving.note(str(error))
        return _tell(context, last, EXIT_TIMEOUT, _errors(session, question, last))
    finally:
        _close(bar)
    assert last is not None
    done = last.by_status.get(protocol.DONE, 0)
    return _tell(context, last, EXIT_OK if done == last.total else EXIT_FAILURE,
                 _errors(session, question, last))


def _standings(session: Session, question: Question, timeout: Optional[float]) -> Iterator[Standing]:
    if session.offers(protocol.EXT_DRIVE) or question.where:
        yield from waiting.standings(session, question, timeout, changes=terminal.is_terminal(sys.stderr))
        return
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        told = session.call("GET", protocol.JOB_COUNTS)
        found = _counted({status: n for status, n in told.items() if isinstance(n, int)})
        yield found
        if found.finished:
            return
        if until is not None and time.monotonic() >= until:
            raise TookTooLong("%d of %s are not finished" % (
                found.total - found.ended(question), plural(found.total, "job")))
        time.sleep(POLL if until is None else max(0.0, min(POLL, until - time.monotonic())))


def _counted(counts: Dict[str, int]) -> Standing:
    """How all jobs are, by what a server of the base tells: not which of those ABORTED come back."""
    counts.pop(protocol.DELETED, None)
    return Standing(not counts.get(protocol.PENDING) and not counts.get(protocol.SERVED), counts)


def _words(found: Standing) -> str:
    told = ["%d %s" % (n, views.plain(status)) for status, n in found.by_status.items()
            if n and status != protocol.DONE]
    if found.will_retry:
        told.append("%d tried again" % found.will_retry)
    return ", ".join(told)


def _close(bar: List[Progress]) -> None:
    while bar:
        bar.pop().__exit__()


def _errors(session: Session, question: Question, last: Optional[Standing]) -> Dict[str, int]:
    """The errors of jobs that have failed, the most frequent first, and how many of MOST_FAILED have each."""
    if last is None or not last.by_status.get(protocol.ABORTED) or not session.offers(protocol.EXT_DRIVE):
        return {}
    where = " ".join((question.where, "status=%s" % protocol.ABORTED))
    found: Dict[str, int] = {}
    try:
        for page in jobs.listed(session, where, MOST_FAILED):
            for job in page["jobs"]:
                if job.get("error"):
                    found[str(job["error"])] = found.get(str(job["error"]), 0) + 1
    except JdError as error:  # how the jobs have ended is known all the same
        driving.note("why jobs have failed cannot be told: %s" % error)
    return dict(sorted(found.items(), key=lambda one: -one[1])[:MOST_ERRORS])


def _tell(context: Context, last: Optional[Standing], status: int, errors: Dict[str, int]) -> int:
    by_status = {} if last is None else {name: n for name, n in last.by_status.items() if n}
    views.emit(context, {"finished": status != EXIT_TIMEOUT, "by_status": by_status,
                         "will_retry": 0 if last is None else last.will_retry,
                         "errors": [{"error": error, "jobs": n} for error, n in errors.items()]},
               ["%s: %s" % (plural(sum(by_status.values()), "job"), ", ".join(
                   "%d %s" % (n, views.plain(name)) for name, n in by_status.items())),
                *("  %s: %s" % (plural(n, "job"), views.plain(error)) for error, n in errors.items())])
    return status
