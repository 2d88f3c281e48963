"""Builds the messages of one worker process to its server, and reads the answers.

A busy heartbeat renews the lease of the job that runs, an idle one claims the next. Each of them may bring
results, the last one in `finished`, and gives back the jobs that were not begun.

Extensions of the protocol are used only after the server has offered them (docs/protocol.md). `session`,
which names the worker process, `exp_id`, `tags`, and in an idle heartbeat what limits the worker, belong to
every heartbeat all the same, since the first answer may bring a job already: until then they go in a header.
"""

import secrets
import socket
from dataclasses import replace
from typing import Any, Callable, Dict, FrozenSet, Optional, Sequence, Tuple

import jd
from jd import protocol
from jd.errors import ServerRefused, ServerUnreachable
from jd.messages import BASE_RESULT, Assignment, Code, Heartbeat, HeartbeatReply, Release, Result, only
from jd.protocol import ProtocolError
from jd.worker.limits import Limits
from jd.worker.uplink.callthread import BEAT, CLAIM, LEAVE, REPORT, TELL, Answer, Call
from jd.worker.uplink.outbox import Entry
from jd.worker.verdict import PREEMPTED

CALL_TIMEOUT = 30.0  # seconds; for a held call, beyond the time that it is held
MIN_WAIT = 20.0  # seconds; proxies cut idle connections after 30 s or more
# Who is to exit when nothing is left asks so often: a held heartbeat does not tell.
LOOK_EVERY = 30.0
HASTE = 2.0  # seconds; the least that an answer may take, however short the lease is
BREAK_AFTER = 5.0  # seconds; a held call that fails sooner met no proxy's idle limit


