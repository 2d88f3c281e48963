"""What a launch with `snapshot=true` knows of the copy that its jobs run."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from jd.fields import take


@dataclass(frozen=True)
class Snapshot:
    """A copy of `source`, the directory of the script `of`; it is `directory`. `hash` is the SHA-256 of its
    files, their names and whether they are executable; `commit` and `clean` are as they were then."""

    of: Path
    source: Path
    directory: Path
    hash: str
    commit: Optional[str] = None
    clean: Optional[bool] = None

    def python_path(self, given: str, launch: Path) -> str:
        """PYTHONPATH, as a launch from the directory `launch` means it, with the copy for what was copied."""
        entries = []
        for entry in given.split(os.pathsep) if given else ():
            place = os.path.realpath(os.path.join(str(launch), entry))
            inside = os.path.relpath(place, os.path.realpath(str(self.source)))
            if inside != os.pardir and not inside.startswith(os.pardir + os.sep):
                entry = os.path.normpath(os.path.join(str(self.directory), inside))
            entries.append(entry)
        return os.pathsep.join(entries)

    def to_json(self) -> Dict[str, object]:
        """As the registry keeps it."""
        return {name: str(value) if isinstance(value, Path) else value
                for name, value in self.__dict__.items()}


def from_json(stored: Optional[Mapping[str, Any]]) -> Optional[Snapshot]:
    """What `to_json` gave; None for None. Raises ProtocolError."""
    if stored is None:
        return None
    return Snapshot(Path(take(stored, "of", str)), Path(take(stored, "source", str)),
                    Path(take(stored, "directory", str)),
                    take(stored, "hash", str), take(stored, "commit", str, None),
                    take(stored, "clean", bool, None))
