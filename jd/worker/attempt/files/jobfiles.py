"""What a worker does for the files of a job: it saves the checkpoint directory, collects what the script
made, and sends what it prints and reports.

A thread does all of it, so that heartbeats go on: `start` with the script, `finish` when it has ended, then
`outcome` is set and the worker is woken. Where the server is away, what should have been uploaded waits on
disk with the result. Of a short job that has left nothing there is nothing to do: `outcome` is there at once,
and the thread, which waits for the next job, hears nothing of it.
"""

import shutil
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Callable, List, Optional, Tuple, Union

from jd import protocol
from jd.errors import ServerRefused, ServerUnreachable, StorageError
from jd.script.context import JobContext
from jd.script.signature import Signer
from jd.script.upload import Patience, send
from jd.threads import Kept, Reported
from jd.worker.attempt.files import jobdir
from jd.worker.attempt.files.checkpointdir import NAME, Saver
from jd.worker.attempt.files.collect import Rules
from jd.worker.attempt.files.collecting import Collected, Collector, Sender, is_away
from jd.worker.attempt.files.shareddir import Watch
from jd.worker.attempt.output.keptoutput import KeptOutput
from jd.worker.attempt.output.outputsending import OutputSending
from jd.worker.attempt.output.printed import Printed
from jd.worker.attempt.reports.reportsending import ReportSending
from jd.worker.uplink.waitingfiles import Item, WaitingFiles

LOOK_EVERY = 2.0  # seconds
ATTEMPTS = 3
PAUSES = (0.5, 2.0)
WATCHED = 10.0  # seconds that a look at the output counts
_NOT_SAVED = "the checkpoint directory was not saved"
_NOT_SENT = "not all of its output was sent"
_NOT_REPORTED = "not all of its reports were sent"
_NOT_FINISHED = "its files were not all saved"


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

    rules: Rules
    interval: float
    outbox: Path


