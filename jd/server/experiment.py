"""One experiment's data on disk: directories, the lock that keeps a second server out, database.

    <workspace>/<expId>/meta/jobs.db       the queue
                       /meta/server.json   where its server is, while one runs
                       /meta/server.lock
                       /data/<job_id>/     uploads and checkpoints
"""

import asyncio
import fcntl
import json
import os
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
        self._lock = self._take_lock()
        try:
            files.prepare(self.data_dir)
            self.database = Database(self.meta_dir / "jobs.db", MIGRATIONS)
            self.server_id = self.database.write(self._wake_up).result()
        except BaseException:
            os.close(self._lock)
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
        self._server_file.unlink(missing_ok=True)
        os.close(self._lock)

    def publish(self, facts: Dict[str, Any]) -> None:
        """Write `meta/server.json`: where workers and tools on this machine find the server."""
        draft = self.meta_dir / ".server.json.new"
        draft.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        os.replace(str(draft), str(self._server_file))

    @property
    def _server_file(self) -> Path:
        return self.meta_dir / "server.json"

    def _take_lock(self) -> int:
        path = self.meta_dir / "server.lock"
        try:
            lock = os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError("cannot write %s: %s; choose another --workspace_path" % (
                path, error.strerror)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise JdError(self._occupied()) from None
        except OSError as error:
            os.close(lock)
            raise StorageError("the file system of %s cannot lock files (%s); choose a "
                               "--workspace_path on another" % (path, error.strerror)) from error
        return lock

    def _occupied(self) -> str:
        owner: Dict[str, Any] = {}
        try:
            owner = json.loads(self._server_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            pass  # it is starting or stopping just now
        return "experiment %s is served already%s; stop that server first, or use another --expId" % (
            self.name, " by pid %s on %s at %s" % (owner.get("pid"), owner.get("host"),
                                                   owner.get("server_url")) if owner else "")

    def _wake_up(self, db: sqlite3.Connection) -> str:
        """Put right what changed while no server ran. Returns the id of this data."""
        now = self.clock()
        batches.abandon(db)
        jobs.extend_leases(db, now, self.policy)
        workers.seen(db, now)
        db.execute("INSERT OR IGNORE INTO settings VALUES ('server_id', ?)",
                   (secrets.token_hex(8),))
        return str(db.execute("SELECT value FROM settings WHERE name = 'server_id'").fetchone()[0])
