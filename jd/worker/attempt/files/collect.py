"""Which files of a job's directory go to the server when its script has ended.

`result.json`, `metrics.json` and `history.csv` always do; with `collect=` what its patterns match. Patterns
are relative to the job's directory: `*`, `?` and `[…]` stay within one name, `**` stands for any number of
directories, and a name that begins with a dot is matched by a dot only. Links are not followed: a link to a
data set is no output.
"""

import fnmatch
import os
import re
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from jd import protocol
from jd.script.uploaded import Version, version_of

RESULTS = ("result.json", "metrics.json", "history.csv")  # directly in the job's directory
MAX_LOOKED_AT = 100_000
MAX_COUNTED = 10_000  # files that are left behind, where nothing else is to be looked for
COUNTING_TIME = 1.0  # seconds: a network file system may be slow
MAX_DEPTH = 32
# How the names of checkpoint directories begin, in the job's directory: `jd_checkpoint-1` for attempt 1. One
# that is being restored is `.partial`; earlier versions had those of all attempts in one directory.
CHECKPOINTS = "jd_checkpoint"
_CHECKPOINTS = re.compile(CHECKPOINTS + r"(-[0-9]+){0,2}(\.partial)?")

Left = Tuple[str, str]  # a name, and why it was not collected
Look = Callable[[str, str, os.stat_result], None]


def patterns(value: str) -> List[str]:
    """The patterns of a `collect=` value, which settingvalues.file_patterns has taken."""
    given = [part.strip() for part in value.split(",") if part.strip()]
    return [part + "**" if part.endswith("/") else part for part in given]


def matches(pattern: Sequence[str], name: Sequence[str]) -> bool:
    """Whether a path fits a pattern, both as lists of components."""
    if not pattern:
        return not name
    first = pattern[0]
    if first != "**":
        return bool(name) and _fits(first, name[0]) and matches(pattern[1:], name[1:])
    if len(pattern) > 1 and matches(pattern[1:], name):
        return True
    if not name or name[0].startswith("."):
        return False
    return matches(pattern, name[1:]) or len(pattern) == 1 and len(name) == 1


def _fits(pattern: str, component: str) -> bool:
    return (fnmatch.fnmatchcase(component, pattern)
            and (pattern.startswith(".") or not component.startswith(".")))


@dataclass(frozen=True)
class File:
    """A file that is to be uploaded. `path` is absolute, `name` relative to the job's directory."""

    name: str
    path: str
    version: Version

    @property
    def upload_name(self) -> str:
        """What it is called by servers and clients that know no directories: `ckpt/a.pt` is `ckpt__a.pt`."""
        return self.name.replace("/", "__")

    @property
    def place(self) -> Optional[str]:
        """Its path, for a server that takes one; None directly in the job's directory."""
        return self.name if "/" in self.name else None

    @property
    def short_name(self) -> str:
        """The end of `upload_name` that a server takes beside a path, however long that is."""
        name = self.upload_name.encode("utf-8", "surrogateescape")[-protocol.MAX_FILE_NAME_BYTES:]
        return name.lstrip(bytes(range(0x80, 0xC0))).decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Rules:
    """What is to be collected, besides RESULTS, and how much of it for one attempt."""

    patterns: Sequence[str] = ()
    max_files: int = 500
    max_bytes: int = 1024 ** 3


@dataclass
class Selection:
    """What to upload, in this order, and what not, with why.

    `old` are result files that were there before the attempt and that the server does not have. `stayed`
    counts the files that nothing asks for and the server does not have, `stayed_bytes` their size; `all_seen`
    is False where there may be more.
    """

    files: List[File] = field(default_factory=list)
    left: List[Left] = field(default_factory=list)
    old: List[str] = field(default_factory=list)
    stayed: int = 0
    stayed_bytes: int = 0
    all_seen: bool = True


def select(directory: Path, rules: Rules, known: Mapping[str, Version], before: Mapping[str, Version],
           count: bool = False) -> Selection:
    """What of `directory` is to be uploaded: not what is `known` to the server as it is, nor a result file
    that was there `before` the attempt, unless a pattern asks for it.

    Result files come first, then small files before large ones: a limit cuts off what matters least. With
    `count` what stays is counted. Raises OSError for a directory that cannot be read.
    """
    split = [[part for part in pattern.split("/") if part not in ("", ".")] for pattern in rules.patterns]
    selection = Selection()
    found: Dict[str, File] = {}

    def look(name: str, path: str, status: os.stat_result) -> None:
        version = version_of(status)
        if known.get(name) == version or name in found or name in selection.old:
            return
        parts = name.split("/")
        asked = any(matches(pattern, parts) for pattern in split)
        if asked or name in RESULTS and before.get(name) != version:
            found[name] = File(name, path, version)
        elif name in RESULTS:
            selection.old.append(name)
        else:
            selection.stayed += 1
            selection.stayed_bytes += version[0]

    for name, status in results_in(directory).items():
        look(name, str(directory / name), status)
    if split or count:
        _walk(directory, look, bool(split), selection)
    _cut(found, rules, selection)
    return selection


def _walk(directory: Path, look: Look, for_patterns: bool, selection: Selection) -> None:
    until = None if for_patterns else time.monotonic() + COUNTING_TIME
    limit = MAX_LOOKED_AT if for_patterns else MAX_COUNTED
    for number, (name, path, status) in enumerate(regular_files(directory)):
        if number >= limit or until is not None and time.monotonic() > until:
            selection.all_seen = False
            break
        look(name, path, status)
    if for_patterns and not selection.all_seen:
        selection.left.append(("the rest", "only %d files were looked at" % limit))


def _cut(found: Mapping[str, File], rules: Rules, selection: Selection) -> None:
    total = 0
    for file in sorted(found.values(), key=_importance):
        size = file.version[0]
        if size > protocol.MAX_FILE_BYTES:
            selection.left.append((file.name, "larger than %d MB" % (protocol.MAX_FILE_BYTES >> 20)))
        elif len(selection.files) >= rules.max_files:
            selection.left.append((file.name, "over the limit of %d files" % rules.max_files))
        elif total + size > rules.max_bytes:
            selection.left.append((file.name, "over the limit of %d MB" % (rules.max_bytes >> 20)))
        else:
            total += size
            selection.files.append(file)


def _importance(file: File) -> Tuple[int, int, str]:
    rank = RESULTS.index(file.name) if file.name in RESULTS else len(RESULTS)
    return rank, file.version[0], file.name


def joined(names: Sequence[str]) -> str:
    """Names in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def results_in(directory: Path) -> Dict[str, os.stat_result]:
    """The result files of a job's directory."""
    there: Dict[str, os.stat_result] = {}
    for name in RESULTS:
        try:
            status = os.lstat(str(directory / name))
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            there[name] = status
    return there


def regular_files(directory: Path) -> Iterator[Tuple[str, str, os.stat_result]]:
    """Relative name, path and status of the regular files below a directory, without what the
    worker itself keeps there. Raises OSError if the directory itself cannot be read."""
    waiting: List[Tuple[str, str, int]] = [("", str(directory), 0)]
    while waiting:
        prefix, path, depth = waiting.pop()
        try:
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            if depth == 0:
                raise
            continue  # removed meanwhile, or not for us
        for entry in entries:
            name = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if depth < MAX_DEPTH and not _CHECKPOINTS.fullmatch(name):
                        waiting.append((name + "/", entry.path, depth + 1))
                    continue
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield name, entry.path, status
