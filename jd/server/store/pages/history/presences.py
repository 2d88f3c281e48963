"""When each worker was there, as far as the server knows: from its history and from when it was heard of.

Of a worker the latest 200 lines of its history are kept, and of one that has left nothing after 30 days: what
was before is not known.
"""

import sqlite3
from collections import defaultdict
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from jd.server.store.queue.tookdown import FOUND_DEAD
from jd.workername import split_worker_id

Interval = Tuple[float, float]  # Unix seconds

_LOST = "heartbeat lost"
# What `fleet.workers` and `fleet.presence` write when a worker comes and goes.
_COMES = ("started", "heard of again")
_GOES = ("stopped", "left after its job", _LOST, FOUND_DEAD)
_FROM_CLI = "% from the CLI"
MAX_MARKS = 2_000  # lines of history in one answer


class Presence(NamedTuple):
    """A worker of the list: where it is, its launch and its slot, and when it was there."""

    host: str
    instance: str
    slot: int
    there: List[Interval]


class Mark(NamedTuple):
    """A line of a worker's history."""

    worker_id: str
    at: float
    event: str


def find(db: sqlite3.Connection, now: float) -> Dict[str, Presence]:
    """All workers of the list."""
    lines: Dict[str, List[Tuple[float, bool]]] = defaultdict(list)
    for worker_id, at, event in db.execute(
            "SELECT worker_id, timestamp, event FROM worker_history WHERE event IN (?, ?, ?, ?, ?, ?)"
            " OR event LIKE ? ORDER BY worker_id, id", (*_COMES, *_GOES, _FROM_CLI)):
        lines[worker_id].append((at, event in _COMES))
    found: Dict[str, Presence] = {}
    for worker_id, host, first, last, left, reason in db.execute(
            "SELECT worker_id, host, first_seen, last_seen, left_at, left_reason FROM workers"):
        # Of one that was given up the silence before that is no presence.
        end = now if left is None else min(left, last) if reason == _LOST else left
        name = split_worker_id(worker_id)
        found[worker_id] = Presence(host or (name.host if name else "unknown"), name.instance if name else "",
                                    name.slot if name else 0, _intervals(first, end, lines[worker_id]))
    return found


def _intervals(first: float, end: float, lines: Sequence[Tuple[float, bool]]) -> List[Interval]:
    found: List[Interval] = []
    since: Optional[float] = first
    for at, comes in lines:
        if comes and since is None:
            since = at
        elif not comes and since is not None:
            found.append((since, at))
            since = None
    if since is not None:
        found.append((since, end))
    elif found:
        found[-1] = (found[-1][0], min(found[-1][1], end))
    return [(start, stop) for start, stop in found if stop > start]


def overlap(there: Sequence[Interval], start: float, end: float) -> float:
    """Seconds of a window in which a worker was there."""
    return sum(max(0.0, min(stop, end) - max(begin, start)) for begin, stop in there)


def marks(db: sqlite3.Connection, worker_ids: Sequence[str], start: float, end: float) -> List[Mark]:
    """What happened to some workers in a window, besides their jobs; at most MAX_MARKS lines."""
    found: List[Mark] = []
    for worker_id in worker_ids:
        found += [Mark(worker_id, at, event) for at, event in db.execute(
            "SELECT timestamp, event FROM worker_history WHERE worker_id = ? AND timestamp BETWEEN ? AND ?"
            " ORDER BY id LIMIT ?", (worker_id, start, end, MAX_MARKS - len(found)))]
    return found
