"""A place where the real commands run: an environment, a directory, and what each is started through.

`Place.sweep` is the question that every place is asked: does a sweep of two jobs get done?
"""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Optional, Sequence, Tuple
from urllib.request import ProxyHandler, build_opener

from jd.node.identity import Here
from jd.worker.local.registry import Registry
from tests.support import wait_until

EXPERIMENT = "hostile"
TIMEOUT = 60.0

# What users write: parameters in, a result and a checkpoint out.
SCRIPT = """\
import argparse, json
from jd import jd_get_last_checkpoint, jd_job_dir, jd_update_checkpoint, jd_upload
parser = argparse.ArgumentParser()
parser.add_argument("--x", type=int)
x = parser.parse_args().x
result = jd_job_dir() / "result.json"
result.write_text(json.dumps({"square": x * x}))
jd_upload(result)
jd_update_checkpoint({"x": x})
if jd_get_last_checkpoint() != {"x": x}:
    raise SystemExit("the checkpoint is lost")
"""

Done = subprocess.CompletedProcess


class Place:
    """Runs commands of an installation in `directory`; what is left of them is killed by pid.

    `launcher` stands before each command line, `python` is the interpreter and its options, and
    `environ` is the whole environment. Tests change all three before they start anything.
    """

    def __init__(self, directory: Path, python: Path) -> None:
        self.directory = directory
        self.python: List[str] = [str(python)]
        self.scripts = python.parent
        self.launcher: List[str] = []
        home = directory / "home"
        home.mkdir()
        self.environ: Dict[str, str] = {
            "HOME": str(home), "LANG": "C.UTF-8",
            "PATH": os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])}
        self.script = directory / "train.py"
        self.script.write_text(SCRIPT)
        self.parameters = '{"x": [3, 4]}'  # of the sweep
        self.workspace: Optional[Path] = None  # of the server, where it is not below HOME
        self._running: List["subprocess.Popen[bytes]"] = []

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: Any) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait(60)
        here = Here()
        try:
            rows = Registry(EXPERIMENT, self.environ).rows()
        except Exception:  # a place where no registry can be
            rows = []
        for row in rows:
            if row.identity and here.start_time(row.pid) == row.identity.start_time:
                os.kill(row.pid, signal.SIGKILL)

    # ---- commands

    def line(self, command: str, *words: Any) -> List[str]:
        """The command line of `jd_worker_cli`, `jd_server` or `jd_hub` here."""
        return self.launcher + self.python + [str(self.scripts / command)] + [str(w) for w in words]

    def run(self, command: str, *words: Any, **environ: str) -> "Done[str]":
        """Run a command to its end."""
        return self.finish(self.line(command, *words), **environ)

    def finish(self, line: Sequence[str], **environ: str) -> "Done[str]":
        """Run any command line here to its end; what is not UTF-8 in its output is shown escaped."""
        done = subprocess.run(line, env=dict(self.environ, **environ), cwd=str(self.directory),
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
        return Done(done.args, done.returncode, done.stdout.decode("utf-8", "backslashreplace"),
                    done.stderr.decode("utf-8", "backslashreplace"))

    def cli(self, *words: Any, **environ: str) -> "Done[str]":
        """`jd_worker_cli expId=…` with these words."""
        return self.run("jd_worker_cli", "expId=" + EXPERIMENT, *words, **environ)

    def work(self, server: str, *words: Any, **environ: str) -> "Done[str]":
        """A worker for one job, in the foreground."""
        return self.cli("entry_script=%s" % self.script, "server=" + server, "once=true",
                        "foreground=true", *words, **environ)

    def serve(self, *flags: Any) -> "subprocess.Popen[bytes]":
        """`jd_server` with a sweep of two jobs; its words are in `server.out` and `server.err`."""
        jobs = self.directory / "sweep.json"
        jobs.write_text(self.parameters, encoding="utf-8")
        where = [] if self.workspace is None else ["--workspace_path", self.workspace]
        with open(str(self.directory / "server.out"), "wb") as out, \
                open(str(self.directory / "server.err"), "wb") as err:
            return self.start((out, err), "jd_server", "--expId", EXPERIMENT, "--port", 0,
                              "--dashboard-port", 0, "--jobs", jobs, *where, *flags)

    def start(self, outputs: Tuple[BinaryIO, BinaryIO], command: str,
              *words: Any) -> "subprocess.Popen[bytes]":
        """Start a command whose stdout and stderr go to files."""
        process = subprocess.Popen(self.line(command, *words), env=self.environ,
                                   cwd=str(self.directory), stdin=subprocess.DEVNULL,
                                   stdout=outputs[0], stderr=outputs[1])
        self._running.append(process)
        return process

    # ---- what is there

    def said(self, name: str) -> str:
        """A file of `directory`, whatever its encoding."""
        return (self.directory / name).read_bytes().decode("utf-8", "backslashreplace")

    @property
    def data(self) -> Path:
        """The directory of the server's data."""
        workspace = self.workspace or Path(self.environ["HOME"], "jd_server")
        return workspace / EXPERIMENT

    def url(self, process: "subprocess.Popen[bytes]") -> str:
        """Where a server listens, once it does."""
        file = self.data / "meta" / "server.json"

        def known() -> str:
            assert process.poll() is None, "the server ended: " + self.said("server.err")
            try:
                told = json.loads(file.read_text())
            except (OSError, ValueError):
                return ""
            return str(told["server_url"])
        return str(wait_until(known, TIMEOUT, "the server listens"))

    def counts(self, url: str) -> Dict[str, int]:
        """Jobs by status, without the statuses that no job has."""
        with build_opener(ProxyHandler({})).open(url + "/job_counts", timeout=60) as answer:
            return {status: n for status, n in json.loads(answer.read()).items() if n}

    def results(self) -> List[Any]:
        """What the jobs have uploaded, by job."""
        return [json.loads(path.read_text()) for path in sorted(self.data.glob("data/*/result.json"))]

    # ---- the question

    def sweep(self, server: Optional["subprocess.Popen[bytes]"] = None) -> None:
        """A server, a worker in the foreground and one in the background do a sweep, or this fails.

        All exit with 0, and none says anything on stderr but warnings and notes.
        """
        server = server or self.serve()
        url = self.url(server)
        clean(self.work(url))
        assert self.counts(url) == {"DONE": 1, "PENDING": 1}
        self.sweep_background(url)
        assert self.results() == [{"square": 9}, {"square": 16}]
        clean(self.cli("worker-list"))
        self.stop(server)

    def sweep_background(self, url: str) -> None:
        """A worker in the background does the second job."""
        clean(self.cli("entry_script=%s" % self.script, "server=" + url, "once=true"))
        wait_until(lambda: self.counts(url) == {"DONE": 2}, TIMEOUT, "the sweep is done")

    def stop(self, server: "subprocess.Popen[bytes]") -> None:
        """Stop a server as a user does: it says nothing that is wrong, and exits with 0."""
        server.send_signal(signal.SIGTERM)
        assert server.wait(TIMEOUT) == 0
        assert wrong(self.said("server.err")) == []


def wrong(errors: str) -> List[str]:
    """Lines of stderr that are neither a warning nor a note."""
    return [line for line in errors.splitlines()
            if line.strip() and not line.lower().startswith(("warning", "note: "))]


def clean(done: "Done[str]") -> None:
    """The command succeeded, and complained of nothing."""
    assert done.returncode == 0 and wrong(done.stderr) == [], done


def refused(done: "Done[str]", *parts: str, status: int = 1) -> None:
    """The command failed with one clear line, in which these parts are."""
    assert done.returncode == status, done
    lines = wrong(done.stderr)
    assert len(lines) == 1 and lines[0].startswith("error: "), done
    assert [part for part in parts if part not in lines[0]] == [], done
