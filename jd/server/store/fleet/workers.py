"""Workers: what they say of themselves, what they are told, when they were last heard of.

A command (pause, drain, stop, run) raises `desired_version`; it is pending until the worker sends
that version back as `applied_version` (see `commands`).

With a Hub a worker belongs to the user whose token its first heartbeat brought, as long as it is known:
nobody else can be heard under its name, or touch it. Where a function takes `reach`, it is the user whose
workers and attempts may be touched; None: all.
"""

import functools
import json
import math
import sqlite3
from typing import Dict, Hashable, List, NamedTuple, Optional, Sequence, Tuple

from jd import messages
from jd import protocol as p
from jd.server.store.fleet import failing, presence, published, retention, share, worker_history
from jd.server.store.fleet.standing import FAILED, Standing, standing_of, standings_of
from jd.server.store.policy import Policy, paused_because
from jd.server.store.queue import (
    attempts,
    claim,
    codes,
    ending,
    jobs,
    lease,
    overrun,
    runtimes,
    timeleft,
    tookdown,
)
from jd.server.store.transaction import Transaction
from jd.workername import split_worker_id

# A worker heard of within this time is taken to be alive: one held heartbeat and some room.
SESSION_LIVE = p.IDLE_INTERVAL + 20.0
# Of a worker's figures one sample a minute is kept, for so many minutes.
RING = 120
MAX_FIGURES = 40  # in one sample; a worker of ours sends 14
MAX_METRICS = 16 * 1024  # bytes of all that a worker says of its machine, as JSON


class NameTaken(Exception):
    """409: another live process, or another user, has this worker_id."""


class AnothersWorker(Exception):
    """403: it belongs to another user of the Hub."""

    def __init__(self, worker_id: str) -> None:
        super().__init__("worker %s belongs to another user: that user and the owner of the experiment may "
                         "stop it" % worker_id)


class Answer(NamedTuple):
    """What a worker is told."""

    reply: messages.HeartbeatReply
    may_wait: bool  # nothing to tell: the answer may be held back until there is
    left_over: bool = False  # it is idle and gets none of the jobs that are PENDING, which others may run


class _Worker(NamedTuple):
    session: Optional[str]
    reported_status: str
    current_job_id: Optional[int]
    desired_state: str
    desired_version: int
    applied_version: int
    last_seen: float
    left_at: Optional[float]
    requested_at: Optional[float]
    requested_by: Optional[str]
    previous_state: Optional[str]
    acknowledged_at: Optional[float]
    done_at: Optional[float]
    host: str
    machine_type: str
    version: str
    hub_user: Optional[str]
    tags: str
    failed: Optional[int]
    sampled_at: Optional[float]
    job_cpus: Optional[float]
    job_gpus: Optional[float]

    @property
    def has(self) -> share.Share:
        return share.Share(self.job_cpus, self.job_gpus)


class _Identity(NamedTuple):
    """Who a worker is and what it has, as it says itself and its name tells."""

    host: str
    machine_type: str
    version: str
    tags: str  # JSON list
    instance: str
    slot: Optional[int]


class _Progress(NamedTuple):
    """How far the latest command is."""

    requested_at: Optional[float] = None
    requested_by: Optional[str] = None
    previous_state: Optional[str] = None
    acknowledged_at: Optional[float] = None
    done_at: Optional[float] = None


def _worker(db: sqlite3.Connection, worker_id: str, minute: int = 0) -> Optional[_Worker]:
    """What is known of a worker, with the sample that stands in the place of a minute."""
    row = db.execute("SELECT session, reported_status, current_job_id, desired_state, desired_version,"
                     " applied_version, last_seen, left_at, requested_at, requested_by, previous_state,"
                     " acknowledged_at, done_at, host, machine_type, version, hub_user, tags, %s,"
                     " (SELECT timestamp FROM worker_metrics AS m"
                     " WHERE m.worker_id = workers.worker_id AND place = ?), job_cpus, job_gpus"
                     " FROM workers WHERE worker_id = ?" % FAILED,
                     (minute % RING, worker_id)).fetchone()
    return None if row is None else _Worker(*row)


