"""One row of a registry for each worker.

Published clients write into the same tables (see `schema`). A row of such a client is read as well: it has no
process identity, its launch configuration has other names, and any column may hold a value of any type.
"""

from __future__ import annotations

import json
import math
import os

from jd.node.identity import ProcessIdentity
from jd.shape import NamedTuple
from jd.workername import split_worker_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import AbstractSet, Any, Mapping, Sequence

LATEST = 1e11  # Unix seconds, some thousand years from now
STARTING = "starting"
IDLE = "idle"
BUSY = "busy"
PAUSED = "paused"
DRAINING = "draining"
STOPPING = "stopping"


class Row(NamedTuple):
    """One registered worker. Times are Unix seconds.

    `identity` is None in rows that another client wrote. `config` is the launch configuration as
    JSON and may hold secrets. `worker_token` is the newest that its Hub gave, or empty. `session` is what the
    server knows the process by, empty before the server has answered it; `paused_because` is why the server
    has paused it by itself, or empty.
    """

    worker_id: str
    experiment: str
    pid: int
    process_id: int
    entry_script: str
    machine_type: str
    log_path: str
    started_at: float
    status: str
    current_job_id: int | None
    last_ping_at: float | None
    host: str
    pid_namespace: str
    identity: ProcessIdentity | None
    config: Mapping[str, Any] = {}
    worker_token: str = ""
    session: str = ""
    paused_because: str = ""

    def __repr__(self) -> str:
        """Without what may be secret."""
        return "Row(%s)" % ", ".join("%s=%r" % (name, value) for name, value in self._asdict().items()
                                     if name not in ("config", "worker_token"))

    @property
    def tags(self) -> tuple[str, ...]:
        """What its launch said that this machine has, besides the machine type."""
        given = self.config.get("tags")
        return tuple(map(str, given)) if isinstance(given, list) else ()

    @property
    def is_published(self) -> bool:
        """Whether a published client wrote it: that worker knows none of our signals but SIGTERM."""
        return self.identity is None

    @property
    def server(self) -> str:
        """The URL of the job server that it was started with, or empty."""
        given = self.config.get("server") or self.config.get("base_url")
        return given if isinstance(given, str) else ""

    @property
    def slot(self) -> int:
        """The slot that the worker id ends in; 0 for an id of another form."""
        name = split_worker_id(self.worker_id)
        return 0 if name is None else name.slot


_COLUMNS = ("worker_id", "exp_id", "pid", "process_id", "entry_script", "machine_type", "log_path",
            "started_at", "status", "current_job_id", "last_ping_at", "host", "boot_id",
            "start_time", "pid_namespace", "config_json", "worker_token", "session",
            "paused_because")


def select(columns: AbstractSet[str]) -> str:
    """Every field of a row; one that another client's table lacks is NULL."""
    return "SELECT %s FROM workers" % ", ".join(
        name if name in columns else "NULL AS " + name for name in _COLUMNS)


def row_of(values: Sequence[object]) -> Row:
    """A row of whatever client: SQLite keeps any type in any column."""
    of = dict(zip(_COLUMNS, values))
    pid, start_time = _whole(of["pid"]) or 0, _text(of["start_time"])
    return Row(
        worker_id=_text(of["worker_id"]),
        experiment=_text(of["exp_id"]),
        pid=pid,
        process_id=_whole(of["process_id"]) or 0,
        entry_script=_text(of["entry_script"]),
        machine_type=_text(of["machine_type"]),
        log_path=_text(of["log_path"]),
        started_at=_moment(of["started_at"]) or 0.0,
        status=_text(of["status"]),
        current_job_id=_whole(of["current_job_id"]),
        last_ping_at=_moment(of["last_ping_at"]),
        host=_text(of["host"]),
        pid_namespace=_text(of["pid_namespace"]),
        identity=ProcessIdentity(_text(of["boot_id"]), pid, start_time) if start_time else None,
        config=_config(of["config_json"]),
        worker_token=_text(of["worker_token"]),
        session=_text(of["session"]),
        paused_because=_text(of["paused_because"]),
    )


def stored(text: object) -> str | bytes:
    """Text for a column: the bytes of a path that is not UTF-8, which SQLite's text cannot hold."""
    try:
        str(text).encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(str(text))
    return str(text)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return os.fsdecode(value)
    return "" if value is None else str(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _moment(value: object) -> float | None:
    """Unix seconds; what no calendar has is none."""
    number = _number(value)
    return number if number is not None and 0.0 <= number < LATEST else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None or not math.isfinite(number) else int(number)


def _config(text: object) -> dict[str, Any]:
    if not text:
        return {}
    try:
        config = json.loads(_text(text))
    except (ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}
