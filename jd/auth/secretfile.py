"""A secret that somebody is to read once: on a terminal, else in a file that only they can open.

What is printed to anything but a terminal ends up in a log: of a container, of a batch job, of cron. Logs
are copied and read by others, so the path of the file is printed there instead.
"""

import os
from pathlib import Path

from jd.errors import StorageError
from jd.files import wholefile


def keep(path: Path, secret: str) -> None:
    """Put it into a file of mode 0600, whole, in place of what was there. Raises StorageError.

    Where root does that for another user's data, the file is that user's.
    """
    try:
        with wholefile.replacing(path) as file:
            if os.geteuid() == 0:
                os.fchown(file.fileno(), os.stat(str(path.parent)).st_uid, -1)
            file.write(secret.encode("utf-8") + b"\n")
    except OSError as error:
        raise StorageError("cannot write %s: %s" % (path, error.strerror)) from error


def forget(path: Path) -> None:
    """Remove it: the secret is known, or is one no more."""
    try:
        os.unlink(str(path))
    except OSError:
        pass  # there is none, or it is somebody else's; it opens nothing any more
