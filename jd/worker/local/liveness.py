"""Which registered workers are alive, and the clean-up that every command begins with.

A host judges its own rows only: one on a shared home may be about a process of another node, or of
another container (a pid namespace of its own), whose pids mean nothing here. Such a row is left
alone, whatever it says.
"""

import os
from enum import Enum
from typing import Callable, List, Mapping, NamedTuple, Optional, Tuple

from jd import paths
from jd.errors import StorageError
from jd.node.identity import UNKNOWN_START, Here, host_slug
from jd.protocol import split_worker_id
from jd.worker.local.registry import FILE_NAME, Registry, Row, experiments

# Host names that many machines have: they prove nothing after a reboot.
_COMMON_HOSTS = ("", "localhost", "localhost.localdomain")
# A row of a published client has no start time. Its process began before the row was written,
# and not long before.
_LEGACY_SLACK = 60.0
_CLOCK_SLACK = 2.0  # the kernel tells the time of its boot in whole seconds
# What the directory of an experiment may hold and still count as empty.
_LEAVINGS = (FILE_NAME, FILE_NAME + "-journal", FILE_NAME + "-wal", FILE_NAME + "-shm", "outbox")


class Life(Enum):
    """What can be said here about the process of a row."""

    ALIVE = "alive"
    DEAD = "dead"
    ELSEWHERE = "elsewhere"


def life(row: Row, here: Here) -> Life:
    """Whether the very process of a row is alive, as far as this host can tell.

    Whoever wants to signal it must be told ALIVE: a pid alone may be anybody's.
    """
    if row.identity is None:
        return _legacy_life(row, here)
    if row.host != here.host:
        return Life.ELSEWHERE
    if row.identity == here.own and row.pid_namespace == here.pid_namespace:
        return Life.ALIVE
    if UNKNOWN_START in (row.identity.start_time, here.own.start_time):
        return Life.ELSEWHERE  # one of the two cannot see processes, so nothing can be compared
    if row.identity.boot_id != here.own.boot_id:
        # The same name and another boot: this machine, before it was started anew.
        return Life.ELSEWHERE if here.host in _COMMON_HOSTS else Life.DEAD
    if row.pid_namespace != here.pid_namespace:
        return Life.ELSEWHERE
    return Life.ALIVE if here.start_time(row.pid) == row.identity.start_time else Life.DEAD


def _legacy_life(row: Row, here: Here) -> Life:
    name = split_worker_id(row.worker_id)
    if name is None or name.host not in (here.host, host_slug(here.host)):
        return Life.ELSEWHERE
    began = here.began_at(row.pid)
    if began is not None and -_LEGACY_SLACK <= began - row.started_at <= _CLOCK_SLACK:
        return Life.ALIVE
    untold = began is None and here.start_time(row.pid) is not None
    if untold or here.own.start_time == UNKNOWN_START or here.host in _COMMON_HOSTS:
        return Life.ELSEWHERE
    return Life.DEAD


class Swept(NamedTuple):
    """What a clean-up did."""

    rows: int
    directories: int
    problems: Tuple[str, ...]


def sweep(environ: Mapping[str, str], here: Here,
          progress: Optional[Callable[[int, int], None]] = None) -> Swept:
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
    return Swept(removed, directories, tuple(problems))


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
