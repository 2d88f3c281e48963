"""Reading a SQLite file: threads with a read-only connection each, and a limit to every reading.

A reading is stopped at its deadline, and when nobody waits for it any more. SQLite asks whether to go on
between two portions of its work (the progress handler), and each new statement asks as well.
"""

import queue
import sqlite3
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Callable, List, Optional, TypeVar

from jd import threads
from jd.errors import StorageError
from jd.storage import damage

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

# Instructions of SQLite between two questions: some milliseconds. Each question waits for Python's
# lock, so that more of them would make readings slow while other threads are busy.
PORTION = 25_000


class TookTooLong(StorageError):
    """A reading was stopped at its deadline."""

    def __init__(self, seconds: float) -> None:
        super().__init__("this took longer than the %g s that a question to the database may take, and "
                         "was stopped; ask for less (a status, an id, fewer jobs), or try again later"
                         % seconds)


class Abandoned(StorageError):
    """A reading was stopped because nobody waits for it. Nobody gets to see this."""

    def __init__(self) -> None:
        super().__init__("nobody waits for this any more")


if TYPE_CHECKING:
    _Future = Future[Any]
else:
    _Future = Future  # takes no type before Python 3.9


class Reading(_Future):
    """What a reading will give. `cancel` also stops one that has begun."""

    def __init__(self, operation: Operation[Any], seconds: float) -> None:
        super().__init__()
        self.operation = operation
        self._seconds = seconds
        self._until: Optional[float] = None
        self._unwanted = False

    def begin(self) -> bool:
        """Start the clock; whether anybody still waits."""
        self._until = time.monotonic() + self._seconds
        return self.set_running_or_notify_cancel()

    def cancel(self) -> bool:
        """Give up waiting."""
        self._unwanted = True
        return super().cancel()

    @property
    def is_over(self) -> bool:
        """Whether it is to end, done or not."""
        return self._unwanted or (self._until is not None and time.monotonic() > self._until)

    def why(self) -> StorageError:
        """Why it is over."""
        return Abandoned() if self._unwanted else TookTooLong(self._seconds)


class Reader(sqlite3.Connection):
    """A connection for one reading at a time."""

    reading: Optional[Reading] = None

    def watch(self) -> None:
        """Have SQLite ask whether to go on."""
        self.set_progress_handler(self._is_over, PORTION)

    def _is_over(self) -> bool:
        return self.reading is not None and self.reading.is_over

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        # Many small statements never reach the next portion.
        if self.reading is not None and self.reading.is_over:
            raise self.reading.why()
        return super().execute(*arguments)


class Readers:
    """Threads that read, for one purpose: those of another never wait for them."""

    def __init__(self, connect: Callable[[], Reader], failure: Callable[[Exception], StorageError],
                 name: str, count: int) -> None:
        """`connect` is called when a reading finds no connection that is idle, and its result is used
        by one thread at a time; `failure` makes an error for whoever asked."""
        self._connect = connect
        self._failure = failure
        self._waiting: "queue.SimpleQueue[Optional[Reading]]" = queue.SimpleQueue()
        # Each is two open files, so one is opened only when all others are at work.
        self._idle: List[Reader] = []
        self._threads = [threads.start(self._work, "%s-%d" % (name, number)) for number in range(count)]

    def submit(self, operation: Operation[T], seconds: float) -> "Future[T]":
        """Run an operation in a snapshot of its own.

        The Future raises StorageError where that fails, TookTooLong after `seconds`, counted from
        when it begins; cancelling it stops it.
        """
        reading = Reading(operation, seconds)
        self._waiting.put(reading)
        return reading

    def close(self) -> None:
        """Finish what was submitted, then end."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        for connection in self._idle:
            connection.close()

    def _work(self) -> None:
        while True:
            reading = self._waiting.get()
            if reading is None:
                return
            if not reading.begin():
                continue
            try:
                value = self._read(reading)
            except BaseException as error:
                reading.set_exception(error)
            else:
                reading.set_result(value)
                del value
            del reading  # nor what it gave: the next may come after hours

    def _read(self, reading: Reading) -> Any:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        connection.reading = reading
        try:
            connection.execute("BEGIN")  # one snapshot for all its queries
            return reading.operation(connection)
        except damage.ERRORS as error:
            if reading.is_over:
                raise reading.why() from None
            raise self._failure(error) from error
        finally:
            connection.reading = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._idle.append(connection)
