"""`init.py COMMAND [ARGUMENT…]`: process 1 of a container whose base has no tini.

Passes signals on to the command, reaps what the command's children leave behind, and exits as the
command does: with its status, or with 128 + N where signal N ended it.
"""

import os
import signal
import sys
from typing import List, Set

# Of these a process is told by the kernel about itself; there is nothing to pass on.
_OWN = {signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGTRAP,
        signal.SIGSYS, signal.SIGTTIN, signal.SIGTTOU, signal.SIGKILL, signal.SIGSTOP}
NOT_FOUND = 127


def start(argv: List[str], before: Set[signal.Signals]) -> int:
    """The pid of the command, which has the signal mask `before`."""
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # Python ignores these two for itself, and a command would inherit that.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    except OSError as error:
        print("error: cannot run %s: %s" % (argv[0], error.strerror), file=sys.stderr, flush=True)
    finally:
        os._exit(NOT_FOUND)


def reap(main_child: int) -> int:
    """Take every process that has ended; the exit status of `main_child`, or -1 while it runs."""
    result = -1
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return result
        if pid == 0:
            return result
        if pid == main_child:
            result = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def main(argv: List[str]) -> int:
    """Run a command until it ends."""
    if not argv:
        print("usage: init.py COMMAND [ARGUMENT…]", file=sys.stderr)
        return 2
    waited_for = set(signal.Signals) - _OWN
    # Blocked before there is a child: what comes in between waits for sigwait.
    before = set(signal.pthread_sigmask(signal.SIG_BLOCK, waited_for))
    child = start(argv, before)  # type: ignore[arg-type]
    while True:
        number = signal.sigwait(waited_for)
        if number == signal.SIGCHLD:
            status = reap(child)
            if status >= 0:
                return status
        else:
            os.kill(child, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
