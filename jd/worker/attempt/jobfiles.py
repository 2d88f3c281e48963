"""What a worker does for the files of a job: it saves the checkpoint directory and collects the output.

One thread for each attempt does all of it, so that heartbeats go on: `start` with the script, `finish`
when it has ended, then `outcome` is set and the worker is woken. Where the server is away, what should
have been uploaded waits on disk with the result.
"""

import itertools
import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, List, Optional

from jd import protocol
from jd.errors import JdError, ServerRefused, ServerUnreachable
from jd.net.retry import RETRIED_STATUSES
from jd.script import uploaded
from jd.script.context import JobContext
from jd.script.signature import Signer
from jd.script.upload import Patience, send, upload_file
from jd.worker.attempt import collect, jobdir
from jd.worker.attempt.checkpointdir import NAME, Saver, megabytes
from jd.worker.uplink.waitingfiles import WaitingFiles

LOOK_EVERY = 2.0  # seconds
ATTEMPTS = 3
PAUSES = (0.5, 2.0)
LOST = (409, 410)  # the attempt is no longer ours
MAX_NAMED = 3  # files that the job's history names; the log names all


@dataclass(frozen=True)
class Saved:
    """What came of it: a line for the job's history, or none, and what waits on disk. `has_files` tells
    whether the attempt has something in its checkpoint directory, or has collected a file."""

    note: str = ""
    waiting_files: Optional[Path] = None
    has_files: bool = False


@dataclass(frozen=True)
class FileSettings:
    """What is to be done for each job. `interval` is in seconds."""

    patterns: List[str]
    interval: float
    outbox: Path


