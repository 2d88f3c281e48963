"""What tells the runs of a plot apart: the parameters whose values are not the same in all of them."""

import json
import sqlite3
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from jd.server.store import jobfields
from jd.server.store.search.conditions import id_list

MAX_JOBS = 1_000
MAX_TEXT = 200  # characters of a value; a plot shows a few dozen
_MAX_CELLS = 60_000


class Differing(NamedTuple):
    """Ids that ascend, and of each parameter that differs the values as texts, in the order of the ids; None
    where a job has none."""

    ids: List[int]
    parameters: Dict[str, List[Optional[str]]]


def differing(db: sqlite3.Connection, ids: Sequence[int]) -> Differing:
    """The parameters that differ between jobs, in the order in which jobs have them; of many jobs not all of
    very many. Ids without a job are left out."""
    found: List[int] = []
    table: Dict[str, Dict[int, str]] = {}
    for job_id, parameters in db.execute("SELECT id, CAST(parameters AS BLOB) FROM jobs WHERE id IN (%s)"
                                         " ORDER BY id" % id_list(sorted(set(ids)))):
        found.append(job_id)
        for name, value in jobfields.json_of(job_id, "parameters", parameters).items():
            table.setdefault(name, {})[job_id] = _text(value)
    several = [name for name, of in table.items() if len(of) < len(found) or len(set(of.values())) > 1]
    most = _MAX_CELLS // max(1, len(found))
    return Differing(found, {name: [None if text is None else text[:MAX_TEXT]
                                    for text in map(table[name].get, found)] for name in several[:most]})


def _text(value: Any) -> str:
    """A value as it is shown: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
