"""One experiment's data on disk: directories, the lock that keeps a second server out, database.

    <workspace>/<expId>/meta/jobs.db       the queue
                       /meta/server.json   where its server is, while one runs
                       /meta/server.lock
                       /data/<job_id>/     uploads and checkpoints

All of it is for the server's own user, or for a group to read as well (`jd/storage/filemodes.py`).
"""

import asyncio
import logging
import secrets
import sqlite3
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, Generic, List, Optional, Sequence, Tuple, TypeVar

from jd.clock import Clock
from jd.errors import DamagedFile, JdError, StorageError
from jd.files import safedirs
from jd.net.serving import inloop
from jd.server import opening
from jd.server.begun import Begun
from jd.server.gathering import Gathering
from jd.server.latervalues import LaterValues
from jd.server.lookups import LookUps
from jd.server.store import aftermath, clockset, datadir
from jd.server.store.files import files
from jd.server.store.fleet import failing, presence, workers
from jd.server.store.operators import batches, options, signins
from jd.server.store.policy import Policy
from jd.server.store.queue import elsewhere, lease, overrun, retry
from jd.server.store.transaction import Happened, Transaction, remove_superseded, together
from jd.storage import damage, filemodes
from jd.storage.database import READ_SECONDS, Answer, Deliver, Promise, Task, at_once
from jd.storage.filemodes import PRIVATE, Modes
from jd.storage.serverlock import AlreadyServed, ServerLock
from jd.threads import Reported

ABANDONED_AT_START = 3  # slices

T = TypeVar("T")
A = TypeVar("A")
log = logging.getLogger("jd.server")


