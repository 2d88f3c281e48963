"""Jobs whose parameters are not among the values yet (see `values`).

To write the values of a job takes longer than the job itself, and no worker needs them. So of a batch that is
written in slices they follow when its jobs are there, which workers run meanwhile. Who filters or sorts by a
parameter waits until all are there (`values.check_whole`), and so does who changes the parameters of a job.
"""

import json
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from jd.server.store.search.values import MISSING, PARAMETER, Gathered, id_of
from jd.server.store.transaction import Transaction


class _Missing(NamedTuple):
    """Behind which job, and up to which one."""

    done: int
    last: int


def _missing(t: Transaction) -> Optional[_Missing]:
    row = t.db.execute("SELECT value FROM settings WHERE name = ?", (MISSING,)).fetchone()
    return None if row is None else _Missing._make(map(int, row[0].split()))


def follow(t: Transaction, names: Iterable[str], start_id: int, total: int) -> None:
    """The parameters of so many jobs, the latest that there are, will follow. These are names of theirs,
    which are known from now on."""
    for name in names:
        id_of(t, PARAMETER, name)
    before = _missing(t)
    done = start_id - 1 if before is None else before.done
    t.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)",
                 (MISSING, "%d %d" % (done, start_id + total - 1)))
    t.happened.values_follow = True


class Filling:
    """Writes the values that are missing: they are gathered from many jobs in several operations, and written
    in several."""

    def __init__(self) -> None:
        self._gathered = Gathered(PARAMETER)
        self._reached = 0  # the last job that was looked at

    @property
    def is_full(self) -> bool:
        """Whether what was taken is enough to be written."""
        return self._gathered.is_full

    def take(self, t: Transaction, limit: int) -> bool:
        """Look at the next jobs, so many at most. Returns whether there may be more."""
        missing = _missing(t)
        if missing is None:
            return False
        self._reached = max(self._reached, missing.done)
        found = t.db.execute("SELECT id, CAST(parameters AS BLOB) FROM jobs WHERE id > ? AND id <= ?"
                             " ORDER BY id LIMIT ?", (self._reached, missing.last, limit)).fetchall()
        if found:
            self._reached = found[-1][0]
            self._gathered.take(_objects(found))
        return len(found) == limit

    def write(self, t: Transaction, limit: int) -> bool:
        """Write so many of the values that were taken. Returns whether there are more, which are to be
        written before others are taken."""
        if self._gathered.write(t, limit):
            return True
        missing = _missing(t)
        if missing is not None and self._reached < missing.last:
            t.db.execute("UPDATE settings SET value = ? WHERE name = ?",
                         ("%d %d" % (max(missing.done, self._reached), missing.last), MISSING))
        else:
            t.db.execute("DELETE FROM settings WHERE name = ?", (MISSING,))
        return False


def _objects(rows: List[Tuple[int, Any]]) -> Iterable[Tuple[int, Dict[str, Any]]]:
    """The parameters of jobs. Those that are damaged have no values; the claim that comes to such a job tells
    of it."""
    ids, texts = zip(*rows)  # as bytes: damaged ones may be no text any more
    try:
        # All at once: to begin with a text takes as long as to read a short one.
        values = json.loads(b"[%s]" % b",".join(texts))
        if len(values) == len(ids) and set(map(type, values)) == {dict}:
            return zip(ids, values)
    except (ValueError, TypeError, RecursionError):
        pass
    return _one_by_one(rows)


def _one_by_one(rows: List[Tuple[int, Any]]) -> Iterator[Tuple[int, Dict[str, Any]]]:
    for job_id, text in rows:
        try:
            value = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            continue
        if isinstance(value, dict):
            yield job_id, value
