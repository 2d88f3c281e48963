"""A SQLite file of a server: version check, migrations, journal mode, one writer, readers.

Everything that changes goes through one thread, which executes all that is queued in one
`BEGIN IMMEDIATE … COMMIT` (each operation in a savepoint of its own, where it may have to be undone apart
from others) and only then answers. So one fsync makes many answers durable. Reads use read-only connections
in two small pools: what people ask, which may take a while, and what must not wait for that (see `reading`).
"""

import json
import logging
import os
import queue
import sqlite3
import threading
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Protocol, Sequence, TypeVar

from jd import shortage, threads
from jd.errors import DamagedFile, StorageError
from jd.errors import reason as reason_of
from jd.files import filesystems, plainfile
from jd.killpoint import killpoint
from jd.storage import damage, filemodes, schema
from jd.storage.filemodes import PRIVATE, Modes
from jd.storage.reading import Operation, Reader, Readers

T = TypeVar("T")
log = logging.getLogger("jd.storage")

MIN_SQLITE = (3, 26, 0)
BUSY_TIMEOUT = 10.0  # seconds that a lock of another process (a backup, say) may last
MAX_GROUP = 128  # operations in one transaction, beyond which none is added: how long the first one waits
PATIENCE = 0.02  # seconds that `give_way` waits
STATEMENTS = 256  # that stay prepared: more than the store has for workers, so that none is parsed twice
READERS = 3
READ_SECONDS = 5.0  # that a reading may take: who looks at a page waits no longer either
# For looking up a few rows by their key. They need little; a disk that stalls is another matter.
LOOKUP_READERS = 2
LOOKUP_SECONDS = 30.0


def add_json(connection: sqlite3.Connection) -> None:
    """Make sure that a connection has `json_extract`, which SQLite can be built without."""
    try:
        connection.execute("SELECT json_extract('{}', '$.\"a\"')")
    except sqlite3.OperationalError:
        connection.create_function("json_extract", 2, extracted, deterministic=True)


def extracted(text: Optional[str], path: str) -> Any:
    """What SQLite's json_extract gives for the path `$."name"`: the value of one name of an object.

    true and false are 1 and 0; a list or an object is its JSON; None for null and for what is not
    there. Other paths raise ValueError.
    """
    if not (path.startswith('$."') and path.endswith('"') and path.count('"') == 2):
        raise ValueError("json_extract knows only paths such as $.\"name\" here")
    if text is None:
        return None
    value = json.loads(text)
    found = value.get(path[3:-1]) if isinstance(value, dict) else None
    if isinstance(found, bool):
        return int(found)
    if isinstance(found, (dict, list)):
        return json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    if isinstance(found, int) and not -2 ** 63 <= found < 2 ** 63:
        return float(found)
    return found


class Promise(Protocol):
    """Who waits for an operation: a Future of `concurrent.futures`, or what is told the same."""

    def set_running_or_notify_cancel(self) -> bool:
        """Whether anybody still waits: the operation begins now."""

    def set_result(self, result: Any) -> None:
        """What it returned is durable."""

    def set_exception(self, exception: Optional[BaseException]) -> None:
        """Nothing of it is kept."""


class Answer(NamedTuple):
    """What has become of an operation: its value, or the exception in `problem`."""

    promise: Promise
    value: Any
    problem: Optional[BaseException]

    def give(self) -> None:
        """Tell who waits for it."""
        if self.problem is None:
            self.promise.set_result(self.value)
        else:
            self.promise.set_exception(self.problem)


def at_once(answers: List[Answer]) -> None:
    """A `deliver` that gives answers where they become known, in the thread that writes."""
    for answer in answers:
        answer.give()


# Writes what operations of one commit have in common, given what each of them has returned.
Settle = Callable[[sqlite3.Connection, List[Any]], None]
# Has these answers of one commit given, maybe in another thread.
Deliver = Callable[[List[Answer]], None]


