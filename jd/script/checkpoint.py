"""Checkpoints: a Python object to the server and back (library reference, section 5)."""

import os
import pickle
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Optional, TypeVar, cast

from jd import protocol
from jd.errors import JdError, LimitError, ServerRefused, StorageError
from jd.files import scratch
from jd.script import signature, tryout
from jd.script.context import JobContext
from jd.script.upload import Patience, send

T = TypeVar("T")

PICKLE_PROTOCOL = 4  # the highest that every Python from 3.8 on reads and that streams large objects
_NAME = "checkpoint.pt"
_LIMIT_MB = protocol.MAX_FILE_BYTES >> 20


def jd_update_checkpoint(obj: object, job_id: Optional[int] = None,
                         server: Optional[str] = None) -> Dict[str, Any]:
    """Pickle `obj`, at most 100 MB of it, and keep it on the server as the job's newest checkpoint.

    Returns `{"success", "filename", "version", "size_bytes"}`. It is tried 5 times, or
    JD_UPLOAD_MAX_RETRIES. The pickle goes to an unnamed temporary file first, in the job's
    directory where there is one, so that it is not in memory a second time. It is signed with the
    owner's keys: see `jd_get_last_checkpoint`.

    Raises LimitError, a ValueError, when it is larger (nothing is sent), JdError when `obj` cannot be
    pickled or there is no key to sign with, StorageError when the temporary file cannot be written,
    OutsideJobError, a RuntimeError, outside a job, ServerRefused and ServerUnreachable when the server
    did not take it.
    """
    if tryout.applies(job_id, server):
        with scratch.closing(scratch_file(tryout.job_dir())) as file:
            _dump(obj, file, None, None)  # what stays in our own directory needs no signature
            return tryout.keep_checkpoint(file)
    context = JobContext.current("jd_update_checkpoint", job_id, server)
    return save(context, obj, Patience.configured())


def jd_get_last_checkpoint(job_id: Optional[int] = None,
                           server: Optional[str] = None) -> Optional[Any]:
    """The job's newest checkpoint as the object it was; None when there is none yet.

    Archives of JD_CHECKPOINT_DIR are passed over: they are not for this function.

    Unpickling runs code that the pickle names. So only what a worker of the same owner has signed is
    unpickled, unless JD_CHECKPOINTS=unsigned says that whoever may upload to the server is trusted as
    much as the script itself.

    Raises signature.UntrustedCheckpoint, a JdError, for any other checkpoint; JdError when it cannot be
    unpickled here, OutsideJobError outside a job, ServerRefused and ServerUnreachable when it cannot be
    fetched after as many attempts as JD_UPLOAD_MAX_RETRIES says.
    """
    if tryout.applies(job_id, server):
        kept = tryout.last_checkpoint()
        if kept is None:
            return None
        with kept:
            return _restored(kept, None)
    context = JobContext.current("jd_get_last_checkpoint", job_id, server)
    return load(context, Patience.configured())


def save(context: JobContext, obj: object, patience: Patience) -> Dict[str, Any]:
    """`jd_update_checkpoint` for a given job."""
    signer = signature.Signer.of(context)
    with scratch.closing(scratch_file()) as file:
        _dump(obj, file, context.job_id, signer)
        return send(context, patience, protocol.CHECKPOINT, "checkpoint", file, _NAME, file.tell(),
                    failed="the checkpoint of job %d was not saved" % context.job_id,
                    comfort="The object in memory is as it was, and earlier checkpoints stay")


def load(context: JobContext, patience: Patience) -> Optional[Any]:
    """`jd_get_last_checkpoint` for a given job."""
    with scratch.closing(scratch_file()) as file:
        def fetch() -> bool:
            return fetch_latest(context, file, protocol.OBJECT)

        if not patience.run(fetch, "the checkpoint of job %d was not fetched" % context.job_id,
                            "It is still on the server"):
            return None
        signature.accept(file, context, "the checkpoint of job %d" % context.job_id, "unpickled")
        return _restored(file, context.job_id)


def fetch_latest(context: JobContext, file: BinaryIO, kind: str) -> bool:
    """Fetch the job's newest checkpoint of `kind`, protocol.OBJECT or DIRECTORY, into a file that
    is emptied first; False where there is none. Raises what Client.download raises.

    A server that knows only the base protocol is not asked for a kind, and gives the newest of all. Of one of
    the wrong kind no more is read than its first bytes; what is below it cannot be had from there. Only
    one with extensions counts attempts; it gives an object to who names neither.
    """
    query = {"job_id": context.job_id, "kind": None if context.attempt is None else kind}
    file.seek(0)
    file.truncate()
    try:
        context.client().download(protocol.LATEST_CHECKPOINT, query, cast(BinaryIO, _OfKind(file, kind)),
                                  protocol.MAX_FILE_BYTES)
    except _AnotherKind:
        return False
    except ServerRefused as error:
        if error.status != 404:  # none yet: that is an answer, not a failure
            raise
        return False
    return True


