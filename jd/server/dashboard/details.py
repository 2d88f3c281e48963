"""One job with everything that is known of it, its files shown and fetched."""

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from jd import fields
from jd.net.serving.routing import HttpError, Request, Response, Router
from jd.protocol import MAX_TAIL_CHARS, ProtocolError
from jd.server import outputanswers
from jd.server.dashboard import previews
from jd.server.downloads import file_response
from jd.server.experiment import Experiment
from jd.server.store.files import files, names
from jd.server.store.files.files import Found
from jd.server.store.pages import jobdetails
from jd.server.watching import Watching

T = TypeVar("T")

MAX_KNOWN_KINDS = 10_000

# An image is shown inside the page; opened on its own it can do nothing there.
_IMAGE_HEADERS = {"Content-Security-Policy": "sandbox; default-src 'none'",
                  "Cross-Origin-Resource-Policy": "same-origin",
                  "Cache-Control": "private, max-age=3600"}


class JobDetails:
    """`/web/job` of one experiment."""

    def __init__(self, experiment: Experiment, watching: Watching) -> None:
        self._experiment = experiment
        self._watching = watching
        # What files can be shown as, by id: a stored file does not change.
        self._kinds: "OrderedDict[int, Optional[str]]" = OrderedDict()

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/job", self.job)
        router.add("GET", "/web/job/output", self.output)
        router.add("GET", "/web/job/output/log", self.output_log)
        router.add("GET", "/web/job/file", self.file)
        router.add("GET", "/web/job/preview", self.preview)
        router.add("GET", "/web/job/image", self.image)

    async def job(self, request: Request) -> Response:
        """Everything about `?id=N`, and which jobs are beside it."""
        job_id = fields.read_id(request.query, "id")
        found = await self._experiment.read(
            lambda db: dict(jobdetails.job(db, job_id), beside=jobdetails.beside(db, job_id)))
        self._watching.look(found["id"])
        await self._add_kinds(found["id"], found["files"])
        return Response.json(found)

    async def output(self, request: Request) -> Response:
        """Part of what an attempt has printed: the last 16 kB without an `offset`."""
        job_id, found = await self._output_of(request)
        self._watching.look(job_id)
        return await outputanswers.part(self._experiment.data_dir, job_id, found, request.query,
                                        MAX_TAIL_CHARS)

    async def output_log(self, request: Request) -> Response:
        """All that is kept of it, as an attachment."""
        job_id, found = await self._output_of(request)
        return await outputanswers.download(self._experiment.data_dir, self._experiment.name, job_id, found)

    async def _output_of(self, request: Request) -> Tuple[int, jobdetails.Output]:
        """Of the latest attempt where `attempt` is not given."""
        number = fields.read_id(request.query, "attempt", None)
        job_id = fields.read_id(request.query, "id")
        return job_id, await self._experiment.read(lambda db: jobdetails.output(db, job_id, number))

    async def file(self, request: Request) -> Response:
        """A file as an attachment."""
        found = await self._find(request)
        return await file_response(found.path, download_as=found.listed_as.rpartition("/")[2])

    async def preview(self, request: Request) -> Response:
        """The beginning of a text file, with the first rows of a table."""
        found = await self._find(request)
        seen = await self._from_disk(previews.read, found)
        if seen.kind is None:
            raise ProtocolError("%s is no text in UTF-8 and cannot be shown: download it" % found.path.name)
        shown: Dict[str, Any] = {"kind": seen.kind, "text": seen.text, "truncated": seen.truncated}
        if seen.rows is not None:
            shown["rows"] = seen.rows
        return Response.json(shown)

    async def image(self, request: Request) -> Response:
        """An image for the page to show."""
        found = await self._find(request)
        content, kind = await self._from_disk(_image, found)
        if kind is None:
            raise ProtocolError("%s is no PNG, JPEG, GIF or WebP of at most %d MB: download it" % (
                found.path.name, previews.MAX_IMAGE // 2 ** 20))
        return Response(200, content, kind, dict(_IMAGE_HEADERS))

    async def _find(self, request: Request) -> Found:
        file_id = fields.read_id(request.query, "id")
        return await self._experiment.read(
            lambda db: files.find(db, self._experiment.data_dir, file_id))

    @staticmethod
    async def _from_disk(look: Callable[[Path], T], found: Found) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, look, found.path)
        except FileNotFoundError:
            raise HttpError(404, "%s was removed from the server's disk" % found.path.name) from None

    async def _add_kinds(self, job_id: int, listed: List[Dict[str, Any]]) -> None:
        """Say of each upload as what it can be shown; checkpoints are pickles."""
        directory = self._experiment.data_dir / str(job_id)
        new = [entry for entry in listed
               if entry["kind"] == files.UPLOAD and entry["id"] not in self._kinds]

        def look() -> List[Optional[str]]:
            return [previews.kind_of(names.actual(directory / entry["stored_name"])) for entry in new]

        if new:
            kinds = await asyncio.get_running_loop().run_in_executor(None, look)
            self._kinds.update(zip((entry["id"] for entry in new), kinds))
        for entry in listed:
            entry["preview"] = self._kinds.get(entry["id"])
        while len(self._kinds) > MAX_KNOWN_KINDS:
            self._kinds.popitem(last=False)


def _image(path: Path) -> Tuple[bytes, Optional[str]]:
    with open(str(path), "rb") as file:
        content = file.read(previews.MAX_IMAGE + 1)
    kind = previews.image_type(content)
    return (content, kind) if len(content) <= previews.MAX_IMAGE else (b"", None)
