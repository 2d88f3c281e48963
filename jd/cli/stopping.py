"""What the commands that stop workers share: which workers are meant, and what is printed."""

import json
import sys
import time
from typing import List, Mapping, Optional, Sequence

from jd import terminal
from jd.cli.context import Context
from jd.errors import JdError, UsageError
from jd.node.identity import Here
from jd.protocol import shown
from jd.terminal import plural
from jd.worker.local import signalling
from jd.worker.local.liveness import Life, life
from jd.worker.local.notices import Notice, stop_notices, tell
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row
from jd.worker.local.signalling import Outcome

ALL = "all"
ALL_EXPERIMENTS = "all-experiments"
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


def stop_rows(rows: Sequence[Row], here: Here, environ: Mapping[str, str], action: str,
              quiet: bool = False, notices: Optional[Sequence[Notice]] = None,
              ) -> List[Outcome]:
    """Tell the servers, then stop; a line for each worker unless `quiet`. Problems go to stderr.

    `notices` says what to tell instead of one message for each worker.
    """
    running = alive(rows, here)
    if notices is None:
        notices = list(stop_notices(running, action, environ))
    for problem in tell(notices):
        print("warning: %s; the workers are stopped all the same" % problem, file=sys.stderr)
    busy = [row for row in running if row.current_job_id is not None]
    if busy and not quiet and terminal.is_terminal(sys.stderr):
        print("waiting for %s to stop, %s at most" % (
            plural(len(busy), "job"), terminal.duration(max(map(signalling.patience, busy)))),
            file=sys.stderr)
    return signalling.stop(rows, here, environ, _ignore if quiet else _print_outcome)


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
    outcomes = stop_rows(rows, context.here, context.environ, action, quiet=as_json)
    if as_json:
        print(json.dumps([dict(o.__dict__) for o in outcomes]))
    return 1 if any(o.outcome == signalling.FAILED for o in outcomes) else 0


def confirmed(word: str, question: str) -> bool:
    """Whether the user types exactly `word`. The question goes to stderr: stdout is for facts."""
    print("%s\nType %s to go on: " % (question, terminal.paint(word, "bold", sys.stderr)),
          end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline()
    if not typed.endswith("\n") or not terminal.is_terminal(sys.stdin):
        print(file=sys.stderr)  # nobody's Enter ended the line of the question
    return typed.strip() == word


def _ignore(outcome: Outcome) -> None:
    pass


def _print_outcome(outcome: Outcome) -> None:
    who = "%s (pid %d)" % (outcome.worker_id, outcome.pid)
    if outcome.outcome == signalling.FAILED:
        print("error: %s was not stopped: %s" % (outcome.worker_id, outcome.problem),
              file=sys.stderr)
    elif outcome.outcome == signalling.GONE:
        print("%s had ended already" % outcome.worker_id)
    elif outcome.outcome == signalling.KILLED:
        print("%s %s: it did not stop in time" % (terminal.paint("killed", "yellow"), who))
    else:
        print("%s %s" % (terminal.paint("stopped", "green"), who))
    sys.stdout.flush()
