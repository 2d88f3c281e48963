"""`--publish-url FILE`: tells workers on other nodes, which share a file system, where the server is.

The first line is the URL, the second the path of the file with the token that workers need, if they
need one. Neither is a secret; the token's file has its own mode.
"""

import os
from pathlib import Path
from typing import Optional

from jd.errors import StorageError
from jd.files import plainfile, safedirs, wholefile
from jd.net.finding import published


def publish(path: Path, url: str, token_file: Optional[Path]) -> None:
    """Write the file, whole or not at all. Raises StorageError, also where others could replace it: no
    worker believes it there."""
    lines = [url] + ([] if token_file is None else [os.path.abspath(str(token_file))])
    try:
        safedirs.make(path.parent.absolute(), published.purpose())
        # For the owner alone to write, whatever the umask: who can write it sends the workers elsewhere.
        wholefile.write(path, "".join(line + "\n" for line in lines).encode("utf-8"), 0o644)
    except OSError as error:
        raise StorageError("--publish-url: cannot write %s: %s" % (path, error.strerror),
                           "choose a directory that exists and can be written") from error


def withdraw(path: Path, url: str) -> None:
    """Remove the file, unless another server has written its own URL meanwhile."""
    try:
        if plainfile.read(path, published.MAX_BYTES).decode("utf-8").split("\n")[0] == url:
            os.unlink(str(path))
    except (OSError, ValueError):
        pass  # gone, or not ours to judge