class Experiment:
    """The data of one experiment, held by this process alone.

    `write`, `read` and `look_up` run an operation of the store and are awaited, on the time of `clock`.
    `bulk` is (action, done, total) while many jobs are changed in slices; `begun` has what requests have
    begun, and `values` writes those that are missing, both to be stopped before this is closed; `server_url`
    is where workers reach the server, once it was published; `exposed` are directories that others may look
    into, since they are not this user's to close; `ready_at` is when leases were renewed at the start, in the
    clock's seconds that only pass.
    """

    def __init__(self, workspace: Path, name: str, policy: Policy,
                 clock: Clock = Clock(), fixed: FrozenSet[str] = frozenset(),
                 kept: Modes = PRIVATE, anew: bool = False) -> None:
        """Open or create the data. What people set on the dashboard replaces that part of
        `policy`, but not its fields named in `fixed`, which were given at this start. With `anew` a
        database that is lost or damaged is set aside (see `opening`).

        Raises StorageError, also for data that others could have planted, DamagedFile, or JdError if another
        server has the data, and what `datadir.of` does.
        """
        self.name = name
        self.directory = datadir.of(workspace, name)
        self.meta_dir = self.directory / "meta"
        self.data_dir = self.directory / "data"
        self.policy = policy
        self.clock = clock
        self.bulk: Optional[Tuple[str, int, int]] = None
        self.begun = Begun()
        self.values = LaterValues(self.write, self._read)
        self.server_url: Optional[str] = None
        self._kept = kept
        self._listeners: List[Callable[[Happened], None]] = [self.values.told]
        self._gathering: Optional[Gathering] = None
        self._deliver: Deliver = self._give_now  # to who awaits it in the loop
        self._telling = Reported("not everybody was told what was written", log.error)
        self._removing = Reported("files that are not needed any more were not removed", log.error)
        try:
            self._make(workspace)
            self.exposed = [directory for directory in (self.directory, self.meta_dir)
                            if not filemodes.apply(directory, kept)]
        except OSError as error:
            raise StorageError("cannot create %s: %s" % (self.meta_dir, error.strerror),
                               "choose another --workspace_path") from error
        self._server_lock = ServerLock(self.meta_dir, "server")
        self._occupy()
        try:
            opening.tidy(self.meta_dir)
            try:
                self._open(policy, fixed)
            except DamagedFile:
                if not anew:
                    raise
                opening.begin_anew(self.directory, kept, _log)
                self._open(policy, fixed)
            else:
                if anew:
                    self._check_lost()
        except BaseException:
            self._server_lock.release()
            raise

    def _abandon(self) -> None:
        """Remove a batch that was being written when the last server ended: of one of many jobs the rest is
        left to `creation.creator`, beside the workers."""
        self.write_now(batches.all_loaded)
        if not self.read_now(batches.is_being_written):
            return
        _log("a batch of jobs was being written when the server ended: it is removed, and jobs whose place "
             "it took are back; create it again, unless it was a jobs file that this server is started with")
        for _ in range(ABANDONED_AT_START):
            if not self.write_now(batches.abandon):
                break

    def _check_lost(self) -> None:
        try:
            opening.check_lost(self.database)
        except BaseException:
            self.database.close()
            raise

    def _open(self, policy: Policy, fixed: FrozenSet[str]) -> None:
        """Make the data ready to be served. Raises DamagedFile, StorageError."""
        clock = self.clock
        self.database = opening.open_database(self.directory, self._kept)
        self._look_ups = LookUps(self.database)
        try:
            files.prepare(self.data_dir, self._kept)
            opening.tidy_files(self.database, self.directory, self._kept, _log)
            # Another offset than that of the last server says nothing: machine or boot may be others.
            self._offset = clock.offset()
            self.database.write(lambda db: clockset.begin(db, self._offset)).result()
            self.policy = self.read_now(lambda db: options.load(db, policy, fixed))
            self._abandon()
            self.ready_at = clock.elapsed()
            self.server_id = self.write_now(_wake_up)
        except (sqlite3.Error, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            # What stands in a row is not what was written there: SQLite does not notice a byte of a text.
            self.database.close()
            raise DamagedFile("database %s" % self.database.path, "a row of it cannot be read (%s)"
                              % damage.reason(error), opening.WAY_OUT) from error
        except BaseException:
            self.database.close()
            raise

    async def write(self, operation: Callable[[Transaction], T], *, repeats: bool = False) -> T:
        """Run an operation durably, in a transaction. One that `repeats` may be called once more after it was
        undone, which is faster.

        What it says has happened is told to those who wait for it, after the commit and before this
        returns; also where the one that awaits it is cancelled while it is being written.
        """
        asked: _Asked[T] = self._queue(operation, repeats)
        try:
            return await asked.answer
        except asyncio.CancelledError:
            if asked.happened is not None:
                self._unheard(asked.happened)
            raise
        finally:
            asked.given_up = True

    def queue(self, operation: Callable[[Transaction], T], *, repeats: bool = False) -> "asyncio.Future[T]":
        """`write`, which has its place before whatever this loop writes next as soon as this returns."""
        return self._queue(operation, repeats).answer

    def _queue(self, operation: Callable[[Transaction], T], repeats: bool) -> "_Asked[T]":
        loop = asyncio.get_running_loop()
        gathering = self._gathered_in(loop)
        asked: _Asked[T] = _Asked(loop.create_future(), self._unheard)
        gathering.add(self._task(operation, asked, self._deliver, repeats))
        return asked

    def write_now(self, operation: Callable[[Transaction], T]) -> T:
        """`write`, waiting for it in this thread, which is not the loop's. Nobody is told of it."""
        written: "Future[Tuple[T, Happened]]" = Future()
        self.database.enter([self._task(operation, written, self._give_now)])
        return written.result()[0]

    def on_commit(self, told: Callable[[Happened], None]) -> None:
        """Have `told` called in the loop after each commit, with what has happened by all that was written in
        it. It must be quick."""
        self._listeners.append(told)

    async def read(self, operation: Callable[[sqlite3.Connection], T], *,
                   seconds: float = READ_SECONDS) -> T:
        """Run an operation on what is committed, for people.

        It ends after `seconds` (raises reading.TookTooLong), and when the one that awaits it is cancelled.
        One that looks for values of jobs is run when they are there.
        """
        return await self.values.when_there(lambda: self._read(operation, seconds))

    def _read(self, operation: Callable[[sqlite3.Connection], T],
              seconds: float = READ_SECONDS) -> "asyncio.Future[T]":
        return inloop.awaited(self.database.read(operation, seconds))

    def read_now(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """`read`, waiting for it in this thread."""
        return self.database.read(operation).result()

    async def look_up(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """`read` for workers: a few rows by an index, which never waits for what people read. It may be run
        twice."""
        return await self._look_ups.ask(operation)

    async def look_up_together(self, operation: Callable[[sqlite3.Connection, Sequence[A]], Sequence[T]],
                               about: A) -> T:
        """`look_up` with an operation that is called once for all about which it is asked in a turn."""
        return await self._look_ups.ask_together(operation, about)

    def close(self) -> None:
        """Finish what was accepted and let go of the data."""
        if self._gathering is not None:
            self._gathering.flush()
        self.database.close()
        self._server_lock.release()

    def publish(self, facts: Dict[str, Any]) -> None:
        """Write `meta/server.json`: where workers and tools on this machine find the server."""
        self.server_url = facts["server_url"]
        self._server_lock.publish(facts, self._kept.file)

    def _gathered_in(self, loop: asyncio.AbstractEventLoop) -> Gathering:
        """What is between a loop and the thread that writes: the same each time, so that both are woken once
        for each commit."""
        if self._gathering is None or self._gathering.loop is not loop:
            if self._gathering is not None:
                self._gathering.flush()
            self._gathering = Gathering(loop, self.database)
            self._deliver = partial(self._give_later, self._gathering.back)
        return self._gathering

    def _task(self, operation: Callable[[Transaction], T], promise: Promise, deliver: Deliver,
              repeats: bool = False) -> Task:
        begun: List[Transaction] = []

        def run(db: sqlite3.Connection) -> Tuple[T, Happened]:
            t = Transaction(db, self.clock(), self.policy, aftermath.follow)
            begun.append(t)
            offset = self.clock.offset()
            if clockset.is_set(offset, self._offset):
                clockset.follow(t, offset)
            return operation(t), t.happened

        def undone(db: sqlite3.Connection) -> None:
            for t in begun:
                t.undone(db)

        return Task(run, promise, undone, deliver, _settle, repeats)

    def _followed(self, answers: List[Answer]) -> Optional[Happened]:
        """Do what is done after a commit in the thread that writes. Returns what has happened by it, None if
        all of it was undone."""
        kept = [answer.value[1] for answer in answers if answer.problem is None]
        if not kept:
            return None
        happened = together(kept)
        with self._removing:
            remove_superseded(happened)
        if happened.clock_offset is not None:
            self._offset = happened.clock_offset
        return happened

    def _give_now(self, answers: List[Answer]) -> None:
        self._followed(answers)
        at_once(answers)

    def _give_later(self, back: inloop.InTurn, answers: List[Answer]) -> None:
        back(partial(self._committed, self._followed(answers), answers))

    def _committed(self, happened: Optional[Happened], answers: List[Answer]) -> None:
        """Tell what has happened, and then those who await it."""
        if happened is not None:
            self._tell(happened)
        at_once(answers)

    def _tell(self, happened: Happened) -> None:
        if happened.settings:
            self.policy = self.policy._replace(**happened.settings)
        for told in self._listeners:
            with self._telling:  # each of the others hears of it all the same
                told(happened)

    def _unheard(self, happened: Happened) -> None:
        """Nobody has heard what was written. A worker that was given a job by it may have sent a newer
        heartbeat, which is held: that one is to tell."""
        if happened.given is not None:
            self._tell(Happened(commanded=[happened.given]))

    def _make(self, workspace: Path) -> None:
        """The directories, where they are not there. Whoever puts a token or a queue of jobs into them
        has this server's workers run what they like: so they are used only if nobody else can have.

        Raises UnsafePlace, OSError.
        """
        way = safedirs.SERVER._replace(private=False, mode=0o700 if self._kept.gid is None else 0o755)
        safedirs.make(workspace.parent, way)
        for directory, purpose in ((workspace, way), (self.directory, safedirs.SERVER),
                                   (self.meta_dir, safedirs.SERVER)):
            if not safedirs.check(directory, purpose, self.directory):
                safedirs.make(directory, purpose, self.directory)
                filemodes.apply(directory, self._kept)
        safedirs.check_contents(self.meta_dir, safedirs.SERVER, self.directory)
        safedirs.check(self.data_dir, safedirs.SERVER, self.directory)

    def _occupy(self) -> None:
        try:
            self._server_lock.take()
        except AlreadyServed as taken:
            owner = taken.owner
            who = " by pid %s on %s at %s" % (
                owner.get("pid"), owner.get("host"), owner.get("server_url")) if owner else ""
            raise JdError("experiment %s is served already%s" % (self.name, who),
                          "stop that server first, hand it jobs with --jobs FILE, or use another "
                          "--expId") from None
        except OSError as error:
            raise StorageError("cannot lock %s: %s" % (self.meta_dir / "server.lock", error.strerror),
                               "choose another --workspace_path") from error


class _Asked(Generic[T]):
    """The promise to who awaits `answer` in a loop. An operation of whom has `given_up` before is not begun;
    `happened` is known with the answer, and goes to `unheard` where nobody takes that any more."""

    def __init__(self, answer: "asyncio.Future[T]", unheard: Callable[[Happened], None]) -> None:
        self.answer = answer
        self.happened: Optional[Happened] = None
        self.given_up = False
        self._unheard = unheard

    def set_running_or_notify_cancel(self) -> bool:
        return not self.given_up

    def set_result(self, done: Tuple[T, Happened]) -> None:
        value, happened = done
        if self.answer.done():
            self._unheard(happened)
        else:
            self.happened = happened
            self.answer.set_result(value)

    def set_exception(self, problem: Optional[BaseException]) -> None:
        if problem is not None and not self.answer.done():
            self.answer.set_exception(problem)


def _log(text: str) -> None:
    log.warning("%s", text)


def _settle(db: sqlite3.Connection, done: List[Tuple[Any, Happened]]) -> None:
    aftermath.settle(db, [happened for _, happened in done])


def _wake_up(t: Transaction) -> str:
    """Put right what changed while no server ran. Returns the id of this data."""
    lease.restart(t)
    overrun.restart(t)
    retry.restart(t)
    elsewhere.restart(t)
    presence.seen(t)
    failing.restart(t)
    signins.restart(t)
    workers.take_names_apart(t)
    t.db.execute("INSERT OR IGNORE INTO settings VALUES ('server_id', ?)", (secrets.token_hex(8),))
    return str(t.db.execute("SELECT value FROM settings WHERE name = 'server_id'").fetchone()[0])
