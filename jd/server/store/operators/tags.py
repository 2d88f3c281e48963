"""Tags: short words by which people find jobs again, such as `baseline` or `round-2`.

An experiment has few different lists of them, so each is written once and a job names it by number, as it
does what it needs (`queue.needs`). So a million jobs get a tag at no cost, and are found by an index.
"""

import json
import sqlite3
from typing import List, Optional, Sequence, Set, Tuple

from jd import protocol as p
from jd.server.store.search.conditions import id_list
from jd.server.store.transaction import Transaction

MAX_LISTS = 10_000  # different ones in an experiment


def number(t: Transaction, tags: Sequence[str]) -> Optional[int]:
    """The number of a list; None for an empty one. Raises ProtocolError where there would be too many."""
    if not tags:
        return None
    text = json.dumps(sorted(tags))
    row = t.db.execute("SELECT id FROM tags WHERE tags = ?", (text,)).fetchone()
    if row is not None:
        return int(row[0])
    if count(t.db) >= MAX_LISTS:
        raise too_many()
    added = t.db.execute("INSERT INTO tags (tags) VALUES (?)", (text,)).lastrowid
    t.db.executemany("INSERT INTO listed_tags (tag, tags_id) VALUES (?, ?)", ((tag, added) for tag in tags))
    return added


def too_many() -> p.ProtocolError:
    """The error for more lists than there can be."""
    return p.ProtocolError("tags: jobs of this experiment would have more than %d different lists of "
                           "tags, the most that there can be: take one of those that they have" % MAX_LISTS)


def count(db: sqlite3.Connection) -> int:
    """How many lists there are."""
    return int(db.execute("SELECT count(*) FROM tags").fetchone()[0])


def has_room(db: sqlite3.Connection) -> bool:
    """Whether any `change` can be made: each list, and none at all, becomes one other at most."""
    return 2 * count(db) + 1 <= MAX_LISTS


def new_lists(db: sqlite3.Connection, ids: Sequence[int], add: Sequence[str],
              remove: Sequence[str]) -> Set[str]:
    """Which lists `change` would have to write for these jobs, as they are written."""
    wanted = {json.dumps(after) for _, after in _changes(db, id_list(ids), add, remove) if after}
    return {text for text in wanted
            if db.execute("SELECT 1 FROM tags WHERE tags = ?", (text,)).fetchone() is None}


def _changes(db: sqlite3.Connection, listed: str, add: Sequence[str],
             remove: Sequence[str]) -> List[Tuple[Optional[int], List[str]]]:
    """The lists of jobs that are changed, each with what it becomes."""
    found = []
    for tags_id, text in db.execute(
            "SELECT DISTINCT j.tags_id, l.tags FROM jobs j LEFT JOIN tags l ON l.id = j.tags_id"
            " WHERE j.id IN (%s)" % listed).fetchall():
        before = json.loads(text) if text is not None else []
        after = sorted({*before, *add}.difference(remove))
        if after != before and len(after) <= p.MAX_TAGS:
            found.append((tags_id, after))
    return found


def change(t: Transaction, ids: Sequence[int], add: Sequence[str], remove: Sequence[str]) -> List[int]:
    """Give jobs tags and take others from them; returns the ids of those that this has changed. A job that
    would have more than it can keeps those that it has.

    Raises ProtocolError where there would be too many different lists.
    """
    changed: List[int] = []
    listed = id_list(ids)
    for tags_id, after in _changes(t.db, listed, add, remove):
        changed += [row[0] for row in t.db.execute(
            "SELECT id FROM jobs WHERE id IN (%s) AND tags_id IS ?" % listed, (tags_id,))]
        t.db.execute("UPDATE jobs SET tags_id = ? WHERE id IN (%s) AND tags_id IS ?" % listed,
                     (number(t, after), tags_id))
    return sorted(changed)
