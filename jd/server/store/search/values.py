"""Parameters and results by value: what jobs are sorted and found by.

`job_values` has a row for each value of each job: (name, value, job), in that order, so that jobs are
read in the order of a value without looking at the others. The objects themselves stay in
`jobs.parameters` and `jobs.results`; every function here keeps the two in step. Of jobs that were made many
at a time the parameters follow, a while after the jobs (see `missing`).
"""

import itertools
import json
import re
import sqlite3
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

from jd.server.store import manyrows
from jd.server.store.queue.jobs import NoSuchJob
from jd.server.store.search.sql import id_list
from jd.server.store.transaction import Transaction

PARAMETER = "parameter"
RESULT = "result"

Key = Union[int, float, str]  # as it stands in job_values

KEY_CHARS = 200  # of a text that are kept: longer ones are sorted by their beginning
GATHERED_JOBS = 20_000  # to sort the values of a name takes some ten milliseconds
GATHERED_VALUES = 500_000  # which take some 50 MB of memory

# What SQLite takes for a number where it compares a text with one.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_NUMBER_CHARS = 310
_VALUE, _JOB = itemgetter(0), itemgetter(1)


def key(value: Any) -> Optional[Key]:
    """What a JSON value is sorted by; None: by nothing, it comes last.

    true and false are 1 and 0. A text that is a number is that number. A list or an object is its
    JSON without blanks. Numbers come before texts, and texts have at most KEY_CHARS characters.
    """
    kind = type(value)
    if kind is int:
        return _whole(value)
    if kind is float:
        return None if value != value else value
    if kind is str:
        stripped = value.strip(" \t\n\v\f\r")
        if len(stripped) <= _NUMBER_CHARS and _NUMBER.fullmatch(stripped):
            return _number(stripped)
        return str(value[:KEY_CHARS])
    if kind is bool:
        return int(value)
    if value is None:
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))[:KEY_CHARS]


def _number(text: str) -> Key:
    try:
        return _whole(int(text))
    except ValueError:
        return float(text)


def _whole(value: int) -> Key:
    if -2 ** 63 <= value < 2 ** 63:
        return value
    try:
        return float(value)
    except OverflowError:
        return str(value)[:KEY_CHARS]


# ---- values that follow (see `missing`)

MISSING = "values_missing"  # in `settings` while they follow: "<last id that has its values> <last id>"


class NotThereYet(Exception):
    """The parameters of some jobs are not among the values yet: who looks for them is to wait."""


def check_whole(db: sqlite3.Connection) -> None:
    """Raise NotThereYet where the parameters of some jobs are still to follow."""
    if are_missing(db):
        raise NotThereYet


def are_missing(db: sqlite3.Connection) -> bool:
    """Whether the parameters of some jobs are still to follow."""
    return db.execute("SELECT 1 FROM settings WHERE name = ?", (MISSING,)).fetchone() is not None


# ---- names

def names(db: sqlite3.Connection, kind: str, limit: int = -1) -> List[str]:
    """The names of a kind that any job has or had, in the order of their first use."""
    return [row[0] for row in db.execute(
        "SELECT name FROM value_names WHERE kind = ? ORDER BY id LIMIT ?", (kind, limit))]


def name_id(db: sqlite3.Connection, kind: str, name: str) -> Optional[int]:
    """The number of a name in `job_values`, None if no job ever had it."""
    row = db.execute("SELECT id FROM value_names WHERE kind = ? AND name = ?",
                     (kind, name)).fetchone()
    return None if row is None else int(row[0])


def id_of(t: Transaction, kind: str, name: str) -> int:
    """The same; a name that no job ever had gets one."""
    found = name_id(t.db, kind, name)
    if found is not None:
        return found
    added = t.db.execute("INSERT INTO value_names (kind, name) VALUES (?, ?)", (kind, name))
    return int(added.lastrowid or 0)


# ---- values

