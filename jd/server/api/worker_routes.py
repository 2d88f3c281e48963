"""What workers and their scripts call (docs/protocol.md, "Base: worker → job server").

Handlers convert JSON once, run one operation of the store, and never block.
"""

import asyncio
import sqlite3
from functools import lru_cache, partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

from jd import fields, messages
from jd import protocol as p
from jd.fields import check_object
from jd.killpoint import killpoint
from jd.net.jsonbody import parse_json
from jd.net.serving.routing import DEFAULT_MAX_BODY, JSON_TYPE, Handler, Request, Response, Router
from jd.server.api import addressee
from jd.server.api.access import WORK, Access, Principal
from jd.server.api.receiving import Receiver
from jd.server.downloads import file_response
from jd.server.driving import sweep
from jd.server.experiment import Experiment
from jd.server.portion import Portion
from jd.server.steady import Said, Steady
from jd.server.store.files import files, outputs, resultfile, results
from jd.server.store.fleet import presence, workers
from jd.server.store.queue import attempts, ending, jobs, timeleft
from jd.server.store.reports import historyfile, interpreting, taking
from jd.server.store.transaction import Transaction
from jd.server.waiting import Ticket, WaitingRoom

MAX_RESULT = 256 * 1024
MAX_HEARTBEAT = (1 + p.MAX_PREFETCH) * MAX_RESULT
# The file, and room for boundaries, part headers and fields around it.
MAX_UPLOAD_BODY = p.MAX_FILE_BYTES + 64 * 1024
MAX_PIECE_BODY = 6 * p.MAX_PIECE_BYTES + 1024  # a character may be sent as \u0000
MAX_CLEARED = 10_000
CLEARED_SLICE = 200  # workers in one operation at most, so that heartbeats are not kept waiting


