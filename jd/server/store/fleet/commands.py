"""What workers are told: run, pause, drain, stop; queued until the worker takes it.

A command raises `desired_version` and is queued while `previous_state` tells what was desired
before it. A queued command gives way to one of higher precedence only (stop > drain > pause >
run); a cancelled one reverts to the previous state, again with a new version. Only active workers
are told anything.
"""

import sqlite3
from typing import Any, Iterable, List, NamedTuple, Optional, Sequence

from jd import protocol as p
from jd.server.store.fleet import worker_history
from jd.server.store.queue import elsewhere
from jd.server.store.transaction import Transaction

CANCEL = "cancel"
ACTIONS = p.DESIRED_STATES + (CANCEL,)
PRECEDENCE = {state: rank for rank, state in enumerate(p.DESIRED_STATES)}
# Workers in one call of `tell` at most, which takes a tenth of a second for so many. Those of the next call
# have to wait until these have acknowledged it.
SLICE = 5000
SECONDS = 0.1


class Selection(NamedTuple):
    """Which active workers are meant: those named, those of a host (or one launch on it), or all."""

    worker_ids: Optional[Sequence[str]] = None
    host: Optional[str] = None
    instance: Optional[str] = None


class _Told(NamedTuple):
    worker_id: str
    desired_state: str
    desired_version: int
    applied_version: int
    previous_state: Optional[str]


_COLUMNS = "worker_id, desired_state, desired_version, applied_version, previous_state"


def affected(db: sqlite3.Connection, action: str, chosen: Selection) -> List[str]:
    """The workers to whom `action` would be something new, by id."""
    if chosen.worker_ids is not None:
        found = (_told(db, worker_id) for worker_id in dict.fromkeys(chosen.worker_ids))
        return [told.worker_id for told in found
                if told is not None and _following(told, action) is not None]
    condition = ""
    values: List[Any] = []
    for column, value in (("host", chosen.host), ("instance", chosen.instance)):
        if value is not None:
            condition += " AND %s = ?" % column
            values.append(value)
    rows = db.execute("SELECT %s FROM workers WHERE left_at IS NULL%s ORDER BY worker_id"
                      % (_COLUMNS, condition), values)
    return [row[0] for row in rows if _following(_Told(*row), action) is not None]


def tell(t: Transaction, action: str, worker_ids: Iterable[str], source: str) -> List[str]:
    """Queue a command for workers, or cancel theirs. Returns those to whom it is something new."""
    done = []
    for worker_id in worker_ids:
        told = _told(t.db, worker_id)
        state = None if told is None else _following(told, action)
        if told is None or state is None:
            continue
        if action == CANCEL:
            previous, event = None, "cancelled %s" % told.desired_state
        else:
            previous, event = told.previous_state or told.desired_state, "queued %s" % action
        t.db.execute(
            "UPDATE workers SET desired_state = ?, desired_version = ?, previous_state = ?,"
            " requested_at = ?, requested_by = ?, acknowledged_at = NULL, done_at = NULL"
            " WHERE worker_id = ?",
            (state, told.desired_version + 1, previous, t.now, source, worker_id))
        if action == p.RUN:
            # Somebody wants to see it try again: it is not marked for what was.
            t.db.execute("UPDATE workers SET failures_in_row = 0, failing = 0, failing_since = NULL"
                         " WHERE worker_id = ?", (worker_id,))
        worker_history.add_line(t, worker_id, event, source)
        done.append(worker_id)
    t.happened.commanded += done
    elsewhere.look_again(t)
    return done


def _told(db: sqlite3.Connection, worker_id: str) -> Optional[_Told]:
    row = db.execute("SELECT %s FROM workers WHERE worker_id = ? AND left_at IS NULL" % _COLUMNS,
                     (worker_id,)).fetchone()
    return None if row is None else _Told(*row)


def _following(told: _Told, action: str) -> Optional[str]:
    """The state to be desired after `action`; None where that changes nothing."""
    queued = told.desired_version > told.applied_version and told.previous_state is not None
    if action == CANCEL:
        return told.previous_state if queued else None
    if action == told.desired_state:
        return None
    if queued and PRECEDENCE[action] < PRECEDENCE[told.desired_state]:
        return None
    return action