def put(t: Transaction, kind: str, rows: Iterable[Tuple[int, Mapping[str, Any]]]) -> None:
    """Add the values of jobs, given as (job id, object), that have none of this kind yet."""
    ids: Dict[str, int] = {}
    found: List[Tuple[int, bool, Key, int]] = []
    for job_id, values in rows:
        for name, value in values.items():
            if name not in ids:
                ids[name] = id_of(t, kind, name)
            kept = key(value)
            if kept is not None:
                found.append((ids[name], type(kept) is str, kept, job_id))
    found.sort()  # in the order of the table, as with Gathered
    _insert(t, ((number, kept, job_id) for number, _, kept, job_id in found))


def _insert(t: Transaction, rows: Iterable[Tuple[int, Key, int]]) -> None:
    # A server that was killed may have written some of them.
    manyrows.insert(t.db, "INSERT OR IGNORE INTO job_values (name_id, value, job_id) VALUES %s", "(?, ?, ?)",
                    rows)


class Gathered:
    """Values of many jobs that have none of their kind yet, to be written in several operations.

    They are written in the order of the table. So each page of it is changed once for all that were gathered;
    of jobs with many parameters, a few at a time would change nearly all pages each time.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._sides: Dict[str, Tuple[List[Tuple[Key, int]], List[Tuple[Key, int]]]] = {}  # numbers, texts
        self._in_order: Optional[Iterator[Tuple[int, Key, int]]] = None
        self._jobs = self._values = 0

    @property
    def is_full(self) -> bool:
        """Whether what was taken is enough to be written."""
        return self._jobs >= GATHERED_JOBS or self._values >= GATHERED_VALUES

    def take(self, rows: Iterable[Tuple[int, Mapping[str, Any]]]) -> None:
        """Those of jobs, given as (job id, object)."""
        ids: List[int] = []
        objects: List[Mapping[str, Any]] = []
        for job_id, values in rows:
            ids.append(job_id)
            objects.append(values)
        self._jobs += len(ids)
        for name, of, column in _columns(ids, objects):
            self._values += len(column)
            numbers, texts = self._sides.setdefault(name, ([], []))
            for kept, job_id in zip(_keys(column), of):
                if type(kept) is str:
                    texts.append((kept, job_id))
                elif kept is not None:
                    numbers.append((kept, job_id))

    def write(self, t: Transaction, limit: int) -> bool:
        """Write so many of them at most; returns whether there may be more, which are to be written before
        others are taken."""
        if self._in_order is None:
            self._in_order = itertools.chain.from_iterable(
                self._sorted(sorted((id_of(t, self._kind, name), name) for name in self._sides)))
        part = list(itertools.islice(self._in_order, limit))
        _insert(t, part)
        if len(part) == limit:
            return True
        self._in_order, self._jobs, self._values = None, 0, 0
        return False

    def _sorted(self, names: Sequence[Tuple[int, str]]) -> Iterator[Iterator[Tuple[int, Key, int]]]:
        for number, name in names:
            for side in self._sides.pop(name):
                side.sort(key=_VALUE)  # of each value the jobs are in their order already
                yield zip(itertools.repeat(number), map(_VALUE, side), map(_JOB, side))


def _columns(ids: List[int], objects: List[Mapping[str, Any]]
             ) -> Iterator[Tuple[str, Sequence[int], Sequence[Any]]]:
    """Each name with the jobs that have it and their values."""
    if len(set(map(tuple, objects))) == 1:
        for name in objects[0]:
            yield name, ids, list(map(itemgetter(name), objects))
        return
    found: Dict[str, Tuple[List[int], List[Any]]] = {}
    for job_id, values in zip(ids, objects):
        for name, value in values.items():
            if name not in found:
                found[name] = ([], [])
            found[name][0].append(job_id)
            found[name][1].append(value)
    for name, (of, column) in found.items():
        yield name, of, column


def _keys(values: Sequence[Any]) -> Sequence[Optional[Key]]:
    """The `key` of each; of texts that are there many times only once."""
    kinds = set(map(type, values))
    if kinds == {int} and min(values) >= -2 ** 63 and max(values) < 2 ** 63:
        return values
    if kinds == {str}:
        known = {value: key(value) for value in set(values)}
        return list(map(known.__getitem__, values))
    return list(map(key, values))


def change(t: Transaction, kind: str, job_id: int, before: Mapping[str, Any],
           after: Mapping[str, Any]) -> None:
    """A job's values of this kind were `before` and are `after` from now on."""
    remove(t, kind, [(job_id, _unlike(before, after))])
    put(t, kind, [(job_id, _unlike(after, before))])


