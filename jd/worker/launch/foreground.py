"""Workers in the foreground: one is this very process; several have a parent that passes signals
on, and waits.
"""

import os
import select
import signal
import sys
import time
from dataclasses import replace
from typing import Callable, Dict, List

from jd.errors import EXIT_OK, StorageError
from jd.node import orphans
from jd.node.identity import Here, ProcessIdentity
from jd.worker.attempt.process.ward import Ward
from jd.worker.config import WorkerConfig
from jd.worker.launch import gpus
from jd.worker.launch.forking import Forked
from jd.worker.launch.process import run_worker
from jd.worker.launch.signals import Signals
from jd.worker.launch.warden import Wardens
from jd.worker.local.registry import Registry
from jd.worker.uplink.tokenrenewal import authorised
from jd.worker.verdict import signal_name

RunWorker = Callable[[WorkerConfig, str, int, Ward], int]


def launch(config: WorkerConfig, run: RunWorker = run_worker) -> int:
    """Run `num_workers` workers; returns when all have ended, with the worst exit status.

    A single worker runs in this very process: what a scheduler signals is the worker itself.
    In Hub mode the Hub is asked once for all. Raises StorageError for a registry that cannot be
    used, UnsafePlace for a directory that others can write to, UsageError for `gpus=` that there are
    not, and what `authorised` raises.
    """
    config.check_places()
    config = authorised(config)
    division = gpus.divide(config, range(config.num_workers))
    registry, here = Registry(config.experiment, config.environ), Here()
    ids = registry.reserve(range(config.num_workers), config.to_json(), here, time.time(),
                           token="" if config.grant is None else config.grant.token)
    try:
        if config.num_workers == 1:
            settle(registry, config, ids, [here.own])
            wardens = Wardens(1)
            wardens.before(0)
            ward = wardens.keep(0)
            try:
                return run(division.given(config, 0), ids[0], 0, ward)
            finally:
                ward.close()
        return _launch_several(config, division, run, registry, here, ids)
    finally:
        try:
            registry.remove(ids)  # of workers that were killed; the others did it themselves
        except StorageError:
            pass  # said in the log of each worker, if at all; the next clean-up does it


def settle(registry: Registry, config: WorkerConfig, ids: List[str],
           identities: List[ProcessIdentity]) -> None:
    """Enter the processes that the reserved workers are."""
    registry.settle_all([
        (worker_id, process_id_of(config, worker_id), config.log_file(worker_id), identity)
        for worker_id, identity in zip(ids, identities)], time.time())


def process_id_of(config: WorkerConfig, worker_id: str) -> int:
    """What `process_id=` is for a worker: its slot, unless it was launched alone."""
    return config.process_id if config.num_workers == 1 else slot_of(worker_id)


def slot_of(worker_id: str) -> int:
    """The slot that a worker id of ours ends in."""
    return int(worker_id.rpartition("_")[2])


def identify(pids: List[int], here: Here) -> List[ProcessIdentity]:
    """The identities of children that nobody has waited for."""
    return [ProcessIdentity(here.own.boot_id, pid, here.start_time(pid) or "ended")
            for pid in pids]


def _launch_several(config: WorkerConfig, division: gpus.Division, run: RunWorker,
                    registry: Registry, here: Here, ids: List[str]) -> int:
    die_with_us = orphans.die_with_parent(signal.SIGTERM)

    def in_child() -> None:
        if die_with_us is not None:
            die_with_us()
        signals.__exit__()

    def be(index: int) -> int:
        slot = slot_of(ids[index])
        own = replace(config, process_id=process_id_of(config, ids[index]))
        return run(division.given(own, slot), ids[index], slot, wardens.keep(index))

    def failed(index: int, text: str) -> None:
        print(text.rstrip("\n"), file=sys.stderr)

    wardens = Wardens(len(ids))
    with Signals() as signals:
        try:
            forked = Forked(len(ids), be, in_child, failed, wardens.before)
        finally:
            wardens.let_go()
        try:
            settle(registry, config, ids, identify(forked.pids, here))
        except BaseException:
            forked.call_off()
            raise
        forked.open_gate()
        return _wait_for_all({pid: slot_of(name) for pid, name in zip(forked.pids, ids)}, signals)


def _wait_for_all(running: Dict[int, int], signals: Signals) -> int:
    worst = EXIT_OK
    told_to_stop = told_to_drain = False
    while running:
        if signals.stop is not None and not told_to_stop:
            told_to_stop = True
            _tell(list(running), signal.Signals[signals.stop])  # their exit status depends on which it is
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
