"""Workers in the background: forked from a command that returns, they outlive the terminal it was typed in.

Each runs in a POSIX session of its own, without a terminal and with nothing of its parent open. Its
directory is `/`, so that it keeps no file system busy; jobs run in the directory of the launch. SIGHUP
stops it like SIGTERM, unless it was ignored at launch (`nohup`). Some systems end all processes of a user
at logout (systemd's KillUserProcesses); no process can escape that.
"""

import importlib
import os
import select
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Optional, Sequence

from jd import program
from jd.auth import tokentosend
from jd.errors import EXIT_OK, StorageError
from jd.net.client import Client
from jd.net.outbound import may_have_proxies
from jd.node.identity import Here
from jd.worker.attempt.process import forkclient
from jd.worker.config import WorkerConfig
from jd.worker.launch import gpus
from jd.worker.launch.foreground import identify, process_id_of, settle, slot_of
from jd.worker.launch.forking import Forked, detach
from jd.worker.launch.process import run_worker
from jd.worker.launch.warden import Wardens
from jd.worker.local.registry import Registry
from jd.worker.log import WorkerLog
from jd.worker.uplink.tokenrenewal import authorised
from jd.worker.verdict import signal_name

PATIENCE = 1.0  # seconds that a launch waits for the first answers of the server
_LOOK_EVERY = 0.02  # seconds, for workers that ended without a word
_NOTE_BYTES = 500  # POSIX writes so much to a pipe in one piece
_LOG_TAIL = 4096

# What a worker imports only when it is at work: imported here, its pages are shared.
_LATER = ("ctypes",)
_FOR_TLS = ("jd.net.clienttls", "encodings.idna")  # wrapping a socket takes the latter
_FOR_PROXIES = ("urllib.request", "encodings.idna")


