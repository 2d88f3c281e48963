"""A sweep whose jobs count in steps, hold at a gate and go on from a checkpoint, and its record.

Each job makes STEPS steps, with a checkpoint after each. Before step GATE it waits until the test
opens the gate, so that a test interrupts jobs of which it knows how far they are. What jobs did
stands in one file that all of them append to.
"""

import json
import sqlite3
import stat
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Set

from tests.e2e.processes import EXPERIMENT, Server
from tests.slurm.cluster import Cluster
from tests.support import ROOT, python, wait_until

STEPS, GATE = 6, 3

_SCRIPT = '''\
import argparse, json, os, signal, sys, time
from pathlib import Path
import jd

shared = Path({shared!r})
stopping = []
if {careful!r}:
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))


def note(what, step):
    facts = dict(job=int(os.environ["JD_JOB_ID"]), attempt=int(os.environ["JD_JOB_ATTEMPT"]),
                 what=what, step=step, directory=str(jd.jd_job_dir()), cache=os.environ["JD_CACHE_PATH"],
                 node=os.environ["SLURMD_NODENAME"], slurm=os.environ["SLURM_JOB_ID"],
                 gpu=os.environ.get("CUDA_VISIBLE_DEVICES"))
    record = os.open(str(shared / "record"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(record, (json.dumps(facts) + "\\n").encode())
    os.close(record)


parser = argparse.ArgumentParser()
parser.add_argument("--x", type=int)
x = parser.parse_args().x
first = (jd.jd_get_last_checkpoint() or {{"next": 0}})["next"]
note("begin", first)
for step in range(first, {steps}):
    if step == {gate}:
        note("gate", step)
    while step == {gate} and not stopping and not (shared / "open").exists():
        time.sleep(0.02)
    if stopping:
        sys.exit(0)
    note("step", step)
    jd.jd_update_checkpoint({{"next": step + 1}})
(jd.jd_job_dir() / "result.json").write_text(json.dumps({{"y": x * x}}))
note("end", {steps})
'''


