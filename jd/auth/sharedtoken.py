"""The shared token of a server without a Hub: one secret that the server reads from a file and its workers
send as `Authorization: Bearer …`.

No text made here repeats a token.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from jd import settings
from jd.errors import StorageError, UsageError
from jd.files import plainfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

MIN_TOKEN_CHARS = 16  # fewer could be guessed through an open port
MAX_TOKEN_CHARS = 512
_ALLOWED = "%d to %d printable ASCII characters without spaces" % (MIN_TOKEN_CHARS, MAX_TOKEN_CHARS)
_HINT = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


def _checked(token: str, origin: str) -> str:
    if not token:
        raise UsageError("%s is empty" % origin, "give a token of %s" % _ALLOWED, _HINT)
    if not all("!" <= character <= "~" for character in token):
        raise UsageError("%s holds something that cannot be a token: it must be one line of %s"
                         % (origin, _ALLOWED))
    if not MIN_TOKEN_CHARS <= len(token) <= MAX_TOKEN_CHARS:
        raise UsageError("%s holds a token of %s%d characters"
                         % (origin, "more than " if len(token) > MAX_TOKEN_CHARS else "",
                            min(len(token), MAX_TOKEN_CHARS)),
                         "it must have %s" % _ALLOWED, _HINT)
    return token


def read_token_file(path: str | Path) -> str:
    """The token in a file of one line; blanks around it do not count.

    Raises StorageError when the file cannot be read and UsageError when it holds no token of 16 to
    512 printable ASCII characters.
    """
    origin = "token file %s" % path
    try:
        content = plainfile.read_given(path, 2 * MAX_TOKEN_CHARS)
    except FileNotFoundError:
        raise StorageError("%s does not exist" % origin, "check the path, or %s > FILE" % _HINT) from None
    except IsADirectoryError:
        raise StorageError("%s is a directory" % origin, "give the file in it") from None
    except OSError as error:
        raise StorageError("%s cannot be read: %s" % (origin, error.strerror or error),
                           "check its owner and mode") from None
    return _checked(content.decode("latin-1").strip(" \t\r\n"), origin)


def is_exposed(path: str | Path) -> bool:
    """Whether group or others may read the file: worth a warning. False if it cannot be seen."""
    try:
        return bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))
    except OSError:
        return False


def worker_token(environ: Mapping[str, str] = os.environ) -> str | None:
    """The token a worker sends: from JD_SERVER_TOKEN_FILE, else JD_SERVER_TOKEN, else none.

    Raises StorageError and UsageError as `read_token_file` does.
    """
    path = settings.value_of(settings.WORKER, "JD_SERVER_TOKEN_FILE", environ)
    if path is not None:
        return read_token_file(path)
    token = settings.value_of(settings.WORKER, "JD_SERVER_TOKEN", environ)
    return None if token is None else _checked(token, "JD_SERVER_TOKEN")


def bearer(header_value: str | None) -> str | None:
    """The token of an `Authorization` header; None for another scheme or a malformed value.

    The scheme's case does not count (RFC 9110, 11.1).
    """
    parts = (header_value or "").split()
    if len(parts) != 2 or parts[0].lower() != "bearer":
        return None
    return parts[1]


def same(a: str, b: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    import hmac  # which brings OpenSSL: only who is asked compares
    return hmac.compare_digest(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))
