"""`jd_worker_cli expId=... results`: what was set, what came out, and which jobs were best."""

import heapq
import json
import sys
from itertools import islice
from typing import Dict, Iterator, List, Optional

from jd import terminal
from jd.cli.context import Context
from jd.cli.showing import views
from jd.cli.showing.longtable import LongTable
from jd.cli.sweep import driving, jobrows
from jd.errors import EXIT_OK, JdError, UsageError
from jd.sweep import results, rows, rowtable
from jd.sweep.rows import Row
from jd.terminal import plural

_BATCH = 500  # rows that are printed at once
_MOST_COLUMNS = 200
_FACTS = ("id", "status", rowtable.RUNTIME)  # that a table always has


def run(context: Context) -> int:
    """Print rows, or write them into a file. Raises as `read` of jd/sweep/results.py."""
    context.words_exactly(0)
    given = context.values
    if given["metric"] is None and "goal" in context.arguments:
        raise UsageError("goal= says which metric= is the best, and none is given", "give metric=<name> too")
    if given["csv"] is not None and given["metric"] is not None:
        raise UsageError("csv= writes all jobs by id, metric= shows the best", "give one of them")
    found = results.read(driving.begin(context), given["where"] or "")
    if given["csv"] is not None:
        count = rows.write_csv(found, given["csv"])
        views.emit(context, {"file": str(given["csv"]), "rows": count},
                   ["wrote %s to %s" % (plural(count, "job"), views.plain(given["csv"]))])
        return EXIT_OK
    all_of_them = given["json"] and "lines" not in context.arguments
    best: Optional[rows.Rows] = None
    if given["metric"] is not None:
        best = _best(found, given["metric"], given["goal"], None if all_of_them else given["lines"])
        found = iter(best)
    if given["json"]:
        _print_json(found if all_of_them else islice(found, given["lines"]))
    elif best is not None:
        _print_best(best)
    else:
        _print(found, given["lines"], "no job matches" if given["where"] else "no jobs yet")
    return EXIT_OK


def _best(found: Iterator[Row], metric: str, goal: str, most: Optional[int]) -> rows.Rows:
    """The best rows; of more than `most` only these are in memory. Raises JdError where none has it."""
    sign = -1.0 if goal == "max" else 1.0
    count = 0
    names: Dict[str, None] = {}

    def place(row: Row) -> float:
        value = row.number(metric)
        assert value is not None
        return sign * value

    def measured() -> Iterator[Row]:
        nonlocal count
        for row in found:
            count += 1
            if len(names) < 10:
                names.update(dict.fromkeys(row.results))
            if row.number(metric) is not None:
                yield row
    best = rows.Rows(sorted(measured(), key=place) if most is None
                     else heapq.nsmallest(most, measured(), key=place))
    best.metric, best.goal = metric, goal
    if not best and most != 0:
        raise JdError("none of %s has a number %s" % (plural(count, "job"), views.plain(metric)),
                      "their results have: %s" % (", ".join(map(views.plain, names)) or "nothing yet"))
    return best


def _print_best(best: rows.Rows) -> None:
    """As a program prints them: all of them are known, so points stand below each other."""
    heads = {name: name.upper() for name in rowtable.SHOWN_FACTS}
    if best:
        head, *lines = rows.table(best, len(best), views.width() or sys.maxsize, heads).split("\n")
        views.say([terminal.paint(head, "bold"), *lines])


def _print(found: Iterator[Row], lines: int, none: str) -> None:
    batch = list(islice(found, min(lines, _BATCH)))
    if not batch:
        driving.note(none)
        return
    columns = _columns(batch)
    heads = [name.upper() if name in rowtable.SHOWN_FACTS else name for name in columns]
    table = LongTable(heads, _numeric(batch, columns))
    shown = 0
    while batch:
        table.add([[_cell(row, name) for name in columns] for row in batch])
        shown += len(batch)
        batch = list(islice(found, min(lines - shown, _BATCH)))
    if next(found, None) is not None:
        driving.note("these are the first %s; lines=N shows N" % plural(shown, "job"))


def _columns(batch: List[Row]) -> List[str]:
    """Facts that people read in a table, parameters and results."""
    facts = [name for name in rowtable.SHOWN_FACTS if name in _FACTS or rowtable.says_something(name, batch)]
    return [name for name in rows.without_courses(rows.Rows(batch), None)
            if name in facts or name not in rows.FACTS][:_MOST_COLUMNS]


def _numeric(batch: List[Row], columns: List[str]) -> List[int]:
    return [at for at, name in enumerate(columns)
            if all(isinstance(row.get(name), (int, float, type(None))) for row in batch)]


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    if name == "tags":
        return jobrows.tags(row) or "-"
    if value is None:
        return "-"
    return terminal.duration(value) if name == "runtime" else jobrows.value(value)


def _print_json(found: Iterator[Row]) -> None:
    """One document, written as the rows come."""
    print('{"rows": [', end="")
    for at, row in enumerate(found):
        print((", " if at else "") + json.dumps(rows.plain(row)), end="")
    print("]}")
