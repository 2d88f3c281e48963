"""The real programs of one run: server, Hub, and workers on machines that each have a home of their own."""

import json
import os
import shlex
import signal
import socket
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, Optional

from tests.support import free_env, python

HERE = Path(os.path.abspath(__file__)).parent
EXPERIMENT = "faults"
TOKEN_LIFETIME = 6  # seconds; the protocol has whole ones
MAX_ATTEMPTS = 5  # failures of a job, after which it is over


class Program:
    """A process that may be killed and started again. What it says goes to the end of a file."""

    def __init__(self, directory: Path, name: str, words: List[Any], environ: Dict[str, str],
                 cwd: Optional[Path] = None) -> None:
        self.said = directory / (name + ".err")
        self._cwd = directory if cwd is None else cwd
        self.popen: Optional["subprocess.Popen[bytes]"] = None
        self.statuses: List[int] = []
        self._words = words
        self._environ = environ

    @property
    def runs(self) -> bool:
        """Whether it runs, also if it is frozen."""
        return self.popen is not None and self.popen.poll() is None

    @property
    def times_killed(self) -> int:
        """How often it, or a worker of the launch that it is, has ended by SIGKILL."""
        return sum(status in (-signal.SIGKILL, 128 + signal.SIGKILL) for status in self.statuses)

    def begin(self, point: str = "", **environ: str) -> None:
        """Start it; `point` is where it ends by itself."""
        given = dict(self._environ, **environ)
        if point:
            given["JD_KILL_POINT"] = point
        with open(str(self.said), "ab") as stream:
            self.popen = subprocess.Popen(
                python(HERE / "launcher.py", *self._words), env=given, stdin=subprocess.DEVNULL,
                stderr=stream, stdout=self._stdout(stream), cwd=str(self._cwd), start_new_session=True)

    def _stdout(self, stream: Any) -> Any:
        return stream

    def signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.runs and self.popen is not None:
            self.popen.send_signal(number)

    def gone(self) -> None:
        """It has ended, or is to end now."""
        if self.popen is not None:
            self.signal(signal.SIGKILL)
            self.statuses.append(self.popen.wait(60))
            if self.popen.stdout is not None:
                self.popen.stdout.close()
            self.popen = None


class Listening(Program):
    """A program that says in a line of JSON where it listens."""

    def _stdout(self, stream: Any) -> Any:
        return subprocess.PIPE

    def first_line(self) -> Dict[str, Any]:
        """What it says when it is ready; empty where it ends before."""
        assert self.popen is not None and self.popen.stdout is not None
        line, stdout = self.popen.stdout.readline(), self.popen.stdout
        threading.Thread(target=lambda: [None for _ in stdout], daemon=True).start()
        return dict(json.loads(line)) if line else {}


class Server(Listening):
    """`jd_server` on a port that is another one each time; `port` is None while it is not ready."""

    def __init__(self, directory: Path, workspace: Path, *words: Any, **environ: Any) -> None:
        self.port: Optional[int] = None
        self.data = workspace / EXPERIMENT
        super().__init__(directory, "server", [
            "jd.server", "--expId", EXPERIMENT, "--dashboard-port", 0, "--workspace_path", workspace,
            "--json", "--idle-timeout", 3, "--aborted-job-reset-timeout", 0.2, "--max-attempts", MAX_ATTEMPTS,
            "--pause-failing", "false", "--pause-broken", "false", *words], free_env(directory, **environ))

    def begin(self, point: str = "", **environ: str) -> None:
        """Start it, and wait until it is ready or has ended."""
        self.port = None
        free = _free_port()  # it is to be known where it listens, and what it says is the URL of the proxy
        super().begin(point, JD_SERVER_PORT=str(free), **environ)
        if self.first_line():
            self.port = free

    def counts(self) -> Dict[str, int]:
        """Jobs by status, as they stand in its database; those that will be tried again are PENDING."""
        try:
            with closing(sqlite3.connect("file:%s/meta/jobs.db?mode=ro" % self.data, uri=True)) as db:
                return dict(db.execute("SELECT CASE WHEN retry_at IS NULL THEN status ELSE 'PENDING' END,"
                                       " count(*) FROM jobs GROUP BY 1"))
        except sqlite3.Error:
            return {}  # not yet there, or it is just being made


class Hub(Listening):
    """`jd_hub` with one user, whose key is `key`."""

    def __init__(self, directory: Path, clock: Path) -> None:
        data = directory / "hub"
        environ = free_env(directory, FAULTS_TOKEN_LIFETIME=TOKEN_LIFETIME, FAULTS_CLOCK=clock)

        def ask(*words: Any) -> Dict[str, Any]:
            done = subprocess.run(python("-m", "jd.hub", *words, "--data", data, "--json"), env=environ,
                                  stdout=subprocess.PIPE, timeout=60, check=True)
            return dict(json.loads(done.stdout.decode()))
        ask("user", "add", "ann@example.org")
        self.key = str(ask("key", "create", "--user", "ann@example.org", "--name", "faults")["key"])
        ask("experiment", "create", EXPERIMENT, "--user", "ann@example.org")
        self.port = 0
        self._data = data
        words = ["jd.hub", "serve", "--data", data, "--json", "--port", 0]
        super().__init__(directory, "hub", words, environ)

    def begin(self, point: str = "", **environ: str) -> None:
        """Start it on the port that it had."""
        self._words = self._words[:-1] + [self.port]
        super().begin(point, **environ)
        url = self.first_line().get("hub_url") or ""
        self.port = int(url.rpartition(":")[2] or 0)

    @property
    def url(self) -> str:
        return "http://127.0.0.1:%d" % self.port


class Node(Program):
    """A machine with a launch of workers in the foreground, as a batch job of a scheduler has."""

    def __init__(self, directory: Path, workers: int, server: str, log: Path, **environ: Any) -> None:
        directory.mkdir(exist_ok=True)
        self.home = directory
        super().__init__(directory.parent, directory.name, [
            "jd.cli", "expId=" + EXPERIMENT, "entry_script=%s" % (HERE / "entry.py"), *shlex.split(server),
            "foreground=true", "num_workers=%d" % workers, "exit_when_empty=true", "collect=out/**",
            "results_from=stdout", "checkpoint_interval=1", "grace=2", "cwd=job"],
            free_env(directory, FAULTS_LOG=log, **environ), directory)

    def wipe(self) -> None:
        """Kill the launch with all its workers, as a power failure does: it is one process group."""
        if self.runs and self.popen is not None:
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.gone()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
