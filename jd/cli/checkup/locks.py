"""Whether a lock keeps a second process out, tried with a second process."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Callable, List, Optional


def failures(directory: Path) -> List[str]:
    """What does not work for files in `directory`, in words; nothing if all is well."""
    found = [_tried("file locks (fcntl)", directory / "lock", hold_file, try_file),
             _tried("SQLite's locks", directory / "locks.db", hold_database, try_database)]
    return [failure for failure in found if failure is not None]


def hold_file(path: Path) -> object:
    """Lock a file; what comes back keeps the lock. Raises OSError."""
    file = open(str(path), "w+b")
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def try_file(path: Path) -> bool:
    """Whether another process is kept out. Raises OSError."""
    with open(str(path), "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except PermissionError:  # EACCES means the same (fcntl(2))
            return True
    return False


def hold_database(path: Path) -> object:
    """Begin to write to a database. Raises sqlite3.Error."""
    db = sqlite3.connect(str(path), timeout=0, isolation_level=None)
    db.execute("CREATE TABLE trial (number INTEGER)")
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO trial VALUES (1)")
    return db


def try_database(path: Path) -> bool:
    """Whether another writer is kept out. Raises sqlite3.Error."""
    db = sqlite3.connect(str(path), timeout=0, isolation_level=None)
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return True
        raise
    finally:
        db.close()
    return False


def _tried(what: str, path: Path, hold: Callable[[Path], object],
           try_it: Callable[[Path], bool]) -> Optional[str]:
    """Hold a lock in a forked process and try for it here.

    The other process is forked before either opens anything: SQLite remembers its own locks, and
    would tell a fork of it what it remembers instead of asking the file system.
    """
    said_read, said_write = os.pipe()
    wait_read, wait_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(wait_write)
        _hold_until_told(path, hold, said_write, wait_read)
    os.close(said_write)
    os.close(wait_read)
    try:
        with os.fdopen(said_read, "rb") as said:
            error = said.readline().decode("utf-8", "replace").strip()
        if error != "held":
            return "%s do not work: %s" % (what, error or "the process that tried was killed")
        if not try_it(path):
            return "%s do not work: two processes had the same one" % what
    except (OSError, sqlite3.Error) as problem:
        return "%s do not work: %s" % (what, getattr(problem, "strerror", None) or problem)
    finally:
        os.close(wait_write)
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass  # SIGCHLD is ignored: the kernel has reaped it
    return None


def _hold_until_told(path: Path, hold: Callable[[Path], object], say: int, wait: int) -> None:
    """The other process; never returns."""
    try:
        try:
            held = hold(path)
            os.write(say, b"held\n")
            os.read(wait, 1)
            del held
        except (OSError, sqlite3.Error) as error:
            text = str(getattr(error, "strerror", None) or error)
            os.write(say, text.encode("utf-8", "replace") + b"\n")
    finally:
        os._exit(0)
