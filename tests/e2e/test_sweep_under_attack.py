"""A sweep of 200 jobs to which happens all that happens to sweeps, as real processes: no job is lost, none
runs again after it was done, and the history says what was the matter."""

import itertools
import os
import signal
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

import pytest

from jd import protocol as p
from tests.e2e.node import Node, can_rename
from tests.e2e.processes import EXPERIMENT, Server, Worker
from tests.support import wait_until

JOBS = 200
FROZEN, HUNG = 1, 2  # job ids; all others are short

# Notes each run in one file. The frozen job's first attempt lasts until the test lets it go.
TRAIN = """
import os, sys, time
job, attempt = os.environ["JD_JOB_ID"], os.environ["JD_JOB_ATTEMPT"]
def note(what):
    with open(os.environ["RUNS"], "a") as file:
        file.write("%s %s %s\\n" % (what, job, attempt))
note("began")
if os.environ.get("BAD"):
    sys.exit("CUDA error: no device")
if (job, attempt) == ("1", "1"):
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.02)
if job == "2":
    print("waiting for a lock that nobody gives back", flush=True)
    time.sleep(600)
time.sleep(0.1)
note("ended")
"""
# What is done to the workers of one machine while they work, again and again: each time that so many jobs are
# done, so that no job is interrupted a hundred times.
EVERY = 6
CHURN = (("scale", "num_workers=3"), ("restart", "all"), ("scale", "num_workers=1"),
         ("scale", "num_workers=2"), ("restart", "all"))
# What that machine is called meanwhile: a laptop is carried around.
NAMES: Tuple[Optional[str], ...] = ("home-lan", "office", "cafe") if can_rename() else (None,)


class Attempt(NamedTuple):
    """A row of the table of attempts."""

    number: int
    verdict: str
    message: str
    started_at: float
    ended_at: float


class Result(NamedTuple):
    """What the server knows in the end, by job, and what the scripts themselves have noted."""

    statuses: Dict[int, str]
    attempts: Dict[int, List[Attempt]]
    histories: Dict[int, List[str]]
    began: List[Tuple[int, int]]
    ended: Set[Tuple[int, int]]


def result(server: Server, runs: Path) -> Result:
    with closing(sqlite3.connect(str(server.workspace / EXPERIMENT / "meta" / "jobs.db"))) as db:
        statuses = dict(db.execute("SELECT id, status FROM jobs"))
        attempts: Dict[int, List[Attempt]] = {}
        for job_id, *row in db.execute("SELECT job_id, number, verdict, message, started_at, ended_at"
                                       " FROM attempts ORDER BY job_id, number"):
            attempts.setdefault(job_id, []).append(Attempt(*row))
        histories: Dict[int, List[str]] = {}
        for job_id, reason in db.execute("SELECT job_id, reason FROM job_history ORDER BY id"):
            histories.setdefault(job_id, []).append(reason)
    noted = [line.split() for line in runs.read_text().splitlines()]
    runs_of = {what: [(int(job), int(attempt)) for word, job, attempt in noted if word == what]
               for what in ("began", "ended")}
    return Result(statuses, attempts, histories, runs_of["began"], set(runs_of["ended"]))


