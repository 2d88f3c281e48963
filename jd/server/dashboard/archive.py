"""Zips that can be read without the server: a job, or all that a filter finds, with what is known of them.

What a job is in one is told in `jd.server.jobfolder`.
"""

import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Generator, Iterator, List, Set, Tuple

import jd
from jd import fields
from jd.net.serving.routing import Request, Response, Router
from jd.server import jobfolder
from jd.server.dashboard import zipping
from jd.server.downloads import in_steps, stream_response
from jd.server.experiment import Experiment
from jd.server.jobfolder import Member
from jd.server.store.pages import export
from jd.server.store.search import conditions, filters, scanning
from jd.server.store.search.conditions import Filter

PAGE = 200  # jobs that are looked for at once


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
        found = await experiment.read(lambda db: jobfolder.look(db, experiment.data_dir, job_id))
        members = list(jobfolder.members(found, experiment.data_dir, experiment.read_now, "",
                                         experiment.clock()))
        first = len(members) - len(found.files) - len(found.printed) - len(found.reported)

        def described(gone: Set[int]) -> bytes:
            return jobfolder.description_of(found, [first + at in gone for at in range(len(found.files))])

        pieces = zipping.pack("job-%d" % job_id, members, "job.json", described, experiment.clock())
        return stream_response(in_steps(pieces), "application/zip",
                               "%s-job-%d.zip" % (experiment.name, job_id))

    async def sweep(self, request: Request) -> Response:
        """The same of all jobs that a filter finds, each in a folder of its own, and the table of them."""
        experiment, now = self._experiment, self._experiment.clock()
        text = fields.read_text(request.query, "filter", filters.MAX_CHARS)

        def look(db: sqlite3.Connection) -> Tuple[export.CsvTable, Filter]:
            return export.begin(db, text, now), conditions.compiled(db, text, now)
        table, wanted = await experiment.read(look)
        about = {"experiment": experiment.name, "filter": text, "made_at": now, "version": jd.__version__}
        packed: List[str] = []

        def members() -> Iterator[Member]:
            for member in self._of_sweep(table, wanted, now):
                packed.append(member.name)
                yield member

        def described(gone: Set[int]) -> bytes:
            return jobfolder.to_json(dict(about, missing=[packed[at] for at in sorted(gone)]))

        pieces = zipping.pack(experiment.name, members(), "about.json", described, now)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        return stream_response(in_steps(pieces), "application/zip", "%s-%s.zip" % (experiment.name, stamp))

    # ---- in an executor

    def _of_sweep(self, table: export.CsvTable, wanted: Filter, now: float) -> Iterator[Member]:
        """Read from the database as they are packed: a sweep may have a million jobs."""
        read, data_dir = self._experiment.read_now, self._experiment.data_dir

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
            return scanning.matching(db, wanted, after, PAGE)

        while True:
            page = read(following)
            for job_id in page.ids:
                if job_id <= table.last_id:
                    found = read(partial(jobfolder.look, data_dir=data_dir, job_id=job_id))
                    yield from jobfolder.members(found, data_dir, read, "%d/" % job_id, now, True)
            if page.next is None:
                return
            after = page.next
