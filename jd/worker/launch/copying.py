"""`snapshot=true`: a launch runs a copy of the directory of its script, as it was then.

The copy has what belongs to the code: in a git repository the files that git knows or would add, elsewhere
all of them; caches, virtual environments and what JD itself writes are left out. It is read-only. Launches
with the same content share one (see `local.snapshots`).
"""

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Dict, Iterator, List, Set, Tuple

from jd import paths
from jd.errors import StorageError, UsageError
from jd.killpoint import killpoint
from jd.terminal import plural
from jd.worker.attempt.calling import entry
from jd.worker.attempt.code import repository
from jd.worker.config import WorkerConfig
from jd.worker.local import snapshots
from jd.worker.snapshot import Snapshot

MAX_BYTES = 100_000_000
MAX_FILES = 10_000
LEFT_OUT = frozenset((".git", ".hg", ".svn", "__pycache__", ".ipynb_checkpoints", ".mypy_cache",
                      ".pytest_cache", ".ruff_cache", ".tox", ".nox", "node_modules"))
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # what is in a virtual environment and nowhere else
_NAME_CHARS = 16  # of the hash
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class _File:
    """A file or link to copy: its path in the directory, and what it was when it was looked at."""

    path: str
    found: os.stat_result

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.found.st_mode)


def taken(config: WorkerConfig) -> WorkerConfig:
    """The configuration with the entry script in a copy that is taken now.

    Raises UsageError for a directory that is too large, and StorageError or UnsafePlace where it cannot be
    copied.
    """
    given = config.entry_script
    if given.is_symlink():  # Python imports from where the script itself lies
        config = replace(config, entry_script=Path(os.path.realpath(str(given))))
    script = config.entry_script
    root = _directory_of(config)
    try:
        files = _files(root, script, config)
        copy, digest = _copied(root, files, snapshots.place(config.experiment, config.environ))
    except OSError as error:
        raise StorageError("the snapshot of %s cannot be taken: %s: %s" % (
            root, error.filename, error.strerror), "see JD_CACHE_PATH, or leave snapshot= out") from None
    found = repository.find(script.parent)
    state = repository.State() if found is None else repository.state(found, config.environ)
    snapshot = Snapshot(given, root, copy, digest, state.commit, state.clean)
    return replace(config, entry_script=copy / script.relative_to(root), snapshot=snapshot)


def _directory_of(config: WorkerConfig) -> Path:
    """The directory that is copied: that of the script, or what its package is in."""
    command, script = entry.command(entry.of(config)), config.entry_script
    root = Path(command.before or command.behind or script.parent)
    if root not in script.parents:
        raise UsageError("snapshot=: the module %s lies in %s, not below the directory of the launch, %s" % (
            config.module, script.parent, root), "leave snapshot= out: what is installed stays as it is")
    return root


# ---- what is copied

def _files(root: Path, script: Path, config: WorkerConfig) -> List[_File]:
    """What to copy, by path. Raises UsageError for more than the limits allow."""
    chosen: List[_File] = []
    own = str(script.relative_to(root))  # which is meant even where it is ignored
    for path in chain([own], (path for path in _Code(root, config).paths() if path != own)):
        try:
            found = os.lstat(os.path.join(str(root), path))
        except FileNotFoundError:
            continue  # of the repository, and removed here
        if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            chosen.append(_File(path, found))
        if len(chosen) > MAX_FILES:
            raise UsageError("snapshot=: %s has more than %d files" % (root, MAX_FILES), _way_out(script))
    total = sum(file.found.st_size for file in chosen)
    if total > MAX_BYTES:
        largest = max(chosen, key=lambda file: file.found.st_size)
        raise UsageError("snapshot=: %s has %s in %s, and at most %s are copied; the largest is %s (%s)" % (
            root, _size(total), plural(len(chosen), "file"), _size(MAX_BYTES), largest.path,
            _size(largest.found.st_size)), _way_out(script))
    return sorted(chosen, key=lambda file: file.path)


def _way_out(script: Path) -> str:
    return ("keep data elsewhere, or in a git repository list it in .gitignore; or move %s into a directory "
            "of its own" % script.name)


def _size(number: int) -> str:
    return "%.1f GB" % (number / 1e9) if number >= 1e9 else "%.1f MB" % (number / 1e6)


