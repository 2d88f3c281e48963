"""A real server and real workers on loopback, each stopped by its pid."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, TypeVar
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from tests.support import PATIENCE, free_env, python, wait_until

EXPERIMENT = "exp"
_Self = TypeVar("_Self", bound="Process")


def outbox(directory: Path) -> Path:
    """Where workers of `directory` keep what they could not send: not in the cache, often scratch."""
    return directory / "home" / ".jd" / "outbox" / EXPERIMENT


class Process:
    """A child process that is gone when the `with` block ends, however it ends."""

    def __init__(self, arguments: List[str], environment: Dict[str, str], output: Path,
                 cwd: Optional[Path] = None) -> None:
        self.output = output
        with open(str(output), "ab") as stream:
            self.popen = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE,
                                          stderr=stream, stdin=subprocess.DEVNULL,
                                          cwd=None if cwd is None else str(cwd))
        assert self.popen.stdout is not None
        self.stdout = self.popen.stdout

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(60)
        self.stdout.close()

    def stop(self, number: int = signal.SIGTERM, timeout: float = PATIENCE) -> int:
        """Send a signal and return the exit status."""
        os.kill(self.popen.pid, number)
        return self.popen.wait(timeout)

    @property
    def errors(self) -> str:
        return self.output.read_text(errors="replace")


class Calls:
    """What tests ask the server at `url`."""

    url: str

    def call(self, route: str, body: Any = None, **headers: str) -> Any:
        """Decoded answer; a refusal is `(status, decoded answer)`."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + route, data, dict({"Content-Type": "application/json"}, **headers))
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=60) as answer:
                return json.loads(answer.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())

    def create(self, count: int = 1, **fields: Any) -> None:
        """Make so many jobs, which have an x each; `fields` stand beside the parameters."""
        self.call("/api/jobs/create", dict({"parameters": {"x": list(range(count))}}, **fields))

    def counts(self) -> Dict[str, int]:
        """Jobs by status, without the statuses that no job has."""
        return {status: n for status, n in self.call("/job_counts").items() if n}

    def until(self, timeout: float = PATIENCE, **counts: int) -> None:
        """Wait until the counts are exactly these."""
        wait_until(lambda: self.counts() == counts, timeout, "counts %s" % counts)

    def jobs(self) -> List[Dict[str, Any]]:
        return list(self.call("/api/jobs?per_page=1000")["jobs"])


class Server(Process, Calls):
    """`jd_server` on free ports; `url` and `ready` are known once it listens.

    With `checkout` it is that of another one. It starts in /, as modules in the present directory would be
    imported first.
    """

    def __init__(self, directory: Path, *flags: Any, port: int = 0, checkout: Optional[Path] = None,
                 **environ: Any) -> None:
        self.workspace = directory / "server"
        super().__init__(
            python("-m", "jd.server", "--expId", EXPERIMENT, "--port", port, "--dashboard-port", 0,
                   "--workspace_path", self.workspace, "--json", *flags),
            free_env(directory, **(dict({"PYTHONPATH": checkout}, **environ) if checkout else environ)),
            directory / "server.err", Path("/") if checkout else None)
        line = self.stdout.readline()
        assert line, "the server did not start: " + self.errors
        self.ready = json.loads(line)
        self.url = self.ready["server_url"]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pin(self) -> str:
        """What it made up at its first start."""
        return Path(self.ready["pin_file"]).read_text().strip()

    def event(self) -> Dict[str, Any]:
        """The next line that it prints."""
        return dict(json.loads(self.stdout.readline()))


class Worker(Process):
    """`jd_worker_cli … foreground=true` for a script, its output in a file."""

    def __init__(self, directory: Path, server: str, script: Path, *words: str, name: str = "worker",
                 through: Sequence[str] = (), **environ: Any) -> None:
        """`through` is what it is started by, as a word and its arguments."""
        self.directory = directory
        super().__init__(
            [*through] + python("-m", "jd.cli", "expId=" + EXPERIMENT, "entry_script=%s" % script,
                   "server=" + server, "foreground=true", *words),
            free_env(directory, **environ), directory / (name + ".err"), directory)

    def finish(self, timeout: float = PATIENCE) -> str:
        """Wait for its end; returns what it printed."""
        output, _ = self.popen.communicate(timeout=timeout)
        return output.decode(errors="replace")
