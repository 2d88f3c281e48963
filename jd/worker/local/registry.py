"""The local registry: which workers of one experiment this user has, in a small SQLite file.

    <JD_CACHE_PATH or ~/.jd_cache>/.cache/<expId>/workers.db       mode 0600

The file may lie on a home that many nodes share, so a row has the host and the whole process identity of
its worker, and a host judges its own rows only (see `liveness`). What a row holds is in `rows`.

Launch configurations in it are executed by `restart` and `scale`: a file that somebody else could have
written is not read.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path

from jd import paths
from jd.auth.tokenfiles import REGISTRY_FILE
from jd.errors import DamagedFile, StorageError
from jd.files import filesystems, plainfile, safedirs
from jd.killpoint import killpoint
from jd.node.identity import Here, ProcessIdentity, new_worker_id
from jd.storage import damage
from jd.storage.schema import version_of
from jd.worker.local.registrylock import removing, using
from jd.worker.local.rows import IDLE, STARTING, Row, row_of, select, stored
from jd.worker.local.schema import FORMAT, WORDS, columns_of, migrate

TYPE_CHECKING = False
if TYPE_CHECKING:
    import random
    from typing import AbstractSet, Callable, Iterator, Mapping, Sequence, TypeVar

    T = TypeVar("T")
    _Ask = Callable[[sqlite3.Connection, AbstractSet[str]], T]

FILE_NAME = REGISTRY_FILE
BUSY_TIMEOUT = 5.0  # seconds; locks on network file systems may never come free
_TRIES = 20  # to get into a file that somebody takes away


class NotEntered(StorageError):
    """A worker is not in its registry: its row has gone, or the whole file."""


class Registry:
    """The registry of one experiment. Every call is a transaction of its own.

    Raises StorageError where the file cannot be used, UnsafePlace where somebody else could write
    to it, and waits for a lock at most BUSY_TIMEOUT.
    """

    def __init__(self, experiment: str, environ: Mapping[str, str] = os.environ) -> None:
        self.experiment = experiment
        self.path = paths.experiment_cache(experiment, environ) / FILE_NAME
        self._top = paths.cache_root(environ)

    @property
    def exists(self) -> bool:
        """Whether anything was registered here yet."""
        try:
            return safedirs.check_file(self.path, safedirs.CACHE, self._top)
        except NotADirectoryError:
            return False
        except OSError as error:
            raise self._unusable(error) from error

    @property
    def file(self) -> tuple[int, int] | None:
        """Which file it is, by device and number; None where there is none, or nobody can tell."""
        try:
            return _file_id(self.path)
        except OSError:
            return None

    # ---- questions: nothing is written, and a registry that does not exist is empty

    def rows(self, configs: bool = True) -> list[Row]:
        """All workers, by host, instance and slot; without `configs` theirs are left empty."""
        nobody: list[Row] = []
        return sorted(self._ask(lambda db, columns: [row_of(values) for values in db.execute(
            select(columns if configs else columns - {"config_json"}))], nobody),
            key=lambda row: (row.worker_id.rpartition("_")[0], row.slot))

    def row(self, worker_id: str) -> Row | None:
        """One worker, None if it is not registered."""
        found = self._ask(lambda db, columns: db.execute(
            select(columns) + " WHERE worker_id = ?", (worker_id,)).fetchone(), None)
        return None if found is None else row_of(found)

    def draining(self) -> bool:
        """Whether the experiment was told to drain on this machine and nothing was started since."""
        return self._ask(lambda db, _: self._drained(db), False)

    # ---- changes

    def reserve(self, slots: Sequence[int], config: Mapping[str, object], here: Here, now: float,
                rng: random.Random | None = None, instance: str | None = None,
                token: str = "") -> list[str]:
        """Enter workers that are about to start, under one new instance word; gives their ids.

        They are this process's own until each calls `settle`. `instance` reuses a word instead:
        for slots that are added to a running launch. `token` is what the Hub gave to all of them.
        """
        identity = here.own
        with self._change(create=True) as db:
            taken = {values[0] for values in db.execute("SELECT worker_id FROM workers")}
            first = new_worker_id(0, frozenset(taken | _words_taken(db)), rng, here.host)
            host, chosen = first.rpartition("_")[0].rsplit("_", 1)
            stem = "%s_%s" % (host, chosen if instance is None else instance)
            names = ["%s_%d" % (stem, slot) for slot in slots]
            _take_word(db, chosen if instance is None else instance)
            drains = self._end_draining(db)
            _insert(db, [
                (name, self.experiment, identity.pid, slot, name, stored(config.get("entry_script", "")),
                 stored(config.get("machine_type", "worker")), "", now, STARTING, json.dumps(config),
                 here.host, identity.boot_id, identity.start_time, here.pid_namespace, token,
                 now if token else None, drains) for name, slot in zip(names, slots)])
        return names

    def settle(self, worker_id: str, process_id: int, log_path: Path, here: Here,
               now: float) -> None:
        """The worker itself has started: from now on its row is about this process."""
        self.settle_all([(worker_id, process_id, log_path, here.own)], now)

    def settle_all(self, started: Sequence[tuple[str, int, Path, ProcessIdentity]],
                   now: float) -> None:
        """The same for several at once: id, process_id, log and identity of each."""
        with self._change() as db:
            db.executemany(
                "UPDATE workers SET pid = ?, boot_id = ?, start_time = ?, process_id = ?,"
                " log_path = ?, started_at = ?, status = ? WHERE worker_id = ?",
                [(identity.pid, identity.boot_id, identity.start_time, process_id,
                  stored(log_path), now, IDLE, worker_id)
                 for worker_id, process_id, log_path, identity in started])

    def update(self, worker_id: str, status: str, job_id: int | None,
               last_ping_at: float | None, session: str = "", paused_because: str = "") -> bool:
        """What the worker does now; `last_ping_at` is its last heartbeat that was answered, `session` what it
        calls itself there, `paused_because` why the server has paused it by itself. Returns whether the
        experiment was told to drain since the worker was entered, by whatever client. Raises NotEntered."""
        if not self.exists:
            raise NotEntered("there is no worker registry %s any more" % self.path)
        with self._change() as db:
            done = db.execute("UPDATE workers SET status = ?, current_job_id = ?,"
                       " last_ping_at = coalesce(?, last_ping_at), session = ?,"
                       " paused_because = ? WHERE worker_id = ?",
                       (status, job_id, last_ping_at, session, paused_because, worker_id))
            if not done.rowcount:
                raise NotEntered("%s is not in the worker registry %s any more" % (worker_id, self.path))
            return db.execute("SELECT 1 FROM workers AS w JOIN experiment_meta AS m ON m.exp_id = ?"
                              " WHERE w.worker_id = ? AND m.drains > w.drains",
                              (self.experiment, worker_id)).fetchone() is not None

    def enter_again(self, row: Row, now: float) -> None:
        """Enter a worker that runs and is not in the registry any more, which is made where it is missing; of
        what the experiment was told before, nothing concerns it.

        Raises NotEntered where the directory is missing that the cache is in, perhaps a home: a disk that is
        away must not get a stand-in.
        """
        if not self._top.parent.is_dir():
            raise NotEntered("the worker registry would be %s, and there is no %s any more" % (
                self.path, self._top.parent))
        identity = row.identity
        with self._change(create=True) as db:
            found = db.execute("SELECT drains FROM experiment_meta WHERE exp_id = ?",
                               (self.experiment,)).fetchone()
            _insert(db, [(row.worker_id, self.experiment, row.pid, row.process_id, row.worker_id,
                          stored(row.entry_script), stored(row.machine_type), stored(row.log_path),
                          row.started_at, row.status, json.dumps(row.config), row.host,
                          "" if identity is None else identity.boot_id,
                          "" if identity is None else identity.start_time, row.pid_namespace,
                          row.worker_token, now if row.worker_token else None,
                          0 if found is None else int(found[0]))])

    def store_token(self, identity: ProcessIdentity, token: str, now: float) -> None:
        """A process has a new worker token, whatever its worker is called by now."""
        with self._change() as db:
            db.execute("UPDATE workers SET worker_token = ?, token_updated_at = ?"
                       " WHERE pid = ? AND start_time = ? AND boot_id = ?",
                       (token, now, identity.pid, identity.start_time, identity.boot_id))

    def rename(self, worker_id: str, new_id: str, log_path: Path) -> None:
        """The worker took another name."""
        with self._change() as db:
            db.execute("UPDATE workers SET worker_id = ?, runner_id = ?, log_path = ? WHERE worker_id = ?",
                       (new_id, new_id, stored(log_path), worker_id))

    def remove(self, worker_ids: Sequence[str]) -> None:
        """Take rows out; their instance words are free again."""
        if worker_ids and self.exists:
            with self._change() as db:
                db.executemany("DELETE FROM workers WHERE worker_id = ?",
                               [(worker_id,) for worker_id in worker_ids])

    def bury(self, dead: Sequence[Row]) -> int:
        """Take out rows that still are about the very processes that were found dead; how many.

        A row that was settled since it was read is about a living worker, and stays.
        """
        if not dead or not self.exists:
            return 0
        with self._change() as db:
            return db.executemany(
                "DELETE FROM workers WHERE worker_id = ? AND pid = ? AND start_time = ?",
                [(row.worker_id, row.pid, "" if row.identity is None else row.identity.start_time)
                 for row in dead]).rowcount

    def discard(self) -> bool:
        """Delete the file if it says nothing any more, and nobody uses it; whether there is none now.

        It goes while it is locked, so that no worker enters itself into a file that is going.
        """
        if not self.exists:
            return True
        with self._errors(), removing(self.path.parent.parent) as alone:
            if not alone:
                return False
            db = self._connect()
            try:
                db.execute("BEGIN EXCLUSIVE")
                if columns_of(db) and (self._drained(db) or db.execute(
                        "SELECT 1 FROM workers LIMIT 1").fetchone()):
                    return False
                os.unlink(str(self.path))
            finally:
                db.close()
        return True

    def set_draining(self) -> None:
        """Tell the workers of the experiment that are registered to drain; the next launch is not meant."""
        with self._change(create=True) as db:
            db.execute("INSERT INTO experiment_meta (exp_id, drained) VALUES (?, 1)"
                       " ON CONFLICT (exp_id) DO UPDATE SET drained = 1", (self.experiment,))

    # ---- the ways in

    def _ask(self, question: _Ask[T], empty: T) -> T:
        """The answer from one consistent state. No lock is taken that a writer would have to wait
        for longer than the question lasts, and no table is changed."""
        if not self.exists:
            return empty
        with self._errors(), using(self.path.parent.parent, BUSY_TIMEOUT):
            try:
                db = self._connect()
                try:
                    db.execute("BEGIN")
                    columns = columns_of(db)
                    return question(db, columns) if columns else empty
                finally:
                    db.close()
            except damage.ERRORS:
                if self.exists:
                    raise
                return empty  # removed since the first line

    @contextmanager
    def _change(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        root = self.path.parent.parent
        with self._errors():
            if create:
                safedirs.make(root, safedirs.CACHE, self._top)
            else:
                safedirs.check_file(self.path, safedirs.CACHE, self._top)
            with using(root, BUSY_TIMEOUT):
                db = self._locked(create)
                try:
                    migrate(db)
                    yield db
                    killpoint("registry.before-commit")
                    db.execute("COMMIT")
                    killpoint("registry.after-commit")
                finally:
                    db.close()  # rolls back what was not committed

    def _locked(self, create: bool) -> sqlite3.Connection:
        """A connection that holds the write lock of the file that is at `path`.

        Somebody who does not know our lock may have taken the file away after it was made here,
        or while this process waited; what is written to such a file is lost, so another is made.
        """
        for _ in range(_TRIES):
            made: tuple[int, int] | None = None
            try:
                if create:
                    made = self._make_file()
                db = self._connect()
                try:
                    db.execute("BEGIN IMMEDIATE")
                    if not create or made == _file_id(self.path):
                        return db
                except damage.ERRORS:
                    db.close()
                    raise
                db.close()
            except FileNotFoundError:
                pass  # the directory went before the file was in it
            except damage.ERRORS:
                if not create or made == _file_id(self.path):
                    raise
        raise OSError(errno.EAGAIN, "other processes remove it again and again")

    def _connect(self) -> sqlite3.Connection:
        # mode=rw: a registry that was wiped meanwhile is not made anew by a worker's update.
        # SQLite opens a file that cannot be written for reading only.
        plainfile.check(self.path)
        db = sqlite3.connect(self.path.absolute().as_uri() + "?mode=rw", uri=True,
                             timeout=BUSY_TIMEOUT, isolation_level=None)
        try:
            # Small and shared by processes of many hosts: no WAL, anywhere.
            db.execute("PRAGMA synchronous = NORMAL")
            version_of(db, self.path, FORMAT)
        except BaseException:
            db.close()
            raise
        return db

    def _make_file(self) -> tuple[int, int] | None:
        """Make the file if it is missing; which file that is. Nobody else may read it: it holds
        tokens, whatever the umask says and whoever made it."""
        safedirs.make(self.path.parent, safedirs.CACHE, self._top)
        try:
            # Never opened when it exists: closing it would drop SQLite's locks in this process.
            os.close(os.open(str(self.path), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC,
                             0o600))
        except FileExistsError:
            if safedirs.check_file(self.path, safedirs.CACHE, self._top):
                found = os.stat(str(self.path))
                if found.st_uid == os.geteuid() and found.st_mode & 0o077:
                    os.chmod(str(self.path), 0o600)
        return _file_id(self.path)

    def _end_draining(self, db: sqlite3.Connection) -> int:
        """A launch: what is started now does not drain. Workers of published clients that are still to see
        the flag keep it, since they have no other. Returns how often the experiment was told before."""
        db.execute("INSERT INTO experiment_meta (exp_id, drained) VALUES (?, 0)"
                   " ON CONFLICT (exp_id) DO UPDATE SET drained = 0"
                   " WHERE NOT EXISTS (SELECT 1 FROM workers WHERE start_time = '')", (self.experiment,))
        told = db.execute("SELECT drains FROM experiment_meta WHERE exp_id = ?",
                          (self.experiment,)).fetchone()
        return int(told[0])

    def _drained(self, db: sqlite3.Connection) -> bool:
        if not columns_of(db, "experiment_meta"):
            return False
        values = db.execute("SELECT drained FROM experiment_meta WHERE exp_id = ?",
                            (self.experiment,)).fetchone()
        return values is not None and bool(values[0])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, *damage.ERRORS) as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> StorageError:
        reason = damage.reason(error)
        if damage.is_damage(error) or isinstance(error, IsADirectoryError) or (
                isinstance(error, OSError) and error.errno == errno.EINVAL):
            return DamagedFile("the worker registry %s" % self.path, reason,
                               "move the file away: workers that run go on, and enter themselves again")
        if filesystems.is_network(self.path):
            hint = "it is on a network file system; set JD_CACHE_PATH to node-local scratch"
        elif "locked" in reason:
            hint = "another process has kept it busy for %g s; try again" % BUSY_TIMEOUT
        else:
            hint = "set JD_CACHE_PATH to a directory that can be written"
        return StorageError("the worker registry %s cannot be used: %s" % (self.path, reason), hint)


def _insert(db: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    db.executemany(
        "INSERT INTO workers (worker_id, exp_id, pid, process_id, runner_id, entry_script, machine_type,"
        " log_path, started_at, status, config_json, host, boot_id, start_time, pid_namespace, worker_token,"
        " token_updated_at, drains) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _words_taken(db: sqlite3.Connection) -> AbstractSet[str]:
    """Words that a published client (up to 1.23) has taken for workers that may not be entered yet."""
    if not columns_of(db, WORDS):
        return frozenset()
    return {str(values[0]) for values in db.execute("SELECT name FROM %s WHERE taken" % WORDS)}


def _take_word(db: sqlite3.Connection, word: str) -> None:
    """Keep such a client from naming its workers like ours. Its own clean-up gives the word back."""
    if columns_of(db, WORDS):
        db.execute("UPDATE %s SET taken = 1 WHERE name = ?" % WORDS, (word,))


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(str(path))
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
