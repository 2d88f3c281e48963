"""The experiments in a workspace: how large, how many jobs, last use, running or not."""

import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from jd import protocol as p
from jd.errors import StorageError
from jd.server.keeping import reading
from jd.server.keeping.reading import Place
from jd.storage import serverlock


class Entry(NamedTuple):
    """An experiment. `size_bytes` is that of the database and of the files that it tells of, `used_at` the
    time of the last change, in Unix seconds. `server` is what its server tells of itself, empty while it
    starts or stops; None where none runs. `problem` says why the database cannot be read: `jobs` is empty
    then."""

    experiment: str
    directory: Path
    jobs: Dict[str, int]
    files: int
    size_bytes: int
    used_at: float
    server: Optional[Dict[str, Any]]
    problem: Optional[str] = None

    def to_json(self) -> Dict[str, Any]:
        """The entry for programs."""
        server = self.server or {}
        return {"expId": self.experiment, "directory": str(self.directory), "jobs": self.jobs,
                "files": self.files, "size_bytes": self.size_bytes, "used_at": self.used_at,
                "running": self.server is not None, "server_url": server.get("server_url"),
                "pid": server.get("pid"), "host": server.get("host"), "problem": self.problem}


def experiments(workspace: Path) -> List[Entry]:
    """All of them, by name; none where there is no such workspace. Raises StorageError where it cannot be
    read."""
    try:
        with os.scandir(str(workspace)) as found:
            names = sorted(entry.name for entry in found if not entry.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError("cannot look into %s: %s" % (workspace, error.strerror or error)) from error
    return [entry(Place(workspace / name)) for name in names
            if os.path.isfile(str(workspace / name / "meta" / "jobs.db"))]


def entry(place: Place) -> Entry:
    """One of them."""
    server = serverlock.holder(place.meta, "server")
    size, used_at = 0, 0.0
    for suffix in ("", "-wal"):
        try:
            found = os.stat(str(place.database) + suffix)
        except FileNotFoundError:
            continue
        size += found.st_size
        if found.st_size:
            used_at = max(used_at, found.st_mtime)
    try:
        with reading.opened(place.database) as db:
            jobs = dict(db.execute("SELECT status, n FROM job_counts").fetchall())
            files, held = db.execute("SELECT count(*), coalesce(sum(size_bytes), 0) FROM files").fetchone()
    except StorageError as error:
        return Entry(place.directory.name, place.directory, {}, 0, size, used_at, server, error.what)
    counted = {status: jobs.get(status, 0) for status in p.JOB_STATUSES_ALL}
    return Entry(place.directory.name, place.directory, counted, files, size + held, used_at, server)
