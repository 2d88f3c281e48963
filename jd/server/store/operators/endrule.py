"""A sweep can end by itself: a target is reached, or so many jobs are done, or so many hours were computed.

The rule is fields of Policy. When it is met, the experiment is paused with a reason, and the jobs that there
are and wait, for a worker or for a retry, become ABORTED, in slices; jobs that run are left to end. Whoever
goes on finds them by `by_rule`. Each part of a rule ends the sweep once, until it is set anew: who goes on
past a target keeps the limit of hours, and who raises that limit is not stopped by the target again.
"""

import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server.store.operators import options
from jd.server.store.policy import ENDED, HAS_ENDED, Policy
from jd.server.store.queue import jobs, transitions
from jd.server.store.search import conditions, scanning
from jd.server.store.search.conditions import id_list
from jd.server.store.transaction import Transaction

HOUR = 3600.0
_NO_RULE = Policy()
# A target is one of jobs that have run.
_HAVE_RUN = (p.SERVED, p.DONE, p.ABORTED)


class Standing(NamedTuple):
    """How far a rule is: jobs that are DONE, hours that were computed, the first job that has reached the
    target, and what is wrong with the target as long as nobody can tell."""

    done: int
    hours: float
    reached_by: Optional[int]
    problem: str


def is_set(policy: Policy) -> bool:
    """Whether there is a rule."""
    return bool(policy.stop_when or policy.max_jobs or policy.max_hours)


def standing(db: sqlite3.Connection, policy: Policy, now: float) -> Standing:
    """How far the rule is."""
    reached, problem = None, ""
    if policy.stop_when:
        try:
            reached = _reached_by(db, policy.stop_when, now)
        except ProtocolError as error:  # no job has such a result yet
            problem = str(error)
    return Standing(jobs.counts(db)[p.DONE], _seconds(db, now) / HOUR, reached, problem)


def _reached_by(db: sqlite3.Connection, target: str, now: float) -> Optional[int]:
    wanted = conditions.compiled(db, target, now)
    wanted = wanted._replace(statuses=tuple(one for one in wanted.statuses if one in _HAVE_RUN))
    after: Optional[int] = 0
    while after is not None:
        found = scanning.matching(db, wanted, after, 1)
        if found.ids:
            return found.ids[0]
        after = found.next
    return None


def _seconds(db: sqlite3.Connection, now: float) -> float:
    """What all attempts took, and those that run have taken until now."""
    (found,) = db.execute("SELECT sum(coalesce(runtime, max(0, coalesce(ended_at, ?) - started_at)))"
                          " FROM attempts INDEXED BY attempts_by_time", (now,)).fetchone()
    return found or 0.0


class Met(NamedTuple):
    """Why the sweep is to end, for people, and the parts of the rule that are met."""

    because: str
    parts: Tuple[str, ...]


def met(db: sqlite3.Connection, policy: Policy, now: float) -> Optional[Met]:
    """Why the sweep is to end; None as long as it is not, or has ended and nobody goes on."""
    if not is_set(policy) or _state(db) is not None:
        return None
    spent = has_ended_by(db, policy)
    # What counts no more need not be looked up.
    left = policy._replace(**{name: getattr(_NO_RULE, name) for name in spent})
    if not is_set(left):
        return None
    found, reasons = standing(db, left, now), {}
    if found.reached_by is not None:
        reasons["stop_when"] = "job %d has reached %s" % (found.reached_by, left.stop_when)
    if left.max_jobs and found.done >= left.max_jobs:
        reasons["max_jobs"] = "%d %s done, and %d were to be" % (
            found.done, "job is" if found.done == 1 else "jobs are", left.max_jobs)
    if left.max_hours and found.hours >= left.max_hours:
        reasons["max_hours"] = "%.4g hours were computed, and %.4g were to be" % (found.hours, left.max_hours)
    return Met("; ".join(reasons.values()), tuple(reasons)) if reasons else None


