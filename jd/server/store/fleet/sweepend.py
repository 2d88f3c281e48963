"""The end of a sweep: nothing is left to do, so that workers need not wait."""

import sqlite3
from typing import List

from jd import protocol as p
from jd.server.store.fleet import commands
from jd.server.store.queue import jobs

# Set when the workers were told, until there is work again: those that come later may wait for it.
TOLD = "stopped_when_done"


def stop_workers(db: sqlite3.Connection, now: float) -> List[str]:
    """Tell the active workers to stop if nothing is PENDING, SERVED or due for a retry and some job
    was finished; once for each time that this comes about.

    At most commands.SLICE workers are told in one call. Returns those that were.
    """
    told = db.execute("SELECT 1 FROM settings WHERE name = ?", (TOLD,)).fetchone() is not None
    if jobs.work_is_left(db):
        if told:
            forget(db)
        return []
    if told:
        return []
    counted = jobs.counts(db)
    if not counted[p.DONE] + counted[p.ABORTED]:
        return []
    waiting = commands.affected(db, p.STOP, commands.Selection())
    if len(waiting) <= commands.SLICE:
        db.execute("INSERT INTO settings VALUES (?, '1')", (TOLD,))
    return commands.tell(db, p.STOP, waiting[:commands.SLICE], "server", now)


def forget(db: sqlite3.Connection) -> None:
    """Let the workers be told once more."""
    db.execute("DELETE FROM settings WHERE name = ?", (TOLD,))
