"""The name of a worker, as its id has it: `gpunode_egg_0`."""

from __future__ import annotations

import re

from jd.protocol import MAX_NAME_CHARS
from jd.shape import NamedTuple

# Ids of published clients are read too: their host part may hold more than ours, and the instance may be a
# token, of six characters before there were words and of ten since 1.28.
_WORKER_ID = re.compile(
    r"(?P<host>[A-Za-z0-9._-]{1,%d})_(?P<instance>[a-z]{1,6}|[A-Za-z0-9]{6,12})_(?P<slot>[0-9]{1,10})"
    % MAX_NAME_CHARS, re.ASCII)


class WorkerName(NamedTuple):
    """The parts of a worker id."""

    host: str
    instance: str
    slot: int


def split_worker_id(worker_id: str) -> WorkerName | None:
    """The parts of a worker id, or None where it has another form."""
    found = _WORKER_ID.fullmatch(worker_id)
    if found is None:
        return None
    return WorkerName(found.group("host"), found.group("instance"), int(found.group("slot")))
