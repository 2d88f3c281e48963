"""Workers as they stand in a registry."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from jd.node.identity import Here, ProcessIdentity, process_identity
from jd.worker.local.registry import Registry
from jd.worker.local.rows import IDLE, Row


def row(worker_id: str = "n_egg_0", pid: int = 1, **fields: Any) -> Row:
    here = Here()
    made = Row(worker_id, "e", pid, 0, "x.py", "cpu", "", 0.0, IDLE, None, None, here.host,
               here.pid_namespace, ProcessIdentity(here.own.boot_id, pid, "1"))
    return made._replace(**fields)


def enter(registry: Registry, here: Here, identity: ProcessIdentity) -> str:
    """A worker that is the process `identity`."""
    (name,) = registry.reserve([0], {}, here, 0.0)
    registry.settle_all([(name, 0, Path("/log"), identity)], 0.0)
    return name


def only(registry: Registry) -> Row:
    (row,) = registry.rows()
    return row


def ended_process(here: Here) -> ProcessIdentity:
    """The identity of a process that was here."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        identity = process_identity(process.pid)
        process.communicate(b"\n")
    assert identity is not None
    return identity
