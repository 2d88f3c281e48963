"""Workers: what they say of themselves, what they are told, when they were last heard of.

A command (pause, drain, stop, run) raises `desired_version`; it is pending until the worker sends
that version back as `applied_version`. Functions are operations for Database.write or .read.
"""

import json
import sqlite3
from typing import Any, NamedTuple, Optional, Tuple

from jd import protocol as p
from jd.server.store import jobs
from jd.server.store.transitions import Policy

# A worker heard of within this time is taken to be alive: one held heartbeat and some room.
SESSION_LIVE = p.IDLE_INTERVAL + 20.0
# Three idle heartbeats missed: the worker is gone.
SILENCE = 3 * p.IDLE_INTERVAL + 60.0


class NameTaken(Exception):
    """409: another live process uses this worker_id."""


class Outcome(NamedTuple):
    """What a heartbeat led to."""

    reply: p.HeartbeatReply
    may_wait: bool  # nothing to tell: the answer may be held back until there is
    freed: int  # jobs that became PENDING by it


class _Worker(NamedTuple):
    session: Optional[str]
    desired_state: str
    desired_version: int
    applied_version: int
    last_seen: float
    left_at: Optional[float]


def _worker(db: sqlite3.Connection, worker_id: str) -> Optional[_Worker]:
    row = db.execute("SELECT session, desired_state, desired_version, applied_version, last_seen,"
                     " left_at FROM workers WHERE worker_id = ?", (worker_id,)).fetchone()
    return None if row is None else _Worker(*row)


def note(db: sqlite3.Connection, worker_id: str, event: str, source: str, now: float) -> None:
    """Add a line to a worker's history."""
    db.execute("INSERT INTO worker_history (worker_id, timestamp, event, source)"
               " VALUES (?, ?, ?, ?)", (worker_id, now, event, source))


def heartbeat(db: sqlite3.Connection, beat: p.Heartbeat, now: float, policy: Policy) -> Outcome:
    """Take in a heartbeat and answer it; a job may be claimed by that.

    Raises NameTaken, and for what it carries jobs.NoSuchJob, NotServed, StaleAttempt; then
    nothing of it has happened.
    """
    _admit(db, beat, now)
    freed = 0
    if beat.finished is not None:
        freed += jobs.finish(db, beat.finished, now, policy)
    if beat.released is not None:
        freed += jobs.release(db, beat.released, now, policy)
    if beat.leave:
        freed += _leave(db, beat, now, policy)
    elif beat.reported_status == p.BUSY and beat.current_job_id is not None:
        metrics = json.dumps(beat.system_metrics) if beat.system_metrics else None
        jobs.renew(db, beat.current_job_id, beat.attempt, beat.worker_id, now, policy,
                   beat.output_tail, metrics)
    outcome = assign(db, beat.worker_id, beat.session, now, policy)
    return outcome._replace(freed=freed)


def assign(db: sqlite3.Connection, worker_id: str, session: Optional[str], now: float,
           policy: Policy) -> Outcome:
    """What the worker is told now, and a job if it may have one.

    A job is handed out only to an active worker that is idle, is to run and has no command
    pending (docs/protocol.md); one that its session holds already is handed out again, not a second.
    """
    row = db.execute("SELECT session, reported_status, desired_state, desired_version,"
                     " applied_version, left_at FROM workers WHERE worker_id = ?",
                     (worker_id,)).fetchone()
    known_session, status, state, version, applied, left_at = row
    idle = status == p.IDLE
    pending = version > applied
    present = left_at is None and known_session == session
    job = None
    if present and idle and state == p.RUN and not pending:
        held = jobs.held_by(db, worker_id, session) if session is not None else None
        if held is not None:
            job = jobs.redeliver(db, held[0], held[1], now, policy)
        else:
            job = jobs.claim(db, worker_id, session, now, policy)
        if job is not None:
            db.execute("UPDATE workers SET current_job_id = ?, last_seen = ? WHERE worker_id = ?",
                       (job.job_id, now, worker_id))
    reply = p.HeartbeatReply(
        desired_state=state, desired_version=version, applied_version=applied, pending=pending,
        interval=p.BUSY_INTERVAL if job is not None or not idle else p.IDLE_INTERVAL, job=job,
        extensions=p.EXTENSIONS)
    nothing_to_tell = job is None and not pending and state in (p.RUN, p.PAUSE)
    return Outcome(reply, present and idle and nothing_to_tell, 0)


