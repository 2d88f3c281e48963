"""Which files of a source tree are packed: a rule, not whatever lies there.

Caches, hidden files and what editors leave behind stay out because nothing lets them in. A file
whose kind is new here must be let in below; a test compares the rule with what git tracks.
"""

import os
from pathlib import Path
from typing import Iterator, List

from jd.dist.archive import Entry
from jd.dist.metadata import ProjectError
from jd.errors import StorageError

PACKAGE = "jd"
PACKAGE_KINDS = frozenset((
    ".py", ".html", ".css", ".js", ".svg", ".png", ".ico", ".json", ".sh", ".sql", ".txt", ".webmanifest"))

SOURCE_FILES = (
    ".ci/run", ".dockerignore", ".editorconfig", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE",
    "Makefile", "README.md", "pyproject.toml")
SOURCE_TREES = ("apptainer", "docker", "docs", PACKAGE, "slurm", "tests")
SOURCE_KINDS = PACKAGE_KINDS | frozenset((
    ".bash", ".cfg", ".conf", ".csv", ".def", ".env", ".example", ".gif", ".gz", ".ini", ".ipynb", ".jpg",
    ".jsonl", ".lsf", ".md", ".mmd", ".pbs", ".pem", ".rst", ".sbatch", ".service", ".sge", ".sh",
    ".slurm", ".toml", ".tsv", ".webp", ".xml", ".yaml", ".yml"))
SOURCE_NAMES = ("Containerfile", "Dockerfile", "Makefile")

MAX_FILES = 20000
MAX_FILE = 32 * 1024 * 1024  # bytes


def package_files(root: Path) -> List[str]:
    """Paths relative to `root`, with slashes, sorted: what a wheel carries."""
    return sorted(name for name in _walk(root, PACKAGE) if _suffix(name) in PACKAGE_KINDS)


def tree_files(root: Path, tree: str) -> List[str]:
    """Paths relative to `root`, with slashes, sorted: one tree of those that an sdist carries."""
    if tree == PACKAGE:
        return package_files(root)
    return sorted(name for name in _walk(root, tree) if _is_source(root, name))


def source_files(root: Path) -> List[str]:
    """Paths relative to `root`, with slashes, sorted: what an sdist carries."""
    found = [name for name in SOURCE_FILES if (root / name).is_file()]
    for tree in SOURCE_TREES:
        found += tree_files(root, tree)
    return sorted(found)


def read_entry(root: Path, name: str) -> Entry:
    """A file of the tree, executable if it starts with `#!`: mode bits do not survive every file
    system. Raises what `read_bytes` does."""
    data = read_bytes(root, name)
    return Entry(name, data, executable=data[:2] == b"#!")


def read_bytes(root: Path, name: str) -> bytes:
    """A file of the tree. Raises StorageError, or ProjectError for one that cannot be packed."""
    path = root / name
    if path.is_symlink():
        raise ProjectError("%s is a symbolic link" % path,
                           "only files can be packed: remove it or put the file in its place")
    try:
        with open(str(path), "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise StorageError("cannot read %s: %s" % (path, error.strerror)) from None
    if len(data) > MAX_FILE:
        raise ProjectError("%s is larger than %d MiB" % (path, MAX_FILE >> 20),
                           "that is no source file: remove it")
    return data


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1]


def _is_source(root: Path, name: str) -> bool:
    base = name.rsplit("/", 1)[-1]
    if _suffix(name) in SOURCE_KINDS or base.split(".")[0] in SOURCE_NAMES:
        return True
    # Commands without a suffix, such as the scheduler doubles of the tests, are known by their #!.
    return "." not in base and read_bytes(root, name)[:2] == b"#!"


def _walk(root: Path, tree: str) -> Iterator[str]:
    """Every file below `root/tree` that is not hidden, cached or a backup."""
    count = 0
    for directory, subdirectories, files in os.walk(str(root / tree), onerror=_unreadable):
        subdirectories[:] = [name for name in subdirectories
                             if not name.startswith(".") and name != "__pycache__"
                             and not name.endswith(".egg-info")]
        below = os.path.relpath(directory, str(root)).replace(os.sep, "/")
        for name in files:
            if name.startswith(".") or name.endswith("~"):
                continue
            if not (below + name).isascii() or not (below + name).isprintable():
                # Other names come out differently under other locales.
                raise ProjectError("%s/%s: only plain ASCII names can be packed" % (below, ascii(name)),
                                   "rename it")
            count += 1
            if count > MAX_FILES:
                raise ProjectError("%s has more than %d files; that is no source tree"
                                   % (root / tree, MAX_FILES))
            yield below + "/" + name


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a tree that is not there is none to pack
        raise StorageError("cannot read %s: %s" % (error.filename, error.strerror))
