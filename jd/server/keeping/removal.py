"""The end of an experiment: what a server has kept of it is removed, and nothing else that lies there."""

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Callable, Iterator, List

from jd.errors import StorageError
from jd.killpoint import killpoint
from jd.server.keeping.reading import Place
from jd.server.keeping.repair import stopped

OURS = ("meta", "data", "quarantine")
_DRAFT = ".removing-"


def remove(place: Place, told: Callable[[int], None] = lambda removed: None) -> List[str]:
    """Remove the data. Returns what else is in its directory, which stays with it then; if there is
    nothing, the directory goes too. `told` hears how many files are removed.

    It is out of the way in one step before anything is removed, so that no half of it is ever served.
    Raises JdError where its server runs, StorageError.
    """
    workspace, name = place.directory.parent, place.directory.name
    draft = workspace / ("%s%s-%s" % (_DRAFT, name, secrets.token_hex(4)))
    try:
        with stopped(place, "removed"):
            draft.mkdir(0o700)
            _move(place.directory, draft)
        killpoint("keeping.remove.after-rename")
        finish(workspace, name, told)
        try:
            return sorted(os.listdir(str(place.directory)))
        except FileNotFoundError:
            return []
    except OSError as error:
        raise StorageError("cannot remove %s: %s" % (
            error.filename or place.directory, error.strerror or error),
            "what is left is in %s" % (draft if draft.exists() else place.directory)) from error


def finish(workspace: Path, name: str, told: Callable[[int], None] = lambda removed: None) -> bool:
    """Remove what is out of the way already; whether there was any, as where a removal was killed. Raises
    OSError."""
    removed, found, directory = 0, False, workspace / name
    for left in _out_of_the_way(workspace, name):
        found = True
        if not (directory / "meta").exists():
            _move(directory, left)
            _remove_empty(directory)
        for path in _files(left):
            path.unlink()
            removed += 1
            told(removed)
        shutil.rmtree(str(left))
    return found


def _move(directory: Path, draft: Path) -> None:
    """The database goes first: without it there is no experiment."""
    for part in OURS:
        killpoint("keeping.remove.before-rename")
        if os.path.lexists(str(directory / part)):
            os.rename(str(directory / part), str(draft / part))


def _remove_empty(directory: Path) -> None:
    try:
        os.rmdir(str(directory))
    except OSError:
        pass  # there is something else in it, or it has gone


def _out_of_the_way(workspace: Path, name: str) -> List[Path]:
    wanted = re.compile(re.escape(_DRAFT + name) + "-[0-9a-f]{8}")
    try:
        return sorted(workspace / entry for entry in os.listdir(str(workspace)) if wanted.fullmatch(entry))
    except FileNotFoundError:
        return []


def _files(directory: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(str(directory)):
        for name in names:
            yield Path(parent, name)


def count(place: Place) -> int:
    """How many files would be removed."""
    return sum(1 for part in OURS for _ in _files(place.directory / part))