class WorkerRoutes:
    """The routes of workers on one experiment."""

    def __init__(self, experiment: Experiment, room: WaitingRoom, access: Access, steady: Steady) -> None:
        self._experiment = experiment
        self._steady = steady
        self._room = room
        self._access = access
        self._outputs = outputs.Outputs(experiment.data_dir)

    def add_to(self, router: Router) -> None:
        """Put the routes into a router."""
        def add(method: str, pattern: str, handler: Handler, max_body: int = DEFAULT_MAX_BODY) -> None:
            router.add(method, pattern, handler, max_body=max_body, role=WORK)

        add("POST", p.HEARTBEAT, self.heartbeat, MAX_HEARTBEAT)
        add("POST", p.UPDATE_JOB_STATUS, self.update_job_status, MAX_RESULT)
        add("POST", p.OUTPUT, self.output, MAX_PIECE_BODY)
        add("POST", p.REPORT, self.report, MAX_PIECE_BODY)
        add("POST", p.UPLOAD, self.upload, MAX_UPLOAD_BODY)
        add("POST", p.CHECKPOINT, self.checkpoint, MAX_UPLOAD_BODY)
        add("GET", p.LATEST_CHECKPOINT, self.latest_checkpoint)
        add("GET", p.JOB_COUNTS, self.job_counts)
        add("GET", p.SWEEP, self.sweep)
        add("POST", p.CLI_STOP, self.cli_stop)
        add("POST", p.CLI_CLEAR_ALL, self.cli_clear_all, 4 * 1024 * 1024)

    async def heartbeat(self, request: Request) -> Response:
        """Liveness, result, release, command and job in one; held open while there is nothing."""
        beat = messages.Heartbeat.from_json({**_in_header(request), **await request.json_object()})
        experiment, idle = self._experiment, beat.reported_status == p.IDLE
        addressee.check(beat.exp_id, experiment.name)
        caller = _caller(request)
        with self._room.ticket(beat.worker_id, beat.session, idle,
                               None if idle else beat.current_job_id, beat.exit_when_empty) as ticket:
            said = Said(beat, caller.user, caller.reach)
            answer = self._steady.answer(said)
            if answer is None:
                answer = await experiment.write(
                    lambda t: workers.heartbeat(t, beat, caller.user, caller.reach), repeats=True)
                killpoint("heartbeat.after-commit")
                self._steady.keep(said, answer, ticket)
            ticket.supersede()
            if beat.log_tail is not None:
                self._room.logs.take(beat.worker_id, beat.log_tail)
            answer = await self._hold(request, beat, ticket, answer)
            if answer.reply.job is not None and ticket.superseded:
                ticket.hand_over()
            woken = ticket.woken
        reply = answer.reply
        followed = beat.session is not None and self._room.logs.watched(beat.worker_id)
        if followed:
            reply = reply._replace(log_wanted=True)
        if not idle and beat.wait is not None and (
                followed or self._room.watching.watched(beat.current_job_id)):
            reply = reply._replace(interval=min(p.WATCHED_INTERVAL, reply.interval))
        body = (_body if reply.job is not None else _same_body)(
            reply, experiment.server_id, self._access.checkpoint_key if caller.local else None)
        # Of those that were woken together, who has heard waits for the others.
        return Response(200, body, JSON_TYPE, next_waits=woken)

    async def _hold(self, request: Request, beat: messages.Heartbeat, ticket: Ticket,
                    answer: workers.Answer) -> workers.Answer:
        """Wait until there is something to tell, or the time is up. Returns what there is then."""
        experiment, loop, room = self._experiment, asyncio.get_running_loop(), self._room
        came, since = loop.time(), experiment.clock.elapsed()
        until = came + min(beat.wait or 0.0, p.MAX_WAIT)
        if until <= came and not ticket.called:
            return answer
        while answer.may_wait and not room.closed and not ticket.superseded:
            # Who is to send its log, or does, is heard of again soon.
            if ticket.nudged or beat.log_tail is not None and room.logs.watched(beat.worker_id):
                break
            if not ticket.idle:
                until = min(until, came + answer.reply.interval)  # lest holding it cost the lease
                if room.watching.watched(ticket.job_id):
                    break
            called = await ticket.wait(until - loop.time())
            if not called or ticket.superseded:
                break
            # Its token may have been revoked while it waited.
            self._access(request)
            for_job = ticket.called_for_job
            if not ticket.idle or ticket.called_for_command:
                answer = await ticket.look(experiment.look_up_together(self._told, beat))
            if ticket.idle and not answer.reply.pending:
                answer = await ticket.look(experiment.write(
                    lambda t: workers.answer(t, beat, timeleft.limit_of(
                        beat, t.now - (experiment.clock.elapsed() - since))), repeats=True))
            if for_job and answer.reply.job is None and not answer.may_wait:
                ticket.pass_on()  # it was told something else
            elif answer.left_over:
                ticket.leave_to_others()
        return answer

    def _told(self, db: sqlite3.Connection, beats: Sequence[messages.Heartbeat]) -> List[workers.Answer]:
        return workers.told(db, beats, self._experiment.policy)

    async def update_job_status(self, request: Request) -> Response:
        """A result on its own: from a client of the base protocol, or out of a worker's outbox."""
        result = messages.Result.from_json(await request.json_object())
        reach = _caller(request).reach

        def take(t: Transaction) -> Optional[messages.Retry]:
            taken = ending.finish(t, result, reach)
            if result.attempt is None:
                presence.reported(t, result.job_id)
            return taken

        retry = await self._experiment.write(take, repeats=True)
        killpoint("result.after-commit")
        self._steady.forget_job(result.job_id)
        told = {} if retry is None else {"retry_in": retry.pause}
        return Response.json(dict(told, message="job %d is %s" % (result.job_id, result.status),
                                  job_id=result.job_id, status=result.status))

    async def output(self, request: Request) -> Response:
        """A piece of what an attempt prints: how far it is here, and how often more is wanted."""
        piece, reach = messages.OutputPiece.from_json(await request.json_object()), _caller(request).reach
        await self._experiment.look_up(
            lambda db: attempts.check_running(db, piece.job_id, piece.attempt, reach))
        size = await asyncio.get_running_loop().run_in_executor(None, self._outputs.take, piece)
        watched = self._room.watching.watched(piece.job_id)
        return Response.json({"size": size, "every": p.WATCHED_INTERVAL if watched else p.OUTPUT_INTERVAL})

    async def report(self, request: Request) -> Response:
        """Some reports of an attempt: how many of it are here, and in how many seconds more are wanted."""
        piece, reach = messages.Reports.from_json(await request.json_object()), _caller(request).reach
        await self._experiment.look_up(
            lambda db: attempts.check_running(db, piece.job_id, piece.attempt, reach))
        said = await asyncio.get_running_loop().run_in_executor(
            None, interpreting.interpret, piece.reports)
        count = await self._experiment.write(lambda t: taking.take(t, piece, said, reach))
        killpoint("reports.after-commit")
        watched = self._room.watching.watched(piece.job_id)
        return Response.json({"count": count, "every": p.WATCHED_INTERVAL if watched else p.REPORT_INTERVAL})

    async def upload(self, request: Request) -> Response:
        """A file of a job."""
        async with Receiver(self._experiment, "file", _caller(request).reach) as receiver:
            await receiver.receive(request)
            job_id, attempt = receiver.job()
            name, path = files.check_file_name(receiver.filename), receiver.path()
            found: Optional[resultfile.Numbers] = None
            history: Optional[historyfile.Ready] = None
            loop, there = asyncio.get_running_loop(), (receiver.incoming.path, receiver.incoming.size)
            if name in resultfile.FILE_NAMES:
                found = await loop.run_in_executor(None, resultfile.read, *there)
            elif name == historyfile.FILE_NAME:
                job = await self._experiment.look_up(lambda db: jobs.find(db, job_id))
                history = await loop.run_in_executor(
                    None, historyfile.read, *there, job.request_timestamp, self._experiment.clock())

            def place(t: Transaction) -> files.Stored:
                stored = files.add_upload(t, self._experiment.data_dir, job_id, attempt, name,
                                          receiver.incoming, receiver.reach, path)
                if found is not None:
                    results.take(t, job_id, name, found)
                if history is not None:
                    historyfile.take(t, job_id, history)
                return stored

            stored = await self._experiment.write(place)
        killpoint("upload.after-commit")
        return _stored(stored)

    async def checkpoint(self, request: Request) -> Response:
        """A checkpoint of a job."""
        async with Receiver(self._experiment, "checkpoint", _caller(request).reach) as receiver:
            await receiver.receive(request)
            job_id, attempt = receiver.job()
            stored = await self._experiment.write(lambda t: files.add_checkpoint(
                t, self._experiment.data_dir, job_id, attempt, receiver.incoming, receiver.reach))
        killpoint("checkpoint.after-commit")
        return _stored(stored)

    async def latest_checkpoint(self, request: Request) -> Response:
        """The bytes of the newest checkpoint of `?job_id=N`: of an object, or with `kind=` of that kind.

        Published clients ask without a kind and unpickle whatever comes, so they never get an archive.
        """
        job_id = fields.read_id(request.query, "job_id")
        kind = fields.read_word(request.query, "kind", (p.OBJECT, p.DIRECTORY), p.OBJECT)
        caller = _caller(request)
        if caller.role == WORK:
            await self._experiment.look_up(
                lambda db: attempts.check_running(db, job_id, None, caller.reach))
        return await file_response(await self._experiment.look_up(
            lambda db: files.latest_checkpoint(db, self._experiment.data_dir, job_id, kind)))

    async def job_counts(self, request: Request) -> Response:
        """Jobs by status."""
        return Response.json(await self._experiment.look_up(jobs.counts))

    async def sweep(self, request: Request) -> Response:
        """Whether jobs that wait are handed out, and why not; how fast they end."""
        return Response.json(await sweep.told(self._experiment))

    async def cli_stop(self, request: Request) -> Response:
        """The command line on a worker's machine stops it."""
        body = await request.json_object()
        action = fields.take_word(body, "action", p.CLI_ACTIONS, "stop")
        worker_id, job_id = fields.take_name(body, "worker_id"), fields.take_id(body, "job_id", None)
        source, reach = fields.take_name(body, "source", "unknown"), _caller(request).reach
        requeue, session = fields.take(body, "requeue", bool, False), fields.take_name(body, "session", None)
        stopped = await self._experiment.write(
            lambda t: workers.stopped_by_cli(t, worker_id, job_id, action, source, reach, requeue, session))
        self._steady.forget(worker_id)
        return Response.json({"success": True, "job_aborted": stopped.aborted,
                              "job_requeued": stopped.requeued})

    async def cli_clear_all(self, request: Request) -> Response:
        """The command line wipes its machine: all the workers that it knew are gone. Of those that it
        names, other users' are passed over."""
        body = await request.json_object()
        source = fields.take_name(body, "source", "unknown")
        named = [(fields.take_name(entry, "worker_id"), fields.take_id(entry, "job_id", None),
                  fields.take_name(entry, "session", None))
                 for entry in map(fields.check_object, fields.take_list(body, "workers", MAX_CLEARED))]
        reach, requeue = _caller(request).reach, fields.take(body, "requeue", bool, False)

        def clear(t: Transaction, some: List[Tuple[str, Optional[int], Optional[str]]]) -> int:
            passed_over = 0
            for worker_id, job_id, session in some:
                try:
                    workers.stopped_by_cli(t, worker_id, job_id, "clear_all", source, reach, requeue, session)
                except workers.AnothersWorker:
                    passed_over += 1
            return len(some) - passed_over

        async def clear_all() -> int:
            processed, start, portion = 0, 0, Portion(CLEARED_SLICE)
            while start < len(named):
                some = named[start:start + portion.size]
                processed += await self._experiment.write(portion.timed(partial(clear, some=some)))
                for worker_id, _, _ in some:
                    self._steady.forget(worker_id)
                start += len(some)
            return processed

        processed = await self._experiment.begun.to_its_end(clear_all(), "the end of a machine's workers")
        return Response.json({"success": True, "processed": processed})


def _body(reply: messages.HeartbeatReply, server_id: str, checkpoint_key: Optional[str]) -> bytes:
    told = dict(reply.to_json(), server_id=server_id)
    if checkpoint_key is not None:
        told["checkpoint_key"] = checkpoint_key
    return Response.json(told).body


_same_body = lru_cache(maxsize=256)(_body)  # where no job comes along many are the same


def _in_header(request: Request) -> Dict[str, Any]:
    """What a heartbeat says that was made before the server had offered an extension."""
    given = request.headers.get(p.HEARTBEAT_HEADER.lower())
    return {} if given is None else check_object(parse_json(given.encode("utf-8")))


def _caller(request: Request) -> Principal:
    principal: Principal = request.principal
    return principal


def _stored(stored: files.Stored) -> Response:
    return Response.json({"success": True, "filename": stored.filename, "version": stored.version,
                          "size_bytes": stored.size_bytes})
