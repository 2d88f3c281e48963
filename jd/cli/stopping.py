"""What the commands that stop workers share: which workers are meant, and what is printed."""

import json
import sys
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from jd import terminal
from jd.cli.context import Context
from jd.errors import JdError, StorageError, UsageError
from jd.node.identity import Here
from jd.protocol import shown
from jd.terminal import plural
from jd.worker.local import lastwords, signalling
from jd.worker.local.lastwords import Fate
from jd.worker.local.liveness import Life, life
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row
from jd.worker.local.signalling import Outcome

ALL = "all"
ALL_EXPERIMENTS = "all-experiments"
YES = "yes"
LAG = 1.5  # seconds that a registry may be behind what its workers do


def named(context: Context, registry: Registry, words: Sequence[str]) -> List[Row]:
    """The rows that words like `all` or worker ids name. Raises UsageError for an unknown one."""
    rows = registry.rows()
    if list(words) == [ALL]:
        return rows
    by_id = {row.worker_id: row for row in rows}
    for word in words:
        if word not in by_id:
            known = ", ".join(list(by_id)[:5])
            raise UsageError("there is no worker %s of experiment %s here"
                             % (shown(word), registry.experiment),
                             "running: " + known if known else "none is running")
    return [by_id[word] for word in dict.fromkeys(words)]


def running_job(registry: Registry, job_id: int, patience: float = LAG) -> Row:
    """The worker that runs a job. Raises JdError if none does."""
    deadline = time.monotonic() + patience
    while True:
        for row in registry.rows():
            if row.current_job_id == job_id:
                return row
        if time.monotonic() >= deadline:
            raise JdError("no worker of %s here runs job %d" % (registry.experiment, job_id),
                          "see jd_worker_cli expId=%s worker-list" % registry.experiment)
        time.sleep(0.1)


def alive(rows: Sequence[Row], here: Here) -> List[Row]:
    """Those that run here."""
    return [row for row in rows if life(row, here) is Life.ALIVE]


def elsewhere(rows: Sequence[Row], here: Here) -> List[Row]:
    """Those of other hosts, about which nothing can be said here."""
    return [row for row in rows if life(row, here) is Life.ELSEWHERE]


class Stopped(NamedTuple):
    """What became of one worker, and of the job that it ran."""

    outcome: Outcome
    job: Optional[Fate]

    def to_json(self) -> Dict[str, Any]:
        """For programs."""
        return dict(self.outcome.__dict__, job_id=None if self.job is None else self.job.job_id,
                    job_fate=None if self.job is None else self.job.fate)


def stop_rows(rows: Sequence[Row], here: Here, environ: Mapping[str, str], action: str,
              quiet: bool = False) -> List[Stopped]:
    """Stop workers, then tell the servers; a line for each worker unless `quiet`. Problems go to stderr.

    In this order: a worker gives its job back itself, after the script has saved its last checkpoint. What a
    worker still holds that was killed or had died the server gives back when it is told. `action` is one of
    protocol.CLI_ACTIONS.
    """
    rows = _as_they_are(rows, environ)
    busy = [row for row in alive(rows, here) if row.current_job_id is not None]
    if busy and not quiet and terminal.is_terminal(sys.stderr):
        print("waiting for %s to stop, %s at most" % (
            plural(len(busy), "job"), terminal.duration(max(map(signalling.patience, busy)))),
            file=sys.stderr)
    waiting = set(map(lastwords.worker_of, busy))

    def report(outcome: Outcome) -> None:
        if not quiet and (outcome.experiment, outcome.worker_id) not in waiting:
            _print(Stopped(outcome, None))

    outcomes = signalling.stop(rows, here, environ, report)
    ended = {(o.experiment, o.worker_id) for o in outcomes if o.outcome != signalling.FAILED}
    told = lastwords.stopped([row for row in rows if lastwords.worker_of(row) in ended], action, environ)
    found = [Stopped(o, told.fates.get((o.experiment, o.worker_id))) for o in outcomes]
    for one in found:
        if not quiet and (one.outcome.experiment, one.outcome.worker_id) in waiting:
            _print(one)
    for server, problem in told.problems.items():
        print("warning: %s was not told: %s; the workers are stopped all the same" % (server, problem),
              file=sys.stderr)
    return found


def _as_they_are(rows: Sequence[Row], environ: Mapping[str, str]) -> List[Row]:
    """The rows as they stand in the registry now: somebody may have been asked, and taken his time."""
    now: Dict[Tuple[str, str], Row] = {}
    for experiment in {row.experiment for row in rows}:
        try:
            now.update({(experiment, row.worker_id): row for row in Registry(experiment, environ).rows()})
        except StorageError:
            pass  # what was read before has to do
    return [now.get((row.experiment, row.worker_id), row) for row in rows]


def stop_these(context: Context, rows: Sequence[Row], word: str, ask: bool) -> int:
    """Stop rows, after the user has typed `word` if `ask`; returns the exit status. `word` is an experiment,
    or ALL_EXPERIMENTS."""
    as_json = bool(context.values.get("json"))
    if not rows and not as_json:
        print("no worker runs here" if word == ALL_EXPERIMENTS
              else "no worker of %s runs here" % word)
        return 0
    if ask and rows and not confirmed(word, "%s will be stopped." % plural(len(rows), "worker")):
        raise JdError("that was not %s: nothing was stopped" % word)
    return stop_and_report(context, rows, "stop", as_json)


def stop_and_report(context: Context, rows: Sequence[Row], action: str, as_json: bool) -> int:
    """Stop rows for a command; returns its exit status."""
    found = stop_rows(rows, context.here, context.environ, action, quiet=as_json)
    if as_json:
        print(json.dumps([one.to_json() for one in found]))
    return 1 if any(one.outcome.outcome == signalling.FAILED for one in found) else 0


def confirmed(word: str, question: str) -> bool:
    """Whether the user types `word`, in whichever case; y stands for yes. The question goes to stderr: stdout
    is for facts."""
    print("%s\nType %s to go on: " % (question, terminal.paint(word, "bold", sys.stderr)),
          end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline()
    if not typed.endswith("\n") or not terminal.is_terminal(sys.stdin):
        print(file=sys.stderr)  # nobody's Enter ended the line of the question
    typed = typed.strip().lower()
    return typed == word.lower() or (typed == "y" and word == YES)


def _print(stopped: Stopped) -> None:
    outcome = stopped.outcome
    who = "%s (pid %d)" % (outcome.worker_id, outcome.pid)
    job = "" if stopped.job is None else "; %s" % stopped.job
    if outcome.outcome == signalling.FAILED:
        print("error: %s was not stopped: %s" % (outcome.worker_id, outcome.problem),
              file=sys.stderr)
    elif outcome.outcome == signalling.GONE:
        print("%s had ended already%s" % (outcome.worker_id, job))
    elif outcome.outcome == signalling.KILLED:
        print("%s %s: it did not stop in time%s" % (terminal.paint("killed", "yellow"), who, job))
    else:
        print("%s %s%s" % (terminal.paint("stopped", "green"), who, job))
    sys.stdout.flush()
