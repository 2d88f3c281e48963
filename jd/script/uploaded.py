"""Which files of a job the server has already, in the version that lies there.

The list stands in the file that says whose a job's directory is, `.jd/<job>`, beside that directory and not
in it, because scripts upload every file that they find. Its first line is the mark of the owner
(worker/attempt/files/jobdir.py), then come JSON lines, each written in one piece: `{"data"}`, the server's
data for which the list was begun, and `{"name", "size", "mtime_ns"}` for each file that `jd_upload` or the
worker has sent.
"""

import json
import os
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

from jd.files import plainfile, wholefile

BESIDE = ".jd"  # the directory beside those of jobs that has what is known of them
EARLIER_SUFFIX = ".uploads"  # of the list in a file of its own, as earlier versions had it
MAX_BYTES = 16 * 1024 * 1024

Version = Tuple[int, int]  # size and time of the last change, in ns


def version_of(status: os.stat_result) -> Version:
    """What tells one version of a file from another."""
    return status.st_size, status.st_mtime_ns


def beside(directory: Path, suffix: str = "") -> str:
    """Where something is that is known of a job's directory, the list without a suffix: as text, since each
    job needs several."""
    above, slash, name = str(directory).rpartition(os.sep)
    return above + slash + BESIDE + os.sep + name + suffix


def read(directory: Path) -> Tuple[Optional[str], Dict[str, Version]]:
    """Whose data it is, and versions by path: relative to `directory`, or absolute for a file that lies
    elsewhere. Nothing where there is no list; lines that cannot be read are skipped. Raises OSError."""
    return _read(_lines(directory))


def begun(data: str) -> str:
    """How the list of a directory begins in which nothing is: what follows the mark of its owner."""
    return json.dumps({"data": data}) + "\n"


def begin(directory: Path, data: str, there: Iterable[Tuple[str, Version]]) -> Dict[str, Version]:
    """Begin the list of a directory in which something may be, unless it has one of the same `data`. Returns
    what it has, as `read`.

    `there` are the files that lie in it: they belong to another sweep. Raises OSError.
    """
    lines = _lines(directory)
    owner, known = _read(lines)
    if owner == data:
        return known
    if owner is None:
        owner, known = _read(["", *_lines(directory, EARLIER_SUFFIX)])
    if owner != data:
        known = dict(there)
    mark = lines[0] if lines else ""
    content = [mark + "\n", begun(data), *(_line(name, version) for name, version in known.items())]
    path = Path(beside(directory))
    path.parent.mkdir(exist_ok=True)
    wholefile.write(path, "".join(content).encode("utf-8", "replace"), 0o666)
    return known


def add(directory: Path, path: str, version: Version) -> None:
    """Note that the server has this version of a file, if there is a list. What cannot be noted is
    uploaded once more: that is no failure."""
    real = os.path.realpath(path)
    name = os.path.relpath(real, os.path.realpath(str(directory)))
    if name.startswith(os.pardir):
        name = real
    try:
        fd = os.open(beside(directory), os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    except OSError:
        return
    try:
        # The line break comes first: the line before may be half of one.
        os.write(fd, ("\n" + _line(name, version)).encode("utf-8", "replace"))
    except OSError:
        pass
    finally:
        os.close(fd)


def _lines(directory: Path, suffix: str = "") -> List[str]:
    try:
        content = plainfile.beginning(Path(beside(directory, suffix)), MAX_BYTES)
    except FileNotFoundError:
        return []
    return content.decode("utf-8", "replace").split("\n")


def _read(lines: List[str]) -> Tuple[Optional[str], Dict[str, Version]]:
    data: Optional[str] = None
    versions: Dict[str, Version] = {}
    for line in lines[1:]:
        try:
            entry = json.loads(line)
            if "data" in entry:
                data = str(entry["data"])
            else:
                versions[str(entry["name"])] = int(entry["size"]), int(entry["mtime_ns"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue  # half a line, of a script that was killed
    return data, versions


def _line(name: str, version: Version) -> str:
    return json.dumps({"name": name, "size": version[0], "mtime_ns": version[1]}) + "\n"
