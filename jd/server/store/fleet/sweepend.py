"""The end of a sweep: nothing is left to do, so that workers need not wait."""

from jd import protocol as p
from jd.server.store.fleet import commands
from jd.server.store.queue import jobs
from jd.server.store.transaction import Transaction

# Set when the workers were told, until there is work again: those that come later may wait for it.
TOLD = "stopped_when_done"


def stop_workers(t: Transaction) -> None:
    """Tell the active workers to stop if nothing is PENDING, SERVED or due for a retry and some job
    was finished; once for each time that this comes about.

    At most commands.SLICE workers are told in one call.
    """
    told = t.db.execute("SELECT 1 FROM settings WHERE name = ?", (TOLD,)).fetchone() is not None
    if jobs.work_is_left(t.db):
        if told:
            forget(t)
        return
    if told:
        return
    if not jobs.some_ended(t.db):
        return
    waiting = commands.affected(t.db, p.STOP, commands.Selection())
    if len(waiting) <= commands.SLICE:
        t.db.execute("INSERT INTO settings VALUES (?, '1')", (TOLD,))
    commands.tell(t, p.STOP, waiting[:commands.SLICE], "server")


def forget(t: Transaction) -> None:
    """Let the workers be told once more."""
    t.db.execute("DELETE FROM settings WHERE name = ?", (TOLD,))
