"""`jd_worker_cli expId=... worker-logs <worker-id>`: the last lines, and what comes after them."""

import os
import select
import sys
import time
from pathlib import Path
from typing import Callable, Optional

from jd import paths, settings
from jd.cli.context import Context
from jd.cli.showing import logtail, views
from jd.errors import EXIT_OK, StorageError, UsageError
from jd.node.identity import Here
from jd.terminal import silence_stdout
from jd.worker.local.liveness import Life, life
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row

LIFE_INTERVAL = 1.0  # seconds between looks at the worker's process
ROW_INTERVAL = 5.0  # and at its row: on a network file system a look takes a lock


def run(context: Context) -> int:
    """Print or follow a log (reference, section 7). Ctrl-C and a reader that leaves are no errors."""
    (worker_id,) = context.words_exactly(1)
    row = context.registry.row(worker_id)
    path = log_of(context, worker_id, row)
    fate = Fate(context.registry, context.here, worker_id, row)
    sys.stdout.flush()
    try:
        _print(path, context.values["lines"], fate if context.values["follow"] else None)
    except KeyboardInterrupt:
        if not context.values["follow"]:
            raise
    except BrokenPipeError:
        silence_stdout()
    return EXIT_OK


def log_of(context: Context, worker_id: str, row: Optional[Row]) -> Path:
    """The log of a worker: as registered, else where it must be, also of one that has ended.

    Raises UsageError for a worker that is neither registered nor has left a log.
    """
    if row is not None and row.log_path:
        return Path(row.log_path)
    assert context.experiment is not None
    launched_with = row.config.get("log_dir") if row is not None else None
    given = settings.value_of(settings.WORKER, "log_dir", context.environ)
    directories = [Path(directory) for directory in (launched_with, given) if directory]
    directories.append(paths.log_dir(context.experiment, context.environ))
    for directory in directories:
        path = paths.log_file(directory, worker_id)
        if os.path.isfile(str(path)):
            return path
    if row is None:
        context.worker()  # says which workers there are
    raise UsageError("worker %s is only starting and has no log yet" % views.plain(worker_id),
                     "try again in a moment")


def _print(path: Path, lines: int, fate: Optional["Fate"]) -> None:
    out = sys.stdout.buffer
    try:
        with logtail.tail(path, lines, out.write) as follower:
            out.flush()
            if fate is None:
                return

            def pause(seconds: float) -> None:
                out.flush()
                wait_for_reader(seconds, sys.stdout.fileno())

            logtail.follow(follower, out.write, fate.ended, pause)
            out.flush()
    except FileNotFoundError:
        raise StorageError("the log %s does not exist" % path,
                           "it was removed, or its directory is not on this host") from None
    except (BrokenPipeError, StorageError):
        raise
    except OSError as error:
        raise StorageError("cannot print the log %s: %s" % (path, error.strerror or error),
                           "check its path and mode") from None
    print("%s; that was its log" % fate.note, file=sys.stderr)


def wait_for_reader(seconds: float, fd: int) -> None:
    """Wait, but raise BrokenPipeError as soon as whoever reads `fd` has left.

    Without this, following a quiet log into `| head` would end with the next line only.
    """
    if not hasattr(select, "poll"):
        time.sleep(seconds)
        return
    poll = select.poll()
    poll.register(fd, 0)  # errors and hang-ups are told even so
    if poll.poll(seconds * 1000):
        raise BrokenPipeError


class Fate:
    """Tells when a worker has ended. `note` then says how it is known."""

    def __init__(self, workers: Registry, here: Here, worker_id: str, row: Optional[Row],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.note = "worker %s has ended" % views.plain(worker_id)
        self._workers = workers
        self._here = here
        self._id = worker_id
        self._row = row
        self._clock = clock
        self._life_at = float("-inf")
        self._row_at = clock() + ROW_INTERVAL

    def ended(self) -> bool:
        """Whether it has ended, as far as is known; the registry is asked now and then only."""
        if self._row is None:
            return True
        now = self._clock()
        if now < self._life_at:
            return False
        self._life_at = now + LIFE_INTERVAL
        state = life(self._row, self._here)
        if state is not Life.DEAD and now < self._row_at:
            return False
        self._row_at = now + ROW_INTERVAL
        try:
            return self._judge(state, self._workers.row(self._id))
        except StorageError:
            return state is Life.DEAD

    def _judge(self, state: Life, row: Optional[Row]) -> bool:
        if row is not None:
            # One that is starting is its launcher's process first, then its own.
            self._row = row
            return life(row, self._here) is Life.DEAD
        if state is Life.ELSEWHERE:
            self.note = "worker %s is no longer registered" % views.plain(self._id)
            return True
        return state is Life.DEAD or self._renamed()

    def _renamed(self) -> bool:
        """Whether the process goes on under another id: the server had one with this name."""
        assert self._row is not None
        for row in self._workers.rows():
            if row.identity is not None and row.identity == self._row.identity:
                self.note = "worker %s goes on as %s" % (
                    views.plain(self._id), views.plain(row.worker_id))
                return True
        return False
