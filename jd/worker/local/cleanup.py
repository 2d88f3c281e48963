"""The clean-up that every command begins with: what dead workers left in the registries is removed, and their
servers give back at once what these still hold. The way to servers is imported once there is a dead worker to
tell of: nearly always there is none.
"""

import os
from typing import TYPE_CHECKING, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from jd import paths
from jd.errors import StorageError
from jd.node.identity import Here
from jd.worker.local import outboxes, snapshots
from jd.worker.local.caches import experiments
from jd.worker.local.liveness import Life, life, was_here
from jd.worker.local.registry import FILE_NAME, Registry
from jd.worker.local.rows import Row

if TYPE_CHECKING:
    from jd.worker.local.lastwords import Fate, Worker

# What the directory of an experiment may hold and still count as empty.
_LEAVINGS = (FILE_NAME, FILE_NAME + "-journal", FILE_NAME + "-wal", FILE_NAME + "-shm", "outbox")


class CleanUp(NamedTuple):
    """What a clean-up did: how many rows and directories it removed, what it could not look into, and what
    became of the jobs of the dead."""

    rows: int
    directories: int
    problems: Tuple[str, ...] = ()
    jobs: Mapping["Worker", "Fate"] = {}

    def told(self) -> List[str]:
        """For people: a line for each job."""
        return ["worker %s had died; %s" % (worker_id, fate) for (_, worker_id), fate in self.jobs.items()]


def clean_up(environ: Mapping[str, str], here: Here,
             progress: Optional[Callable[[int, int], None]] = None) -> CleanUp:
    """Remove rows of dead workers and directories of experiments that hold nothing any more.

    Their instance words are free with that. `progress` gets rows looked at and rows in all. A
    registry that cannot be read is a problem of its own experiment, and the others are still done.
    Servers are told of the dead, for two seconds at most; one that is away is no problem.
    """
    listed: List[Tuple[Registry, List[Row]]] = []
    problems: List[str] = []
    for name in experiments(environ):
        registry = Registry(name, environ)
        try:
            listed.append((registry, registry.rows(configs=False)))
        except StorageError as error:
            problems.append(str(error))
    # Before anything is removed: a result whose author is dead keeps its job from being given back.
    problems += [problem for problem in _carry_over(environ, here) if problem not in problems]
    total = sum(len(rows) for _, rows in listed)
    seen = removed = directories = 0
    held: List[Row] = []  # rows of the dead that a server may still count on
    looked_at: List[Tuple[Registry, List[Row], bool]] = []
    for registry, rows in listed:
        dead = []
        for row in rows:
            if life(row, here) is Life.DEAD:
                dead.append(row)
            seen += 1
            if progress is not None:
                progress(seen, total)
        looked_at.append((registry, dead, len(dead) == len(rows)))
        if any(row.session for row in dead):
            held += _with_last_words(registry, dead, here, environ)
    jobs: Mapping["Worker", "Fate"] = {}
    if held:
        from jd.worker.local import lastwords
        jobs = lastwords.died(held, environ).fates
    for registry, dead, is_all in looked_at:
        try:
            removed += registry.bury(dead)
            snapshots.remove_unused(registry, environ)
            directories += is_all and _remove_if_empty(registry, environ)
        except StorageError as error:
            problems.append(str(error))
    return CleanUp(removed, directories, tuple(problems), jobs)


def _with_last_words(registry: Registry, dead: Sequence[Row], here: Here,
                     environ: Mapping[str, str]) -> List[Row]:
    """Those of the dead whose server is to be told, in full. Not if the result of one waits here: the next
    worker delivers it, as long as the job is not given back."""
    names = {row.worker_id for row in dead if row.session and was_here(row, here)}
    if names:
        names -= outboxes.authors(registry.experiment, environ)
    try:
        return [row for row in registry.rows() if row.worker_id in names] if names else []
    except StorageError:
        return []  # said when they are to be removed


def _carry_over(environ: Mapping[str, str], here: Here) -> List[str]:
    """Move what earlier versions left to wait beside registries. What went wrong."""
    problems: List[str] = []
    try:
        for name, cache in outboxes.old_ones(environ):
            try:
                rows = Registry(name, cache).rows(configs=False)
                outboxes.carry_over(name, cache, {row.worker_id for row in rows
                                                  if life(row, here) is not Life.DEAD})
            except StorageError as error:
                problems.append(str(error))
    except StorageError as error:
        problems.append(str(error))
    return problems


def _remove_if_empty(registry: Registry, environ: Mapping[str, str]) -> bool:
    """Remove an experiment's directory if nothing is in it but an empty registry. Raises StorageError."""
    directory = registry.path.parent
    outbox = paths.old_outbox_dir(registry.experiment, environ)
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
