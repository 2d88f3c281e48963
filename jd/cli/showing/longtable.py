"""Tables of any length for people: printed as their rows come, so that no more than some are in memory."""

from typing import List, Optional, Sequence

from jd import terminal
from jd.cli.showing import views

_GAP = "  "
_MOST = 60  # characters of a cell that is not the last
_MOST_LAST = 300  # of the last one


class LongTable:
    """An aligned table whose rows are printed in batches. A column is as wide as the first batch needs it,
    and wider from where a later one needs that. On a terminal lines are cut to its width."""

    def __init__(self, header: Sequence[str], numeric: Sequence[int] = ()) -> None:
        self._header = list(header)
        self._widths = [len(name) for name in header]
        self._numeric = frozenset(numeric)
        self._columns = views.width()
        self._begun = False

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Print these rows; the header before the first of them."""
        shown = [self._cells(row) for row in rows]
        self._widths = [max([width] + [len(row[at]) for row in shown])
                        for at, width in enumerate(self._widths)]
        if not self._begun:
            self._begun = True
            views.say([terminal.paint(self._line(self._header), "bold")])
        views.say([self._line(row) for row in shown])

    def _cells(self, row: Sequence[str]) -> List[str]:
        last = len(row) - 1
        return [short(cell, _MOST if at < last else _MOST_LAST) for at, cell in enumerate(row)]

    def _line(self, cells: Sequence[str]) -> str:
        padded = [cell.rjust(width) if at in self._numeric else cell.ljust(width)
                  for at, (cell, width) in enumerate(zip(cells, self._widths))]
        line = _GAP.join(padded).rstrip()
        return line if self._columns is None else line[:self._columns]


def short(text: object, most: Optional[int] = None) -> str:
    """Somebody else's text on one line, in at most so many characters."""
    line = views.plain(" ".join(str(text).split()))
    return line if most is None or len(line) <= most else line[:most - 3] + "..."
