"""One experiment's data on disk: directories, the lock that keeps a second server out, database.

    <workspace>/<expId>/meta/jobs.db       the queue
                       /meta/server.json   where its server is, while one runs
                       /meta/server.lock
                       /data/<job_id>/     uploads and checkpoints
"""

import asyncio
import secrets
import sqlite3
import time
from pathlib import Path
from typing import Any, Callable, Dict, TypeVar

from jd.errors import JdError, StorageError
from jd.server.store import batches, files, jobs, workers
from jd.server.store.schema import MIGRATIONS
from jd.server.store.transitions import Policy
from jd.storage.database import Database
from jd.storage.occupancy import Occupancy, Occupied

T = TypeVar("T")


class Experiment:
    """The data of one experiment, held by this process alone.

    `read` and `write` run an operation of the store and are awaited; `clock` gives Unix seconds.
    """

    def __init__(self, workspace: Path, name: str, policy: Policy,
                 clock: Callable[[], float] = time.time) -> None:
        """Open or create the data. Raises StorageError, or JdError if another server has it."""
        self.name = name
        self.directory = workspace / name
        self.meta_dir = self.directory / "meta"
        self.data_dir = self.directory / "data"
        self.policy = policy
        self.clock = clock
        try:
            self.meta_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError("cannot create %s: %s; choose another --workspace_path" % (
                self.meta_dir, error.strerror)) from error
        self._occupancy = Occupancy(self.meta_dir, "server")
        self._occupy()
        try:
            files.prepare(self.data_dir)
            self.database = Database(self.meta_dir / "jobs.db", MIGRATIONS)
            self.server_id = self.database.write(self._wake_up).result()
        except BaseException:
            self._occupancy.release()
            raise

    async def write(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Run `operation(connection, *arguments)` durably."""
        return await asyncio.wrap_future(
            self.database.write(lambda db: operation(db, *arguments)))

    async def read(self, operation: Callable[..., T], *arguments: Any) -> T:
        """Run `operation(connection, *arguments)` on what is committed."""
        return await asyncio.wrap_future(
            self.database.read(lambda db: operation(db, *arguments)))

    def close(self) -> None:
        """Finish what was accepted and let go of the data."""
        self.database.close()
        self._occupancy.release()

    def publish(self, facts: Dict[str, Any]) -> None:
        """Write `meta/server.json`: where workers and tools on this machine find the server."""
        self._occupancy.publish(facts)

    def _occupy(self) -> None:
        try:
            self._occupancy.take()
        except Occupied as taken:
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
        batches.abandon(db)
        jobs.extend_leases(db, now, self.policy)
        workers.seen(db, now)
        db.execute("INSERT OR IGNORE INTO settings VALUES ('server_id', ?)",
                   (secrets.token_hex(8),))
        return str(db.execute("SELECT value FROM settings WHERE name = 'server_id'").fetchone()[0])
