"""One worker process from start to exit status: puts its parts together and runs its loop."""

import math
import os
import select
import sys
import threading
import time
import traceback
from typing import Any, Callable, Dict, Optional

import jd.redaction  # noqa: F401  for the first error: the package may have been replaced by then
from jd import shortage
from jd.errors import EXIT_FAILURE, JdError
from jd.net.peer import portowner
from jd.net.retry import Backoff
from jd.node import cpus, orphans, scheduler
from jd.node.cgroups import Groups
from jd.node.identity import Here, new_worker_id
from jd.node.metrics import SystemMetrics, json_clean
from jd.node.timelimit import TimeLimit
from jd.worker.agent.agent import Agent
from jd.worker.agent.calls import Calls
from jd.worker.agent.currentjob import CurrentJob
from jd.worker.agent.leaving import Leaving
from jd.worker.attempt.calling import entry, importing
from jd.worker.attempt.process.ward import Ward
from jd.worker.attempt.starting import Starter
from jd.worker.config import WorkerConfig
from jd.worker.launch import gpus
from jd.worker.launch.gpumetrics import GpuMetrics
from jd.worker.launch.signals import Signals
from jd.worker.limits import Limits
from jd.worker.local import outboxes
from jd.worker.local.registration import Registration
from jd.worker.local.registry import Registry
from jd.worker.log import WorkerLog
from jd.worker.terminalcopy import TerminalCopy
from jd.worker.uplink.callthread import CallThread
from jd.worker.uplink.connection import Connection
from jd.worker.uplink.delivery import Delivery
from jd.worker.uplink.heartbeats import Link
from jd.worker.uplink.holding import Holder
from jd.worker.uplink.outage import Outage
from jd.worker.uplink.outbox import Outbox

FIRST_PAUSE = 1.0  # seconds, between tries while the server is away
LONGEST_PAUSE = 60.0
END_OF_SCRIPT = 5  # milliseconds after that of its output; it may go on without any


def _nobody_waits(worker_id: str) -> None:
    pass


def _nothing() -> None:
    pass


def run_worker(config: WorkerConfig, worker_id: str, slot: int, ward: Ward,
               ready: Callable[[str], None] = _nobody_waits) -> int:
    """Be the registered worker `worker_id` until it is finished; returns its exit status.

    For the main thread of a process that has no other business. `ward` is its way to the warden of its
    launch; `ready` gets the worker's id when the server has answered its first heartbeat. Raises UsageError
    or StorageError for a token, server or log directory that cannot be used; any other failure ends up in
    the log.
    """
    portowner.trust(config.environ)
    Connection(config, _nobody_waits, _nothing)  # what cannot be used is said before there is a log
    terminal = None
    if config.foreground:
        terminal = TerminalCopy(sys.stdout.fileno(), "[%d] " % slot if config.num_workers > 1 else "")
    log = WorkerLog(config.log_file(worker_id), config.log_max_bytes, terminal)
    signals = Signals()
    registration = Registration(Registry(config.experiment, config.environ), worker_id, log.event,
                                wake=signals.wake)
    before, threading.excepthook = threading.excepthook, _into(log)
    try:
        with signals:
            registration.begin()
            connection = Connection(config, log.event, signals.wake)
            registration.token = lambda: connection.granted
            try:
                orphans.become_subreaper()
                importing.tidy(config.environ)
                limits = _limits(config, log.event)
                link = Link(connection.shown, worker_id, config.machine_type,
                            _metrics(config, log.event), limits, config.experiment, config.tags, log.tail)
                starter = Starter(config, link, connection, log, signals.wake, ward)
                agent = _assemble(config, link, slot, connection, log, signals, limits, starter)
                _introduce(config, worker_id, connection, log, starter)
                observe = _observer(agent, link, log, registration, ready)
                connection.start()
                try:
                    return _loop(agent, signals, connection, registration, observe)
                finally:
                    starter.end()
            except JdError:
                raise
            except Exception as error:
                short = shortage.told(error)
                log.event("the worker ends: %s" % short if short is not None else
                          "the worker failed, please report this:\n" + traceback.format_exc().rstrip())
                return EXIT_FAILURE
            finally:
                connection.end()
    finally:
        registration.leave()
        threading.excepthook = before
        log.close()


def _into(log: WorkerLog) -> "Callable[[threading.ExceptHookArgs], None]":
    """A `threading.excepthook`: background workers have no stderr that anybody sees."""
    def hook(args: "threading.ExceptHookArgs") -> None:
        log.event("a thread of the worker failed, please report this:\n" + "".join(
            traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)).rstrip())
    return hook


def _observer(agent: Agent, link: Link, log: WorkerLog, registration: Registration,
              ready: Callable[[str], None]) -> Callable[[], None]:
    """What is to be called after each step: it tells the registry, and once who waits for us."""
    waited_for = True

    def observe() -> None:
        nonlocal waited_for
        if agent.heard_at is None:
            return
        if waited_for:
            waited_for = False
            ready(link.worker_id)
        job_id = None if agent.job is None else agent.job.assignment.job_id
        registration.show(link.worker_id, log.path, agent.status, job_id, agent.heard_at,
                          "" if link.is_reserved else link.session, agent.paused_because)
    return observe


