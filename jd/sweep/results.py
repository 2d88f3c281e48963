"""Reading the results of a sweep, page by page: as a list, or one row after the other."""

from typing import Any, Dict, Iterator, Optional, Sequence

from jd import protocol
from jd.sweep.errors import Unreachable
from jd.sweep.jobs import one_or_more
from jd.sweep.rows import Row, Rows
from jd.sweep.session import Session, current
from jd.sweep.steering import Where

_WHAT = "list results"


def results(where: Optional[Where] = None, metric: Optional[str] = None, goal: Optional[str] = None) -> Rows:
    """Jobs as a list of rows by id: those that match `where`, the filter language of the dashboard, or a list
    of ids, or an id; else all.

    With `metric`, the name of a number, the best come first: the greatest, with goal="min" the least. Such
    rows know what `best()` is about. `iter_results` does not keep them all in memory.

    Raises NotOffered, BadValue (a ValueError), Refused for a filter that cannot be used.
    """
    Rows().ordered(metric, goal)  # what cannot be meant is told before anything is read
    return Rows(_matching(current("results"), where)).ordered(metric, goal)


def iter_results(where: Optional[Where] = None) -> Iterator[Row]:
    """The rows of `results` by id, one after the other: no more than a page of them is in memory."""
    return _matching(current("iter_results"), where)


def read(session: Session, where: str) -> Iterator[Row]:
    """The rows of the jobs that match. Raises as `results`, NotOffered at once."""
    session.want(protocol.EXT_DRIVE, _WHAT)
    return _pages(session, {"where": where or None}, 0, None)


def of_ids(session: Session, ids: Sequence[int]) -> Iterator[Row]:
    """The rows of these jobs in the order of ids: of all between the first and the last of a run of ids that
    lie close together those that were asked for are taken. Raises as `results`."""
    session.want(protocol.EXT_DRIVE, _WHAT)
    wanted = sorted(set(ids))
    start = 0
    while start < len(wanted):
        end = start + 1
        while end < len(wanted) and wanted[end] - wanted[end - 1] <= protocol.MAX_RESULTS:
            end += 1
        members = frozenset(wanted[start:end])
        for row in _pages(session, {}, wanted[start] - 1, wanted[end - 1]):
            if row["id"] in members:
                yield row
        start = end


def _matching(session: Session, where: Optional[Where]) -> Iterator[Row]:
    if where is None or isinstance(where, str):
        return read(session, where or "")
    ids = one_or_more(where)
    session.want(protocol.EXT_DRIVE, _WHAT)
    return of_ids(session, ids)


def _pages(session: Session, query: Dict[str, Any], after: Optional[int],
           last: Optional[int]) -> Iterator[Row]:
    while after is not None and (last is None or after < last):
        limit = protocol.MAX_RESULTS if last is None else min(protocol.MAX_RESULTS, last - after)
        answer = session.call("GET", protocol.RESULTS, query=dict(query, after=after, limit=limit))
        rows = answer.get("rows")
        if not isinstance(rows, list):
            raise Unreachable("%s answered without rows" % session.server_url)
        for told in rows:
            if last is None or int(told["id"]) <= last:
                yield Row(told)
        after = answer.get("next")
