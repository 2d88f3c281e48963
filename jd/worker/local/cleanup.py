"""The clean-up that every command begins with: what dead workers left in the registries is removed."""

import os
from typing import Callable, List, Mapping, NamedTuple, Optional, Tuple

from jd import paths
from jd.errors import StorageError
from jd.node.identity import Here
from jd.worker.local.liveness import Life, life
from jd.worker.local.registry import FILE_NAME, Registry, experiments
from jd.worker.local.rows import Row

# What the directory of an experiment may hold and still count as empty.
_LEAVINGS = (FILE_NAME, FILE_NAME + "-journal", FILE_NAME + "-wal", FILE_NAME + "-shm", "outbox")


class CleanUp(NamedTuple):
    """What a clean-up did: how many rows and directories it removed, and what it could not look into."""

    rows: int
    directories: int
    problems: Tuple[str, ...]


def clean_up(environ: Mapping[str, str], here: Here,
             progress: Optional[Callable[[int, int], None]] = None) -> CleanUp:
    """Remove rows of dead workers and directories of experiments that hold nothing any more.

    Their instance words are free with that. `progress` gets rows looked at and rows in all. A
    registry that cannot be read is a problem of its own experiment, and the others are still done.
    """
    listed: List[Tuple[Registry, List[Row]]] = []
    problems: List[str] = []
    for name in experiments(environ):
        registry = Registry(name, environ)
        try:
            listed.append((registry, registry.rows(configs=False)))
        except StorageError as error:
            problems.append(str(error))
    total = sum(len(rows) for _, rows in listed)
    seen = removed = directories = 0
    for registry, rows in listed:
        dead = []
        for row in rows:
            if life(row, here) is Life.DEAD:
                dead.append(row)
            seen += 1
            if progress is not None:
                progress(seen, total)
        try:
            removed += registry.bury(dead)
            directories += len(dead) == len(rows) and _remove_if_empty(registry, environ)
        except StorageError as error:
            problems.append(str(error))
    return CleanUp(removed, directories, tuple(problems))


def _remove_if_empty(registry: Registry, environ: Mapping[str, str]) -> bool:
    """Remove an experiment's directory if there is nothing in it but an empty registry.

    Results that wait for their server keep it. Raises StorageError.
    """
    directory = registry.path.parent
    outbox = paths.outbox_dir(registry.experiment, environ)
    try:
        if any(entry not in _LEAVINGS for entry in os.listdir(str(directory))):
            return False
        if outbox.is_dir():
            os.rmdir(str(outbox))
        if not registry.discard():
            return False
        os.rmdir(str(directory))
    except OSError:
        # Something is in there, or a worker that registers at this moment has made it anew.
        return False
    return True
