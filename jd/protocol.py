"""The wire vocabulary: routes, statuses, limits, intervals, message shapes.

Both sides import it, so that they cannot disagree. `docs/protocol.md` tells the same in prose.
A message is a dict only on the wire: `from_json` turns one into a dataclass and raises
ProtocolError for what is missing or of the wrong type; `to_json` is the way back.
"""

import os
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Type, Union

API_PORT = 5000
DASHBOARD_PORT = 5050

# ---- routes

HEALTH = "/healthz"
HEARTBEAT = "/worker/heartbeat"
UPDATE_JOB_STATUS = "/update_job_status"
UPLOAD = "/upload"
CHECKPOINT = "/checkpoint"
LATEST_CHECKPOINT = "/checkpoint/latest"
JOB_COUNTS = "/job_counts"
CLI_STOP = "/workers/cli/stop"
CLI_CLEAR_ALL = "/workers/cli/clear_all"
CREATE_JOBS = "/api/jobs/create"
LIST_JOBS = "/api/jobs"
JOB_STATUSES = "/api/jobs/statuses"

# The experiment that a call is meant for.
EXPERIMENT_HEADER = "X-JD-Experiment"

# What GET /healthz says of who answers: `role` of a job server's two ports, `service` of a Hub.
ROLE_API = "api"
ROLE_DASHBOARD = "dashboard"
HUB_SERVICE = "jd_hub"

# ---- words

PENDING = "PENDING"
SERVED = "SERVED"
DONE = "DONE"
ABORTED = "ABORTED"
DELETED = "DELETED"
JOB_STATUSES_ALL = (PENDING, SERVED, DONE, ABORTED, DELETED)

VERDICT_DONE = "done"
VERDICT_FAILED = "failed"
VERDICT_KILLED = "killed"
VERDICT_OOM = "oom"
VERDICT_TIMEOUT = "timeout"
VERDICT_PREEMPTED = "preempted"
VERDICT_LOST = "lost"
VERDICT_STOPPED = "stopped"
# What a worker may say of an attempt that it reports as finished. The rest is the server's to say.
REPORTED_VERDICTS = (
    VERDICT_DONE, VERDICT_FAILED, VERDICT_KILLED, VERDICT_OOM, VERDICT_TIMEOUT, VERDICT_PREEMPTED,
)

IDLE = "idle"
BUSY = "busy"

RUN = "run"
PAUSE = "pause"
DRAIN = "drain"
STOP = "stop"
DESIRED_STATES = (RUN, PAUSE, DRAIN, STOP)
CLI_ACTIONS = ("stop", "restart", "scale", "clear_all")

EXT_SESSION = "session"
EXT_ATTEMPT = "attempt"
EXT_REDELIVER = "redeliver"
EXT_WAIT = "wait"
EXT_FINISH = "finish"
EXT_RELEASE = "release"
EXT_OUTPUT = "output"
EXT_LEAVE = "leave"
EXT_WATCH = "watch"
EXT_FIT = "fit"
EXT_EMPTY = "empty"
EXT_EXPERIMENT = "experiment"
EXTENSIONS = (
    EXT_SESSION, EXT_ATTEMPT, EXT_REDELIVER, EXT_WAIT, EXT_FINISH, EXT_RELEASE, EXT_OUTPUT,
    EXT_LEAVE, EXT_WATCH, EXT_FIT, EXT_EMPTY, EXT_EXPERIMENT,
)

# What `GET /checkpoint/latest` can be asked for with `kind=`: an object that a script saved, or the
# archive of a checkpoint directory, whose first bytes are the mark.
OBJECT = "object"
DIRECTORY = "directory"
DIRECTORY_MARK = b"jd-checkpoint-dir-v1"

# ---- intervals, in seconds

IDLE_INTERVAL = 180.0
BUSY_INTERVAL = 57.0
WATCHED_INTERVAL = 2.0  # of a busy worker whose output somebody looks at
MAX_WAIT = 180.0
YEAR = 366 * 86400.0  # the longest duration that a message can name