class JobFiles:
    """For one attempt. `context` is asked before each use: servers move and tokens are renewed. `takes_paths`
    tells whether the server knows of files in directories."""

    def __init__(self, settings: FileSettings, job_dir: Path, checkpoints: Path,
                 context: Callable[[], JobContext], data: str, log: Callable[[str], None],
                 wake: Callable[[], None], takes_paths: Callable[[], bool] = lambda: False) -> None:
        self.outcome: Optional[Saved] = None
        self.cancelled = threading.Event()
        self._settings = settings
        self._job_dir = job_dir
        self._context = context
        self._log = log
        self._wake = wake
        self._takes_paths = takes_paths
        job = context()
        self._waiting_files = WaitingFiles.new(settings.outbox, job.job_id, job.attempt)
        self._patience = Patience(ATTEMPTS, PAUSES, self._pause)
        self._saver = Saver(checkpoints, lambda: Signer.of(context()), self._upload_checkpoint, self._say,
                            settings.interval)
        self._finishing = threading.Event()
        self._exit_code = 0
        self._stopped = False
        self._away = False
        if settings.patterns:
            self._begin_ledger(data)

    def start(self) -> None:
        """Begin to watch the checkpoint directory."""
        threading.Thread(target=self._work, name="jd-job-files", daemon=True).start()

    def finish(self, exit_code: int, stopped: bool) -> None:
        """The script has ended and nothing of it is left; `stopped`: not by itself, or its worker is being
        stopped, which may leave little time."""
        self._exit_code, self._stopped = exit_code, stopped
        self._finishing.set()

    def give_up(self) -> Saved:
        """The time is up: what is kept on disk waits, the rest stays in the job's directory."""
        self.cancelled.set()
        if self._settings.patterns or self._saver.unsaved:
            self._log("no time to upload the rest of %s; it stays there" % self._job_dir)
        return Saved("no time was left to upload all files", self._waiting(), True)

    def cancel(self) -> None:
        """The attempt is somebody else's: nothing of it goes to the server any more."""
        self.cancelled.set()
        self._finishing.set()

    # ---- in the thread

    def _work(self) -> None:
        outcome = Saved()
        try:
            while not self._finishing.wait(LOOK_EVERY):
                self._saver.look(time.monotonic())
            if not self.cancelled.is_set():
                has_checkpoint = not self._saver.is_empty
                report = _Report()
                notes = [self._save_last(), self._collect(report)]
                self._tidy_up()
                outcome = Saved("; ".join(note for note in notes if note), self._waiting(),
                                has_checkpoint or report.has_files)
        finally:
            self.outcome = outcome
            self._wake()

    def _pause(self, seconds: float) -> None:
        self.cancelled.wait(seconds)

    def _say(self, text: str) -> None:
        if not self.cancelled.is_set():
            self._log(text)

    def _waiting(self) -> Optional[Path]:
        if self._waiting_files.items():
            return self._waiting_files.path
        self._waiting_files.discard()
        return None

    # ---- the checkpoint directory

    def _save_last(self) -> str:
        saver = self._saver
        if not saver.unsaved:
            return saver.problem or ""
        if self._exit_code == -signal.SIGKILL and saver.may_be_torn(time.time()):
            self._log("the checkpoint directory was written to when the script was killed: the "
                      "state before it stays the newest")
            return "its last checkpoint may be torn and was not saved"
        saver.final(self._upload_or_keep)
        if saver.problem is not None:
            return saver.problem
        if self._away:
            return "its checkpoint waits with this result"
        return "checkpoint saved" if self._stopped else ""

    def _tidy_up(self) -> None:
        """Remove a checkpoint directory that holds nothing, or what a next attempt restores, and the job's
        directory with it if that is empty."""
        saver = self._saver
        directory = saver.directory
        again = self._stopped or self._exit_code != 0
        if again and saver.saved_bytes is not None and not saver.unsaved and not self._away:
            shutil.rmtree(str(directory), ignore_errors=True)
        jobdir.tidy(self._job_dir, directory)

    def _upload_checkpoint(self, file: BinaryIO) -> None:
        context = self._context()
        size = file.seek(0, 2)
        send(context, self._patience, protocol.CHECKPOINT, "checkpoint", file, NAME, size,
             "the checkpoint directory of job %d was not saved" % context.job_id,
             "It is still there")

    def _upload_or_keep(self, file: BinaryIO) -> None:
        """Upload; where the server is away, or may not answer before we are killed, keep it."""
        kept = self._waiting_files.add(protocol.CHECKPOINT, NAME, file) if self._stopped else None
        try:
            self._upload_checkpoint(file)
        except (ServerUnreachable, ServerRefused) as error:
            if not _is_away(error):
                if kept is not None:
                    self._waiting_files.remove(kept)
                raise
            self._away = True
            if kept is None:
                self._waiting_files.add(protocol.CHECKPOINT, NAME, file)
            return
        if kept is not None:
            self._waiting_files.remove(kept)

    # ---- output

    def _begin_ledger(self, data: str) -> None:
        try:
            uploaded.begin(self._job_dir, data, (
                (name, uploaded.version_of(status))
                for name, _, status in itertools.islice(
                    collect.regular_files(self._job_dir), collect.MAX_LOOKED_AT)))
        except OSError as error:
            self._log("cannot write %s: %s; files that the script uploads may go twice" % (
                self._job_dir / uploaded.NAME, error.strerror))

    def _collect(self, report: "_Report") -> str:
        if not self._settings.patterns:
            return ""
        try:
            known = uploaded.read(self._job_dir)[1]
            selection = collect.select(self._job_dir, self._settings.patterns, known)
        except OSError as error:
            return self._logged("nothing was collected: %s: %s" % (self._job_dir, error.strerror))
        report.left = selection.left
        for file in selection.files:
            if self.cancelled.is_set():
                return ""
            try:
                self._collect_one(file, report)
            except ServerRefused as error:
                return self._logged("collected no more after %d files: %s" % (
                    report.sent, error))
        for name, why in report.left[:collect.MAX_FILES]:
            self._log("not collected: %s: %s" % (name, why))
        line = report.line()
        return self._logged(line) if line else ""

    def _collect_one(self, file: collect.File, report: "_Report") -> None:
        """Upload one file, or keep it for later; raises ServerRefused if nothing more will go."""
        with_path = self._takes_paths() and file.place is not None
        name, place = (file.short_name, file.place) if with_path else (file.upload_name, None)
        try:
            if not self._away:
                try:
                    upload_file(self._context(), file.path, self._patience, self._job_dir, name, place)
                    report.sent += 1
                    report.sent_bytes += file.version[0]
                    return
                except (ServerUnreachable, ServerRefused) as error:
                    if not _is_away(error):
                        raise
                    self._away = True
            with open(file.path, "rb") as content:
                self._waiting_files.add(protocol.UPLOAD, name, content, place)
            uploaded.add(self._job_dir, file.path, file.version)
            report.waiting += 1
        except ServerRefused as error:
            if error.status in LOST:
                raise
            report.left.append((file.name, str(error)))
        except JdError as error:
            report.left.append((file.name, str(error)))
        except OSError as error:
            report.left.append((file.name, error.strerror or str(error)))

    def _logged(self, line: str) -> str:
        self._log(line)
        return line


class _Report:
    """What became of the files that were to be collected."""

    def __init__(self) -> None:
        self.sent = 0
        self.sent_bytes = 0
        self.waiting = 0
        self.left: List["collect.Left"] = []

    @property
    def has_files(self) -> bool:
        """Whether any file was collected."""
        return bool(self.sent or self.waiting)

    def line(self) -> str:
        """One line for the job's history; empty when there was nothing to collect."""
        parts = []
        if self.sent or self.waiting or self.left:
            parts.append("collected %s" % _files(self.sent))
            if self.sent:
                parts[0] += " (%s)" % megabytes(self.sent_bytes)
        if self.waiting:
            parts.append("%s waited for the server" % _files(self.waiting))
        if self.left:
            named = ["%s (%s)" % (name[:80], why[:120]) for name, why in self.left[:MAX_NAMED]]
            more = len(self.left) - len(named)
            parts.append("not collected: %s%s" % (
                ", ".join(named), " and %d more" % more if more else ""))
        return "; ".join(parts)


def _files(number: int) -> str:
    return "1 file" if number == 1 else "%d files" % number


def _is_away(error: JdError) -> bool:
    """Whether the same will go later, rather than never."""
    if isinstance(error, ServerRefused):
        return error.status in RETRIED_STATUSES or error.status in (401, 403)
    return isinstance(error, ServerUnreachable)
