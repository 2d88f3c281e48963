"""Names of experiments are lower case. Earlier versions of this program told `Demo` from `demo`, and may have
left directories of such names."""

import os
from pathlib import Path
from typing import List


def others(directory: Path, name: str) -> List[Path]:
    """What in `directory` differs from `name` in upper and lower case only; nothing where it cannot be
    listed. On a file system that does not tell the two apart, `name` itself is none of them."""
    found: List[Path] = []
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