# ---- limits

MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_JOBS_PER_BATCH = 1_000_000
MAX_PARAMETERS_BYTES = 64 * 1024  # of one job, as JSON: they travel as command-line arguments
MAX_JSON_DEPTH = 32
MAX_MESSAGE_CHARS = 8 * 1024
MAX_TAIL_CHARS = 16 * 1024
MAX_NAME_CHARS = 200
MAX_FILE_NAME_BYTES = 200
MAX_PER_PAGE = 1000
MAX_IDS = 10_000

EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
PARAMETER_NAME = re.compile(r"\w[\w.-]{0,127}")


class ProtocolError(ValueError):
    """A message or a name that breaks the protocol; the text says what was given and is allowed."""


def check_experiment_name(name: str) -> str:
    """Return `name` if it can be an experiment: a path component and part of a URL.

    Raises ProtocolError otherwise. The Hub asks for more (lower case, `^[a-z][a-z0-9-]{1,46}$`).
    """
    if not EXPERIMENT_NAME.fullmatch(name):
        raise ProtocolError(
            "experiment name %s cannot be used: 1 to 100 of A-Z a-z 0-9 . _ - are allowed, "
            "the first a letter or digit" % shown(name)
        )
    return name


def check_parameter_name(name: str) -> str:
    """Return `name` if `--name value` can carry it to a script. Raises ProtocolError otherwise."""
    if not PARAMETER_NAME.fullmatch(name):
        raise ProtocolError(
            "parameter name %s cannot be a --flag: letters, digits, _ . - are allowed, "
            "the first a letter, digit or _, at most 128" % shown(name)
        )
    if name == "help":
        raise ProtocolError("parameter name 'help' cannot be used: --help makes a script exit")
    return name


def stored_name(name: str, version: int) -> str:
    """What an upload is called that is the `version`-th of its name, from 0 on: `metrics.csv`,
    `metrics_v1.csv`, `metrics_v2.csv`, …"""
    if version == 0:
        return name
    stem, extension = os.path.splitext(name)
    return "%s_v%d%s" % (stem, version, extension)


