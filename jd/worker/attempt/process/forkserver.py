"""The fork server: a small process beside a worker, in which the worker's scripts begin.

A worker has threads and much memory. A fork of it copies page tables, and makes the worker copy what it
writes to; and in the fork of a process with threads little is safe. This process has neither, and a child of
it copies nothing: as after vfork(2) both have the same memory, and this one waits until the child is the
script. The child is made with CLONE_PARENT (clone(2)), so it is the worker's own.

The worker runs this file as a program on Linux (see forkclient.py). So this imports nothing but the standard
library, and as little of that as will do: it takes memory beside each worker.

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
    from typing import Any, List, Optional, Tuple

    # The command line, its environment, where it runs, and its limits of address space.
    Request = Tuple[List[bytes], List[bytes], Optional[bytes], Optional[Tuple[int, int]]]

IDLE = 60.0  # seconds without a request, after which it ends; the worker starts another one
LENGTH = struct.Struct("=I")
ANSWER = struct.Struct("=iBB")  # process id, or -1; where it failed, 0 for nowhere; errno
FORKING, ENTERING, EXECUTING = 1, 2, 3

_CLONE_VM, _CLONE_VFORK, _CLONE_PARENT = 0x100, 0x4000, 0x8000
_PR_SET_PDEATHSIG = 1
_MOST_CALLS = 7  # of one child
_STACK = 256 * 1024  # bytes, for each call: libraries that are preloaded (LD_PRELOAD) may need some


class _Context(ctypes.Structure):
    """How a ucontext_t begins wherever there are 64 bits, and more than room for the rest of it."""

    _fields_ = [("flags", ctypes.c_ulong), ("link", ctypes.c_void_p), ("stack", ctypes.c_void_p),
                ("stack_flags", ctypes.c_int), ("stack_size", ctypes.c_size_t),
                ("rest", ctypes.c_ulong * 1024)]


class Children:
    """Makes children that call functions of C, one after the other. No Python runs in them, as that would
    write to the memory that they share with this process.

    Each call is a context (makecontext(3)) with a stack of its own, which is linked to that of the next one.
    The children have those signals blocked that are blocked now. Raises AttributeError where the C library
    has no contexts.
    """

    def __init__(self) -> None:
        self._libc = libc = ctypes.PyDLL(None, use_errno=True)
        libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        libc.makecontext.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]  # and more: variadic
        self._enter = ctypes.cast(libc.setcontext, ctypes.c_void_p)
        self._memory = mmap.mmap(-1, (_MOST_CALLS + 1) * _STACK)
        bottom = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._top = bottom + len(self._memory)
        self._contexts = [_Context() for _ in range(_MOST_CALLS)]
        for number, context in enumerate(self._contexts):
            libc.getcontext(ctypes.byref(context))
            context.stack, context.stack_size = bottom + number * _STACK, _STACK

    def call(self, function: str, *arguments: Any) -> tuple[Any, ...]:
        """A call of a function of the C library, with numbers, pointers and arrays."""
        return (ctypes.cast(getattr(self._libc, function), ctypes.c_void_p),
                *(ctypes.c_long(value) if isinstance(value, int) else value for value in arguments))

    def make(self, flags: int, *calls: tuple[Any, ...]) -> tuple[int, int]:
        """Make one with these `flags` of clone(2) that makes these calls.

        Returns its process id, or -1, and errno, as soon as it has become another program or has ended,
        which it has to with the last one.
        """
        following = None
        for context, (function, *arguments) in zip(self._contexts[len(calls) - 1::-1], reversed(calls)):
            context.link, following = following, ctypes.addressof(context)
            self._libc.makecontext(ctypes.byref(context), function, len(arguments), *arguments)
        ctypes.set_errno(0)
        pid = self._libc.clone(self._enter, self._top, _CLONE_VM | _CLONE_VFORK | flags, following)
        return pid, ctypes.get_errno()


class Scripts:
    """Begins scripts as children of the worker, which is the parent of this process and has the other end of
    a socket."""

    def __init__(self, worker_end: int) -> None:
        self._children = children = Children()
        # A worker that has died since is no parent any more, of whose death one would hear. But its sockets
        # are closed by then, and what sends nothing to it is killed all the same: by SIGPIPE.
        self._first = [children.call("prctl", _PR_SET_PDEATHSIG, _signal.SIGKILL),
                       children.call("send", worker_end, b"", 0, 0), children.call("setsid")]
        self._failed = ctypes.c_byte()
        self._last = [children.call("memset", ctypes.byref(self._failed), 1, 1), children.call("_exit", 127)]
        self._null = os.open(os.devnull, os.O_RDWR)
        self._here = os.open(".", os.O_PATH)
        for number in (0, 1, 2):
            os.dup2(self._null, number)

    def can_be_begun(self) -> bool:
        """Whether the system makes such children, found out with one that ends at once."""
        pid, _ = self._children.make(_signal.SIGCHLD, *self._last)
        return pid > 0 and os.waitpid(pid, 0)[1] == 127 << 8 and bool(self._failed)

    def begin(self, request: Request, output: int) -> tuple[int, int, int]:
        """Begin one with its output to a descriptor. Returns what `ANSWER` has."""
        words, environ, cwd, limits = request
        try:
            if cwd is not None:
                os.chdir(cwd)
        except OSError as error:
            return -1, ENTERING, error.errno or errno.EIO
        program = _found(words[0], environ)
        calls = self._first[:]
        if limits is not None:
            calls.append(self._children.call("setrlimit", resource.RLIMIT_AS, (ctypes.c_ulong * 2)(*limits)))
        calls.append(self._children.call("execve", program, _array(words), _array(environ)))
        os.dup2(output, 1)
        os.dup2(output, 2)
        self._failed.value = 0
        pid, number = self._children.make(_CLONE_PARENT | _signal.SIGCHLD, *calls, *self._last)
        os.dup2(self._null, 1)
        os.dup2(self._null, 2)
        os.fchdir(self._here)
        if pid == -1:
            return pid, FORKING, number
        return (pid, EXECUTING, number) if self._failed else (pid, 0, 0)


def _found(program: bytes, environ: list[bytes]) -> bytes:
    """Where a program is, if it is to be looked for; where there is none, what execve says why of."""
    if b"/" in program:
        return program
    path = next((entry[5:] for entry in environ if entry.startswith(b"PATH=")), os.fsencode(os.defpath))
    places = [os.path.join(place, program) for place in path.split(b":")]
    return next((place for place in places if os.path.isfile(place) and os.access(place, os.X_OK)),
                next(filter(os.path.exists, places), places[-1]))


def _array(texts: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    """As execve(2) has it, with a null pointer at its end."""
    return (ctypes.c_char_p * (len(texts) + 1))(*texts)


def serve() -> None:
    """Until the worker has ended, or nothing was asked for `IDLE` seconds."""
    worker_end = _socket.socket(fileno=os.dup(0))
    scripts = Scripts(worker_end.fileno())
    # Who signals all processes of a step means the worker and its script, not this.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    # Slurm may signal every process of a step: draining is the worker's business, and would kill a script
    # that knows nothing of the signal.
    _signal.signal(_signal.SIGUSR2, _signal.SIG_IGN)
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores them, and a script inherits that
        _signal.signal(number, _signal.SIG_DFL)
    if callable(_signal.getsignal(_signal.SIGINT)):  # Python's function, which must not run in a child
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if not scripts.can_be_begun():
        return
    while select.select([worker_end], [], [], IDLE)[0]:
        received = _received(worker_end)
        if received is None:
            return
        output, request = received
        answer = scripts.begin(request, output)
        os.close(output)
        worker_end.sendall(ANSWER.pack(*answer))


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


if __name__ == "__main__":
    serve()