def heartbeat(t: Transaction, beat: messages.Heartbeat, user: Optional[str] = None,
              reach: Optional[str] = None) -> Answer:
    """Take in a heartbeat of a worker of `user` (None: without a Hub) and answer it; a job may be
    claimed by that.

    Raises NameTaken, TooManyWorkers and ProtocolError, and for what it carries jobs.NoSuchJob,
    NotServed, StaleAttempt, AnothersAttempt; then nothing of it has happened.
    """
    metrics = _metrics(beat)
    standing = _admit(t, beat, metrics, user)
    if beat.session is None:
        presence.heard(t, beat)
    for result in beat.finished_before:
        ending.finish(t, result, reach)
    retry = None if beat.finished is None else ending.finish(t, beat.finished, reach)
    if beat.released is not None:
        ending.release(t, beat.released, reach)
    for release in beat.unstarted:
        ending.release(t, release, reach, begun=False)
    if beat.leave:
        _leave(t, beat)
    elif beat.reported_status == p.BUSY and beat.current_job_id is not None:
        printed = None if beat.output_tail is None else ending.Printed(beat.output_tail, beat.output_size)
        lease.renew(t, beat.current_job_id, beat.attempt, beat.worker_id, printed,
                    metrics if beat.system_metrics else None, reach)
        if beat.attempt is not None and beat.ends_in is not None:
            overrun.put_off(t, beat.current_job_id, beat.ends_in)
        if beat.code is not None and beat.attempt is not None:
            codes.ran(t, beat.current_job_id, beat.attempt, beat.code)
        last = beat.finished or next(reversed(beat.finished_before), None)
        if last is not None and beat.attempt is not None:
            attempts.follow(t, beat.current_job_id, beat.attempt, last)
    # What came of a result may be a command for this very worker.
    known = standing if beat.session is not None and not beat.leave and not t.happened.commanded else None
    found = _answered(t, beat, timeleft.limit_of(beat, t.now), known)
    job_id = beat.current_job_id if found.reply.job is None else found.reply.job.job_id
    if job_id != standing.current_job_id:
        t.happened.workers_changed = True
    # In one statement, which each heartbeat takes; no trigger looks at these columns. An attempt that ends by
    # this heartbeat had the GPUs that were told before (`errors.keep`): last words tell of none.
    t.db.execute("UPDATE workers SET system_metrics = ?, last_seen = ?, current_job_id = ?"
                 " WHERE worker_id = ?", (metrics, t.now, None if beat.leave else job_id, beat.worker_id))
    if beat.session is None:
        presence.answered(t, beat, found.reply)
    if retry is None:
        return found
    # Whoever waits for it at a terminal hears it at once.
    return Answer(found.reply._replace(finished_retry=retry), False)


def answer(t: Transaction, beat: messages.Heartbeat, limit: Optional[timeleft.Limit]) -> Answer:
    """What a worker is told now whose heartbeat was taken in before: what `assign` says, and to who is
    idle and gets no job whether one may still come. Who would leave then is told at once."""
    found = _answered(t, beat, limit)
    if found.reply.job is not None:
        t.db.execute("UPDATE workers SET current_job_id = ?, last_seen = ? WHERE worker_id = ?",
                     (found.reply.job.job_id, t.now, beat.worker_id))
    return found


def _answered(t: Transaction, beat: messages.Heartbeat, limit: Optional[timeleft.Limit],
              standing: Optional[Standing] = None) -> Answer:
    """`answer`; that the worker has the job is still to be written."""
    found = assign(t, beat.worker_id, beat.session, limit, standing, beat.prefetch)
    if beat.reported_status != p.IDLE or found.reply.job is not None:
        return found
    empty = not jobs.work_is_left(t.db)
    if t.policy.paused and found.reply.paused_because is None:
        found = found._replace(reply=found.reply._replace(paused_because=paused_because(t.db)))
    return Answer(found.reply._replace(empty=empty),
                  found.may_wait and not (empty and beat.exit_when_empty),
                  not empty and not t.policy.paused and jobs.waits(t.db))


def assign(t: Transaction, worker_id: str, session: Optional[str],
           limit: Optional[timeleft.Limit] = None, standing: Optional[Standing] = None,
           prefetch: int = 0) -> Answer:
    """What the worker is told now, and a job if it may have one, with up to `prefetch` more; `standing` is
    how it stands, where the caller knows. That it has the job is for the caller to write to its row.

    A job is handed out only to an active worker that is idle, is to run and has no command
    pending (docs/protocol.md); what its session holds already is handed out again, and nothing else.
    """
    if standing is None:
        standing = standing_of(t.db, worker_id)
    p90 = None if limit is None else runtimes.p90(t.db)
    if not (standing.is_present(session) and standing.is_idle and standing.desired_state == p.RUN
            and not standing.is_pending):
        return _told(t.db, standing, session, t.policy, p90)
    held = attempts.held_by(t.db, worker_id, session) if session is not None else []
    try:
        given = [claim.redeliver(t, one.job_id, one.number) for one in held[:1 + p.MAX_PREFETCH]] or (
            claim.several(t, worker_id, session, limit, prefetch))
    except timeleft.NothingFits as error:
        found = _told(t.db, standing, session, t.policy, p90)
        return Answer(found.reply._replace(needs=error.needs), False)
    if given:
        t.happened.given = worker_id
        t.happened.workers_changed = True
    return _told(t.db, standing, session, t.policy, p90, given)


