"""Which jobs exist already, by their parameters: what a jobs file that grew, and `unique`, ask for.

`job_digests` has a row for each job up to a number: jobs that are made need none, so making them costs
nothing more. Who asks has the table brought up to date first, a slice in one operation, while workers are
served; then each question is a look into an index.

Equal are parameters with the same names and values, in whatever order the names stand. Numbers are equal by
their value (1, 1.0 and 1e0); a number is no text, and null is not the same as no parameter.
"""

import hashlib
import json
import re
import sqlite3
from array import array
from typing import Any, Dict, List, Sequence, Tuple

from jd import protocol as p
from jd.server.store.queue import jobs
from jd.server.store.transaction import Transaction

SLICE = 10_000  # jobs in one step of `catch_up` at most
DIGESTED = "digested_to"  # in `settings`: the last job that has a row
_BYTES = 8  # two of a million jobs have the same one by chance in one of 30 million experiments

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_WHOLE_FLOAT = re.compile(r"\.0[,\]}]|[0-9]e\+")  # as Python writes it
_LOOKED_UP = 900  # digests in one query: SQLite before 3.32 can bind 999 values


def digests(texts: Sequence[str]) -> List[int]:
    """For the parameters in each JSON text a number of the 64 bits that SQLite has. Equal ones have the same
    one, with every version of Python."""
    return [int.from_bytes(hashlib.blake2b(text.encode("ascii"), digest_size=_BYTES).digest(), "big",
                           signed=True) for text in _plain_texts(texts)]


def _plain_texts(texts: Sequence[str]) -> List[str]:
    """Texts that are equal where parameters are."""
    # All at once: to begin with a text takes as long as to read a short one.
    whole = _ENCODER.encode(json.loads("[%s]" % ",".join(texts)))
    if whole.count("{") == len(texts) and _WHOLE_FLOAT.search(whole) is None:
        return ["{%s}" % text for text in whole[2:-2].split("},{")]
    # Objects inside of others, braces in a text, numbers that may be another's: one by one.
    return [_ENCODER.encode(_plain(json.loads(text))) for text in texts]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def catch_up(t: Transaction, limit: int = SLICE) -> bool:
    """Give some jobs that have none their rows. Returns whether there are more; a batch that is being
    written is left out."""
    done = _digested(t.db)
    found = t.db.execute("SELECT id, parameters FROM jobs WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
                         (done, jobs.last_id(t.db), limit)).fetchall()
    if found:
        # In the order of the table, so that a page of it is changed once.
        t.db.executemany("INSERT INTO job_digests (digest, job_id) VALUES (?, ?)",
                         sorted(zip(digests([text for _, text in found]), (job_id for job_id, _ in found))))
        t.db.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)",
                     (DIGESTED, str(found[-1][0])))
    return len(found) == limit


def change(t: Transaction, job_id: int, before: str, after: str) -> None:
    """The parameters of a job, JSON texts, were `before` and are `after` from now on."""
    new, old = digests([after, before])
    t.db.execute("UPDATE job_digests SET digest = ? WHERE digest = ? AND job_id = ?", (new, old, job_id))


def _digested(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM settings WHERE name = ?", (DIGESTED,)).fetchone()
    return 0 if row is None else int(row[0])


class Matching:
    """Finds the jobs of a batch among those that exist, each of which stands for one of the batch: of a job
    that is three times in the batch and exists once, two are missing.

    Jobs of every status count, those that people deleted as well. `ids` has for each job of the batch that
    was looked up the id of the one that exists, 0 where there is none; `deleted` counts those that are
    DELETED. 9 bytes are kept for each job.
    """

    def __init__(self, last_id: int) -> None:
        """Look among the jobs up to this id, which have their rows."""
        self.ids = array("q")
        self.deleted = 0
        self._last_id = last_id
        self._taken = bytearray(last_id + 1)
        self._after: Dict[int, int] = {}  # of jobs that exist several times, the last that was taken

    @property
    def found(self) -> int:
        """How many of those that were looked up exist."""
        return len(self.ids) - self.ids.count(0)

    def look_up(self, db: sqlite3.Connection, texts: Sequence[str]) -> None:
        """Look up the next jobs of the batch: their parameters, as JSON."""
        numbers = digests(texts)
        for start in range(0, len(numbers), _LOOKED_UP):
            self._take(db, numbers[start:start + _LOOKED_UP])

    def _take(self, db: sqlite3.Connection, numbers: List[int]) -> None:
        most = 2 * len(numbers)
        rows = db.execute(
            "SELECT d.digest, d.job_id, j.status FROM job_digests AS d JOIN jobs AS j ON j.id = d.job_id"
            " WHERE d.digest IN (%s) AND d.job_id <= ? LIMIT %d" % (", ".join("?" * len(numbers)), most),
            (*numbers, self._last_id)).fetchall()
        found = {number: (job_id, status) for number, job_id, status in rows}
        one_each = len(found) == len(rows) < most
        for number in numbers:
            # Of jobs that exist several times each stands for one, in their order.
            job_id, status = found.get(number, (0, "")) if one_each else self._next(db, number)
            if self._taken[job_id]:
                job_id = 0
            self.ids.append(job_id)
            if job_id:
                self._taken[job_id] = 1
                self.deleted += status == p.DELETED

    def _next(self, db: sqlite3.Connection, number: int) -> Tuple[int, str]:
        two: List[Tuple[int, str]] = db.execute(
            "SELECT d.job_id, j.status FROM job_digests AS d JOIN jobs AS j ON j.id = d.job_id"
            " WHERE d.digest = ? AND d.job_id > ? AND d.job_id <= ? ORDER BY d.job_id LIMIT 2",
            (number, self._after.get(number, 0), self._last_id)).fetchall()
        if not two or self._taken[two[0][0]]:
            return 0, ""
        if len(two) > 1:
            self._after[number] = two[0][0]
        return two[0]
