"""A child process of this worker, however it was begun: forked here, or left to the worker by a parent that
has ended (`node/orphans.py`).

Only whoever holds the `Child` waits for it.
"""

import os
import sys
from typing import NamedTuple, Optional


class End(NamedTuple):
    """How a process has ended.

    `exit_code` is negative for a signal, as subprocess has it. `peak_memory` is the most that it, or one of
    those that it has started and waited for, had at once: bytes, None where that is not known any more.
    """

    exit_code: int
    peak_memory: Optional[int] = None


class Child:
    """The child with the process id `pid`, which is not given to another process before `reap`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._end: Optional[End] = None

    def has_ended(self) -> bool:
        """Whether it has, found out without reaping it where the system can."""
        if self._end is not None:
            return True
        if not hasattr(os, "waitid"):
            self._end = self._wait(os.WNOHANG)
            return self._end is not None
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def reap(self) -> End:
        """Wait for its end."""
        if self._end is None:
            self._end = self._wait(0)
        assert self._end is not None
        return self._end

    def _wait(self, options: int) -> Optional[End]:
        """Its end; None where WNOHANG is given and it runs."""
        try:
            pid, status, usage = os.wait4(self.pid, options)
        except ChildProcessError:
            return End(0)  # SIGCHLD is ignored, or somebody else has waited: nobody knows any more
        if pid == 0:
            return None
        return End(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status),
                   usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) or None)
