"""A sweep can end by itself: a target is reached, or so many jobs are done, or so many hours were computed.

The rule is fields of Policy. When it is met, the experiment is paused with a reason, and the jobs that there
are and wait, for a worker or for a retry, become ABORTED, in slices; jobs that run are left to end. Whoever
goes on finds them by `by_rule`. A rule ends the sweep once, until one of its fields is set anew.
"""

import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional

from jd import protocol as p
from jd.protocol import ProtocolError
from jd.server.store.operators import options
from jd.server.store.policy import ENDED, HAS_ENDED, Policy
from jd.server.store.queue import jobs, transitions
from jd.server.store.search import conditions, scanning
from jd.server.store.search.conditions import id_list
from jd.server.store.transaction import Transaction

HOUR = 3600.0
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


def met(db: sqlite3.Connection, policy: Policy, now: float) -> Optional[str]:
    """Why the sweep is to end; None as long as it is not, or has ended by this rule."""
    if not is_set(policy) or has_fired(db, policy):
        return None
    found = standing(db, policy, now)
    if found.reached_by is not None:
        return "job %d has reached %s" % (found.reached_by, policy.stop_when)
    if policy.max_jobs and found.done >= policy.max_jobs:
        return "%d %s done, and %d were to be" % (
            found.done, "job is" if found.done == 1 else "jobs are", policy.max_jobs)
    if policy.max_hours and found.hours >= policy.max_hours:
        return "%.4g hours were computed, and %.4g were to be" % (found.hours, policy.max_hours)
    return None


def has_fired(db: sqlite3.Connection, policy: Policy) -> bool:
    """Whether the rule, as it is, has ended the sweep already."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (HAS_ENDED,)).fetchone()
    return row is not None and row[0] == _written(policy)


def _written(policy: Policy) -> str:
    return json.dumps([policy.stop_when, policy.max_jobs, policy.max_hours])


def end(t: Transaction, policy: Policy, because: str) -> None:
    """The sweep ends: no job is handed out any more, and those that wait are aborted. Nothing is done if
    the rule that was met, which `policy` has, is another one by now."""
    if _written(t.policy) != _written(policy):
        return
    options.save(t, {"paused": True}, "the sweep has ended: %s" % because)
    state = {"because": because, "last": jobs.last_id(t.db), "jobs": 0}
    t.db.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)",
                     [(HAS_ENDED, _written(t.policy)), (ENDED, json.dumps(state))])
    t.happened.said.append("the sweep has ended: %s; jobs that wait are aborted, those that run may end"
                           % because)


def ended(db: sqlite3.Connection) -> Optional[Dict[str, Any]]:
    """Why the sweep has ended (`because`), and how many `jobs` were aborted by that; None where it has not,
    or somebody goes on."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (ENDED,)).fetchone()
    if row is None:
        return None
    found: Dict[str, Any] = json.loads(row[0])
    return {name: found[name] for name in ("because", "jobs")}


def abort_rest(t: Transaction, limit: int) -> bool:
    """Abort jobs of a sweep that has ended, `limit` at most: what waits, comes back after an interruption, or
    was to be tried again. Returns whether there may be more."""
    row = t.db.execute("SELECT value FROM settings WHERE name = ?", (ENDED,)).fetchone()
    if row is None:
        return False
    state = json.loads(row[0])
    waiting = _ids(t, "jobs_by_status WHERE status = 'PENDING'", state["last"], limit)
    # Those that are tried again come last, as do the first ids: who waits for them would be skipped, and not
    # be found by who goes on.
    retried = [] if len(waiting) == limit else _ids(
        t, "jobs_retry WHERE retry_at IS NOT NULL AND status = 'ABORTED'", state["last"], limit)
    if waiting:
        then = transitions.after(p.PENDING, transitions.ABORT)
        jobs.add_history_line(t, waiting, "aborted, since the sweep has ended: %s" % state["because"])
        t.db.execute("UPDATE jobs SET status = ?, completion_timestamp = ?, by_rule = 1, %s WHERE id IN (%s)"
                     % (jobs.CHANGED, id_list(waiting)), (then, t.now))
        jobs.moved(t, p.PENDING, then, len(waiting))
    if retried:
        jobs.add_history_line(t, retried, "not tried again, since the sweep has ended: %s" % state["because"])
        t.db.execute("UPDATE jobs SET retry_at = NULL, by_rule = 1, %s WHERE id IN (%s)" % (
            jobs.CHANGED, id_list(retried)))
        jobs.moved(t, p.ABORTED, p.ABORTED, len(retried))
    if waiting or retried:
        t.happened.over = True
        state["jobs"] += len(waiting) + len(retried)
        t.db.execute("UPDATE settings SET value = ? WHERE name = ?", (json.dumps(state), ENDED))
        t.db.execute("UPDATE changes SET n = n + 1 WHERE topic = 'settings'")
    return limit in (len(waiting), len(retried))


def _ids(t: Transaction, source: str, last: int, limit: int) -> List[int]:
    return [row[0] for row in t.db.execute("SELECT id FROM jobs INDEXED BY %s AND id <= ?"
                                           " ORDER BY id DESC LIMIT ?" % source, (last, limit))]