class Link:
    """The worker's side of the conversation with one server."""

    def __init__(self, server: str, worker_id: str, machine_type: str,
                 metrics: Callable[[], Dict[str, Any]], limits: Limits = Limits(),
                 experiment: Optional[str] = None, tags: Tuple[str, ...] = (),
                 log_tail: Callable[[], str] = str) -> None:
        self.server = server
        self.worker_id = worker_id
        self.session = secrets.token_hex(8)  # names this worker process: another may have had its id
        self.server_id: Optional[str] = None
        self.away = False  # whether the last call met no server
        self.extensions: FrozenSet[str] = frozenset()
        self.applied_version = 0
        self.acknowledged_version = 0
        self.lease: Optional[float] = None  # seconds, of the job that this worker has, if the server tells
        self.wait = protocol.MAX_WAIT
        self._wait_before_break: Optional[float] = None
        self._may_hold_beats = True
        self._machine_type = machine_type
        self._metrics = metrics
        self._limits = limits
        self._experiment = experiment
        self._tags = tags
        self._log_tail = log_tail
        self.log_wanted = False  # whether somebody looks at this worker's log
        self.unstarted: Tuple[Release, ...] = ()  # given back, and the server does not know it yet
        self._code_told: Optional[Tuple[int, Optional[int]]] = None  # of which attempt the server has it
        self.runtime_p90: Optional[float] = None  # seconds, as the server told it last
        self._host = socket.gethostname()[:protocol.MAX_NAME_CHARS]

    @property
    def owes_acknowledgement(self) -> bool:
        """Whether the server does not know yet that its last command was applied."""
        return self.applied_version != self.acknowledged_version

    def offers(self, *extensions: str) -> bool:
        """Whether the server has offered all of these."""
        return self.extensions.issuperset(extensions)

    @property
    def is_reserved(self) -> bool:
        """Whether heartbeats keep to the base, since the server has offered no session."""
        return not self.offers(protocol.EXT_SESSION)

    def at_most(self, seconds: float) -> float:
        """`seconds`, or less: the longest pause that leaves the lease of this worker's job alone."""
        return seconds if self.lease is None else min(seconds, self.lease / 3)

    @property
    def patience(self) -> float:
        """Seconds for a call, beyond those for which it is held: there is to be time for another one."""
        return CALL_TIMEOUT if self.lease is None else min(CALL_TIMEOUT, max(HASTE, self.lease / 6))

    def give_back(self, assignments: Sequence[Assignment], reason: str) -> None:
        """Have the server know that these were not begun, with the next heartbeat that it takes."""
        self.unstarted += tuple(Release(assignment.job_id, assignment.attempt, reason)
                                for assignment in assignments if assignment.attempt is not None)

    # ---- calls

    def claim(self, entries: Sequence[Entry] = (), now: float = 0.0, hold: bool = False,
              prefetch: int = 0) -> Call:
        """An idle heartbeat: asks for a job, and for `prefetch` more, and may report results.

        One that carries a result is better not held: we want to know soon whether it was taken.
        """
        held = self.wait if hold and self.offers(protocol.EXT_WAIT) else 0.0
        left = self._limits.left()
        if self._limits.exit_when_empty:
            held = min(held, LOOK_EVERY)
        message = self._heartbeat(entries, now if len(entries) > 1 else None,
                                  wait=held or None, prefetch=prefetch,
                                  time_left=None if left is None else round(left, 1),
                                  min_time=None if left is None else self._limits.usual_time,
                                  exit_when_empty=self._limits.exit_when_empty)
        return self._call(CLAIM, message, held + self.patience, held, entries)

    def beat(self, assignment: Assignment, tail: str, hold: bool = False,
             ends_in: Optional[float] = None, code: Optional[Code] = None,
             size: Optional[int] = None, entries: Sequence[Entry] = (), now: float = 0.0) -> Call:
        """A busy heartbeat: renews the lease. One that is held comes back early when there is a
        command, or when somebody wants to see the output. `ends_in` is how many seconds it takes at most
        until the script has ended, where it has a timeout. `code` is told until the server has it. `tail` is
        the end of an output of `size` bytes."""
        attempt = assignment.attempt if self.offers(protocol.EXT_ATTEMPT) else None
        held = 0.0
        if hold and self._may_hold_beats and self.offers(protocol.EXT_WATCH):
            held = self.at_most(min(self.wait, protocol.BUSY_INTERVAL))
        message = self._heartbeat(
            entries, now, reported_status=protocol.BUSY, current_job_id=assignment.job_id,
            attempt=attempt, wait=held or None,
            output_tail=tail if self.offers(protocol.EXT_OUTPUT) else None,
            output_size=size if self.offers(protocol.EXT_LOG) else None,
            code=code if attempt is not None and self.offers(protocol.EXT_CODE)
            and self._code_told != (assignment.job_id, attempt) else None,
            ends_in=ends_in if self.offers(protocol.EXT_TIMEOUT) else None)
        return self._call(BEAT, message, held + self.patience, held, entries)

    def tell(self, entries: Sequence[Entry], now: float) -> Call:
        """A heartbeat that brings results and gives jobs back, and asks for nothing: it says busy, so that no
        server answers it with a job."""
        message = self._heartbeat(entries, now, reported_status=protocol.BUSY)
        return self._call(TELL, message, self.patience, entries=entries)

    def report(self, entry: Entry, timeout: float, now: Optional[float] = None) -> Call:
        """A result by itself, as every server understands it; how long ago it ended where `now` is given."""
        result = self._told_at(entry, now)
        if result.verdict == protocol.VERDICT_PREEMPTED:
            result = replace(result, message=PREEMPTED + result.message)
        told = result.to_json()
        if not self.offers(protocol.EXT_FINISH):
            told = only(BASE_RESULT, told)
        return Call(REPORT, protocol.UPDATE_JOB_STATUS, told, timeout, entry=entry)

    def can_claim_with(self, entry: Entry) -> bool:
        """Whether `claim` can carry this result."""
        return (self.offers(protocol.EXT_FINISH)
                and entry.result.verdict != protocol.VERDICT_PREEMPTED)

    def can_leave_with(self, entry: Entry) -> bool:
        """Whether `leave` can carry this result."""
        if entry.result.verdict == protocol.VERDICT_PREEMPTED:
            return self.offers(protocol.EXT_RELEASE) and entry.result.attempt is not None
        return self.can_claim_with(entry)

    def leave(self, timeout: float, entries: Sequence[Entry] = (), now: float = 0.0) -> Call:
        """The last heartbeat. It says busy, so that no server answers it with a job."""
        ended, released = entries, None
        if entries and entries[-1].result.verdict == protocol.VERDICT_PREEMPTED:
            result = entries[-1].result
            assert result.attempt is not None
            ended, released = entries[:-1], Release(
                result.job_id, result.attempt, result.message, result.output_tail, result.output_size)
        message = self._heartbeat(ended, now if len(entries) > 1 else None,
                                  reported_status=protocol.BUSY, released=released,
                                  leave=self.offers(protocol.EXT_LEAVE))
        return self._call(LEAVE, message, timeout, entries=entries)

    def _call(self, kind: str, message: Heartbeat, timeout: float, held: float = 0.0,
              entries: Sequence[Entry] = ()) -> Call:
        """A heartbeat that carries results."""
        return Call(kind, protocol.HEARTBEAT, message.to_json(), timeout, held,
                    entries[-1] if entries else None, tuple(entries[:-1]), reserved=self.is_reserved)

    def _told(self, result: Result) -> Result:
        """A result as this server is told it: the code goes to who has offered to take it."""
        return result if self.offers(protocol.EXT_CODE) else replace(result, code=None)

    def _told_at(self, entry: Entry, now: Optional[float]) -> Result:
        """The same, and how long ago it ended, if that is to be told."""
        told = self._told(entry.result)
        if now is None or entry.ended is None:
            return told
        return replace(told, ended_ago=round(max(0.0, now - entry.ended), 3))

    def _heartbeat(self, entries: Sequence[Entry] = (), now: Optional[float] = None,
                   **more: Any) -> Heartbeat:
        """What every heartbeat says of the worker; the results of jobs that have ended, and how long ago
        where `now` is given; and `more`, fields that this one has."""
        ended = tuple(self._told_at(entry, now) for entry in entries)
        return Heartbeat(
            finished=ended[-1] if ended else None, finished_before=ended[:-1], unstarted=self.unstarted,
            worker_id=self.worker_id, host=self._host, machine_type=self._machine_type,
            applied_version=self.applied_version, system_metrics=self._metrics(),
            jd_worker_version=jd.__version__, session=self.session, exp_id=self._experiment,
            tags=self._tags,
            log_tail=self._log_tail() if self.log_wanted else None, **more)

    # ---- answers

    def absorb(self, answer: Answer) -> HeartbeatReply:
        """The reply to a heartbeat, and what it tells of the server.

        Raises ServerUnreachable for an answer that no job server gives (a captive portal, a wrong
        port): that is no server for us.
        """
        if not isinstance(answer.body, dict):
            raise ServerUnreachable("%s answered a heartbeat with %s instead of an object: it is "
                                    "no job server" % (self.server, protocol.shown(answer.body)))
        try:
            reply = HeartbeatReply.from_json(answer.body)
        except ProtocolError as error:
            raise ServerUnreachable("%s answered a heartbeat wrongly: %s"
                                    % (self.server, error)) from None
        self.extensions = frozenset(reply.extensions)
        if answer.call.kind != TELL:  # which names no job
            self.lease = reply.lease
        self.log_wanted = bool(reply.log_wanted) and self.offers(protocol.EXT_WORKER_LOG)
        if reply.runtime_p90 is not None:
            self.runtime_p90 = reply.runtime_p90
        if self.server_id is not None and reply.server_id != self.server_id:
            self.applied_version = self.acknowledged_version = 0  # other data, other commands
        else:
            self.acknowledged_version = answer.call.body["applied_version"]
            if answer.call.body.get("code") is not None:
                self._code_told = (answer.call.body["current_job_id"], answer.call.body["attempt"])
        self.server_id = reply.server_id
        self.knows(answer.call)
        if answer.call.held:
            self._wait_before_break = None
        return reply

    def knows(self, call: Call) -> None:
        """The jobs that a call has given back need not be given back again."""
        told = [(given["job_id"], given["attempt"]) for given in call.unstarted]
        self.unstarted = tuple(given for given in self.unstarted if (given.job_id, given.attempt) not in told)

    def held_call_broke(self, answer: Answer) -> bool:
        """Whether a held heartbeat seems to have been cut by something between us and the server.

        The next one then waits half as long. That is no outage, until the shortest wait of a claim
        breaks too; a beat does without being held before it comes to that.
        """
        error, call = answer.error, answer.call
        cut = isinstance(error, ServerUnreachable) or (
            isinstance(error, ServerRefused) and error.status in (502, 504))
        if not cut or not call.held or answer.took < BREAK_AFTER:
            return False
        if call.held <= MIN_WAIT:
            if call.kind == BEAT:
                self._may_hold_beats = False
            return call.kind == BEAT
        if self._wait_before_break is None:
            self._wait_before_break = self.wait
        self.wait = max(MIN_WAIT, call.held / 2)
        return True

    def outage_began(self) -> None:
        """The server is away: what broke the last held call was its end, not a proxy's limit."""
        self.away = True
        self._may_hold_beats = True
        if self._wait_before_break is not None:
            self.wait = self._wait_before_break
            self._wait_before_break = None
