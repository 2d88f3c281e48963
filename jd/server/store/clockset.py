"""The clock of the machine is set while the server runs: what is counted from some time goes on counting.

Times are stored in Unix seconds, as they are shown. Leases, retries and the like compare them with the time,
so an hour forward would end every attempt, and a day back would hold up every retry. They are moved along
with the clock instead, in the transaction that is the first to see that it was set: until then nothing else
has compared them. What is only shown, as the history, stays as it was written down.
"""

import sqlite3
from typing import Tuple

from jd.server.store.transaction import Transaction

# What a clock may be set by without anything being moved, seconds: less than anybody counts on.
LEAST = 0.5
SAID = 10.0  # seconds; from then on people should know

_OFFSET = "clock_offset"  # in `settings`

# Columns, each with the rows of which it counts. What is compared with `Transaction.now` belongs here.
MOVED: Tuple[Tuple[str, str, str], ...] = (
    ("jobs", "lease_until", "status = 'SERVED'"),
    ("jobs", "ends_by", "ends_by IS NOT NULL"),
    ("jobs", "request_timestamp", "status = 'SERVED'"),
    ("attempts", "started_at", "(job_id, number) IN (SELECT id, attempt FROM jobs WHERE status = 'SERVED')"),
    ("jobs", "retry_at", "retry_at IS NOT NULL"),
    ("jobs", "elsewhere_until", "elsewhere_until IS NOT NULL"),
    ("workers", "last_seen", "left_at IS NULL"),
    ("workers", "due_back", "due_back IS NOT NULL"),
    ("workers", "failing_since", "failing_since IS NOT NULL"),
    ("workers", "last_done_at", "last_done_at IS NOT NULL"),
    ("sessions", "expires_at", "TRUE"),
)


def begin(db: sqlite3.Connection, offset: float) -> None:
    """A server starts: the times in the database are those of a clock of this offset (see `jd.clock`)."""
    db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_OFFSET, repr(offset)))


def is_set(offset: float, before: float) -> bool:
    """Whether the clock was set between these two offsets."""
    return abs(offset - before) >= LEAST


def follow(t: Transaction, offset: float) -> None:
    """Move what counts, if the clock was set since the last transaction."""
    row = t.db.execute("SELECT value FROM settings WHERE name = ?", (_OFFSET,)).fetchone()
    by = offset - float(row[0])
    if not is_set(offset, float(row[0])):
        return
    for table, column, rows in MOVED:
        t.db.execute("UPDATE %s SET %s = %s + ? WHERE %s" % (table, column, column, rows), (by,))
    begin(t.db, offset)
    t.happened.clock_offset = offset
    if abs(by) >= SAID:
        t.happened.said.append("the clock of this machine was set %s by %.0f s: leases and retries go by the "
                               "time that has passed" % ("forward" if by > 0 else "back", abs(by)))
