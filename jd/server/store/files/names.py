"""What stands under the name of a file in `data/<job_id>/`: the newest upload of that name that counts.

Each upload has a place of its own, the name that it is stored as: `result.json`, then `result_v1.json`. Who
reads `data/*/result.json` wants neither the oldest one nor that of an attempt that does not count any more.
So as soon as a later one comes, the first moves to `data/.earlier/<job_id>/`, and its name is a link to the
newest. When a job begins from scratch, no file has the name until it is uploaded again.

A file is in `.earlier` before its name is another's, and its row says nothing of where it is: `actual` looks.
So whenever the server is killed, every row has its own file.
"""

import os
import secrets
import sqlite3
from pathlib import Path
from typing import List, Optional, Sequence, Set, Tuple

from jd.files import filesystems
from jd.killpoint import killpoint
from jd.server.store.transaction import Transaction
from jd.storage import filemodes

EARLIER = ".earlier"
MOST = 500  # names that one operation puts right

# Whether a file is of an attempt that counts (column `scratch` of the jobs).
COUNTS = "coalesce(attempt, 1) > (SELECT scratch FROM jobs WHERE id = files.job_id)"


def actual(path: Path) -> Path:
    """Where the file is whose place is `data/<job_id>/<stored name>`."""
    aside = _aside(path)
    return aside if os.path.lexists(str(aside)) else path


def _aside(path: Path) -> Path:
    return path.parent.parent / EARLIER / path.parent.name / path.name


def show(db: sqlite3.Connection, data_dir: Path, job_id: int, names: Sequence[str]) -> None:
    """Have these names of a job's uploads stand for what counts. Raises OSError."""
    directory = data_dir / str(job_id)
    changed: List[Tuple[Path, Optional[Path]]] = []
    moved: Set[Path] = set()
    for name in names:
        target, newest = directory / name, _newest(db, job_id, name)
        own = _stored_as(db, job_id, name)
        source = None if newest is None else actual(directory / newest)
        if source == target or (own is not None and own[0] != "upload"):
            continue
        changed.append((target, source))
        if own is not None and _is_at(directory / own[1], target):
            moved.add(directory / own[1])
    if moved:
        _set_aside(data_dir, directory, sorted(moved))
    for target, source in changed:
        _put(data_dir, target, source)
    if changed:
        filesystems.sync(directory)


def due(t: Transaction, ids: Sequence[int]) -> None:
    """What counts of the files of these jobs is another from now on: `show_due` follows."""
    t.db.executemany("INSERT OR IGNORE INTO names_due (job_id) SELECT DISTINCT job_id FROM files"
                     " WHERE job_id = ? AND kind = 'upload'", ((job_id,) for job_id in ids))


def is_due(db: sqlite3.Connection) -> bool:
    """Whether there is something to do for `show_due`."""
    return db.execute("SELECT 1 FROM names_due LIMIT 1").fetchone() is not None


def show_due(t: Transaction, data_dir: Path) -> None:
    """`show` for some of the jobs of which it is due. Where that cannot be, the log says so, once."""
    left = MOST
    for (job_id,) in t.db.execute("SELECT job_id FROM names_due LIMIT ?", (MOST,)).fetchall():
        names = [row[0] for row in t.db.execute(
            "SELECT DISTINCT name FROM files WHERE job_id = ? AND kind = 'upload'", (job_id,))]
        try:
            show(t.db, data_dir, job_id, names)
        except OSError as error:
            t.happened.said.append("the files of job %d keep the names that they are stored as: %s" % (
                job_id, error))
        t.db.execute("DELETE FROM names_due WHERE job_id = ?", (job_id,))
        left -= len(names)
        if left <= 0:
            return


def _newest(db: sqlite3.Connection, job_id: int, name: str) -> Optional[str]:
    row = db.execute("SELECT stored_name FROM files WHERE job_id = ? AND kind = 'upload' AND name = ? AND %s"
                     " ORDER BY version DESC LIMIT 1" % COUNTS, (job_id, name)).fetchone()
    return None if row is None else str(row[0])


def _stored_as(db: sqlite3.Connection, job_id: int, name: str) -> Optional[Tuple[str, str]]:
    """Kind and exact name of what is stored as `name`, whatever it was called; upper and lower case are the
    same, as they are on some disks."""
    row: Optional[Tuple[str, str]] = db.execute(
        "SELECT kind, stored_name FROM files WHERE job_id = ? AND stored_name = ?", (job_id, name)).fetchone()
    return row


def _is_at(own: Path, target: Path) -> bool:
    """Whether the file that is stored as `own` is still where `target` is to be."""
    if os.path.lexists(str(_aside(own))):
        return False
    try:
        return own == target or os.path.samefile(str(own), str(target))
    except FileNotFoundError:
        return False


def _set_aside(data_dir: Path, directory: Path, paths: Sequence[Path]) -> None:
    """Keep these files in `.earlier` as well; on a disk without hard links, there only."""
    aside = data_dir / EARLIER / directory.name
    for place in (aside.parent, aside):
        filemodes.make_directory(place, filemodes.of(data_dir))
    for path in paths:
        try:
            os.link(str(path), str(aside / path.name))
        except FileNotFoundError:
            pass  # somebody has removed it
        except OSError:
            killpoint("names.set-aside.before-rename")
            os.rename(str(path), str(aside / path.name))
            killpoint("names.set-aside.after-rename")
    # Before their names are others': whatever comes, they are in one place at least.
    filesystems.sync(aside)
    filesystems.sync(aside.parent)


def _put(data_dir: Path, target: Path, source: Optional[Path]) -> None:
    """Make `target` stand for `source`, which has a place of its own; for nothing where that is None."""
    if source is None:
        try:
            os.unlink(str(target))
        except FileNotFoundError:
            pass
        return
    if not source.exists() or (target.exists() and os.path.samefile(str(source), str(target))):
        return  # renaming one link over another of the same file would do nothing, and leave both
    link = data_dir / ".incoming" / secrets.token_hex(8)
    try:
        os.link(str(source), str(link))
    except OSError:
        os.symlink(os.path.relpath(str(source), str(target.parent)), str(link))
    killpoint("names.put.before-rename")
    os.replace(str(link), str(target))
    killpoint("names.put.after-rename")
