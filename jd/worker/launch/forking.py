"""Forks the workers of one launch: all of them, or none.

Every worker waits, at a pipe that is called the gate here, until its parent has seen all of them start
and has entered them in the registry. They share the memory of their parent, which has imported everything
by then.
"""

import gc
import os
import signal
import sys
import traceback
from typing import Callable, Collection, List

from jd.errors import EXIT_FAILURE, EXIT_OK, JdError
from jd.worker.launch.signals import DRAINING, STOPPING

Be = Callable[[int], int]
InChild = Callable[[], None]
Failed = Callable[[int, str], None]
Before = Callable[[int], None]


class Forked:
    """Child processes, by index, that wait at the gate. `open_gate` or `call_off` must follow."""

    def __init__(self, count: int, be: Be, in_child: InChild, failed: Failed, before: Before) -> None:
        """Fork `count` children; none of them returns from here, and the parent has no threads.

        `before(index)` is called in the parent before each. Each runs `in_child()`, waits at the gate, and
        ends with the status of `be(index)`; what goes wrong in it is given to `failed`. Signals wait in it
        until it installs its handlers. Raises JdError where the system has no room for so many, or `before`
        does; there are none then.
        """
        self.pids: List[int] = []
        self._be = be
        self._in_child = in_child
        self._failed = failed
        self._gate, self._key = os.pipe()
        # Collected in a child, what is garbage here would be copied there, page by page.
        gc.collect()
        gc.freeze()
        try:
            for index in range(count):
                before(index)
                self.pids.append(self._fork(index))
        except BaseException as error:
            self.call_off()
            if not isinstance(error, OSError):
                raise
            raise JdError("cannot start worker %d of %d: %s; none was started"
                          % (len(self.pids) + 1, count, error.strerror), "see ulimit -u") from None
        finally:
            gc.unfreeze()

    def open_gate(self) -> None:
        """Let them all begin."""
        # Never more than a pipe holds, and the children read.
        left = len(self.pids)
        while left:
            left -= os.write(self._key, b"g" * min(left, 4096))
        self._close()

    def call_off(self) -> None:
        """Let them all end, without having begun; returns when they have."""
        self._close()
        for pid in self.pids:
            os.waitpid(pid, 0)

    def _close(self) -> None:
        os.close(self._gate)
        os.close(self._key)

    def _fork(self, index: int) -> int:
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
            status = self._child(index)
        except JdError as error:
            self._failed(index, "error: %s" % error)
            status = error.exit_status
        except BaseException:  # nothing may climb into the parent's code from here
            self._failed(index, traceback.format_exc())
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(status)

    def _child(self, index: int) -> int:
        os.close(self._key)
        gate = self._gate
        self._in_child()
        go = os.read(gate, 1)
        os.close(gate)
        return self._be(index) if go else EXIT_OK


def detach(keep: Collection[int]) -> None:
    """In a child: let go of everything that the launch had open but `keep`, and of its directory."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for number in open_files():
        if number > 2 and number not in keep:
            try:
                os.close(number)
            except OSError:
                pass  # it was the listing itself
    os.chdir("/")


def open_files() -> List[int]:
    """The descriptors of this process: those that are open, and perhaps some that are not."""
    try:
        return [int(name) for name in os.listdir("/dev/fd") if name.isdigit()]
    except OSError:
        return list(range(3, min(os.sysconf("SC_OPEN_MAX"), 65536)))
