"""The workers: who they are, how they are, what they are told."""

from functools import partial
from typing import Any, List, Mapping

from jd import fields
from jd import protocol as p
from jd.net.serving.routing import Request, Response, Router
from jd.server.dashboard.live import Live
from jd.server.experiment import Experiment
from jd.server.portion import Portion
from jd.server.store.fleet import commands, failing
from jd.server.store.fleet.commands import Selection
from jd.server.store.operators import bulk
from jd.server.store.pages import workerlist
from jd.server.waiting import WaitingRoom

SOURCE = "dashboard"
MAX_LIMIT = 500
MAX_CHARS = p.MAX_NAME_CHARS + 100  # of a field in a URL
MAX_NAMED = 10_000  # workers in one command
SHOWN = 100  # ids in an answer
_SAID = "a command to workers"


class Workers:
    """`/web/workers` of one experiment."""

    def __init__(self, experiment: Experiment, live: Live, room: WaitingRoom) -> None:
        self._experiment = experiment
        self._live = live
        self._logs = room.logs
        self._rush = room.rush

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        router.add("GET", "/web/workers", self._list)
        router.add("GET", "/web/workers/hosts", self._hosts)
        router.add("GET", "/web/worker", self._one)
        router.add("GET", "/web/worker/log", self._log)
        router.add("POST", "/web/workers/command", self._command, max_body=4 * 1024 * 1024)
        router.add("POST", "/web/workers/retry-failed", self._retry_failed)

    async def _list(self, request: Request) -> Response:
        query = _query(request.query)

        async def make() -> Response:
            found = await self._experiment.read(lambda db: workerlist.page(db, query))
            return Response.json(found._asdict())

        return await self._live.shared(request, ("workers",), make)

    async def _hosts(self, request: Request) -> Response:
        """Active workers by host."""
        query = _query(request.query, by_host=True)

        async def make() -> Response:
            found = await self._experiment.read(lambda db: workerlist.hosts(db, query))
            return Response.json(found._asdict())

        return await self._live.shared(request, ("workers",), make)

    async def _one(self, request: Request) -> Response:
        worker_id = fields.read_name(request.query, "id")
        return Response.json(await self._experiment.read(lambda db: workerlist.one(db, worker_id)))

    async def _log(self, request: Request) -> Response:
        """The end of its log, which it sends while somebody asks for that; null until it has come."""
        worker_id = fields.read_name(request.query, "id")
        await self._experiment.read(lambda db: workerlist.check(db, worker_id))
        log = self._logs.look(worker_id)
        return Response.json({"text": log and log.text, "age": log and self._logs.age(log)})

    async def _command(self, request: Request) -> Response:
        """Tell workers something; an idle one hears it at once, a busy one that is held too."""
        body = await request.json_object()
        action = fields.take_word(body, "action", commands.ACTIONS)
        chosen, preview = _selection(body), fields.take(body, "preview", bool, False)
        told = await self._experiment.read(lambda db: commands.affected(db, action, chosen))
        if not preview:
            told = await self._experiment.begun.to_its_end(self._tell(action, told), _SAID)
        return Response.json({"success": True, "affected": len(told), "workers": told[:SHOWN]})

    async def _tell(self, action: str, candidates: List[str]) -> List[str]:
        told: List[str] = []
        start, portion = 0, Portion(commands.SLICE, commands.SECONDS, first=commands.FIRST)
        with self._rush.lasting():
            while start < len(candidates):
                some = candidates[start:start + portion.size]
                told += await self._experiment.write(portion.timed(partial(
                    commands.tell, action=action, worker_ids=some, source=SOURCE)))
                start += len(some)
        return told

    async def _retry_failed(self, request: Request) -> Response:
        """Put the jobs that failed on one worker back into the queue."""
        body = await request.json_object()
        worker_id = fields.take_name(body, "worker_id")
        experiment = self._experiment
        await experiment.read(lambda db: workerlist.check(db, worker_id))
        if fields.take(body, "preview", bool, False):
            matching = await experiment.read(lambda db: failing.count_failed_on(db, worker_id))
            return Response.json({"success": True, "matching": matching})
        changed = await experiment.begun.to_its_end(self._retry(worker_id), _SAID)
        return Response.json({"success": True, "changed": changed})

    async def _retry(self, worker_id: str) -> int:
        changed, after, reason = 0, 0, "it failed on %s" % worker_id
        experiment, portion = self._experiment, Portion(bulk.SLICE)
        while True:
            ids = await experiment.read(
                partial(failing.failed_on, worker_id=worker_id, after=after, limit=portion.size))
            if not ids:
                return changed
            changed += await experiment.write(portion.timed(partial(
                bulk.act, action=bulk.RETRY, ids=ids, reason=reason)))
            after = ids[-1]


def _query(given: Mapping[str, str], by_host: bool = False) -> workerlist.WorkerQuery:
    """Absent and empty are the same: a form sends its empty fields too."""
    named = {name: fields.read_text(given, name, MAX_CHARS)
             for name in ("tab", "host", "instance", "state", "text", "sort", "after") if given.get(name)}
    limit = fields.read_whole(given, "limit", 1, MAX_LIMIT, workerlist.WorkerQuery().limit)
    slot = fields.read_whole(given, "slot", 0, 2 ** 31, None)
    if by_host:
        named.setdefault("sort", "host")
    return workerlist.checked(workerlist.WorkerQuery(slot=slot, limit=limit, **named), by_host)


def _selection(body: Mapping[str, Any]) -> Selection:
    """Exactly one of `workers`, `host` (with or without `instance`) and `all`."""
    everybody = fields.take(body, "all", bool, False)
    named = None if body.get("workers") is None else fields.take_list(
        body, "workers", MAX_NAMED, ", or use host or all")
    host, instance = fields.take_name(body, "host", None), fields.take_name(body, "instance", None)
    if [everybody, named is not None, host is not None].count(True) != 1 or (
            instance is not None and host is None):
        raise p.ProtocolError("say whom: workers (a list of ids), host (with or without instance), "
                              "or all: true; one of them")
    if named is None:
        return Selection(None, host, instance)
    return Selection([fields.check_name(worker_id, "workers") for worker_id in named])
