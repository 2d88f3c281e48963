"""What a notebook shows: how far a sweep is, and its results as a table.

It needs no other file, and takes the colours of the notebook, be it dark or light.
"""

import sys
from html import escape
from typing import Any, Callable, Mapping, Optional, Sequence

from jd import protocol, terminal
from jd.sweep import rowtable
from jd.sweep.waiting import Question, Standing

MOST_ROWS = 50
_LINE = "rgba(127,127,127,.35)"
_COLOURS = {protocol.DONE: "#2f9e5a", protocol.SERVED: "#3b82d6", protocol.ABORTED: "#d0453a"}
_CELL = "padding:.15em .7em;border-bottom:1px solid %s;white-space:nowrap;" % _LINE
_BEST = "font-weight:bold;background:rgba(47,158,90,.18)"
_QUIET = "opacity:.75;margin:.3em 0"


class Shown:
    """Something that a notebook shows as HTML, and other places as text."""

    def __init__(self, text: str, html: str) -> None:
        self._text = text
        self._html = html

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


def counts(standing: Standing) -> str:
    """How many jobs have which status: 3 DONE, 1 PENDING."""
    return ", ".join("%d %s" % (number, status) for status, number in standing.by_status.items() if number)


def progress(name: str, question: Question, standing: Standing, note: str = "") -> Shown:
    """How far the jobs of a sweep are: a bar with a part for each status, and the time that is left. `note`
    is told behind these."""
    total, ended = standing.total, standing.ended(question)
    told = counts(standing)
    if not standing.finished and standing.eta is not None:
        told += ", ETA %s" % terminal.duration(standing.eta)
    told += note
    text = "%s: %d of %s finished (%s)" % (name, ended, terminal.plural(total, "job"), told)
    parts = "".join(
        '<div style="width:%.2f%%;background:%s"></div>' % (
            100.0 * standing.by_status.get(status, 0) / max(1, total), colour)
        for status, colour in _COLOURS.items())
    return Shown(text, (
        '<div style="max-width:40em"><div><b>%s</b> %d of %s finished</div>'
        '<div role="progressbar" aria-valuemin="0" aria-valuemax="%d" aria-valuenow="%d" style="display:flex;'
        'height:.7em;margin:.3em 0;background:%s;border-radius:.35em;overflow:hidden">%s</div>'
        '<div style="%s">%s</div></div>') % (
            escape(name), ended, terminal.plural(total, "job"), total, ended, _LINE, parts,
            _QUIET, escape(told)))


def table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], total: int,
          best: Optional[Mapping[str, Any]]) -> str:
    """These rows, the first of `total`; `best` stands out."""
    side = {name: "right" if rowtable.is_numeric(rows, name) else "left" for name in columns}
    head = "".join('<th style="%stext-align:%s">%s</th>' % (_CELL, side[name], escape(name))
                   for name in columns)
    body = "".join("<tr%s>%s</tr>" % (
        ' style="%s" title="the best"' % _BEST if row is best else "",
        "".join('<td style="%stext-align:%s">%s</td>' % (
            _CELL, side[name], escape(rowtable.cell(name, row.get(name)))) for name in columns))
        for row in rows)
    more = "" if total <= len(rows) else '<div style="%s">%d of %d rows are shown</div>' % (
        _QUIET, len(rows), total)
    return ('<div style="overflow-x:auto"><table style="border-collapse:collapse;font-variant-numeric:'
            'tabular-nums"><thead><tr>%s</tr></thead><tbody>%s</tbody></table>%s</div>') % (head, body, more)


def running_cell() -> Any:
    """What the cell of the notebook that runs is known by; None elsewhere."""
    return getattr(_notebook(), "execution_count", None)


def live() -> Optional[Callable[[Shown], None]]:
    """Where this runs in a notebook, what shows something in the place of what it has shown before."""
    if _notebook() is None:
        return None
    display: Any = getattr(sys.modules["IPython"], "display", None)
    handle: Any = None

    def show(what: Shown) -> None:
        nonlocal handle
        if handle is None:
            handle = display.display(what, display_id=True)
        else:
            handle.update(what)
    return show if hasattr(display, "display") else None


def _notebook() -> Any:
    """What IPython has of the notebook in which this runs; None elsewhere, as in a terminal."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    return None if getattr(shell, "kernel", None) is None else shell
