"""Job management for orchestrating clients (docs/protocol.md, "Base: job management")."""

from jd import fields
from jd import protocol as p
from jd.net.serving.routing import JSON_TYPE, Request, Response, Router
from jd.server import curveanswers, outputanswers
from jd.server.api import jobsearch
from jd.server.api.access import EDIT
from jd.server.creation import createrequest
from jd.server.creation.creator import Creator
from jd.server.downloads import file_response, in_steps
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.files.resultfile import MAX_NAME_CHARS
from jd.server.store.pages import curves, jobdetails, joblist, wholejob
from jd.server.store.pages.joblist import JobQuery
from jd.server.store.search import filters
from jd.server.watching import Watching

MAX_PAGE = 10 ** 9


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
        router.add("GET", p.LIST_JOBS + "/<int:id>", self.job, role=EDIT)
        router.add("GET", p.LIST_JOBS + "/<int:id>/output", self.output, role=EDIT)
        router.add("GET", p.LIST_JOBS + "/<int:id>/reports", self.reports, role=EDIT)
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
            ids=fields.read_ids(query, "ids") if "ids" in query else None,
            where=fields.read_text(query, "where", filters.MAX_CHARS),
            sort=fields.read_text(query, "sort", p.MAX_NAME_CHARS, "id") or "id")
        if wanted.takes_steps:
            page = await jobsearch.find(self._experiment, wanted)
        else:
            page = await self._experiment.read(lambda db: joblist.select(db, wanted))
        return Response.json({
            "jobs": page.jobs, "total_count": page.total,
            "total_pages": -(-page.total // wanted.per_page),
            "current_page": wanted.page, "per_page": wanted.per_page,
        })

    async def job(self, request: Request) -> Response:
        """One job with everything that is known of it."""
        job_id = fields.check_id(request.params["id"], "id")
        return Response.json(await self._experiment.read(lambda db: wholejob.job(db, job_id)))

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

    async def reports(self, request: Request) -> Response:
        """What an attempt has reported, with all points that are kept: of one metric or of all."""
        job_id, number = request.params["id"], fields.read_id(request.query, "attempt", None)
        metric = fields.read_text(request.query, "metric", MAX_NAME_CHARS) or None
        found = await self._experiment.read(lambda db: curves.of_job(db, job_id, number))
        if found.running:
            self._watching.look(job_id)
        pieces = curveanswers.whole(self._experiment.read_now, found, metric)
        return Response(stream=in_steps(pieces), content_type=JSON_TYPE)
