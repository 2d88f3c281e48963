"""Several workers in the foreground: one parent that forks them, passes signals on, and waits."""

import os
import select
import signal
import sys
import traceback
from dataclasses import replace
from typing import Callable, Dict, List

from jd.errors import EXIT_FAILURE, EXIT_OK, JdError
from jd.worker import orphans
from jd.worker.config import WorkerConfig
from jd.worker.identity import new_worker_id
from jd.worker.run import run_worker
from jd.worker.signals import DRAINING, STOPPING, Signals
from jd.worker.verdict import signal_name

RunWorker = Callable[[WorkerConfig, str, int], int]


def launch(config: WorkerConfig, run: RunWorker = run_worker) -> int:
    """Run `num_workers` workers; returns when all have ended, with the worst exit status.

    A single worker runs in this very process: what a scheduler signals is the worker itself.
    """
    first = new_worker_id(0)
    if config.num_workers == 1:
        return run(config, first, 0)
    # One instance word for all, told apart by the slot (reference, "Background workers").
    stem = first.rpartition("_")[0]
    with Signals() as signals:
        running: Dict[int, int] = {}
        for slot in range(config.num_workers):
            own = replace(config, process_id=slot)
            try:
                pid = _fork(lambda: run(own, "%s_%d" % (stem, slot), slot), signals)
            except OSError as error:
                _tell(list(running), signal.SIGTERM)
                _wait_for_all(running, signals)
                raise JdError(
                    "cannot start worker %d of %d: %s; the others were stopped; see ulimit -u"
                    % (slot + 1, config.num_workers, error.strerror)) from None
            running[pid] = slot
        return _wait_for_all(running, signals)


def _fork(work: Callable[[], int], signals: Signals) -> int:
    """Fork before any thread exists; the child never returns from here.

    Signals wait while the child has no handlers of its own: `Signals` lets them in.
    """
    die_with_us = orphans.die_with_parent(signal.SIGTERM)
    sys.stdout.flush()
    sys.stderr.flush()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING + DRAINING)
    try:
        pid = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pid
    status = EXIT_FAILURE
    try:
        if die_with_us is not None:
            die_with_us()
        signals.__exit__()
        status = work()
    except JdError as error:
        print("error: %s" % error, file=sys.stderr)
        status = error.exit_status
    except BaseException:  # nothing may climb into the parent's code from here
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _wait_for_all(running: Dict[int, int], signals: Signals) -> int:
    worst = EXIT_OK
    told_to_stop = told_to_drain = False
    while running:
        if signals.stop is not None and not told_to_stop:
            told_to_stop = True
            _tell(list(running), signal.SIGTERM)
        if signals.drain is not None and not told_to_drain:
            told_to_drain = True
            _tell(list(running), signal.SIGUSR2)
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                worst = max(worst, _exit_status(running.pop(pid), status))
        if running:
            select.select([signals], [], [])
            signals.drain_pipe()
    return worst


def _exit_status(slot: int, status: int) -> int:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        print("worker %d was killed by %s" % (slot, signal_name(number)), file=sys.stderr)
        return 128 + number
    return os.WEXITSTATUS(status)


def _tell(pids: List[int], number: int) -> None:
    for pid in pids:
        os.kill(pid, number)  # not waited for yet: the pid cannot be anybody else's
