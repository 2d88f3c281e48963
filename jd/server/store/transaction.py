"""A transaction of the store: what an operation works with, and what it says has happened.

A function of the store that changes something takes a Transaction first, one that only reads takes the
connection. What has happened is told after the commit to those who wait for it (`Experiment.write`);
of an operation that was undone nobody hears.
"""

import logging
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from jd.killpoint import killpoint
from jd.server.store.policy import Policy


class Ended(NamedTuple):
    """The end of an attempt. `runtime` is in seconds, None where it is not known; `host` is what its worker
    says, None for one that was forgotten; `at` Unix seconds."""

    job_id: int
    worker_id: str
    verdict: str
    runtime: Optional[float]
    host: Optional[str]
    at: float


log = logging.getLogger("jd.server")


@dataclass
class Happened:
    """What an operation has caused, as far as somebody may wait for it; and what is counted of it together
    with the other operations of its commit (see `aftermath.settle`)."""

    pending: int = 0  # jobs that became PENDING
    commanded: List[str] = field(default_factory=list)  # workers that have a command to take
    taken_away: List[int] = field(default_factory=list)  # jobs whose attempt ended, but not by its worker
    nothing_left: bool = False  # no job is left that could still be handed out
    said: List[str] = field(default_factory=list)  # for the server's log
    untold: bool = False  # a lease was made longer, since its worker cannot be told one so short
    superseded: List[Path] = field(default_factory=list)  # files that no row names any more: to be removed
    settings: Dict[str, Any] = field(default_factory=dict)  # fields of Policy that have another value
    moved: Dict[str, int] = field(default_factory=dict)  # by how much jobs in a status have become more
    jobs_changed: bool = False  # in rows that say so themselves (see `jobs.CHANGED`)
    ended: List[Ended] = field(default_factory=list)  # attempts that are still to be counted
    printed: bool = False  # an attempt has output or figures that are new
    workers_changed: bool = False  # in `current_job_id`, of which no trigger tells
    values_follow: bool = False  # jobs were made whose values are still to be written (see `search.missing`)
    over: bool = False  # a job has ended that does not come back
    given: Optional[str] = None  # the worker that was given a job
    clock_offset: Optional[float] = None  # by which times are counted from now on, where it has changed


def together(several: Sequence[Happened]) -> Happened:
    """What some operations of one commit have caused, as far as it is told after it."""
    if len(several) == 1:
        return several[0]
    total = Happened()
    for one in several:
        total.pending += one.pending
        total.commanded += one.commanded
        total.taken_away += one.taken_away
        total.nothing_left |= one.nothing_left
        total.said += one.said
        total.untold |= one.untold
        total.superseded += one.superseded
        total.settings.update(one.settings)
        total.values_follow |= one.values_follow
        if one.clock_offset is not None:
            total.clock_offset = one.clock_offset
    return total


def remove_superseded(happened: Happened) -> None:
    """Remove the files that no row names any more, after the commit: a crash in between leaves a file without
    a row (see `files.unplaced`), and never a row without its file."""
    for path in happened.superseded:
        killpoint("files.superseded.before-unlink")
        try:
            os.unlink(str(path))
        except FileNotFoundError:
            pass
        except OSError as error:
            log.warning("cannot remove %s, which is not needed any more: %s", path, error.strerror or error)


class Transaction:
    """One operation: its connection, the server's time (Unix seconds) and policy, and what happened.

    `after_end` is called in the same transaction with each attempt that ends (see `aftermath`).
    """

    def __init__(self, db: sqlite3.Connection, now: float, policy: Policy,
                 after_end: "Callable[[Transaction, Ended], None]") -> None:
        self.db = db
        self.now = now
        self.policy = policy
        self.happened = Happened()
        self._after_end = after_end
        self._if_undone: List[Callable[[sqlite3.Connection], None]] = []

    def ended(self, ended: Ended) -> None:
        """An attempt has ended: do what follows from that."""
        self._after_end(self, ended)

    def if_undone(self, put_right: Callable[[sqlite3.Connection], None]) -> None:
        """Have `put_right` called with the connection, to read, should this transaction be undone: for what
        it did beside the database."""
        self._if_undone.append(put_right)

    def undone(self, db: sqlite3.Connection) -> None:
        """This transaction was undone: put right, the latest first, what it did beside the database."""
        while self._if_undone:
            self._if_undone.pop()(db)