def _admit(db: sqlite3.Connection, beat: p.Heartbeat, now: float) -> None:
    """Write down what a worker says of itself, and take in its acknowledgement."""
    known = _worker(db, beat.worker_id)
    if known is None:
        db.execute(
            "INSERT INTO workers (worker_id, session, host, machine_type, version,"
            " reported_status, current_job_id, system_metrics, desired_version, applied_version,"
            " first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (beat.worker_id, beat.session, *_words(beat), beat.applied_version,
             beat.applied_version, now, now))
        note(db, beat.worker_id, "started", "worker", now)
        return
    _check_session(beat, known, now)
    state, version = known.desired_state, max(known.desired_version, beat.applied_version)
    applied = max(known.applied_version, beat.applied_version)
    anew = _is_new_process(beat, known)
    if anew:
        # What the process before it was told is not meant for this one.
        state, version, applied = p.RUN, beat.applied_version, beat.applied_version
        note(db, beat.worker_id, "started", "worker", now)
    elif beat.applied_version > known.applied_version:
        note(db, beat.worker_id, "applied %s" % known.desired_state, "worker", now)
    if known.left_at is not None and not anew:
        note(db, beat.worker_id, "heard of again", "worker", now)
    db.execute(
        "UPDATE workers SET session = ?, host = ?, machine_type = ?, version = ?,"
        " reported_status = ?, current_job_id = ?, system_metrics = ?, desired_state = ?,"
        " desired_version = ?, applied_version = ?, last_seen = ?, left_at = NULL,"
        " left_reason = NULL WHERE worker_id = ?",
        (beat.session, *_words(beat), state, version, applied, now, beat.worker_id))


def _words(beat: p.Heartbeat) -> Tuple[Any, ...]:
    return (beat.host, beat.machine_type, beat.jd_worker_version, beat.reported_status,
            beat.current_job_id, json.dumps(beat.system_metrics))


def _check_session(beat: p.Heartbeat, known: _Worker, now: float) -> None:
    if (beat.session is not None and known.session is not None and known.session != beat.session
            and known.left_at is None and now - known.last_seen < SESSION_LIVE):
        raise NameTaken("worker_id %s is in use by another live process; take another name"
                        % beat.worker_id)


def _is_new_process(beat: p.Heartbeat, known: _Worker) -> bool:
    if beat.session is not None and known.session is not None:
        return beat.session != known.session
    # A client of the base protocol starts counting at 0 again.
    return beat.applied_version < known.applied_version


def _leave(db: sqlite3.Connection, beat: p.Heartbeat, now: float, policy: Policy) -> int:
    """The worker says goodbye: give back what its session still holds, mark it gone."""
    freed = 0
    held = jobs.held_by(db, beat.worker_id, beat.session) if beat.session is not None else None
    if held is not None:
        freed = jobs.end(db, held[0], p.VERDICT_PREEMPTED, now, policy,
                         message="its worker left")
    mark_left(db, beat.worker_id, "stopped", "worker", now)
    return freed


def mark_left(db: sqlite3.Connection, worker_id: str, reason: str, source: str, now: float) -> None:
    """Count a worker as gone until it is heard of again."""
    db.execute("UPDATE workers SET left_at = ?, left_reason = ?, current_job_id = NULL"
               " WHERE worker_id = ?", (now, reason, worker_id))
    note(db, worker_id, reason, source, now)


def drop_silent(db: sqlite3.Connection, now: float) -> int:
    """Count workers as gone that have not been heard of for SILENCE seconds. Returns how many."""
    rows = db.execute("SELECT worker_id FROM workers WHERE left_at IS NULL AND last_seen < ?",
                      (now - SILENCE,)).fetchall()
    for (worker_id,) in rows:
        mark_left(db, worker_id, "heartbeat lost", "server", now)
    return len(rows)


def seen(db: sqlite3.Connection, now: float) -> None:
    """Count every active worker as heard of now: while the server was down it could not be."""
    db.execute("UPDATE workers SET last_seen = ? WHERE left_at IS NULL", (now,))


def stopped_by_cli(db: sqlite3.Connection, worker_id: str, job_id: Optional[int], action: str,
                   source: str, now: float, policy: Policy) -> bool:
    """A command line on `source` stops a worker: note it, and abort the job it was running.

    Returns whether there was such a job. `job_id` is what the command line believes; it counts
    only if that job is this worker's.
    """
    running = jobs.served_to(db, worker_id)
    aborted = running is not None and job_id in (None, running)
    if running is not None and aborted:
        jobs.end(db, running, p.VERDICT_STOPPED, now, policy,
                 message="stopped from the CLI on %s (%s)" % (source, action))
    if _worker(db, worker_id) is not None:
        mark_left(db, worker_id, action + " from the CLI", "cli on " + source, now)
    else:
        note(db, worker_id, action + " from the CLI", "cli on " + source, now)
    return aborted