def attacked(tmp_path: Path, lease: Optional[int]) -> Result:
    """Play the sweep to its end; `lease` in seconds, None: the default."""
    script, runs, go = tmp_path / "train.py", tmp_path / "runs", tmp_path / "go"
    script.write_text(TRAIN)
    flags = ["--aborted-job-reset-timeout", "1"] + (["--idle-timeout", str(lease)] if lease else [])
    environ: Dict[str, Any] = {"RUNS": runs, "GO": go}
    names = itertools.cycle(NAMES)
    with ExitStack() as stack:
        server = stack.enter_context(Server(tmp_path, *flags))
        for name in ("frozen", "bad"):
            (tmp_path / name).mkdir()
        server.create(1)
        frozen = stack.enter_context(Worker(tmp_path / "frozen", server.url, script, **environ))
        wait_until(lambda: runs.exists() and "began 1 1" in runs.read_text())
        os.kill(frozen.popen.pid, signal.SIGSTOP)
        server.create(1, timeout=2, max_attempts=2, needs=["laptop"])  # not for the bad node
        server.create(JOBS - 2)

        laptop = stack.enter_context(Node(tmp_path, server.url, **environ))
        laptop.start(script, "num_workers=2", "tags=laptop", "grace=2", hostname=next(names))
        wait_until(lambda: server.counts().get(p.DONE, 0) > 2)
        bad = stack.enter_context(Node(tmp_path / "bad", server.url, BAD=1, **environ))
        bad.start(script, "num_workers=2", hostname=None if NAMES == (None,) else "bad-node")
        for words in while_jobs_wait(server):
            laptop.exp(*words, hostname=next(names))
        wait_until(lambda: "not tried again" in str(server.call("/api/jobs?ids=%d" % HUNG)["jobs"]))
        server.until(ABORTED=1, **{p.DONE: JOBS - 1} if lease else {p.DONE: JOBS - 2, p.SERVED: 1})
        os.kill(frozen.popen.pid, signal.SIGCONT)
        if lease:
            # It hears that its job is somebody else's, ends the script, and goes on with others.
            wait_until(lambda: "is no longer ours" in log_of(tmp_path / "frozen"))
        go.touch()
        server.until(DONE=JOBS - 1, ABORTED=1)
        laptop.exp("stop", "all", hostname=next(names))
        bad.exp("stop", "all")
        frozen.stop()
        server.stop()
    return result(server, runs)


def log_of(directory: Path) -> str:
    """What the only worker of a directory has said."""
    (log,) = (directory / "workspace" / "jd_data" / EXPERIMENT / "jd_worker_logs").glob("*.log")
    return log.read_text()


def while_jobs_wait(server: Server) -> Iterator[Tuple[str, ...]]:
    """Commands, one after the other, each after some more jobs are done, until all short ones are."""
    for done, words in zip(range(EVERY, JOBS - 2, EVERY), itertools.cycle(CHURN)):
        wait_until(lambda: server.counts().get(p.DONE, 0) >= done, message="%d jobs done" % done)
        yield words


@pytest.mark.slow
@pytest.mark.parametrize("lease", [5, None], ids=["lease of 5 s", "default lease"])
def test_a_sweep_that_is_attacked_from_all_sides_loses_nothing(tmp_path: Path, lease: Optional[int]) -> None:
    found = attacked(tmp_path, lease)
    assert len(found.statuses) == JOBS
    for job_id, attempts in found.attempts.items():
        verdicts = [attempt.verdict for attempt in attempts]
        assert all(verdicts) and [attempt.number for attempt in attempts] == list(range(1, len(attempts) + 1))
        # Each attempt begins after the one before it has ended; only the last one can be the one that counts.
        assert all(one.ended_at <= after.started_at for one, after in zip(attempts, attempts[1:]))
        if job_id == HUNG:
            assert found.statuses[job_id] == p.ABORTED and verdicts.count(p.VERDICT_TIMEOUT) == 2
            assert verdicts[-1] == p.VERDICT_TIMEOUT
        else:
            assert found.statuses[job_id] == p.DONE and verdicts.count(p.VERDICT_DONE) == 1
            assert verdicts[-1] == p.VERDICT_DONE and (job_id, len(attempts)) in found.ended
            assert verdicts.count(p.VERDICT_FAILED) < 3, found.histories[job_id]
        assert len(found.histories[job_id]) >= len(attempts)
    assert len(found.began) == len(set(found.began))
    assert set(found.began) <= {(job_id, one.number) for job_id, its in found.attempts.items() for one in its}
    # All of it happened.
    everything = {attempt.verdict for its in found.attempts.values() for attempt in its}
    assert {p.VERDICT_FAILED, p.VERDICT_PREEMPTED, p.VERDICT_TIMEOUT, p.VERDICT_DONE} <= everything
    assert found.attempts[FROZEN][0].verdict == (p.VERDICT_LOST if lease else p.VERDICT_DONE)
    # And the history says so.
    hung = [line for line in found.histories[HUNG] if " timed out on " in line]
    assert "(failure 1 of at most 2), tried again in 1 s: ran for 2" in hung[0]
    assert "(failure 2 of at most 2), not tried again: ran for 2" in hung[1]
    assert hung[1].endswith("waiting for a lock that nobody gives back")
    if lease:
        assert found.histories[FROZEN][0].endswith(", back to the queue: no heartbeat for 5 s")
