"""How an attempt ends: with a result, given back by its worker, or taken away from it.

What that makes of the job (done, tried again, over) is in `transitions`. Where a function takes `reach`, it
is the user of the Hub whose attempts may be touched; None: all.
"""

import sqlite3
from typing import List, NamedTuple, Optional

from jd import messages
from jd import protocol as p
from jd.killpoint import killpoint
from jd.server.store.policy import Policy
from jd.server.store.queue import attempts, codes, errors, jobs, retry, tookdown, transitions
from jd.server.store.transaction import Ended, Transaction

# What published clients since 1.16 say when the dashboard stops them during a job, which they kill then. That
# is no failure of the script, and nobody has given the job up.
_STOPPED_THERE = "Job aborted on %s: dashboard stop command."

# Verdicts of which the history says how an attempt "did", where that is not the word itself.
_HOW = {p.VERDICT_TIMEOUT: "timed out", p.VERDICT_OOM: "ran out of memory"}

# Each ends in the same way, with another start of the attempt or without: a statement that sets that column
# writes to the indexes by it, which cost more than the rest.
_END_JOB = ("UPDATE jobs SET status = ?, failures = ?, interruptions = ?, lease_until = NULL,"
            " ends_by = NULL, retry_at = ?, completion_timestamp = ?, required_time = ?,"
            " code = coalesce(?, code), " + jobs.CHANGED + "%s WHERE id = ?")
_END_ATTEMPT = ("UPDATE attempts SET ended_at = ?, verdict = ?, message = ?, exit_code = ?, runtime = ?,"
                " took_down = ?, code_id = coalesce(?, code_id),"
                " output_size = CASE WHEN ? THEN ? ELSE output_size END,"
                " output_tail = CASE WHEN ? THEN ? ELSE output_tail END%s"
                " WHERE job_id = ? AND number = ?")


class NotServed(Exception):
    """400: a result for a job that is not being worked on, from a client without attempts."""


class Printed(NamedTuple):
    """The end of an attempt's output, and the bytes of all of it; None where its worker does not say."""

    tail: str = ""
    size: Optional[int] = None


class Span(NamedTuple):
    """When an attempt ran, Unix seconds, where that is not from its claim to now."""

    began: float
    ended: float


def finish(t: Transaction, result: messages.Result, reach: Optional[str] = None) -> Optional[messages.Retry]:
    """Record a result. Returns what becomes of a job that has failed by it.

    An identical repeat is accepted and changes nothing. Raises NoSuchJob; StaleAttempt for an
    attempt that is not the current one or has ended otherwise; NotServed for the same from a
    client that does not name its attempt; AnothersAttempt for one out of reach.
    """
    job = jobs.find(t.db, result.job_id)
    attempt = job.attempt if result.attempt is None else result.attempt
    verdict = result.settled_verdict()
    attempts.check_reach(t.db, job.id, attempt, reach)
    stopped = result.attempt is None and result.message == _STOPPED_THERE % job.worker_id
    if stopped and result.status == p.ABORTED:
        verdict = p.VERDICT_STOPPED
    if job.status == p.SERVED and attempt == job.attempt:
        code = None if result.code is None else codes.known(t, result.code)
        return _end(t, job, verdict, message=result.message, exit_code=result.exit_code,
                    runtime=result.runtime, printed=Printed(result.output_tail, result.output_size),
                    final=result.final and not _has_files(t.db, job), comes_back=stopped, code=code,
                    ran=_when(t, job, result))
    row = t.db.execute("SELECT verdict FROM attempts WHERE job_id = ? AND number = ?",
                       (job.id, attempt)).fetchone()
    if row is not None and row[0] == verdict:
        return None
    if result.attempt is None:
        raise NotServed("job %d is %s: a result is taken only while it is SERVED"
                        % (job.id, job.status))
    raise attempts.stale(job, attempt)


def _when(t: Transaction, job: jobs.Job, result: messages.Result) -> Optional[Span]:
    """When an attempt ran of which its worker says how long ago its script has ended: the one before it had
    ended by then. It is never outside of the time in which the worker had it."""
    claimed = job.request_timestamp
    if result.ended_ago is None or claimed is None:
        return None
    ended = max(claimed, t.now - result.ended_ago)
    return Span(claimed if result.runtime is None else max(claimed, ended - result.runtime), ended)


def release(t: Transaction, given: messages.Release, reach: Optional[str] = None, begun: bool = True) -> None:
    """Give an attempt back unfinished, or not even `begun`.

    Nothing happens where the attempt has ended already: there is nothing to give back. Raises
    NoSuchJob, and AnothersAttempt for one out of reach.
    """
    job = jobs.find(t.db, given.job_id)
    attempts.check_reach(t.db, job.id, given.attempt, reach)
    if job.status == p.SERVED and job.attempt == given.attempt:
        _end(t, job, p.VERDICT_PREEMPTED, message=given.reason,
             printed=Printed(given.output_tail, given.output_size), ran=None if begun else Span(t.now, t.now))


