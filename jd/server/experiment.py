"""One experiment's data on disk: directories, the lock that keeps a second server out, database.

    <workspace>/<expId>/meta/jobs.db       the queue
                       /meta/server.json   where its server is, while one runs
                       /meta/server.lock
                       /data/<job_id>/     uploads and checkpoints

All of it is for the server's own user, or for a group to read as well (`jd/storage/filemodes.py`).
"""

import asyncio
import secrets
import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Tuple, TypeVar

from jd import safedirs
from jd.errors import JdError, StorageError
from jd.server.store.files import files
from jd.server.store.fleet import workers
from jd.server.store.operators import batches, options
from jd.server.store.queue import jobs
from jd.server.store.queue.transitions import Policy
from jd.server.store.schema import MIGRATIONS
from jd.server.store.search import values
from jd.storage import filemodes
from jd.storage.database import READ_SECONDS, Database
from jd.storage.filemodes import PRIVATE, Modes
from jd.storage.serverlock import AlreadyServed, ServerLock

T = TypeVar("T")


class Experiment:
    """The data of one experiment, held by this process alone.

    `read`, `look_up` and `write` run an operation of the store and are awaited; `clock` gives Unix seconds.
    `bulk` is (action, done, total) while many jobs are changed in slices; `server_url` where workers reach
    the server, once it was published; `exposed` are directories that others may look into, since they
    are not this user's to close.
    """

    def __init__(self, workspace: Path, name: str, policy: Policy,
                 clock: Callable[[], float] = time.time, fixed: FrozenSet[str] = frozenset(),
                 kept: Modes = PRIVATE) -> None:
        """Open or create the data. What people set on the dashboard replaces that part of
        `policy`, but not its fields named in `fixed`, which were given at this start.

        Raises StorageError, also for data that others could have planted, or JdError if another server
        has the data.
        """
        self.name = name
        self.directory = workspace / name
        self.meta_dir = self.directory / "meta"
        self.data_dir = self.directory / "data"
        self.policy = policy
        self.clock = clock
        self.bulk: Optional[Tuple[str, int, int]] = None
        self.server_url: Optional[str] = None
        self._kept = kept
        self._on_write: List[Callable[[], None]] = []
        try:
            self._make(workspace)
            self.exposed = [directory for directory in (self.directory, self.meta_dir)
                            if not filemodes.apply(directory, kept)]
        except OSError as error:
            raise StorageError("cannot create %s: %s; choose another --workspace_path" % (
                self.meta_dir, error.strerror)) from error
        self._server_lock = ServerLock(self.meta_dir, "server")
        self._occupy()
        try:
            files.prepare(self.data_dir, kept)
            self.database = Database(self.meta_dir / "jobs.db", MIGRATIONS, kept)
            self.policy = self.database.read(lambda db: options.load(db, policy, fixed)).result()
            # A million jobs of a database without values take some ten seconds, once.
            for repair in (batches.abandon, values.catch_up):
                while self.database.write(repair).result():
                    pass
            self.server_id = self.database.write(self._wake_up).result()
        except BaseException:
            self._server_lock.release()
            raise

    async def write(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Run `operation(connection, *arguments)` durably."""
        result = await asyncio.wrap_future(
            self.database.write(lambda db: operation(db, *arguments)))
        for told in self._on_write:
            told()
        return result

    def on_write(self, told: Callable[[], None]) -> None:
        """Have `told` called in the loop after what was written. It must be quick: it is called for
        each heartbeat. A write whose caller went away meanwhile is reported with the next one."""
        self._on_write.append(told)

    async def read(self, operation: Callable[..., T], *arguments: Any,
                   seconds: float = READ_SECONDS) -> T:
        """Run `operation(connection, *arguments)` on what is committed, for people.

        It ends after `seconds` (raises reading.TookTooLong), and when the one that awaits it is cancelled.
        """
        return await asyncio.wrap_future(
            self.database.read(lambda db: operation(db, *arguments), seconds))

    async def look_up(self, operation: Callable[..., T], *arguments: Any) -> T:
        """`read` for workers: a few rows by an index, which never waits for what people read."""
        return await asyncio.wrap_future(
            self.database.look_up(lambda db: operation(db, *arguments)))

    def close(self) -> None:
        """Finish what was accepted and let go of the data."""
        self.database.close()
        self._server_lock.release()

    def publish(self, facts: Dict[str, Any]) -> None:
        """Write `meta/server.json`: where workers and tools on this machine find the server."""
        self.server_url = facts["server_url"]
        self._server_lock.publish(facts, self._kept.file)

    def _make(self, workspace: Path) -> None:
        """The directories, where they are not there. Whoever puts a token or a queue of jobs into them
        has this server's workers run what they like: so they are used only if nobody else can have.

        Raises UnsafePlace, OSError.
        """
        way = replace(safedirs.SERVER, private=False, mode=0o700 if self._kept.gid is None else 0o755)
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
            raise JdError("experiment %s is served already%s; stop that server first, or use another "
                          "--expId" % (self.name, " by pid %s on %s at %s" % (
                              owner.get("pid"), owner.get("host"),
                              owner.get("server_url")) if owner else "")) from None
        except OSError as error:
            raise StorageError("cannot lock %s: %s; choose another --workspace_path" % (
                self.meta_dir / "server.lock", error.strerror)) from error

    def _wake_up(self, db: sqlite3.Connection) -> str:
        """Put right what changed while no server ran. Returns the id of this data."""
        now = self.clock()
        jobs.extend_leases(db, now, self.policy)
        workers.seen(db, now)
        workers.take_names_apart(db)
        db.execute("INSERT OR IGNORE INTO settings VALUES ('server_id', ?)",
                   (secrets.token_hex(8),))
        return str(db.execute("SELECT value FROM settings WHERE name = 'server_id'").fetchone()[0])
