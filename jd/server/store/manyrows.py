"""Many rows in few statements: each opens the table and all of its indexes, which takes longer than a row."""

import itertools
import sqlite3
from typing import Any, Iterable, Sequence

ROWS = 50  # of a statement: with three values each below the 999 that SQLite before 3.32 can bind


def insert(db: sqlite3.Connection, statement: str, row: str, rows: Iterable[Sequence[Any]],
           said: Sequence[Any] = ()) -> None:
    """Run an INSERT that has %s where the rows stand, each as in `row`: "(?, ?)". `said` is bound in front of
    them, once for each statement."""
    left = iter(rows)
    whole = statement % ", ".join([row] * ROWS)
    while True:
        part = list(itertools.islice(left, ROWS))
        if len(part) < ROWS:
            break
        db.execute(whole, (*said, *itertools.chain.from_iterable(part)))
    # One by one: a statement for each number of rows would drive others from those that stay prepared.
    db.executemany(statement % row, ((*said, *values) for values in part))
