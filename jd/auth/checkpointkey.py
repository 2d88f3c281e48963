"""The keys that checkpoints are signed with, which all workers of one owner have and nobody else.

A key is 64 hexadecimal digits. It comes from one of these places:

    the Hub                     `checkpoint_key` of its token answer: the same for all API keys of a user
    the token of the server     JD_SERVER_TOKEN(_FILE), or the one in the access file of the experiment
    the server itself           `checkpoint_key` of a heartbeat answer: made from its own token, for workers
                                that the kernel tells to be its owner's
    an API key                  of a Hub that gives no checkpoint key
    <home>/.jd/checkpoint.key   made at first use

A checkpoint is signed with all keys that are at hand, and one that fits is enough to accept it. So two
workers of an owner accept each other's checkpoints if they have any of these keys in common. No text made
here repeats a key.
"""

import errno
import hmac
import os
import re
import secrets
import stat
import time
from pathlib import Path
from typing import List, Mapping, Optional, Sequence

from jd import paths, settings
from jd.auth import sharedtoken
from jd.errors import JdError, StorageError
from jd.files import safedirs
from jd.killpoint import killpoint
from jd.net.finding import accessfile

VARIABLE = "JD_CHECKPOINT_KEY"  # what a worker tells its scripts: keys with commas between them
MAX_KEYS = 8
_KEY = re.compile(r"[0-9a-f]{64}")
_CONTEXT = "jd checkpoint key v1: "
_FILE = "checkpoint.key"
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)
_PATIENCE = 5.0  # seconds for another process that is writing the file, where there are no links
_LOOK_EVERY = 0.02


def of_token(token: str) -> str:
    """The key of who has the token of a server."""
    return _derived("server token", token)


def of_api_key(api_key: str) -> str:
    """The key of who has an API key."""
    return _derived("api key", api_key)


def _derived(purpose: str, secret: str) -> str:
    return hmac.new(secret.encode("utf-8", "surrogatepass"), (_CONTEXT + purpose).encode("ascii"),
                    "sha256").hexdigest()


def is_key(text: object) -> bool:
    """Whether it has the form of a key."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def joined(keys: Sequence[str]) -> str:
    """Keys as the value of VARIABLE."""
    return ",".join(keys)


def of_script(experiment: Optional[str], environ: Mapping[str, str]) -> List[str]:
    """What a script has without its home: the keys that its worker gave, else those that it could
    find out itself. Raises StorageError and UsageError for a token that cannot be used."""
    given = environ.get(VARIABLE, "").strip()
    if given:
        return distinct([key for key in given.split(",") if is_key(key)])
    keys = standalone(experiment, environ)
    api_key = settings.value_of(settings.WORKER, "api_key", environ)
    return distinct(keys + ([] if api_key is None else [of_api_key(api_key)]))


def standalone(experiment: Optional[str], environ: Mapping[str, str]) -> List[str]:
    """The keys of the tokens of a server without a Hub: the one in the environment, and the one in the
    access file of the experiment. Raises as `worker_token`."""
    tokens = [sharedtoken.worker_token(environ)]
    if experiment is not None:
        try:
            place = accessfile.find(experiment, environ)
            tokens.append(None if place is None else place.token)
        except JdError:
            pass  # others could have written or read it: what it says is nobody's
    return [of_token(token) for token in tokens if token is not None]


def distinct(keys: Sequence[str]) -> List[str]:
    """Each key once, the first MAX_KEYS."""
    return list(dict.fromkeys(keys))[:MAX_KEYS]


def to_sign(keys: Sequence[str], environ: Mapping[str, str] = os.environ) -> List[str]:
    """What to sign with: `keys`, and the one of the home directory, which is made.

    A home that cannot keep one does no harm beside other keys; without any, raises JdError.
    """
    try:
        own = home_key(environ)
    except JdError as error:
        if keys:
            return distinct(keys)
        raise JdError(
            "a checkpoint has to be signed, and there is no key for it: %s. Set HOME to a directory of "
            "your own that all your workers see, or JD_SERVER_TOKEN_FILE to the token of the server"
            % error) from error
    return distinct([*keys[:MAX_KEYS - 1], own])


def to_check(keys: Sequence[str], environ: Mapping[str, str] = os.environ) -> List[str]:
    """What a signature may be made with: `keys`, and the one of the home directory if there is one.

    Raises JdError where that is the only one and cannot be used: others may have read it.
    """
    try:
        path = key_file(environ)
        own = [_read(path)] if os.path.lexists(str(path)) else []
    except JdError:
        if not keys:
            raise
        own = []
    return list(dict.fromkeys([*keys, *own]))


# ---- the key of the home directory

def key_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the key of the home directory is. Raises UsageError where there is no home."""
    return paths.home(environ) / ".jd" / _FILE


def home_key(environ: Mapping[str, str] = os.environ) -> str:
    """The key of the home directory, made at first use; of several processes that make it at the same
    moment all get the same.

    Raises StorageError where it cannot be kept, or belongs to or can be read by others; UsageError
    without a home.
    """
    path = key_file(environ)
    if not os.path.lexists(str(path)):
        try:
            _make(path)
        except OSError as error:
            raise StorageError("%s cannot be made: %s" % (path, error.strerror or error)) from error
    return _read(path)


def _make(path: Path) -> None:
    safedirs.make(path.parent, safedirs.KEYS)
    content = secrets.token_hex(32).encode("ascii") + b"\n"
    draft = path.with_name(".%s.%s" % (_FILE, secrets.token_hex(4)))
    try:
        _write(draft, content)
        try:
            killpoint("checkpointkey.before-rename")
            os.link(str(draft), str(path))  # all of it or nothing, and never over another one
        except FileExistsError:
            pass
        except OSError as error:
            # A file system without links. NFS may also say no to what it did: the file tells.
            if error.errno not in _NO_LINKS and not os.path.lexists(str(path)):
                raise
            try:
                _write(path, content)
            except FileExistsError:
                pass
    finally:
        try:
            os.unlink(str(draft))
        except FileNotFoundError:
            pass


def _write(path: Path, content: bytes) -> None:
    handle = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o600)
        file.write(content)
        file.flush()
        os.fsync(handle)


def _read(path: Path) -> str:
    """The key in the file. Raises StorageError."""
    try:
        safedirs.check(path.parent, safedirs.KEYS)
    except OSError as error:
        raise StorageError("%s cannot be read: %s" % (path, error.strerror or error)) from None
    until = time.monotonic() + _PATIENCE
    while True:
        content = _content(path)
        if is_key(content.strip()):
            return content.strip()
        if len(content) > 64 or time.monotonic() >= until:
            raise StorageError("%s holds no key" % path,
                               "remove it, and another is made: what was signed with the old one alone is "
                               "then refused")
        time.sleep(_LOOK_EVERY)  # another process is writing it


def _content(path: Path) -> str:
    try:
        handle = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            _check(path, status)
            return file.read(100).decode("latin-1")
    except OSError as error:
        raise StorageError("%s cannot be read: %s" % (
            path, "it is a link" if error.errno == errno.ELOOP else error.strerror or error)) from None


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StorageError("%s is not used: it is no file" % path, "remove it")
    if status.st_uid != os.geteuid():
        raise StorageError("%s is not used: it belongs to uid %d" % (path, status.st_uid),
                           "set HOME to a directory of your own")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise StorageError("%s is not used: others may have read or written it (mode %04o)"
                           % (path, stat.S_IMODE(status.st_mode)),
                           "remove it, and another is made: what was signed with the old one alone is "
                           "then refused")
