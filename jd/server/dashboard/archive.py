"""Zips that can be read without the server: a job, or all that a filter finds, with what is known of them.

Beside the files of a job lie `params.json`, what the script was given, and `job.json`: status, verdict,
message and exit code of the latest attempt, results, all attempts, history, and what each file is. A file has
its own name if it is the newest of that name, else it is in `earlier/`.
"""

import json
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Generator, Iterator, List, NamedTuple, Set

import jd
from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.server import outputanswers
from jd.server.dashboard import zipping
from jd.server.dashboard.zipping import Member
from jd.server.downloads import in_steps, stream_response
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.files.files import Found
from jd.server.store.pages import export, jobdetails
from jd.server.store.pages.jobdetails import LATEST, Output
from jd.server.store.search import conditions, filters, scanning

PAGE = 200  # jobs that are looked for at once
_OF_ATTEMPT = ("verdict", "message", "exit_code")


class _Job(NamedTuple):
    """A job as it is packed; `states` has what each of the files is among them."""

    told: Dict[str, Any]
    files: List[Found]
    states: List[str]
    printed: List[Output]


class Archive:
    """Zips of one experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/job/zip", self.job)
        router.add("GET", "/web/export.zip", self.sweep)

    async def job(self, request: Request) -> Response:
        """All files of a job, what its attempts have printed, and what is known of it."""
        experiment, job_id = self._experiment, fields.read_id(request.query, "id")
        found = await experiment.read(lambda db: self._look(db, job_id))
        members = list(self._members(found, ""))
        first = len(members) - len(found.files) - len(found.printed)

        def described(gone: Set[int]) -> bytes:
            return _description(found, [first + at in gone for at in range(len(found.files))])

        pieces = zipping.pack("job-%d" % job_id, members, "job.json", described, experiment.clock())
        return stream_response(in_steps(pieces), "application/zip",
                               "%s-job-%d.zip" % (experiment.name, job_id))

    async def sweep(self, request: Request) -> Response:
        """The same of all jobs that a filter finds, each in a folder of its own, and the table of them."""
        experiment, now = self._experiment, self._experiment.clock()
        text = fields.read_text(request.query, "filter", filters.MAX_CHARS)
        table = await experiment.read(lambda db: export.begin(db, text, now))
        about = {"experiment": experiment.name, "filter": text, "made_at": now, "version": jd.__version__}
        packed: List[str] = []

        def members() -> Iterator[Member]:
            for member in self._of_sweep(table, text, now):
                packed.append(member.name)
                yield member

        def described(gone: Set[int]) -> bytes:
            return _json(dict(about, missing=[packed[at] for at in sorted(gone)]))

        pieces = zipping.pack(experiment.name, members(), "about.json", described, now)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        return stream_response(in_steps(pieces), "application/zip", "%s-%s.zip" % (experiment.name, stamp))

    # ---- in an executor

    def _of_sweep(self, table: export.CsvTable, text: str, now: float) -> Iterator[Member]:
        """Read from the database as they are packed: a sweep may have a million jobs."""
        read = self._experiment.read_now

        def lines() -> Generator[bytes, None, None]:
            yield export.header(table).encode("utf-8")
            after = 0
            while True:
                part = read(partial(export.lines, table=table, after=after))
                yield part.lines.encode("utf-8")
                if part.after is None:
                    return
                after = part.after

        yield Member(Path(), "jobs.csv", now, lines)
        after = 0

        def following(db: sqlite3.Connection) -> scanning.Matching:
            return scanning.matching(db, conditions.compiled(db, text, now), after, PAGE)

        while True:
            page = read(following)
            for job_id in page.ids:
                if job_id <= table.last_id:
                    yield from self._members(read(partial(self._look, job_id=job_id)), "%d/" % job_id, True)
            if page.next is None:
                return
            after = page.next

    def _look(self, db: sqlite3.Connection, job_id: int) -> _Job:
        """Raises jobs.NoSuchJob."""
        found = files.of_job(db, self._experiment.data_dir, job_id)
        printed = [one for one in jobdetails.outputs(db, job_id) if one.attempt is not None and one.output]
        return _Job(jobdetails.job(db, job_id), found, jobdetails.states(found), printed)

    def _members(self, job: _Job, folder: str, described: bool = False) -> Iterator[Member]:
        """What is packed of a job, in this order: what is known of it, its files, its output."""
        now, data_dir = self._experiment.clock(), self._experiment.data_dir

        def description() -> Generator[bytes, None, None]:
            yield _description(job, [not file.path.exists() for file in job.files])

        def parameters() -> Generator[bytes, None, None]:
            yield _json(job.told["parameters"])

        if described:
            yield Member(Path(), folder + "job.json", now, description)
        yield Member(Path(), folder + "params.json", now, parameters)
        for file, state in zip(job.files, job.states):
            yield Member(file.path, folder + _name(file, state), file.uploaded_at)
        for one in job.printed:
            yield Member(Path(), "%soutput/attempt-%d.log" % (folder, one.attempt or 0), now,
                         partial(outputanswers.whole, data_dir, job.told["id"], one))


def _name(file: Found, state: str) -> str:
    """Where a file is packed."""
    if file.kind == files.UPLOAD and state == LATEST:
        return file.called
    return file.listed_as if state == LATEST else "earlier/" + file.listed_as


def _description(job: _Job, missing: List[bool]) -> bytes:
    latest: Dict[str, Any] = job.told["attempts"][0] if job.told["attempts"] else {}
    told = dict(job.told, **{name: latest.get(name) for name in _OF_ATTEMPT})
    told["files"] = [{"kind": file.kind, "name": file.name, "stored_name": file.path.name,
                      "path": file.listed_as, "packed_as": _name(file, state), "attempt": file.attempt,
                      "state": state, "size_bytes": file.size_bytes, "uploaded_at": file.uploaded_at,
                      "missing": gone}
                     for file, state, gone in zip(job.files, job.states, missing)]
    return _json(told)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, allow_nan=False).encode("ascii")
