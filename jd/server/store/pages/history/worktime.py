"""What the time of workers went into: how attempts are told apart, and how long each took.

An attempt that runs lasts up to now. One that has ended took as long as its worker says that its script ran,
else from its claim to its end. What lies between the two is our own work, or a result that waited for us.
"""

import sqlite3
from typing import Dict, Tuple

from jd import protocol as p
from jd.server.store.pages.completions import UNKNOWN_HOST
from jd.server.store.queue import transitions
from jd.workername import split_worker_id

DONE = "done"
FAILED = "failed"
LOST = "lost"
RETURNED = "returned"  # given back by its worker, or taken from it by somebody
RUNNING = "running"
KINDS: Tuple[str, ...] = (DONE, FAILED, LOST, RETURNED, RUNNING)
WASTED = (FAILED, LOST, RETURNED)  # that no job has come of

# The kind of an attempt `a`, as its place in KINDS.
KIND = ("(CASE WHEN a.verdict IS NULL THEN 4 WHEN a.verdict = '%s' THEN 0 WHEN a.verdict IN (%s) THEN 1"
        " WHEN a.verdict = '%s' THEN 2 ELSE 3 END)" % (
            p.VERDICT_DONE, ", ".join("'%s'" % verdict for verdict in transitions.FAILURES), p.VERDICT_LOST))
# Seconds, where a question mark is the time now.
SECONDS = ("max(0.0, CASE WHEN a.verdict IS NULL THEN ? - a.started_at"
           " ELSE coalesce(a.runtime, a.ended_at - a.started_at) END)")
ATTEMPTS = "attempts a INDEXED BY attempts_by_time"


def hosts(db: sqlite3.Connection) -> Dict[str, str]:
    """The host of each worker that is in the list."""
    return dict(db.execute("SELECT worker_id, host FROM workers WHERE host <> ''"))


def host_of(worker_id: str, known: Dict[str, str]) -> str:
    """Where a worker is: as it says, or, of one that is not in the list, as its name has it."""
    host = known.get(worker_id)
    if host is not None:
        return host
    name = split_worker_id(worker_id)
    return UNKNOWN_HOST if name is None else name.host
