"""The git repository that a directory is in: its commit, and whether anything else is there than that.

The commit is read from the files of the repository, as gitrepository-layout(5) describes them; only git
itself can tell whether the directory is clean, and which files belong to it. git runs for a bounded time:
a repository may be large, or on a file server that is away.
"""

import os
import re
from pathlib import Path
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from jd.node import helpers

STATUS_TIME = 10.0  # seconds
LIST_TIME = 60.0
_MAX_FILE = 4 * 1024 * 1024  # of packed-refs; the others are a line
_COMMIT = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")
_MAX_LINKS = 5  # from one symbolic reference to the next

Signature = Tuple[object, ...]


class State(NamedTuple):
    """What is checked out. `clean` is None where git could not be asked: then something else may be there."""

    commit: Optional[str] = None
    clean: Optional[bool] = None


class Repository(NamedTuple):
    """A repository: the directory of its checkout, its `.git`, and what several checkouts have in common."""

    top: Path
    own: Path
    common: Path

    def signature(self) -> Signature:
        """Something that is another one after a commit, a checkout, `git add` and the like."""
        return tuple(_stamp(self.own / name) for name in ("HEAD", "index", "logs/HEAD"))

    def commit(self) -> Optional[str]:
        """The commit that is checked out; None for none, or where the files do not tell."""
        text = _read(self.own / "HEAD")
        for _ in range(_MAX_LINKS):
            if not text.startswith("ref: "):
                break
            name = text[len("ref: "):]
            text = _read(self.own / name) or _read(self.common / name) or self._packed(name)
        return text if _COMMIT.fullmatch(text) else None

    def _packed(self, name: str) -> str:
        for line in _read(self.common / "packed-refs").splitlines():
            commit, _, reference = line.partition(" ")
            if reference == name:
                return commit
        return ""


def find(directory: Path) -> Optional[Repository]:
    """The repository that a directory is in, if it is in one."""
    for top in (directory, *directory.parents):
        own = top / ".git"
        if own.is_file():  # of a work tree or a submodule: it says where the rest is
            link = _read(own)
            own = top / link[len("gitdir: "):] if link.startswith("gitdir: ") else own
        if (own / "HEAD").is_file():
            common = _read(own / "commondir")
            return Repository(top, own, own / common if common else own)
    return None


def state(repository: Repository, environ: Mapping[str, str]) -> State:
    """What is checked out, and whether no file of it was changed since. Files that git does not know make no
    difference: jobs write some."""
    commit = repository.commit()
    output = helpers.output_of(
        # Without the monitor: that would be a process that stays.
        ("git", "-c", "core.fsmonitor=false", "status", "--porcelain=v2", "--branch",
         "--untracked-files=no"), _environ(environ), STATUS_TIME, str(repository.top))
    lines = (output or b"").decode("utf-8", "replace").splitlines()
    told = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), None)
    if told is None:
        return State(commit)
    return State(commit or (told if _COMMIT.fullmatch(told) else None),
                 all(line.startswith("#") for line in lines))


def files(directory: Path, environ: Mapping[str, str]) -> Optional[List[str]]:
    """The files below a directory that git knows, or would add: their paths there. What is a repository of
    its own is named as a directory. None where git is not there, or the directory is in no repository."""
    output = helpers.output_of(("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
                               _environ(environ), LIST_TIME, str(directory))
    if not output:
        return None  # also where all is ignored: then ignoring is not what was meant
    return sorted({os.fsdecode(name).rstrip("/") for name in output.split(b"\0") if name})


def _environ(environ: Mapping[str, str]) -> Dict[str, str]:
    """That of a git that looks at the repository in which it is started, and changes nothing."""
    kept = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    return dict(kept, GIT_OPTIONAL_LOCKS="0", LC_ALL="C")


def _read(path: Path) -> str:
    try:
        with open(str(path), "rb") as file:
            return file.read(_MAX_FILE).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _stamp(path: Path) -> object:
    try:
        found = os.stat(str(path))
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
