"""The token that a server makes for itself: at its first start, kept beside its data."""

import os
import secrets
from pathlib import Path

from jd.auth import secretfile
from jd.auth.sharedtoken import read_token_file

FILE = "token"  # in the server's meta directory
_BYTES = 32


def kept(path: Path) -> str:
    """The token in `path`, made there (mode 0600) if there is none.

    For who holds the data: two at once would make two. Raises StorageError where it can be neither
    read nor written, and UsageError where the file holds something else.
    """
    if not os.path.lexists(str(path)):
        secretfile.keep(path, secrets.token_urlsafe(_BYTES))
    return read_token_file(path)
