"""The copies that launches with `snapshot=true` run, on disk.

    <experiment's cache>/snapshots/<content>/<name of the directory>/...

`<content>` is the beginning of the hash of all of it, so that launches of the same content share a copy.
It is in use while the registry has a worker whose configuration names it.
"""

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, List, Mapping

from jd import paths
from jd.errors import JdError
from jd.files import safedirs
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row

if TYPE_CHECKING:
    from jd.worker.snapshot import Snapshot

# A launch makes its copy some time before its workers are in the registry.
UNUSED_FOR = 3600.0  # seconds


def place(experiment: str, environ: Mapping[str, str]) -> Path:
    """Where the copies of an experiment go, made if it was not there. Raises UnsafePlace, OSError."""
    directory = paths.snapshots_dir(experiment, environ)
    safedirs.make(directory, safedirs.CACHE, paths.cache_root(environ))
    return directory


def keep(snapshot: "Snapshot") -> None:
    """Have a copy stay until workers that are about to start are in the registry. Raises JdError where it is
    gone."""
    try:
        os.utime(str(snapshot.directory.parent))
    except OSError as error:
        raise JdError("the snapshot %s of %s is gone: %s" % (snapshot.directory, snapshot.of, error.strerror),
                      "stop the workers, and launch them again") from None


def remove_unused(registry: Registry, environ: Mapping[str, str]) -> None:
    """Remove the copies that no launch uses any more. Raises StorageError for a registry that cannot be
    read."""
    directory = paths.snapshots_dir(registry.experiment, environ)
    try:
        if not safedirs.check(directory, safedirs.CACHE, paths.cache_root(environ)):
            return
        names = os.listdir(str(directory))
    except (OSError, safedirs.UnsafePlace):
        return  # a launch that needs it will say so
    used = _used(registry.rows())
    for name in names:
        copy = directory / name
        try:
            old = time.time() - os.lstat(str(copy)).st_mtime > UNUSED_FOR
        except OSError:
            continue  # another command was faster
        if str(copy) not in used and old:
            remove(copy)
    try:
        os.rmdir(str(directory))
    except OSError:
        pass  # there are others


def _used(rows: List[Row]) -> List[str]:
    found = [row.config.get("snapshot") for row in rows]
    return [os.path.dirname(str(one.get("directory"))) for one in found if isinstance(one, dict)]


def remove(copy: Path) -> None:
    """Remove a copy, whose directories nobody may write to. What cannot be removed stays."""
    for directory, names, _ in os.walk(str(copy)):
        try:
            os.chmod(directory, stat.S_IRWXU)
        except OSError:
            names.clear()
    import shutil
    shutil.rmtree(str(copy), ignore_errors=True)
