"""`collect=`: which files of a job's directory go to the server when its script has ended.

Patterns are relative to the job's directory: `*`, `?` and `[…]` stay within one name, `**` stands
for any number of directories, and a name that begins with a dot is matched by a dot only.
Links are not followed: a link to a data set is no output.
"""

import fnmatch
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from jd import protocol
from jd.script import uploaded
from jd.script.uploaded import Version

MAX_FILES = 500  # of one attempt; the server takes 10,000 of a job
MAX_TOTAL_BYTES = 1024 ** 3
MAX_LOOKED_AT = 100_000
MAX_DEPTH = 32
CHECKPOINTS = "jd_checkpoint"  # the parent of the checkpoint directories, in the job's directory

Left = Tuple[str, str]  # a name, and why it was not collected


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


@dataclass
class Selection:
    """What to upload, the first pattern's files first, and what not, with why."""

    files: List[File] = field(default_factory=list)
    left: List[Left] = field(default_factory=list)


def select(directory: Path, wanted: Sequence[str], known: Dict[str, Version]) -> Selection:
    """The files of `directory` that match and are not `known` to the server as they are.

    What is beyond the limits is left, with a reason for each. Raises OSError for a directory that
    cannot be read.
    """
    split = [[part for part in pattern.split("/") if part not in ("", ".")] for pattern in wanted]
    found: List[Tuple[int, str, File]] = []
    selection = Selection()
    for number, (name, path, status) in enumerate(regular_files(directory)):
        if number >= MAX_LOOKED_AT:
            selection.left.append(("the rest", "only %d files were looked at" % MAX_LOOKED_AT))
            break
        parts = name.split("/")
        matching = [index for index, pattern in enumerate(split) if matches(pattern, parts)]
        if matching and known.get(name) != uploaded.version_of(status):
            found.append((matching[0], name, File(name, path, uploaded.version_of(status))))
    total = 0
    for _, name, file in sorted(found, key=lambda entry: entry[:2]):
        size = file.version[0]
        if size > protocol.MAX_FILE_BYTES:
            selection.left.append((name, "larger than %d MB" % (protocol.MAX_FILE_BYTES >> 20)))
        elif len(selection.files) >= MAX_FILES:
            selection.left.append((name, "more than %d files" % MAX_FILES))
        elif total + size > MAX_TOTAL_BYTES:
            selection.left.append((name, "more than %d MB together" % (MAX_TOTAL_BYTES >> 20)))
        else:
            total += size
            selection.files.append(file)
    return selection


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
            if name in (CHECKPOINTS, uploaded.NAME):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    if depth < MAX_DEPTH:
                        waiting.append((name + "/", entry.path, depth + 1))
                    continue
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                yield name, entry.path, status
