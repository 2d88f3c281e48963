"""Uploading files of a job to the server (library reference, section 4)."""

import os
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple, TypeVar, Union

from jd import protocol, settings
from jd.errors import (
    JdError,
    LimitError,
    NoFileError,
    ServerRefused,
    ServerUnreachable,
    StorageError,
    UsageError,
)
from jd.net.client import UnusableAnswer
from jd.net.retry import is_temporary, retry
from jd.script import tryout, uploaded
from jd.script.context import JobContext

T = TypeVar("T")

# Long enough for a server to be restarted; random, since a whole sweep may end at once.
PAUSES = (1.0, 20.0)
# The server writes the whole file to its disk before it answers.
_TIMEOUT_SECONDS = 120.0
_RETRIES = "JD_UPLOAD_MAX_RETRIES"


@dataclass(frozen=True)
class Patience:
    """How often a script's call is made before it fails, with what pauses (seconds) between."""

    attempts: int
    pauses: Tuple[float, float] = PAUSES
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def configured(cls, attempts: Optional[int] = None) -> "Patience":
        """So many attempts, at least one; without a number as JD_UPLOAD_MAX_RETRIES says. Raises
        UsageError."""
        if attempts is None:
            return cls(settings.value_of(settings.SCRIPT, _RETRIES, os.environ))
        if not isinstance(attempts, int):
            raise UsageError("max_retries: %s is not allowed" % protocol.shown(attempts),
                             "give a whole number")
        return cls(max(1, attempts))

    def run(self, call: Callable[[], T], failed: str, comfort: str,
            should_retry: Callable[[JdError], bool] = is_temporary) -> T:
        """`call()`, tried again while that can help.

        The error in the end is of the kind of the last failure. It begins with `failed`, says how
        often it was tried, and ends with `comfort`: what has not been lost.
        """
        made: List[int] = []

        def counted() -> T:
            made.append(1)
            return call()

        try:
            return retry(counted, self.attempts, self.pauses, should_retry, self.sleep)
        except (ServerUnreachable, ServerRefused) as error:
            tried = "1 attempt" if len(made) == 1 else "%d attempts, the last failure" % len(made)
            text = "%s after %s: %s. %s" % (failed, tried, error, comfort)
            if len(made) == self.attempts and should_retry(error):
                text += "; %s sets the number of attempts" % _RETRIES
            if isinstance(error, ServerRefused):
                raise ServerRefused(error.status, text) from error
            raise type(error)(text) from error


def jd_upload(file_path: Union[str, "os.PathLike[str]"], job_id: Optional[int] = None,
              server: Optional[str] = None, max_retries: Optional[int] = None) -> Dict[str, Any]:
    """Send a local file of at most 100 MB to the job server, as a result of the running job.

    Returns `{"success", "filename", "version", "size_bytes"}`, where `filename` is the name it has
    on the server. It is tried `max_retries` times in all, else JD_UPLOAD_MAX_RETRIES or 5. `job_id` and
    `server` replace what the worker's variables say. In a script that no worker started, and without
    these, it is a try-out: a copy is kept in its directory, and no server is asked.

    Raises NoFileError, a FileNotFoundError, where there is no such file, LimitError, a ValueError, for
    one too large, StorageError for one that cannot be read or changes while it is sent, UsageError for a
    name that cannot be stored, OutsideJobError, a RuntimeError, outside a job, ServerRefused and
    ServerUnreachable when the server did not take it. The local file stays.
    """
    if tryout.applies(job_id, server):
        with _checked(file_path) as sent:
            return tryout.keep_upload(sent.file, sent.filename)
    context = JobContext.current("jd_upload", job_id, server)
    own = os.environ.get("JD_WORKER_JOB_DIR", "") if not job_id and not server else ""
    return upload_file(context, file_path, Patience.configured(max_retries), Path(own) if own else None)