def told(db: sqlite3.Connection, beats: Sequence[messages.Heartbeat], policy: Policy) -> List[Answer]:
    """What workers are told now whose heartbeats were taken in before, but for jobs; changes nothing. Who is
    told the same is given the same answer.

    Raises attempts.StaleAttempt if somebody else has ended the attempt of one meanwhile.
    """
    for beat in beats:
        if beat.current_job_id is not None and beat.attempt is not None:
            attempts.check_running(db, beat.current_job_id, beat.attempt)
    standings = standings_of(db, [beat.worker_id for beat in beats])
    answers: Dict[Hashable, Answer] = {}
    found = []
    for beat in beats:
        standing = standings[beat.worker_id]
        same = standing[1:], standing.session == beat.session, beat.session is None
        if same not in answers:
            answers[same] = _told(db, standing, beat.session, policy)
        found.append(answers[same])
    return found


def _told(db: sqlite3.Connection, standing: Standing, session: Optional[str], policy: Policy,
          p90: Optional[float] = None, given: Sequence[claim.Claimed] = ()) -> Answer:
    """What a worker is told that stands so, with the jobs that it is given."""
    state, idle, pending = standing.desired_state, standing.is_idle, standing.is_pending
    seconds = None if idle else lease.of_job(db, standing.current_job_id, policy)
    interval = p.IDLE_INTERVAL if idle else lease.interval(seconds)
    if given:
        seconds = min(one.lease for one in given)
        interval = lease.interval(seconds)
    jobs_given = [one.assignment for one in given]
    reply = messages.HeartbeatReply(
        desired_state=state, desired_version=standing.desired_version,
        applied_version=standing.applied_version, pending=pending, interval=interval,
        job=jobs_given[0] if given else None, extensions=p.EXTENSIONS, runtime_p90=p90,
        lease=seconds, prefetched=tuple(jobs_given[1:]),
        paused_because=failing.why(standing.failed) if standing.failed is not None and state == p.PAUSE
        else None)
    if session is None:
        reply = published.tuned(reply, standing.version)
    # Who is to go and has no job goes at once.
    may_wait = not given and standing.is_present(session) and not pending and (
        not idle or state in (p.RUN, p.PAUSE))
    return Answer(reply, may_wait)


def _metrics(beat: messages.Heartbeat) -> str:
    """What a worker says of its machine, as JSON."""
    text = json.dumps(beat.system_metrics)
    if len(text) > MAX_METRICS:
        raise p.ProtocolError("system_metrics is %d bytes as JSON; at most %d" % (len(text), MAX_METRICS))
    return text