class Sweep:
    """A server with `jobs` jobs, for which templates start workers in `directory`.

    `careful` scripts mind SIGTERM themselves: they end between two steps. With `own_server` false
    the test starts the server, on `job_file`, with the default directory for its data.
    """

    def __init__(self, cluster: Cluster, directory: Path, jobs: int, open_gate: bool = True,
                 careful: bool = True, own_server: bool = True) -> None:
        directory.mkdir(exist_ok=True)
        self.cluster, self.directory, self.jobs = cluster, directory, jobs
        self.scratch = directory / "scratch"
        self.scratch.mkdir()
        self.script = directory / "train.py"
        self.script.write_text(_SCRIPT.format(shared=str(directory), steps=STEPS, gate=GATE,
                                              careful=careful))
        self.programs = install(directory)
        self.job_file = directory / "jobs.json"
        self.job_file.write_text(json.dumps({"x": list(range(jobs))}))
        self._submitted: List[str] = []
        self.server: Optional[Server] = None
        self._data = directory / "home" / "jd_server" / EXPERIMENT
        if open_gate:
            self.open()
        if own_server:
            self.server = Server(directory, "--jobs", self.job_file)
            self._data = self.server.workspace / EXPERIMENT

    def __enter__(self) -> "Sweep":
        if self.server is not None:
            self.server.event()  # the jobs are there
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            if self._submitted:
                self.cluster.type("scancel", "--signal=KILL", "--full", *self._submitted, status=None)
                self.cluster.type("scancel", *self._submitted, status=None)
        finally:
            if self.server is not None:
                self.server.__exit__()

    def variables(self, **extra: Any) -> Dict[str, Any]:
        """What a user exports before sbatch."""
        return dict({"JD_EXP_ID": EXPERIMENT, "JD_ENTRY_SCRIPT": self.script,
                     "JD_SERVER": self.server.url if self.server is not None else None,
                     "JD_SCRATCH": self.scratch,
                     "PATH": "%s:%s" % (self.programs, self.cluster.environ(self.directory)["PATH"])},
                    **extra)

    def submit(self, template: str, *options: Any, words: Any = (), **environ: Any) -> str:
        """sbatch; the number of the job."""
        job = self.cluster.submit(template, self.directory, *options, words=words,
                                  **self.variables(**environ))
        self._submitted.append(job)
        return job

    def open(self) -> None:
        """Let every job go on."""
        (self.directory / "open").touch()

    # ---- what happened

    def record(self, what: str, job: Optional[int] = None) -> List[Dict[str, Any]]:
        """The lines of one kind that jobs wrote, in order."""
        path = self.directory / "record"
        lines = path.read_text().splitlines() if path.exists() else []
        facts = [json.loads(line) for line in lines]
        return [one for one in facts if one["what"] == what and job in (None, one["job"])]

    def until_at_gate(self, jobs: int, timeout: float = 60) -> None:
        """Wait until so many attempts have come to the gate."""
        self._wait(lambda: len(self.record("gate")) >= jobs, timeout, "%d jobs at the gate" % jobs)

    def until_done(self, timeout: float = 90) -> None:
        """Wait until every job is DONE."""
        def done() -> bool:
            counts = self.counts()
            assert "ABORTED" not in counts, self.logs()
            return counts == {"DONE": self.jobs}
        self._wait(done, timeout, "every job is DONE")

    def until_pending(self, jobs: int, timeout: float = 60) -> None:
        """Wait until so many jobs are back in the queue."""
        self._wait(lambda: self.counts().get("PENDING") == jobs, timeout, "%d PENDING" % jobs)

    def _wait(self, reached: Callable[[], object], timeout: float, what: str) -> None:
        try:
            wait_until(reached, timeout, what)
        except AssertionError as error:
            raise AssertionError("%s; counts %s\n%s" % (error, self.counts(), self.logs())) from None

    def logs(self) -> str:
        """The ends of the logs that Slurm wrote."""
        return "\n".join("%s:\n%s" % (path.name, path.read_text(errors="replace")[-3000:])
                         for path in sorted(self.directory.glob("*.log")))

    def counts(self) -> Dict[str, int]:
        """Jobs by status; nothing while the server is not there yet."""
        return dict(self._select("SELECT status, COUNT(*) FROM jobs GROUP BY status"))

    def verdicts(self) -> Dict[int, List[str]]:
        """How the attempts of each job ended, in order."""
        found: Dict[int, List[str]] = {}
        for job, verdict in self._select("SELECT job_id, verdict FROM attempts ORDER BY job_id, number"):
            found.setdefault(job, []).append(verdict)
        return found

    def machine_types(self) -> Set[str]:
        """The labels of the workers that the server has seen."""
        return {label for label, in self._select("SELECT machine_type FROM workers")}

    def _select(self, query: str) -> List[Any]:
        database = self._data / "meta" / "jobs.db"
        if not database.exists():
            return []
        with closing(sqlite3.connect("file:%s?mode=ro" % database, uri=True)) as connection:
            try:
                return list(connection.execute(query))
            except sqlite3.OperationalError:  # it is being made
                return []

    def results(self) -> List[Dict[str, Any]]:
        """The result.json of each job, as the server has it."""
        return [json.loads(path.read_text()) for path in self._data.glob("data/*/result*.json")]

    def check(self, interrupted: int = 0) -> None:
        """Each job was done once, and every step of it once; at least so many went on from a checkpoint."""
        verdicts = self.verdicts()
        assert len(verdicts) == self.jobs
        for job, ends in verdicts.items():
            assert ends[-1] == "done" and set(ends[:-1]) <= {"preempted"}, (job, ends, self.logs())
            assert [one["step"] for one in self.record("step", job)] == list(range(STEPS)), self.logs()
            assert len(self.record("end", job)) == 1
        again = [one for one in self.record("begin") if one["attempt"] > 1]
        assert Counter(one["step"] for one in again)[GATE] >= interrupted, self.logs()

    def check_places(self, scratch: Optional[Path] = None) -> None:
        """What jobs and workers wrote was below the scratch, in a directory of the Slurm job."""
        for one in self.record("begin"):
            own = (scratch or self.scratch) / "root" / one["slurm"]
            assert own in Path(one["directory"]).parents
            assert own in Path(one["cache"]).parents
            assert stat.S_IMODE(own.stat().st_mode) == 0o700


def install(directory: Path) -> Path:
    """A directory with the three programs, as an installation would have them."""
    programs = directory / "bin"
    programs.mkdir()
    for name, module in (("jd_worker_cli", "jd.cli"), ("jd_server", "jd.server")):
        (programs / name).write_text("#!/bin/sh\nexport PYTHONPATH=%s\nexec %s \"$@\"\n" % (
            ROOT, " ".join(python("-m", module))))
        (programs / name).chmod(0o755)
    return programs
