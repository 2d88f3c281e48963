"""The messages between a worker and its server, as dataclasses and tuples with names.

A message is a dict only on the wire: `from_json` reads one and raises ProtocolError for what is missing or of
the wrong type; `to_json` is the way back. `docs/protocol.md` describes each. What every heartbeat needs is a
tuple: to make a frozen dataclass of so many fields takes several times as long.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Mapping, NamedTuple, Optional, Tuple

from jd.fields import take, take_id, take_name, take_number, take_objects, take_tags, take_whole, take_word
from jd.protocol import (
    ABORTED,
    BUSY,
    DESIRED_STATES,
    DONE,
    IDLE,
    IDLE_INTERVAL,
    MAX_DISTRIBUTIONS,
    MAX_MESSAGE_CHARS,
    MAX_NAME_CHARS,
    MAX_PIECE_BYTES,
    MAX_PREFETCH,
    MAX_REPORTS_IN_PIECE,
    MAX_TAIL_CHARS,
    REPORTED_VERDICTS,
    RUN,
    SERVED,
    VERDICT_DONE,
    VERDICT_FAILED,
    VERDICT_KILLED,
    YEAR,
    ProtocolError,
    shown,
)


def _take_text(body: Mapping[str, Any], name: str, limit: int) -> str:
    """Field `name`, or nothing. What is too long ends in …: a result or a heartbeat is worth more
    than the end of a text in it."""
    text = take(body, name, str, "")
    return text if len(text) <= limit else text[:limit - 1] + "…"


def _take_tail(body: Mapping[str, Any], name: str = "output_tail") -> str:
    return take(body, name, str, "")[-MAX_TAIL_CHARS:]


def _take_size(body: Mapping[str, Any], name: str) -> Optional[int]:
    return take_whole(body, name, 0, 2 ** 53)


def _take_code(body: Mapping[str, Any]) -> "Optional[Code]":
    code = take(body, "code", dict, None)
    return None if code is None else Code.from_json(code)


def _without_none(message: Dict[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in message.items() if value is not None}


@dataclass(frozen=True)
class Code:
    """Which code an attempt ran; of everything None where it is not known.

    `script` is the name of the entry script and `hash` the SHA-256 of its content. `commit` is the git commit
    of its directory, which is `clean` where no file of the commit was changed. `interpreter` is a path and
    `version` its version; `distributions` are the versions of the distributions that the script imports, by
    name. `snapshot` is the SHA-256 of the copy of the directory that it ran from.
    """

    script: Optional[str] = None
    hash: Optional[str] = None
    commit: Optional[str] = None
    clean: Optional[bool] = None
    interpreter: Optional[str] = None
    version: Optional[str] = None
    distributions: Optional[Mapping[str, str]] = field(default=None, hash=False)
    snapshot: Optional[str] = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Code":
        """What is too long is cut: a result is worth more than that."""
        found = take(body, "distributions", dict, None)
        return cls(
            **{name: _take_text(body, name, MAX_NAME_CHARS) or None
               for name in ("script", "hash", "commit", "interpreter", "version", "snapshot")},
            clean=take(body, "clean", bool, None),
            distributions=None if found is None else {
                str(name)[:MAX_NAME_CHARS]: _take_text(found, name, MAX_NAME_CHARS)
                for name in sorted(found)[:MAX_DISTRIBUTIONS]})

    def to_json(self) -> Dict[str, Any]:
        return _without_none(dict(self.__dict__))


@dataclass(frozen=True)
class Result:
    """How an attempt ended: the body of `/update_job_status`, and `finished` in a heartbeat.

    `exit_code` is negative for a signal; `runtime` is in seconds. `final` says that another try would fail
    likewise; `code` is what ran. `output_size` is how many bytes of UTF-8 the output had of which
    `output_tail` is the end; `ended_ago` is how many seconds before this was told the script had ended, of
    results that were told together. A client that knows only the base protocol sends `job_id`, `status` and
    `message`.
    """

    job_id: int
    status: str
    message: str = ""
    attempt: Optional[int] = None
    verdict: Optional[str] = None
    exit_code: Optional[int] = None
    runtime: Optional[float] = None
    output_tail: str = ""
    final: bool = False
    code: Optional[Code] = None
    output_size: Optional[int] = None
    ended_ago: Optional[float] = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Result":
        status = take_word(body, "status", (DONE, ABORTED))
        verdict = take(body, "verdict", str, None)
        if verdict is not None and (verdict not in REPORTED_VERDICTS
                                    or (verdict == VERDICT_DONE) != (status == DONE)):
            allowed = [v for v in REPORTED_VERDICTS if (v == VERDICT_DONE) == (status == DONE)]
            raise ProtocolError("verdict of a job that is %s must be one of %s, not %s" % (
                status, ", ".join(allowed), shown(verdict)))
        exit_code = take(body, "exit_code", int, None)
        if exit_code is not None and abs(exit_code) >= 2 ** 31:
            raise ProtocolError("exit_code is out of range: %s" % shown(exit_code))
        return cls(
            job_id=take_id(body, "job_id"),
            status=status,
            message=_take_text(body, "message", MAX_MESSAGE_CHARS),
            attempt=take_id(body, "attempt", None),
            verdict=verdict,
            exit_code=exit_code,
            runtime=take_number(body, "runtime"),
            output_tail=_take_tail(body),
            final=take(body, "final", bool, False),
            code=_take_code(body),
            output_size=_take_size(body, "output_size"),
            ended_ago=take_number(body, "ended_ago"),
        )

    def to_json(self) -> Dict[str, Any]:
        return _without_none(dict(self.__dict__, final=self.final or None,
                                  code=None if self.code is None else self.code.to_json()))

    def settled_verdict(self) -> str:
        """The verdict, worked out from status and exit code where the client did not say."""
        if self.verdict is not None:
            return self.verdict
        if self.status == DONE:
            return VERDICT_DONE
        return VERDICT_KILLED if (self.exit_code or 0) < 0 else VERDICT_FAILED


@dataclass(frozen=True)
class Release:
    """An attempt that its worker gives back unfinished; its output is as that of a Result."""

    job_id: int
    attempt: int
    reason: str = ""
    output_tail: str = ""
    output_size: Optional[int] = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Release":
        return cls(take_id(body, "job_id"), take_id(body, "attempt"),
                   _take_text(body, "reason", MAX_MESSAGE_CHARS), _take_tail(body),
                   _take_size(body, "output_size"))

    def to_json(self) -> Dict[str, Any]:
        return _without_none(dict(self.__dict__, output_tail=self.output_tail or None))


@dataclass(frozen=True)
class OutputPiece:
    """Part of what an attempt has printed: the body of `POST /worker/output`.

    `offset` is in bytes of UTF-8 from the beginning of its output. `after_gap` says that the worker no longer
    has what comes before, `final` that nothing comes after.
    """

    job_id: int
    attempt: int
    offset: int
    output: str
    after_gap: bool = False
    final: bool = False

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "OutputPiece":
        output, offset = take(body, "output", str), _take_size(body, "offset")
        if offset is None:
            raise ProtocolError("offset is missing: give the place in the output, in bytes")
        if len(output.encode("utf-8")) > MAX_PIECE_BYTES:
            raise ProtocolError("output is longer than %d bytes, the most that is taken at once"
                                % MAX_PIECE_BYTES)
        return cls(take_id(body, "job_id"), take_id(body, "attempt"), offset, output,
                   take(body, "after_gap", bool, False), take(body, "final", bool, False))

    def to_json(self) -> Dict[str, Any]:
        return dict(self.__dict__)


class Report(NamedTuple):
    """What a script told while it ran: when, in seconds from its start, and the object that it gave."""

    seconds: float
    told: Dict[str, Any]


@dataclass(frozen=True)
class Reports:
    """Part of what the script of an attempt has reported: the body of `POST /worker/report`.

    `first` is the number of the first of these in its attempt, from 0 on, so that the same may be sent
    twice. `final` says that nothing comes after.
    """

    job_id: int
    attempt: int
    first: int
    reports: Tuple[Report, ...]
    final: bool = False

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Reports":
        first, given = _take_size(body, "first"), take(body, "reports", list)
        if first is None:
            raise ProtocolError("first is missing: give the number of the first report, from 0 on")
        if len(given) > MAX_REPORTS_IN_PIECE:
            raise ProtocolError("there are %d reports; at most %d are taken at once"
                                % (len(given), MAX_REPORTS_IN_PIECE))
        return cls(take_id(body, "job_id"), take_id(body, "attempt"), first,
                   tuple(_report(one) for one in given), take(body, "final", bool, False))

    def to_json(self) -> Dict[str, Any]:
        return dict(self.__dict__, reports=[list(one) for one in self.reports])


def _report(given: Any) -> Report:
    if isinstance(given, list) and len(given) == 2 and isinstance(given[1], dict):
        seconds = given[0]
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= YEAR:
            return Report(float(seconds), given[1])
    raise ProtocolError("report %s is not [seconds, object], the seconds from 0 to a year" % shown(given))


BASE_HEARTBEAT = frozenset((
    "worker_id", "host", "machine_type", "reported_status", "current_job_id", "applied_version",
    "system_metrics", "jd_worker_version"))
BASE_RESULT = frozenset(("job_id", "status", "message"))


def only(fields: FrozenSet[str], message: Mapping[str, Any]) -> Dict[str, Any]:
    """A message without what its base does not have."""
    return {name: value for name, value in message.items() if name in fields}


class Heartbeat(NamedTuple):
    """What a worker says of itself: the body of `POST /worker/heartbeat`.

    `wait` is in seconds, and so is `time_left`: how long until the scheduler ends the worker.
    `min_time` is what a job needs whose sweep does not say; `tags` are what jobs may need that this worker
    has, besides its `machine_type`. `ends_in` is how many seconds it takes at most until the worker has ended
    a script that has a timeout; `code` is what runs as the job. `died` is what somebody else says who has
    found the worker dead: how many were found at once, with this one. `log_tail` is the end of the worker's
    log, for whom the server has asked. `prefetch` is how many more jobs an idle worker would take at once, as
    they are short; `finished_before` are results of such, in the order in which they ended, and `unstarted`
    those that it gives back as it has not begun them. Everything from `session` on belongs to an extension.
    """

    worker_id: str
    host: str = ""
    machine_type: str = ""
    reported_status: str = IDLE
    current_job_id: Optional[int] = None
    applied_version: int = 0
    system_metrics: Mapping[str, Any] = {}
    jd_worker_version: str = ""
    session: Optional[str] = None
    attempt: Optional[int] = None
    wait: Optional[float] = None
    finished: Optional[Result] = None
    released: Optional[Release] = None
    output_tail: Optional[str] = None
    output_size: Optional[int] = None
    leave: bool = False
    time_left: Optional[float] = None
    min_time: Optional[float] = None
    exit_when_empty: bool = False
    exp_id: Optional[str] = None
    tags: Tuple[str, ...] = ()
    ends_in: Optional[float] = None
    code: Optional[Code] = None
    died: int = 0
    log_tail: Optional[str] = None
    prefetch: int = 0
    finished_before: Tuple[Result, ...] = ()
    unstarted: Tuple[Release, ...] = ()

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Heartbeat":
        status = take_word(body, "reported_status", (IDLE, BUSY), IDLE)
        applied = take(body, "applied_version", int, 0)
        if not 0 <= applied < 2 ** 53:
            raise ProtocolError("applied_version is out of range: %s" % shown(applied))
        finished = take(body, "finished", dict, None)
        released = take(body, "released", dict, None)
        return cls(
            worker_id=take_name(body, "worker_id"),
            host=_take_text(body, "host", MAX_NAME_CHARS),
            machine_type=_take_text(body, "machine_type", MAX_NAME_CHARS),
            reported_status=status,
            current_job_id=take_id(body, "current_job_id", None),
            applied_version=applied,
            system_metrics=take(body, "system_metrics", dict, {}),
            jd_worker_version=_take_text(body, "jd_worker_version", MAX_NAME_CHARS),
            session=take_name(body, "session", None),
            attempt=take_id(body, "attempt", None),
            wait=take_number(body, "wait", high=86400.0),
            finished=Result.from_json(finished) if finished is not None else None,
            released=Release.from_json(released) if released is not None else None,
            output_tail=_take_tail(body) if body.get("output_tail") is not None else None,
            output_size=_take_size(body, "output_size"),
            leave=take(body, "leave", bool, False),
            time_left=take_number(body, "time_left"),
            min_time=take_number(body, "min_time"),
            exit_when_empty=take(body, "exit_when_empty", bool, False),
            exp_id=take_name(body, "exp_id", None),
            tags=take_tags(body, "tags"),
            ends_in=take_number(body, "ends_in"),
            code=_take_code(body),
            died=take(body, "died", int, 0),
            log_tail=_take_tail(body, "log_tail") if body.get("log_tail") is not None else None,
            prefetch=take_whole(body, "prefetch", 0, MAX_PREFETCH) or 0,
            finished_before=tuple(map(Result.from_json, take_objects(body, "finished_before", MAX_PREFETCH))),
            unstarted=tuple(map(Release.from_json, take_objects(body, "unstarted", MAX_PREFETCH))),
        )

    def to_json(self) -> Dict[str, Any]:
        message = _without_none(self._asdict())
        message["current_job_id"] = self.current_job_id  # the base protocol sends null
        if self.finished is not None:
            message["finished"] = self.finished.to_json()
        if self.released is not None:
            message["released"] = self.released.to_json()
        if self.code is not None:
            message["code"] = self.code.to_json()
        message["tags"] = list(self.tags)
        message["finished_before"] = [result.to_json() for result in self.finished_before]
        message["unstarted"] = [release.to_json() for release in self.unstarted]
        for name in ("leave", "exit_when_empty", "tags", "died", "prefetch", "finished_before", "unstarted"):
            if not message[name]:
                del message[name]
        return message


class Assignment(NamedTuple):
    """A job handed to a worker. `attempt` is None from a server that knows only the base.

    `min_time` and `timeout` are in seconds, as its sweep says: what the job needs, and how long its script
    may run. `from_scratch` is the attempt with which the job began from scratch: it uses nothing that earlier
    ones left. None: all count. `flags` is how its script gets the parameters, in place of what its worker's
    launch says: of FLAG_STYLES, or a word of a later version.
    """

    job_id: int
    parameters: Dict[str, Any]
    attempt: Optional[int] = None
    min_time: Optional[float] = None
    timeout: Optional[float] = None
    from_scratch: Optional[int] = None
    flags: Optional[str] = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Assignment":
        return cls(take_id(body, "job_id"), take(body, "parameters", dict, {}),
                   take_id(body, "attempt", None), take_number(body, "min_time"),
                   take_number(body, "timeout"), take_id(body, "from_scratch", None),
                   take(body, "flags", str, None))

    def to_json(self) -> Dict[str, Any]:
        return _without_none({"job_id": self.job_id, "parameters": self.parameters,
                              "status": SERVED, "attempt": self.attempt,
                              "min_time": self.min_time, "timeout": self.timeout,
                              "from_scratch": self.from_scratch, "flags": self.flags})


@dataclass(frozen=True)
class Retry:
    """What becomes of a job that has failed: PENDING again after `pause` seconds, or never (None)."""

    pause: Optional[float]

    @classmethod
    def told(cls, body: Mapping[str, Any], name: str) -> "Optional[Retry]":
        """What field `name` of an answer says, seconds or null; None where there is no such field."""
        return cls(take_number(body, name)) if name in body else None


class HeartbeatReply(NamedTuple):
    """What the server answers a heartbeat. Intervals are in seconds.

    `server_id` names the data that the server keeps: results that waited on disk are delivered
    only to the data they belong to. `needs` says that jobs are PENDING of which none can end in the
    worker's `time_left`, and what the shortest of them needs; `runtime_p90` is the 90th percentile
    of recent runtimes; `empty` tells whether nothing is left that could still become a job.
    `finished_retry` is about the failed attempt that the heartbeat has reported.
    `lease` is how long the server waits for the next heartbeat before it gives the worker's job to another.
    `checkpoint_key` is what the owner's workers sign checkpoints with, for workers that the kernel
    tells to be the owner's. `paused_because` says why the server itself has paused this worker or,
    where this one is to run, the experiment. `control_chunk` (seconds from one heartbeat to the next of a
    worker that waits) and `status_retry_count` (tries to report a result) are for published clients; ours
    have no use for them. `log_wanted`: somebody looks at the worker's log, and its heartbeats are to have the
    end of it. `prefetched` are jobs to be run after `job`, one after the other, of which nothing is told
    before the last one has ended.
    """

    desired_state: str = RUN
    desired_version: int = 0
    applied_version: int = 0
    pending: bool = False
    interval: float = IDLE_INTERVAL
    job: Optional[Assignment] = None
    extensions: Tuple[str, ...] = ()
    server_id: Optional[str] = None
    needs: Optional[float] = None
    runtime_p90: Optional[float] = None
    empty: Optional[bool] = None
    finished_retry: Optional[Retry] = None
    lease: Optional[float] = None
    checkpoint_key: Optional[str] = None
    paused_because: Optional[str] = None
    control_chunk: Optional[int] = None
    status_retry_count: Optional[int] = None
    log_wanted: Optional[bool] = None
    prefetched: Tuple[Assignment, ...] = ()

    def __repr__(self) -> str:
        return "HeartbeatReply(%s)" % ", ".join(
            "%s=%r" % (name, value) for name, value in self._asdict().items() if name != "checkpoint_key")

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "HeartbeatReply":
        state = take_word(body, "desired_state", DESIRED_STATES, RUN)
        job = take(body, "job", dict, None)
        extensions = take(body, "extensions", list, [])
        return cls(
            desired_state=state,
            desired_version=take(body, "desired_version", int, 0),
            applied_version=take(body, "applied_version", int, 0),
            pending=take(body, "pending", bool, False),
            interval=take_number(body, "heartbeat_interval", IDLE_INTERVAL, low=0.01, high=86400.0),
            job=Assignment.from_json(job) if job is not None else None,
            extensions=tuple(name for name in extensions if isinstance(name, str)),
            server_id=take(body, "server_id", str, None),
            needs=take_number(body, "needs"),
            runtime_p90=take_number(body, "runtime_p90"),
            empty=take(body, "empty", bool, None),
            finished_retry=Retry.told(body, "finished_retry_in"),
            lease=take_number(body, "lease", low=0.01),
            checkpoint_key=take(body, "checkpoint_key", str, None),
            paused_because=take(body, "paused_because", str, None),
            log_wanted=take(body, "log_wanted", bool, None),
            prefetched=tuple(map(Assignment.from_json, take_objects(body, "prefetched", MAX_PREFETCH))),
        )

    def to_json(self) -> Dict[str, Any]:
        told = {"needs": self.needs, "runtime_p90": self.runtime_p90, "empty": self.empty,
                "lease": self.lease, "checkpoint_key": self.checkpoint_key,
                "paused_because": self.paused_because, "control_chunk": self.control_chunk,
                "status_retry_count": self.status_retry_count, "log_wanted": self.log_wanted}
        retry = {} if self.finished_retry is None else {"finished_retry_in": self.finished_retry.pause}
        further = {"prefetched": [job.to_json() for job in self.prefetched]} if self.prefetched else {}
        return {
            "desired_state": self.desired_state,
            "desired_version": self.desired_version,
            "applied_version": self.applied_version,
            "pending": self.pending,
            "heartbeat_interval": self.interval,
            "poll_interval": self.interval,
            "job": self.job.to_json() if self.job is not None else None,
            "extensions": list(self.extensions),
            "server_id": self.server_id,
            **_without_none(told),
            **retry,
            **further,
        }