def _admit(t: Transaction, beat: messages.Heartbeat, metrics: str, user: Optional[str]) -> Standing:
    """Write down what a worker says of itself, but for its figures and its job, which follow, and take in its
    acknowledgement."""
    minute = int(t.now // 60)
    known = _worker(t.db, beat.worker_id, minute)
    if known is None or known.sampled_at is None or known.sampled_at // 60 != minute:
        _sample(t, beat, minute)
    if known is None:
        retention.make_room(t)
        t.db.execute(
            "INSERT INTO workers (host, machine_type, version, tags, instance, slot, worker_id, session,"
            " reported_status, current_job_id, system_metrics, desired_version, applied_version,"
            " first_seen, last_seen, hub_user, job_cpus, job_gpus)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*_identity(beat), beat.worker_id, beat.session, beat.reported_status,
             beat.current_job_id, metrics, beat.applied_version,
             beat.applied_version, t.now, t.now, user, *share.told(beat)))
        worker_history.add_line(t, beat.worker_id, "started", "worker")
        return Standing(beat.session, beat.reported_status, beat.current_job_id, p.RUN, beat.applied_version,
                        beat.applied_version, None, beat.jd_worker_version, None)
    _check_user(t, beat, known, user)
    _check_session(beat, known, t.now)
    state, version = known.desired_state, max(known.desired_version, beat.applied_version)
    applied = max(known.applied_version, beat.applied_version)
    anew = _is_new_process(beat, known)
    if anew:
        # What the process before it was told is not meant for this one.
        state, version, applied = p.RUN, beat.applied_version, beat.applied_version
        t.db.execute("UPDATE workers SET failures_in_row = 0, failing = 0, failing_since = NULL"
                     " WHERE worker_id = ?", (beat.worker_id,))
        worker_history.add_line(t, beat.worker_id, "started", "worker")
    elif known.applied_version < known.desired_version <= applied:
        worker_history.add_line(t, beat.worker_id, "applied %s" % known.desired_state, "worker")
    if known.left_at is not None and not anew:
        worker_history.add_line(t, beat.worker_id, "heard of again", "worker")
    # Of one that is idle the last job stands there until it is told its next one: it changes once.
    job_id = known.current_job_id if beat.reported_status == p.IDLE else beat.current_job_id
    has = share.told(beat, known.has)
    row = (beat.session, beat.reported_status, job_id, state, version, applied,
           *(_Progress() if anew else _progress(known, beat, t.now)), *has)
    # Apart, and seldom: a trigger on these costs as much as the rest.
    if row != (known.session, known.reported_status, known.current_job_id, known.desired_state,
               known.desired_version, known.applied_version, known.requested_at, known.requested_by,
               known.previous_state, known.acknowledged_at, known.done_at, known.job_cpus, known.job_gpus):
        t.db.execute(
            "UPDATE workers SET session = ?, reported_status = ?, current_job_id = ?, desired_state = ?,"
            " desired_version = ?, applied_version = ?, requested_at = ?, requested_by = ?,"
            " previous_state = ?, acknowledged_at = ?, done_at = ?, job_cpus = ?, job_gpus = ?"
            " WHERE worker_id = ?", (*row, beat.worker_id))
    share.learn(t, beat, known.has, has)
    identity = _identity(beat)
    # Seldom, and apart: the indexes on these columns cost more than the rest.
    if known.left_at is not None or identity[:4] != (
            known.host, known.machine_type, known.version, known.tags):
        t.db.execute("UPDATE workers SET host = ?, machine_type = ?, version = ?, tags = ?, instance = ?,"
                     " slot = ?, left_at = NULL, left_reason = NULL WHERE worker_id = ?",
                     (*identity, beat.worker_id))
    return Standing(beat.session, beat.reported_status, job_id, state, version, applied, None,
                    beat.jd_worker_version, None if anew else known.failed)


def _progress(known: _Worker, beat: messages.Heartbeat, now: float) -> _Progress:
    """How far the latest command is after a heartbeat.

    Run and pause are done when the worker has taken them and has no job, drain and stop when it
    has left.
    """
    has_it = max(known.applied_version, beat.applied_version) >= known.desired_version
    acknowledged, done = known.acknowledged_at, known.done_at
    if known.left_at is not None:
        done = None
    if known.requested_at is not None and has_it:
        acknowledged = now if acknowledged is None else acknowledged
        if (done is None and known.desired_state in (p.RUN, p.PAUSE)
                and beat.reported_status == p.IDLE):
            done = now
    return _Progress(known.requested_at, known.requested_by,
                     None if has_it else known.previous_state, acknowledged, done)


def _identity(beat: messages.Heartbeat) -> _Identity:
    return _identity_of(beat.worker_id, beat.host, beat.machine_type, beat.jd_worker_version,
                        beat.tags)


@functools.lru_cache(maxsize=10_000)
def _identity_of(worker_id: str, host: str, machine_type: str, version: str,
                 tags: Tuple[str, ...]) -> _Identity:
    """A worker says the same of itself with each heartbeat."""
    name = split_worker_id(worker_id)
    return _Identity(host or (name.host if name else ""), machine_type, version, json.dumps(tags),
                     name.instance if name else "", name.slot if name else None)


def _sample(t: Transaction, beat: messages.Heartbeat, minute: int) -> None:
    """Keep the first figures of a minute."""
    figures = {name: value for name, value in list(beat.system_metrics.items())[:MAX_FIGURES]
               if isinstance(value, (int, float)) and not isinstance(value, bool)
               and abs(value) < 1e15 and math.isfinite(value) and len(name) <= 60}
    if figures:
        t.db.execute("INSERT OR REPLACE INTO worker_metrics (worker_id, place, timestamp, metrics)"
                     " VALUES (?, ?, ?, ?)",
                     (beat.worker_id, minute % RING, t.now, json.dumps(figures)))


