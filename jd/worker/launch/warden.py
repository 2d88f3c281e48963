"""The warden: a small process beside the workers of a launch, which ends what a killed worker leaves running.

A worker that gets SIGKILL can end nothing any more, and only its script can be made to die with it: what that
has started would go on beside the job's next attempt. So each worker tells its warden, through a pipe, what
runs (attempt/ward.py). A pipe that closes while something does was that of a worker which was killed.

Signals that stop a launch mean nothing to the warden. It ends when the last worker has.
"""

import errno
import gc
import os
import resource
import select
import signal
from typing import Dict, List

from jd.errors import JdError
from jd.node import descendants
from jd.worker.attempt.process.ward import Ward, last_word
from jd.worker.launch.forking import detach, open_files

MOST = 64  # workers of one warden: each takes two descriptors of the launch
_SPARE = 6  # descriptors that must be free besides, in the launch and its children
_CHUNK = 65536


class Wardens:
    """The wardens of a launch of so many workers, each forked before those that it is for: `MOST`, or as many
    as the open files of the launch have room for."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._first = 0  # worker of the newest warden
        self._tellers: List[int] = []  # our ends of its pipes

    def before(self, index: int) -> None:
        """In the launch, right before worker `index` comes to be; it has no threads. Raises JdError."""
        if index < self._first + len(self._tellers):
            return
        self.let_go()
        self._first = index
        listeners: List[int] = []
        try:
            for _ in range(min(self._workers - index, _room())):
                listener, teller = os.pipe()
                os.set_blocking(teller, False)  # a warden that is stopped must not stop a worker
                listeners.append(listener)
                self._tellers.append(teller)
            _fork_off(listeners)
        except OSError as error:
            self.let_go()
            raise JdError("cannot start the warden of the workers: %s; none was started" % error.strerror,
                          "see ulimit -u and ulimit -n") from None
        finally:
            for listener in listeners:
                os.close(listener)

    def keep(self, index: int) -> Ward:
        """In the process that becomes worker `index`: its way to its warden. That of others is closed."""
        own = self._tellers.pop(index - self._first)
        self.let_go()
        return Ward(own)

    def let_go(self) -> None:
        """Close all pipes that this process still has: the launch, when its workers are there."""
        for teller in self._tellers:
            os.close(teller)
        self._tellers = []


def _room() -> int:
    """For how many workers this process has descriptors: at least one, as that may go well."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MOST
    return max(1, min(MOST, (limit - len(open_files()) - _SPARE) // 2))


def _fork_off(listeners: List[int]) -> None:
    """Start the warden, as nobody's child: who launches workers has nothing to wait for."""
    # It keeps them all blocked for good: only SIGKILL ends it before its time.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        between = os.fork()
        if between == 0:
            status = 1
            try:
                if os.fork() == 0:
                    gc.disable()  # it would copy what is shared with the workers, page by page
                    os.setsid()  # who kills a whole process group is not to get the warden as well
                    detach(listeners)
                    _watch(listeners)
                status = 0
            finally:
                os._exit(status)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        failed = os.waitpid(between, 0)[1]
    except ChildProcessError:
        return  # SIGCHLD is ignored: the kernel has reaped it
    if failed:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _watch(listeners: List[int]) -> None:
    """Until every worker has ended."""
    poll = select.poll()
    for listener in listeners:
        poll.register(listener, select.POLLIN)
    told: Dict[int, bytes] = dict.fromkeys(listeners, b"")
    while told:
        for listener, _ in poll.poll():
            chunk = os.read(listener, _CHUNK)
            if chunk:
                told[listener] = _last_lines(told[listener] + chunk)
                continue
            poll.unregister(listener)
            running = last_word(told.pop(listener))
            if running is not None:
                descendants.end_session(running.leader, running.marks)


def _last_lines(told: bytes) -> bytes:
    """The last whole line, and the begun one after it."""
    start = told.rfind(b"\n", 0, told.rfind(b"\n")) + 1 if b"\n" in told else 0
    return told[start:]
