"""The vocabulary of the wire: routes, statuses, limits, intervals and what a name may look like.

Both sides import it, so that they cannot disagree. `docs/protocol.md` tells the same in prose; the
messages themselves are in `messages.py`, and how one field of a message is read in `fields.py`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Sequence

API_PORT = 5000
DASHBOARD_PORT = 5050

# ---- routes

HEALTH = "/healthz"
HEARTBEAT = "/worker/heartbeat"
UPDATE_JOB_STATUS = "/update_job_status"
OUTPUT = "/worker/output"
REPORT = "/worker/report"
UPLOAD = "/upload"
CHECKPOINT = "/checkpoint"
LATEST_CHECKPOINT = "/checkpoint/latest"
JOB_COUNTS = "/job_counts"
SWEEP = "/api/sweep"
CLI_STOP = "/workers/cli/stop"
CLI_CLEAR_ALL = "/workers/cli/clear_all"
CREATE_JOBS = "/api/jobs/create"
LIST_JOBS = "/api/jobs"
JOB_STATUSES = "/api/jobs/statuses"
ACT_ON_JOBS = "/api/jobs/act"
WAIT_FOR_JOBS = "/api/jobs/wait"
RESULTS = "/api/results"
CHANGES = "/api/changes"

# The experiment that a call is meant for.
EXPERIMENT_HEADER = "X-JD-Experiment"
HEARTBEAT_HEADER = "X-JD-Heartbeat"  # fields of extensions, to a server that has offered none yet

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

# How a script gets its parameters (`worker.attempt.flags`).
FLAGS_JSON = "json"
FLAGS_SWITCHES = "switches"
FLAGS_PYTHON = "python"
FLAGS_HYDRA = "hydra"
FLAGS_ENV = "env"
FLAGS_NONE = "none"
FLAG_STYLES = (FLAGS_JSON, FLAGS_SWITCHES, FLAGS_PYTHON, FLAGS_HYDRA, FLAGS_ENV, FLAGS_NONE)

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
EXT_FINAL = "final"
EXT_RETRY = "retry"
EXT_REQUEUE = "requeue"
EXT_TIMEOUT = "timeout"
EXT_LEASE = "lease"
EXT_NEEDS = "needs"
EXT_PATHS = "paths"
EXT_SCRATCH = "scratch"
EXT_UNIQUE = "unique"
EXT_FLAGS = "flags"
EXT_CODE = "code"
EXT_LOG = "log"
EXT_WORKER_LOG = "worker_log"
EXT_DRIVE = "drive"
EXT_REPORT = "report"
EXT_PREFETCH = "prefetch"
EXTENSIONS = (
    EXT_SESSION, EXT_ATTEMPT, EXT_REDELIVER, EXT_WAIT, EXT_FINISH, EXT_RELEASE, EXT_OUTPUT,
    EXT_LEAVE, EXT_WATCH, EXT_FIT, EXT_EMPTY, EXT_EXPERIMENT, EXT_FINAL, EXT_RETRY,
    EXT_REQUEUE, EXT_TIMEOUT, EXT_LEASE, EXT_NEEDS, EXT_PATHS, EXT_SCRATCH, EXT_UNIQUE,
    EXT_FLAGS, EXT_CODE, EXT_LOG, EXT_WORKER_LOG, EXT_DRIVE, EXT_REPORT, EXT_PREFETCH,
)

# What `GET /checkpoint/latest` can be asked for with `kind=`: an object that a script saved, or the
# archive of a checkpoint directory, whose first bytes are the mark.
OBJECT = "object"
DIRECTORY = "directory"
DIRECTORY_MARK = b"jd-checkpoint-dir-v1"

# ---- intervals, in seconds

IDLE_INTERVAL = 180.0
BUSY_INTERVAL = 57.0
MIN_LEASE = 3.0  # with three heartbeats in it, one each second
WATCHED_INTERVAL = 2.0  # of a busy worker whose output somebody looks at
OUTPUT_INTERVAL = 30.0  # between pieces of output that nobody looks at
REPORT_INTERVAL = 10.0  # between reports that nobody looks at
MAX_WAIT = 180.0
MAX_HELD = 55.0  # of a question of a program: proxies cut what is silent for a minute
MAX_ATTEMPTS = 1000  # failures after which a job can be said to be over
MAX_PRIORITY = 1000  # of a job; the lowest is this below 0
YEAR = 366 * 86400.0  # the longest duration that a message can name

# ---- limits

MAX_FILE_BYTES = 100 * 1024 * 1024
MAX_JOBS_PER_BATCH = 1_000_000
MAX_PARAMETERS_BYTES = 64 * 1024  # of one job, as JSON: they travel as command-line arguments
MAX_JSON_DEPTH = 32
MAX_MESSAGE_CHARS = 8 * 1024
MAX_TAIL_CHARS = 16 * 1024
# Of a job's output: what is kept of its beginning and, at least, of its end; and what goes in one piece.
OUTPUT_HEAD = 1024 * 1024
OUTPUT_TAIL = 1024 * 1024
MAX_PIECE_BYTES = 256 * 1024
MAX_REPORTS_IN_PIECE = 5_000
MAX_REPORT_BYTES = 16 * 1024  # of one report, a line of JSON
MAX_NAME_CHARS = 200
MAX_FILE_NAME_BYTES = 200
MAX_PATH_BYTES = 1000  # of a file's path in its job's directory
MAX_PER_PAGE = 1000
MAX_IDS = 10_000
MAX_REQUEST_LINE = 192 * 1024  # bytes, to a job server's API: so many ids of any length, with %2C between two
MAX_DRIVEN_IDS = 100_000  # that are acted on, or waited for
MAX_RESULTS = 5_000  # rows of results in one answer
MAX_TAGS = 16
MAX_PREFETCH = 15  # jobs that a worker has been given beside the one that it runs
MAX_DISTRIBUTIONS = 60  # that a worker tells of the code that it runs

# Each text is for `re.fullmatch`, which is imported only where there is a name to look at.
_EXPERIMENT_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_PARAMETER_NAME = r"\w[\w.-]{0,127}"
_TAG = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"  # what a worker has and a job needs


class ProtocolError(ValueError):
    """A message or a name that breaks the protocol; the text says what was given and is allowed."""


def is_experiment_name(name: str) -> bool:
    """Whether `name` can be an experiment: a path component and part of a URL."""
    import re
    return re.fullmatch(_EXPERIMENT_NAME, name) is not None


def check_experiment_name(name: str) -> str:
    """Return `name` if it can be an experiment: a path component and part of a URL.

    Raises ProtocolError otherwise. The Hub asks for more (lower case, `^[a-z][a-z0-9-]{1,46}$`).
    """
    if not is_experiment_name(name):
        raise ProtocolError(
            "experiment name %s cannot be used: 1 to 100 of A-Z a-z 0-9 . _ - are allowed, "
            "the first a letter or digit" % shown(name)
        )
    return name


def _is_parameter_name(name: str) -> bool:
    import re
    return re.fullmatch(_PARAMETER_NAME, name) is not None


def check_parameter_name(name: str) -> str:
    """Return `name` if `--name value` can carry it to a script. Raises ProtocolError otherwise."""
    # Most names are of this kind, and large batches have millions: a regular expression would take longer.
    usual = name.isidentifier() and name.isascii() and len(name) <= 128
    if not usual and not _is_parameter_name(name):
        raise ProtocolError(
            "parameter name %s cannot be a --flag: letters, digits, _ . - are allowed, "
            "the first a letter, digit or _, at most 128" % shown(name)
        )
    if name == "help":
        raise ProtocolError("parameter name 'help' cannot be used: --help makes a script exit")
    return name


def check_tags(tags: Sequence[str], name: str) -> tuple[str, ...]:
    """Return `tags`, each once, if they can be what a worker has or a job needs; `name` is where they
    stand, empty if the caller says so himself. Raises ProtocolError otherwise.
    """
    import re
    for tag in tags:
        if not re.fullmatch(_TAG, tag):
            raise ProtocolError("%s%s cannot be a tag: 1 to 64 of A-Z a-z 0-9 . _ - are allowed, the "
                                "first a letter or digit" % (name and name + ": ", shown(tag)))
    once = tuple(dict.fromkeys(tags))
    if len(once) > MAX_TAGS:
        raise ProtocolError("%s has %d tags; at most %d are allowed" % (name or "it", len(once), MAX_TAGS))
    return once


def stored_name(name: str, version: int) -> str:
    """What an upload is called that is the `version`-th of its name, from 0 on: `metrics.csv`,
    `metrics_v1.csv`, `metrics_v2.csv`, …"""
    if version == 0:
        return name
    stem, extension = os.path.splitext(name)
    return "%s_v%d%s" % (stem, version, extension)


def listed_path(path: str, version: int) -> str:
    """What people see a file called that is the `version`-th of its path: `ckpt/a.pt`, `ckpt/a_v1.pt`, …"""
    folder, slash, name = path.rpartition("/")
    return folder + slash + stored_name(name, version)


def shown(value: object) -> str:
    """`value` for an error message: quoted, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