class _AnotherKind(Exception):
    """The server gave a checkpoint of another kind."""


class _OfKind:
    """The file that a checkpoint is fetched into; raises _AnotherKind when its beginning is known
    to be wrong."""

    def __init__(self, file: BinaryIO, kind: str) -> None:
        self.name = _place_of(file)
        self._file = file
        self._wants_directory = kind == protocol.DIRECTORY
        self._head: Optional[bytes] = b""

    def write(self, data: bytes) -> int:
        if self._head is not None:
            self._head += data[:len(protocol.DIRECTORY_MARK)]
            is_directory = self._head.startswith(protocol.DIRECTORY_MARK)
            settled = is_directory or not protocol.DIRECTORY_MARK.startswith(self._head)
            if settled and is_directory != self._wants_directory:
                raise _AnotherKind
            self._head = None if settled else self._head
        return self._file.write(data)


def scratch_file(directory: Optional[Path] = None) -> BinaryIO:
    """A temporary file without a name, so that no way to end leaves it behind: in `directory`, else in
    that of the running job."""
    given = os.environ.get("JD_WORKER_JOB_DIR", "").strip() if directory is None else str(directory)
    try:
        if given:
            return _in_directory(given)
    except OSError:
        pass  # it is gone, or cannot be written: any place will do
    try:
        return _in_directory(tempfile.gettempdir())
    except OSError as error:
        raise StorageError("no temporary file for the checkpoint can be made: %s"
                           % (error.strerror or error),
                           "set TMPDIR to a directory that can be written") from None


def _in_directory(directory: str) -> BinaryIO:
    return cast(BinaryIO, tempfile.TemporaryFile(dir=directory))


class _Limited:
    """The file that a pickle is written to: stops it at the limit, signs it, and names a full disk."""

    def __init__(self, file: BinaryIO, job_id: Optional[int], signer: Optional[signature.Signer]) -> None:
        self._file = file
        self._what = _named(job_id)
        self._signer = signer
        self._left = protocol.MAX_FILE_BYTES - (0 if signer is None else signer.size)

    def write(self, data: bytes) -> int:
        self._left -= len(data)
        if self._left < 0:
            raise LimitError("%s is larger than %d MB, the most that can be saved"
                             % (self._what, _LIMIT_MB),
                             "keep only what is needed to resume, or split it with jd_upload")
        if self._signer is not None:
            self._signer.update(data)
        return self._write_out(lambda: self._file.write(data))

    def finish(self) -> None:
        """Write what goes behind the pickle."""
        signer = self._signer
        if signer is not None:
            self._write_out(lambda: self._file.write(signer.trailer()))
        self._write_out(self._file.flush)

    def _write_out(self, action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise StorageError(
                "%s cannot be written to the temporary file in %s: %s" % (
                    self._what, _place_of(self._file), error.strerror or error)) from error


def _place_of(file: BinaryIO) -> str:
    """The directory of an unnamed file, where the system tells; for error messages."""
    try:
        return os.path.dirname(os.readlink("/proc/self/fd/%d" % file.fileno()))
    except OSError:
        return "the job's or the system's temporary directory"


def _named(job_id: Optional[int]) -> str:
    """A checkpoint, for messages; a try-out has no job."""
    return "the checkpoint" if job_id is None else "the checkpoint of job %d" % job_id


def _dump(obj: object, file: BinaryIO, job_id: Optional[int], signer: Optional[signature.Signer]) -> None:
    limited = _Limited(file, job_id, signer)
    try:
        pickle.Pickler(limited, protocol=PICKLE_PROTOCOL).dump(obj)
        limited.finish()
    except JdError:
        raise
    except Exception as error:  # __getstate__ and __reduce__ are the user's: anything may come
        raise JdError("%s cannot be pickled: %s: %s" % (_named(job_id), type(error).__name__, error),
                      "keep plain data in it, such as state_dict() of a model") from error


def _restored(file: BinaryIO, job_id: Optional[int]) -> Any:
    file.seek(0)
    try:
        return pickle.load(file)
    except Exception as error:  # unpickling runs code of the classes it finds
        raise JdError("%s cannot be unpickled: %s: %s" % (_named(job_id), type(error).__name__, error),
                      "most often a class in it cannot be imported here, or a library has another version "
                      "than the one that saved it") from error