class JobFiles:
    """For one attempt. `context` is asked before each use: servers move and tokens are renewed. `takes_paths`
    tells whether the server knows of files in directories. `printed` is what the script has printed by name,
    if that counts. `watch` has begun when the script has. `output` is None where the server takes no more of
    that than goes with heartbeats and results; `takes_reports` tells whether it takes what scripts report.
    `is_new`: nothing is in `job_dir`; `restored`: something may be in `checkpoints`. `thread` is that of the
    worker for this."""

    def __init__(self, settings: FileSettings, job_dir: Path, checkpoints: Path,
                 context: Callable[[], JobContext], data: str, log: Callable[[str], None],
                 wake: Callable[[], None], takes_paths: Callable[[], bool] = lambda: False,
                 printed: Optional[Printed] = None, watch: Optional[Watch] = None,
                 output: Optional[KeptOutput] = None, takes_reports: Callable[[], bool] = lambda: False,
                 is_new: bool = False, restored: bool = True, thread: Optional[Kept] = None) -> None:
        self.outcome: Optional[Saved] = None
        self.cancelled = threading.Event()
        self._settings = settings
        self._job_dir = job_dir
        self._context = context
        self._log = log
        self._wake = wake
        self._watch = watch
        job = context()
        self._waiting_files = WaitingFiles.new(settings.outbox, job.job_id, job.attempt)
        self._patience = Patience(ATTEMPTS, PAUSES, self._pause)
        self._saver = Saver(checkpoints, lambda: Signer.of(context()), self._upload_checkpoint, self._say,
                            settings.interval, is_new and not restored)
        self._output = output
        self._sending = None if output is None else OutputSending(output, context, self._say)
        self._reports = ReportSending(job_dir, settings.outbox, context, takes_reports, self.cancelled.is_set,
                                      self._say)
        self._watched_at: Optional[float] = None
        self._look_at: Optional[float] = None
        self._thread = thread or Kept("jd-job-files")
        self._printed = printed
        self._finishing = threading.Event()
        self._exit_code = 0
        self._stopped = False
        self._away = False
        self._disowned = False
        self._collector = Collector(settings.rules, job_dir, data, printed, Sender(
            context, self._patience, self._waiting_files, takes_paths), log, self.cancelled, is_new)

    def start(self) -> None:
        """The script starts next. Raises NoThread."""
        self._reports.begin()
        self._thread.get_ready()
        self._look_at = time.monotonic() + LOOK_EVERY

    def look(self, now: float) -> None:
        """Begin to watch the checkpoint directory, the output and the reports, when it is time."""
        if self._look_at is not None and now >= self._look_at:
            self._begin()

    def deadline(self) -> Optional[float]:
        """When that is; None once it has begun."""
        return self._look_at

    def _begin(self) -> None:
        self._look_at = None
        self._thread.do(self._work, self._wake)

    def watched(self) -> None:
        """Somebody looks at the output: what is new goes soon."""
        self._watched_at = time.monotonic()

    def finish(self, exit_code: int, stopped: bool) -> None:
        """The script has ended and nothing of it is left; `stopped`: not by itself, or its worker is being
        stopped, which may leave little time."""
        self._exit_code, self._stopped = exit_code, stopped
        self._finishing.set()
        if self._look_at is not None:
            with Reported(_NOT_FINISHED, self._log):
                if self._has_left_nothing():
                    self._look_at, self.outcome = None, Saved()
                    return
            self._begin()

    def _has_left_nothing(self) -> bool:
        """Whether there is nothing to do but what has been done then: its directory is gone."""
        output, watch = self._output, self._watch
        if self._printed is not None or self.cancelled.is_set() or output is not None and output.is_long:
            return False
        if self._reports.are_there or watch is not None and watch.end():
            return False
        return jobdir.tidy(self._job_dir, self._saver.directory)

    def give_up(self) -> Saved:
        """The time is up: what is kept on disk waits, the rest stays in the job's directory."""
        self.cancelled.set()
        self._log("no time to upload the rest of %s; it stays there" % self._job_dir)
        return Saved("no time was left to upload all files", self._waiting(), True)

    def cancel(self) -> None:
        """The attempt is somebody else's: nothing of it goes to the server any more, now or later."""
        self._disowned = True
        self.cancelled.set()
        self._finishing.set()
        if self._look_at is not None:
            self._begin()
        if self.outcome is not None:
            self._waiting_files.discard()

    # ---- in the thread

    def _work(self) -> None:
        """Whatever goes wrong in one part, the others are done, and the job's history tells of it."""
        saving, sending = Reported(_NOT_SAVED, self._log), Reported(_NOT_SENT, self._log)
        reporting = Reported(_NOT_REPORTED, self._log)
        while not self._finishing.is_set():
            now = time.monotonic()
            with saving:
                self._saver.look(now)
            watched = self._watched_at is not None and now < self._watched_at + WATCHED
            with sending:
                if self._sending is not None and not self.cancelled.is_set():
                    self._sending.look(now, watched)
            with reporting:
                if not self.cancelled.is_set():
                    self._reports.look(watched)
            self._finishing.wait(LOOK_EVERY)
        outcome = Saved()
        if not self.cancelled.is_set():
            with Reported(_NOT_FINISHED, self._log) as finishing:
                outcome = self._finished()
            if finishing.trouble is not None:
                outcome = Saved(finishing.trouble)
        with Reported("the job's output was not let go of", self._log):
            if self._output is not None:
                self._output.close()
        with Reported("what the job reports was not let go of", self._log):
            self._reports.close()
        self.outcome = outcome
        if self._disowned:
            self._waiting_files.discard()

    def _finished(self) -> Saved:
        saver = self._saver
        done = self._exit_code == 0 and not self._stopped
        has_checkpoint = not saver.is_empty
        changes = None if self._watch is None else self._watch.changes
        notes = [self._part("what shares its directories was not looked for", changes),
                 self._part(_NOT_SAVED, self._save_last),
                 self._part(_NOT_SENT, self._send_output),
                 self._part(_NOT_REPORTED, self._send_reports)]
        collected = Collected([])
        with Reported("not all of its files were collected", self._log) as collecting:
            collected = self._collector.collect(done, self._away)
        notes += [collecting.trouble or "", *collected.notes]
        self._part("its directory was not tidied up", self._tidy_up)
        return Saved("; ".join(note for note in notes if note), self._waiting(),
                     has_checkpoint or collected.has_files)

    def _part(self, what: str, do: Optional[Callable[[], Optional[str]]]) -> str:
        """Do a part of what comes at the end. Returns what the job's history is to say of it."""
        note: Optional[str] = None
        with Reported(what, self._log) as reported:
            note = do() if do is not None else None
        return reported.trouble or note or ""

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
        kept: Optional[Item] = None
        try:
            if self._stopped:
                kept = self._waiting_files.add(protocol.CHECKPOINT, NAME, file)
        except StorageError as error:
            self._log(str(error))  # the server may take it all the same
        try:
            self._upload_checkpoint(file)
        except (ServerUnreachable, ServerRefused) as error:
            if not is_away(error):
                if kept is not None:
                    self._waiting_files.remove(kept)
                raise
            self._away = True
            if kept is None:
                self._waiting_files.add(protocol.CHECKPOINT, NAME, file)
            return
        if kept is not None:
            self._waiting_files.remove(kept)

    # ---- what it has printed and reported

    def _send_output(self) -> str:
        return "" if self._sending is None else self._send_rest(self._sending)

    def _send_reports(self) -> str:
        self._reports.read_rest()
        return "; ".join(filter(None, (self._send_rest(self._reports), self._reports.remark())))

    def _send_rest(self, sending: Union[OutputSending, ReportSending]) -> str:
        """Send the rest; where the server is away, or may not answer before we are killed, keep it."""
        if self.cancelled.is_set():
            return ""
        kept, problem = self._keep_rest(sending) if self._stopped or self._away else ([], "")
        if self._away:
            return problem
        try:
            sending.finish()
        except (ServerUnreachable, ServerRefused):
            self._away = True
            return "" if kept else self._keep_rest(sending)[1]
        if not self.cancelled.is_set():
            for item in kept:
                self._waiting_files.remove(item)
        return ""

    def _keep_rest(self, sending: Union[OutputSending, ReportSending]) -> Tuple[List[Item], str]:
        """The rest, where it waits, or why it cannot."""
        try:
            return sending.keep(self._waiting_files), ""
        except StorageError as error:
            self._log(str(error))
            return [], str(error)
