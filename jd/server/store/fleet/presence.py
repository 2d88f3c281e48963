"""Which workers are there: when one counts as gone, and what those do who go without a word.

Our own say that they leave. A client of the base protocol, which sends no `session`, ends in silence: after a
stop that it has acknowledged or not, after a drain, and after its one job. What is known of its habits tells:
it asks for the next job within seconds after a result, and asks for none while it has one.
"""

import math

from jd import messages
from jd import protocol as p
from jd.server.store.fleet import worker_history
from jd.server.store.queue import elsewhere, ending
from jd.server.store.transaction import Transaction
from jd.workername import split_worker_id

# Three idle heartbeats missed: the worker is gone.
SILENCE = 3 * p.IDLE_INTERVAL + 60.0
# Seconds after its result within which a base client asks for a job, and in which one ends that was told to.
BACK = 30.0

# A base client waits 30 s for the answer to a heartbeat. One that asks again later than that has no other
# answer under way.
_ANSWERED = 35.0
# Up to 1.23 two of them may have one name. A heartbeat of the other one comes from the one that runs the job.
_FIRST_PING = p.IDLE_INTERVAL + 10.0
_NEXT_PING = p.BUSY_INTERVAL + 10.0
_UNIQUE = 10  # characters of an instance, from which on no two workers have one name


def heard(t: Transaction, beat: messages.Heartbeat) -> None:
    """A heartbeat of a base client was taken in: it is there. What it has while it asks for a job is lost."""
    t.db.execute("UPDATE workers SET due_back = NULL WHERE worker_id = ? AND due_back IS NOT NULL",
                 (beat.worker_id,))
    if beat.reported_status != p.IDLE:
        return
    name = split_worker_id(beat.worker_id)
    unique = name is not None and len(name.instance) >= _UNIQUE
    first, later = (_ANSWERED, 0.0) if unique else (_FIRST_PING, _NEXT_PING)
    lost = t.db.execute(
        "SELECT id FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED' AND worker_id = ?"
        " AND session IS NULL AND request_timestamp <= ?"
        " AND last_ping_timestamp <= CASE WHEN last_ping_timestamp > request_timestamp THEN ? ELSE ? END"
        " AND (SELECT hub_user FROM attempts WHERE job_id = jobs.id AND number = jobs.attempt) IS"
        " (SELECT hub_user FROM workers WHERE worker_id = jobs.worker_id)",
        (beat.worker_id, t.now - _ANSWERED, t.now - later, t.now - first)).fetchall()
    for (job_id,) in lost:
        ending.end(t, job_id, p.VERDICT_LOST, message="its worker asks for a job: this one, or its result, "
                                                      "was lost on the way")


def answered(t: Transaction, beat: messages.Heartbeat, reply: messages.HeartbeatReply) -> None:
    """A base client that has no job is answered: one that was told to stop or to drain ends by that."""
    if beat.reported_status != p.IDLE or reply.desired_state not in (p.STOP, p.DRAIN):
        return
    if reply.pending:
        _expect(t, beat.worker_id)
    else:
        mark_left(t, beat.worker_id, "stopped", "worker")


def reported(t: Transaction, job_id: int) -> None:
    """A result has come on its own, from a base client: that worker has no job now, and asks for another or
    is gone."""
    row = t.db.execute("SELECT worker_id FROM workers WHERE session IS NULL AND left_at IS NULL"
                       " AND worker_id = (SELECT worker_id FROM jobs WHERE id = ?) AND current_job_id = ?",
                       (job_id, job_id)).fetchone()
    if row is None:
        return
    t.db.execute("UPDATE workers SET reported_status = ?, current_job_id = NULL, last_seen = ?"
                 " WHERE worker_id = ?", (p.IDLE, t.now, row[0]))
    _expect(t, row[0])


def mark_left(t: Transaction, worker_id: str, reason: str, source: str) -> None:
    """Count a worker as gone until it is heard of again. What it was told last is done by that."""
    t.db.execute("UPDATE workers SET left_at = ?, left_reason = ?, current_job_id = NULL, due_back = NULL,"
                 " done_at = CASE WHEN requested_at IS NULL THEN NULL ELSE coalesce(done_at, ?) END"
                 " WHERE worker_id = ?", (t.now, reason, t.now, worker_id))
    worker_history.add_line(t, worker_id, reason, source)
    elsewhere.look_again(t)


def drop_silent(t: Transaction) -> None:
    """Count workers as gone that have not been heard of for SILENCE seconds, or when they were due."""
    for worker_id, state in t.db.execute("SELECT worker_id, desired_state FROM workers INDEXED BY workers_due"
                                         " WHERE due_back <= ?", (t.now,)).fetchall():
        told = state in (p.STOP, p.DRAIN)
        mark_left(t, worker_id, "stopped" if told else "left after its job", "server")
    rows = t.db.execute("SELECT worker_id FROM workers WHERE left_at IS NULL AND last_seen < ?",
                        (t.now - SILENCE,)).fetchall()
    for (worker_id,) in rows:
        mark_left(t, worker_id, "heartbeat lost", "server")


def seen(t: Transaction, missed: float = math.inf) -> None:
    """Count every active worker as heard of so many seconds later, now at the latest: for so long it could
    not be."""
    t.db.execute("UPDATE workers SET last_seen = min(last_seen + ?, ?) WHERE left_at IS NULL",
                 (missed, t.now))
    t.db.execute("UPDATE workers SET due_back = min(due_back + ?, ?) WHERE due_back IS NOT NULL",
                 (missed, t.now + BACK))


def _expect(t: Transaction, worker_id: str) -> None:
    t.db.execute("UPDATE workers SET due_back = ? WHERE worker_id = ?", (t.now + BACK, worker_id))
