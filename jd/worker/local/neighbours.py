"""Which workers have their jobs run in one and the same directory, as far as the registry tells."""

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from jd.files import filesystems
from jd.node.identity import Here
from jd.worker.config import CWD_LAUNCH, shared_directory
from jd.worker.local.liveness import Life, life
from jd.worker.local.rows import Row

HEARD_OF = 900.0  # seconds in which a worker of another host has been heard of, if it still runs


def directory_of(config: Mapping[str, Any]) -> Optional[Path]:
    """Where all jobs of a worker run, by its stored launch; None where each has a directory of its own, or
    nobody can tell."""
    directory, script, snapshot = (config.get(name) for name in ("directory", "entry_script", "snapshot"))
    if isinstance(snapshot, Mapping):
        script = snapshot.get("of")
    if not isinstance(directory, str) or not isinstance(script, str):
        return None
    return shared_directory(str(config.get("cwd", CWD_LAUNCH)), Path(directory), Path(script))


def by_directory(rows: Sequence[Row], here: Here, now: float) -> Dict[Path, List[Row]]:
    """Workers that run, by the directory of their jobs.

    Of those on other hosts only what lies on a network file system can be the same directory. `now` is in
    Unix seconds.
    """
    found: Dict[Path, List[Row]] = {}
    for row in rows:
        state, directory = life(row, here), directory_of(row.config)
        if directory is None or state is Life.DEAD:
            continue
        if state is Life.ALIVE or (now - (row.last_ping_at or row.started_at) < HEARD_OF
                                   and filesystems.is_network(directory)):
            found.setdefault(directory, []).append(row)
    return found
