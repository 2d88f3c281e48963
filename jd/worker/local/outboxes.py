"""Where the results of an experiment wait for its server, seen from this machine.

    <JD_CACHE_PATH or ~/.jd_cache>/outbox/<expId>/      near: on its way while the server answers
    <JD_ACCESS_DIR>/outbox/<expId>/, if that is set     lasting: once the server is away, the first
    ~/.jd/outbox/<expId>/                               of these two that can be used

A result that waits is a file `<job>-<attempt>-<random>.json`, whoever delivers it has renamed it to
`<job>-<attempt>-<random>@<holder>.json`, and its files are in a directory of their own beside it.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

from jd import paths
from jd.errors import StorageError, UsageError
from jd.files import plainfile, safedirs
from jd.files.safedirs import UnsafePlace
from jd.killpoint import killpoint
from jd.protocol import is_experiment_name
from jd.shape import NamedTuple
from jd.worker.local import caches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import AbstractSet, Iterable, Iterator, Mapping

SUFFIX = ".json"
FILES_NAME = re.compile(r"[A-Za-z0-9-]{1,100}\.files")  # of the directory of a result's files
MAX_ENTRY_BYTES = 1024 * 1024  # a result is some KiB; anything larger is no entry of ours
# An author of an earlier version that nothing is known of has delivered its result by then, or is gone.
ABANDONED = 3600.0  # seconds


class Place(NamedTuple):
    """A directory where results wait. `top` is the part of it that the user named. It is made, but `needs` is
    not."""

    path: Path
    purpose: safedirs.Purpose
    top: Path
    needs: Path | None = None

    @property
    def is_possible(self) -> bool:
        """Whether what is never made for it is there."""
        return self.needs is None or self.needs.is_dir()

    def make(self) -> None:
        """Raises UnsafePlace, OSError."""
        safedirs.make(self.path, self.purpose, self.top)

    def names(self) -> list[str]:
        """Of the results in it, in no order that means something. Raises UnsafePlace, OSError."""
        try:
            if not safedirs.check(self.path, self.purpose, self.top):
                return []
            return sorted(filter(is_entry, os.listdir(str(self.path))))
        except FileNotFoundError:
            return []


def is_entry(name: str) -> bool:
    """Whether a file of an outbox is a result, by its name."""
    return name.endswith(SUFFIX) and not name.startswith(".")


def near(experiment: str, environ: Mapping[str, str]) -> Place:
    """In the cache of this worker, which may be gone with an allocation. Raises UsageError without a home."""
    return Place(paths.outbox_root(environ) / experiment, safedirs.CACHE, paths.cache_root(environ))


def lasting(experiment: str, environ: Mapping[str, str]) -> list[Place]:
    """Places that outlast an allocation and that all nodes share, the best one first."""
    return [Place(root / experiment, safedirs.OUTBOX, root.parent, needs)
            for root, needs in paths.lasting_outbox_roots(environ)]


def first(experiment: str, environ: Mapping[str, str]) -> Place:
    """The place where results are to wait: the best lasting one that is there, else the cache. Raises
    UsageError without a home."""
    possible = [place for place in lasting(experiment, environ) if place.is_possible]
    return possible[0] if possible else near(experiment, environ)


def beside(experiment: str, environ: Mapping[str, str]) -> list[Place]:
    """Where other launches may have left results: the cache that is used without JD_CACHE_PATH."""
    return [near(experiment, other) for other in caches.others(environ)]


def in_cache(experiment: str, environ: Mapping[str, str]) -> list[Place]:
    """The places in the cache, also that of earlier versions. Raises UsageError where no home is known."""
    return [near(experiment, environ), Place(paths.old_outbox_dir(experiment, environ), safedirs.CACHE,
                                             paths.cache_root(environ))]


def everywhere(experiment: str, environ: Mapping[str, str]) -> list[Place]:
    """All places where results of an experiment may wait, also those of earlier versions."""
    found = lasting(experiment, environ)
    for cache in [environ, *caches.others(environ)]:
        try:
            found += in_cache(experiment, cache)
        except UsageError:
            pass  # neither a home directory nor JD_CACHE_PATH
    return found


def waiting(places: Iterable[Place]) -> list[Path]:
    """All results in some places that no server has taken yet. Raises StorageError."""
    found: list[Path] = []
    for place in places:
        try:
            found += [place.path / name for name in place.names()]
        except OSError as error:
            raise StorageError("cannot read %s, where results wait for the server: %s"
                               % (place.path, error.strerror)) from None
    return found


def known(environ: Mapping[str, str], cached: bool = False) -> list[str]:
    """Experiments that have a registry here, or results that wait; `cached`: in the cache. Raises
    StorageError, UnsafePlace."""
    names = set(caches.experiments(environ))
    roots = [paths.outbox_root(environ)]
    if not cached:
        roots += [root for root, _ in paths.lasting_outbox_roots(environ)]
        roots += [paths.outbox_root(cache) for cache in caches.others(environ)]
    for root in roots:
        names.update(name for name in _directories(root) if any(
            is_entry(entry) for entry in _listed(root / name)))
    return sorted(names)


def authors(experiment: str, environ: Mapping[str, str]) -> set[str]:
    """The workers whose results wait for their server, as far as that can be read."""
    found: set[str] = set()
    for place in everywhere(experiment, environ):
        try:
            found.update(_author(place.path / name) for name in place.names())
        except (OSError, UnsafePlace):
            continue
    return found


def old_ones(environ: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Experiments for which an earlier version has made an outbox, each with the surroundings of its cache.

    Raises StorageError, UnsafePlace.
    """
    for cache in [environ, *caches.others(environ)]:
        for name in caches.experiments(cache):
            if paths.old_outbox_dir(name, cache).is_dir():
                yield name, cache


