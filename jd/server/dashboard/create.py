"""Making jobs on the dashboard: what a form, JSON or a table would make, then making it."""

import asyncio
import itertools
import json
from typing import Any, Dict, List, NamedTuple, Optional

from jd.net.serving.routing import Request, Response, Router
from jd.server.creation import createrequest
from jd.server.creation.batch import Batch
from jd.server.creation.createrequest import Order
from jd.server.creation.creator import Creator
from jd.server.experiment import Experiment
from jd.server.store.queue import jobs

SAMPLE = 10  # jobs that a preview shows
COMPARED = 10_000  # jobs of which a preview says how many exist already
NAMED = 10_000  # jobs of a list that are looked at for the names of parameters


class _Asked(NamedTuple):
    names: List[str]
    sample: List[Dict[str, Any]]


class CreateJobs:
    """`/web/create` of one experiment."""

    def __init__(self, experiment: Experiment, creator: Creator) -> None:
        self._experiment = experiment
        self._creator = creator

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("POST", "/web/create/preview", self.preview, max_body=createrequest.MAX_BODY)
        router.add("POST", "/web/create", self.create, max_body=createrequest.MAX_BODY)

    async def preview(self, request: Request) -> Response:
        """How many jobs a body would make, their names, the first ones; nothing is made. `existing` is how
        many of them exist already, where only new ones are to be made and they are not too many to look;
        `replaced` how many jobs would make room for them."""
        order = await self._order(request, COMPARED)
        asked = await asyncio.get_running_loop().run_in_executor(None, _asked, order.batch)
        counts = await self._experiment.read(jobs.counts)
        compared = order.unique and order.batch.total <= COMPARED
        existing = (await self._creator.existing(order.batch)).total if compared else None
        return Response.json({"total": order.batch.total, "names": asked.names, "sample": asked.sample,
                              "replaced": sum(counts[status] for status in order.replace),
                              "existing": existing})

    async def create(self, request: Request) -> Response:
        """Make the jobs, whole or not at all."""
        order = await self._order(request)
        created = await self._creator.create(*order)
        return Response.json(created.to_json())

    async def _order(self, request: Request, most: Optional[int] = None) -> Order:
        directory = self._experiment.meta_dir
        return await self._creator.read(
            request, lambda file: createrequest.read_form(file, directory, most))


def _asked(batch: Batch) -> _Asked:
    # A grid's first job has all the names; jobs of a list may differ.
    looked_at = NAMED if batch.grid is None else SAMPLE
    first = [json.loads(text) for text in itertools.islice(batch.texts(), looked_at)]
    names = dict.fromkeys(name for job in first for name in job)
    return _Asked(list(names), first[:SAMPLE])
