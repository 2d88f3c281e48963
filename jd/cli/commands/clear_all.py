"""`jd_worker_cli clear_all`: wipe the local cache of all experiments (reference, section 2)."""

import shutil
import sys
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from jd import paths, terminal
from jd.cli.context import Context
from jd.cli.stopping import alive, confirmed, elsewhere, stop_rows
from jd.errors import JdError, StorageError
from jd.files.safedirs import UnsafePlace
from jd.terminal import plural
from jd.worker.local import outboxes, registrylock, signalling
from jd.worker.local.registry import Registry
from jd.worker.local.rows import Row

WORD = "clear_all"
REMOVE_TIME = 5.0  # seconds to wait for other commands that use a registry at this moment


def run(context: Context) -> int:
    """Ask, stop the workers, tell the servers, remove. Exit status 1 if something had to stay.

    Job data and logs are not part of the cache; they stay, and so do results that wait where all nodes see
    them.
    """
    context.words_exactly(0)
    status = 0
    rows: Dict[str, List[Row]] = {}
    for name in outboxes.known(context.environ, cached=True):
        problem = _why_kept(context, name, rows)
        if problem is not None:
            status = 1
            print("error: %s is kept: %s" % (name, problem), file=sys.stderr)
    if not rows:
        print("nothing to clear in %s" % paths.cache_root(context.environ))
        return status
    waiting = {name: waiting_results(name, context) for name in rows}
    question = "\n".join(terminal.table(
        ["experiment", "workers to stop", "results not delivered"],
        [[name, str(len(alive(its, context.here))), str(len(waiting[name]))]
         for name, its in rows.items()], (1, 2)))
    for name, files in waiting.items():
        if files:
            question += ("\n%s of %s would be LOST: %s\n"
                         "(any worker of that experiment would still deliver what is there)" % (
                             plural(len(files), "result"), name, files[0].parent))
    if context.values["confirm_clear_all"]:
        print(question, file=sys.stderr)
    elif not confirmed(WORD, question):
        raise JdError("that was not %s: nothing was changed" % WORD)
    return max(status, _clear(context, rows, waiting))


def waiting_results(experiment: str, context: Context) -> List[Path]:
    """Files in the cache with results that no server has taken yet. Raises StorageError."""
    return outboxes.waiting(outboxes.in_cache(experiment, context.environ))


def _why_kept(context: Context, name: str, rows: Dict[str, List[Row]]) -> Optional[str]:
    """Why an experiment must stay; where it need not, its rows are put into `rows`."""
    try:
        listed = Registry(name, context.environ).rows()
    except UnsafePlace as error:
        return str(error)
    except StorageError as error:
        # A registry that nobody can read is what this command is there for; who runs is unknown.
        print("warning: %s" % error, file=sys.stderr)
        listed = []
    others = elsewhere(listed, context.here)
    if others:
        return "%s on %s; run clear_all there" % (
            plural(len(others), "worker"),
            ", ".join(sorted({row.host or "another host" for row in others})[:5]))
    rows[name] = listed
    return None


def _clear(context: Context, rows: Dict[str, List[Row]],
           waiting: Dict[str, List[Path]]) -> int:
    everyone = [row for its in rows.values() for row in its]
    found = stop_rows(everyone, context.here, context.environ, WORD)
    left = {one.outcome.experiment: "not all of its workers were stopped"
            for one in found if one.outcome.outcome == signalling.FAILED}
    for name in rows:
        # A worker that is stopped may leave a result that nobody was asked about.
        more = set(waiting_results(name, context)) - set(waiting[name])
        if more:
            left.setdefault(name, "%s came in meanwhile that no server has; to lose it too, run "
                            "clear_all again" % plural(len(more), "result"))
    cleared = 0
    for name in rows:
        if name in left:
            print("error: %s is kept: %s" % (name, left[name]), file=sys.stderr)
            continue
        _remove(name, context.environ, cleared)
        cleared += 1
        for place in outboxes.lasting(name, context.environ):
            kept = len(outboxes.waiting([place]))
            if kept:
                print("%s of %s stay in %s: any worker of that experiment delivers them" % (
                    plural(kept, "result"), name, place.path))
    print("cleared %s" % plural(cleared, "experiment"))
    return 1 if left else 0


def _remove(name: str, environ: Mapping[str, str], cleared: int) -> None:
    """Remove the cache of one experiment. Raises StorageError."""
    directory = paths.experiment_cache(name, environ)
    outbox = outboxes.near(name, environ).path
    deadline = time.monotonic() + REMOVE_TIME
    problem = "other commands are at work in it; try again"
    while True:
        with registrylock.removing(directory.parent) as alone:
            # Without locks the word that was typed has to do.
            if alone or not registrylock.has_locks(directory.parent):
                try:
                    for path in (outbox, directory):
                        if path.exists():
                            shutil.rmtree(str(path))
                    return
                except OSError as error:
                    problem = str(error.strerror)
                    deadline = 0.0
        if time.monotonic() >= deadline:
            raise StorageError("cannot remove %s: %s; %s cleared before it" % (
                directory, problem, plural(cleared, "experiment")))
        time.sleep(0.02)
