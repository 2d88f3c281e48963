"""Job management for orchestrating clients (docs/protocol.md, "Base: job management")."""

import asyncio
from typing import Awaitable, List, Optional

from jd import fields
from jd import protocol as p
from jd.net.serving.routing import Request, Response, Router
from jd.server import outputanswers
from jd.server.api.access import EDIT
from jd.server.creation import createrequest
from jd.server.creation.creator import Creator
from jd.server.downloads import file_response
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.pages import jobdetails, joblist
from jd.server.store.pages.joblist import JobPage, JobQuery
from jd.server.store.search import scanning
from jd.server.waiting import Watching
from jd.storage.reading import TookTooLong

MAX_PAGE = 10 ** 9
SEARCH_SECONDS = 30.0  # for a text among all jobs; published clients wait 120


class JobRoutes:
    """The `/api/jobs` routes on one experiment."""

    def __init__(self, experiment: Experiment, creator: Creator, watching: Watching) -> None:
        self._experiment = experiment
        self._creator = creator
        self._watching = watching

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("POST", p.CREATE_JOBS, self.create, max_body=createrequest.MAX_BODY, role=EDIT)
        router.add("GET", p.LIST_JOBS, self.list, role=EDIT)
        router.add("GET", p.JOB_STATUSES, self.statuses, role=EDIT)
        router.add("GET", p.LIST_JOBS + "/<int:id>/output", self.output, role=EDIT)
        router.add("GET", p.LIST_JOBS + "/<int:id>/uploads", self.uploads, role=EDIT)
        router.add("GET", p.LIST_JOBS + "/<int:id>/uploads/download", self.download, role=EDIT)

    async def create(self, request: Request) -> Response:
        """Add the jobs of a grid or a list."""
        order = await self._creator.read(request, createrequest.read)
        created = await self._creator.create(*order)
        return Response.json(created.to_json())

    async def list(self, request: Request) -> Response:
        """One page of jobs."""
        query = request.query
        search = query.get("search", "").strip()
        wanted = JobQuery(
            page=fields.read_whole(query, "page", 1, MAX_PAGE, 1),
            per_page=fields.read_whole(query, "per_page", 1, p.MAX_PER_PAGE, 50),
            status=fields.read_word(query, "status", p.JOB_STATUSES_ALL, None),
            search=fields.check_length(search, "search", p.MAX_NAME_CHARS) or None,
            ids=fields.read_ids(query, "ids") if "ids" in query else None)
        if wanted.is_text:
            page = await self._search(wanted)
        else:
            page = await self._experiment.read(lambda db: joblist.select(db, wanted))
        return Response.json({
            "jobs": page.jobs, "total_count": page.total,
            "total_pages": -(-page.total // wanted.per_page),
            "current_page": wanted.page, "per_page": wanted.per_page,
        })

    async def _search(self, wanted: JobQuery) -> JobPage:
        """A page of the jobs that have a text in them, and how many those are.

        It may take a while with a million jobs: others are answered between the steps.
        """
        def search(after: int) -> Awaitable[scanning.Matching]:
            return self._experiment.read(lambda db: joblist.search(db, wanted, after))

        loop = asyncio.get_running_loop()
        until = loop.time() + SEARCH_SECONDS
        first = (wanted.page - 1) * wanted.per_page
        ids: List[int] = []
        total = 0
        after: Optional[int] = 0
        while after is not None:
            if loop.time() > until:
                raise TookTooLong(SEARCH_SECONDS)
            found = await search(after)
            ids += found.ids[max(0, first - total):max(0, first + wanted.per_page - total)]
            total, after = total + len(found.ids), found.next
        page = await self._experiment.read(
            lambda db: joblist.select(db, JobQuery(ids=ids, per_page=p.MAX_PER_PAGE)))
        return JobPage(page.jobs, total)

    async def statuses(self, request: Request) -> Response:
        """Status by id; an id that does not exist is left out."""
        ids = fields.read_ids(request.query, "ids")
        return Response.json({
            "statuses": await self._experiment.read(lambda db: joblist.statuses(db, ids))})

    async def uploads(self, request: Request) -> Response:
        """What a job uploaded, newest first."""
        job_id = fields.check_id(request.params["id"], "id")
        return Response.json({
            "job_id": job_id,
            "uploads": await self._experiment.read(lambda db: files.uploads(db, job_id))})

    async def download(self, request: Request) -> Response:
        """The newest version of an upload, as an attachment; `filename` is its name or its path."""
        job_id = fields.check_id(request.params["id"], "id")
        given = request.query.get("filename")
        name = (files.check_path(given) if given and "/" in given else None) or files.check_file_name(given)
        path = await self._experiment.read(
            lambda db: files.latest_upload(db, self._experiment.data_dir, job_id, name))
        return await file_response(path, download_as=name.rpartition("/")[2] if "/" in name else path.name)

    async def output(self, request: Request) -> Response:
        """Part of what an attempt has printed, of the latest where `attempt` is not given. Whoever asks looks
        at it: the job's worker sends what is new soon."""
        job_id, number = request.params["id"], fields.read_id(request.query, "attempt", None)
        found = await self._experiment.read(lambda db: jobdetails.output(db, job_id, number))
        if found.running:
            self._watching.look(job_id)
        return await outputanswers.part(self._experiment.data_dir, job_id, found, request.query)
