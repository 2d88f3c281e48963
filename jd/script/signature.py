"""The signature of a checkpoint. Loading one runs it, so it must come from the owner's own workers.

It follows the bytes that are signed, where `pickle.load` and `tar` do not look, so that other clients can
read the file as before:

    bytes | job, 8 bytes | experiment, UTF-8 | HMAC-SHA256, 32 bytes, for each key | TAIL

TAIL has the length of job and experiment, the number of HMACs, the version and a mark. Each HMAC covers a
label, that length, job and experiment, and the bytes. One that fits is enough.
"""

import hmac
import os
import struct
from typing import BinaryIO, Callable, List, NamedTuple, Optional, Sequence

from jd import protocol, settings
from jd.auth.checkpointkey import MAX_KEYS, to_check, to_sign
from jd.errors import JdError, LimitError, StorageError
from jd.script.context import JobContext

MARK = b"jd-signature\r\n\x1a\n"
VERSION = 1
_LABEL = b"jd checkpoint signature v1\0"
_TAIL = struct.Struct(">HBB16s")
_LENGTH = struct.Struct(">H")
_JOB = struct.Struct(">Q")
_MAC_BYTES = 32
_LONGEST_CLAIM = _JOB.size + 400
_CHUNK = 256 * 1024
VARIABLE = "JD_CHECKPOINTS"
UNSIGNED = "unsigned"


class UntrustedCheckpoint(JdError):
    """A checkpoint that no worker of this owner has signed; nothing of it was unpickled or unpacked."""


class Signer:
    """Signs what passes through `update`. `size` is how many bytes `trailer` will have."""

    def __init__(self, keys: Sequence[str], experiment: Optional[str], job_id: int) -> None:
        self.claim = _claim(experiment, job_id)
        self._macs = _macs(keys, self.claim)
        self.size = len(self.claim) + len(keys) * _MAC_BYTES + _TAIL.size

    @classmethod
    def of(cls, context: JobContext) -> "Signer":
        """One with all keys at hand for the job. Raises JdError if there is none."""
        return cls(to_sign(context.keys(), context.environ), context.meant_for, context.job_id)

    def update(self, data: bytes) -> None:
        """The next bytes."""
        for mac in self._macs:
            mac.update(data)

    def trailer(self) -> bytes:
        """What goes behind the bytes."""
        return b"".join([self.claim, *(mac.digest() for mac in self._macs),
                         _TAIL.pack(len(self.claim), len(self._macs), VERSION, MARK)])


class Trailer(NamedTuple):
    """A signature as it stands in a file; `body` is how many bytes are before it."""

    body: int
    claim: bytes
    macs: List[bytes]

    @property
    def job_id(self) -> int:
        """The job that it was made for, if it is genuine."""
        return int(_JOB.unpack(self.claim[:_JOB.size])[0])

    @property
    def experiment(self) -> str:
        """The experiment likewise; empty if whoever made it did not know."""
        return self.claim[_JOB.size:].decode("utf-8", "replace")


def sign(file: BinaryIO, signer: Signer, what: str) -> int:
    """Append the signature of a whole file to it; returns the size that it has then.

    Raises StorageError where that is not possible, LimitError where it would be too large to be
    saved. `what` is the file in messages.
    """
    try:
        size = file.seek(0, os.SEEK_END)
        if size + signer.size > protocol.MAX_FILE_BYTES:
            raise LimitError("%s has with its signature more than %d MB, the most that can be saved"
                             % (what, protocol.MAX_FILE_BYTES >> 20),
                             "keep only what is needed to resume")
        pass_through(file, size, signer.update)
        file.write(signer.trailer())
        file.flush()
        return size + signer.size
    except OSError as error:
        raise StorageError("%s cannot be signed: %s" % (what, error.strerror or error)) from error


