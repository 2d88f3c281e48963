"""The fork server: a small process beside a worker, in which the worker's scripts begin.

A worker has threads and much memory. A fork of it copies page tables, and makes the worker copy what it
writes to; and in the fork of a process with threads little is safe. This process has neither. It forks with
CLONE_PARENT (clone(2)), so a script is the worker's own child all the same, and with CLONE_VFORK, so what
came of exec is known by then.

The worker runs this file as a program on Linux (see forkclient.py), with the number of clone(2) as its
argument. So this imports nothing but the standard library, and as little of that as will do: it takes memory
beside each worker, and is copied for each script.

A request is 4 bytes with its length, together with the descriptor for the script's output, and then what
`marshal` makes of a `Request`. The answer is `ANSWER`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what signal makes enumerations of
import _socket
import ctypes
import errno
import marshal
import mmap
import os
import resource
import select
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Tuple

    # The command line, its environment, where it runs, and its limits of address space.
    Request = Tuple[List[bytes], Dict[bytes, bytes], Optional[bytes], Optional[Tuple[int, int]]]

IDLE = 60.0  # seconds without a request, after which it ends; the worker starts another one
LENGTH = struct.Struct("=I")
ANSWER = struct.Struct("=iBB")  # process id, or -1; where it failed, 0 for nowhere; errno
FORKING, ENTERING, EXECUTING = 1, 2, 3

_CLONE_VFORK, _CLONE_PARENT = 0x4000, 0x8000
_PR_SET_PDEATHSIG = 1


def serve(clone: int) -> None:
    """Until the worker has ended, or nothing was asked for `IDLE` seconds."""
    # Who signals all processes of a step means the worker and its script, not this.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    # Slurm may signal every process of a step: draining is the worker's business, and would kill a script
    # that knows nothing of the signal.
    _signal.signal(_signal.SIGUSR2, _signal.SIG_IGN)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores them, and a script inherits that
        _signal.signal(number, _signal.SIG_DFL)
    worker = os.getppid()
    libc = ctypes.PyDLL(None, use_errno=True)
    libc.syscall.argtypes, libc.syscall.restype = [ctypes.c_long] * 6, ctypes.c_long
    prctl = libc.prctl  # looked up here: each page that a child writes to is copied for it
    prctl.argtypes = [ctypes.c_ulong] * 5
    failed = mmap.mmap(-1, 2)  # is shared with the child: where it failed, and errno
    null = os.open(os.devnull, os.O_RDWR)
    worker_end = _socket.socket(fileno=0)
    while select.select([worker_end], [], [], IDLE)[0]:
        received = _received(worker_end)
        if received is None:
            return
        output, request = received
        failed[0:2] = bytes(2)
        pid = libc.syscall(clone, _CLONE_PARENT | _CLONE_VFORK | _signal.SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            _become(request, (null, output, output), worker, prctl, failed)
        os.close(output)
        if pid == -1:
            failed[0:2] = bytes((FORKING, ctypes.get_errno()))
        worker_end.sendall(ANSWER.pack(pid, failed[0], failed[1]))


def _received(worker_end: _socket.socket) -> tuple[int, Request] | None:
    """The descriptor for the output and what to run; None when there is no worker any more."""
    head, told, _, _ = worker_end.recvmsg(LENGTH.size, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    if not head:
        return None
    left, chunks = LENGTH.unpack(head)[0], []
    while left:
        chunk = worker_end.recv(left)
        if not chunk:
            return None
        chunks.append(chunk)
        left -= len(chunk)
    return int.from_bytes(told[0][2], sys.byteorder), marshal.loads(b"".join(chunks))


def _become(request: Request, standard: tuple[int, int, int], worker: int, prctl: Any,
            failed: mmap.mmap) -> None:
    """In the child: be the script. Never returns."""
    words, environ, cwd, limits = request
    where = FORKING
    try:
        prctl(_PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
        if os.getppid() != worker:
            return  # it died before the call above
        os.setsid()
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
        where = ENTERING
        if cwd is not None:
            os.chdir(cwd)
        where = EXECUTING
        _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
        if limits is not None:
            resource.setrlimit(resource.RLIMIT_AS, limits)
        if b"/" in words[0]:
            os.execve(words[0], words, environ)
        os.execvpe(words[0], words, environ)
    except (OSError, MemoryError) as error:
        failed[0:2] = bytes((where, getattr(error, "errno", None) or errno.ENOMEM))
    finally:
        os._exit(127)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
