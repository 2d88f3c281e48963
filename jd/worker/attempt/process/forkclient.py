"""Has scripts begun in a fork server (forkserver.py), where the system can have one."""

import errno
import functools
import marshal
import os
import pkgutil
import socket
import struct
import subprocess
import sys
from typing import Callable, Dict, List, Optional, Tuple

from jd.node import orphans
from jd.worker.attempt.process import forkserver, memory
from jd.worker.attempt.process.child import Child
from jd.worker.attempt.process.spawning import Begun, Command, StartFailure, failure, output_pipe, spawn

_SOURCE = "JD_FORK_SERVER"
_PROGRAM = "import os; exec(os.environ.pop(%r))" % _SOURCE
_NAME = "jd-fork-server"  # for people who list processes
_TRIES = 2  # one that was idle for long has ended
# What a sandbox, or another kernel, says to a clone(2) of this kind that may well let the worker fork.
_NO_SUCH_CLONE = (errno.ENOSYS, errno.EPERM, errno.EINVAL)


class ForkServer:
    """The fork server of one worker, begun with the first script; or what does without where it cannot be.

    For the main thread: the system ends a script with the thread that has started the server. `log` gets a
    line if no server can be had.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._server: Optional[_Server] = None
        self._possible = sys.platform.startswith("linux") and sys.maxsize > 2 ** 32 and bool(sys.executable)
        self._encoded: Dict[str, Tuple[str, bytes]] = {}
        self._source = source()

    def begin(self, command: Command) -> Begun:
        """Start the script, as `spawn` does. Raises StartFailure."""
        if not self._possible:
            return spawn(command)
        try:
            request, limits = self._request(command), memory.limits(command.max_memory)
        except ValueError as error:
            raise failure(command, error) from None
        message = marshal.dumps((*request, limits), 2)
        read_end, write_end = output_pipe(command)
        try:
            child = self._ask(command, message, write_end)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        if child is not None:
            return Begun(child, read_end)
        os.close(read_end)
        self._possible = False
        self._log("scripts are started by the worker itself: this system gives it no fork server")
        return spawn(command)

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.end()
            self._server = None

    def _request(self, command: Command) -> Tuple[List[bytes], List[bytes], Optional[bytes]]:
        """What no process can have raises ValueError, with the words of subprocess."""
        if any("\0" in text for text in (*command.words, str(command.cwd))):
            raise ValueError("embedded null byte")
        words = [os.fsencode(word) for word in command.words]
        known, self._encoded = self._encoded, {}  # most variables are as they were for the job before
        for name, value in command.environ.items():
            as_before = known.get(name)
            self._encoded[name] = (as_before if as_before is not None and as_before[0] == value
                                   else (value, _variable(name, value)))
        return (words, [variable for _, variable in self._encoded.values()],
                None if command.cwd is None else os.fsencode(command.cwd))

    def _ask(self, command: Command, message: bytes, output: int) -> Optional[Child]:
        """The script; None where no server takes the request, or the system no fork of its kind. Raises
        StartFailure."""
        for _ in range(_TRIES):
            try:
                if self._server is None:
                    self._server = _Server(self._source)
                answer = self._server.answer(message, output)
            except (BrokenPipeError, ConnectionResetError):
                self.close()  # it had ended, and read nothing of this
                continue
            except OSError as error:
                raise failure(command, error) from None
            if answer is None:
                self.close()
                raise StartFailure("cannot start %s: the fork server of its worker was killed"
                                   % command.script)
            pid, _, number = answer
            if pid < 0 and number in _NO_SUCH_CLONE:
                self.close()
                return None
            return _begun(command, *answer)
        return None


class _Server:
    """One process. Raises OSError where it cannot be started."""

    def __init__(self, source: bytes) -> None:
        self._socket, other = socket.socketpair()
        try:
            with other:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _PROGRAM, _NAME], stdin=other.fileno(),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                    env=dict(os.environ, **{_SOURCE: source.decode("utf-8")}))
        except BaseException:
            self._socket.close()
            raise
        orphans.cared_for.add(self._process.pid)

    def answer(self, message: bytes, output: int) -> Optional[Tuple[int, int, int]]:
        """What comes of a request (see forkserver.ANSWER); None from a server that ended over it.

        Raises OSError, and of those BrokenPipeError and ConnectionResetError where it has not read it.
        """
        self._socket.sendmsg([forkserver.LENGTH.pack(len(message))],
                             [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", output))])
        self._socket.sendall(message)
        told = self._socket.recv(forkserver.ANSWER.size)
        return forkserver.ANSWER.unpack(told) if len(told) == forkserver.ANSWER.size else None

    def end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()
        orphans.cared_for.discard(self._process.pid)


@functools.lru_cache(maxsize=None)
def source() -> bytes:
    """What a fork server runs. It is read before one is needed, as the package may be replaced while a worker
    runs, and once for all workers of a launch."""
    return pkgutil.get_data(forkserver.__name__.rpartition(".")[0], "forkserver.py") or b""


def _variable(name: str, value: str) -> bytes:
    """As the system has it. Raises ValueError."""
    if "\0" in name or "\0" in value:
        raise ValueError("embedded null byte")
    if "=" in name:
        raise ValueError("illegal environment variable name")
    return os.fsencode(name + "=" + value)


def _begun(command: Command, pid: int, where: int, number: int) -> Child:
    """The child, if it has become the script. Raises StartFailure."""
    if not where:
        return Child(pid)
    if pid > 0:
        Child(pid).reap()
    cwd = str(command.cwd) if where == forkserver.ENTERING else None
    raise failure(command, OSError(number, os.strerror(number), cwd))
