"""Which files of a job the server has already, in the version that lies there.

The list is a file beside the job's directory, `.jd/<job>.uploads`, and not in it, because scripts upload
every file that they find. The worker begins it before the script starts, and `jd_upload` adds what it has
sent. It has JSON lines, each written in one piece: `{"name", "size", "mtime_ns"}`, after a first line
`{"data"}` that says which server's data the directory belongs to.
"""

import json
import os
from pathlib import Path
from typing import Dict, Iterable, Optional, Tuple

from jd.files import plainfile, wholefile

BESIDE = ".jd"  # the directory beside those of jobs that has what is known of them
SUFFIX = ".uploads"
MAX_BYTES = 16 * 1024 * 1024

Version = Tuple[int, int]  # size and time of the last change, in ns


def version_of(status: os.stat_result) -> Version:
    """What tells one version of a file from another."""
    return status.st_size, status.st_mtime_ns


def ledger(directory: Path) -> Path:
    """The list of a job's directory."""
    return Path(beside(directory, SUFFIX))


def beside(directory: Path, suffix: str = "") -> str:
    """Where something is that is known of a job's directory: as text, since each job needs several."""
    above, slash, name = str(directory).rpartition(os.sep)
    return above + slash + BESIDE + os.sep + name + suffix


def read(directory: Path) -> Tuple[Optional[str], Dict[str, Version]]:
    """Whose data it is, and versions by path: relative to `directory`, or absolute for a file that lies
    elsewhere. Nothing where there is no ledger; lines that cannot be read are skipped. Raises OSError."""
    try:
        lines = plainfile.beginning(ledger(directory), MAX_BYTES).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None, {}
    data: Optional[str] = None
    versions: Dict[str, Version] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            if "data" in entry:
                data = str(entry["data"])
            else:
                versions[str(entry["name"])] = int(entry["size"]), int(entry["mtime_ns"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue  # half a line, of a script that was killed
    return data, versions


def begin(directory: Path, data: str, there: Iterable[Tuple[str, Version]],
          is_new: bool = False) -> Dict[str, Version]:
    """Begin the ledger of a directory, unless it is one of the same `data`. Returns what it has, as `read`.

    `there` are the files that lie in it: they belong to another sweep. `is_new`: there are none, since it was
    just made. Raises OSError.
    """
    if is_new:
        try:
            wholefile.create(beside(directory, SUFFIX), _begun(data), 0o666)
            return {}
        except (FileExistsError, FileNotFoundError):
            pass  # that of a directory which somebody has removed; or even the place for it is gone
    owner, known = read(directory)
    if owner == data:
        return known
    known = dict(there)
    lines = [_line(name, version) + "\n" for name, version in known.items()]
    path = ledger(directory)
    path.parent.mkdir(exist_ok=True)
    wholefile.write(path, _begun(data) + "".join(lines).encode("ascii"), 0o666)
    return known


def forget(directory: Path) -> None:
    """Remove the ledger of a directory that is gone."""
    try:
        os.unlink(beside(directory, SUFFIX))
    except OSError:
        pass  # there is none, or it stays: no harm


def add(directory: Path, path: str, version: Version) -> None:
    """Note that the server has this version of a file, if there is a ledger. What cannot be noted is
    uploaded once more: that is no failure."""
    real = os.path.realpath(path)
    name = os.path.relpath(real, os.path.realpath(str(directory)))
    if name.startswith(os.pardir):
        name = real
    try:
        fd = os.open(str(ledger(directory)), os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
    except OSError:
        return
    try:
        # The line break comes first: the line before may be half of one.
        os.write(fd, ("\n" + _line(name, version) + "\n").encode("utf-8", "replace"))
    except OSError:
        pass
    finally:
        os.close(fd)


def _begun(data: str) -> bytes:
    return (json.dumps({"data": data}) + "\n").encode("ascii")


def _line(name: str, version: Version) -> str:
    return json.dumps({"name": name, "size": version[0], "mtime_ns": version[1]})