def upload_file(context: JobContext, file_path: Union[str, "os.PathLike[str]"], patience: Patience,
                job_dir: Optional[Path] = None, name: Optional[str] = None,
                path: Optional[str] = None) -> Dict[str, Any]:
    """`jd_upload` for a given job. The file is opened once: what was checked is what is sent.

    It is noted in the ledger of `job_dir`. `name` is what the server is to call it, `path` where in the job's
    directory it lies, for a server that offers to know.
    """
    with _checked(file_path, name) as sent:
        answer = send(context, patience, protocol.UPLOAD, "file", sent.file, sent.filename,
                      sent.status.st_size,
                      failed="%s of job %d was not uploaded" % (sent.filename, context.job_id),
                      comfort="The local file is still there: %s" % sent.path, path=path)
        if job_dir is not None:
            uploaded.add(job_dir, sent.path, uploaded.version_of(sent.status))
    return answer


class _Sent(NamedTuple):
    """A file that may be uploaded, open, and what the server is to call it."""

    path: str
    filename: str
    file: BinaryIO
    status: os.stat_result


@contextmanager
def _checked(file_path: Union[str, "os.PathLike[str]"], name: Optional[str] = None) -> Iterator[_Sent]:
    path = os.path.abspath(os.fsdecode(file_path))
    filename = checked_name(os.path.basename(path) if name is None else name)
    with _open_regular(path) as file:
        status = os.fstat(file.fileno())
        if status.st_size > protocol.MAX_FILE_BYTES:
            raise LimitError("%s has %d bytes, and %d (%d MB) is the most that can be uploaded"
                             % (path, status.st_size, protocol.MAX_FILE_BYTES, protocol.MAX_FILE_BYTES >> 20),
                             "compress or split it")
        yield _Sent(path, filename, file, status)


def send(context: JobContext, patience: Patience, route: str, part_name: str, file: BinaryIO,
         filename: str, size: int, failed: str, comfort: str, path: Optional[str] = None) -> Dict[str, Any]:
    """POST an open file for a job and return the server's answer about it; `path` as in `upload_file`."""
    client = context.client(_TIMEOUT_SECONDS)
    fields = {"job_id": str(context.job_id)}
    if context.attempt is not None:
        fields["attempt"] = str(context.attempt)
    if path is not None:
        fields["path"] = path

    def call() -> Dict[str, Any]:
        answer = client.upload(route, fields, part_name, file, filename, size)
        if not isinstance(answer, dict) or not answer.get("success"):
            raise UnusableAnswer("%s%s answered without saying that it took the file"
                                 % (client.shown, route),
                                 "it may not be a job server")
        return answer

    return patience.run(call, failed, comfort)


def checked_name(name: str) -> str:
    """A file name that the server can store: UTF-8, no control characters, not too long."""
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        raise UsageError("file name %s is not valid UTF-8" % protocol.shown(name),
                         "rename the file") from None
    if any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name):
        raise UsageError("file name %s has control characters" % protocol.shown(name), "rename the file")
    if length > protocol.MAX_FILE_NAME_BYTES:
        raise LimitError("file name %s has %d bytes, and %d are allowed"
                         % (protocol.shown(name), length, protocol.MAX_FILE_NAME_BYTES),
                         "rename the file")
    return name


def _open_regular(path: str) -> BinaryIO:
    """The file, open for reading. Opening a named pipe must not wait for its writer."""
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        file = open(path, "rb", opener=opener)
    except FileNotFoundError:
        raise NoFileError("%s cannot be uploaded: there is no such file" % path,
                          "jd_job_dir() is where the job's files are") from None
    except IsADirectoryError:
        raise NoFileError("%s cannot be uploaded: it is a directory" % path,
                          "upload its files one by one, or an archive of it") from None
    except OSError as error:
        raise StorageError("%s cannot be uploaded: %s" % (path, error.strerror or error)) from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NoFileError("%s cannot be uploaded: it is not a regular file" % path,
                          "write what it yields to a file first")
    return file
