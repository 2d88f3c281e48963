"""What a launch with `snapshot=true` knows of the copy that its jobs run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional

from jd.fields import take


@dataclass(frozen=True)
class Snapshot:
    """A copy of the directory of the script `of`. `hash` is the SHA-256 of its files, their names and
    whether they are executable; `commit` and `clean` are as they were in `of`'s directory then."""

    of: Path
    directory: Path
    hash: str
    commit: Optional[str] = None
    clean: Optional[bool] = None

    def to_json(self) -> Dict[str, object]:
        """As the registry keeps it."""
        return {name: str(value) if isinstance(value, Path) else value
                for name, value in self.__dict__.items()}


def from_json(stored: Optional[Mapping[str, Any]]) -> Optional[Snapshot]:
    """What `to_json` gave; None for None. Raises ProtocolError."""
    if stored is None:
        return None
    return Snapshot(Path(take(stored, "of", str)), Path(take(stored, "directory", str)),
                    take(stored, "hash", str), take(stored, "commit", str, None),
                    take(stored, "clean", bool, None))
