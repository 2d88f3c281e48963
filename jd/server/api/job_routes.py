"""Job management for orchestrating clients (docs/protocol.md, "Base: job management")."""

import asyncio
from typing import List, Optional

from jd import protocol as p
from jd.net.serving.routing import Request, Response, Router
from jd.server.api.access import EDIT
from jd.server.creation import createrequest
from jd.server.creation.slices import Creation
from jd.server.downloads import file_response
from jd.server.experiment import Experiment
from jd.server.store.files import files
from jd.server.store.queue import jobs
from jd.server.store.queue.jobs import Query
from jd.server.store.search import textsearch
from jd.storage.reading import TookTooLong

MAX_PAGE = 10 ** 9
SEARCH_SECONDS = 30.0  # for a text among all jobs; published clients wait 120


class JobRoutes:
    """The `/api/jobs` routes on one experiment."""

    def __init__(self, experiment: Experiment, creation: Creation) -> None:
        self._experiment = experiment
        self._creation = creation

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("POST", p.CREATE_JOBS, self.create, max_body=createrequest.MAX_BODY, role=EDIT)
        router.add("GET", p.LIST_JOBS, self.list, role=EDIT)
        router.add("GET", p.JOB_STATUSES, self.statuses, role=EDIT)
        router.add("GET", p.LIST_JOBS + "/<int:id>/uploads", self.uploads, role=EDIT)
        router.add("GET", p.LIST_JOBS + "/<int:id>/uploads/download", self.download, role=EDIT)

    async def create(self, request: Request) -> Response:
        """Add the jobs of a grid or a list."""
        order = await self._creation.read(request, createrequest.read)
        created = await self._creation.create(order.batch, order.replace)
        return Response.json({
            "success": True,
            "message": "%s jobs: %d, with ids %d to %d" % (
                created.action, created.total, created.start_id,
                created.start_id + created.total - 1),
            "total_jobs": created.total, "action": created.action, "start_id": created.start_id,
        })

    async def list(self, request: Request) -> Response:
        """One page of jobs."""
        query = request.query
        status: Optional[str] = query.get("status") or None
        if status is not None and status not in p.JOB_STATUSES_ALL:
            raise p.ProtocolError("status must be one of %s, not %s" % (
                ", ".join(p.JOB_STATUSES_ALL), p.shown(status)))
        search = query.get("search", "").strip()
        if len(search) > p.MAX_NAME_CHARS:
            raise p.ProtocolError("search has %d characters; at most %d" % (
                len(search), p.MAX_NAME_CHARS))
        wanted = Query(
            page=_number(query.get("page"), "page", 1, MAX_PAGE),
            per_page=_number(query.get("per_page"), "per_page", 50, p.MAX_PER_PAGE),
            status=status,
            search=search or None,
            ids=_ids(query["ids"]) if query.get("ids") else None)
        if wanted.is_text:
            page = await self._search(wanted)
        else:
            page = await self._experiment.read(jobs.select, wanted)
        return Response.json({
            "jobs": page.jobs, "total_count": page.total,
            "total_pages": -(-page.total // wanted.per_page),
            "current_page": wanted.page, "per_page": wanted.per_page,
        })

    async def _search(self, wanted: Query) -> jobs.Page:
        """A page of the jobs that have a text in them, and how many those are.

        It may take a while with a million jobs: others are answered between the steps.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + SEARCH_SECONDS
        first = (wanted.page - 1) * wanted.per_page
        ids: List[int] = []
        total, after = 0, 0  # type: int, Optional[int]
        while after is not None:
            if loop.time() > until:
                raise TookTooLong(SEARCH_SECONDS)
            found = await self._experiment.read(textsearch.step, wanted, after)
            ids += found.ids[max(0, first - total):max(0, first + wanted.per_page - total)]
            total, after = total + len(found.ids), found.next
        page = await self._experiment.read(jobs.select, Query(ids=ids, per_page=p.MAX_PER_PAGE))
        return jobs.Page(page.jobs, total)

    async def statuses(self, request: Request) -> Response:
        """Status by id; an id that does not exist is left out."""
        ids = _ids(request.query.get("ids", ""))
        return Response.json({"statuses": await self._experiment.read(jobs.statuses, ids)})

    async def uploads(self, request: Request) -> Response:
        """What a job uploaded, newest first."""
        job_id = _path_id(request)
        return Response.json({
            "job_id": job_id, "uploads": await self._experiment.read(files.uploads, job_id)})

    async def download(self, request: Request) -> Response:
        """The newest version of an upload, as an attachment."""
        job_id = _path_id(request)
        name = files.check_file_name(request.query.get("filename"))
        path = await self._experiment.read(files.latest_upload, self._experiment.data_dir, job_id,
                                           name)
        return await file_response(path, download_as=path.name)


def _path_id(request: Request) -> int:
    job_id: int = p.take_id({"job id": request.params["id"]}, "job id")
    return job_id


def _number(text: Optional[str], name: str, default: int, highest: int) -> int:
    return _whole(text, name, highest) if text else default


def _whole(text: str, name: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 17 and 1 <= int(text) <= highest):
        raise p.ProtocolError("%s must be a whole number from 1 to %d, not %s" % (
            name, highest, p.shown(text)))
    return int(text)


def _ids(text: str) -> List[int]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > p.MAX_IDS:
        raise p.ProtocolError("ids has %d entries; at most %d" % (len(parts), p.MAX_IDS))
    return [_whole(part, "ids", 2 ** 53) for part in parts]
