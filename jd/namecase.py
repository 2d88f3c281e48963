"""Names of experiments are lower case. Earlier versions of this program told `Demo` from `demo`, and may have
left directories of such names."""

from __future__ import annotations

import os
from pathlib import Path


def others(directory: Path, name: str) -> list[Path]:
    """What in `directory` differs from `name` in upper and lower case only; nothing where it cannot be
    listed. On a file system that does not tell the two apart, `name` itself is none of them."""
    found: list[Path] = []
    try:
        listed = sorted(os.listdir(str(directory)))
    except OSError:
        return found
    for other in listed:
        if other != name and other.lower() == name.lower() and not _same(directory / other, directory / name):
            found.append(directory / other)
    return found


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(str(one), str(other))
    except OSError:
        return False
