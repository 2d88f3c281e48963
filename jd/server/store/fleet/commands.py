"""What workers are told: run, pause, drain, stop; queued until the worker takes it.

A command raises `desired_version` and is queued while `previous_state` tells what was desired
before it. A queued command gives way to one of higher precedence only (stop > drain > pause >
run); a cancelled one reverts to the previous state, again with a new version. Only active workers
are told anything.
"""

import sqlite3
from typing import Any, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from jd import protocol as p
from jd.server.store.fleet import worker_history
from jd.server.store.fleet.standing import AT_ONCE
from jd.server.store.queue import elsewhere
from jd.server.store.transaction import Transaction

CANCEL = "cancel"
ACTIONS = p.DESIRED_STATES + (CANCEL,)
PRECEDENCE = {state: rank for rank, state in enumerate(p.DESIRED_STATES)}
SLICE = 5000  # workers in one call of `tell` at most
SECONDS = 0.05  # that a call may take, where others wait to have something written
FIRST = 2000  # workers in the first call, as long as it is not known how long one takes


class Selection(NamedTuple):
    """Which active workers are meant: those named, those of a host (or one launch on it), or all."""

    worker_ids: Optional[Sequence[str]] = None
    host: Optional[str] = None
    instance: Optional[str] = None


_QUEUED = "desired_version > applied_version AND previous_state IS NOT NULL"


def affected(db: sqlite3.Connection, action: str, chosen: Selection) -> List[str]:
    """The workers to whom `action` would be something new, by id."""
    if chosen.worker_ids is not None:
        return [worker_id for some in _parts(chosen.worker_ids) for worker_id in _among(db, action, some)]
    condition = ""
    values: List[Any] = []
    for column, value in (("host", chosen.host), ("instance", chosen.instance)):
        if value is not None:
            condition += " AND %s = ?" % column
            values.append(value)
    return [row[0] for row in db.execute("SELECT worker_id FROM workers WHERE left_at IS NULL AND %s%s"
                                         " ORDER BY worker_id" % (_news(action), condition), values)]


def tell(t: Transaction, action: str, worker_ids: Iterable[str], source: str) -> List[str]:
    """Queue a command for workers, or cancel theirs. Returns those to whom it is something new."""
    done: List[str] = []
    for some in _parts(worker_ids):
        some = _among(t.db, action, some)
        if some:
            _tell(t, action, some, source)
        done += some
    t.happened.commanded += done
    elsewhere.look_again(t)
    return done


def _tell(t: Transaction, action: str, worker_ids: Sequence[str], source: str) -> None:
    """`tell` for some to whom it is something new. With statements for each this thread would want Python's
    interpreter for each, while the loop has much to do: it answers those who were told before them."""
    if action == CANCEL:
        worker_history.add_lines(t, worker_ids, "cancelled ", source, with_state=True)
        following = "desired_state = previous_state, previous_state = NULL"
    else:
        worker_history.add_lines(t, worker_ids, "queued " + action, source)
        following = "desired_state = '%s', previous_state = coalesce(previous_state, desired_state)" % action
    if action == p.RUN:
        # Somebody wants to see it try again: it is not marked for what was.
        following += ", failures_in_row = 0, failing = 0, failing_since = NULL"
    t.db.execute("UPDATE workers SET %s, desired_version = desired_version + 1, requested_at = ?,"
                 " requested_by = ?, acknowledged_at = NULL, done_at = NULL WHERE worker_id IN (%s)"
                 % (following, ", ".join("?" * len(worker_ids))), (t.now, source, *worker_ids))


def _among(db: sqlite3.Connection, action: str, worker_ids: Sequence[str]) -> List[str]:
    """Those of some workers to whom `action` is something new, in their order."""
    found = {worker_id for (worker_id,) in db.execute(
        "SELECT worker_id FROM workers WHERE worker_id IN (%s) AND left_at IS NULL AND %s"
        % (", ".join("?" * len(worker_ids)), _news(action)), worker_ids)}
    return [worker_id for worker_id in worker_ids if worker_id in found]


def _parts(worker_ids: Iterable[str]) -> Iterator[List[str]]:
    """Each once, as many at a time as one statement takes."""
    ids = list(dict.fromkeys(worker_ids))
    return (ids[start:start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))


def _news(action: str) -> str:
    """The condition that `action` changes what is desired of a worker."""
    if action == CANCEL:
        return _QUEUED
    stronger = ", ".join("'%s'" % state for state, rank in PRECEDENCE.items() if rank > PRECEDENCE[action])
    return "desired_state <> '%s' AND NOT (%s AND desired_state IN (%s))" % (action, _QUEUED, stronger)