def _check_user(t: Transaction, beat: messages.Heartbeat, known: _Worker, user: Optional[str]) -> None:
    """Raise NameTaken for a worker of somebody else. One that was heard of before there was a Hub, or
    before users were written down, is now this user's, with what it runs."""
    if user is None or known.hub_user == user:
        return
    if known.hub_user is not None:
        raise NameTaken("worker_id %s belongs to a worker of another user; take another name"
                        % beat.worker_id)
    t.db.execute("UPDATE workers SET hub_user = ? WHERE worker_id = ?", (user, beat.worker_id))
    t.db.execute("UPDATE attempts SET hub_user = ? WHERE hub_user IS NULL AND (job_id, number) IN"
                 " (SELECT id, attempt FROM jobs INDEXED BY jobs_held WHERE status = 'SERVED'"
                 " AND worker_id = ? AND session IS ?)", (user, beat.worker_id, beat.session))


def _check_session(beat: messages.Heartbeat, known: _Worker, now: float) -> None:
    if (beat.session is not None and known.session is not None and known.session != beat.session
            and known.left_at is None and now - known.last_seen < SESSION_LIVE):
        raise NameTaken("worker_id %s is in use by another live process; take another name"
                        % beat.worker_id)


def _is_new_process(beat: messages.Heartbeat, known: _Worker) -> bool:
    if beat.session is not None and known.session is not None:
        return beat.session != known.session
    # A client of the base protocol starts counting at 0 again.
    return beat.applied_version < known.applied_version


def _leave(t: Transaction, beat: messages.Heartbeat) -> None:
    """The worker says goodbye, or was found dead: give back what its session still holds, mark it gone."""
    held = attempts.held_by(t.db, beat.worker_id, beat.session) if beat.session is not None else []
    if held and beat.died:
        lease.found_dead(t, [one.job_id for one in held], alone=beat.died == 1)
    else:
        for place, one in enumerate(held):
            ending.end(t, one.job_id, p.VERDICT_PREEMPTED, message="its worker left", begun=place == 0)
    presence.mark_left(t, beat.worker_id, tookdown.FOUND_DEAD if beat.died else "stopped", "worker")


def take_names_apart(t: Transaction) -> None:
    """Fill in instance and slot of workers that a version before the dashboard wrote down."""
    for (worker_id,) in t.db.execute("SELECT worker_id FROM workers WHERE slot IS NULL").fetchall():
        name = split_worker_id(worker_id)
        if name is not None:
            t.db.execute("UPDATE workers SET instance = ?, slot = ? WHERE worker_id = ?",
                         (name.instance, name.slot, worker_id))


class StoppedJob(NamedTuple):
    """What became of the job of a worker that was stopped: it is ABORTED and comes back after the pause of a
    retry, or it is `requeued`, PENDING again at once."""

    aborted: bool = False
    requeued: Optional[int] = None


def stopped_by_cli(t: Transaction, worker_id: str, job_id: Optional[int], action: str, source: str,
                   reach: Optional[str] = None, requeue: bool = False,
                   session: Optional[str] = None) -> StoppedJob:
    """A command line on `source` stops a worker: write that down, and end the attempt that it was at. What it
    has not begun is PENDING again at once.

    The job is not lost by that. It is PENDING again with `requeue`; command lines of the base protocol
    expect it to be ABORTED, so it comes back later. `job_id` is what the command line believes; it counts
    only if that job is this worker's. `session` is the process that it has stopped, where it knows: another
    one that has the name by now goes on untouched. Raises AnothersWorker for one out of reach; who cannot
    reach all changes nothing by naming one that never was heard of.
    """
    known = _worker(t.db, worker_id)
    if reach is not None and known is None:
        return StoppedJob()
    if reach is not None and known is not None and known.hub_user != reach:
        raise AnothersWorker(worker_id)
    if session is not None and known is not None and known.session != session:
        return StoppedJob()
    held = attempts.served_to(t.db, worker_id, reach)
    stopped = StoppedJob()
    if held and (job_id is None or job_id in held):
        running = held[0] if job_id is None else job_id
        message = "its worker was stopped from the CLI on %s (%s)" % (source, action)
        # The worker is not told: the command line ends it, and who is told asks for another job.
        stopped = StoppedJob(requeued=running) if requeue else StoppedJob(aborted=True)
        ending.end(t, running, p.VERDICT_PREEMPTED if requeue else p.VERDICT_STOPPED,
                   message=message, comes_back=True)
        for other in held:
            if other != running:
                ending.end(t, other, p.VERDICT_PREEMPTED, message=message, begun=False)
    if known is not None:
        presence.mark_left(t, worker_id, action + " from the CLI", "cli on " + source)
    return stopped