def _unlike(some: Mapping[str, Any], others: Mapping[str, Any]) -> Dict[str, Any]:
    """Those of some values that others do not have under the same name."""
    return {name: value for name, value in some.items()
            if name not in others or key(others[name]) != key(value)}


def remove(t: Transaction, kind: str, rows: Iterable[Tuple[int, Mapping[str, Any]]]) -> None:
    """Take away the values of jobs, given as they were put."""
    ids: Dict[str, Optional[int]] = {}
    found = []
    for job_id, values in rows:
        for name, value in values.items():
            if name not in ids:
                ids[name] = name_id(t.db, kind, name)
            found.append((ids[name], key(value), job_id))
    t.db.executemany("DELETE FROM job_values WHERE name_id = ? AND value = ? AND job_id = ?", found)


def results(db: sqlite3.Connection, job_id: int) -> Dict[str, Any]:
    """The results of a job, empty if it has none. Raises NoSuchJob."""
    row = db.execute("SELECT results FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(job_id)
    found: Dict[str, Any] = json.loads(row[0]) if row[0] else {}
    return found


def set_results(t: Transaction, job_id: int, new: Mapping[str, float],
                not_finite: Mapping[str, str] = MappingProxyType({})) -> None:
    """These are a job's results from now on, and no others: finite numbers, and by name what is NaN, Infinity
    or -Infinity. Raises NoSuchJob."""
    change(t, RESULT, job_id, results(t.db, job_id), new)
    t.db.execute("DELETE FROM results_not_finite WHERE job_id = ?", (job_id,))
    t.db.executemany("INSERT INTO results_not_finite (name_id, job_id, value) VALUES (?, ?, ?)",
                     [(id_of(t, RESULT, name), job_id, value) for name, value in not_finite.items()])
    t.db.execute("UPDATE jobs SET results = ? WHERE id = ?",
                 (json.dumps(new, ensure_ascii=False, allow_nan=False) if new else None, job_id))


def not_finite(db: sqlite3.Connection, metric: str) -> Dict[int, str]:
    """Of which jobs a result is NaN, Infinity or -Infinity."""
    return dict(db.execute("SELECT job_id, value FROM results_not_finite WHERE name_id = ?",
                           (name_id(db, RESULT, metric),)))


def words(db: sqlite3.Connection, above: int, up_to: int) -> Dict[int, Dict[str, str]]:
    """Of jobs between two ids, the results that are NaN, Infinity or -Infinity, by name."""
    return _words(db, "r.job_id > %d AND r.job_id <= %d" % (above, up_to))


def words_of(db: sqlite3.Connection, ids: Iterable[int]) -> Dict[int, Dict[str, str]]:
    """The same of some jobs."""
    return _words(db, "r.job_id IN (%s)" % id_list(ids))


def _words(db: sqlite3.Connection, which: str) -> Dict[int, Dict[str, str]]:
    found: Dict[int, Dict[str, str]] = {}
    for job_id, name, value in db.execute(
            "SELECT r.job_id, n.name, r.value FROM results_not_finite r"
            " JOIN value_names n ON n.id = r.name_id WHERE " + which):
        found.setdefault(job_id, {})[name] = value
    return found


def has_not_finite(db: sqlite3.Connection, metric: str) -> bool:
    """Whether a result is one of these in any job."""
    return db.execute("SELECT 1 FROM results_not_finite WHERE name_id = ? LIMIT 1",
                      (name_id(db, RESULT, metric),)).fetchone() is not None


def set_parameters(t: Transaction, job_id: int, text: str) -> None:
    """The parameters of a job, a JSON text, from now on. Raises NoSuchJob, and NotThereYet where values of
    jobs follow."""
    check_whole(t.db)
    row = t.db.execute("SELECT parameters FROM jobs WHERE id = ?", (job_id,)).fetchone()
    if row is None:
        raise NoSuchJob(job_id)
    change(t, PARAMETER, job_id, json.loads(row[0]), json.loads(text))
    t.db.execute("UPDATE jobs SET parameters = ? WHERE id = ?", (text, job_id))