@dataclass
class Started:
    """One worker of a launch, as it was when the launch returned.

    `exit_status` is None while it runs, and negative for a signal; `reason` then says why it
    ended. `answered` tells whether the server has answered its first heartbeat.
    """

    worker_id: str
    pid: int
    log_path: Path
    answered: bool = False
    exit_status: Optional[int] = None
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether it ended other than well: `once=true` ends well, when there is no job."""
        return self.exit_status not in (None, EXIT_OK)


def start(config: WorkerConfig, slots: Sequence[int], here: Here, instance: Optional[str] = None,
          patience: float = PATIENCE) -> List[Started]:
    """Start a worker for each slot, under one new instance word, or under `instance`.

    Returns when each has had its first heartbeat answered, at most after `patience` seconds: a
    server that is away is no failure. Raises StorageError, UsageError or JdError where not a
    single one could start: registry, log directory, token, server URL, number of processes, and
    in Hub mode whatever the Hub has against it.
    """
    config.check_places()
    config = authorised(replace(config, foreground=False))
    division = gpus.divide(config, slots)
    Client(config.server)
    if config.grant is None:
        tokentosend.bearer(config.reached, config.environ)
    registry = Registry(config.experiment, config.environ)
    ids = registry.reserve(slots, config.to_json(), here, time.time(), instance=instance,
                           token="" if config.grant is None else config.grant.token)
    listening, telling = os.pipe()
    try:
        WorkerLog(config.log_file(ids[0]), config.log_max_bytes).close()
        _import_later(config.server, "" if config.hub_access is None else config.hub_access.url)
        forked = _fork(config, division, ids, telling)
        try:
            settle(registry, config, ids, identify(forked.pids, here))
        except BaseException:
            forked.call_off()
            raise
        forked.open_gate()
    except BaseException:
        os.close(listening)
        _forget(registry, ids)
        raise
    finally:
        os.close(telling)
    started = [Started(name, pid, config.log_file(name)) for name, pid in zip(ids, forked.pids)]
    try:
        _watch(started, listening, config, time.monotonic() + patience)
    finally:
        os.close(listening)
    _forget(registry, [w.worker_id for w in started if w.exit_status is not None])
    return started


def _forget(registry: Registry, ids: Sequence[str]) -> None:
    try:
        registry.remove(ids)
    except StorageError:
        pass  # the next clean-up does it


def _import_later(*urls: str) -> None:
    """Import what calls to these URLs take, and whatever else workers import later."""
    secure = any(url.startswith("https:") for url in urls)
    for name in (*_LATER, *(_FOR_TLS if secure else ()), *(_FOR_PROXIES if may_have_proxies() else ())):
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # a Python built without it
    program.package_parent()
    forkclient.source()


# ---- in the worker

def _fork(config: WorkerConfig, division: gpus.Division, ids: List[str], telling: int) -> Forked:
    wardens = Wardens(len(ids))

    def in_child() -> None:
        os.setsid()

    def be(index: int) -> int:
        ward = wardens.keep(index)
        detach([telling, ward.fileno()])
        own = replace(config, process_id=process_id_of(config, ids[index]))

        def ready(worker_id: str) -> None:
            _tell(telling, "%d ready %s" % (index, worker_id))
            os.close(telling)
        slot = slot_of(ids[index])
        return run_worker(division.given(own, slot), ids[index], slot, ward, ready)

    def failed(index: int, text: str) -> None:
        _tell(telling, "%d failed %s" % (index, " ".join(text.split("\n")[-2:])
                                         if "Traceback" in text else text))

    try:
        return Forked(len(ids), be, in_child, failed, wardens.before)
    finally:
        wardens.let_go()


def _tell(telling: int, note: str) -> None:
    try:
        line = note.encode("utf-8", "replace").replace(b"\n", b" ")
        os.write(telling, line[:_NOTE_BYTES] + b"\n")
    except OSError:
        pass  # the launch did not wait so long


# ---- in the launch

def _watch(started: List[Started], listening: int, config: WorkerConfig, until: float) -> None:
    """Learn what the workers tell and which of them end, until there is nothing to wait for."""
    os.set_blocking(listening, False)
    selecting = [listening]
    rest = b""
    waiting = list(started)
    while waiting and time.monotonic() < until:
        select.select(selecting, [], [], _LOOK_EVERY)
        # In this order: who ends has told why before.
        _look_for_ended(waiting)
        notes = _read(listening)
        if notes == b"":
            selecting = []  # nobody is left to tell, and that would be ready for ever
        lines = (rest + (notes or b"")).split(b"\n")
        rest = lines.pop()
        for line in lines:
            _take_note(line.decode("utf-8", "replace"), started, config)
        # With once=true a worker may be about to end, and that is worth a moment.
        waiting = [worker for worker in waiting
                   if worker.exit_status is None and (config.once or not worker.answered)]
    for worker in started:
        if worker.exit_status is not None:
            worker.reason = worker.reason or last_words(worker.log_path)


def _read(listening: int) -> Optional[bytes]:
    """What the workers wrote; None for nothing yet, empty at the end."""
    try:
        return os.read(listening, 65536)
    except BlockingIOError:
        return None


def _take_note(note: str, started: List[Started], config: WorkerConfig) -> None:
    index, kind, text = note.split(" ", 2)
    worker = started[int(index)]
    if kind == "ready":
        worker.answered = True
        worker.worker_id = text
        worker.log_path = config.log_file(text)
    else:
        worker.reason = text


def _look_for_ended(waiting: List[Started]) -> None:
    for worker in waiting:
        ended, status = os.waitpid(worker.pid, os.WNOHANG)
        if ended and os.WIFSIGNALED(status):
            worker.exit_status = -os.WTERMSIG(status)
            worker.reason = "killed by %s" % signal_name(os.WTERMSIG(status))
        elif ended:
            worker.exit_status = os.WEXITSTATUS(status)


def last_words(log_path: Path) -> str:
    """Why a worker ended, from the end of its log; empty if there is none."""
    try:
        with open(str(log_path), "rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_TAIL))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    said = [line.split("worker| ", 1)[1] for line in lines if "worker| " in line]
    said = [line for line in said if line.strip()]
    # The very last line gives a short form of what the line above it explains.
    told = [line for line in said if not line.startswith("worker ends: ")]
    return (told or said or [""])[-1]
