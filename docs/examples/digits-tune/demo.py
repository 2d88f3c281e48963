"""The digits-tune sweep from start to end on this machine: a job server, two workers, the best settings.

    python demo.py [--keep DIR]

It needs no network and touches nothing outside its own directory. Interrupt it when you like: with
--keep and the same DIR it goes on where it was.
"""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

from jd import protocol
from jd.errors import EXIT_FAILURE, EXIT_OK, JdError, UsageError, run_command
from jd.net.client import Client
from jd.program import SERVER, WORKER, command
from jd.terminal import Progress, paint, table

HERE = Path(__file__).resolve().parent
EXPERIMENT = "digits-tune"
WORKERS = 2
BEST = 5

START_SECONDS = 60.0   # for the server to say that it is ready
STALL_SECONDS = 300.0  # without any job finished: something is wrong
STOP_SECONDS = 45.0    # longer than the 20 s that a worker gives its job
LINE_SECONDS = 10.0    # between two lines of progress where there is no terminal
RESULT_LIMIT = 1024 * 1024


class Program:
    """A child process of the demo, its output in a log file."""

    def __init__(self, name: str, command: List[str], log: Path, environ: Dict[str, str]) -> None:
        self.name = name
        self.log = log
        with open(str(log), "wb") as output:
            # A session of its own: Ctrl-C reaches the demo alone, which then stops the others in order.
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=subprocess.STDOUT, env=environ,
                                            start_new_session=True)

    def check(self) -> None:
        """Raise JdError, with the end of the log, if it has ended."""
        status = self.process.poll()
        if status is not None:
            raise JdError("the %s ended unexpectedly (%d). The end of %s:\n%s" % (
                self.name, status, self.log, self.tail()))

    def tail(self, lines: int = 15) -> str:
        text = self.log.read_bytes()[-16384:].decode("utf-8", "replace")
        return "\n".join("  " + line for line in text.splitlines()[-lines:])

    def event(self, name: str) -> Optional[Dict[str, Any]]:
        """The first event of that name among the JSON lines it has written."""
        for line in self.log.read_text("utf-8", "replace").splitlines(keepends=True):
            if line.startswith("{") and line.endswith("\n"):
                event: Dict[str, Any] = json.loads(line)
                if event.get("event") == name:
                    return event
        return None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for a process that does not end."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def environment(directory: Path) -> Dict[str, str]:
    """For the children: nothing of the user's own JobDistributor settings, nothing outside `directory`."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JD_")}
    environ["HOME"] = str(directory)  # where access files and keys go
    environ["JD_WORKSPACE_PATH"] = str(directory)
    environ["JD_CACHE_PATH"] = str(directory / "cache")
    return environ


class Demo:
    """One run in `directory`; `close` stops what was started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environ = environment(directory)
        self.programs: List[Program] = []
        self.server_url = ""

    def start(self, name: str, command: List[str]) -> Program:
        program = Program(name, command, self.directory / (name + ".log"), self.environ)
        self.programs.append(program)
        return program

    def start_server(self) -> Client:
        """Start it and wait until the jobs of sweep.json are in its queue."""
        server = self.start("server", command(SERVER) + [
            "--json", "--expId", EXPERIMENT, "--host", "127.0.0.1", "--port", "0",
            "--dashboard-port", "0", "--workspace_path", str(self.directory / "server"),
            "--jobs", str(HERE / "sweep.json")])
        deadline = time.monotonic() + START_SECONDS
        while server.event("jobs") is None:
            server.check()
            if time.monotonic() > deadline:
                raise JdError("the server was not ready within %d s. The end of %s:\n%s" % (
                    START_SECONDS, server.log, server.tail()))
            time.sleep(0.05)
        ready = server.event("ready") or {}
        self.server_url = ready["server_url"]
        print("server     %s" % self.server_url)
        print("dashboard  %s%s" % (ready["dashboard_url"], _pin(ready.get("pin_file"))))
        return Client(self.server_url)

    def start_workers(self) -> None:
        self.start("workers", command(WORKER) + [
            "expId=" + EXPERIMENT, "entry_script=%s" % (HERE / "train.py"),
            "server=" + self.server_url, "foreground=true", "num_workers=%d" % WORKERS])
        print("workers    %d, each runs train.py once per job" % WORKERS)

    def wait(self, client: Client, counts: Dict[str, int]) -> Dict[str, int]:
        """Show the progress until no job is waiting or running; returns the last counts."""
        total = _open_jobs(counts) + counts[protocol.DONE] + counts[protocol.ABORTED]
        changed = said = time.monotonic()
        with Progress(total, EXPERIMENT, sys.stdout) as progress:
            while True:
                now = time.monotonic()
                progress.update(total - _open_jobs(counts), _note(counts))
                if not progress.active and (now - said >= LINE_SECONDS or not _open_jobs(counts)):
                    said = now
                    print(progress.line(_note(counts)))
                if not _open_jobs(counts):
                    return counts
                if now - changed > STALL_SECONDS:
                    raise JdError("no job has finished for %d s; the end of the workers' log:\n%s" % (
                        STALL_SECONDS, self.programs[-1].tail()))
                time.sleep(0.3)
                before, counts = counts, self.ask(lambda: client.call("GET", protocol.JOB_COUNTS))
                if _open_jobs(counts) != _open_jobs(before):
                    changed = time.monotonic()

    def ask(self, question: Callable[[], Any]) -> Any:
        """The server's answer; a child that has died is the better explanation of a failure."""
        try:
            answer = question()
        finally:
            for program in self.programs:
                program.check()
        return answer

    def close(self) -> None:
        """Stop the workers, then the server. An impatient Ctrl-C must not leave them behind."""
        if any(program.process.poll() is None for program in self.programs):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            print("stopping the workers and the server")
        for program in reversed(self.programs):
            program.stop()