class _Code:
    """Which files of a directory are the code's."""

    def __init__(self, root: Path, config: WorkerConfig) -> None:
        self._root = str(root)
        self._environ = config.environ
        self._own = {os.path.realpath(str(place)) for place in (  # what workers write, wherever it is
            paths.data_root(config.environ), paths.cache_root(config.environ), config.log_file("").parent)}
        self._known: Dict[str, bool] = {}

    def paths(self, below: str = "") -> Iterator[str]:
        """The paths in the directory of files and links in its subdirectory `below`."""
        directory = Path(self._root, below)
        listed = repository.files(directory, self._environ)
        if listed is None:
            yield from self._walked(below)
            return
        for name in listed:
            path = os.path.join(below, name)
            if any(self._is_none(parent) for parent in _parents(path)):
                continue
            full = os.path.join(self._root, path)
            if os.path.isdir(full) and not os.path.islink(full):  # a repository of its own
                yield from () if self._is_none(path) else self.paths(path)
            else:
                yield path

    def _walked(self, below: str) -> Iterator[str]:
        """The same where git does not tell."""
        with os.scandir(os.path.join(self._root, below)) as entries:
            for found in sorted(entries, key=lambda found: found.name):
                path = os.path.join(below, found.name)
                if not found.is_dir(follow_symlinks=False):
                    yield path
                elif not self._is_none(path):
                    yield from self._walked(path)

    def _is_none(self, path: str) -> bool:
        """Whether a directory is none of the code's."""
        if path not in self._known:
            full = os.path.join(self._root, path)
            self._known[path] = (os.path.basename(path) in LEFT_OUT or os.path.realpath(full) in self._own
                                 or any(os.path.exists(os.path.join(full, mark)) for mark in _ENVIRONMENTS))
        return self._known[path]


def _parents(path: str) -> Iterator[str]:
    """The directories that a path leads through, from above."""
    at = path.find("/")
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)


# ---- the copy

def _copied(root: Path, files: List[_File], place: Path) -> Tuple[Path, str]:
    """Copy files of `root` below `place`; the copy, which may have been there, and its hash.

    Raises OSError.
    """
    draft = place / (".%s.tmp" % os.urandom(6).hex())
    name = root.name or "root"
    digest = hashlib.sha256(os.fsencode(name))
    try:
        os.mkdir(str(draft), stat.S_IRWXU)
        names = {file.path for file in files}
        for file in files:
            target = draft / name / file.path
            os.makedirs(str(target.parent), stat.S_IRWXU, exist_ok=True)
            content = (_link(root, file, names, target) if file.is_link
                       else _content(root / file.path, target, file.found.st_mode & stat.S_IXUSR))
            digest.update(b"\0%s\0%s" % (os.fsencode(file.path), content))
        for directory, _, _ in os.walk(str(draft / name)):
            os.chmod(directory, stat.S_IRUSR | stat.S_IXUSR)
        final = place / digest.hexdigest()[:_NAME_CHARS]
        if not _is_there(final):
            try:
                killpoint("snapshot.before-rename")
                os.rename(str(draft), str(final))
                killpoint("snapshot.after-rename")
            except OSError:
                if not _is_there(final):  # another launch was faster
                    raise
        return final / name, digest.hexdigest()
    finally:
        if draft.exists():
            snapshots.remove(draft)


def _is_there(copy: Path) -> bool:
    """Whether a copy is there, and stays for now."""
    try:
        os.utime(str(copy))
    except FileNotFoundError:
        return False
    return True


def _content(source: Path, target: Path, executable: int) -> bytes:
    """Copy a file; its kind and hash."""
    digest = hashlib.sha256()
    mode = stat.S_IRUSR | (stat.S_IXUSR if executable else 0)
    handle = os.open(str(target), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(handle, "wb") as copy, open(str(source), "rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            digest.update(chunk)
            copy.write(chunk)
    return b"%c%s" % (b"x" if executable else b"f", digest.digest())


def _link(root: Path, file: _File, names: Set[str], target: Path) -> bytes:
    """Copy a link: what it leads to in the copy if that is there, else where it has always led."""
    leads = os.readlink(str(root / file.path))
    if not os.path.isabs(leads):
        inside = os.path.normpath(os.path.join(os.path.dirname(file.path), leads))
        if inside not in names and not any(name.startswith(inside + "/") for name in names):
            leads = os.path.normpath(os.path.join(str((root / file.path).parent), leads))
    os.symlink(leads, str(target))
    return b"l" + os.fsencode(leads)