def read(file: BinaryIO) -> Optional[Trailer]:
    """The signature at the end of a file, not checked; None if there is none of this version."""
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL.size:
        return None
    file.seek(size - _TAIL.size)
    length, count, version, mark = _TAIL.unpack(file.read(_TAIL.size))
    body = size - _TAIL.size - count * _MAC_BYTES - length
    if (mark != MARK or version != VERSION or not 1 <= count <= MAX_KEYS
            or not _JOB.size <= length <= _LONGEST_CLAIM or body < 0):
        return None
    file.seek(body)
    claim, macs = file.read(length), file.read(count * _MAC_BYTES)
    return Trailer(body, claim, [macs[at:at + _MAC_BYTES] for at in range(0, len(macs), _MAC_BYTES)])


def fits(file: BinaryIO, trailer: Trailer, keys: Sequence[str]) -> bool:
    """Whether the signature was made with one of the keys, for these bytes and what it says of them."""
    macs = _macs(keys, trailer.claim)

    def update(data: bytes) -> None:
        for mac in macs:
            mac.update(data)

    pass_through(file, trailer.body, update)
    found = False
    for made in [mac.digest() for mac in macs]:
        for told in trailer.macs:
            found |= hmac.compare_digest(made, told)
    return found


def accept(file: BinaryIO, context: JobContext, what: str, done: str) -> None:
    """Return with the file cut to the bytes that one of the owner's workers has signed for this job.

    With JD_CHECKPOINTS=unsigned nothing is looked at. Raises UntrustedCheckpoint otherwise, in which
    `what` is the file, and `done` what was not done with it: `unpickled`; StorageError where the file
    cannot be read.
    """
    if settings.value_of(settings.WORKER, VARIABLE, context.environ) == UNSIGNED:
        return
    try:
        _check(file, context, what, done)
    except OSError as error:
        raise StorageError("%s cannot be checked: %s" % (what, error.strerror or error)) from error


def _check(file: BinaryIO, context: JobContext, what: str, done: str) -> None:
    trailer = read(file)
    if trailer is None:
        raise UntrustedCheckpoint(_refusal(context, what, done, "it is not signed"))
    if trailer.job_id != context.job_id or context.meant_for is not None and (
            trailer.experiment.lower() not in ("", context.meant_for.lower())):
        raise UntrustedCheckpoint(_refusal(context, what, done, "it was signed for job %d of %s" % (
            trailer.job_id, protocol.shown(trailer.experiment) if trailer.experiment
            else "an experiment that is not named")))
    if not fits(file, trailer, to_check(context.keys(), context.environ)):
        raise UntrustedCheckpoint(_refusal(
            context, what, done, "its signature is of no key at hand here, or it was changed"))
    file.truncate(trailer.body)
    file.seek(0)


def _refusal(context: JobContext, what: str, done: str, why: str) -> str:
    return ("%s is not %s, since a checkpoint is a program, and %s: it may be of somebody you share "
            "the experiment with, of a published jd-worker client, or older than this version. If you trust "
            "it: jd_server checkpoint trust %d --expId %s on the server's machine, or "
            "JD_CHECKPOINTS=unsigned in the worker's environment" % (
                what, done, why, context.job_id, context.meant_for or "NAME"))


def _claim(experiment: Optional[str], job_id: int) -> bytes:
    return _JOB.pack(job_id) + (experiment or "").encode("utf-8")


def _macs(keys: Sequence[str], claim: bytes) -> List["hmac.HMAC"]:
    head = _LABEL + _LENGTH.pack(len(claim)) + claim
    return [hmac.new(bytes.fromhex(key), head, "sha256") for key in keys]


def pass_through(file: BinaryIO, size: int, update: Callable[[bytes], None]) -> None:
    """Give the first `size` bytes of a file to `update`."""
    file.seek(0)
    while size:
        data = file.read(min(_CHUNK, size))
        if not data:
            raise OSError(0, "it has become shorter")
        size -= len(data)
        update(data)