class Task(NamedTuple):
    """An operation that is to be written, with who waits for it and what `Database.write` takes besides."""

    operation: Operation[Any]
    promise: Promise
    undone: Optional[Callable[[sqlite3.Connection], None]] = None
    deliver: Deliver = at_once
    settle: Optional[Settle] = None
    repeats: bool = False


def prepare(connection: sqlite3.Connection) -> None:
    """What every connection of ours needs: json_extract, and no files elsewhere. SQLite puts what it has to
    remember for a while into /var/tmp, and a server whose own disk is fine would fail when that is full."""
    connection.execute("PRAGMA temp_store = MEMORY")
    add_json(connection)


class Database:
    """One SQLite file. `write` and `read` take an operation and give a Future of its result.

    An operation is called with a connection, must not commit, and may raise: what it did is then
    undone and the Future gets the exception.
    """

    def __init__(self, path: Path, migrations: Sequence[str], kept: Modes = PRIVATE,
                 way_out: str = "put a backup in its place") -> None:
        """Open or create the file and bring its schema up to date (see `schema`).

        The file gets the mode of `kept`, and so do those that SQLite keeps beside it. `migrations` are SQL
        scripts, in the subset that SQLite 3.26 has; one is never edited once released, a change is a new one
        at the end. Raises StorageError where the file cannot be used: SQLite too old, a directory that cannot
        be written, a lock held by somebody else; and DamagedFile, which says the `way_out`.
        """
        if sqlite3.sqlite_version_info < MIN_SQLITE:
            raise StorageError("this Python has SQLite %s" % sqlite3.sqlite_version,
                               "JobDistributor needs %s or newer" % ".".join(map(str, MIN_SQLITE[:2])))
        self.path = path
        self._migrations = migrations
        self._kept = kept
        self._way_out = way_out
        self.journal_mode = "DELETE" if filesystems.is_network(path) else "WAL"
        self._tasks: "queue.SimpleQueue[Optional[Sequence[Task]]]" = queue.SimpleQueue()
        try:
            self._writer_connection = self._open_writer()
        except damage.ERRORS as error:
            raise self._storage_error(error) from error
        self._closed = False
        self._at_small_ones = threading.Lock()  # held by the writer while operations run that `repeats`
        self._patient = True
        self._following = threads.Reported("what was to follow a change of %s was not done" % path, log.error)
        try:
            self._readers = Readers(self._open_reader, self._storage_error, "jd-reader", READERS)
            self._lookups = Readers(self._open_reader, self._storage_error, "jd-lookup", LOOKUP_READERS)
            self._writer = threads.start(self._write_loop, "jd-writer")
        except threads.NoThread:
            self._writer_connection.close()
            raise

    def write(self, operation: Operation[T],
              undone: Optional[Callable[[sqlite3.Connection], None]] = None,
              deliver: Deliver = at_once, settle: Optional[Settle] = None,
              repeats: bool = False) -> "Future[T]":
        """Queue an operation that changes something; the Future is done when it is durable.

        `undone` is called with a connection to read, maybe twice, where the operation began and nothing of it
        is kept. Each `deliver` is called once for each commit, in the thread that writes, with all answers
        that it is to give: an event loop is woken once for all of them. Neither must raise. Each `settle` is
        called once for each commit, in front of it, with what those have returned that have it; what it
        raises undoes them all.

        An operation that `repeats` may be called once more after it was undone. Where all of a commit do,
        none has a savepoint, for which SQLite copies each page that changes; if one fails, all are run once
        more, each with its own.
        """
        future: "Future[T]" = Future()
        self.enter([Task(operation, future, undone, deliver, settle, repeats)])
        return future

    def enter(self, tasks: Sequence[Task]) -> None:
        """`write` for some operations, one after the other, in one commit."""
        if self._closed:
            raise StorageError("the database is closed: %s" % self.path)
        self._tasks.put(tasks)

    def give_way(self) -> None:
        """Wait while operations run that `repeats`, for PATIENCE at most, and not again for those for which
        that was too short.

        For a thread that has much to do: SQLite lets go of Python's interpreter some hundred times for a
        result with a claim, and to have it handed to another thread and back costs more than to be done
        first. Only one of both can go on anyway.
        """
        if not self._at_small_ones.locked():
            self._patient = True
        elif self._patient:
            self._patient = self._at_small_ones.acquire(timeout=PATIENCE)
            if self._patient:
                self._at_small_ones.release()

    def read(self, operation: Operation[T], seconds: float = READ_SECONDS) -> "Future[T]":
        """Run an operation that changes nothing, on what is committed.

        The Future raises reading.TookTooLong after so many seconds; to cancel it ends the operation.
        """
        return self._submit(self._readers, operation, seconds)

    def look_up(self, operation: Operation[T]) -> "Future[T]":
        """`read` for what finds a few rows by an index: it never waits for a `read`."""
        return self._submit(self._lookups, operation, LOOKUP_SECONDS)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """A read-only connection of one's own, without a deadline. Raises StorageError."""
        connection = self._open_reader()
        try:
            yield connection
        finally:
            connection.close()

    def size(self) -> int:
        """Bytes that the database takes, with what is in its log and not yet in it. Not for the loop."""
        total = 0
        for suffix in ("", "-wal"):
            try:
                total += os.stat(str(self.path) + suffix).st_size
            except FileNotFoundError:
                pass
        return total

    def close(self) -> None:
        """Finish what is queued, then close the file. Later calls of `write` raise."""
        if self._closed:
            return
        self._closed = True
        self._tasks.put(None)
        self._writer.join()
        self._readers.close()
        self._lookups.close()
        self._writer_connection.close()

    def _open_writer(self) -> sqlite3.Connection:
        self._create()
        connection = sqlite3.connect(str(self.path), timeout=BUSY_TIMEOUT, isolation_level=None,
                                     check_same_thread=False, cached_statements=STATEMENTS)
        try:
            prepare(connection)
            connection.execute("PRAGMA journal_mode = %s" % self.journal_mode)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            schema.bring_up_to_date(connection, self.path, self._migrations, self._kept)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self) -> None:
        """Make the file, closed to others whatever the umask: it may hold what lets people in.

        SQLite gives those beside it the same mode; one that crashed may have left them in another.
        """
        try:
            os.close(os.open(str(self.path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            plainfile.check(self.path)
        except OSError as error:
            raise StorageError("database %s: %s" % (self.path, error.strerror)) from error
        for suffix in ("", "-wal", "-shm", "-journal"):
            filemodes.apply(Path(str(self.path) + suffix), self._kept)

    def _submit(self, readers: Readers, operation: Operation[T], seconds: float) -> "Future[T]":
        if self._closed:
            raise StorageError("the database is closed: %s" % self.path)
        return readers.submit(operation, seconds)

    def _open_reader(self) -> Reader:
        try:
            connection: Reader = sqlite3.connect(
                self.path.resolve().as_uri() + "?mode=ro", uri=True, timeout=BUSY_TIMEOUT,
                isolation_level=None, check_same_thread=False, factory=Reader)
            try:
                prepare(connection)
                connection.watch()
            except BaseException:
                connection.close()
                raise
            return connection
        except damage.ERRORS as error:
            raise self._storage_error(error) from error

    def _write_loop(self) -> None:
        while True:
            tasks = self._tasks.get()
            if tasks is None:
                return
            group = list(tasks)
            ending = False
            while len(group) < MAX_GROUP:
                try:
                    tasks = self._tasks.get_nowait()
                except queue.Empty:
                    break
                if tasks is None:
                    ending = True
                    break
                group += tasks
            self._write_group(group)
            if ending:
                return
            del tasks, group  # nor what they hold and were given: the next may come after hours

    def _write_group(self, tasks: List[Task]) -> None:
        connection = self._writer_connection
        # Whoever gave up waiting before it began need not have it done.
        group = [task for task in tasks if task.promise.set_running_or_notify_cancel()]
        if not group:
            return
        begun: List[Task] = []
        try:
            self._roll_back(connection)  # what could not be undone before
            small = all(task.repeats for task in group)
            with self._at_small_ones if small else nullcontext():
                answers = (self._run_all(connection, group, begun, len(group) > 1 and not small)
                           or self._run_all(connection, group, begun, True))
                if connection.in_transaction:
                    _settle(connection, group, answers)
            if connection.in_transaction:
                killpoint("database.before-commit")
                connection.execute("COMMIT")
                killpoint("database.after-commit")
        except Exception as error:
            # Nothing of the group is on disk, so nobody of it may be told otherwise. Whatever it was, the
            # thread goes on: nobody would get an answer any more.
            self._undo_all(connection, begun)
            failure = self._storage_error(error)
            answers = [Answer(task.promise, None, failure) for task in group]
        together: Dict[Deliver, List[Answer]] = {}
        for task, answer in zip(group, answers):
            together.setdefault(task.deliver, []).append(answer)
        for deliver, some in together.items():
            with self._following:
                deliver(some)

    @staticmethod
    def _roll_back(connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except Exception:
            pass  # the next transaction says what is wrong

    def _undo_all(self, connection: sqlite3.Connection, begun: List[Task]) -> None:
        self._roll_back(connection)
        while begun:
            self._undo(connection, begun.pop())

    def _undo(self, connection: sqlite3.Connection, task: Task) -> None:
        if task.undone is not None:
            with self._following:
                task.undone(connection)

    def _run_all(self, connection: sqlite3.Connection, group: List[Task], begun: List[Task],
                 apart: bool) -> List[Answer]:
        """Run the operations of a group, each in a savepoint where they are to be undone `apart`. Without
        answers one of several has failed that have none, and all were undone."""
        answers: List[Answer] = []
        connection.execute("BEGIN IMMEDIATE")
        for task in group:
            begun.append(task)
            answer = self._run(connection, task, apart)
            if answer.problem is not None and not apart:
                self._undo_all(connection, begun)
                if len(group) > 1:
                    return []
            answers.append(answer)
        return answers

    def _run(self, connection: sqlite3.Connection, task: Task, apart: bool) -> Answer:
        """Run one operation; a failed statement is the operation's own failure.

        A full disk or an I/O error may make SQLite end the whole transaction: that is the
        group's failure and goes up.
        """
        if apart:
            connection.execute("SAVEPOINT operation")
        try:
            value = task.operation(connection)
        except Exception as error:
            if not connection.in_transaction:
                raise sqlite3.OperationalError(str(error)) from error
            if apart:
                connection.execute("ROLLBACK TO operation")
                self._undo(connection, task)  # before the next one does the same
                connection.execute("RELEASE operation")
            if damage.is_of_disk(error) or isinstance(error, damage.ERRORS) and damage.is_damage(error):
                return Answer(task.promise, None, self._storage_error(error))
            return Answer(task.promise, None, error)
        if apart:
            connection.execute("RELEASE operation")
        return Answer(task.promise, value, None)

    def _storage_error(self, error: Exception) -> StorageError:
        if damage.is_damage(error):
            return DamagedFile("database %s" % self.path, damage.reason(error), self._way_out)
        why = damage.reason(error) if isinstance(error, damage.ERRORS) else reason_of(error)
        return StorageError("database %s: %s" % (self.path, why), shortage.of_files() or "")


def _settle(connection: sqlite3.Connection, group: List[Task], answers: List[Answer]) -> None:
    together: Dict[Settle, List[Any]] = {}
    for task, answer in zip(group, answers):
        if answer.problem is None and task.settle is not None:
            together.setdefault(task.settle, []).append(answer.value)
    for settle, values in together.items():
        settle(connection, values)
