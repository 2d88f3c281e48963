"""The worker's side of a warm interpreter: its start, its answers, a job that it forks, its end."""

import array
import os
import select
import socket
import subprocess
import tempfile
import threading
import time
from typing import Dict, List, NamedTuple, Optional, Sequence

from jd.errors import JdError
from jd.node import orphans
from jd.worker.attempt.process import spawning
from jd.worker.attempt.process.child import Child
from jd.worker.attempt.process.spawning import Begun, Command
from jd.worker.attempt.warm import interpreter
from jd.worker.verdict import signal_name

FORK_TIME = 10.0  # seconds for a job's process to be there
_LOOK_EVERY = 0.1  # seconds, at whether a wait was called off
_PRINTED_BYTES = 4096
_END_TIME = 1.0  # seconds for what it leaves to be gone; else that hangs in the kernel
_ENDS_EVERY = 0.01  # seconds


class NotWarm(JdError):
    """This job cannot be forked, and nothing of it has begun; the message says why, and is empty where only a
    start from scratch can tell."""


class Ended(NotWarm):
    """The interpreter is of no more use."""


class Changed(Ended):
    """A file was changed that it has imported."""


class Unfit(Ended):
    """Nothing may be forked from an interpreter that has imported this."""


class Missing(Ended):
    """Some of what it was told to import cannot be; `names` has which."""

    def __init__(self, message: str, names: Sequence[str]) -> None:
        super().__init__(message)
        self.names = tuple(names)


class Kind(NamedTuple):
    """What is the same for all jobs of one interpreter: the words before those of a job, the environment
    without that of a job, the directory that it is in, bytes of address space for each of its processes;
    `place` is where the program of the interpreter is."""

    words: Sequence[str]
    environ: Dict[str, str]
    directory: str
    max_memory: Optional[int]
    place: str


class Imports(NamedTuple):
    """What it imports first: `names`, but none of `leave_out`, with `first` at the head of the path. `script`
    is what it looks into for the name "script"."""

    names: Sequence[str]
    leave_out: Sequence[str]
    first: str
    script: str


