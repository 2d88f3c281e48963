"""What a benchmark has found: rows, most of them ratios of two things that were run side by side.

A benchmark makes its rows and calls `finish`: they are shown, and written into the file of `--json`, from
which `tests.bench.run` makes one table of all.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from jd import terminal


class Row(NamedTuple):
    """What was measured, in each round, and in what: `unit` is "× python -c pass", or another thing that was
    run side by side, or "ms", "MB", where there is none.

    `most` and `least` are what the median is to reach: 2.5 at most, or 0.8 at least. `seen` is what people
    want to know besides, such as "24 ms; 1,310 a second".
    """

    what: str
    unit: str
    measured: Sequence[float]
    most: Optional[float] = None
    least: Optional[float] = None
    seen: str = ""

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.measured) if self.measured else math.nan

    @property
    def reached(self) -> Optional[bool]:
        """Whether it is as it should be; None where nothing is asked for."""
        if self.most is None and self.least is None:
            return None
        return ((self.most is None or self.median <= self.most)
                and (self.least is None or self.median >= self.least))


def arguments(about: Optional[str]) -> argparse.ArgumentParser:
    """The command line of a benchmark, with what all of them take."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="FILE", help="write the rows here as well")
    return parser


def finish(rows: Sequence[Row], to: Optional[str]) -> None:
    """Show the rows, and write them."""
    show(rows)
    if to:
        found = {"machine": machine(), "rows": [as_json(row) for row in rows]}
        Path(to).write_text(json.dumps(found, indent=2) + "\n")


def show(rows: Sequence[Row]) -> None:
    """The table for people."""
    cells = [[row.what, _number(row.median), row.unit, _spread(row.measured), _goal(row),
              {None: "", True: "yes", False: "no"}[row.reached], row.seen] for row in rows]
    heads = ["what", "median", "in", "rounds", "to reach", "reached", "seen"]
    for line in terminal.table(heads, cells, (1,)):
        print(line)


def as_json(row: Row) -> Dict[str, Any]:
    """What a program reads."""
    return dict(row._asdict(), measured=list(row.measured), median=row.median, reached=row.reached)


def from_json(value: Dict[str, Any]) -> Row:
    """The row again."""
    return Row(**{name: value[name] for name in Row._fields})


def machine() -> Dict[str, Any]:
    """Where it was measured, and how busy that was."""
    return {"python": platform.python_version(), "system": platform.platform(), "processors": os.cpu_count(),
            "load": os.getloadavg()[0], "executable": sys.executable}


def paired(measured: Sequence[float], against: Sequence[float]) -> List[float]:
    """Ratios of what was measured in turn, round by round."""
    return [one / other for one, other in zip(measured, against)]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else "%.3g" % value if value < 1000 else "%.0f" % value


def _spread(measured: Sequence[float]) -> str:
    return "%s to %s" % (_number(min(measured)), _number(max(measured))) if len(measured) > 1 else ""


def _goal(row: Row) -> str:
    return " ".join(filter(None, ("" if row.most is None else "≤ %g" % row.most,
                                  "" if row.least is None else "≥ %g" % row.least)))
