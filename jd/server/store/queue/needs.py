"""What jobs need of a worker, as lists of tags: how a batch's list is kept, and who has all of one.

An experiment has few different lists, so each is written once and a job names it by number. A claim takes the
first job of those lists that its worker has all of, at a cost that does not grow with the jobs.
"""

import json
import sqlite3
from typing import FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from jd import protocol as p
from jd.server.store.queue.jobs import creating_from
from jd.server.store.transaction import Transaction

MAX_LISTS = 1000  # different ones in an experiment
COUNTED = 10_000  # jobs that nobody can run are counted up to here
TOLD = 10  # lists of which it is told

Kinds = Sequence[Optional[int]]  # numbers of lists; None is of the jobs that need nothing

_MET = ("SELECT n.id FROM needed_tags AS t JOIN needs AS n ON n.id = t.needs_id WHERE t.tag IN (%s)"
        " GROUP BY n.id HAVING count(*) = n.size")


class CannotRun(NamedTuple):
    """PENDING jobs that no living worker has what they need for; at most COUNTED."""

    needs: Tuple[str, ...]
    jobs: int


def number(t: Transaction, tags: Sequence[str]) -> Optional[int]:
    """The number of a list, in whatever order; None for an empty one.

    Raises ProtocolError where there would be too many different ones."""
    if not tags:
        return None
    text = json.dumps(sorted(tags))
    row = t.db.execute("SELECT id FROM needs WHERE tags = ?", (text,)).fetchone()
    if row is not None:
        return int(row[0])
    if t.db.execute("SELECT (SELECT count(*) FROM needs) - (SELECT count(*) FROM dependencies)"
                    ).fetchone()[0] >= MAX_LISTS:
        raise p.ProtocolError("needs: jobs of this experiment need %d different lists of tags already, which "
                              "is the most that there can be: take one of them" % MAX_LISTS)
    added = t.db.execute("INSERT INTO needs (tags, size) VALUES (?, ?)", (text, len(tags))).lastrowid
    t.db.executemany("INSERT INTO needed_tags (tag, needs_id) VALUES (?, ?)", ((tag, added) for tag in tags))
    return added


def kinds(db: sqlite3.Connection, worker_id: str) -> Kinds:
    """The lists of which a worker has all tags; its machine type is one."""
    if db.execute("SELECT 1 FROM needs LIMIT 1").fetchone() is None:
        return (None,)
    machine_type, tags = db.execute("SELECT machine_type, tags FROM workers WHERE worker_id = ?",
                                    (worker_id,)).fetchone()
    has = sorted({machine_type, *json.loads(tags)})
    return [None, *(row[0] for row in db.execute(_MET % ", ".join("?" * len(has)), has))]


def cannot_run(db: sqlite3.Connection) -> List[CannotRun]:
    """What jobs need that no active worker has, with how many they are; of TOLD lists at most."""
    found: List[CannotRun] = []
    active: Optional[List[FrozenSet[str]]] = None
    before = creating_from(db)
    # Not of jobs that wait for others: those are to be found without a worker.
    for needs_id, text in db.execute("SELECT id, tags FROM needs WHERE id NOT IN (SELECT needs_id FROM"
                                     " dependencies) ORDER BY id"):
        if active is None:
            active = _active(db)
        tags = json.loads(text)
        if any(has.issuperset(tags) for has in active):
            continue
        jobs = db.execute("SELECT count(*) FROM (SELECT id FROM jobs INDEXED BY jobs_queue WHERE"
                          " status = 'PENDING' AND needs_id = ? LIMIT ?) WHERE id < ?",
                          (needs_id, COUNTED, before)).fetchone()[0]
        if jobs:
            found.append(CannotRun(tuple(tags), jobs))
        if len(found) == TOLD:
            break
    return found


def _active(db: sqlite3.Connection) -> List[FrozenSet[str]]:
    """What the active workers have, each combination once."""
    return [frozenset((machine_type, *json.loads(tags))) for machine_type, tags in db.execute(
        "SELECT DISTINCT machine_type, tags FROM workers WHERE left_at IS NULL")]
