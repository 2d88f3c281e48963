"""Keeps a worker's row in the local registry up to date while it runs.

The registry may lie on a disk that is slow, full or gone. None of that may hold up a worker, so a thread
writes the row, and what cannot be written is said once.
"""

import threading
import time
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from jd.errors import StorageError
from jd.worker.local.registry import Registry

SPACING = 1.0  # seconds between two writes: jobs may take milliseconds
SLOWNESS = 20.0  # and so many times as long as a write took: many workers share the disk
RETRY = 10.0  # times the spacing, after a write that failed
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
    about. `now` gives Unix seconds. The row itself is there already: who starts workers enters it.
    """

    def __init__(self, registry: Registry, worker_id: str, log: Callable[[str], None],
                 spacing: float = SPACING, now: Callable[[], float] = time.time,
                 wake: Callable[[], None] = _nobody) -> None:
        self.drained = False
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
        self._leaving = False
        self._problem: Optional[str] = None
        self._complained = False
        self._changed = threading.Condition()
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
            self._start()
        self._complain()

    def leave(self, timeout: float = LEAVE_TIME) -> None:
        """Take the row out: the worker ends. Waits at most `timeout` seconds."""
        with self._changed:
            self._leaving = True
            self._changed.notify()
        self._start()
        assert self._thread is not None
        self._thread.join(timeout)
        self._complain()

    def _start(self) -> None:
        # Not in __init__: a process with threads must not fork, and a worker begins with a fork.
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="jd-registration", daemon=True)
            self._thread.start()

    def _complain(self) -> None:
        problem, self._problem = self._problem, None
        if problem is not None and not self._complained:
            self._complained = True
            self._log("%s; the worker goes on without" % problem)

    def _work(self) -> None:
        pause = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._leaving, pause)
                self._changed.wait_for(lambda: self._leaving or self._wanted != self._written)
                shown, leaving = self._wanted, self._leaving
            started = time.monotonic()
            least = self._spacing
            try:
                if leaving:
                    self._registry.remove([self._entered_as])
                elif shown is not None:
                    self._write(shown)
                self._written = shown
            except StorageError as error:
                self._problem = str(error)
                least = RETRY * self._spacing
            if leaving:
                return
            pause = max(least, SLOWNESS * (time.monotonic() - started))

    def _write(self, shown: _Shown) -> None:
        if shown.worker_id != self._entered_as:
            self._registry.rename(self._entered_as, shown.worker_id, shown.log_path)
            self._entered_as = shown.worker_id
        drained = self._registry.update(shown.worker_id, shown.status, shown.job_id, shown.heard_at,
                                        shown.session, shown.paused_because)
        if drained and not self.drained:
            self.drained = True
            self._wake()
