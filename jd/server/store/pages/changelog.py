"""Which jobs have changed since somebody looked, in that order: for programs that watch.

Each change of a job gives it a number above all that were committed (`jobs.CHANGED`, else the trigger
`changed_job`), so a job is told once, as it is now, however often it has changed. New jobs have no number
yet: they are those above the last known id.
"""

import re
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from jd.protocol import ProtocolError, shown
from jd.server.store import jobfields
from jd.server.store.jobfields import Where
from jd.server.store.pages import summary
from jd.server.store.queue import jobs

MAX_CHANGES = 1_000  # in one answer

_FIELDS = jobfields.shown(Where.CHANGES)
_CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,15})(?:-([0-9]{1,15}))?", re.ASCII)


class Cursor(NamedTuple):
    """What is known: changes up to a number, of those with that number the jobs up to the id `of_number`, and
    jobs up to the id `last_id`."""

    number: int
    last_id: int
    of_number: int = jobs.NO_BATCH

    def text(self) -> str:
        """The cursor for a URL."""
        return "-".join("%d" % part for part in (self[:2] if self.of_number == jobs.NO_BATCH else self))


class Changes(NamedTuple):
    """Jobs that have changed or are new; `next` is what is known with them."""

    jobs: List[Dict[str, Any]]
    next: Cursor


def cursor(text: str) -> Cursor:
    """Read a cursor. Raises ProtocolError."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ProtocolError("after=%s is no cursor: take the one of an answer, or none to begin with what "
                            "changes from now on" % shown(text))
    return Cursor(*(int(number) for number in found.groups() if number is not None))


def since(db: sqlite3.Connection, known: Optional[Cursor]) -> Changes:
    """What has changed since; from now on without a cursor, or with one of other data."""
    now = Cursor(summary.changes(db)["jobs"], jobs.last_id(db))
    if known is None or known.number > now.number:
        return Changes([], now)
    # Jobs that were changed in one commit may have one number.
    changed = _jobs(db, "j.changed >= ? AND (j.changed > ? OR j.id > ?) AND j.id <= ?"
                        " ORDER BY j.changed, j.id",
                    (known.number, known.number, known.of_number, known.last_id), MAX_CHANGES)
    if len(changed) == MAX_CHANGES:
        last_id = changed[-1]["id"]
        last = db.execute("SELECT changed FROM jobs WHERE id = ?", (last_id,)).fetchone()[0]
        return Changes(changed, Cursor(last, known.last_id, last_id))
    new = _jobs(db, "j.id > ? AND j.id <= ? ORDER BY j.id", (known.last_id, now.last_id),
                MAX_CHANGES - len(changed))
    # A new job that has changed meanwhile was told as it is now.
    return Changes(changed + new, Cursor(now.number, new[-1]["id"] if new else known.last_id))


def _jobs(db: sqlite3.Connection, which: str, values: Sequence[int], limit: int) -> List[Dict[str, Any]]:
    found = [jobfields.values(_FIELDS, row) for row in db.execute(
        "SELECT %s FROM jobs j WHERE %s LIMIT ?" % (jobfields.columns(_FIELDS), which), (*values, limit))]
    for job in found:
        job["worker"] = job.pop("worker_id")
    return found
