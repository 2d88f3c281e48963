"""Making jobs on the dashboard: what a form, JSON or a table would make, then making it."""

import asyncio
import itertools
import json
from typing import Any, Dict, List, NamedTuple

from jd import protocol as p
from jd.net.routing import Request, Response, Router
from jd.server import jobtext
from jd.server.creation import Creation
from jd.server.experiment import Experiment
from jd.server.job_routes import MAX_CREATE_BODY
from jd.server.store import batches, jobs
from jd.server.store.batches import Batch

SAMPLE = 10  # jobs that a preview shows
NAMED = 10_000  # jobs of a list that are looked at for the names of parameters


class _Asked(NamedTuple):
    batch: Batch
    names: List[str]
    sample: List[Dict[str, Any]]


class CreateJobs:
    """`/web/create` of one experiment."""

    def __init__(self, experiment: Experiment, creation: Creation) -> None:
        self._experiment = experiment
        self._creation = creation

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("POST", "/web/create/preview", self.preview, max_body=MAX_CREATE_BODY)
        router.add("POST", "/web/create", self.create, max_body=MAX_CREATE_BODY)

    async def preview(self, request: Request) -> Response:
        """How many jobs a body would make, their names, the first ones; nothing is made."""
        body = await request.json()
        asked = await asyncio.get_running_loop().run_in_executor(None, _asked, body)
        replace = p.take(body, "replace", bool, False)
        pending = (await self._experiment.read(jobs.counts))[p.PENDING] if replace else 0
        return Response.json({"total": asked.batch.total, "names": asked.names,
                              "sample": asked.sample, "pending": pending})

    async def create(self, request: Request) -> Response:
        """Make the jobs, whole or not at all."""
        body = await request.json()
        batch = await asyncio.get_running_loop().run_in_executor(None, batch_of, body)
        created = await self._creation.create(batch, p.take(body, "replace", bool, False))
        last_id = created.start_id + created.total - 1
        return Response.json({
            "success": True, "total_jobs": created.total, "action": created.action,
            "start_id": created.start_id,
            "message": "%s jobs: %d, with ids %d to %d" % (
                created.action, created.total, created.start_id, last_id)})


def batch_of(body: Any) -> Batch:
    """The jobs that a body asks for: `parameters`, `jobs`, or `text` in a `format`.

    Raises ProtocolError that names the place.
    """
    if not isinstance(body, dict) or "text" not in body:
        return batches.from_request(body)
    if "parameters" in body or "jobs" in body:
        raise p.ProtocolError("give exactly one of parameters (a grid), jobs (a list) or text")
    form = p.take(body, "format", str)
    if form not in jobtext.FORMATS:
        raise p.ProtocolError("format must be one of %s, not %s" % (
            ", ".join(jobtext.FORMATS), p.shown(form)))
    batch = jobtext.parse(p.take(body, "text", str).encode("utf-8"), form)
    # What the form says beside the text wins over what the text says.
    lease, retry_pause = batches.durations(body)
    min_time = batches.min_time(body)
    return batch._replace(lease=batch.lease if lease is None else lease,
                          retry_pause=batch.retry_pause if retry_pause is None else retry_pause,
                          min_time=batch.min_time if min_time is None else min_time)


def _asked(body: Any) -> _Asked:
    batch = batch_of(body)
    # A grid's first job has all the names; jobs of a list may differ.
    looked_at = NAMED if batch.grid is None else SAMPLE
    first = [json.loads(text) for text in itertools.islice(batch.texts(), looked_at)]
    names = dict.fromkeys(name for job in first for name in job)
    return _Asked(batch, list(names), first[:SAMPLE])