def shown(value: Any) -> str:
    """`value` for an error message: quoted, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


# ---- the name of a worker

# Ids of other clients are read too: their host part may hold more than ours, and an instance may
# be one of the six-character tokens that were used before the words.
_WORKER_ID = re.compile(
    r"(?P<host>[A-Za-z0-9._-]{1,100})_(?P<instance>[a-z]{1,6}|[A-Za-z0-9]{6})_(?P<slot>[0-9]{1,10})",
    re.ASCII)


class WorkerName(NamedTuple):
    """The parts of a worker id."""

    host: str
    instance: str
    slot: int


def split_worker_id(worker_id: str) -> Optional[WorkerName]:
    """The parts of a worker id, or None where it has another form."""
    found = _WORKER_ID.fullmatch(worker_id)
    if found is None:
        return None
    return WorkerName(found.group("host"), found.group("instance"), int(found.group("slot")))


# ---- fields of a message

_MISSING = object()
_Kind = Union[Type[Any], Tuple[Type[Any], ...]]
_KIND_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false",
               dict: "an object", list: "a list"}


def take(body: Mapping[str, Any], name: str, kind: _Kind, default: Any = _MISSING) -> Any:
    """Field `name` of a message, checked to be of `kind`.

    Absent or null gives `default`, where there is one. A bool is never a number.
    """
    value = body.get(name)
    if value is None:
        if default is _MISSING:
            raise ProtocolError("%s is missing" % name)
        return default
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise ProtocolError("%s must be %s, not %s" % (name, _KIND_NAMES[kinds[0]], shown(value)))
    return value


def take_number(body: Mapping[str, Any], name: str, default: Optional[float] = None,
                low: float = 0.0, high: float = 1e10) -> Optional[float]:
    """Field `name` as a float within limits."""
    value = take(body, name, (float, int), default)
    if value is None:
        return None
    if not low <= value <= high:
        raise ProtocolError("%s must be from %g to %g, not %s" % (name, low, high, shown(value)))
    return float(value)


def take_id(body: Mapping[str, Any], name: str, default: Any = _MISSING) -> Any:
    """Field `name` as a positive whole number that a database can hold."""
    value = take(body, name, int, default)
    if value is not None and value is not default and not 1 <= value < 2 ** 53:
        raise ProtocolError("%s must be a positive whole number, not %s" % (name, shown(value)))
    return value


def take_name(body: Mapping[str, Any], name: str, default: Any = _MISSING,
              limit: int = MAX_NAME_CHARS) -> Any:
    """Field `name` as a printable string of 1 to `limit` characters."""
    value = take(body, name, str, default)
    if isinstance(value, str) and value is not default:
        if not value or len(value) > limit or not value.isprintable():
            raise ProtocolError(
                "%s must be 1 to %d printable characters, not %s" % (name, limit, shown(value)))
    return value


def _take_text(body: Mapping[str, Any], name: str, limit: int) -> str:
    """Field `name`, or nothing. What is too long ends in …: a result or a heartbeat is worth more
    than the end of a text in it."""
    text: str = take(body, name, str, "")
    return text if len(text) <= limit else text[:limit - 1] + "…"


def _take_tail(body: Mapping[str, Any]) -> str:
    return str(take(body, "output_tail", str, ""))[-MAX_TAIL_CHARS:]


def _without_none(message: Dict[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in message.items() if value is not None}


# ---- messages

@dataclass(frozen=True)
class Result:
    """How an attempt ended: the body of `/update_job_status`, and `finished` in a heartbeat.

    `exit_code` is negative for a signal; `runtime` is in seconds. A client that knows only the
    base protocol sends `job_id`, `status` and `message`.
    """

    job_id: int
    status: str
    message: str = ""
    attempt: Optional[int] = None
    verdict: Optional[str] = None
    exit_code: Optional[int] = None
    runtime: Optional[float] = None
    output_tail: str = ""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Result":
        status = take(body, "status", str)
        if status not in (DONE, ABORTED):
            raise ProtocolError("status must be DONE or ABORTED, not %s" % shown(status))
        verdict = take(body, "verdict", str, None)
        if verdict is not None:
            allowed = [v for v in REPORTED_VERDICTS if (v == VERDICT_DONE) == (status == DONE)]
            if verdict not in allowed:
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
        )

    def to_json(self) -> Dict[str, Any]:
        return _without_none(dict(self.__dict__))

    def settled_verdict(self) -> str:
        """The verdict, worked out from status and exit code where the client did not say."""
        if self.verdict is not None:
            return self.verdict
        if self.status == DONE:
            return VERDICT_DONE
        return VERDICT_KILLED if (self.exit_code or 0) < 0 else VERDICT_FAILED


@dataclass(frozen=True)
class Release:
    """An attempt that its worker gives back unfinished."""

    job_id: int
    attempt: int
    reason: str = ""

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Release":
        return cls(take_id(body, "job_id"), take_id(body, "attempt"),
                   _take_text(body, "reason", MAX_MESSAGE_CHARS))

    def to_json(self) -> Dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class Heartbeat:
    """What a worker says of itself: the body of `POST /worker/heartbeat`.

    `wait` is in seconds, and so is `time_left`: how long until the scheduler ends the worker.
    `min_time` is what a job needs whose sweep does not say. Everything from `session` on belongs
    to an extension.
    """

    worker_id: str
    host: str = ""
    machine_type: str = ""
    reported_status: str = IDLE
    current_job_id: Optional[int] = None
    applied_version: int = 0
    system_metrics: Dict[str, Any] = field(default_factory=dict)
    jd_worker_version: str = ""
    session: Optional[str] = None
    attempt: Optional[int] = None
    wait: Optional[float] = None
    finished: Optional[Result] = None
    released: Optional[Release] = None
    output_tail: Optional[str] = None
    leave: bool = False
    time_left: Optional[float] = None
    min_time: Optional[float] = None
    exit_when_empty: bool = False
    exp_id: Optional[str] = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Heartbeat":
        status = take(body, "reported_status", str, IDLE)
        if status not in (IDLE, BUSY):
            raise ProtocolError("reported_status must be idle or busy, not %s" % shown(status))
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
            leave=take(body, "leave", bool, False),
            time_left=take_number(body, "time_left"),
            min_time=take_number(body, "min_time"),
            exit_when_empty=take(body, "exit_when_empty", bool, False),
            exp_id=take_name(body, "exp_id", None),
        )

    def to_json(self) -> Dict[str, Any]:
        message = _without_none(dict(self.__dict__))
        message["current_job_id"] = self.current_job_id  # the base protocol sends null
        if self.finished is not None:
            message["finished"] = self.finished.to_json()
        if self.released is not None:
            message["released"] = self.released.to_json()
        for name in ("leave", "exit_when_empty"):
            if not message[name]:
                del message[name]
        return message


@dataclass(frozen=True)
class Assignment:
    """A job handed to a worker. `attempt` is None from a server that knows only the base.

    `min_time` is in seconds: what its sweep says that it needs.
    """

    job_id: int
    parameters: Dict[str, Any]
    attempt: Optional[int] = None
    min_time: Optional[float] = None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Assignment":
        return cls(take_id(body, "job_id"), take(body, "parameters", dict, {}),
                   take_id(body, "attempt", None), take_number(body, "min_time"))

    def to_json(self) -> Dict[str, Any]:
        return _without_none({"job_id": self.job_id, "parameters": self.parameters,
                              "status": SERVED, "attempt": self.attempt,
                              "min_time": self.min_time})


@dataclass(frozen=True)
class HeartbeatReply:
    """What the server answers a heartbeat. Intervals are in seconds.

    `server_id` names the data that the server keeps: results that waited on disk are delivered
    only to the data they belong to. `needs` says that jobs are PENDING of which none can end in the
    worker's `time_left`, and what the shortest of them needs; `runtime_p90` is the 90th percentile
    of recent runtimes; `empty` tells whether nothing is left that could still become a job.
    `checkpoint_key` is what the owner's workers sign checkpoints with, for workers that the kernel
    tells to be the owner's.
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
    checkpoint_key: Optional[str] = field(default=None, repr=False)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "HeartbeatReply":
        state = take(body, "desired_state", str, RUN)
        if state not in DESIRED_STATES:
            raise ProtocolError("desired_state must be one of %s, not %s" % (
                ", ".join(DESIRED_STATES), shown(state)))
        job = take(body, "job", dict, None)
        extensions: List[Any] = take(body, "extensions", list, [])
        interval = take_number(body, "heartbeat_interval", IDLE_INTERVAL, low=0.01, high=86400.0)
        return cls(
            desired_state=state,
            desired_version=take(body, "desired_version", int, 0),
            applied_version=take(body, "applied_version", int, 0),
            pending=take(body, "pending", bool, False),
            interval=interval if interval is not None else IDLE_INTERVAL,
            job=Assignment.from_json(job) if job is not None else None,
            extensions=tuple(name for name in extensions if isinstance(name, str)),
            server_id=take(body, "server_id", str, None),
            needs=take_number(body, "needs"),
            runtime_p90=take_number(body, "runtime_p90"),
            empty=take(body, "empty", bool, None),
            checkpoint_key=take(body, "checkpoint_key", str, None),
        )

    def to_json(self) -> Dict[str, Any]:
        told = {"needs": self.needs, "runtime_p90": self.runtime_p90, "empty": self.empty,
                "checkpoint_key": self.checkpoint_key}
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
        }
