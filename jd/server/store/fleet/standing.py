"""How workers stand: what they have said last, and what they are to be told."""

import sqlite3
from typing import Dict, NamedTuple, Optional, Sequence

from jd import protocol as p

AT_ONCE = 500  # workers in one statement: SQLite may take no more than 999 values
FAILED = "CASE WHEN failing AND requested_by = 'server' THEN failures_in_row END"


class Standing(NamedTuple):
    """How a worker stands; `failed` is of one that the server has paused: how often its jobs failed."""

    session: Optional[str]
    reported_status: str
    current_job_id: Optional[int]
    desired_state: str
    desired_version: int
    applied_version: int
    left_at: Optional[float]
    version: str
    failed: Optional[int]

    @property
    def is_idle(self) -> bool:
        return self.reported_status == p.IDLE

    @property
    def is_pending(self) -> bool:
        """Whether it is still to take a command."""
        return self.desired_version > self.applied_version

    def is_present(self, session: Optional[str]) -> bool:
        """Whether it is active, in this process."""
        return self.left_at is None and self.session == session


def standing_of(db: sqlite3.Connection, worker_id: str) -> Standing:
    """How a worker stands that was heard of."""
    return standings_of(db, [worker_id])[worker_id]


def standings_of(db: sqlite3.Connection, worker_ids: Sequence[str]) -> Dict[str, Standing]:
    """How some stand, by their id."""
    found: Dict[str, Standing] = {}
    for start in range(0, len(worker_ids), AT_ONCE):
        some = worker_ids[start:start + AT_ONCE]
        found.update((row[0], Standing(*row[1:])) for row in db.execute(
            "SELECT worker_id, session, reported_status, current_job_id, desired_state, desired_version,"
            " applied_version, left_at, version, %s FROM workers WHERE worker_id IN (%s)"
            % (FAILED, ", ".join("?" * len(some))), some))
    return found
