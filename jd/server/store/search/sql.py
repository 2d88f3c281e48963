"""Pieces of SQL about the table of jobs, called `j`, and the indexes that have the jobs of a condition.

What comes from outside is always a bound value; the text of the SQL is made of constants.
"""

from typing import Any, Iterable, NamedTuple, Optional, Sequence, Tuple

from jd.protocol import ProtocolError
from jd.server.store.search.filters import ORDERINGS, UNEQUAL, Term


class Sql(NamedTuple):
    """A piece of SQL and the values for its question marks."""

    text: str
    values: Tuple[Any, ...] = ()


class Source(NamedTuple):
    """An index that has all the jobs of a term: SQL that selects their `id`.

    An `ordered` one can give them in the order of `id` without sorting.
    """

    arms: Tuple[Sql, ...]
    id_column: str
    ordered: bool


Compiled = Tuple[Sql, Optional[Source]]  # a condition, and an index that has all of its jobs


def marks(items: Sequence[Any]) -> str:
    """A question mark for each item."""
    return ", ".join("?" * len(items))


def id_list(ids: Iterable[int]) -> str:
    """Whole numbers written out: there may be more than SQLite takes as bound values."""
    return ",".join("%d" % job_id for job_id in ids)


def any_of(texts: Sequence[Sql], operator: str) -> Sql:
    """One of them holds; with `!=` none does. An unknown value is not equal to anything."""
    text = " OR ".join("coalesce(%s, 0)" % sql.text for sql in texts)
    return Sql("%s(%s)" % ("NOT " if operator == UNEQUAL else "", text),
               tuple(value for sql in texts for value in sql.values))


def pattern(word: str) -> str:
    return "%%%s%%" % word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def no_ordering(term: Term) -> None:
    if term.operator in ORDERINGS:
        raise ProtocolError("%s can be compared with = and != only" % term.name)
