"""One attempt from claim to result: files are restored, its script runs, files are saved.

    restoring   in a thread, for attempts that may have a checkpoint directory on the server, or wait for the
                interpreter that they are forked from
    running     a JobProcess
    saving      in a thread: the checkpoint directory, and the files of `collect=`

The worker's loop uses it like a JobProcess, whichever phase it is in; the threads wake the loop when they are
done. All times are seconds on the loop's monotonic clock.
"""

import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, List, Optional

from jd import threads
from jd.errors import JdError, reason
from jd.messages import Assignment, Code
from jd.threads import NoThread
from jd.worker.attempt.files import checkpointdir
from jd.worker.attempt.files.jobfiles import JobFiles, Saved
from jd.worker.attempt.process.jobprocess import STOPPED_LOST, STOPPED_TIMEOUT, JobProcess
from jd.worker.attempt.process.spawning import StartFailure
from jd.worker.verdict import Ended

SAVE_TIME = 5.0  # after the grace period of a job that was stopped: schedulers kill soon
_NEVER_BEGAN = Ended(exit_code=0, runtime=0.0)


def _no_remarks(ended: Ended) -> List[str]:
    return []


Restore = Callable[[threading.Event], None]


def _unknown(_wait: float) -> Optional[Code]:
    return None


@dataclass(frozen=True)
class Plan:
    """How the phases of one attempt are begun. `restore` is None where there is nothing to wait for;
    it may raise JdError. `start` raises StartFailure. `note` goes into the job's history, and so does what
    `remarks` has to say of a script that failed by itself. `code` tells which code runs, if that is known
    within so many seconds."""

    assignment: Assignment
    restore: Optional[Restore]
    start: Callable[[float], JobProcess]
    files: Callable[[], JobFiles]
    wake: Callable[[], None]
    note: str = ""
    remarks: Callable[[Ended], List[str]] = _no_remarks
    code: Callable[[float], Optional[Code]] = _unknown


