"""The token that a server makes for itself: at its first start, kept beside its data."""

import os
import secrets
from pathlib import Path

from jd.auth.shared import read_token_file
from jd.errors import StorageError

FILE = "token"  # in the server's meta directory
_BYTES = 32


def kept(path: Path) -> str:
    """The token in `path`, made there (mode 0600) if there is none.

    For who holds the data: two at once would make two. Raises StorageError where it can be neither
    read nor written, and UsageError where the file holds something else.
    """
    if not os.path.lexists(str(path)):
        _make(path)
    return read_token_file(path)


def _make(path: Path) -> None:
    draft = path.with_name(".%s.new" % path.name)
    try:
        try:
            os.unlink(str(draft))  # what one that was killed left
        except FileNotFoundError:
            pass
        handle = os.open(str(draft), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(_BYTES) + "\n")
        os.replace(str(draft), str(path))
    except OSError as error:
        raise StorageError("the server's token cannot be kept in %s: %s" % (
            path, error.strerror)) from error