def _metrics(config: WorkerConfig, log: Callable[[str], None]) -> Callable[[], Dict[str, Any]]:
    machine, devices = SystemMetrics(config.machine_type), GpuMetrics(config.environ, log=log)
    # The launch shares out what it may use: CPUs evenly, GPUs evenly too unless `gpus=` gave each its own.
    workers = max(1, config.num_workers)
    share = {"job_cpus": cpus.usable(Groups()) / workers}

    def sample() -> Dict[str, Any]:
        found = devices.count()
        if found is not None:
            share["job_gpus"] = found / (1 if config.gpus else workers)
        return dict(machine.sample(), **json_clean(devices.sample()), **share)
    return sample


def _introduce(config: WorkerConfig, worker_id: str, connection: Connection, log: WorkerLog,
               starter: Starter) -> None:
    log.event("worker %s (pid %d, process_id %d) of experiment %s" % (
        worker_id, os.getpid(), config.process_id, config.experiment))
    hub = "" if config.hub is None else " (from the Hub %s)" % config.hub
    log.event("server %s%s, script %s" % (connection.shown, hub, entry.of(config).shown))
    if config.snapshot is not None:
        log.event("that is a snapshot of %s, taken at the launch" % config.snapshot.of)
    if config.python is not None:
        log.event("scripts run with Python %s, %s" % (config.python_version, config.python))
    devices = gpus.shown(config.environ)
    if devices is not None or config.gpus:
        log.event("GPUs: %s" % (devices or "none"))
    log.event("log %s" % log.path)
    starter.introduce(sees_gpus=bool(devices))


def _assemble(config: WorkerConfig, link: Link, slot: int, connection: Connection,
              log: WorkerLog, signals: Signals, limits: Limits, starter: Starter) -> Agent:
    where = config.experiment, config.environ
    outbox = Outbox(outboxes.near(*where), log.event, lasting=outboxes.lasting(*where),
                    beside=outboxes.beside(*where), holder=Holder(Here()))

    def rename() -> str:
        name = new_worker_id(slot, frozenset([link.worker_id]))
        log.move(config.log_file(name))
        return name

    delivery = Delivery(outbox, link, log.event)
    calls = Calls(link, CallThread(starter.deliver, signals.wake, connection.rest), delivery,
                  Outage(Backoff(FIRST_PAUSE, LONGEST_PAUSE), log.event), rename, log.event)
    job = CurrentJob(starter, delivery, limits, config.grace, Backoff(FIRST_PAUSE, LONGEST_PAUSE),
                     log.event)
    # In the background nobody reads the exit status but the launch, for a second.
    leaving = Leaving(limits, config.once, log.event, config.foreground,
                      config.foreground and scheduler.is_managed(config.environ))
    return Agent(link, calls, job, delivery, leaving, log.event,
                 hold_claims=not config.once, advice=connection.advice)


def _limits(config: WorkerConfig, log: Callable[[str], None]) -> Limits:
    clock = TimeLimit(config.environ, log=log)
    return Limits(config.min_time, config.idle_exit, config.exit_when_empty, clock.left,
                  clock.is_fresh, config.job_timeout)


def _loop(agent: Agent, signals: Signals, connection: Connection, registration: Registration,
          observe: Callable[[], None]) -> int:
    try:
        while True:
            now = time.monotonic()
            if signals.stop is not None:
                agent.stop(now, signals.stop)
            if signals.drain is not None:
                agent.drain(now, signals.drain)
            elif registration.drained:
                agent.drain(now, "a command in the registry")
            if connection.refusal is not None:
                agent.give_up("the Hub gives it no further token")
            deadline = agent.step(now)
            observe()
            if agent.exit_status is not None:
                return agent.exit_status
            _wait(agent, signals, deadline)
    finally:
        if agent.job is not None:
            agent.job.kill()


def _wait(agent: Agent, signals: Signals, deadline: Optional[float]) -> None:
    """Sleep until there is something to do; take the job's output."""
    output = agent.job.fileno() if agent.job is not None else None
    # Made anew each time: descriptors of jobs come and go under the same numbers.
    poll = select.poll()
    poll.register(signals, select.POLLIN)
    if output is not None:
        poll.register(output, select.POLLIN)
    # Rounded up: a turn before its time would find nothing to do.
    timeout = None if deadline is None else math.ceil(max(0.0, deadline - time.monotonic()) * 1000.0)
    ready = {number for number, _ in poll.poll(timeout)}
    if output in ready and agent.job is not None:
        agent.job.read(time.monotonic())
        if agent.job.fileno() is None and signals.fileno() not in ready:
            # The output of a script ends right before the script does: one turn will do for both.
            poll.unregister(output)
            ready.update(number for number, _ in poll.poll(END_OF_SCRIPT))
    if signals.fileno() in ready:
        signals.drain_pipe()
