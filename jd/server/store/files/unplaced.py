"""Files in the directories of jobs that no row of the database names.

A file is put into its place before its row is committed, and removed after that: so a server that is killed
in between leaves a file without a row, of a job that was running, since only of those uploads are taken.
"""

import os
import re
import sqlite3
from pathlib import Path
from typing import List, NamedTuple

from jd.server.store.files.names import EARLIER
from jd.server.store.files.outputs import DIRECTORY

_CHECKPOINT = re.compile(r"checkpoint_v([0-9]{1,18})_[0-9]+\.pt")  # what this program itself calls one


class Unplaced(NamedTuple):
    """Files without a row: checkpoints that were superseded, which nobody needs, and others. Somebody may
    have put those there, or an earlier database was put in the place of theirs, and they are the newest."""

    unneeded: List[Path]
    unknown: List[Path]


def find(db: sqlite3.Connection, data_dir: Path) -> Unplaced:
    """Those of all jobs that run, as the database has it. What cannot be looked at is left out."""
    found = Unplaced([], [])
    for (job_id,) in db.execute("SELECT id FROM jobs WHERE status = 'SERVED'").fetchall():
        entries = [path for place in (data_dir / str(job_id), data_dir / EARLIER / str(job_id))
                   for path in _files(place)]
        if not entries:
            continue
        known = {str(name).lower() for row in db.execute(
            "SELECT stored_name, name FROM files WHERE job_id = ?", (job_id,)) for name in row}
        newest = db.execute("SELECT coalesce(max(version), -1) FROM files WHERE job_id = ?"
                            " AND kind = 'checkpoint'", (job_id,)).fetchone()[0]
        for path in entries:
            if path.name.lower() not in known:
                checkpoint = _CHECKPOINT.fullmatch(path.name)
                is_old = checkpoint is not None and int(checkpoint.group(1)) <= newest
                (found.unneeded if is_old else found.unknown).append(path)
    return found


def jobs_with_files(data_dir: Path) -> List[int]:
    """The numbers of jobs that have left files or output."""
    return sorted({int(name) for place in (data_dir, data_dir / DIRECTORY) for name in _names(place)
                   if name.isdecimal() and name.isascii() and len(name) < 19 and _names(place / name)})


def _files(directory: Path) -> List[Path]:
    return [directory / name for name in _names(directory)
            if (directory / name).is_file() and not (directory / name).is_symlink()]


def _names(directory: Path) -> List[str]:
    try:
        return sorted(os.listdir(str(directory)))
    except OSError:
        return []
