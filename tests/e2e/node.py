"""A machine with background workers: commands typed on it, and its registry."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Set

from jd.node.identity import Here
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row
from tests.e2e.processes import EXPERIMENT
from tests.support import free_env, python, wait_until


class Node:
    """Runs `jd_worker_cli` in `directory`. Workers that are left at the end are killed by pid."""

    def __init__(self, directory: Path, server: str = "127.0.0.1:9", **environ: Any) -> None:
        self.directory = directory
        self.server = server
        self.environ: Dict[str, str] = free_env(directory, **environ)
        self._seen: Set[Any] = set()

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: Any) -> None:
        self.rows()
        here = Here()
        for pid, started in self._seen:
            if here.start_time(pid) == started:
                os.kill(pid, signal.SIGKILL)

    def cli(self, *words: Any, typed: str = "", status: Optional[int] = 0, cwd: Optional[Path] = None,
            inherited: Sequence[int] = (), hostname: Optional[str] = None,
            **environ: Any) -> "subprocess.CompletedProcess[str]":
        """Type a command; `status` is the exit status that is expected, None for any.

        `inherited` are descriptors that the shell has left open; `hostname` is what the machine is called
        to the command and what it starts.
        """
        command = python("-m", "jd.cli", *words)
        done = subprocess.run(
            command if hostname is None else _named(hostname, command), input=typed, capture_output=True,
            text=True, timeout=60, cwd=str(cwd or self.directory), pass_fds=inherited,
            env=dict(self.environ, **{name: str(value) for name, value in environ.items()}))
        self.rows()
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    def exp(self, *words: Any, **more: Any) -> "subprocess.CompletedProcess[str]":
        """Type a command about the experiment."""
        return self.cli("expId=" + EXPERIMENT, *words, **more)

    def start(self, script: Path, *words: str, **more: Any) -> List[Row]:
        """Start workers in the background; all rows then."""
        self.exp("entry_script=%s" % script, "server=" + self.server, *words, **more)
        return self.rows()

    @property
    def registry(self) -> Registry:
        return Registry(EXPERIMENT, self.environ)

    def rows(self) -> List[Row]:
        """Rows of the experiment."""
        rows = self.registry.rows()
        self._seen.update((row.pid, row.identity.start_time) for row in rows if row.identity)
        return rows

    def until_row(self, worker_id: str, **fields: Any) -> Row:
        """Wait until the row of a worker has these values."""
        def matching() -> Optional[Row]:
            row = self.registry.row(worker_id)
            return row if row is not None and all(
                getattr(row, name) == value for name, value in fields.items()) else None
        return wait_until(matching, message="%s with %s" % (worker_id, fields))

    def log(self, worker_id: str) -> str:
        return (self.directory / "workspace" / "jd_data" / EXPERIMENT / "jd_worker_logs" / (
            "jd_worker_%s.log" % worker_id)).read_text()


def is_running(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return Here().start_time(pid) is not None


# Where the machine is called $1, and nobody else sees it: the rest of the line.
_RENAME = "import os, socket, sys; socket.sethostname(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


def _named(hostname: str, command: List[str]) -> List[str]:
    return ["unshare", "--uts"] + python("-c", _RENAME, hostname, *command)


def can_rename() -> bool:
    """Whether a command can be given a machine that is called something else."""
    return shutil.which("unshare") is not None and subprocess.run(
        _named("home-lan", python("-c", "")), capture_output=True).returncode == 0
