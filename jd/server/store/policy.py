"""The settings of a server that decide about jobs and workers."""

import sqlite3
from typing import NamedTuple, Optional

# Rows of the table of settings.
PAUSED_BECAUSE = "paused_because"
ENDED = "sweep_ended"  # why the sweep has ended, until somebody goes on (see `operators.endrule`)
HAS_ENDED = "rule_has_ended."  # and a part of the rule: with this value it has ended the sweep


class Policy(NamedTuple):
    """Durations in seconds. What people change on the dashboard is stored (see `operators.options`)."""

    lease: float = 600.0
    retry_pause: float = 1200.0
    max_attempts: int = 3
    max_interruptions: int = 100
    paused: bool = False  # no job is handed out
    stop_when_done: bool = False  # workers are told to stop when there is nothing left to do
    pause_failing: bool = True  # a worker that is marked as failing is paused
    failing_after: int = 5  # failures in a row that mark it (see `fleet.failing`)
    pause_broken: bool = True  # a sweep whose first attempts all failed is paused (`operators.brokensweep`)
    # What ends the sweep (see `operators.endrule`).
    stop_when: str = ""  # a filter: a job that matches has reached the target; "": none
    max_jobs: int = 0  # jobs that are DONE; 0: any number
    max_hours: float = 0.0  # hours of computing, of all attempts together; 0: any number


def paused_because(db: sqlite3.Connection) -> Optional[str]:
    """Why the server itself has paused the experiment; None where it has not."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (PAUSED_BECAUSE,)).fetchone()
    return None if row is None else str(row[0])
