"""Signals to registered workers of this host: stop and drain.

A process is signalled only if it is the very one that its row is about, looked at right before; rows of
other hosts are never touched.
"""

import os
import select
import signal
import time
from dataclasses import dataclass
from typing import Callable, List, Mapping, Optional, Sequence, Tuple

from jd.errors import StorageError
from jd.node.descendants import Descendants
from jd.node.identity import Here
from jd.worker.local.liveness import Life, life
from jd.worker.local.registry import Registry
from jd.worker.local.rows import STARTING, Row

KILL_AFTER = 30.0  # seconds (reference, section 2)
# And so much beyond the grace period, where a job was given a longer one: 5 s each for the job's files and
# for the worker's last words, with which the job goes back to the queue.
SPARE = 10.0
DEAD_AFTER_KILL = 5.0  # seconds
_LOOK_EVERY = 0.02  # seconds, where the system cannot tell of the end of a process

STOPPED = "stopped"
KILLED = "killed"
GONE = "gone"
FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of one worker: stopped, killed (it did not stop), gone (it had ended already) or
    failed, with the reason in `problem`."""

    worker_id: str
    experiment: str
    pid: int
    host: str
    outcome: str
    problem: str = ""


Report = Callable[[Outcome], None]
_Done = Callable[[Row, str, str], None]  # a row, what became of its worker, and the problem or ""


def stop(rows: Sequence[Row], here: Here, environ: Mapping[str, str], report: Report,
         kill_after: Optional[float] = None) -> List[Outcome]:
    """Stop workers, all at once, and take their rows out of the registry; returns when they ended.

    SIGTERM, after `kill_after` seconds SIGKILL to the worker and all that its job has running; the
    default is 30 s, or the grace period of the worker's jobs where that is longer. `report` gets
    each outcome as it comes.
    """
    outcomes: List[Outcome] = []

    def done(row: Row, outcome: str, problem: str) -> None:
        outcomes.append(Outcome(row.worker_id, row.experiment, row.pid, row.host, outcome, problem))
        report(outcomes[-1])

    watched: List[_Watched] = []
    try:
        for row in rows:
            _begin(row, here, kill_after, watched, done)
        while watched:
            _wait(watched)
            now = time.monotonic()
            for worker in list(watched):
                if worker.step(now, done):
                    watched.remove(worker)
    finally:
        for worker in watched:
            worker.close()
        _forget([o for o in outcomes if o.outcome != FAILED], environ)
    return outcomes


def _begin(row: Row, here: Here, kill_after: Optional[float], watched: "List[_Watched]",
           done: _Done) -> None:
    problem = why_not(row, here)
    if problem is not None:
        done(row, FAILED, problem)
        return
    worker = _Watched(row, here, patience(row) if kill_after is None else kill_after)
    if not worker.is_alive():
        worker.close()
        done(row, GONE, "")
    elif not worker.signal(signal.SIGTERM):
        worker.close()
        done(row, FAILED, "pid %d cannot be signalled: it belongs to another user" % row.pid)
    else:
        watched.append(worker)


def why_not(row: Row, here: Here) -> Optional[str]:
    """Why a worker cannot be signalled from here; None if it can, or has ended."""
    if life(row, here) is Life.ELSEWHERE:
        if row.host and row.host != here.host:
            return "it runs on host %s; run this there" % row.host
        return "it runs in another container, or on another machine; run this there"
    if row.status == STARTING:
        return "it is just being started; try again"
    return None


def patience(row: Row) -> float:
    """Seconds from SIGTERM to SIGKILL."""
    grace = row.config.get("grace")
    return max(KILL_AFTER, grace + SPARE) if isinstance(grace, (int, float)) else KILL_AFTER


def drain(rows: Sequence[Row], here: Here) -> Tuple[List[Row], List[Row]]:
    """Tell workers to finish their job and exit: those that hear it now, and those that have to read it in
    the registry.

    Only our own processes get our signal: it would end those of published clients, and orphan their scripts.
    """
    told: List[Row] = []
    not_told: List[Row] = []
    for row in rows:
        worker = _Watched(row, here, 0.0)
        try:
            if row.is_published and life(row, here) is Life.DEAD:
                continue
            if row.is_published or why_not(row, here) is not None:
                not_told.append(row)
            elif worker.is_alive():
                (told if worker.signal(signal.SIGUSR2) else not_told).append(row)
        finally:
            worker.close()
    return told, not_told


class _Watched:
    """One process that is to end. A descriptor, where there is one, never means another process."""

    def __init__(self, row: Row, here: Here, kill_after: float) -> None:
        self.row = row
        self.pidfd = _pidfd(row.pid)
        self._here = here
        self._kill_at = time.monotonic() + kill_after
        self._killed = False
        self._below: Optional[Descendants] = None

    def is_alive(self) -> bool:
        """Whether the very process of the row runs."""
        return life(self.row, self._here) is Life.ALIVE

    def signal(self, number: int) -> bool:
        """Send a signal, if it is alive. False where that is not allowed."""
        if not self.is_alive():
            return True
        try:
            if self.pidfd is not None:
                _send(self.pidfd, number)
            else:
                os.kill(self.row.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            return False
        return True

    def deadline(self) -> float:
        return self._kill_at

    def step(self, now: float, done: _Done) -> bool:
        """Do what is due; whether it is over."""
        if not self.is_alive():
            if self._below is not None:
                self._below.kill()
            self.close()
            done(self.row, KILLED if self._killed else STOPPED, "")
            return True
        if now < self._kill_at:
            return False
        if self._killed:
            self.close()
            done(self.row, FAILED, "pid %d does not die of SIGKILL: it hangs in the kernel, "
                 "mostly on a file system that is away" % self.row.pid)
            return True
        # On Linux the script dies with its worker, but not what the script has started.
        self._below = Descendants(self.row.pid, self._here)
        self._killed = True
        self._kill_at = now + DEAD_AFTER_KILL
        self._below.kill()  # first: below a dead worker there is nothing to be found any more
        self.signal(signal.SIGKILL)
        return False

    def close(self) -> None:
        """Let go of the process; one that we started is waited for."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None
        try:
            os.waitpid(self.row.pid, os.WNOHANG)
        except ChildProcessError:
            pass  # started by another command, as most are


def _wait(watched: "Sequence[_Watched]") -> None:
    """Until one of them may have ended, or something is due."""
    pause = max(0.0, min(worker.deadline() for worker in watched) - time.monotonic())
    pidfds = [worker.pidfd for worker in watched if worker.pidfd is not None]
    if len(pidfds) < len(watched):
        time.sleep(min(_LOOK_EVERY, pause))
        return
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    poll.poll(pause * 1000.0 + 1.0)


def _pidfd(pid: int) -> Optional[int]:
    """A descriptor of a process (Linux 5.3, Python 3.9); None where there is none."""
    if not hasattr(os, "pidfd_open") or not hasattr(signal, "pidfd_send_signal"):
        return None
    try:
        return int(getattr(os, "pidfd_open")(pid))
    except OSError:
        return None


def _send(pidfd: int, number: int) -> None:
    getattr(signal, "pidfd_send_signal")(pidfd, number)


def _forget(outcomes: Sequence[Outcome], environ: Mapping[str, str]) -> None:
    for experiment in sorted({outcome.experiment for outcome in outcomes}):
        try:
            Registry(experiment, environ).remove(
                [o.worker_id for o in outcomes if o.experiment == experiment])
        except StorageError:
            pass  # each worker did it itself, and the next clean-up does it again
