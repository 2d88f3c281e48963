"""Driving a sweep (docs/protocol.md, the extension `drive`): jobs are changed, waited for, and read."""

import asyncio
from typing import Any, Dict, Optional, Tuple

from jd import fields
from jd import protocol as p
from jd.net.serving.routing import Request, Response, Router
from jd.server.api.access import EDIT, Access
from jd.server.driving import orders, sweep
from jd.server.driving.orders import Orders
from jd.server.driving.waits import Jobs, Question, Waits
from jd.server.experiment import Experiment
from jd.server.store.operators import bulk, options
from jd.server.store.pages import changelog, standings
from jd.server.store.pages.results import resultrows
from jd.server.store.search import conditions, filters

MAX_IDS_BODY = 2 * 1024 * 1024  # MAX_DRIVEN_IDS ids
MAX_EDIT_BODY = 2 * p.MAX_PARAMETERS_BYTES


class DriveRoutes:
    """The routes of the extension `drive` on one experiment."""

    def __init__(self, experiment: Experiment, given: Orders, waits: Waits, access: Access) -> None:
        self._experiment = experiment
        self._orders = given
        self._waits = waits
        self._access = access

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("POST", p.ACT_ON_JOBS, self.act, max_body=MAX_IDS_BODY, role=EDIT)
        router.add("POST", p.LIST_JOBS + "/<int:id>/parameters", self.edit, max_body=MAX_EDIT_BODY, role=EDIT)
        router.add("POST", p.WAIT_FOR_JOBS, self.wait, max_body=MAX_IDS_BODY, role=EDIT)
        router.add("GET", p.RESULTS, self.results, role=EDIT)
        router.add("GET", p.CHANGES, self.changes, role=EDIT)
        router.add("POST", p.SWEEP, self.pause, role=EDIT)

    async def act(self, request: Request) -> Response:
        """Do something to jobs, or with `preview` tell what that would be."""
        return Response.json(await self._orders.asked(
            await request.json_object(), "where", p.MAX_DRIVEN_IDS, bulk.BY_PROGRAM))

    async def edit(self, request: Request) -> Response:
        """Give a PENDING job other parameters."""
        job_id = fields.check_id(request.params["id"], "id")
        await self._orders.edit(job_id, await request.json_object())
        return Response.json({"success": True})

    async def wait(self, request: Request) -> Response:
        """How jobs stand: held until they are finished, or stand otherwise than is known, or the time is
        up."""
        # While it is held, nothing is left of the body: of 100,000 ids that is some MB.
        asked = _asked(await request.json_object())
        answer = await self._waits.hold(*asked)
        self._access(request)  # its token may have been revoked while it waited
        return Response.json(answer.to_json())

    async def results(self, request: Request) -> Response:
        """Jobs with their parameters and results, behind the job `after`."""
        text = fields.read_text(request.query, "where", filters.MAX_CHARS)
        after = fields.read_whole(request.query, "after", 0, fields.MAX_ID, 0)
        limit = fields.read_whole(request.query, "limit", 1, p.MAX_RESULTS, 1000)
        now = self._experiment.clock()
        found = await self._experiment.read(
            lambda db: resultrows.rows(db, conditions.compiled(db, text, now), after, limit))
        return await asyncio.get_running_loop().run_in_executor(
            None, Response.json, {"rows": found.rows, "next": found.next})

    async def changes(self, request: Request) -> Response:
        """Jobs that have changed since `after`: held until there is one, or the time is up."""
        after = fields.read_text(request.query, "after", p.MAX_NAME_CHARS)
        known = changelog.cursor(after) if after else None
        seconds = fields.read_whole(request.query, "wait", 0, int(p.MAX_HELD), 0)
        found = await self._waits.changes(known, seconds)
        self._access(request)  # its token may have been revoked while it waited
        return Response.json({"changes": found.jobs, "cursor": found.next.text()})

    async def pause(self, request: Request) -> Response:
        """Hand out no jobs, or hand them out again; say what ends the sweep."""
        body = await request.json_object()
        rule = {name: body[name] for name in options.RULE if name in body}
        if "paused" in body:
            rule["paused"] = fields.take(body, "paused", bool)
        if not rule:
            raise p.ProtocolError("give paused (true or false), or what ends the sweep: %s" % (
                ", ".join(options.RULE)))
        values = options.checked(rule)
        await self._experiment.write(lambda t: options.save(t, values))
        return Response.json(await sweep.told(self._experiment))


def _asked(body: Dict[str, Any]) -> Tuple[Question, float, Optional[str]]:
    """What is waited for, for how many seconds, and the cursor that is known. Raises ProtocolError."""
    if ("ids" in body) == ("where" in body):
        raise p.ProtocolError("give exactly one of ids (a list) or where (a text; \"\" means all jobs)")
    if "where" in body:
        text = fields.take(body, "where", str)
        filters.parse(text)
        jobs: Jobs = text
    else:
        jobs = standings.runs(orders.ids_of(body, p.MAX_DRIVEN_IDS))
    question = Question(jobs, fields.take_word(body, "status", p.JOB_STATUSES_ALL, p.DONE),
                        fields.take(body, "include_aborted", bool, True))
    return (question, fields.take_number(body, "wait", 0.0, 0.0, p.MAX_HELD),
            fields.take_name(body, "changes_after", None))