class Attempt:
    """An attempt under way. `stop_reason` is None, or why the worker is stopping it."""

    def __init__(self, plan: Plan, now: float) -> None:
        """Raises StartFailure, if there is nothing to restore first."""
        self.assignment = plan.assignment
        self.script_began: Optional[float] = None  # None while its files are restored
        self._plan = plan
        self._stop_reason: Optional[str] = None
        self._restoring: Optional[_Restoring] = None
        self._process: Optional[JobProcess] = None
        self._files: Optional[JobFiles] = None
        self._ended: Optional[Ended] = None
        self._stop_by: Optional[float] = None
        self._save_by: Optional[float] = None
        if plan.restore is None:
            self._begin(now)
        else:
            self._restoring = _Restoring(plan.restore, plan.wake)

    @property
    def stop_reason(self) -> Optional[str]:
        """STOPPED_PREEMPTED, STOPPED_LOST or STOPPED_TIMEOUT, unless it ended, or is ending, by itself."""
        if self._stop_reason is not None or self._process is None:
            return self._stop_reason
        return self._process.stop_reason

    def fileno(self) -> Optional[int]:
        """The descriptor to wait on for output; None while there is none."""
        return None if self._process is None else self._process.fileno()

    def tail(self) -> str:
        """The last 16 KiB of output."""
        return "" if self._process is None else self._process.tail()

    def code(self, wait: float = 0.0) -> Optional[Code]:
        """Which code runs, if that is known within `wait` seconds."""
        return self._plan.code(wait)
    @property
    def output_size(self) -> int:
        """How many bytes of output there were, of which `tail` has the last."""
        return 0 if self._process is None else self._process.output_size

    def watched(self) -> None:
        """Somebody looks at the output."""
        if self._files is not None:
            self._files.watched()

    def read(self, now: float) -> None:
        """Take what output is there."""
        if self._process is not None:
            self._process.read(now)

    def stop(self, now: float, grace: float, reason: str) -> None:
        """End the script as JobProcess.stop does, and what goes on before or after it soon.

        Of an attempt that is lost nothing is saved any more. After a timeout there is all the time to save:
        the worker goes on.
        """
        if reason == STOPPED_TIMEOUT:
            if self._process is not None and self._ended is None:
                self._process.stop(now, grace, reason)
            return
        limit = now + grace + SAVE_TIME
        self._stop_by = limit if self._stop_by is None else min(self._stop_by, limit)
        if self._process is None:
            self._stop_reason = self._stop_reason or reason
        elif self._ended is None:
            self._process.stop(now, grace, reason)
        else:
            self._save_by = self._stop_by
        if reason == STOPPED_LOST and self._files is not None:
            if self._ended is not None:
                self._stop_reason = reason
            self._files.cancel()

    def step(self, now: float) -> Optional[Ended]:
        """Do what is due. Returns how the script ended, once, when all is done.

        Raises StartFailure when it turns out that the script cannot be started.
        """
        if self._restoring is not None and not self._restored(now):
            return _NEVER_BEGAN if self._stop_reason is not None else None
        if self._ended is None and self._process is not None:
            self._ended = self._process.step(now)
            if self._ended is None and self._files is not None:
                self._files.look(now)
            elif self._ended is not None and self._files is not None:
                self._save_by = self._stop_by
                self._files.finish(self._ended.exit_code,
                                   self._stop_by is not None or self.stop_reason is not None)
        if self._ended is None or self._files is None:
            return None
        outcome = self._files.outcome
        if outcome is None and self._stop_reason == STOPPED_LOST:
            outcome = Saved()
        elif outcome is None and self._save_by is not None and now >= self._save_by:
            outcome = self._files.give_up()
        if outcome is None:
            return None
        failed = self._ended.exit_code != 0 and self.stop_reason is None
        remarks = self._plan.remarks(self._ended) if failed else []
        note = "; ".join(text for text in (self._plan.note, *remarks, outcome.note) if text)
        return replace(self._ended, note=note, waiting_files=outcome.waiting_files,
                       has_files=outcome.has_files)

    def deadline(self) -> Optional[float]:
        """When `step` is due even if nothing happens."""
        if self._ended is not None:
            return self._save_by
        times = [part.deadline() for part in (self._process, self._files) if part is not None]
        return min((time for time in times if time is not None), default=None)

    def kill(self) -> None:
        """End it now, without ceremony: the worker itself is failing."""
        if self._restoring is not None:
            self._restoring.cancelled.set()
        if self._files is not None:
            self._files.cancel()
        if self._process is not None and self._ended is None:
            self._process.kill()

    def _restored(self, now: float) -> bool:
        """Whether restoring is over; the script has been started then."""
        restoring = self._restoring
        assert restoring is not None
        if self._stop_reason is not None:
            restoring.cancelled.set()
            return False
        if not restoring.done.is_set():
            return False
        self._restoring = None
        if restoring.failure is not None:
            raise StartFailure(str(restoring.failure))
        self._begin(now)
        return True

    def _begin(self, now: float) -> None:
        self._files = self._plan.files()
        try:
            self._files.start()  # first: where there is no thread for its files, the script is not begun
        except NoThread as error:
            raise StartFailure(str(error)) from None
        # From the loop's own thread: the system would end the script with the thread it came from.
        try:
            self._process = self._plan.start(now)
        except BaseException:
            self._files.cancel()
            raise
        self.script_began = now


class _Restoring:
    """The thread that restores."""

    def __init__(self, restore: Restore, wake: Callable[[], None]) -> None:
        self.done = threading.Event()
        self.cancelled = threading.Event()
        self.failure: Optional[JdError] = None
        self._restore = restore
        self._wake = wake
        try:
            threads.start(self._work, "jd-restore")
        except NoThread as error:
            raise StartFailure(str(error)) from None

    def _work(self) -> None:
        try:
            self._restore(self.cancelled)
        except JdError as error:
            self.failure = error
        except Exception as error:
            self.failure = JdError("its checkpoint cannot be restored: %s" % reason(error))
        finally:
            self.done.set()
            self._wake()


def needs_restoring(assignment: Assignment) -> bool:
    """Whether the server may have a checkpoint: not of a first attempt, nor of one from scratch."""
    return assignment.attempt is None or assignment.attempt > (assignment.from_scratch or 1)


def checkpoint_place(job_dir: Path, assignment: Assignment) -> Path:
    """The checkpoint directory of an attempt, not made yet. Raises StartFailure."""
    try:
        return checkpointdir.place(job_dir, assignment.attempt)
    except JdError as error:
        raise StartFailure(str(error)) from None