def end(t: Transaction, job_id: int, verdict: str, *, message: str = "", exit_code: Optional[int] = None,
        runtime: Optional[float] = None, printed: Printed = Printed(), final: bool = False,
        comes_back: bool = False, took_down: bool = False, begun: bool = True) -> Optional[messages.Retry]:
    """End the running attempt of a job, with what follows from that. Returns what becomes of a job that has
    failed by it.

    `final` says that a failed job is not tried again, `comes_back` that a stopped one is, `took_down` that
    its worker went with it. One that was not `begun`, as its worker was at another one, took no time.
    """
    return _end(t, jobs.find(t.db, job_id), verdict, message=message, exit_code=exit_code, runtime=runtime,
                printed=printed, final=final, comes_back=comes_back, took_down=took_down,
                ran=None if begun else Span(t.now, t.now))


def _end(t: Transaction, job: jobs.Job, verdict: str, *, message: str = "", exit_code: Optional[int] = None,
         runtime: Optional[float] = None, printed: Printed = Printed(), final: bool = False,
         comes_back: bool = False, took_down: bool = False,
         code: Optional[codes.Known] = None, ran: Optional[Span] = None) -> Optional[messages.Retry]:
    policy = t.policy if job.max_attempts is None else t.policy._replace(max_attempts=job.max_attempts)
    down = _went_down(t, job) if took_down else []
    set_aside = len(down) >= tookdown.MOST
    outcome = transitions.ending(job.status, verdict, job.failures, job.interruptions, policy, final,
                                 set_aside)
    if set_aside:
        message = "it took down %d workers: %s; %s" % (len(down), ", ".join(down), message)
    pause = t.policy.retry_pause if job.retry_pause is None else job.retry_pause
    if verdict in transitions.FAILURES:
        pause = retry.pause_after(outcome.failures, pause)
    elif comes_back and verdict == p.VERDICT_STOPPED:
        outcome = outcome._replace(comes_back=True)
    began, ended = (job.request_timestamp, t.now) if ran is None else ran
    if runtime is None and began is not None:
        runtime = max(0.0, ended - began)
    start = () if ran is None else (began,)
    t.db.execute(
        _END_JOB % (", request_timestamp = ?" if start else ""),
        (outcome.status, outcome.failures, outcome.interruptions,
         t.now + pause if outcome.comes_back else None,
         None if outcome.status == p.PENDING else ended, runtime,
         None if code is None else code.version, *start, job.id))
    jobs.moved(t, job.status, outcome.status)
    t.happened.printed = True
    told = printed.tail != "" or printed.size is not None
    t.db.execute(
        _END_ATTEMPT % (", started_at = ?" if start else ""),
        (ended, verdict, message, exit_code, runtime, took_down or None, None if code is None else code.id,
         told, printed.size, told, printed.tail, *start, job.id, job.attempt))
    if verdict in errors.FAILED:
        errors.keep(t, job.id, job.attempt)
    reason = _ending_line(job, verdict, outcome, pause, policy, set_aside)
    jobs.add_history_line(t, [job.id], "%s: %s" % (reason, message) if message else reason)
    if outcome.status == p.PENDING:
        t.happened.pending += 1
    elif not outcome.comes_back:
        t.happened.over = True
    if job.worker_id is not None:
        t.ended(Ended(job.id, job.worker_id, verdict, runtime, job.host, ended))
    killpoint("store.end.before-commit")
    if verdict not in transitions.FAILURES:
        return None
    return messages.Retry(pause if outcome.comes_back else None)


def _went_down(t: Transaction, job: jobs.Job) -> List[str]:
    """The workers that went down with a job, with the one that has it now."""
    before = tookdown.workers(t.db, job)
    return before if job.worker_id is None or job.worker_id in before else [*before, job.worker_id]


def take_away(t: Transaction, job_id: int, verdict: str, message: str) -> None:
    """End an attempt that its worker may go on with: it is told, and then kills the script.

    Of several that it holds it is taken to be at the first: the last of them is to be taken away first.
    """
    worker_id = jobs.find(t.db, job_id).worker_id
    held = [] if worker_id is None else attempts.served_to(t.db, worker_id)
    end(t, job_id, verdict, message=message, begun=held[:1] in ([], [job_id]))
    t.happened.taken_away.append(job_id)


def _has_files(db: sqlite3.Connection, job: jobs.Job) -> bool:
    """Whether the latest attempt of a job has uploaded or saved something: then it did more than refuse to
    begin."""
    return db.execute("SELECT 1 FROM files WHERE job_id = ? AND uploaded_at >= ? LIMIT 1",
                      (job.id, job.request_timestamp)).fetchone() is not None


def _ending_line(job: jobs.Job, verdict: str, outcome: transitions.Ending, pause: float,
                 policy: Policy, set_aside: bool) -> str:
    """What the job's history says of the end: how, where, how often by now, and what follows."""
    line = "attempt %d %s on %s" % (job.attempt, _HOW.get(verdict, verdict), job.worker_id)
    final = not outcome.comes_back and outcome.failures < policy.max_attempts
    if verdict in transitions.FAILURES and not final:
        line += " (failure %d of at most %d)" % (outcome.failures, policy.max_attempts)
    if outcome.comes_back:
        return "%s, tried again in %g s" % (line, pause)
    if outcome.status == p.PENDING:
        return "%s, back to the queue" % line
    if set_aside:
        return "%s, set aside and not tried again" % line
    if verdict in transitions.INTERRUPTIONS:
        return "%s (interruption %d of at most %d), not tried again" % (
            line, outcome.interruptions, policy.max_interruptions)
    return "%s, not tried again" % line if verdict in transitions.FAILURES else line
