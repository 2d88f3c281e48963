"""Signals for a select loop: handlers set flags, a pipe wakes the loop.

TERM, INT and HUP ask to stop, USR2 to drain (what Slurm's `--signal=B:USR2@300` sends); CHLD tells
that a child ended. They are installed whatever was inherited: background children of a shell start
with INT ignored. Only HUP stays ignored where it was: that is what `nohup` asks for.
"""

import os
import signal
from types import FrameType
from typing import Any, Dict, Optional

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DRAINING = (signal.SIGUSR2,)
_PIECE = 4096  # bytes; a read that has found fewer has emptied the pipe


class Signals:
    """A context manager for the main thread. `wake` may be called from any thread."""

    def __init__(self) -> None:
        self.stop: Optional[str] = None
        self.drain: Optional[str] = None
        self._before: Dict[int, Any] = {}
        self._read_end = self._write_end = -1
        self._wakeup_before = -1

    def __enter__(self) -> "Signals":
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for number in STOPPING + DRAINING + (signal.SIGCHLD,):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING + DRAINING + (signal.SIGCHLD,))
        # A reader that left must be an error of one write, not the end of the worker.
        self._before[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            if self.stop in ("SIGTERM", "SIGHUP") and number == signal.Signals[self.stop]:
                # Schedulers send it twice. The second must not kill a process that is about to end with
                # its exit status; Ctrl-C at a prompt goes on to work.
                handler = signal.SIG_IGN
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._wakeup_before)
        read_end, write_end = self._read_end, self._write_end
        self._read_end = self._write_end = -1
        os.close(read_end)
        os.close(write_end)

    def fileno(self) -> int:
        """Ready to read when something happened; `drain_pipe` empties it."""
        return self._read_end

    def wake(self) -> None:
        """Make the loop look around."""
        try:
            os.write(self._write_end, b"\0")
        except (BlockingIOError, OSError):
            pass  # full: the loop will wake anyway; closed: there is no loop any more

    def drain_pipe(self) -> None:
        """Empty the pipe; call it before looking at what happened."""
        try:
            while len(os.read(self._read_end, _PIECE)) == _PIECE:
                pass
        except BlockingIOError:
            pass

    def _handle(self, number: int, _frame: Optional[FrameType]) -> None:
        if number in STOPPING:
            self.stop = self.stop or signal.Signals(number).name
        elif number in DRAINING:
            self.drain = self.drain or signal.Signals(number).name
