"""Conditions about why attempts have failed, and about what their messages say.

`error` is the error line, whole, its form, or `E12` for a kind of failure (see `queue.errors`); `message~`
and `error~` look for a text. All are about any attempt of a job.
"""

import re
import sqlite3
from typing import List, Optional

from jd.protocol import ProtocolError
from jd.server.store.search.filters import UNEQUAL, Term, Value
from jd.server.store.search.sql import Compiled, Source, Sql, any_of, id_list, no_ordering, pattern

NAMES = ("error", "message")

_KIND = re.compile(r"E([0-9]{1,15})", re.ASCII)
# All jobs of which an attempt has failed: few of most sweeps.
HAVE_FAILED = Source((Sql("SELECT DISTINCT job_id AS id FROM attempts INDEXED BY attempts_by_error"
                          " WHERE error_id IS NOT NULL"),), "job_id", False)
_AN_ATTEMPT = "(j.attempt > 0 AND EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND %s))"


def kind(value: Value) -> Optional[int]:
    """The number of a kind of failure, `E12`; None for another value."""
    found = None if value.quoted else _KIND.fullmatch(value.text)
    return None if found is None else int(found.group(1))


def compared(db: sqlite3.Connection, term: Term) -> Compiled:
    """`error=…` and `error!=…`; null: no attempt has failed. Raises ProtocolError."""
    no_ordering(term)
    if term.name != "error":
        raise ProtocolError('messages are looked into: message~"out of memory"')
    parts: List[Sql] = []
    for value in term.values:
        number = kind(value)
        if value.is_null:
            parts.append(Sql("NOT " + _AN_ATTEMPT % "a.error_id IS NOT NULL"))
        elif number is not None:
            parts.append(Sql(_AN_ATTEMPT % "a.error_id = ?", (number,)))
        else:
            same = [row[0] for row in db.execute("SELECT id FROM error_kinds WHERE form = ?", (value.text,))]
            parts.append(Sql(_AN_ATTEMPT % "(a.error = ? OR a.error_id IN (%s))" % id_list(same),
                             (value.text,)))
    return any_of(parts, term.operator), _source(term)


def _source(term: Term) -> Optional[Source]:
    nulls = any(value.is_null for value in term.values)
    if nulls == (term.operator != UNEQUAL):
        return None
    number = kind(term.values[0])
    if number is None or len(term.values) > 1:
        return HAVE_FAILED
    text = HAVE_FAILED.arms[0].text.replace("IS NOT NULL", "= ?")
    return Source((Sql(text, (number,)),), "job_id", True)


def contains(name: str, text: str) -> Sql:
    """A text is in an error line or, by the name of `message`, in a message or an error line."""
    wanted = pattern(text)
    if name == "error":
        return Sql(_AN_ATTEMPT % "a.error_id IS NOT NULL AND a.error LIKE ? ESCAPE '\\'", (wanted,))
    return Sql(_AN_ATTEMPT % "(a.message LIKE ? ESCAPE '\\' OR a.error LIKE ? ESCAPE '\\')",
               (wanted, wanted))