def has_ended_by(db: sqlite3.Connection, policy: Policy) -> Tuple[str, ...]:
    """The parts of the rule that have ended the sweep as they are, and so count no more."""
    spent = dict(db.execute("SELECT name, value FROM settings WHERE name LIKE ?", (HAS_ENDED + "%",)))
    return tuple(name for name in options.RULE if getattr(policy, name) and (
        spent.get(HAS_ENDED + name) == json.dumps(getattr(policy, name))))


class _State(NamedTuple):
    """A sweep that has ended: why, which job was its last, how many jobs were aborted by that."""

    because: str
    last: int
    jobs: int


def _state(db: sqlite3.Connection) -> Optional[_State]:
    row = db.execute("SELECT CAST(value AS BLOB) FROM settings WHERE name = ?", (ENDED,)).fetchone()
    try:
        found = json.loads(row[0]) if row else None
        return None if not found else _State(str(found["because"]), int(found["last"]), int(found["jobs"]))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None  # damaged: the reason of the pause still tells it


def end(t: Transaction, policy: Policy, why: Met) -> None:
    """The sweep ends: no job is handed out any more, and those that wait are aborted. Nothing is done if
    the rule that was met, which `policy` has, is another one by now."""
    if any(getattr(t.policy, name) != getattr(policy, name) for name in options.RULE):
        return
    options.save(t, {"paused": True}, "the sweep has ended: %s" % why.because)
    t.db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", [
        (HAS_ENDED + name, json.dumps(getattr(policy, name))) for name in why.parts])
    _keep(t, _State(why.because, jobs.last_id(t.db), 0))
    t.happened.said.append("the sweep has ended: %s; jobs that wait are aborted, those that run may end"
                           % why.because)


def _keep(t: Transaction, state: _State) -> None:
    t.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (ENDED, json.dumps(state._asdict())))


def ended(db: sqlite3.Connection) -> Optional[Dict[str, Any]]:
    """Why the sweep has ended (`because`), and how many `jobs` were aborted by that; None where it has not,
    or somebody goes on."""
    found = _state(db)
    return None if found is None else {"because": found.because, "jobs": found.jobs}


def abort_rest(t: Transaction, limit: int) -> bool:
    """Abort jobs of a sweep that has ended, `limit` at most: what waits, comes back after an interruption, or
    was to be tried again. Returns whether there may be more."""
    state = _state(t.db)
    if state is None:
        return False
    waiting = _ids(t, "jobs_by_status WHERE status = 'PENDING'", state.last, limit)
    # Those that are tried again come last, as do the first ids: who waits for them would be skipped, and not
    # be found by who goes on.
    retried = [] if len(waiting) == limit else _ids(
        t, "jobs_retry WHERE retry_at IS NOT NULL AND status = 'ABORTED'", state.last, limit)
    if waiting:
        then = transitions.after(p.PENDING, transitions.ABORT)
        jobs.add_history_line(t, waiting, "aborted, since the sweep has ended: %s" % state.because)
        t.db.execute("UPDATE jobs SET status = ?, completion_timestamp = ?, by_rule = 1, %s WHERE id IN (%s)"
                     % (jobs.CHANGED, id_list(waiting)), (then, t.now))
        jobs.moved(t, p.PENDING, then, len(waiting))
    if retried:
        jobs.add_history_line(t, retried, "not tried again, since the sweep has ended: %s" % state.because)
        t.db.execute("UPDATE jobs SET retry_at = NULL, by_rule = 1, %s WHERE id IN (%s)" % (
            jobs.CHANGED, id_list(retried)))
        jobs.moved(t, p.ABORTED, p.ABORTED, len(retried))
    if waiting or retried:
        t.happened.over = True
        _keep(t, state._replace(jobs=state.jobs + len(waiting) + len(retried)))
        t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'settings'")
    return limit in (len(waiting), len(retried))


def _ids(t: Transaction, source: str, last: int, limit: int) -> List[int]:
    return [row[0] for row in t.db.execute("SELECT id FROM jobs INDEXED BY %s AND id <= ?"
                                           " ORDER BY id DESC LIMIT ?" % source, (last, limit))]