def carry_over(experiment: str, environ: Mapping[str, str], alive: AbstractSet[str],
               now: float | None = None) -> int:
    """Move results that workers of earlier versions left beside the registry to where no published client
    removes them. Those of the workers `alive`, which deliver them themselves, stay. How many were moved.

    Raises StorageError.
    """
    old = Place(paths.old_outbox_dir(experiment, environ), safedirs.CACHE, paths.cache_root(environ))
    to = near(experiment.lower(), environ)  # earlier versions told names apart by their case
    time_now = time.time() if now is None else now
    moved = 0
    try:
        for name in old.names():
            path = old.path / name
            if _author(path) in alive and time_now - os.stat(str(path)).st_mtime < ABANDONED:
                continue
            to.make()
            files = _files_of(path)
            if files is not None and os.path.isdir(str(old.path / files)):
                os.rename(str(old.path / files), str(to.path / files))  # first: a result goes after its files
            killpoint("outboxes.carry-over.before-rename")
            os.rename(str(path), str(to.path / name))
            killpoint("outboxes.carry-over.after-rename")
            moved += 1
    except FileNotFoundError:
        pass  # another command does the same, or a worker has delivered it
    except OSError as error:
        raise StorageError("cannot move the results that wait in %s to %s: %s" % (
            old.path, to.path, error.strerror)) from None
    return moved


def _author(path: Path) -> str:
    return str(_field(path, "worker_id"))


def _files_of(path: Path) -> str | None:
    files = _field(path, "files")
    return files if isinstance(files, str) and FILES_NAME.fullmatch(files) else None


def _field(path: Path, name: str) -> object:
    try:
        body = json.loads(plainfile.read(path, MAX_ENTRY_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return body.get(name) if isinstance(body, dict) else None


def _directories(root: Path) -> Iterator[str]:
    return (name for name in _listed(root) if is_experiment_name(name))


def _listed(path: Path) -> list[str]:
    try:
        return os.listdir(str(path))
    except OSError:
        return []
