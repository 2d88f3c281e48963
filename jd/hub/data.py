"""A Hub's data on disk: directory, database, the lock that keeps a second Hub out.

    <data>/hub.db     accounts, keys, experiments (0600: it holds what tokens are signed with)
          /hub.json   where the Hub is, while it runs
          /hub.lock   held by the running Hub
          /open.lock  held for a moment by whoever opens the database
          /signup     a link for the first administrator, and what other commands made while nobody
          /key-<id>, /signup-<id>, /pin-<experiment>    watched: a key, a link, a PIN (0600)

The directory is 0700: what else is in it nobody reaches.
"""

import fcntl
import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, TypeVar

from jd.errors import JdError, StorageError
from jd.files import safedirs, wholefile
from jd.hub.store.schema import MIGRATIONS
from jd.net.serving import inloop
from jd.storage import filemodes
from jd.storage.database import Database
from jd.storage.reading import Operation
from jd.storage.serverlock import AlreadyServed, ServerLock

T = TypeVar("T")

Change = Callable[[sqlite3.Connection, float], T]
"""What changes the data: it is given the connection and the time, in Unix seconds."""

OPEN_TIMEOUT = 10.0  # seconds that another command may take to open the database
DEFAULT_URL = "http://127.0.0.1:5080"


class HubData:
    """The data of a Hub: the running one (`claim`) or a command beside it.

    `read`, `look_up` and `write` run an operation of the store and are awaited; `read_now` and `write_now`
    are the same for commands, which have no event loop. `clock` gives Unix seconds.
    """

    def __init__(self, directory: Path, create: bool = True,
                 clock: Callable[[], float] = time.time, own: bool = True) -> None:
        """Open the data, or make it. Raises StorageError, also if it is not there and `create` is
        False, and for data that others could have planted; `own` is False where root works for another.
        """
        self.directory = directory
        self.clock = clock
        self._path = directory / "hub.db"
        self._server_lock = ServerLock(directory, "hub")
        if not create and not self._path.exists():
            raise StorageError("there is no Hub data in %s" % directory,
                               "start one with jd_hub serve, or give its directory: --data DIR")
        try:
            own = own or not os.path.lexists(str(directory))
            if own:
                safedirs.make(directory, safedirs.HUB)
            filemodes.apply(directory, filemodes.PRIVATE)  # if it is not ours to close, `exposed` tells
            if own:
                safedirs.check_contents(directory, safedirs.HUB)
        except OSError as error:
            raise StorageError("cannot create %s: %s" % (directory, error.strerror),
                               "choose another --data") from error
        self.database = self._open()

    async def write(self, change: Change[T]) -> T:
        """Make a change durably."""
        now = self.clock()
        return await inloop.awaited(self.database.write(lambda db: change(db, now)))

    async def read(self, operation: Operation[T]) -> T:
        """Run an operation on what is committed."""
        return await inloop.awaited(self.database.read(operation))

    async def look_up(self, operation: Operation[T]) -> T:
        """`read` for who calls: a row by its key, which never waits for what pages read."""
        return await inloop.awaited(self.database.look_up(operation))

    def write_now(self, change: Change[T]) -> T:
        """`write`, waiting for it in this thread."""
        now = self.clock()
        return self.database.write(lambda db: change(db, now)).result()

    def read_now(self, operation: Operation[T]) -> T:
        """`read`, waiting for it in this thread."""
        return self.database.read(operation).result()

    def close(self) -> None:
        """Finish what was accepted and let go of the data."""
        self.database.close()
        self._server_lock.release()

    # ---- the running Hub

    def claim(self) -> None:
        """Be the Hub of this data, until `close`. Raises JdError if another one is."""
        try:
            self._server_lock.take()
            wholefile.tidy(self.directory)
        except AlreadyServed as taken:
            owner = taken.owner
            who = ": pid %s on %s at %s" % (
                owner.get("pid"), owner.get("host"), owner.get("hub_url")) if owner else ""
            raise JdError("a Hub runs on %s already%s" % (self.directory, who),
                          "stop it first, or use another --data") from None
        except PermissionError as error:
            raise self._not_writable(self.directory / "hub.lock", error) from error
        except OSError as error:
            raise self._no_locks(error) from error

    def publish(self, facts: Dict[str, Any]) -> None:
        """Write `hub.json`: who runs and where."""
        self._server_lock.publish(facts, 0o600)
        self.write_now(lambda db, _now: _remember_url(db, facts["hub_url"]))

    def url(self) -> str:
        """Where the Hub is, or was when it last ran."""
        return self.read_now(_remembered_url) or DEFAULT_URL

    @property
    def signup_file(self) -> Path:
        """Where the first administrator's link stands, if it could not be shown on a terminal."""
        return self.directory / "signup"

    def kept(self, kind: str, whose: object) -> Path:
        """Where a command keeps a secret that it could not show on a terminal."""
        return self.directory / ("%s-%s" % (kind, whose))

    def exposed(self) -> bool:
        """Whether others on this machine can look into the directory."""
        try:
            return bool(stat.S_IMODE(os.stat(str(self.directory)).st_mode) & 0o077)
        except OSError:
            return False

    # ---- opening

    def _open(self) -> Database:
        """One at a time: a Hub and a command that start together must not both make the tables."""
        lock = self._open_lock("open.lock")
        try:
            self._wait_for(lock)
            # Database would leave it to SQLite to say that it cannot be made.
            os.close(os.open(str(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            return Database(self._path, MIGRATIONS)
        except PermissionError as error:
            raise self._not_writable(self._path, error) from error
        except OSError as error:
            raise self._no_locks(error) from error
        finally:
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        deadline = time.monotonic() + OPEN_TIMEOUT
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StorageError("another command has held %s for %g s"
                                       % (self.directory / "open.lock", OPEN_TIMEOUT),
                                       "end it, or try again") from None
                time.sleep(0.02)

    def _open_lock(self, name: str) -> int:
        path = self.directory / name
        try:
            return os.open(str(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._not_writable(path, error) from error

    def _not_writable(self, path: Path, error: OSError) -> StorageError:
        return StorageError("cannot write %s: %s" % (path, error.strerror),
                            "run this as the user that the Hub runs as, or give another --data")

    def _no_locks(self, error: OSError) -> StorageError:
        return StorageError("the file system of %s cannot lock files (%s)"
                            % (self.directory, error.strerror),
                            "choose a --data on another")


def _remember_url(db: sqlite3.Connection, url: str) -> None:
    db.execute("INSERT OR REPLACE INTO settings VALUES ('hub_url', ?)", (url,))


def _remembered_url(db: sqlite3.Connection) -> Optional[str]:
    row = db.execute("SELECT value FROM settings WHERE name = 'hub_url'").fetchone()
    return None if row is None else row[0]
