"""JD_CHECKPOINT_DIR: restored before the script starts, saved while it runs and when it has ended.

Each attempt has a directory of its own, so that one that was thought dead cannot write into that of its
successor. The directory is saved when nothing in it has changed for a moment. After a script was killed
while it may have been writing, it is not saved.
"""

import os
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, Optional, cast

from jd import protocol
from jd.errors import JdError, LimitError, ServerRefused, ServerUnreachable, StorageError, reason
from jd.files.scratch import closing
from jd.net.retry import Backoff, is_temporary
from jd.script import signature
from jd.script.checkpoint import fetch_latest
from jd.script.context import JobContext
from jd.worker.attempt.files import checkpointtar
from jd.worker.attempt.files.checkpointtar import Snapshot
from jd.worker.attempt.files.collect import CHECKPOINTS

QUIET = 2.0  # seconds without a change before a directory is taken to be whole
NAME = "checkpoint.tar"
NO_CHECKPOINTS = (405, 501)  # of a server that has no such route
_MB = 1_000_000.0

Upload = Callable[[BinaryIO], None]
NewSigner = Callable[[], signature.Signer]


def place(job_dir: Path, attempt: Optional[int]) -> Path:
    """Where the directory of an attempt is to be; nothing is there yet."""
    first = "%s-%d" % (CHECKPOINTS, attempt or 1)
    for number in range(10_000):
        path = job_dir / (first if not number else "%s-%d" % (first, number))
        if not os.path.lexists(str(path)):
            return path
    raise StorageError("%s is full of old checkpoint directories" % job_dir, "remove them")


@contextmanager
def scratch(job_dir: Path) -> Iterator[BinaryIO]:
    """An unnamed temporary file. Raises StorageError where none can be made; its end raises nothing."""
    try:
        file = cast(BinaryIO, tempfile.TemporaryFile(dir=str(job_dir)))
    except OSError as error:
        raise StorageError("no temporary file can be made in %s: %s" % (
            job_dir, error.strerror or error)) from error
    with closing(file):
        yield file


def restore(directory: Path, job_dir: Path, context: Callable[[], JobContext],
            log: Callable[[str], None], cancelled: threading.Event) -> None:
    """Make `directory`, with the job's newest saved one in it if there is one.

    While the server does not answer it is asked again, until `cancelled`: a job that began anew
    would put an older state in the place of the newer one. Raises JdError where that cannot help, and
    for one that no worker of the same owner has signed: it is a program as much as a pickle is, and
    leaving it out would begin the job anew.
    """
    pauses = Backoff(1.0, 30.0)
    with scratch(job_dir) as file:
        while not cancelled.is_set():
            try:
                found = fetch_latest(context(), file, protocol.DIRECTORY)
                break
            except (ServerUnreachable, ServerRefused) as error:
                if isinstance(error, ServerRefused) and error.status in NO_CHECKPOINTS:
                    found = False
                    break
                if isinstance(error, ServerRefused) and not (
                        is_temporary(error) or error.status in (401, 403)):
                    raise
                pause = pauses.next()
                log("the checkpoint cannot be fetched: %s; next try in %.0f s" % (error, pause))
                cancelled.wait(pause)
        else:
            return
        file.seek(0)
        if found and checkpointtar.is_ours(file.read(64)):
            job = context()
            signature.accept(file, job, "the checkpoint directory of job %d" % job.job_id, "unpacked")
            files = checkpointtar.unpack(file, directory)
            log("restored the checkpoint directory: %d files, %s" % (
                files, megabytes(os.fstat(file.fileno()).st_size)))
            return
    make(directory)


def make(directory: Path) -> None:
    """Make an empty one. Raises StorageError."""
    try:
        directory.mkdir(0o700, parents=True)  # the job's may just have gone, with an earlier attempt
    except OSError as error:
        raise StorageError("cannot make the checkpoint directory %s: %s" % (
            directory, error.strerror or error)) from error


def megabytes(size: int) -> str:
    """A size for people."""
    if size >= _MB / 20:
        return "%.1f MB" % (size / _MB)
    return "%.1f kB" % (size / 1000.0) if size >= 1000 else "%d bytes" % size


class Saver:
    """Saves one directory whenever it has changed; for one thread. Times are monotonic seconds.

    `problem` says why the newest state is not on the server, if it is not. What may pass, a full disk or a
    server that is away, is tried again after the interval, and at the end; a directory that is too large only
    when it has changed. `is_new`: there is nothing in it.
    """

    def __init__(self, directory: Path, new_signer: NewSigner, upload: Upload,
                 log: Callable[[str], None], interval: float, is_new: bool = False) -> None:
        self.problem: Optional[str] = None
        self.saved_bytes: Optional[int] = None
        self.directory = directory
        self._new_signer = new_signer
        self._upload = upload
        self._log = log
        self._interval = interval
        self._saved: Snapshot = {}
        self._saved = self._seen = {} if is_new else self._state() or {}
        self._tried: Optional[Snapshot] = None  # a state that cannot be saved
        self._changed_at = 0.0
        self._not_before = 0.0

    @property
    def unsaved(self) -> bool:
        """Whether the directory has something that the server has not."""
        state = self._state()
        return bool(state) and state != self._saved

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in the directory, as far as it can be told."""
        return self._state() == {}

    def look(self, now: float) -> None:
        """Save, if it is time to and the directory is quiet. Nothing is raised."""
        if now < self._not_before - 2 * QUIET:
            return  # thousands of files on a network file system are not looked at for nothing
        state = self._state()
        if state is None:
            self._not_before = now + self._interval
            return
        if state != self._seen:
            self._seen, self._changed_at = state, now
        elif (state and state not in (self._saved, self._tried)
              and now - self._changed_at >= QUIET and now >= self._not_before):
            self._not_before = now + self._interval
            self.save(state, self._upload, finished=False)

    def may_be_torn(self, now: float) -> bool:
        """Whether something was written just before `now`, in Unix seconds: for the end of a script
        that was killed."""
        try:
            return now - checkpointtar.last_change(self.directory) < QUIET
        except (OSError, LimitError):
            return True

    def final(self, upload: Upload) -> None:
        """Save what has changed, now that nobody writes any more."""
        state = self._state()
        if state and state not in (self._saved, self._tried):
            self.save(state, upload, finished=True)

    def save(self, state: Snapshot, upload: Upload, finished: bool) -> None:
        """Pack, sign and upload; says in the log what came of it."""
        try:
            with scratch(self.directory.parent) as file:
                size = checkpointtar.pack(self.directory, file)
                if not finished and self._state() != state:
                    self._not_before = 0.0
                    return  # it was written to meanwhile
                signature.sign(file, self._new_signer(), str(self.directory))
                upload(file)
        except LimitError as error:
            self._tried = state
            self._failed(str(error))
        except (JdError, OSError, MemoryError) as error:
            self._failed("the checkpoint directory was not saved: %s" % reason(error))
        else:
            self._saved, self.problem, self.saved_bytes = state, None, size
            self._log("saved the checkpoint directory: %d files, %s" % (
                len(state), megabytes(size)))

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            self._log(problem)
        self.problem = problem

    def _state(self) -> Optional[Snapshot]:
        """None when it cannot be told; an empty directory is one without anything to save."""
        try:
            state = checkpointtar.snapshot(self.directory)
            if state == self._saved:
                self.problem = None
            return state
        except FileNotFoundError:
            return {}
        except OSError as error:
            problem = "the checkpoint directory was not saved: %s" % reason(error)
        except LimitError as error:
            problem = str(error)
        self._failed(problem)
        return None
