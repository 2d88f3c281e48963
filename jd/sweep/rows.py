"""Rows of results: what was set, what came out, and which was best."""

import csv
import io
import json
import math
import os
import re
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, SupportsIndex, Union, overload

from jd import csvcells, protocol, terminal
from jd.errors import JdError
from jd.files import wholefile
from jd.sweep import html, rowtable
from jd.sweep.envfile import PathLike
from jd.sweep.errors import BadValue, FileTrouble

GOALS = ("max", "min")
FACTS = ("id", "status", "verdict", "runtime", "worker", "attempt", "code", "started", "finished", "batch",
         "tags")
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_IN_LIST = re.compile(r"\.[0-9]+(\.|$)")
_SHOWN = 10  # names in a message
_NONE = "none"


class Row(Dict[str, Any]):
    """A job: the facts about it by their names, then its parameters and the numbers of its results by theirs.

    A parameter that is called like a fact is `param.<name>`, a result that is called like one of these
    `result.<name>`. `parameters` and `results` have all under their plain names; row["parameters"] and
    row["results"] are the same, and no columns.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__((name, told.get(name)) for name in FACTS)
        self["tags"] = self["tags"] or []
        self.parameters: Dict[str, Any] = dict(told.get("parameters") or {})
        self.results: Dict[str, Any] = {
            name: _WORDS.get(value, value) if isinstance(value, str) else value
            for name, value in (told.get("results") or {}).items()}
        for prefix, values in (("param.", self.parameters), ("result.", self.results)):
            taken = set(self)
            for name, value in values.items():
                self[prefix + name if name in taken else name] = value

    def __missing__(self, name: str) -> Dict[str, Any]:
        if name in ("parameters", "results"):
            return self.parameters if name == "parameters" else self.results
        raise KeyError(name)

    def __str__(self) -> str:
        return "job %s, %s%s: %s" % (
            self["id"], self["status"], "" if self["runtime"] is None else " in %s" % rowtable.cell(
                rowtable.RUNTIME, self["runtime"]),
            " ".join("%s=%s" % (rowtable.cell("", name), rowtable.cell(name, value))
                     for name, value in self.items() if name not in FACTS))

    def _repr_html_(self) -> str:
        return Rows([self])._repr_html_()

    def number(self, name: str) -> Optional[float]:
        """A number that can be compared: of the results, else of what else the row has; None where there is
        none, or it is NaN."""
        value = self.results.get(name, self.get(name))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            return None
        return value


class Rows(List[Row]):
    """Jobs in order, as a list of rows; `metric` and `goal` are what they were asked for."""

    metric: Optional[str] = None
    goal: str = "max"

    @overload
    def __getitem__(self, place: SupportsIndex) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> "Rows": ...

    def __getitem__(self, place: Union[SupportsIndex, slice]) -> Union[Row, "Rows"]:
        """A row, or some of them, which are rows as well: `print(rows[:5])`."""
        found = super().__getitem__(place)
        if isinstance(found, Row):
            return found
        some = Rows(found)
        some.metric, some.goal = self.metric, self.goal
        return some

    def best(self, metric: Optional[str] = None, goal: Optional[str] = None) -> Row:
        """The row of the job that is DONE and has the greatest `metric`, with goal="min" the least; of equal
        ones the first. Raises BadValue (a ValueError) where no such job has that number."""
        name = metric if metric is not None else self.metric
        if name is None:
            raise BadValue("no metric is named", "give the name of a number: %s" % self._names())
        sign = 1.0 if checked_goal(goal if goal is not None else self.goal) == "max" else -1.0
        best: Optional[Row] = None
        for row in self:
            value = row.number(name) if row["status"] == protocol.DONE else None
            if value is not None and (best is None or sign * value > sign * (best.number(name) or 0.0)):
                best = row
        if best is None:
            raise BadValue("none of the %d jobs is DONE and has a number %s" % (len(self), name),
                           "numbers of their results are: %s" % self._names())
        return best

    def __repr__(self) -> str:
        if not self:
            return "no jobs"
        return table(self, rowtable.MOST_ROWS)

    def _repr_html_(self) -> str:
        if not self:
            return "no jobs"
        first = self[:html.MOST_ROWS]
        return html.table(first._shown(), first, len(self), self._found_best())

    def columns(self) -> List[str]:
        """All columns: facts, parameters, results, as the first rows have them and then what others add."""
        found = _Columns()
        for row in self:
            found.add(row)
        return found.ordered()

    def to_csv(self, path: PathLike) -> Path:
        """Write a table with a header line, whole or not at all, and return its path. Cells are as in the CSV
        of the dashboard: lists and objects are JSON, and text is never a formula. Raises FileTrouble."""
        columns = self.columns()

        def write(file: io.TextIOWrapper) -> None:
            table = csv.writer(file)
            table.writerow(map(csvcells.text, columns))
            table.writerows(_cells(row, columns) for row in self)
        return _written(path, write)

    def to_json(self, path: Optional[PathLike] = None) -> str:
        """The rows as a JSON array of objects, which also goes into the file `path`. What is not finite is
        "NaN", "Infinity" or "-Infinity". Raises FileTrouble."""
        text = "[%s]" % ",\n".join(json.dumps(plain(row), allow_nan=False) for row in self)
        if path is not None:
            _written(path, lambda file: file.write(text + "\n"))
        return text

    def ordered(self, metric: Optional[str], goal: Optional[str]) -> "Rows":
        """The same rows, the best first: with the greatest `metric`, with goal="min" the least. Those without
        the number come last. Without either it is these rows. Raises BadValue, also where jobs have
        numbers and none has this one."""
        if metric is None:
            if goal is not None:
                raise BadValue("goal=%s has no metric" % protocol.shown(goal),
                               "give metric= too, or leave goal= out")
            return self
        name, goal = metric, checked_goal(goal or "max")
        sign = -1.0 if goal == "max" else 1.0

        def place(row: Row) -> float:
            value = row.number(name)
            return math.inf if value is None else sign * value
        if all(row.number(name) is None for row in self) and self._names() != _NONE:
            raise BadValue("none of %s has a number %s" % (terminal.plural(len(self), "job"),
                                                           protocol.shown(name)),
                           "their results have: %s" % self._names())
        found = Rows(sorted(self, key=lambda row: (row.number(name) is None, place(row))))
        found.metric, found.goal = name, goal
        return found

    def _shown(self) -> List[str]:
        """The columns that people are shown."""
        return rowtable.columns(self, without_courses(self, self.metric), FACTS, self.metric)

    def _found_best(self) -> Optional[Row]:
        try:
            return None if self.metric is None else self.best()
        except BadValue:
            return None  # no job has the number yet

    def _names(self) -> str:
        names = list(dict.fromkeys(name for row in self for name in row.results
                                   if row.number(name) is not None))
        return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "") or _NONE


def table(found: Rows, most: int, width: Optional[int] = None,
          heads: Mapping[str, str] = MappingProxyType({})) -> str:
    """The first rows as people read them; as the function `text` of jd/sweep/rowtable.py."""
    first = found[:most]
    return rowtable.text(first._shown(), first, len(found), found._found_best(), width, heads)


def checked_goal(goal: str) -> str:
    """The goal. Raises BadValue."""
    if goal not in GOALS:
        raise BadValue("goal=%s is no goal" % protocol.shown(goal), "give one of %s" % ", ".join(GOALS))
    return goal


def without_courses(rows: Rows, metric: Optional[str]) -> List[str]:
    """The columns of rows but for numbers of lists, unless one is the `metric`: such as a loss for each
    epoch, they are a course, and would fill a table."""
    courses = {name for row in rows for name in row.results if _IN_LIST.search(name)} - {metric}
    return [name for name in rows.columns() if name not in courses]


def write_csv(rows: Iterable[Row], path: PathLike) -> int:
    """Write rows as `Rows.to_csv` does, and return how many; none are kept in memory. Raises
    FileTrouble, and what reading the rows does."""
    columns, count = _Columns(), 0

    def write(file: io.TextIOWrapper) -> None:
        nonlocal count
        directory = os.path.dirname(os.path.realpath(os.path.expanduser(os.fspath(path))))
        # Which columns there are is known when all rows have come, so they wait in a file that has no name.
        with tempfile.TemporaryFile("w+", encoding="ascii", dir=directory) as waiting:
            for row in rows:
                columns.add(row)
                count += 1
                waiting.write(json.dumps(row) + "\n")
            waiting.seek(0)
            names, table = columns.ordered(), csv.writer(file)
            table.writerow(map(csvcells.text, names))
            table.writerows(_cells(json.loads(line), names) for line in waiting)

    _written(path, write)
    return count


# ---- how

class _Columns:
    """The columns of rows that come one after the other."""

    def __init__(self) -> None:
        self._found: Dict[str, int] = dict.fromkeys(FACTS, 0)

    def add(self, row: Row) -> None:
        """One more row."""
        if not row.keys() <= self._found.keys():
            parameters = set(row.parameters)
            for name in row:
                plain = name[6:] if name.startswith("param.") else name
                self._found.setdefault(name, 1 if plain in parameters else 2)

    def ordered(self) -> List[str]:
        """Facts, parameters, results."""
        return sorted(self._found, key=lambda name: self._found[name])


def _cells(row: Mapping[str, Any], columns: Iterable[str]) -> List[str]:
    return [csvcells.text(" ".join(row["tags"]) if name == "tags" else row.get(name)) for name in columns]


def plain(row: Mapping[str, Any]) -> Dict[str, Any]:
    """A row as JSON has it: what is not finite is a word."""
    return {name: _named(value) if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()}


def _named(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _written(path: PathLike, write: Callable[[io.TextIOWrapper], Any]) -> Path:
    target = Path(os.path.realpath(os.path.expanduser(os.fspath(path))))
    try:
        with wholefile.replacing(target, 0o666) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="")
            write(text)
            text.flush()
            text.detach()
    except OSError as error:
        if isinstance(error, JdError):
            raise  # the server that the rows come from is away
        raise FileTrouble("%s cannot be written: %s" % (target, error.strerror or error)) from None
    return target
