"""`--publish-url FILE`: tells workers on other nodes, which share a file system, where the server is.

The first line is the URL, the second the path of the file with the token that workers need, if they
need one. Neither is a secret; the token's file has its own mode.
"""

import os
import secrets
from pathlib import Path
from typing import Optional

from jd import safedirs
from jd.errors import StorageError
from jd.net.finding import published


def publish(path: Path, url: str, token_file: Optional[Path]) -> None:
    """Write the file, whole or not at all. Raises StorageError, also where others could replace it: no
    worker believes it there."""
    lines = [url] + ([] if token_file is None else [os.path.abspath(str(token_file))])
    # Servers on several nodes may write it at once.
    unfinished = path.with_name("%s.%s.tmp" % (path.name, secrets.token_hex(4)))
    try:
        safedirs.make(path.parent.absolute(), published.purpose())
        try:
            # Whatever the umask: who can write it sends the workers elsewhere.
            with open(os.open(str(unfinished), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w",
                      encoding="utf-8") as file:
                file.writelines(line + "\n" for line in lines)
            os.replace(str(unfinished), str(path))
        except OSError:
            _remove(unfinished)
            raise
    except OSError as error:
        raise StorageError("--publish-url: cannot write %s: %s; choose a directory that exists and "
                           "can be written" % (path, error.strerror)) from error


def withdraw(path: Path, url: str) -> None:
    """Remove the file, unless another server has written its own URL meanwhile."""
    try:
        if path.read_text(encoding="utf-8").split("\n")[0] == url:
            _remove(path)
    except (OSError, ValueError):
        pass  # gone, or not ours to judge


def _remove(path: Path) -> None:
    try:
        os.unlink(str(path))
    except OSError:
        pass