class Interpreter:
    """One that runs, or is being started. It ends with this process, or by `end`."""

    def __init__(self, kind: Kind, imports: Imports) -> None:
        """Raises NotWarm where it cannot be started."""
        self.kind = kind
        self.jobs = 0  # that it has forked
        self.resident = 0  # bytes that it had when it was ready, 0 before
        self.grown_to = 0  # bytes
        self.began = time.monotonic()
        try:
            self._printed = tempfile.TemporaryFile()
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise Ended(str(error)) from None
        with theirs:
            try:
                self._process = self._start(kind, theirs.fileno())
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                self._control.close()
                self._printed.close()
                raise Ended(str(error)) from None
        orphans.cared_for.add(self._process.pid)
        try:
            self._send([str(os.getpid()), imports.first, imports.script, *imports.names, ":",
                        *imports.leave_out], [self._printed.fileno()])
        except NotWarm:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait(self, cancelled: threading.Event, until: float) -> None:
        """Return when it has said something, has ended, or nobody waits any more; for any thread."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while not cancelled.is_set() and time.monotonic() < until:
            if poll.poll(_LOOK_EVERY * 1000):
                return

    def become_ready(self) -> None:
        """Hear what came of its imports, if it was not heard before. Raises Ended."""
        if self.resident:
            return
        fields = self._answer(0.0)
        if fields[0] == b"without":
            told = [field.decode("utf-8", "replace") for field in fields[1:]]
            raise Missing("; ".join("%s cannot be imported beforehand (%s)" % pair
                                    for pair in zip(told[::2], told[1::2])), told[::2])
        if fields[0] == b"cold":
            raise Unfit(fields[1].decode("utf-8", "replace"))
        self.resident = int(fields[1])

    def printed(self) -> str:
        """The last of what it has printed while it imported."""
        size = os.fstat(self._printed.fileno()).st_size
        start = max(0, size - _PRINTED_BYTES)
        return os.pread(self._printed.fileno(), _PRINTED_BYTES, start).decode("utf-8", "replace").rstrip()

    def fork(self, command: Command) -> Begun:
        """A process that runs `command`, which is of this kind. Raises NotWarm."""
        words = command.words[len(self.kind.words):]
        variables = ["%s=%s" % pair for pair in command.environ.items()]
        output, output_end = os.pipe()
        gate, gate_end = os.pipe()
        mine, theirs = [output, gate_end], [output_end, gate]
        try:
            theirs.append(os.open(str(command.cwd or os.curdir), os.O_RDONLY | os.O_DIRECTORY))
            self._send([str(len(words)), *words, *variables], theirs)
            fields = self._answer(FORK_TIME)
            if fields[0] == b"changed":
                raise Changed(fields[1].decode("utf-8", "replace"))
            if fields[0] != b"pid":
                raise Ended(fields[1].decode("utf-8", "replace"))
            self.jobs += 1
            self.grown_to = int(fields[2])
            os.set_blocking(output, False)
            os.write(gate_end, b"g")
            mine.remove(output)
            return Begun(Child(int(fields[1])), output)
        except OSError as error:
            raise NotWarm(str(error)) from None
        finally:
            for descriptor in mine + theirs:
                os.close(descriptor)

    def end(self) -> None:
        """End it, and what its imports have started. The processes of its jobs go on."""
        others = orphans.children()
        self._process.kill()
        self._process.wait()
        until = time.monotonic() + _END_TIME
        left = orphans.children() - others
        while left and time.monotonic() < until:
            orphans.end_all(left)
            time.sleep(_ENDS_EVERY)
            left = orphans.children() - others
        orphans.cared_for.discard(self._process.pid)
        self._control.close()
        self._printed.close()

    def _start(self, kind: Kind, number: int) -> "subprocess.Popen[bytes]":
        environ = dict(kind.environ)
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, (kind.place, environ.get("PYTHONPATH"))))
        environ[interpreter.VARIABLE] = str(number)
        environ.update(dict.fromkeys(interpreter.MARKS, "0" * interpreter.MARK_BYTES))
        # Its streams are a pipe, as those of jobs are, which inherit what Python found out about them. What
        # is printed before it turns to the file is lost.
        listening, telling = os.pipe()
        try:
            return subprocess.Popen(
                list(kind.words), stdin=subprocess.DEVNULL, stdout=telling, stderr=telling, env=environ,
                cwd=kind.directory, start_new_session=True, pass_fds=[number],
                preexec_fn=spawning.first_in_child(kind.max_memory))
        finally:
            os.close(telling)
            os.close(listening)

    def _send(self, fields: List[str], descriptors: List[int]) -> None:
        try:
            message = b"\0".join(os.fsencode(field) for field in fields)
        except UnicodeEncodeError:
            raise NotWarm("") from None
        # A NUL, and what is too long for a command line, is told by what starts it from scratch.
        if message.count(b"\0") != len(fields) - 1 or len(message) >= interpreter.MESSAGE_BYTES:
            raise NotWarm("")
        try:
            self._control.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                               array.array("i", descriptors))])
        except OSError as error:
            raise Ended(self._why_gone() or str(error)) from None

    def _answer(self, wait: float) -> List[bytes]:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if not poll.poll(wait * 1000):
            raise Ended("it does not answer")
        try:
            data = self._control.recv(interpreter.MESSAGE_BYTES)
        except OSError:  # it was killed with a message that it had not read
            data = b""
        if not data:
            raise Ended(self._why_gone())
        return data.split(b"\0")

    def _why_gone(self) -> str:
        """How it has ended, if it has."""
        try:
            status: Optional[int] = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            return "it does not listen"
        printed = self.printed().rpartition("\n")[2]
        how = ("it was killed by %s" % signal_name(-status) if status is not None and status < 0 else
               "it has ended with exit status %s" % status)
        return "%s: %s" % (how, printed) if printed else how