def _pin(file: Optional[str]) -> str:
    """The dashboard's PIN, for who sits at the terminal; else where it stands."""
    if file is None:
        return ""
    return "  PIN " + (Path(file).read_text("ascii").strip() if sys.stdout.isatty() else "in " + file)


def _open_jobs(counts: Dict[str, int]) -> int:
    return counts[protocol.PENDING] + counts[protocol.SERVED]


def _note(counts: Dict[str, int]) -> str:
    note = "%d running" % counts[protocol.SERVED]
    if counts[protocol.ABORTED]:
        note += ", %d aborted" % counts[protocol.ABORTED]
    return note


def results(client: Client) -> List[Tuple[int, Dict[str, Any], float]]:
    """(job, parameters, accuracy) of every job that is done, the best first."""
    found = []
    page, pages = 1, 1
    while page <= pages:
        answer = client.call("GET", protocol.LIST_JOBS,
                             query={"page": page, "per_page": 100, "status": protocol.DONE})
        for job in answer["jobs"]:
            file = io.BytesIO()
            client.download("%s/%d/uploads/download" % (protocol.LIST_JOBS, job["id"]),
                            {"filename": "result.json"}, file, RESULT_LIMIT)
            accuracy = float(json.loads(file.getvalue().decode("utf-8"))["accuracy"])
            found.append((job["id"], job["parameters"], accuracy))
        page, pages = page + 1, answer["total_pages"]
    return sorted(found, key=lambda row: (-row[2], row[0]))


def show(found: List[Tuple[int, Dict[str, Any], float]]) -> None:
    """The best settings as a table, and the worst accuracy to compare."""
    if not found:
        return
    names = list(found[0][1])
    rows = [["%d" % job] + [str(parameters.get(name, "")) for name in names] + ["%.4f" % accuracy]
            for job, parameters, accuracy in found[:BEST]]
    lines = table(["job"] + names + ["accuracy"], rows, numeric=range(len(names) + 2))
    print()
    print(paint("The %d best of %d settings" % (len(rows), len(found)), "bold"))
    print(paint(lines[0], "dim"))
    print("\n".join(lines[1:]))
    print("worst: %.4f" % found[-1][2])
    print()


def run(directory: Path) -> int:
    """The whole demo in `directory`; the exit status."""
    demo = Demo(directory)
    try:
        client = demo.start_server()
        counts = demo.ask(lambda: client.call("GET", protocol.JOB_COUNTS))
        if _open_jobs(counts):
            demo.start_workers()
            counts = demo.wait(client, counts)
        else:
            print("every job was run before")
        show(demo.ask(lambda: results(client)))
    finally:
        demo.close()
    aborted = counts[protocol.ABORTED]
    if aborted:
        print("aborted jobs: %d; %s says why" % (aborted, directory / "workers.log"))
    print("The server was %s; it and the workers are stopped." % demo.server_url)
    print("Files and logs stay in %s: delete it when you have seen enough." % directory)
    return EXIT_FAILURE if aborted else EXIT_OK


def chosen_directory(keep: Optional[str]) -> Path:
    """The directory of --keep, or a fresh one. Raises UsageError where it cannot be made."""
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="jd-demo-")).resolve()
    directory = Path(keep).expanduser().resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError("--keep %s cannot be made a directory: %s" % (keep, error.strerror)) from None
    return directory


def main(argv: List[str]) -> int:
    parser = argparse.ArgumentParser(prog="demo.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", metavar="DIR", help="directory for all data; a fresh one in the "
                        "temporary directory if not given. An interrupted demo goes on from it")
    directory = chosen_directory(parser.parse_args(argv).keep)
    # SIGINT too: a background child of a script starts with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in a log, lines appear when they are said
    print("data       %s" % directory)
    try:
        return run(directory)
    except KeyboardInterrupt:
        print('To go on: "%s" "%s" --keep "%s"' % (sys.executable, __file__, directory))
        raise


if __name__ == "__main__":
    sys.exit(run_command(main))
