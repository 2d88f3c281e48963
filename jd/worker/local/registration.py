"""Keeps a worker's row in the local registry up to date while it runs.

The registry may lie on a disk that is slow, full or gone. None of that may hold up a worker, so a thread
writes the row, and what cannot be written is said once. A row that has gone, or all of the registry, is
entered again as soon as there is a place for it: a worker that runs can always be found.
"""

import os
import threading
import time
from pathlib import Path
from typing import Callable, NamedTuple, Optional, Tuple

from jd import threads
from jd.threads import NoThread, Reported
from jd.worker.local.registry import NotEntered, Registry
from jd.worker.local.rows import Row

SPACING = 1.0  # seconds between two writes: jobs may take milliseconds
SLOWNESS = 20.0  # and so many times as long as a write took: many workers share the disk
RETRY = 10.0  # times the spacing, after a write that failed
LOOK = 30.0  # seconds without a write after which is looked whether the registry is still that file
LEAVE_TIME = 3.0  # seconds that leaving may take


class _Shown(NamedTuple):
    worker_id: str
    log_path: Path
    status: str
    job_id: Optional[int]
    heard_at: Optional[float]
    session: str
    paused_because: str


def _nobody() -> None:
    pass


class Registration:
    """Keeps the row of one worker. `show` and `leave` are for one thread, and never raise.

    `drained` tells whether a command has told the experiment to drain since the worker was entered. That is
    looked at with each write, so at each heartbeat, and `wake` is called from another thread when it has come
    about. `now` gives Unix seconds. The row itself is there already: who starts workers enters it. `token`
    tells the newest worker token, for a row that is entered again.
    """

    def __init__(self, registry: Registry, worker_id: str, log: Callable[[str], None],
                 spacing: float = SPACING, now: Callable[[], float] = time.time,
                 wake: Callable[[], None] = _nobody) -> None:
        self.drained = False
        self.token: Callable[[], str] = str
        self._row: Optional[Row] = None  # as it was entered by whoever has started the worker
        self._registry = registry
        self._log = log
        self._wake = wake
        self._spacing = spacing
        self._now = now
        self._entered_as = worker_id
        self._heard: Optional[float] = None
        self._heard_at: Optional[float] = None
        self._wanted: Optional[_Shown] = None
        self._written: Optional[_Shown] = None
        self._file: Optional[Tuple[int, int]] = None  # into which it was written
        self._leaving = False
        self._news: Optional[str] = None
        self._reported = Reported("the worker goes on, but commands know nothing new of it (pid %d)"
                                  % os.getpid(), self._tell)
        self._changed = threading.Condition()
        self._over = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def show(self, worker_id: str, log_path: Path, status: str, job_id: Optional[int],
             heard: Optional[float], session: str = "",
             paused_because: str = "") -> None:
        """What is to stand in the row. A change of `heard`, on any clock, is a heartbeat answered.

        Cheap when nothing has changed. It is written now or, if the last write was just before,
        a little later; then only the newest state counts.
        """
        if heard != self._heard:
            self._heard = heard
            self._heard_at = self._now()
        shown = _Shown(worker_id, log_path, status, job_id, self._heard_at, session, paused_because)
        if shown != self._wanted:
            with self._changed:
                self._wanted = shown
                self._changed.notify()
            self.begin()
        self._say_news()

    def leave(self, timeout: float = LEAVE_TIME) -> None:
        """Take the row out: the worker ends. Waits at most `timeout` seconds."""
        with self._changed:
            self._leaving = True
            self._changed.notify()
        self._over.set()
        self.begin()
        if self._thread is not None:
            self._thread.join(timeout)
        self._say_news()

    def begin(self) -> None:
        """Start the thread, which first reads what was entered. `show` and `leave` do it as well."""
        # Not in __init__: a process with threads must not fork, and a worker begins with a fork.
        if self._thread is None:
            try:
                self._thread = threads.start(self._work, "jd-registration")
            except NoThread as error:
                self._tell("commands know nothing new of this worker: %s" % error)

    def _tell(self, news: str) -> None:
        self._news = news

    def _say_news(self) -> None:
        """What the thread has to tell goes into the log by the loop, which alone writes it."""
        news, self._news = self._news, None
        if news is not None:
            self._log(news)

    def _work(self) -> None:
        pause = 0.0
        with self._reported:
            self._row = self._registry.row(self._entered_as)
        while True:
            self._over.wait(pause)  # changes that come meanwhile wake nobody
            with self._changed:
                is_new = self._changed.wait_for(lambda: self._leaving or self._wanted != self._written, LOOK)
                shown, leaving = self._wanted, self._leaving
            file = None if is_new else self._registry.file
            if not is_new and (shown is None or file is not None and file == self._file):
                pause = 0.0
                continue
            started = time.monotonic()
            with self._reported:
                if leaving:
                    self._registry.remove([self._entered_as])
                elif shown is not None:
                    # Looked at before: another that takes its place after the write has no such row.
                    before = self._registry.file
                    self._write(shown)
                    self._file = before
                self._written = shown
            least = self._spacing * (1.0 if self._reported.trouble is None else RETRY)
            if leaving:
                return
            pause = max(least, SLOWNESS * (time.monotonic() - started))

    def _write(self, shown: _Shown) -> None:
        try:
            if self._row is None:
                self._row = self._registry.row(self._entered_as)
            self._update(shown)
        except NotEntered:
            if self._row is None:
                raise
            self._enter_again(self._row, shown)
            self._update(shown)

    def _enter_again(self, row: Row, shown: _Shown) -> None:
        self._registry.enter_again(row._replace(
            worker_id=shown.worker_id, log_path=str(shown.log_path),
            worker_token=self.token() or row.worker_token), self._now())
        self._entered_as = shown.worker_id
        self._tell("entered again in the worker registry %s, where it was not found any more"
                   % self._registry.path)

    def _update(self, shown: _Shown) -> None:
        if shown.worker_id != self._entered_as:
            self._registry.rename(self._entered_as, shown.worker_id, shown.log_path)
            self._entered_as = shown.worker_id
        drained = self._registry.update(shown.worker_id, shown.status, shown.job_id, shown.heard_at,
                                        shown.session, shown.paused_because)
        if drained and not self.drained:
            self.drained = True
            self._wake()
