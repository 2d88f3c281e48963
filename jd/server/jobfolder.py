"""A job as a folder that is read without the server: its files, and what is known of it.

Beside the files lie `params.json`, what the script was given, and `job.json`: status, verdict, message and
exit code of the latest attempt, results, all attempts, history, and what each file is. A file has its own
name if it is the newest of that name, else it is in `earlier/`.
"""

import json
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Generator, Iterator, List, NamedTuple, Optional, Set

from jd.server import curveanswers, outputanswers
from jd.server.curveanswers import Read
from jd.server.store.files import files
from jd.server.store.files.files import Found
from jd.server.store.files.names import actual
from jd.server.store.pages import curves, jobdetails
from jd.server.store.pages.jobdetails import LATEST, Output

PIECE = 256 * 1024  # bytes read in one step
_UNUSABLE = {ord(character): "_" for character in '/\\:*?"<>|'}
_OF_ATTEMPT = ("verdict", "message", "exit_code")


class Member(NamedTuple):
    """A file to be packed under a name, which may have directories; `modified_at` in Unix seconds. What is in
    no file of its own comes from `made`."""

    path: Path
    name: str
    modified_at: float
    made: Optional[Callable[[], Generator[bytes, None, None]]] = None

    def pieces(self) -> Generator[bytes, None, None]:
        """What is in it. Raises OSError."""
        if self.made is not None:
            yield from self.made()
            return
        with open(str(actual(self.path)), "rb") as file:
            yield from iter(partial(file.read, PIECE), b"")


class Job(NamedTuple):
    """A job as it is packed; `states` has what each of the files is among them, `printed` the attempts
    that have printed something, `reported` the numbers of those that have reported something."""

    told: Dict[str, Any]
    files: List[Found]
    states: List[str]
    printed: List[Output]
    reported: List[int]


def look(db: sqlite3.Connection, data_dir: Path, job_id: int, everything: bool = False) -> Job:
    """A job; `everything` has all of its attempts and history, else what a page shows. Raises
    jobs.NoSuchJob."""
    found = files.of_job(db, data_dir, job_id)
    printed = [one for one in jobdetails.outputs(db, job_id) if one.attempt is not None and one.output]
    return Job(jobdetails.job(db, job_id, everything), found, jobdetails.states(found), printed,
               curves.attempts(db, job_id))


def members(job: Job, data_dir: Path, read: Read, folder: str, now: float,
            described: bool = False) -> Iterator[Member]:
    """What is packed of a job, in this order: what is known of it, its files, what it has printed and
    reported. `read` reads from the database while that is packed."""
    def description() -> Generator[bytes, None, None]:
        yield description_of(job, [not file.path.exists() for file in job.files])

    def parameters() -> Generator[bytes, None, None]:
        yield to_json(job.told["parameters"])

    if described:
        yield Member(Path(), folder + "job.json", now, description)
    yield Member(Path(), folder + "params.json", now, parameters)
    for file, state in zip(job.files, job.states):
        yield Member(file.path, folder + packed_as(file, state), file.uploaded_at)
    for one in job.printed:
        yield Member(Path(), folder + packed_output(one), now,
                     partial(outputanswers.whole, data_dir, job.told["id"], one))
    for attempt in job.reported:
        yield Member(Path(), folder + packed_reports(attempt), now,
                     partial(curveanswers.table, read, job.told["id"], attempt))


def packed_reports(attempt: int) -> str:
    """Where the reports of an attempt are packed."""
    return "reports/attempt-%d.csv" % attempt


def packed_output(printed: Output) -> str:
    """Where the output of an attempt is packed."""
    return "output/attempt-%d.log" % (printed.attempt or 0)


def packed_as(file: Found, state: str) -> str:
    """Where a file is packed."""
    if file.kind == files.UPLOAD and state == LATEST:
        return file.called
    return file.listed_as if state == LATEST else "earlier/" + file.listed_as


def described(job: Job, missing: List[bool]) -> Dict[str, Any]:
    """What is known of a job; `missing` tells of each file whether it is not there."""
    latest: Dict[str, Any] = job.told["attempts"][0] if job.told["attempts"] else {}
    told = dict(job.told, **{name: latest.get(name) for name in _OF_ATTEMPT})
    told["files"] = [{"kind": file.kind, "name": file.name, "stored_name": file.path.name,
                      "path": file.listed_as, "packed_as": packed_as(file, state), "attempt": file.attempt,
                      "state": state, "size_bytes": file.size_bytes, "uploaded_at": file.uploaded_at,
                      "missing": gone}
                     for file, state, gone in zip(job.files, job.states, missing)]
    return told


def description_of(job: Job, missing: List[bool]) -> bytes:
    """The content of job.json."""
    return to_json(described(job, missing))


def to_json(value: Any) -> bytes:
    """As people read it."""
    return json.dumps(value, indent=2, allow_nan=False).encode("ascii")


class Names:
    """Gives each member a path that every system can unpack, and that no other member has: neither as a file
    nor as the directory of one, in capital letters or small ones."""

    def __init__(self, taken: str) -> None:
        self._files = {taken.lower()}
        self._folders: Set[str] = set()

    def free(self, path: str) -> str:
        """The path that a member gets."""
        *folders, name = path.split("/")
        place = ""
        for folder in folders:
            place = _unlike(place, folder, self._files) + "/"
            self._folders.add(place[:-1].lower())
        usable = _unlike(place, name, self._files | self._folders)
        self._files.add(usable.lower())
        return usable


def _unlike(place: str, name: str, taken: Set[str]) -> str:
    """`name` below `place`, with a number where that is among `taken`."""
    usable = name.translate(_UNUSABLE).rstrip(". ") or "_"
    stem, suffix = Path(usable).stem, Path(usable).suffix
    number = 1
    while (place + usable).lower() in taken:
        usable = "%s (%d)%s" % (stem, number, suffix)
        number += 1
    return place + usable
